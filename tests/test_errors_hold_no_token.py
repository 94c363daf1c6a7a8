"""No exception of a request holds the token: asyncio, pytest and many a log show its repr."""

from __future__ import annotations

import asyncio
import gc
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from clients import client_of, manager_of

from aioalf import OAuth2Middleware
from aioalf.testing import AuthorizationServer

Send = Callable[..., Awaitable[Any]]


@asynccontextmanager
async def sending(
    kind: str, server: AuthorizationServer, **options: Any
) -> AsyncIterator[tuple[Any, str]]:
    """A `Client`, or a session with the middleware; and the token that it sends."""
    if kind == "client":
        async with client_of(server, **options) as client:
            yield client, await client.token_manager.get_token()
        return
    async with manager_of(server) as manager:
        middleware = OAuth2Middleware(manager, origins=server.url)
        async with aiohttp.ClientSession(middlewares=(middleware,), **options) as session:
            yield session, await manager.get_token()


def shown(error: BaseException) -> str:
    """Everything that a log, a debugger or a test runner shows of an exception, and of its causes."""
    chain: list[BaseException] = []
    queue: list[BaseException | None] = [error]
    while queue:
        one = queue.pop()
        if one is not None and one not in chain:
            chain.append(one)
            queue += [one.__cause__, one.__context__]
    texts = [f"{one!r} {one} {one.args!r} {vars(one)!r}" for one in chain]
    return "\n".join([*texts, *traceback.format_exception(error)])


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("client", "of the session"),
        ("client", "of the request"),
        # SECURITY.md says what a response of aiohttp's, which a client returns, still holds.
        ("middleware", "of the session"),
        ("middleware", "of the request"),
        ("middleware", "of the response"),
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403, 500])
async def test_an_error_status_that_is_raised(
    kind: str, status: int, how: str, server: AuthorizationServer
) -> None:
    """Raised by aiohttp for this library or, if the response itself is asked, by the response."""
    options = {"raise_for_status": True} if how == "of the session" else {}
    async with sending(kind, server, **options) as (sender, token):
        server.resource_answer_next(status, times=2)
        raising = {"raise_for_status": True} if how == "of the request" else {}

        async def send() -> None:
            response = await sender.get(server.resource, **raising)
            response.raise_for_status()

        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await send()
        assert caught.value.status == status
        assert token[:12] not in shown(caught.value)


@pytest.mark.parametrize("kind", ["client", "middleware"])
async def test_too_many_redirects(kind: str, server: AuthorizationServer) -> None:
    """aiohttp tells the request that was redirected first."""
    async with sending(kind, server) as (sender, token):
        url = f"{server.redirect}?to={server.redirect}?to=/redirect"
        with pytest.raises(aiohttp.TooManyRedirects) as caught:
            await sender.get(url, max_redirects=1)
        assert token[:12] not in shown(caught.value)


@pytest.mark.parametrize("kind", ["client", "middleware"])
@pytest.mark.parametrize("status", [200, 401, 500])
async def test_a_handshake_that_fails(kind: str, status: int, server: AuthorizationServer) -> None:
    """Also one that is answered as if it were any request."""
    async with sending(kind, server) as (sender, token):
        server.resource_answer_next(status, times=2)
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await sender.ws_connect(server.websocket)
        assert caught.value.status == status
        assert token[:12] not in shown(caught.value)


async def test_what_a_callable_raises_for_a_status(server: AuthorizationServer) -> None:
    """It is given the response, and raises what it likes of it."""

    async def check(response: aiohttp.ClientResponse) -> None:
        raise aiohttp.ClientResponseError(response.request_info, (), status=response.status)

    async with sending("client", server, raise_for_status=check) as (client, token):
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await client.get(server.resource)
        assert token[:12] not in shown(caught.value)


async def test_what_asyncio_logs_of_a_task_that_nobody_waits_for(
    server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """At ERROR, with the repr of the exception."""
    async with sending("client", server, raise_for_status=True) as (client, token):
        server.resource_answer_next(500)
        task = asyncio.ensure_future(client.get(server.resource))
        await asyncio.wait({task})
        del task
        gc.collect()
    assert "never retrieved" in caplog.text
    assert "RequestInfo" in caplog.text
    assert token[:12] not in caplog.text
