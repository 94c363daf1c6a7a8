"""The lock in a real Redis: one holder at a time, and a dead one only for its lease."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import redis
import redis.asyncio
from fakes import FakeClock
from processes import holding
from redis_server import running_redis

from aioalf.clock import Clock
from aioalf.redis_storage import RedisTokenStorage


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """Where the Redis of these tests listens."""
    with running_redis() as started:
        yield started


@pytest.fixture
def prefix() -> str:
    """What the keys of this test begin with: the server is shared, its content is not."""
    return f"{secrets.token_hex(4)}:"


@pytest.fixture
async def client(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of the test's own."""
    async with redis.asyncio.Redis.from_url(url) as connected:
        yield connected


@pytest.fixture
async def storage(client: redis.asyncio.Redis, prefix: str) -> AsyncIterator[RedisTokenStorage]:
    """A storage over that client, with a lease short enough to be seen running out."""
    made = RedisTokenStorage(client, prefix=prefix, lease=1.0)
    yield made
    await made.close()


async def hold(storage: RedisTokenStorage, inside: list[int]) -> None:
    """Be alone in the lock of the storage for a while."""
    async with storage.lock() as lease:
        inside.append(1)
        assert len(inside) == 1
        await storage.load()
        assert lease is not None
        assert not lease.lost
        inside.pop()


async def test_holders_of_one_slot_s_lock_exclude_each_other(
    storage: RedisTokenStorage, url: str, prefix: str
) -> None:
    """Whether they share the storage object or only the server."""
    other = RedisTokenStorage(url, prefix=prefix)
    inside: list[int] = []
    await asyncio.gather(*(hold(each, inside) for each in [storage, other] * 3))
    await other.close()


async def test_the_locks_of_two_slots_are_two(storage: RedisTokenStorage) -> None:
    """One held lock keeps nobody from another."""
    async with storage.for_key("00ff").lock(), storage.for_key("11ee").lock():
        pass


async def test_the_lock_is_gone_from_redis_when_it_is_released(
    storage: RedisTokenStorage, client: redis.asyncio.Redis, prefix: str
) -> None:
    """And its lease is over."""
    async with storage.lock() as lease:
        assert lease is not None
        assert await client.exists(f"{prefix}default:lock")
        assert not lease.lost
    assert not await client.exists(f"{prefix}default:lock")
    assert lease.lost


async def test_a_lease_is_extended_while_it_is_held(
    storage: RedisTokenStorage, client: redis.asyncio.Redis, prefix: str
) -> None:
    """Seen by what is left of it growing, more than once."""
    async with storage.lock() as lease:
        grown, left = 0, await client.pttl(f"{prefix}default:lock")
        while grown < 2:
            now = await client.pttl(f"{prefix}default:lock")
            grown += now > left
            left = now
        assert lease is not None
        assert not lease.lost


async def test_a_lease_that_somebody_else_got_is_lost_and_left_to_them(
    storage: RedisTokenStorage, client: redis.asyncio.Redis, prefix: str
) -> None:
    """The next extension finds it out, and the release takes nothing away."""
    async with storage.lock() as lease:
        await client.set(f"{prefix}default:lock", "somebody else")
        assert lease is not None
        while not lease.lost:
            await asyncio.sleep(0.01)
    assert await client.get(f"{prefix}default:lock") == b"somebody else"


@pytest.mark.parametrize("suspended", [False, True])
async def test_a_lease_that_was_not_extended_in_time_is_lost(
    suspended: bool, client: redis.asyncio.Redis, prefix: str, clock: FakeClock
) -> None:
    """By either clock: the monotonic one stands still while a machine is suspended."""
    never = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await never.wait()

    stopped = Clock(clock.monotonic, clock.time, sleep)
    storage = RedisTokenStorage(client, prefix=prefix, clock=stopped)
    async with storage.lock() as lease:
        assert lease is not None
        seen = [lease.lost]
        clock.advance(9.9)
        seen.append(lease.lost)
        (clock.jump_wall if suspended else clock.jump_monotonic)(0.1)
        seen.append(lease.lost)
    assert seen == [False, False, True]
    await storage.close()


async def test_a_wait_for_the_lock_that_is_cancelled_leaves_nothing_held(
    storage: RedisTokenStorage, client: redis.asyncio.Redis, prefix: str
) -> None:
    """Redis may give the lock to somebody who has just gone: then it is given back."""
    for turns in range(15):
        taking = asyncio.create_task(hold(storage, []))
        for _ in range(turns):
            await asyncio.sleep(0)
        taking.cancel()
        await asyncio.wait([taking])
        await storage.close()  # waits for what goes on in the background
        assert not await client.exists(f"{prefix}default:lock")
    async with storage.lock():
        waiting = asyncio.create_task(hold(storage, []))
        for _ in range(15):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await storage.close()
        assert await client.exists(f"{prefix}default:lock")


async def test_a_process_that_holds_the_lock_keeps_others_out_until_it_is_killed(
    storage: RedisTokenStorage, url: str, prefix: str
) -> None:
    """Its lease runs out: nobody waits for the dead longer than that."""
    made = f"RedisTokenStorage({url!r}, prefix={prefix!r}, lease=1.5)"
    with holding("from aioalf.redis_storage import RedisTokenStorage", made) as process:
        waiting = asyncio.create_task(hold(storage, []))
        await asyncio.wait([waiting], timeout=2.0)
        assert not waiting.done()  # it is alive, and extends its lease
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.wait_for(waiting, 1.5 + 3.0)  # and a slow machine


async def test_a_lock_that_cannot_be_released_is_told_and_no_error(
    client: redis.asyncio.Redis, prefix: str, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The token is saved; the lease ends by itself."""
    user = prefix[:-1]
    await client.acl_setuser(user, enabled=True, nopass=True, commands=["+@all"], keys=["*"])
    storage = RedisTokenStorage(f"unix://{user}:-@{url.removeprefix('unix://')}", prefix=prefix)
    async with storage.lock():
        await client.acl_setuser(user, commands=["-eval"])
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "could not be released (NoPermissionError)" in record.getMessage()
    await storage.close()
