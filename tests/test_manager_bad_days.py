"""What a manager waits for is bounded, and what it has is not lost."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from fakes import FakeClock
from managing import Fetching, manager_for, until

from aioalf.client import Client
from aioalf.errors import TokenError, TokenHTTPError
from aioalf.manager import TokenManager
from aioalf.renewal.single_flight import Flight
from aioalf.storage import TokenStorage
from aioalf.testing import AuthorizationServer
from aioalf.token import Token


class Refreshing(TokenManager):
    """A flow with refresh tokens, as the guide has it."""

    grant = "refresh_token"

    async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
        if previous is None or previous.refresh_token is None:
            return await super().fetch_token(None)
        form = {"grant_type": "refresh_token", "refresh_token": previous.refresh_token}
        return await self.request_token(form)


async def test_a_retry_after_that_no_caller_can_wait_for_fails_at_once(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """To ask earlier than the server wants helps nobody."""
    server.answer_next(503, {"Retry-After": "61"}, times=9)
    async with manager_for(server, clock, token_retries=3) as manager:
        with pytest.raises(TokenHTTPError):
            await manager.get()
    assert (server.token_requests, clock.sleeps) == (1, [])


async def test_an_answer_that_does_not_come_in_time_is_asked_for_again(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """It is a transient failure like any other connection that fails."""
    server.stall_next()
    options = {"timeout": aiohttp.ClientTimeout(total=0.1)}
    async with manager_for(server, clock, token_retries=1, http_options=options) as manager:
        assert server.accepts((await manager.get()).access_token)
    assert server.token_requests == 2


async def test_a_secret_whose_callable_hangs_is_waited_for_so_long_and_no_longer(
    server: AuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vault that does not answer does not hang the client for good."""
    monkeypatch.setattr("aioalf.sources._TIMEOUT", 0.01)
    hangs = True

    async def secret() -> str:
        if hangs:
            await asyncio.get_running_loop().create_future()
        return server.client_secret

    manager = TokenManager(server.token_endpoint, server.client_id, secret)
    with pytest.raises(TokenError, match=r"client_secret gave no answer within 0\.01 s"):
        await manager.get()
    hangs = False
    assert server.accepts(await manager.get_token())


async def test_a_fetch_that_hangs_is_given_up(clock: FakeClock) -> None:
    """Whatever an overridden `fetch_token` waits for; the next call begins again."""

    class Hanging(Fetching):
        fetch_timeout = 0.01
        lock_timeout = 0.0

    manager = Hanging(clock)
    manager.gate = asyncio.Event()
    with pytest.raises(TokenError, match=r"No token within 0\.01 s"):
        await manager.get()
    manager.gate.set()
    assert (await manager.get()).access_token == "token-2"
    await manager.close()


async def test_a_secret_that_asks_its_own_manager_is_an_error(server: AuthorizationServer) -> None:
    """Also from a task of its own, as `asyncio.wait_for` starts one: it would never end."""

    async def secret() -> str:
        return await asyncio.wait_for(manager.get_token(), 5)

    manager = TokenManager(server.token_endpoint, server.client_id, secret)
    with pytest.raises(TokenError, match="by its own token request"):
        await manager.get()
    assert server.token_requests == 0


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("called", [True, False])
async def test_a_line_end_is_no_part_of_a_secret(
    end: str, called: bool, server: AuthorizationServer
) -> None:
    """RFC 6749 appendix A.2: it is of visible characters. A file or an editor has put it there."""
    secret = server.client_secret + end
    source = (lambda: secret) if called else secret
    async with TokenManager(server.token_endpoint, server.client_id, source) as manager:
        assert server.accepts(await manager.get_token())


async def test_a_scope_that_can_be_iterated_once_is_kept(server: AuthorizationServer) -> None:
    """A generator would be used up by the first request, and the second have no scope."""
    scopes = ["read", "write"]
    manager = manager_for(server, scope=(scope for scope in scopes))
    other = manager_for(server, scope=scopes)
    scopes.append("admin")
    for one in (manager, other):
        await one.get()
        await one.reset_token()
    assert [request.form["scope"] for request in server.log] == ["read write"] * 4


@pytest.mark.parametrize("scope", [b"read", ["read", 1], 17, {"read": "write"}], ids=repr)
def test_a_scope_of_the_wrong_kind_is_refused_at_construction(scope: Any) -> None:
    """Not at the first request, in every task that waits."""
    with pytest.raises(TypeError, match="scope takes a string or a list of strings, not a"):
        TokenManager("https://login.example.com/token", "id", "s", scope=scope)


async def test_a_token_endpoint_may_be_any_object_whose_string_is_a_url(
    server: AuthorizationServer,
) -> None:
    """A pydantic HttpUrl is not a string."""

    class HttpUrl:
        def __str__(self) -> str:
            return server.token_endpoint

    endpoint: Any = HttpUrl()
    async with TokenManager(endpoint, server.client_id, server.client_secret) as manager:
        assert server.accepts(await manager.get_token())


