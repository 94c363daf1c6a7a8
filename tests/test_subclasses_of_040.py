"""Subclasses of 0.4.0's `TokenManager` override its steps; an override of any of them takes effect."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import AsyncMock

import pytest
from fakes import FakeClock
from managing import Fetching, until
from storages import OneSlot

from aioalf.client import Client
from aioalf.errors import TokenError
from aioalf.implicit_manager import TokenStorage
from aioalf.manager import TokenManager
from aioalf.storage.record import binding_of, write_line
from aioalf.testing import AuthorizationServer
from aioalf.token import Token


class Old(TokenManager):
    """0.4.0's constructor signature, and the list of what was called."""

    def __init__(
        self,
        token_endpoint: Any,
        client_id: Any,
        client_secret: Any,
        http_options: Any = None,
        scope: Any = None,
    ) -> None:
        super().__init__(token_endpoint, client_id, client_secret, http_options, scope)
        self.calls: list[Any] = []


def client_of(manager_class: type[TokenManager], server: AuthorizationServer) -> Client:
    """A client with that manager class, as 0.4.0's users did it."""

    class Mine(Client):
        token_manager_class = manager_class

    return Mine(server.client_id, server.client_secret, server.token_endpoint)


async def status(client: Client, server: AuthorizationServer) -> int:
    """How a request is answered."""
    async with client.get(server.resource) as response:
        return response.status


async def requests_around_a_401(client: Client, server: AuthorizationServer) -> None:
    """A request with a new token, one with the same, and one whose token has been revoked."""
    async with client:
        assert await status(client, server) == 200
        assert await status(client, server) == 200
        server.revoke_all()
        assert await status(client, server) == 200
        server.revoke_all()
        answers = await asyncio.gather(*(status(client, server) for _ in range(20)))
        assert set(answers) == {200}


async def test_with_040s_constructor_and_no_override_all_is_as_ever(
    server: AuthorizationServer,
) -> None:
    """New keywords reach a manager class only when the caller gave them."""
    await requests_around_a_401(client_of(Old, server), server)
    assert server.token_requests == 3


@pytest.mark.parametrize(
    "keyword",
    [{"token_retries": 1}, {"token_storage": TokenStorage()}, {"expiry_margin": 1.0}],
    ids=["token_retries", "token_storage", "expiry_margin"],
)
async def test_a_new_keyword_for_040s_constructor_is_a_type_error(keyword: dict[str, Any]) -> None:
    """It is not dropped in silence."""

    class Mine(Client):
        token_manager_class = Old

    with pytest.raises(TypeError):
        Mine("id", "secret", "https://login.example.com/token", **keyword)


async def test_an_overridden_get_token_is_what_a_request_asks(
    server: AuthorizationServer,
) -> None:
    """Each time, as in 0.4.0; after a 401 the base renews and it is asked again."""

    class Manager(Old):
        async def get_token(self) -> str:
            self.calls.append("get_token")
            return await super().get_token()

    client = client_of(Manager, server)
    await requests_around_a_401(client, server)
    assert server.token_requests == 3
    assert len(client.token_manager.calls) >= 3 + 20  # type: ignore[attr-defined]


async def test_an_overridden_get_token_without_base_needs_no_endpoint(
    server: AuthorizationServer,
) -> None:
    """Tokens from somewhere else; after a 401 it is asked once more, and a token request is not made."""
    tokens = [server.issue(), server.issue()]

    class Manager(Old):
        async def get_token(self) -> str:
            return next(token for token in tokens if server.accepts(token))

    class Mine(Client):
        token_manager_class = Manager

    async with Mine("id", "secret", None) as client:
        assert await status(client, server) == 200
        server.resource_answer_next(401)
        assert await status(client, server) == 200
        server.revoke(tokens[0])
        assert await status(client, server) == 200
        assert server.token_requests == 0


async def test_a_token_that_an_override_gave_is_checked(server: AuthorizationServer) -> None:
    """Whatever it is, it goes into a header."""

    class Manager(Old):
        async def get_token(self) -> str:
            return "two\r\nlines"

    async with client_of(Manager, server) as client:
        with pytest.raises(TokenError, match="character"):
            await client.get(server.resource)


@pytest.mark.parametrize("how", ["async", "plain", "without base"])
async def test_an_overridden_reset_token_is_called_for_a_401(
    how: str, server: AuthorizationServer
) -> None:
    """With no arguments; once, however many tasks were rejected."""

    class Manager(Old):
        async def reset_token(self) -> None:
            self.calls.append("reset")
            await super().reset_token()

    class Plain(Old):
        def reset_token(self) -> None:  # type: ignore[override]
            self.calls.append("reset")
            self._token = None

    class WithoutBase(Old):
        async def reset_token(self) -> None:
            self.calls.append("reset")
            self._token = Token(server.issue(), 60)

    manager_class = {"async": Manager, "plain": Plain, "without base": WithoutBase}[how]
    client = client_of(manager_class, server)
    await requests_around_a_401(client, server)
    assert client.token_manager.calls == ["reset", "reset"]  # type: ignore[attr-defined]
    assert server.token_requests == (1 if how == "without base" else 3)


async def test_an_overridden_reset_token_is_called_for_a_401_that_is_handed_on(
    server: AuthorizationServer,
) -> None:
    """A body that cannot be sent again: the token is renewed behind it, by the override."""

    class Manager(Old):
        async def reset_token(self) -> None:
            self.calls.append("reset")
            await super().reset_token()

    async def body() -> Any:
        yield b"once"

    async with client_of(Manager, server) as client:
        assert await status(client, server) == 200
        server.revoke_all()
        async with client.post(server.resource, data=body()) as response:
            assert response.status == 401
        await until(lambda: client.token_manager._cache.flights.current is None)
        assert client.token_manager.calls == ["reset"]  # type: ignore[attr-defined]
        assert await status(client, server) == 200
        assert server.rejections == 1


async def test_a_reset_token_that_calls_its_base_from_a_task_of_its_own_does_not_hang(
    server: AuthorizationServer,
) -> None:
    """`asyncio.wait_for` starts one before Python 3.12, and `gather` in every version."""

    class Manager(Old):
        async def reset_token(self) -> None:
            await asyncio.gather(super().reset_token())

    await requests_around_a_401(client_of(Manager, server), server)
    assert server.token_requests == 3


async def test_an_overridden_has_token_decides(server: AuthorizationServer) -> None:
    """Here it keeps no token, so that each request has a new one."""

    class Manager(Old):
        def _has_token(self) -> bool:
            return False

    async with client_of(Manager, server) as client:
        for number in (1, 2, 3):
            assert await status(client, server) == 200
            assert server.token_requests == number


@pytest.mark.parametrize("calls_base", [True, False])
async def test_an_overridden_update_token_makes_the_token(
    calls_base: bool, server: AuthorizationServer
) -> None:
    """It sets `_token`."""

    class Manager(Old):
        async def _update_token(self) -> None:
            self.calls.append("update")
            if calls_base:
                await super()._update_token()
            else:
                self._token = Token(server.issue(), 60)

    client = client_of(Manager, server)
    await requests_around_a_401(client, server)
    assert client.token_manager.calls == ["update"] * 3  # type: ignore[attr-defined]
    assert server.token_requests == (3 if calls_base else 0)


async def test_an_update_token_that_sets_none_is_an_error_that_says_so(
    server: AuthorizationServer,
) -> None:
    """It does not hang, and sends no empty token."""

    class Manager(Old):
        async def _update_token(self) -> None:
            pass

    async with client_of(Manager, server) as client:
        with pytest.raises(TokenError, match="_update_token"):
            await client.get(server.resource)


@pytest.mark.parametrize("step", ["_get_token_data", "_request_token"])
@pytest.mark.parametrize("calls_base", [True, False])
async def test_an_overridden_request_gives_the_token_response(
    step: str, calls_base: bool, server: AuthorizationServer
) -> None:
    """As a mapping; 0.4.0's `_get_token_data` called `_request_token`."""

    async def override(self: Any) -> Any:
        self.calls.append(step)
        if calls_base:
            return await getattr(super(manager_class, self), step)()
        return {"access_token": server.issue(), "expires_in": "60", "token_type": "bearer"}

    manager_class = type("Manager", (Old,), {step: override})
    client = client_of(manager_class, server)
    await requests_around_a_401(client, server)
    assert client.token_manager.calls == [step] * 3  # type: ignore[attr-defined]
    assert server.token_requests == (3 if calls_base else 0)


@pytest.mark.parametrize("calls_base", [True, False])
async def test_an_overridden_fetch_gets_what_it_got(
    calls_base: bool, server: AuthorizationServer
) -> None:
    """`_fetch(url=..., method="POST", auth=(id, secret), data={...})`, by keyword."""

    class Manager(Old):
        async def _fetch(self, **given: Any) -> Any:  # type: ignore[override]
            self.calls.append(given)
            if calls_base:
                return await super()._fetch(**given)
            return {"access_token": server.issue(), "expires_in": 60}

    client = client_of(Manager, server)
    await requests_around_a_401(client, server)
    expected = {
        "url": server.token_endpoint,
        "method": "POST",
        "auth": ("client-id", "secret"),
        "data": {"grant_type": "client_credentials"},
    }
    assert client.token_manager.calls == [expected] * 3  # type: ignore[attr-defined]
    assert server.token_requests == (3 if calls_base else 0)


class WithoutBaseConstructor(TokenManager):
    """0.4.0's own implicit manager called no constructor of its base."""

    def __init__(
        self,
        token_endpoint: Any,
        client_id: Any,
        client_secret: Any,
        http_options: Any = None,
        scope: Any = None,
    ) -> None:
        self._token_endpoint = token_endpoint
        self._client_id = client_id
        self._client_secret = client_secret
        self._http_options = http_options
        self._scope = scope
        self._token = None


async def test_a_subclass_that_calls_no_constructor_of_its_base_works(
    server: AuthorizationServer,
) -> None:
    """Everything that it leaves out has a default."""
    client = client_of(WithoutBaseConstructor, server)
    await requests_around_a_401(client, server)
    assert server.token_requests == 3
    assert "client-id" in repr(client)


async def test_040s_own_implicit_manager_works(server: AuthorizationServer) -> None:
    """Its steps as they were: a token from a storage, a plain `reset_token`, no constructor."""
    storage = TokenStorage()
    signed_in: list[str] = []

    class Implicit(WithoutBaseConstructor):
        def reset_token(self) -> None:  # type: ignore[override]
            storage.clean()

        async def get_token(self) -> str:
            token = storage.load()
            if not token:
                token = server.issue()
                signed_in.append(token)
                storage.save(token)
            return token  # type: ignore[return-value]

    await requests_around_a_401(client_of(Implicit, server), server)
    assert len(signed_in) == 3
    assert server.token_requests == 0


async def test_a_copy_of_040s_get_token_still_has_its_lock(server: AuthorizationServer) -> None:
    """Whoever changed a line of it in a subclass has the other lines there, too."""

    class Copy(Old):
        async def get_token(self) -> str:
            async with self._token_lock:
                if not self._has_token():
                    await self._update_token()
                assert self._token is not None
                return self._token.access_token

    async with client_of(Copy, server) as client:
        assert await asyncio.gather(*(status(client, server) for _ in range(10))) == [200] * 10
        server.revoke_all()
        assert await asyncio.gather(*(status(client, server) for _ in range(10))) == [200] * 10
    assert server.token_requests == 2


# Steps replaced on one object, as tests do


async def test_a_get_token_replaced_on_the_object_is_seen_at_once(
    server: AuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the manager holds a good token; and what was there before comes back."""
    async with client_of(TokenManager, server) as client:
        assert await status(client, server) == 200
        with monkeypatch.context() as patch:
            mock = AsyncMock(return_value=server.issue())
            patch.setattr(client.token_manager, "get_token", mock)
            assert await status(client, server) == 200
            mock.assert_awaited_once_with()
        assert await status(client, server) == 200
        mock.assert_awaited_once_with()
        assert server.token_requests == 1


async def test_a_reset_token_replaced_on_the_object_is_called(
    server: AuthorizationServer,
) -> None:
    """The second 401 is then the answer: the mock has replaced nothing."""
    async with client_of(TokenManager, server) as client:
        mock = AsyncMock()
        client.token_manager.reset_token = mock  # type: ignore[method-assign]
        assert await status(client, server) == 200
        server.revoke_all()
        assert await status(client, server) == 401
        mock.assert_awaited_once_with()
        assert server.token_requests == 1


async def test_a_has_token_replaced_on_the_object_is_seen_at_once(
    server: AuthorizationServer,
) -> None:
    """To see a renewal without waiting for it."""
    async with client_of(TokenManager, server) as client:
        assert await status(client, server) == 200
        client.token_manager._has_token = lambda: False  # type: ignore[method-assign]
        assert await status(client, server) == 200
        assert server.token_requests == 2


@pytest.mark.parametrize("step", ["_get_token_data", "_request_token", "_fetch"])
async def test_a_request_replaced_on_the_object_takes_effect(
    step: str, server: AuthorizationServer
) -> None:
    """No token request is made then."""
    async with client_of(TokenManager, server) as client:
        mock = AsyncMock(return_value={"access_token": server.issue(), "expires_in": 60})
        setattr(client.token_manager, step, mock)
        assert await status(client, server) == 200
        assert await status(client, server) == 200
        mock.assert_awaited_once()
        assert server.token_requests == 0


async def test_a_token_set_by_hand_is_used(server: AuthorizationServer) -> None:
    """`_token` is what 0.4.0's tests set."""
    async with client_of(TokenManager, server) as client:
        client.token_manager._token = Token(server.issue(), 60)
        assert await status(client, server) == 200
        client.token_manager._token = None
        assert server.token_requests == 0
        assert await status(client, server) == 200
        assert server.token_requests == 1


async def test_an_overridden_reset_token_that_calls_its_base_takes_what_another_has_stored(
    clock: FakeClock,
) -> None:
    """It was called because of a 401, not by somebody who wants a new token come what may."""

    class Mine(Fetching):
        async def reset_token(self) -> None:
            await super().reset_token()

    storage = OneSlot()
    manager = Mine(clock, token_storage=storage)
    first = await manager.get()
    binding = binding_of("client_credentials", "https://login.example.com/token", "id", None, {})
    other = Token("other", 7200, expires_at=clock.time() + 7200)
    storage.line = write_line(other, binding)
    assert (await manager.renew(first)).access_token == "other"
    assert len(manager.fetches) == 1


async def test_a_token_that_an_overridden_step_has_set_must_fit_into_a_header(
    server: AuthorizationServer,
) -> None:
    """It is validated as one that this library has read itself."""

    class Mine(TokenManager):
        async def _update_token(self) -> None:
            self._token = Token("two\nlines")

    async with client_of(Mine, server) as client:
        with pytest.raises(TokenError, match="character it must not"):
            await status(client, server)
    assert server.resource_requests == 0
