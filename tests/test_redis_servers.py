"""`RedisTokenStorage` with a cluster, behind a sentinel, and with a server that was started anew."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis.asyncio
from fakes import FakeClock
from managing import manager_for
from redis.asyncio.sentinel import Sentinel
from redis_server import running_cluster, running_redis, running_sentinel, started

from aioalf.storage.redis import RedisTokenStorage
from aioalf.testing import AuthorizationServer


@pytest.fixture(scope="module")
def cluster_ports() -> Iterator[list[int]]:
    """Three masters."""
    with running_cluster() as ports:
        yield ports


@pytest.fixture
async def cluster(cluster_ports: list[int], clock: FakeClock) -> AsyncIterator[RedisTokenStorage]:
    """A storage over a client of the cluster."""
    async with redis.asyncio.RedisCluster(host="127.0.0.1", port=cluster_ports[0]) as client:
        yield RedisTokenStorage(client, prefix=f"{secrets.token_hex(4)}:", clock=clock)


async def test_every_slot_of_a_cluster_has_its_tokens_and_its_lock(
    cluster: RedisTokenStorage,
) -> None:
    """The keys of two bindings may be on two nodes; a command names one key."""
    slots = [cluster.for_key(f"{number:02x}") for number in range(30)]
    for slot in slots:
        async with slot.lock() as lease:
            assert lease is not None
            await slot.save(f"line of {slot}")
            assert not lease.lost
    assert [await slot.load() for slot in slots] == [f"line of {slot}" for slot in slots]
    for slot in slots:
        await slot.clean()
        assert await slot.load() is None


async def test_managers_that_share_a_cluster_cost_one_token_request(
    cluster: RedisTokenStorage, server: AuthorizationServer, clock: FakeClock
) -> None:
    """Through the same lock as on one server."""
    server.latency = 0.05
    managers = [manager_for(server, clock, token_storage=cluster) for _ in range(20)]
    tokens = await asyncio.gather(*(one.get() for one in managers))
    assert len({token.access_token for token in tokens}) == 1
    assert server.token_requests == 1
    for one in managers:
        await one.close()


async def _is_found(sentinel: Any, port: int) -> bool:
    """Whether the sentinel gives that one as the master."""
    try:
        return int((await sentinel.discover_master("tokens"))[1]) == port
    except redis.ConnectionError:  # it gives none
        return False


async def test_what_a_sentinel_makes_the_master_has_the_token(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The master dies, and the replica takes over; who comes then uses the token that is there."""
    with running_sentinel() as (port, master):
        sentinel: Any = Sentinel([("127.0.0.1", port)])  # type: ignore[no-untyped-call]
        client = sentinel.master_for("tokens")
        storage = RedisTokenStorage(client, clock=clock)
        async with manager_for(server, clock, token_storage=storage) as one:
            token = await one.get()
        watching = sentinel.sentinels[0]
        (replica,) = await watching.sentinel_slaves("tokens")
        async with redis.asyncio.Redis(port=replica["port"]) as behind:
            while not await behind.dbsize():
                await asyncio.sleep(0.01)
        master.kill()
        while not await _is_found(sentinel, replica["port"]):
            await asyncio.sleep(0.02)
        async with manager_for(server, clock, token_storage=storage) as other:
            assert (await other.get()).access_token == token.access_token
            clock.advance(2 * 3600)
            assert (await other.get()).access_token != token.access_token
        assert server.token_requests == 2
        await client.aclose()
        await watching.aclose()


async def test_a_server_that_was_started_anew_is_used_again(
    server: AuthorizationServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What it has forgotten is fetched once more; whoever has a token goes on with it."""
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:
        path = f"{directory}/socket"
        async with RedisTokenStorage(f"unix://{path}", clock=clock) as storage:
            managers = [manager_for(server, clock, token_storage=storage) for _ in range(3)]
            with started(directory, "--port", "0", "--unixsocket", path):
                first = await managers[0].get()
            with started(directory, "--port", "0", "--unixsocket", path):
                second = await managers[1].get()
                assert (await managers[2].get()).access_token == second.access_token
            assert await managers[0].get() is first
            assert server.token_requests == 2
            for one in managers:
                await one.close()
    assert caplog.records == []


async def test_a_lock_that_a_new_server_knows_nothing_of_is_lost() -> None:
    """The next extension finds that out, so its holder does not save over another's token."""
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:
        path = f"{directory}/socket"
        async with RedisTokenStorage(f"unix://{path}", lease=1.0) as storage:
            with started(directory, "--port", "0", "--unixsocket", path):
                lock = storage.lock()
                lease = await lock.__aenter__()
            with started(directory, "--port", "0", "--unixsocket", path):
                assert lease is not None
                while not lease.lost:
                    await asyncio.sleep(0.01)
                await lock.__aexit__(None, None, None)


async def test_a_herd_shares_few_connections(
    server: AuthorizationServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The package's pool has a hundred by default, and gives an error to whoever wants one more."""
    with running_redis() as url:
        async with RedisTokenStorage(url, clock=clock) as storage:
            managers = [manager_for(server, clock, token_storage=storage) for _ in range(300)]
            tokens = await asyncio.gather(*(one.get() for one in managers))
            async with redis.asyncio.Redis.from_url(url) as admin:
                assert len(await admin.client_list()) <= 9
            assert len({token.access_token for token in tokens}) == 1
            for one in managers:
                await one.close()
    assert server.token_requests == 1
    assert caplog.records == []
