"""`close` ends what runs; nothing is left pending, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientSession
from fakes import FakeClock
from managing import Fetching, manager_for, turns, until
from storages import Broken, OneSlot, Slow

from aioalf.client import Client
from aioalf.errors import TokenError
from aioalf.manager import TokenManager
from aioalf.testing import AuthorizationServer
from aioalf.token import Token


async def test_who_waits_gets_a_token_error_that_says_so(server: AuthorizationServer) -> None:
    """All of them, at once; the token request ends with them."""
    server.stall_next()
    manager = manager_for(server)
    callers = [asyncio.create_task(manager.get()) for _ in range(100)]
    await server.wait_until(lambda: server.token_requests == 1)
    await manager.close()
    for error in await asyncio.gather(*callers, return_exceptions=True):
        assert isinstance(error, TokenError)
        assert "closed while its token was being fetched" in str(error)


async def test_a_client_that_is_closed_tells_its_requests(server: AuthorizationServer) -> None:
    """Also those that wait behind a 401."""
    client = Client(server.client_id, server.client_secret, server.token_endpoint)
    async with client.get(server.resource) as response:
        assert response.status == 200
    server.revoke_all()
    server.stall_next()
    requests = [asyncio.ensure_future(client.get(server.resource)) for _ in range(10)]
    manager = client.token_manager
    await until(
        lambda: (
            manager._cache.flights.last is not None
            and len(manager._cache.flights.last._waiters) == 10
        )
    )
    await client.close()
    for error in await asyncio.gather(*requests, return_exceptions=True):
        assert isinstance(error, TokenError)


Use = Callable[[TokenManager], Awaitable[object]]


@pytest.mark.parametrize(
    "use",
    [
        lambda manager: manager.get(),
        lambda manager: manager.get_token(),
        lambda manager: manager.reset_token(),
        lambda manager: manager.renew(Token("t")),
    ],
    ids=["get", "get_token", "reset_token", "renew"],
)
@pytest.mark.parametrize("fresh", [True, False])
async def test_use_after_close_is_an_error_and_asks_for_no_token(
    use: Use, fresh: bool, server: AuthorizationServer
) -> None:
    """Not even where the token would still be good."""
    manager = manager_for(server)
    if fresh:
        await manager.get()
    await manager.close()
    with pytest.raises(RuntimeError, match="This TokenManager is closed"):
        await use(manager)
    assert server.token_requests == fresh


async def test_close_may_be_called_again_and_by_several_at_a_time(clock: FakeClock) -> None:
    """Whoever is second finds nothing to do."""
    manager = Fetching(clock)
    await manager.get()
    await asyncio.gather(manager.close(), manager.close())
    await manager.close()


async def test_a_manager_that_was_never_used_is_closed_for_nothing(clock: FakeClock) -> None:
    """It has opened nothing."""
    await Fetching(clock).close()


async def test_a_renewal_ahead_ends_with_its_manager(clock: FakeClock) -> None:
    """Nobody waits for it, and nothing is rotated by it."""
    manager = Fetching(clock)
    await manager.get()
    manager.gate = asyncio.Event()
    clock.advance(3535)
    await manager.get()
    await until(lambda: len(manager.fetches) == 2)
    await manager.close()
    assert manager._cache.flights.current is None
    assert len(manager.fetches) == 2


ROTATING = {"access_token": "one", "expires_in": 3600, "refresh_token": "r1"}
ROTATED = {"access_token": "two", "expires_in": 3600, "refresh_token": "r2"}


async def test_a_renewal_that_may_rotate_is_let_finish_and_saved(clock: FakeClock) -> None:
    """Its waiters are sent home at once; the token is in the storage when `close` returns."""
    storage = Slow()
    manager = Fetching(clock, ROTATING, ROTATED, token_storage=storage)
    await manager.get()
    clock.advance(3600)
    manager.gate = asyncio.Event()
    caller = asyncio.create_task(manager.get())
    await until(lambda: len(manager.fetches) == 2)
    closing = asyncio.create_task(manager.close())
    await turns(3)
    assert isinstance(caller.exception(), TokenError)
    assert not closing.done()
    with pytest.raises(RuntimeError):
        await manager.get()
    manager.gate.set()
    await closing
    assert storage.line is not None
    assert '"refresh_token": "r2"' in storage.line
    with pytest.raises(RuntimeError):
        await manager.get()


async def test_a_renewal_that_may_rotate_is_given_so_long_and_no_longer(
    clock: FakeClock,
) -> None:
    """`close_timeout` bounds it."""
    manager = Fetching(clock, ROTATING)
    manager.close_timeout = 0.01
    await manager.get()
    clock.advance(3600)
    manager.gate = asyncio.Event()
    caller = asyncio.create_task(manager.get())
    await turns(3)
    await manager.close()
    assert isinstance(caller.exception(), TokenError)
    assert manager._cache.flights.current is None
    assert len(manager.fetches) == 2


async def test_a_first_token_is_not_waited_for(clock: FakeClock) -> None:
    """There is no refresh token that it could rotate, although it may give one."""
    manager = Fetching(clock, ROTATING)
    manager.gate = asyncio.Event()
    caller = asyncio.create_task(manager.get())
    await turns(3)
    await manager.close()
    assert isinstance(caller.exception(), TokenError)


async def test_a_refresh_token_that_was_not_saved_is_saved_by_close(clock: FakeClock) -> None:
    """The storage works again by then."""
    storage = Broken("save", OSError("disk full"))
    manager = Fetching(clock, ROTATING, token_storage=storage)
    await manager.get()
    assert storage.line is None
    storage.method = None
    await manager.close()
    assert storage.line is not None
    assert '"refresh_token": "r1"' in storage.line


async def test_close_outlasts_a_storage_that_fails(clock: FakeClock) -> None:
    """It tries once more, and that is all."""
    storage = Broken("save", OSError("disk full"))
    manager = Fetching(clock, ROTATING, token_storage=storage)
    await manager.get()
    tried = storage.tried
    await manager.close()
    assert storage.tried <= tried + 2


async def test_a_storage_is_borrowed_and_stays_open(clock: FakeClock) -> None:
    """Whoever made a thing closes it."""
    closed: list[str] = []

    class Closing(OneSlot):
        async def close(self) -> None:
            closed.append("storage")

    manager = Fetching(clock, token_storage=Closing())
    await manager.get()
    await manager.close()
    assert not closed


async def test_a_manager_handed_to_a_client_stays_open(server: AuthorizationServer) -> None:
    """And is closed by whoever made it, with its connection."""
    async with manager_for(server) as manager:
        async with Client(token_manager=manager) as client:
            async with client.get(server.resource) as response:
                assert response.status == 200
        assert await manager.get_token()
    assert server.token_requests == 1


async def test_a_wait_between_two_attempts_ends_with_the_manager(
    server: AuthorizationServer,
) -> None:
    """`token_retries` waits for seconds; `close` does not."""
    server.answer_next(503, {"Retry-After": "50"}, times=100)
    manager = manager_for(server, token_retries=5)
    caller = asyncio.create_task(manager.get())
    await server.wait_until(lambda: server.token_requests == 1)
    await turns(20)
    await manager.close()
    assert isinstance((await asyncio.gather(caller, return_exceptions=True))[0], TokenError)


async def test_an_exception_in_the_body_closes_as_well(server: AuthorizationServer) -> None:
    """`async with` as everywhere."""
    manager = manager_for(server)

    async def fail() -> None:
        async with manager:
            await manager.get()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    with pytest.raises(RuntimeError, match="closed"):
        await manager.get()


async def test_a_renewal_that_has_rotated_nothing_yet_is_not_waited_for(clock: FakeClock) -> None:
    """It waits for the lock of another; that the one before it has rotated is of no account."""
    storage = OneSlot()
    manager = Fetching(clock, ROTATING, ROTATED, token_storage=storage)
    await manager.get()
    clock.advance(3600)
    await manager.get()
    clock.advance(3600)
    async with storage.lock():
        caller = asyncio.create_task(manager.get())
        await turns(10)
        closing = asyncio.create_task(manager.close())
        await turns(50)
        assert closing.done()
    assert isinstance(caller.exception(), TokenError)
    assert len(manager.fetches) == 2


async def test_a_closed_client_sends_nothing_over_a_session_that_it_was_lent(
    server: AuthorizationServer,
) -> None:
    """The session is open, and the token still good."""
    async with ClientSession() as session, manager_for(server) as manager:
        client = Client(token_manager=manager, session=session)
        async with client.get(server.resource) as response:
            assert response.status == 200
        await client.close()
        with pytest.raises(RuntimeError, match="This Client is closed"):
            await client.get(server.resource)
        assert not session.closed
    assert server.resource_requests == 1


async def test_close_saves_after_what_saved_in_the_background_has_ended(clock: FakeClock) -> None:
    """Two at a time could leave the older of two tokens in the storage."""

    class OneAtATime:
        tries = saving = 0
        line: str | None = None

        async def save(self, token: str) -> None:
            self.tries += 1
            if self.tries == 1:
                raise OSError("disk full")
            assert not self.saving, "two at a time"
            self.saving += 1
            try:
                await turns(5)
                self.line = token
            finally:
                await turns(5)
                self.saving -= 1

        def load(self) -> str | None:
            return None

        def clean(self) -> None:
            pass

    storage: Any = OneAtATime()
    manager = Fetching(clock, ROTATING, token_storage=storage)
    await manager.get()
    await until(lambda: storage.saving == 1)
    await manager.close()
    assert storage.saving == 0
    assert storage.line is not None
