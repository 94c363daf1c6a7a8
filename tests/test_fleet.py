"""Many managers that share a storage: only the one that fetches holds the lock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from fakes import FakeClock
from managing import manager_for, until
from processes import python
from redis_server import running_redis
from storages import OneSlot

from aioalf import FileTokenStorage, RedisTokenStorage, TokenStorage
from aioalf.testing import AuthorizationServer


class Locked(OneSlot):
    """A storage whose lock another holds for ever."""

    def __init__(self) -> None:
        super().__init__()
        #: How many wait for the lock now.
        self.waiting = 0

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        self.waiting += 1
        try:
            await asyncio.get_running_loop().create_future()
            yield
        finally:
            self.waiting -= 1


async def line_of(server: AuthorizationServer, clock: FakeClock) -> str:
    """What another manager would store: a new token."""
    storage = OneSlot()
    async with manager_for(server, clock, token_storage=storage) as other:
        await other.get()
    assert storage.line is not None
    return storage.line


async def test_a_stored_token_is_taken_without_the_lock(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Another holds it, and has hung; nobody has to wait for that."""
    storage = Locked()
    storage.line = await line_of(server, clock)
    async with manager_for(server, clock, token_storage=storage) as one:
        token = await one.get()
    assert token.access_token in storage.line
    assert storage.waiting == 0


