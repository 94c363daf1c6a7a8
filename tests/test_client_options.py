"""The keywords of a `Client` and of the middleware: what is wrong with one is said at construction."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
import weakref
from typing import Any

import aiohttp
import pytest
from clients import arrived, client_of, manager_of, status_of

from aioalf import Client, OAuth2Middleware, Token, TokenManager
from aioalf.testing import AuthorizationServer

TOKEN_URL = "https://login.example.com/token"


def made(**options: Any) -> Client:
    """A client that sends nothing."""
    return Client("id", "secret", TOKEN_URL, **options)


# -- the session's


@pytest.mark.parametrize("timeout", [10, 2.5, "10", (1, 2)])
def test_a_timeout_that_is_a_number_is_refused(timeout: Any) -> None:
    """aiohttp takes it for a request, and refuses it for a session once that is opened."""
    with pytest.raises(TypeError, match=r"ClientTimeout\(total=10\), not a value of type"):
        made(timeout=timeout)


@pytest.mark.parametrize("timeout", [None, aiohttp.ClientTimeout(total=3)])
async def test_what_aiohttp_takes_for_a_timeout_is_taken(
    timeout: Any, server: AuthorizationServer
) -> None:
    """None included, as far as aiohttp goes."""
    client = made(timeout=timeout)
    await client.close()


@pytest.mark.parametrize("url", ["https://api.example.com/v1", "https://u:p4ssw0rd@a.example/v1?x"])
def test_a_base_url_without_a_slash_at_its_end_is_refused(url: str) -> None:
    """Its last part would be lost. A password in it is not shown."""
    with pytest.raises(ValueError, match="must end with a slash") as caught:
        made(base_url=url)
    assert "p4ssw0rd" not in str(caught.value)


@pytest.mark.parametrize("url", ["api/v1/", "/v1/", "ftp://u:p4ssw0rd@a.example/", ""])
def test_a_base_url_that_is_not_one_is_refused(url: str) -> None:
    """It names the origin of the token; where ``origins=`` does, aiohttp would refuse it later."""
    for options in ({}, {"origins": "https://a.example"}):
        with pytest.raises(ValueError, match="base_url") as caught:
            made(base_url=url, **options)
        assert "p4ssw0rd" not in str(caught.value)


@pytest.mark.parametrize("path", ["", "/", "/resource/"])
async def test_a_base_url_that_ends_with_a_slash_is_joined_to(
    path: str, server: AuthorizationServer
) -> None:
    """An origin has an empty path, or a slash."""
    async with client_of(server, base_url=server.url + path) as client:
        assert await status_of(client, "resource" if path != "/resource/" else "x") == 200


@pytest.fixture
def wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A constructor of `ClientSession` in which a tracer has put its own, without its signature."""
    real: Any = aiohttp.ClientSession.__init__

    def init(*args: Any, **options: Any) -> None:
        real(*args, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", init)


@pytest.mark.usefixtures("wrapped")
async def test_a_wrapped_session_takes_the_keywords_of_a_session(
    server: AuthorizationServer,
) -> None:
    """sentry-sdk 1 wraps it so. Those of the manager go to the manager as ever."""
    timeout = aiohttp.ClientTimeout(total=5)
    options: dict[str, Any] = {"timeout": timeout, "headers": {"X": "1"}, "expiry_margin": 3.0}
    async with client_of(server, **options) as client:
        assert await status_of(client, server.resource) == 200
        assert client.session.timeout is timeout
        assert client.token_manager._cache.expiry_margin == 3.0
    assert arrived(server)[0].headers["X"] == "1"


@pytest.mark.usefixtures("wrapped")
@pytest.mark.parametrize("name", ["tiemout", "self", "loop"])
async def test_a_wrapped_session_says_itself_what_it_does_not_know(
    name: str, server: AuthorizationServer
) -> None:
    """At the latest when it is opened."""
    with pytest.raises(TypeError, match=name):
        async with client_of(server, **{name: 1}) as client:
            await client.get(server.resource)
    assert arrived(server) == []


async def test_keywords_of_a_manager_class_that_hands_them_on_reach_the_manager(
    server: AuthorizationServer,
) -> None:
    """Its own and `TokenManager`'s; the rest is for the session."""

    class Manager(TokenManager):
        def __init__(self, *args: Any, mine: int = 0, **options: Any) -> None:
            super().__init__(*args, **options)
            self.mine = mine

    class Mine(Client):
        token_manager_class = Manager

    arguments = (server.client_id, server.client_secret, server.token_endpoint)
    options: Any = {"mine": 3, "renewal_margin": 4.0, "headers": {"X": "1"}}
    async with Mine(*arguments, **options) as client:
        assert await status_of(client, server.resource) == 200
        assert client.token_manager.mine == 3  # type: ignore[attr-defined]
        assert client.token_manager._cache.renewal_margin == 4.0
    assert arrived(server)[0].headers["X"] == "1"


# -- unauthorized_statuses


@pytest.mark.parametrize(
    "statuses", [401, "401", {399}, {500}, [], [401, "403"], [[]], None, [True], b"a"]
)
def test_what_is_not_a_set_of_client_errors_is_refused(statuses: Any) -> None:
    """By the client and by the middleware, with what to give instead."""
    for make in (
        lambda: made(unauthorized_statuses=statuses),
        lambda: OAuth2Middleware(
            TokenManager(), origins="https://a.example", unauthorized_statuses=statuses
        ),
    ):
        with pytest.raises(ValueError, match=r"such as \{401, 419\}, not"):
            make()


@pytest.mark.parametrize("status", [403, 419])
@pytest.mark.parametrize("way", ["client", "middleware"])
async def test_an_api_may_have_a_status_of_its_own_for_a_token_that_it_does_not_accept(
    way: str, status: int, server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It renews the token as 401 does, and a 401 then does only if it is named; the log has the status."""

    async def body() -> Any:
        yield b"x"

    async with manager_of(server) as manager:
        options: dict[str, Any] = {"unauthorized_statuses": {403, 419}}
        session = aiohttp.ClientSession()
        if way == "middleware":
            middlewares = (OAuth2Middleware(manager, origins=server.url, **options),)
            await session.close()
            session = aiohttp.ClientSession(middlewares=middlewares)
        client = Client(token_manager=manager, session=session, **options)
        async with session, client:
            sender: Any = client if way == "client" else session
            server.resource_answer_next(status)
            async with sender.get(server.resource) as response:
                assert response.status == 200
            assert server.token_requests == 2
            server.resource_answer_next(401)
            async with sender.get(server.resource) as response:
                assert response.status == 401
            assert server.token_requests == 2
            server.resource_answer_next(status)
            async with sender.post(server.resource, data=body()) as response:
                assert response.status == status
    assert f"was answered {status} and cannot be sent again" in caplog.text


@pytest.mark.parametrize("way", ["client", "middleware"])
async def test_a_status_of_its_own_without_a_token_says_why_there_was_none(
    way: str, server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """As a 401 does where the origin is not named."""
    caplog.set_level("INFO", "aioalf")
    options: dict[str, Any] = {"origins": "https://a.example", "unauthorized_statuses": {403}}
    server.resource_answer_next(403)
    async with manager_of(server) as manager:
        if way == "client":
            async with Client(token_manager=manager, **options) as client:
                assert await status_of(client, server.resource) == 403
        else:
            middlewares = (OAuth2Middleware(manager, **options),)
            async with aiohttp.ClientSession(middlewares=middlewares) as session:
                async with session.get(server.resource) as response:
                    assert response.status == 403
    assert "was answered 403. Its origin is not in origins=" in caplog.text


# -- what belongs to its process


@pytest.mark.parametrize("work", [pickle.dumps, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("make", [made, lambda: TokenManager(TOKEN_URL, "id", "secret")])
def test_neither_a_client_nor_a_manager_is_pickled_or_copied(make: Any, work: Any) -> None:
    """The error says so, and what to do."""
    with pytest.raises(TypeError, match=r"neither pickled nor copied.* Make one in each process"):
        work(make())


async def test_a_client_that_is_dropped_is_freed_with_all_that_it_holds(
    server: AuthorizationServer,
) -> None:
    """Also after a 401; nothing of the module keeps it."""
    client = client_of(server)
    assert await status_of(client, server.resource) == 200
    server.revoke_all()
    assert await status_of(client, server.resource) == 200
    await client.close()
    references: list[weakref.ref[Any]]
    references = [weakref.ref(client), weakref.ref(client.token_manager)]
    del client
    gc.collect()
    assert [reference() for reference in references] == [None, None]


# -- what 0.4.0 had


def test_a_subclass_whose_authorized_fetch_is_not_called_is_told_once() -> None:
    """By its name, however many are made; a subclass that overrides nothing is not."""

    class Mine(Client):
        async def _authorized_fetch(self, *args: Any) -> None: ...

    class Other(Client):
        async def request_twice(self) -> None: ...

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            Mine("id", "secret", TOKEN_URL)
            Other("id", "secret", TOKEN_URL)
        made()
    (warning,) = caught
    assert warning.category is UserWarning
    assert str(warning.message).startswith("Mine._authorized_fetch is not called")
    assert "request()" in str(warning.message)
    assert warning.filename == __file__


async def test_has_token_is_asked_also_where_there_is_no_token(
    server: AuthorizationServer,
) -> None:
    """As in 0.4.0, whose first token was ``Token("")``: that one is no token."""
    answers: list[bool] = []

    class Manager(TokenManager):
        def _has_token(self) -> bool:
            answers.append(super()._has_token())
            return answers[-1]

    async with Manager(server.token_endpoint, server.client_id, server.client_secret) as manager:
        await manager.get()
        assert answers[0] is False
        await manager.get()
        assert answers[-1] is True
        manager._token = Token("", None)
        assert manager._has_token() is False
        await manager.get()
    assert server.token_requests == 2
