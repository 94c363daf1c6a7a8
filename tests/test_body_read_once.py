"""A body that can be read only once is not sent again: the 401 is returned, and renewed behind it."""

from __future__ import annotations

import asyncio
import io
import logging
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientSession
from aiohttp.abc import AbstractStreamWriter
from clients import arrived, client_of, manager_of, scripted_server, status_of

from aioalf import Client, OAuth2Middleware
from aioalf.testing import AuthorizationServer

SMALL = bytes(range(256)) * 40
# More than the sockets between client and server hold, so that an early 401 comes in mid-body.
LARGE = SMALL * 400


async def generated(content: bytes) -> AsyncIterator[bytes]:
    """A body that is there only once."""
    for start in range(0, len(content), 65536):
        yield content[start : start + 65536]


class Pipe(io.FileIO):
    """Closes itself: aiohttp leaves a file open that cannot go back."""

    def __del__(self) -> None:
        self.close()


def pipe(content: bytes) -> Any:
    """A file that cannot go back."""
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    return Pipe(reader)


def async_part(content: bytes) -> aiohttp.MultipartWriter:
    """A multipart body of which one part is there only once."""
    writer = aiohttp.MultipartWriter()
    writer.append("before")
    writer.append(generated(content))
    return writer


class Custom(aiohttp.Payload):
    """A payload of the caller's own, of which nothing is known."""

    sent = 0

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return str(self._value.decode())

    async def write(self, writer: AbstractStreamWriter) -> None:
        self.sent += 1
        await writer.write(self._value)


ONCE: dict[str, Callable[[], Any]] = {
    "async generator": lambda: generated(SMALL),
    "pipe": lambda: pipe(SMALL),
    "multipart with an async part": lambda: async_part(SMALL),
    "form with a pipe": lambda: {"file": pipe(SMALL)},
    "payload of the caller's own": lambda: Custom(SMALL),
}


@pytest.mark.parametrize("name", ONCE)
async def test_what_can_be_read_only_once_is_not_sent_again(
    name: str, server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """ "the 401 is returned intact, the token renewed behind it for the next call", the log says why."""
    server.rejection_body = b"why not"
    async with client_of(server) as client:
        await status_of(client, server.resource)
        server.revoke_all()
        async with client.post(server.resource, data=ONCE[name]()) as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            assert await response.text() == "why not"
        assert SMALL in arrived(server)[1].body
        assert server.resource_requests == 2
        async with client.post(server.resource, data=ONCE[name]()) as response:
            assert response.status == 200  # had it been sent with the old token, it would be gone
    assert (server.resource_requests, server.rejections, server.token_requests) == (3, 1, 2)
    (record,) = [entry for entry in caplog.records if entry.levelno == logging.WARNING]
    assert "POST" in record.getMessage()
    assert "cannot be sent again" in record.getMessage()


async def test_an_async_generator_rejected_early_is_not_sent_again(
    server: AuthorizationServer,
) -> None:
    """Half of it is gone, and half a body is worse than a 401."""
    server.read_rejected = False
    async with client_of(server) as client:
        await status_of(client, server.resource)
        server.revoke_all()
        async with client.post(server.resource, data=generated(LARGE)) as response:
            assert response.status == 401
        assert server.resource_requests == 2
        assert await status_of(client, server.resource) == 200


@pytest.mark.parametrize("status", [413, 401])
async def test_an_early_answer_to_a_pipe_is_there_while_nobody_writes_to_it(
    status: int, server: AuthorizationServer
) -> None:
    """Whoever reads the pipe may wait for ever, and nothing can stop a thread."""
    reader, writer = os.pipe()
    os.write(writer, SMALL)
    server.read_rejected = False
    server.resource_answer_next(status)
    async with client_of(server) as client:
        posting = asyncio.create_task(status_of(client, server.resource, data=Pipe(reader)))
        done, _ = await asyncio.wait({posting}, timeout=5)
        os.close(writer)
        assert done
        assert await posting == status


async def test_a_kept_401_is_returned_after_the_manager_was_closed(
    server: AuthorizationServer,
) -> None:
    """There is nobody left to renew; the answer is there all the same."""
    async with ClientSession() as session, manager_of(server) as manager:
        client = Client(token_manager=manager, session=session)
        await manager.get()
        server.revoke_all()

        async def body() -> AsyncIterator[bytes]:
            yield SMALL
            await manager.close()

        async with client.post(server.resource, data=body()) as response:
            assert response.status == 401


@pytest.mark.parametrize("closed", ["client", "manager"])
@pytest.mark.parametrize("by", ["client", "middleware"])
@pytest.mark.parametrize("warm", [True, False])
async def test_a_401_that_arrives_after_a_close_is_returned(
    warm: bool, by: str, closed: str, server: AuthorizationServer
) -> None:
    """There is nobody left to renew; the pool of one is free once the answer is read."""
    heads: list[bytes] = []
    go = asyncio.Event()

    async def refuse(head: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        if warm and len(heads) == 1:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            return
        await go.wait()
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")

    connector = aiohttp.TCPConnector(limit=1)
    async with (
        scripted_server(refuse) as url,
        manager_of(server) as manager,
        ClientSession(connector=connector) as session,
    ):
        client = Client(token_manager=manager, session=session)
        await manager.get()
        middlewares = (OAuth2Middleware(manager, origins=url),)

        async def get() -> aiohttp.ClientResponse:
            if by == "client":
                return await client.get(url)
            return await session.get(url, middlewares=middlewares)

        if warm:
            await get()
        asking = asyncio.create_task(get())
        while len(heads) < 1 + warm:
            await asyncio.sleep(0)
        await (client if closed == "client" and by == "client" else manager).close()
        go.set()
        async with await asking as response:
            assert response.status == 401
            assert await response.text() == "no"
        assert len(heads) == 1 + warm
        async with session.get(url) as response:
            assert response.status == 401


async def test_many_kept_401s_cost_one_token_request(server: AuthorizationServer) -> None:
    """The renewal behind them is one for everybody as well."""
    async with client_of(server) as client:
        await status_of(client, server.resource)
        server.revoke_all()

        async def upload() -> int:
            async with client.post(server.resource, data=generated(b"x")) as response:
                return response.status

        assert set(await asyncio.gather(*(upload() for _ in range(20)))) <= {200, 401}
        assert await status_of(client, server.resource) == 200
    assert server.token_requests == 2


async def test_a_payload_of_the_caller_s_own_follows_a_redirect_as_with_aiohttp(
    server: AuthorizationServer,
) -> None:
    """Whether it can be sent again after a 401 is not known; aiohttp takes it that it can."""
    server.resource_answer_next(307, {"Location": server.resource + "/there"})
    body = Custom(SMALL)
    async with client_of(server) as client, client.post(server.resource, data=body) as response:
        assert response.status == 200
        assert (await response.json())["body_length"] == len(SMALL)
    assert body.sent == 2


async def test_a_part_of_which_nothing_is_known_is_not_sent_again(
    server: AuthorizationServer,
) -> None:
    """A payload of the caller's own inside a multipart body."""
    writer = aiohttp.MultipartWriter()
    writer.append("before")
    part = Custom(SMALL)
    writer.append_payload(part)
    async with client_of(server) as client:
        await status_of(client, server.resource)
        server.revoke_all()
        async with client.post(server.resource, data=writer) as response:
            assert response.status == 401
        assert await status_of(client, server.resource) == 200
    assert part.sent == 1
    assert (server.resource_requests, server.token_requests) == (3, 2)
