"""One stored refresh token, many processes, and a server that ends all if an old one comes back.

These tests take real time: they are about processes.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from processes import python
from redis_server import running_redis

from aioalf.testing import AuthorizationServer, ReceivedRequest

PROCESSES = 8
LIFE = 1.0  # seconds
LEASE = 1.0  # seconds

# Sends a request each 20 ms until stdin is closed, and says on stdout how they were answered.
WORKER = """
import asyncio, collections, json
from aioalf import Client, RefreshTokenManager
from aioalf.storage.file import FileTokenStorage
from aioalf.storage.redis import RedisTokenStorage

async def main():
    endpoint, resource, seed, kind, place, lease = json.loads(sys.stdin.readline())
    storage = FileTokenStorage(place) if kind == "file" else RedisTokenStorage(place, lease=lease)
    manager = RefreshTokenManager(
        endpoint, "client-id", refresh_token=seed, token_storage=storage
    )
    answers = collections.Counter()
    end = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    async with manager, Client(token_manager=manager) as client:
        while not end.done():
            try:
                async with client.get(resource) as response:
                    answers[str(response.status)] += 1
            except Exception as error:
                answers[repr(error)] += 1
            await asyncio.sleep(0.02)
    await storage.close()
    print(json.dumps(answers), flush=True)

asyncio.run(main())
"""

Worker = subprocess.Popen[str]


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    """A Redis of this module's own."""
    with running_redis() as url:
        yield url


@pytest.fixture(params=["file", "redis"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A kind of storage, and where it is."""
    if request.param == "file":
        return "file", str(tmp_path / "tokens.json")
    return "redis", request.getfixturevalue("redis_url")


@pytest.fixture
async def server() -> AsyncIterator[AuthorizationServer]:
    """Tokens of a second, rotation, and an end of all if an old refresh token comes back."""
    async with AuthorizationServer(allow_public=True, token_lifetime=LIFE) as started:
        yield started


@contextmanager
def working(server: AuthorizationServer, storage: tuple[str, str]) -> Iterator[list[Worker]]:
    """Processes that send requests; those that are left are killed at the end."""
    seed = server.issue_refresh_token()
    order = [server.token_endpoint, server.resource, seed, *storage, LEASE]
    workers = [python(WORKER) for _ in range(PROCESSES)]
    try:
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write(json.dumps(order) + "\n")
            worker.stdin.flush()
        yield workers
    finally:
        for worker in workers:
            if worker.poll() is None:
                os.kill(worker.pid, signal.SIGKILL)
            worker.communicate()


async def ended(workers: list[Worker]) -> Counter[str]:
    """Have them come to their end, and add up what they say."""
    said = await asyncio.gather(*(asyncio.to_thread(worker.communicate) for worker in workers))
    return sum((Counter(json.loads(output)) for output, _ in said), Counter())


def asked(server: AuthorizationServer) -> list[ReceivedRequest]:
    """The token requests so far."""
    return [request for request in server.log if request.kind == "token"]


def refused(server: AuthorizationServer) -> bool:
    """Whether the server has ended the family: then no refresh token of it is left."""
    return not server._grants.tokens._refresh


async def live(server: AuthorizationServer, number: int) -> None:
    """Wait until so many more tokens have been given, and check that there were no more than needed."""
    already, begun = server.token_requests, asyncio.get_running_loop().time()
    await server.wait_until(lambda: server.token_requests >= already + number)
    seconds = asyncio.get_running_loop().time() - begun
    # A token is renewed at two thirds of its life.
    assert number <= seconds / (0.6 * LIFE) + 1, f"{number} token requests in {seconds:.1f} s"


async def test_eight_processes_refresh_once_for_each_life_and_outlive_one_that_is_killed(
    server: AuthorizationServer, storage: tuple[str, str]
) -> None:
    """Rules 28 to 30: twenty lives, every request answered 200, and nobody is signed out.

    Then kill -9 of the one that refreshes: its answer is lost, the server has replaced the refresh token,
    and within the grace period another gets that answer again.
    """
    number = 20 if storage[0] == "file" else 4
    with working(server, storage) as workers:
        await live(server, number)
        forms = [request.form["refresh_token"] for request in asked(server)]
        assert len(set(forms)) == len(forms)
        killed = await kill_in_the_middle_of_a_refresh(server, workers)
        await live(server, 2)
        answers = await ended([worker for worker in workers if worker is not killed])
    assert set(answers) == {"200"}
    assert answers["200"] > number * PROCESSES
    assert not refused(server)
    forms = [request.form["refresh_token"] for request in asked(server)]
    assert len(set(forms)) == len(forms) - 1  # that of the one that was killed


async def kill_in_the_middle_of_a_refresh(
    server: AuthorizationServer, workers: list[Worker]
) -> Worker:
    """Kill the process that refreshes next, while the server still thinks about it."""
    server.refresh_grace, server.latency = 30, 0.3
    before = len(asked(server))
    await server.wait_until(lambda: len(asked(server)) > before)
    port = asked(server)[before].peer_port
    [holder] = [worker for worker in workers if port in ports_of(worker)]
    os.kill(holder.pid, signal.SIGKILL)
    await asyncio.sleep(server.latency)
    server.latency = 0
    return holder


def ports_of(worker: Worker) -> set[int]:
    """The local ports of a process's TCP connections, as Linux tells them."""
    inodes = set()
    for link in Path(f"/proc/{worker.pid}/fd").iterdir():
        target = os.readlink(link)
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    ports = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in inodes:
            ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports
