"""What a 401 is answered with: drained, renewed once for everybody, sent once more."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp
import pytest
from clients import arrived, bearer, client_of, manager_of, scripted_server, status_of
from fakes import FakeClock

from aioalf import Client, OAuth2Middleware, TokenError
from aioalf.bearer import unauthorized
from aioalf.testing import AuthorizationServer


async def test_the_second_request_carries_the_new_token(server: AuthorizationServer) -> None:
    """The rejected token goes out once, its successor after it."""
    async with client_of(server) as client:
        await client.get(server.resource)
        server.revoke_all()
        await client.get(server.resource)
    first, rejected, again = (bearer(request) for request in arrived(server))
    assert first == rejected != again


async def test_only_a_401_renews(server: AuthorizationServer) -> None:
    """A 403 is a matter of permission (RFC 6750 section 3.1), and a 5xx of the server."""
    async with client_of(server) as client:
        for status in (400, 403, 404, 407, 500, 503):
            server.resource_answer_next(status)
            assert await status_of(client, server.resource) == status
    assert (server.token_requests, server.resource_requests) == (1, 6)


async def test_the_second_401_comes_back_intact(server: AuthorizationServer) -> None:
    """Status, headers and body; it can be streamed."""
    body = b"x" * 300_000
    server.resource_answer_next(401, body=b"first")
    server.resource_answer_next(401, {"WWW-Authenticate": "Bearer realm=x"}, body)
    async with client_of(server) as client, client.get(server.resource) as response:
        assert response.headers["WWW-Authenticate"] == "Bearer realm=x"
        assert b"".join([chunk async for chunk in response.content.iter_any()]) == body


async def test_the_connection_survives_a_small_401(server: AuthorizationServer) -> None:
    """The first answer is read to its end and its connection given back before the second request."""
    server.rejection_body = b"x" * 100_000
    async with client_of(server) as client:
        await status_of(client, server.resource)
        server.revoke_all()
        assert await status_of(client, server.resource) == 200
    assert len({request.peer_port for request in arrived(server)}) == 1
    assert server.connections == 3  # one for each of two token requests, and the client's


async def test_a_401_of_one_mebibyte_is_still_drained(server: AuthorizationServer) -> None:
    """As far as that goes the connection is worth more than the bytes."""
    server.rejection_body = b"x" * 2**20
    async with client_of(server) as client:
        await status_of(client, server.resource)
        server.revoke_all()
        assert await status_of(client, server.resource) == 200
    assert len({request.peer_port for request in arrived(server)}) == 1


async def test_a_timeout_that_runs_out_while_a_401_is_drained_is_a_timeout(
    server: AuthorizationServer,
) -> None:
    """And no cancellation, which nobody asked for. (For a client each sending has a timeout of its own.)"""

    async def handle(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 1000\r\n\r\nxx")
        await reader.read()

    timeout = aiohttp.ClientTimeout(total=0.05)
    async with scripted_server(handle) as url, manager_of(server) as manager:
        middlewares = (OAuth2Middleware(manager, origins=url),)
        async with aiohttp.ClientSession(middlewares=middlewares, timeout=timeout) as session:
            for _ in range(6):
                await manager.reset_token()
                with pytest.raises(asyncio.TimeoutError):
                    await session.get(url)


@pytest.mark.parametrize("end", ["never sent", "never comes"])
async def test_a_401_whose_body_does_not_end_is_given_up(
    end: str, server: AuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounded in bytes and in time; its connection is closed, and the request sent again all the same."""
    monkeypatch.setattr(unauthorized, "_DRAIN_TIME", 0.05 if end == "never comes" else 30.0)
    sent = 0
    requests = 0

    async def handle(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal sent, requests
        requests += 1
        if requests > 1:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 9999999999\r\n\r\n")
        if end == "never comes":
            await reader.read()
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with scripted_server(handle) as url, client_of(server) as client:
        async with client.get(url) as response:
            assert await response.text() == "ok"
    assert (requests, server.token_requests) == (2, 2)
    assert sent < 32 * 2**20  # what was read and what the sockets held


async def test_a_401_that_is_cut_short_is_a_401(server: AuthorizationServer) -> None:
    """Its body is of no use to anybody."""
    requests = 0

    async def handle(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal requests
        requests += 1
        if requests == 1:
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 10\r\n\r\nx")
            writer.close()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with scripted_server(handle) as url, client_of(server) as client:
        assert await status_of(client, url) == 200
    assert requests == 2


async def test_a_pool_of_one_connection_does_not_deadlock(server: AuthorizationServer) -> None:
    """Each 401 gives its place back before it waits, and the token request has a pool of its own."""
    async with client_of(server, connector=aiohttp.TCPConnector(limit=1)) as client:
        await status_of(client, server.resource)
        server.revoke_all()
        statuses = await asyncio.gather(*(status_of(client, server.resource) for _ in range(30)))
    assert set(statuses) == {200}
    assert server.token_requests == 2


@pytest.mark.parametrize("on", ["session", "request"])
@pytest.mark.parametrize("how", ["true", "callable"])
async def test_raise_for_status_does_not_get_in_the_way_of_the_retry(
    on: str, how: str, server: AuthorizationServer
) -> None:
    """It counts for the last answer, and for that alone."""
    asked: list[int] = []

    async def check(response: aiohttp.ClientResponse) -> None:
        asked.append(response.status)
        if response.status >= 400:
            raise LookupError(await response.text())

    value: Any = True if how == "true" else check
    given = {"raise_for_status": value}
    for_client, for_request = (given, {}) if on == "session" else ({}, given)
    async with client_of(server, **for_client) as client:
        await client.get(server.resource, **for_request)
        server.revoke_all()
        assert (await client.get(server.resource, **for_request)).status == 200
        server.resource_answer_next(401, body="first")
        server.resource_answer_next(401, body="second")
        expected = aiohttp.ClientResponseError if value is True else LookupError
        with pytest.raises(expected) as caught:
            await client.get(server.resource, **for_request)
    if value is True:
        assert isinstance(caught.value, aiohttp.ClientResponseError)
        assert caught.value.status == 401
    else:
        assert str(caught.value) == "second"
        assert asked == [200, 200, 401]


async def ask(way: str, session: Any, url: str) -> int:
    """The status of a request, or of a handshake that failed."""
    if way != "websocket":
        async with session.get(url) as response:
            return int(response.status)
    try:
        await (await session.ws_connect(url)).close()
    except aiohttp.WSServerHandshakeError as error:
        return error.status
    return 101


@pytest.mark.parametrize("way", ["client", "middleware", "websocket"])
async def test_each_way_of_sending_pauses_after_a_resource_that_always_answers_401(
    way: str, server: AuthorizationServer, clock: FakeClock
) -> None:
    """It means 403. What other requests are answered says nothing about it."""
    async with manager_of(server, clock=clock) as manager:
        middlewares = (OAuth2Middleware(manager, origins=server.url),)
        async with (
            aiohttp.ClientSession(middlewares=middlewares) as with_middleware,
            Client(token_manager=manager) as client,
        ):
            session = with_middleware if way == "middleware" else client
            url = server.websocket if way == "websocket" else server.resource
            for _ in range(20):
                assert await ask(way, session, url) < 300
                server.resource_answer_next(401, times=2)
                assert await ask(way, session, url) == 401
                server.clear_next()
            assert server.token_requests == 2
            clock.advance(1)
            server.resource_answer_next(401, times=2)
            assert await ask(way, session, url) == 401
            assert server.token_requests == 3


async def test_many_good_requests_beside_a_bad_resource_cost_no_token_requests(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Ten tasks on the one, and one on the other, which answers 401 whatever the token is."""

    async def handle(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        status = b"401 No" if b"/bad" in head else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")

    async with scripted_server(handle) as url, client_of(server, clock=clock) as client:

        async def often(path: str) -> set[int]:
            return {await status_of(client, url + path) for _ in range(20)}

        good, bad = [often("/good") for _ in range(10)], often("/bad")
        assert await asyncio.gather(bad, *good) == [{401}] + [{200}] * 10
    assert server.token_requests == 2


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "head", "options"])
async def test_every_method_is_sent_again(method: str, server: AuthorizationServer) -> None:
    """A 401 says that nothing was done, so that a POST is as safe as a GET."""
    async with client_of(server) as client:
        await client.get(server.resource)
        server.revoke_all()
        async with getattr(client, method)(server.resource, params={"a": "1"}) as response:
            assert response.status == 200
    assert [(r.method, r.target) for r in arrived(server)[1:]] == [
        (method.upper(), "/resource?a=1")
    ] * 2


async def test_an_api_that_rejects_new_tokens_gets_no_more_of_them_for_a_while(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The 401 is handed on at once, intact; the next attempt waits, one second at first."""
    server.resource_answer_next(401, body=b"no" * 1000, times=1000)
    async with client_of(server, clock=clock) as client:
        for _ in range(10):
            async with client.get(server.resource) as response:
                assert (response.status, await response.text()) == (401, "no" * 1000)
        assert server.token_requests == 2
        clock.advance(1)
        assert await status_of(client, server.resource) == 401
        assert server.token_requests == 3
        server.clear_next()
        assert await status_of(client, server.resource) == 200
    assert server.token_requests == 3


async def test_the_new_token_is_accepted_and_the_next_401_renews_at_once(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """A revocation now and then is no reason to wait."""
    async with client_of(server, clock=clock) as client:
        for _ in range(5):
            server.revoke_all()
            assert await status_of(client, server.resource) == 200
    assert server.token_requests == 5


async def test_a_401_while_the_token_endpoint_backs_off_is_handed_on(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """With a token that was rejected and no way to another, the 401 is what there is to say."""
    async with client_of(server, clock=clock) as client:
        await client.get(server.resource)
        server.revoke_all()
        server.answer_next(503, times=9)
        for _ in range(3):
            assert await status_of(client, server.resource) == 503
        async with client.get(server.resource) as response:
            assert response.status == 401
    assert server.token_requests == 4


async def test_a_renewal_that_fails_without_an_answer_is_raised(
    server: AuthorizationServer,
) -> None:
    """The token endpoint is gone: a `TokenError`, and the 401 has been given back."""
    async with client_of(server, connector=aiohttp.TCPConnector(limit=1)) as client:
        await client.get(server.resource)
        server.revoke_all()
        server.drop_next()
        with pytest.raises(TokenError):
            await client.get(server.resource)
        assert await status_of(client, server.resource) == 200


async def test_a_caller_cancelled_while_the_401_is_drained_leaves_no_connection_behind(
    server: AuthorizationServer,
) -> None:
    """Its place in the pool is free at once."""
    came = asyncio.Event()

    async def handle(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if b"/slow" in head:
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 10\r\n\r\nx")
            came.set()
            await reader.read()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    connector = aiohttp.TCPConnector(limit=1)
    async with scripted_server(handle) as url, client_of(server, connector=connector) as client:
        caller = asyncio.ensure_future(status_of(client, url + "/slow"))
        await came.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert await status_of(client, url) == 200


async def test_a_timeout_counts_for_each_sending_by_itself(server: AuthorizationServer) -> None:
    """The token request has its own, and is not counted."""
    server.latency = 0.3
    timeout = aiohttp.ClientTimeout(total=0.25)
    async with client_of(server, timeout=timeout) as client:
        assert await status_of(client, server.resource) == 200
        server.revoke_all()
        assert await status_of(client, server.resource) == 200


async def test_no_log_names_a_token(
    server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A whole round of it, at level DEBUG."""
    caplog.set_level(logging.DEBUG, "aioalf")
    async with client_of(server) as client:
        await client.get(server.resource)
        server.revoke_all()
        await client.get(server.resource)
    assert caplog.records
    tokens = {header.removeprefix("Bearer ") for r in arrived(server) for header in bearer(r)}
    assert len(tokens) == 2
    assert not any(token in caplog.text for token in tokens)
