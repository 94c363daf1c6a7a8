"""Clients and servers that several test modules make in the same way."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from aioalf import Client, TokenManager
from aioalf.testing import AuthorizationServer, ReceivedRequest

__all__ = (
    "Handler",
    "arrived",
    "bearer",
    "client_of",
    "collect",
    "manager_of",
    "scripted_server",
    "status_of",
)


def client_of(server: AuthorizationServer, **options: Any) -> Client:
    """A client with the server's own credentials."""
    return Client(server.client_id, server.client_secret, server.token_endpoint, **options)


def manager_of(server: AuthorizationServer, **options: Any) -> TokenManager:
    """A manager with the server's own credentials."""
    return TokenManager(server.token_endpoint, server.client_id, server.client_secret, **options)


async def status_of(client: Client, url: str, **options: Any) -> int:
    """The status that a GET is answered with, its body read."""
    async with client.get(url, **options) as response:
        await response.read()
        return response.status


def arrived(server: AuthorizationServer, kind: str = "resource") -> list[ReceivedRequest]:
    """The requests of one kind, in order."""
    return [entry for entry in server.log if entry.kind == kind]


def bearer(request: ReceivedRequest) -> list[str]:
    """Every Authorization header that was on the wire, names in any case."""
    return [
        value.decode() for name, value in request.raw_headers if name.lower() == b"authorization"
    ]


def collect() -> None:
    """Let what is not closed complain now, in the test that left it."""
    gc.collect()


Handler = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def scripted_server(handle: Handler) -> AsyncIterator[str]:
    """A server that does to each request, by its head, what `handle` does; gives its URL."""
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while not reader.at_eof():
                    await handle(await reader.readuntil(b"\r\n\r\n"), reader, writer)
        finally:
            writer.transport.abort()  # it may still hold what nobody reads

    server = await asyncio.start_server(serve, "127.0.0.1")
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
