"""Cancelled at every await point of a renewal, one after the other."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector
from fakes import FakeClock
from managing import Fetching, turns, until
from storages import Slow

from aioalf.client import Client
from aioalf.errors import TokenError
from aioalf.manager import TokenManager
from aioalf.middleware import OAuth2Middleware
from aioalf.storage import TokenStorage
from aioalf.testing import AuthorizationServer
from aioalf.token import Token

POINTS = range(50)  # turns of the loop; a renewal with a slow storage takes fewer, see below


class Rotating(Fetching):
    """A flow whose server rotates refresh tokens and takes none for the second time."""

    def __init__(self, clock: FakeClock, book: list[str], **options: Any) -> None:
        super().__init__(clock, takes=3, **options)
        self.book = book  # the one refresh token that is good
        #: Whether the server rotates it when the request arrives, or in the turn in which its answer does.
        self.early = True

    async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
        if not self.early:
            await super().fetch_token(previous)
            return self._rotated(previous)
        response = self._rotated(previous)
        await super().fetch_token(previous)
        return response

    def _rotated(self, previous: Token | None) -> Mapping[str, Any]:
        spent = previous.refresh_token if previous is not None else None
        if self.book:
            assert spent == self.book.pop(), "the rotated refresh token was lost"
        number = int((spent or "refresh-0").rpartition("-")[2]) + 1
        self.book.append(f"refresh-{number}")
        return {
            "access_token": f"access-{number}",
            "expires_in": 3600,
            "refresh_token": f"refresh-{number}",
        }


def storage_for(kind: str) -> TokenStorage | None:
    """None, the one in memory, or one whose calls take time."""
    return {"none": None, "memory": TokenStorage(), "slow": Slow()}[kind]


async def expired(clock: FakeClock, storage: TokenStorage | None) -> Rotating:
    """A manager whose token has just expired."""
    manager = Rotating(clock, [], token_storage=storage)
    await manager.get()
    clock.advance(3600)
    return manager


async def settled(manager: TokenManager, storage: TokenStorage | None) -> None:
    """Wait for what still runs behind the scenes; the lock is then free."""
    await until(lambda: manager._cache.flights.current is None)
    if isinstance(storage, Slow):
        await until(lambda: not storage.locked)


@pytest.mark.parametrize("kind", ["none", "memory", "slow"])
async def test_the_points_cover_a_renewal_to_its_end(kind: str, clock: FakeClock) -> None:
    """So that the tests below reach every one."""
    storage = storage_for(kind)
    manager = await expired(clock, storage)
    caller = asyncio.create_task(manager.get())
    await turns(len(POINTS) - 4)
    assert caller.done()
    await caller


@pytest.mark.parametrize("others", [0, 2])
@pytest.mark.parametrize("kind", ["none", "memory", "slow"])
async def test_a_caller_cancelled_at_any_point_loses_nothing(
    kind: str, others: int, clock: FakeClock
) -> None:
    """The renewal goes on, the next call has its token, and there was one token request."""
    for point in POINTS:
        storage = storage_for(kind)
        manager = await expired(clock, storage)
        caller = asyncio.create_task(manager.get_token())
        remaining = [asyncio.create_task(manager.get_token()) for _ in range(others)]
        await turns(point)
        caller.cancel()
        await asyncio.wait({caller})
        assert await asyncio.gather(*remaining) == ["access-2"] * others
        assert await manager.get_token() == "access-2"
        assert len(manager.fetches) == 2
        await settled(manager, storage)
        await manager.close()


@pytest.mark.parametrize("kind", ["none", "memory", "slow"])
async def test_a_renewal_cancelled_itself_at_any_point_loses_no_refresh_token(
    kind: str, clock: FakeClock
) -> None:
    """As `asyncio.run` does to every task when the main one ends. Its waiters get a `TokenError`."""
    for point in POINTS:
        storage = storage_for(kind)
        manager = await expired(clock, storage)
        manager.early = False
        caller = asyncio.create_task(manager.get_token())
        await turns(point)
        flight = manager._cache.flights.last
        if flight is not None and flight.task is not None:
            flight.task.cancel()
        said = (await asyncio.gather(caller, return_exceptions=True))[0]
        assert isinstance(said, TokenError) or said == "access-2"
        await settled(manager, storage)
        assert await manager.get_token() in ("access-2", "access-3")
        await manager.close()
        await settled(manager, storage)
        # And whoever comes later finds the one that is good.
        if storage is not None:
            clock.advance(3600)
            later = Rotating(clock, manager.book, token_storage=storage)
            await later.get_token()


@pytest.mark.parametrize("kind", ["none", "memory", "slow"])
async def test_a_manager_closed_at_any_point_loses_no_refresh_token(
    kind: str, clock: FakeClock
) -> None:
    """What may rotate one is let finish, and saved; who waits gets a `TokenError` at once."""
    for point in POINTS:
        storage = storage_for(kind)
        manager = await expired(clock, storage)
        caller = asyncio.create_task(manager.get_token())
        await turns(point)
        await manager.close()
        assert len(asyncio.all_tasks() - {caller}) <= 3
        said = (await asyncio.gather(caller, return_exceptions=True))[0]
        assert isinstance(said, (TokenError, RuntimeError)) or said == "access-2"
        if isinstance(storage, Slow):
            assert not storage.locked
        if storage is not None:
            clock.advance(3600)
            later = Rotating(clock, manager.book, token_storage=storage)
            await later.get_token()


@pytest.mark.parametrize("kind", ["none", "memory", "slow"])
async def test_a_close_cancelled_at_any_point_can_be_repeated(kind: str, clock: FakeClock) -> None:
    """The second one finishes what the first one began."""
    for point in range(0, len(POINTS), 3):
        for late in range(0, 24, 3):
            storage = storage_for(kind)
            manager = await expired(clock, storage)
            caller = asyncio.create_task(manager.get_token())
            await turns(point)
            closing = asyncio.create_task(manager.close())
            await turns(late)
            closing.cancel()
            await asyncio.wait({closing})
            await manager.close()
            await asyncio.wait({caller})
            caller.exception()
            assert manager._cache.flights.current is None
            if storage is not None:
                clock.advance(3600)
                later = Rotating(clock, manager.book, token_storage=storage)
                await later.get_token()


async def test_a_caller_who_waits_for_the_lock_of_another_leaves_it_free(
    clock: FakeClock,
) -> None:
    """The wait goes on behind it, gets the lock, and gives it back."""
    storage = Slow()
    manager = await expired(clock, storage)
    async with storage.lock():
        caller = asyncio.create_task(manager.get_token())
        await turns(10)
        caller.cancel()
        await asyncio.wait({caller})
    assert await manager.get_token() == "access-2"
    await settled(manager, storage)


async def test_a_renewal_cancelled_in_the_wait_for_a_lock_leaves_it_free(
    clock: FakeClock,
) -> None:
    """At each of its points, the one where the lock has just been had included."""
    for point in range(20):
        storage = Slow()
        manager = await expired(clock, storage)
        async with storage.lock():
            caller = asyncio.create_task(manager.get_token())
            await turns(10)
        await turns(point)
        flight = manager._cache.flights.last
        if flight is not None and flight.task is not None:
            flight.task.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        await until(lambda storage=storage: not storage.locked)  # type: ignore[misc]
        async with storage.lock():
            pass


class Refreshing(TokenManager):
    """A flow that uses the refresh token that it has (RFC 6749 section 6)."""

    async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
        if previous is None or previous.refresh_token is None:
            return await super().fetch_token(previous)
        return await self.request_token(
            {"grant_type": "refresh_token", "refresh_token": previous.refresh_token}
        )


async def test_over_sockets_a_caller_cancelled_at_any_point_loses_nothing(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rotated refresh tokens at a real server, one manager throughout."""
    server.issue_refresh_tokens = True
    server.time = clock.time
    storage = TokenStorage()
    async with Refreshing(
        server.token_endpoint, "client-id", "secret", token_storage=storage, clock=clock
    ) as manager:
        await manager.get()
        for point in range(60):
            clock.advance(3600)
            caller = asyncio.create_task(manager.get())
            await turns(point)
            caller.cancel()
            await asyncio.wait({caller})
            assert server.accepts(await manager.get_token())
        assert server.token_requests == 61


