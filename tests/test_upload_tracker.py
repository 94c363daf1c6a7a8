"""An ``UploadTracker`` of aiohttp follows a request to its end, however often it is sent, or never.

Collected only where aiohttp has the class; see ``conftest.py``.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import UploadTracker
from clients import arrived, client_of, manager_of, scripted_server

from aioalf import Client, OAuth2Middleware, TokenError, TokenErrorResponse
from aioalf.testing import AuthorizationServer

BODY = bytes(range(256)) * 400


def is_aborted(tracker: UploadTracker) -> bool:
    """Whether the upload has come to its end without its body."""
    error = tracker.upload_complete.exception()
    return isinstance(error, aiohttp.UploadAbortedError)


async def sent(client: Client, url: str, data: Any, tracker: UploadTracker) -> int:
    """The status that a POST is answered with."""
    async with client.post(url, data=data, upload_tracker=tracker) as response:
        return response.status


@pytest.mark.parametrize(
    "data", [lambda: BODY, lambda: io.BytesIO(BODY), lambda: {"a": "b" * 9999}]
)
async def test_it_tells_of_the_last_sending(data: Any, server: AuthorizationServer) -> None:
    """After a 401 as after a redirect: two attempts, and the bytes of the second."""
    async with client_of(server) as client:
        for attempts in (1, 2):
            tracker = UploadTracker()
            async with client.post(
                server.resource, data=data(), upload_tracker=tracker
            ) as response:
                assert response.status == 200
                assert tracker.upload_complete.done()
            await tracker.upload_complete
            assert tracker.attempts == attempts
            assert tracker.bytes_written == len(arrived(server)[-1].body) > 9999
            server.revoke_all()


async def test_it_tells_of_the_last_sending_with_the_middleware(
    server: AuthorizationServer,
) -> None:
    """aiohttp sees to that itself."""
    async with manager_of(server) as manager:
        await manager.get()
        server.revoke_all()
        middlewares = (OAuth2Middleware(manager, origins=server.url),)
        async with aiohttp.ClientSession(middlewares=middlewares) as session:
            tracker = UploadTracker()
            async with session.post(server.resource, data=BODY, upload_tracker=tracker) as response:
                assert response.status == 200
    assert (tracker.attempts, tracker.bytes_written) == (2, len(BODY))
    assert tracker.upload_complete.exception() is None


async def test_it_is_not_settled_between_the_two_sendings(server: AuthorizationServer) -> None:
    """Whoever waits for the upload would be told of a request that was rejected."""
    async with client_of(server) as client:
        await client.token_manager.get()
        server.revoke_all()
        tracker = UploadTracker()
        server.latency = 0.05
        sending = asyncio.ensure_future(sent(client, server.resource, BODY, tracker))
        await server.wait_until(lambda: server.token_requests == 2)
        assert not tracker.upload_complete.done()
        assert tracker.attempts == 1
        assert await sending == 200
        assert tracker.upload_complete.exception() is None


async def test_a_401_that_is_handed_on_settles_it(server: AuthorizationServer) -> None:
    """The body arrived, and that is what it tells; the same if the request has no token at all."""

    async def body() -> AsyncIterator[bytes]:
        yield BODY

    async with AuthorizationServer() as elsewhere:
        async with client_of(server, origins=server.url) as client:
            await client.token_manager.get()
            server.revoke_all()
            for url in (server.resource, elsewhere.resource):
                tracker = UploadTracker()
                async with client.post(url, data=body(), upload_tracker=tracker) as response:
                    assert response.status == 401
                assert (tracker.attempts, tracker.bytes_written) == (1, len(BODY))
                assert tracker.upload_complete.exception() is None


@pytest.mark.parametrize("returned", [True, False])
async def test_a_request_without_a_token_is_not_sent_and_settles_it(
    returned: bool, server: AuthorizationServer
) -> None:
    """Whether the error of the token endpoint is returned or raised."""
    if returned:
        server.answer_next(400)
    else:
        server.drop_next()
    tracker = UploadTracker()
    async with client_of(server) as client:
        try:
            response = await client.post(server.resource, data=BODY, upload_tracker=tracker)
            assert isinstance(response, TokenErrorResponse) is returned
        except TokenError:
            assert not returned
    assert tracker.attempts == 0
    assert is_aborted(tracker)


async def test_a_request_that_is_refused_settles_it(server: AuthorizationServer) -> None:
    """``auth=``, ``data=`` with ``json=``, what is not a URL, a client that is closed."""
    client = client_of(server)
    auth: Any = ("a", "b")
    refused: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (ValueError, server.resource, {"auth": auth}),
        (ValueError, server.resource, {"data": BODY, "json": {}}),
        (aiohttp.InvalidURL, "http://", {}),
        (RuntimeError, server.resource, {}),
    ]
    for kind, url, options in refused:
        if kind is RuntimeError:
            await client.close()
        tracker = UploadTracker()
        with pytest.raises(kind):
            await client.post(url, upload_tracker=tracker, **options)
        assert is_aborted(tracker)
    assert arrived(server) == []


@pytest.mark.parametrize("waits_for", ["token", "answer"])
async def test_a_request_that_is_cancelled_settles_it(
    waits_for: str, server: AuthorizationServer
) -> None:
    """While it waits for its token, or for the answer."""
    tracker = UploadTracker()

    async def handle(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head_came.set()
        await asyncio.get_running_loop().create_future()

    head_came = asyncio.Event()
    async with scripted_server(handle) as url, client_of(server) as client:
        if waits_for == "token":
            server.stall_next()
        sending = asyncio.ensure_future(sent(client, url, io.BytesIO(BODY * 1000), tracker))
        if waits_for == "token":
            await server.wait_until(lambda: server.token_requests == 1)
        else:
            await head_came.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.wait({tracker.upload_complete}, timeout=5)
    assert is_aborted(tracker)
    assert tracker.attempts == (0 if waits_for == "token" else 1)


async def test_it_serves_one_request_as_with_aiohttp(server: AuthorizationServer) -> None:
    """The second one is refused, and the first one's outcome stays."""
    async with client_of(server) as client:
        tracker = UploadTracker()
        assert await sent(client, server.resource, BODY, tracker) == 200
        with pytest.raises(RuntimeError, match="already bound"):
            await client.post(server.resource, data=BODY, upload_tracker=tracker)
        async with client.post(server.resource, data=BODY, upload_tracker=None) as response:
            assert response.status == 200
    assert tracker.upload_complete.exception() is None
    assert len(arrived(server)) == 2
