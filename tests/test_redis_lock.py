"""The lock in a real Redis: one holder at a time, and a dead one only for its lease."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis
import redis.asyncio
from fakes import FakeClock
from processes import holding
from redis_server import running_redis

from aioalf.clock import Clock
from aioalf.errors import TokenStorageError
from aioalf.storage.lease import TimedLease as _Lease
from aioalf.storage.redis import _ACQUIRE, RedisTokenStorage


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
    with holding("from aioalf.storage.redis import RedisTokenStorage", made) as process:
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


async def test_a_lock_whose_answer_was_lost_is_had_when_it_is_asked_for_again(
    storage: RedisTokenStorage,
) -> None:
    """The redis package repeats a command after a lost connection: the owner must not wait for itself."""
    lease = _Lease(1.0, Clock())
    assert await storage._hold(_ACQUIRE, "mine", lease)
    assert await storage._hold(_ACQUIRE, "mine", lease)
    assert not await storage._hold(_ACQUIRE, "another's", lease)
    await storage._release("mine", None)


async def test_a_lease_counts_from_before_the_lock_was_asked_for(
    storage: RedisTokenStorage, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis may have begun it then: at the server it ends no sooner than here."""

    async def slow(*arguments: object) -> int:
        clock.advance(0.75)
        return 1

    monkeypatch.setattr(storage, "_eval", slow)
    lease = _Lease(1.0, clock)
    assert await storage._hold(_ACQUIRE, "mine", lease)
    assert not lease.lost
    clock.advance(0.25)
    assert lease.lost


async def test_a_lease_that_somebody_else_got_is_lost_before_its_time(
    client: redis.asyncio.Redis, prefix: str, clock: FakeClock
) -> None:
    """The extension that is refused says so, at a third of it."""
    storage = RedisTokenStorage(client, prefix=prefix, clock=clock)
    await client.set(f"{prefix}default:lock", "somebody else")
    lease = _Lease(10.0, clock)
    lease.begin(lease.now())
    before = clock.monotonic()
    await storage._keep_extended("mine", lease)
    assert lease.lost
    assert clock.monotonic() - before < 4


async def test_an_extension_that_fails_is_tried_again_soon(
    storage: RedisTokenStorage, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes back to its pace once it has worked, until the lease has run out."""
    answers: list[int | Exception] = [1, OSError("gone"), 1, *[OSError("gone")] * 20]

    async def answer(*arguments: object) -> int:
        if isinstance(said := answers.pop(0), Exception):
            raise said
        return said

    monkeypatch.setattr(storage, "_eval", answer)
    monkeypatch.setattr(storage, "_clock", clock)
    lease = _Lease(1.0, clock)
    lease.begin(lease.now())
    await storage._keep_extended("mine", lease)
    assert clock.sleeps[:6] == pytest.approx([1 / 3, 1 / 3, 0.1, 1 / 3, 0.1, 0.1])
    assert lease.lost


async def test_a_release_that_is_not_answered_ends_with_the_lease(
    client: redis.asyncio.Redis,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever holds the lock goes on; it is free then in any case."""
    storage = RedisTokenStorage(client, prefix=prefix, lease=0.05)

    async def silent(*arguments: object) -> None:
        await asyncio.get_running_loop().create_future()

    async with storage.lock():
        monkeypatch.setattr(storage, "_eval", silent)
    assert "could not be released (TimeoutError)" in caplog.text
    await storage.close()


async def test_a_lock_that_was_not_had_is_told_as_that_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing was held: that it cannot be released either is no news."""
    storage = RedisTokenStorage(f"unix://{tmp_path}/nobody")
    with pytest.raises(TokenStorageError, match="cannot be used"):
        async with storage.lock():
            pass
    await storage.close()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# -- why it is not redis.asyncio.lock.Lock


@asynccontextmanager
async def losing_an_answer(url: str) -> AsyncIterator[tuple[str, int]]:
    """Stand before Redis; cut the first connection on which a lock was asked for, before the answer."""
    cut: list[bool] = []
    serving: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to = await asyncio.open_unix_connection(url.removeprefix("unix://"))
        back = asyncio.ensure_future(pass_on(behind, writer))
        while data := await reader.read(65536):
            last = not cut and (b"\r\nNX\r\n" in data or b"'nx'" in data)
            if last:
                cut.append(True)
                back.cancel()
            to.write(data)
            if last:
                async with redis.asyncio.Redis.from_url(url) as other:
                    while not await other.keys("*lock"):  # until it is done
                        await asyncio.sleep(0.001)
                break
        back.cancel()
        for one in (writer, to):
            one.transport.abort()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.ensure_future(serve(reader, writer)))

    proxy = await asyncio.start_server(begin, "127.0.0.1", 0)
    async with proxy:
        yield proxy.sockets[0].getsockname()
    await asyncio.wait(serving, timeout=5)
    assert cut


async def test_a_lock_is_had_though_its_answer_was_lost(url: str, prefix: str) -> None:
    """The redis package sends the command again, and the server knows the owner."""
    async with losing_an_answer(url) as (host, port):
        async with RedisTokenStorage(f"redis://{host}:{port}", prefix=prefix) as storage:
            lock = storage.lock()
            lease = await asyncio.wait_for(lock.__aenter__(), 5)
            assert lease is not None
            assert not lease.lost
            await lock.__aexit__(None, None, None)


async def test_the_lock_of_the_redis_package_waits_for_itself_if_an_answer_is_lost(
    url: str, prefix: str
) -> None:
    """It has got the lock, is told that it is taken, and would wait for its own lease to end."""
    async with losing_an_answer(url) as (host, port):
        async with redis.asyncio.Redis(host=host, port=port) as client:
            lock = client.lock(f"{prefix}lock", timeout=10)
            assert not await lock.acquire(blocking=False, token="mine")
            assert await client.get(f"{prefix}lock") == b"mine"


async def test_the_lock_of_the_redis_package_stays_taken_if_its_taking_is_cancelled(
    client: redis.asyncio.Redis, prefix: str
) -> None:
    """Ours does not: see the test of a cancelled wait above."""
    left = 0
    for turns in range(15):
        lock = client.lock(f"{prefix}{turns}", timeout=10)
        taking = asyncio.create_task(lock.acquire())
        for _ in range(turns):
            await asyncio.sleep(0)
        taking.cancel()
        await asyncio.wait([taking])
        await asyncio.sleep(0.01)
        left += bool(taking.cancelled() and await client.exists(f"{prefix}{turns}"))
    assert left