async def test_a_parameter_may_be_a_dict_a_bool_or_a_list(server: AuthorizationServer) -> None:
    """OpenID Connect Core section 5.5: ``claims`` is JSON."""
    params = {"claims": {"access_token": {"acrs": None}}, "debug": True, "n": [1, 2.5], "no": None}
    async with manager_for(server, token_request_params=params) as manager:
        server.answer_next(body='{"access_token": "t"}')
        await manager.get()
    form = server.log[0].form
    assert form["claims"] == '{"access_token":{"acrs":null}}'
    assert (form["debug"], form.getall("n"), "no" in form) == ("true", ["1", "2.5"], False)


def test_a_parameter_that_a_form_cannot_hold_is_refused_at_construction() -> None:
    """And named."""
    params = {"claims": object()}
    with pytest.raises(TypeError, match="The parameter claims of a token request is a object"):
        TokenManager("https://login.example.com/token", "id", "s", token_request_params=params)


async def test_a_renewal_ahead_that_fails_says_that_the_old_token_serves(
    server: AuthorizationServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests go on: "no token" would be a false alarm."""
    async with manager_for(server, clock) as manager:
        await manager.get()
        clock.advance(3535)
        server.answer_next(503)
        await manager.get()
        await until(lambda: manager._cache.flights.current is None)
    (line,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "was not renewed ahead, the old one serves for 55 s more: the token endpoint" in line


async def test_the_same_token_again_is_not_asked_for_more_than_once_a_second(
    clock: FakeClock,
) -> None:
    """Some servers give the token that there is until its very end, with less and less life."""
    manager = Fetching(clock)
    answers = []
    for left in (100, 25, 0.5, 0):
        answers.append({"access_token": "same", "expires_in": left})
    manager.answers = [*answers, {"access_token": "new", "expires_in": 3600}]
    asked = 0
    for _ in range(1100):
        await manager.get()
        await until(lambda: manager._cache.flights.current is None)
        clock.advance(0.1)
        asked = len(manager.fetches)
    assert asked <= 6


async def test_a_close_that_is_cancelled_loses_no_rotated_refresh_token(
    server: AuthorizationServer,
) -> None:
    """A shutdown with a time limit: the renewal goes on, and what it brings is saved."""
    server.issue_refresh_tokens = True
    storage = TokenStorage()
    manager = Refreshing(
        server.token_endpoint, server.client_id, server.client_secret, token_storage=storage
    )
    await manager.get()
    server.latency = 0.05
    renewal = asyncio.ensure_future(manager.reset_token())
    await server.wait_until(lambda: server.token_requests == 2)
    closing = asyncio.ensure_future(manager.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait({closing, renewal})
    assert isinstance(renewal.exception(), TokenError)
    await until(lambda: manager._cache.flights.current is None)
    saved = json.loads(storage.token or "")["refresh_token"]
    assert server._grants.tokens.refresh_scope(saved) is None  # known, and of no scope


def test_the_end_of_the_loop_waits_for_a_refresh_token_that_is_being_rotated() -> None:
    """``asyncio.run`` cancels all tasks; a client that nobody has closed loses nothing."""
    storage = TokenStorage()
    server = AuthorizationServer(issue_refresh_tokens=True)
    ready, over = threading.Event(), threading.Event()
    first: list[str | None] = []

    async def serve() -> None:
        async with server:
            ready.set()
            await asyncio.to_thread(over.wait)

    async def program() -> None:
        manager = Refreshing(
            server.token_endpoint, server.client_id, server.client_secret, token_storage=storage
        )
        first.append((await manager.get()).refresh_token)
        server.latency = 0.1
        task = asyncio.ensure_future(manager.reset_token())
        while server.token_requests < 2:
            await asyncio.sleep(0.01)
        task.cancel()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        ready.wait(10)
        asyncio.run(program())
        known = server._grants.tokens._refresh
        while server.token_requests < 2 or known[str(first[0])].replaced_at is None:
            time.sleep(0.01)  # the server takes its time, whether or not its client is still there
        saved = json.loads(storage.token or "")["refresh_token"]
        assert known[saved].replaced_at is None
    finally:
        over.set()
        thread.join()


async def test_a_row_of_failures_keeps_one_of_them_in_memory(clock: FakeClock) -> None:
    """An outage with error pages of a mebibyte would fill it."""
    gc.collect()
    before = sum(type(one) is Flight for one in gc.get_objects())
    manager = Fetching(clock, *[TokenError("down") for _ in range(200)])
    for _ in range(100):
        with pytest.raises(TokenError):
            await manager.reset_token()
        clock.advance(100)
        with pytest.raises(TokenError):
            await manager.get()
    gc.collect()
    assert sum(type(one) is Flight for one in gc.get_objects()) - before <= 1


if sys.version_info >= (3, 12):

    async def test_an_eager_task_factory_does_not_lift_the_pause_of_an_outage(
        server: AuthorizationServer,
    ) -> None:
        """It would run the first step of a renewal before anyone can know that one runs."""

        class Old(TokenManager):
            """As written for 0.4.0: what it calls inside a renewal is a part of that renewal."""

            async def reset_token(self) -> None:
                await super().reset_token()

        server.answer_next(503, times=50)
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        manager = Old(server.token_endpoint, server.client_id, server.client_secret)
        async with Client(token_manager=manager) as client:
            for _ in range(50):
                await client.get(server.resource)
        assert server.token_requests <= 4