async def test_over_sockets_a_client_closed_at_any_point_leaves_nothing(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The next one, with the same storage, goes on where it stopped."""
    server.issue_refresh_tokens = True
    server.time = clock.time
    storage = TokenStorage()
    for point in range(40):
        async with Refreshing(
            server.token_endpoint, "client-id", "secret", token_storage=storage, clock=clock
        ) as manager:
            await manager.get()
            clock.advance(3600)
            caller = asyncio.create_task(manager.get())
            await turns(point)
        await asyncio.gather(caller, return_exceptions=True)
    refused = [request for request in server.log if "client_credentials" in request.body.decode()]
    assert len(refused) == 1  # the very first; after it, every refresh token was there


class SlowDisk(io.FileIO):
    """A file whose second read waits for a word; it is read in threads."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reads, self.go = 0, threading.Event()

    def readinto(self, buffer: Any) -> int | None:
        self.reads += 1
        if self.reads > 1:
            assert self.go.wait(10)
        return super().readinto(buffer)


async def test_a_request_cancelled_while_a_thread_reads_its_file_is_not_sent_again(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """The second sending waits for the thread, which would move the file under it."""
    path = tmp_path / "file"
    path.write_bytes(b"y" * 500_000)
    server.read_rejected = False
    disk = SlowDisk(path)
    async with Client(server.client_id, server.client_secret, server.token_endpoint) as client:
        await client.get(server.resource)
        server.revoke_all()
        posting = asyncio.ensure_future(client.post(server.resource, data=io.BufferedReader(disk)))
        await server.wait_until(lambda: server.rejections == 1)
        await until(lambda: disk.reads > 1)
        await turns(20)
        assert posting.cancel()
        disk.go.set()
        with pytest.raises(asyncio.CancelledError):
            await posting
        while any("write" in repr(task.get_coro()) for task in asyncio.all_tasks()):
            await asyncio.sleep(0)  # until the thread has read
    assert server.resource_requests == 2


@pytest.mark.parametrize("by", ["client", "middleware"])
@pytest.mark.parametrize("read_rejected", [True, False])
async def test_a_request_cancelled_at_any_point_of_a_401_is_not_sent_again(
    by: str, read_rejected: bool, server: AuthorizationServer
) -> None:
    """Nobody waits for it any more. Before Python 3.12 asyncio and aiohttp swallow a cancellation here."""
    server.rejection_body = b"x" * 300_000
    server.read_rejected = read_rejected
    content = b"y" * (200_000 if read_rejected else 4_000_000)
    manager = TokenManager(server.token_endpoint, server.client_id, server.client_secret)
    middleware = OAuth2Middleware(manager, origins=server.url)
    sender: Client | ClientSession
    connector = TCPConnector(limit=1)
    if by == "client":
        sender = Client(token_manager=manager, connector=connector)
    else:
        sender = ClientSession(middlewares=(middleware,), connector=connector)
    async with manager, sender:
        await (await sender.get(server.resource)).read()
        kept: list[BaseException] = []
        for point in range(100):
            await manager.get()
            server.revoke_all()

            async def post() -> None:
                response = await sender.post(server.resource, data=io.BytesIO(content))
                response.close()

            posting = asyncio.create_task(post())
            await turns(point)
            if posting.done():
                break
            posting.cancel()
            with pytest.raises(asyncio.CancelledError) as raised:
                await posting
            kept.append(raised.value)
            posted = server.resource_requests
            await turns(5)
            assert server.resource_requests - posted <= 1  # the first one may have been on its way
        assert point > 5
        # The pool of one is free, though what was raised is still held, and with it every response.
        await (await asyncio.wait_for(sender.get(server.resource), 5)).read()
