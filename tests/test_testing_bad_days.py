"""`aioalf.testing` can be told to misbehave, can be overrun, and ends at once all the same."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from aioalf.testing import AuthorizationServer


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A bare session that gives up soon."""
    timeout = aiohttp.ClientTimeout(total=10)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as started:
        yield started


async def post(session: aiohttp.ClientSession, url: str) -> tuple[int, bytes]:
    """Status and body."""
    async with session.post(url, data=b"") as response:
        return response.status, await response.read()


async def get(session: aiohttp.ClientSession, server: AuthorizationServer) -> int:
    """The status of a request with a valid token."""
    headers = {"Authorization": f"Bearer {server.issue()}"}
    async with session.get(server.resource, headers=headers) as response:
        await response.read()
        return response.status


async def test_the_next_answers_can_be_scripted(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """In order, so many times each, and then all is as usual."""
    headers = [("Retry-After", "7"), ("Content-Type", "text/x"), ("X-A", "1"), ("X-A", "2")]
    server.answer_next(503, headers, "brühe", times=2)
    server.answer_next(200, body=b"\xff", delay=0.001)
    for _ in range(2):
        async with session.post(server.token_endpoint) as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "7"
            assert response.headers["Content-Type"] == "text/x"
            assert response.headers.getall("X-A") == ["1", "2"]
            assert await response.read() == "brühe".encode()
    assert await post(session, server.token_endpoint) == (200, b"\xff")
    assert (await post(session, server.token_endpoint))[0] == 400
    assert server.token_requests == 4


async def test_a_connection_can_be_dropped_without_an_answer(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """The request has arrived and is counted."""
    server.drop_next(times=2)
    for _ in range(2):
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await post(session, server.token_endpoint)
    assert (await post(session, server.token_endpoint))[0] == 400
    assert server.token_requests == 3


@pytest.mark.parametrize(
    "data",
    [
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    ],
)
async def test_any_bytes_can_be_answered(
    server: AuthorizationServer, session: aiohttp.ClientSession, data: bytes
) -> None:
    """Also those that no server of good standing would send."""
    server.raw_next(data)
    with pytest.raises(aiohttp.ClientError):
        await post(session, server.token_endpoint)


async def test_an_outage_ends_when_it_is_told_to(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """Of the token endpoint and of the resource alike."""
    server.answer_next(503, times=10**9)
    server.resource_answer_next(502, times=10**9)
    for _ in range(3):
        assert (await post(session, server.token_endpoint))[0] == 503
        assert await get(session, server) == 502
    server.clear_next()
    assert (await post(session, server.token_endpoint))[0] == 400
    assert await get(session, server) == 200


async def test_the_resource_can_be_scripted_as_well(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """A scripted 401 counts as a rejection; no token is looked at."""
    server.resource_answer_next(401)
    server.resource_drop_next()
    server.resource_answer_next(204)
    assert await get(session, server) == 401
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await post(session, server.resource)
    assert (await post(session, server.resource))[0] == 204
    assert (server.resource_requests, server.rejections) == (3, 1)


def test_a_script_for_no_request_is_a_mistake() -> None:
    """So that nobody tests less than they mean to."""
    with pytest.raises(ValueError, match="times"):
        AuthorizationServer().answer_next(times=0)


async def test_a_server_that_was_not_started_has_no_address() -> None:
    """It may be made before there is an event loop, but its port is not known."""
    server = AuthorizationServer()
    with pytest.raises(RuntimeError, match="started"):
        _ = server.token_endpoint
    await server.close()
    async with server:
        with pytest.raises(RuntimeError, match="running"):
            await server.start()


async def test_a_server_can_go_and_come_back(session: aiohttp.ClientSession) -> None:
    """Same port, same tokens, same counters; nobody listens in between."""
    server = AuthorizationServer()
    async with server:
        token, url = server.issue(), server.url
        assert await get(session, server) == 200
    assert server.url == url
    with pytest.raises(aiohttp.ClientConnectionError):
        await get(session, server)
    async with server:
        assert server.url == url
        assert server.accepts(token)
        assert await get(session, server) == 200
    assert (server.connections, server.resource_requests) == (2, 2)


async def test_two_servers_do_not_share_a_port() -> None:
    """The second is told so at once."""
    async with AuthorizationServer() as server:
        with pytest.raises(OSError, match="in use"):
            await AuthorizationServer(port=server.port).start()


async def test_a_thousand_connections_at_once(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """None is refused and none is lost, and closing them takes no time to speak of."""
    token = server.issue()

    async def request() -> int:
        headers = {"Authorization": f"Bearer {token}"}
        async with session.get(server.resource, headers=headers) as response:
            await response.read()
            return response.status

    server.resource_latency = 0.2
    server.keep_log = False
    answers = await asyncio.gather(*(request() for _ in range(1100)))
    assert set(answers) == {200}
    assert server.connections == server.resource_requests == 1100
    began = time.perf_counter()
    await server.close()
    assert time.perf_counter() - began < 2


async def test_closing_waits_for_nobody(session: aiohttp.ClientSession) -> None:
    """Stalled, slow, idle, streaming, half sent, not reading, gone: no client holds it up."""
    async with AuthorizationServer(latency=600, resource_latency=600) as server:
        authorized = {"Authorization": f"Bearer {server.issue()}"}
        tasks: list[asyncio.Task[object]] = [
            asyncio.create_task(post(session, server.token_endpoint))
        ]
        await server.wait_until(lambda: server.token_requests == 1)
        server.stall_next()
        server.resource_stall_next()
        server.answer_next(delay=600)
        tasks += [
            asyncio.create_task(post(session, server.token_endpoint)),
            asyncio.create_task(post(session, server.token_endpoint)),
            asyncio.create_task(get(session, server)),
        ]
        await server.wait_until(lambda: server.token_requests + server.resource_requests == 4)
        tasks[1].cancel()
        tasks.append(asyncio.create_task(get(session, server)))
        await server.wait_until(lambda: server.resource_requests == 2)
        server.resource_latency = 0
        stream = await session.get(server.stream + "?count=9&interval=600", headers=authorized)
        websocket = await session.ws_connect(server.websocket, headers=authorized)
        server.rejection_body = b"x" * 2**24
        writers = []
        for data in (
            b"",
            b"GET /resource HTT",
            b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf",
            b"GET /resource HTTP/1.1\r\nHost: x\r\n\r\n",
        ):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
            writer.write(data)
            writers.append(writer)
        await server.wait_until(lambda: server.rejections == 1 and server.connections == 11)
        began = time.perf_counter()
    assert time.perf_counter() - began < 1
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results.pop(1), asyncio.CancelledError)
    assert all(isinstance(result, aiohttp.ClientError) for result in results)
    with pytest.raises(aiohttp.ClientError):
        await stream.read()
    stream.close()
    assert (await websocket.receive()).type is aiohttp.WSMsgType.CLOSED
    for writer in writers:
        writer.transport.abort()


async def test_closing_while_clients_are_still_coming(session: aiohttp.ClientSession) -> None:
    """At whatever turn of the loop it happens: nothing is left behind, nobody hangs."""
    for turns in range(12):
        server = AuthorizationServer()
        await server.start()
        tasks = [asyncio.create_task(post(session, server.token_endpoint)) for _ in range(20)]
        for _ in range(turns):
            await asyncio.sleep(0)
        await server.close()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(result, aiohttp.ClientError | tuple)


async def test_closing_in_the_midst_of_a_handshake() -> None:
    """A client that connects to a TLS port and says nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    async with AuthorizationServer(ssl_context=context) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        _, late = await asyncio.open_connection("127.0.0.1", server.port)
        await server.wait_until(lambda: server.connections == 2)
        late.close()
    assert await reader.read() == b""
    for each in (writer, late):
        each.close()
        await each.wait_closed()