async def test_a_storage_that_answers_slowly_is_asked_once(
    server: AuthorizationServer, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for the first look does not look once more beside it."""
    monkeypatch.setattr("aioalf.storage.guarded._FIRST_LOOK", 0.001)
    line = await line_of(server, clock)
    answer, calls = asyncio.Event(), 0

    class Slow(TokenStorage):
        async def load(self) -> str | None:
            nonlocal calls
            calls += 1
            await answer.wait()
            return line

    async with manager_for(server, clock, token_storage=Slow()) as one:
        getting = asyncio.ensure_future(one.get())
        await until(lambda: calls == 1)
        await asyncio.sleep(0.02)  # many looks could be made
        answer.set()
        assert (await getting).access_token in line
    assert calls == 1


async def test_who_waits_for_the_lock_takes_what_is_stored_meanwhile(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """One of a process waits for it and looks, and the others get the token from that one."""
    storage = Locked()
    managers = [manager_for(server, clock, token_storage=storage) for _ in range(20)]
    waiting = [asyncio.ensure_future(one.get()) for one in managers]
    await until(lambda: storage.waiting == 1)
    storage.line = await line_of(server, clock)
    tokens = await asyncio.gather(*waiting)
    assert {token.access_token for token in tokens} == {json.loads(storage.line)["access_token"]}
    assert storage.waiting == 0
    assert server.token_requests == 1
    assert storage.calls.count("load") <= 5
    for one in managers:
        await one.close()


async def test_a_demand_for_a_new_token_is_not_met_by_what_another_has_found(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """It waits for its turn, and then has a token request of its own."""
    storage = TokenStorage()
    server.latency = 0.05
    one, other = (manager_for(server, clock, token_storage=storage) for _ in range(2))
    getting = asyncio.ensure_future(one.get())
    await until(lambda: server.token_requests == 1)
    await other.reset_token()
    assert (await other.get()).access_token != (await getting).access_token
    assert server.token_requests == 2
    await one.close()
    await other.close()


async def test_what_another_manager_has_found_is_looked_at_like_any_token(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The API of the one that waits has rejected it: that one takes the next."""
    storage = Locked()
    one, other = (manager_for(server, clock, token_storage=storage) for _ in range(2))
    rejected = storage.line = await line_of(server, clock)
    token = await other.get()
    storage.line = None
    getting = asyncio.ensure_future(one.get())
    await until(lambda: storage.waiting == 1)
    renewing = asyncio.ensure_future(other.renew(token))
    storage.line = rejected
    assert (await getting).access_token == token.access_token
    await until(lambda: storage.waiting == 1)
    assert not renewing.done()
    clock.advance(1)
    storage.line = await line_of(server, clock)
    assert (await renewing).access_token == json.loads(storage.line)["access_token"]
    await one.close()
    await other.close()


async def test_a_rejected_token_is_not_taken_while_waiting(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """It stands in the storage until another replaces it."""
    storage = Locked()
    storage.line = await line_of(server, clock)
    async with manager_for(server, clock, token_storage=storage) as one:
        rejected = await one.get()
        renewing = asyncio.ensure_future(one.renew(rejected))
        while not storage.waiting:
            await asyncio.sleep(0)
        loads = len(storage.calls)
        while len(storage.calls) < loads + 2:  # it looks, and looks again
            await asyncio.sleep(0.01)
        assert not renewing.done()
        clock.advance(1)
        storage.line = await line_of(server, clock)
        assert (await renewing).access_token == json.loads(storage.line)["access_token"]


async def test_one_renews_ahead_for_all_whose_clocks_agree(
    server: AuthorizationServer, clock: FakeClock, tmp_path: Path
) -> None:
    """To the millisecond: one token request for each life of the fleet."""
    storage = FileTokenStorage(tmp_path / "tokens")
    managers = [manager_for(server, clock, token_storage=storage) for _ in range(30)]
    await asyncio.gather(*(one.get() for one in managers))
    for life in range(2, 5):
        clock.advance(3600 - 40)
        first = await asyncio.gather(*(one.get() for one in managers))
        assert all(server.accepts(token.access_token) for token in first)
        for one in managers:
            while (flight := one._cache.flights.current) is not None:
                await flight.wait_over()
        tokens = await asyncio.gather(*(one.get() for one in managers))
        assert len({token.access_token for token in tokens}) == 1
        assert server.token_requests == life
    for one in managers:
        await one.close()


async def test_one_renews_ahead_for_all_though_their_clocks_are_30_s_apart(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """One token request for each life, and every token is good, at each moment of two lives."""
    server.time = clock.time
    storage = TokenStorage()
    clocks = [FakeClock() for _ in range(7)]
    for number, each in enumerate(clocks):
        each.jump_wall(clock.time() - each.time() + 5 * number - 15)
    managers = [manager_for(server, each, token_storage=storage) for each in clocks]
    began = clock.time()
    while clock.time() < began + 2 * 3600 - 300:
        tokens = await asyncio.gather(*(one.get() for one in managers))
        assert all(server.accepts(token.access_token) for token in tokens)
        for one in managers:
            if (flight := one._cache.flights.current) is not None:
                await flight.wait_over()
        for each in (clock, *clocks):
            each.advance(7)
    assert server.token_requests == 2
    for one in managers:
        await one.close()


# -- counted by a real Redis

WORKER = """
import asyncio, json
from aioalf import RedisTokenStorage, TokenManager

async def main():
    endpoint, url, number = json.loads(sys.stdin.readline())
    async with RedisTokenStorage(url) as storage:
        managers = [
            TokenManager(endpoint, "client-id", "secret", token_storage=storage)
            for _ in range(number)
        ]
        tokens = await asyncio.gather(*(one.get() for one in managers))
        print(len({token.access_token for token in tokens}), flush=True)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A Redis of this module's own."""
    with running_redis() as url:
        yield url


async def test_a_cold_fleet_costs_one_token_request_and_few_commands_each(redis_url: str) -> None:
    """Four processes of 32 managers: at most 12 commands for each, as Redis counts them."""
    processes, number = 4, 32
    async with AuthorizationServer(latency=0.2) as server:
        workers = [python(WORKER) for _ in range(processes)]
        with redis.Redis.from_url(redis_url) as admin:
            admin.config_resetstat()
            order = json.dumps([server.token_endpoint, redis_url, number])
            outcomes = await asyncio.gather(
                *(asyncio.to_thread(worker.communicate, order + "\n") for worker in workers)
            )
            statistics: Any = admin.info("stats")
        assert [output for output, _ in outcomes] == ["1\n"] * processes
        assert server.token_requests == 1
    assert statistics["total_commands_processed"] <= 12 * processes * number


async def test_who_gives_up_waiting_leaves_no_lock_behind(
    server: AuthorizationServer, clock: FakeClock, redis_url: str
) -> None:
    """It has found the token at a look; the lock is free for the next renewal."""
    async with RedisTokenStorage(redis_url, clock=clock) as storage:
        managers = [manager_for(server, clock, token_storage=storage) for _ in range(5)]
        server.latency = 0.3
        await asyncio.gather(*(one.get() for one in managers))

        async def take() -> None:
            async with storage.for_key(managers[0]._binding()).lock():
                pass

        await asyncio.wait_for(take(), 5)
        for one in managers:
            await one.close()
    assert server.token_requests == 1
