"""Many processes behind one client id cost the authorization server one token."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import python
from redis_server import running_redis

from aioalf.testing import AuthorizationServer

PROCESSES, TASKS = 8, 50
LEASE = 1.0  # seconds

# Told on stdin what to do, it says on stdout how that was answered. A client for each server that it
# is told of, so that the processes serve all tests.
WORKER = """
import asyncio, collections, json
from aioalf import Client
from aioalf.storage.file import FileTokenStorage
from aioalf.storage.redis import RedisTokenStorage

async def status(client, resource):
    async with client.get(resource) as response:
        return response.status

async def main():
    clients, storages = {}, []
    while line := await asyncio.to_thread(sys.stdin.readline):
        endpoint, resource, kind, place, lease, tasks = json.loads(line)
        if endpoint not in clients:
            storages.append(
                FileTokenStorage(place) if kind == "file" else RedisTokenStorage(place, lease=lease)
            )
            clients[endpoint] = Client(
                "client-id", "secret", endpoint, token_storage=storages[-1]
            )
        client = clients[endpoint]
        answers = await asyncio.gather(*(status(client, resource) for _ in range(tasks)))
        print(json.dumps(collections.Counter(answers)), flush=True)
    for each in (*clients.values(), *storages):
        await each.close()

asyncio.run(main())
"""

Worker = subprocess.Popen[str]


class Crew:
    """Processes that live as long as they are of use."""

    def __init__(self) -> None:
        self._workers: list[Worker] = []

    def of(self, number: int) -> list[Worker]:
        """So many of them."""
        alive = [worker for worker in self._workers if worker.poll() is None]
        while len(alive) < number:
            alive.append(python(WORKER))
            self._workers.append(alive[-1])
        return alive[:number]

    def dismiss(self) -> None:
        """Have them end in peace, which takes no warning and no error."""
        for worker in self._workers:
            worker.communicate()
        assert {worker.returncode for worker in self._workers} <= {0, -signal.SIGKILL}


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """The processes of this module."""
    made = Crew()
    yield made
    made.dismiss()


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


async def answers(
    server: AuthorizationServer, storage: tuple[str, str], tasks: int, workers: list[Worker]
) -> list[Any]:
    """Have each send so many requests at once; how they were answered."""
    order = [server.token_endpoint, server.resource, *storage, LEASE, tasks]

    def ask(worker: Worker) -> Any:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(json.dumps(order) + "\n")
        worker.stdin.flush()
        return json.loads(worker.stdout.readline() or "null")  # null: it has died

    return await asyncio.gather(*(asyncio.to_thread(ask, worker) for worker in workers))


async def test_eight_processes_of_fifty_tasks_cost_one_token_request(
    crew: Crew, storage: tuple[str, str], server: AuthorizationServer
) -> None:
    """Cold, and one more after each revocation."""
    workers = crew.of(PROCESSES)
    for requests in (1, 2, 3):
        said = await answers(server, storage, TASKS, workers)
        assert said == [{"200": TASKS}] * PROCESSES
        assert server.token_requests == requests
        server.revoke_all()


async def test_when_the_process_that_holds_the_lock_is_killed_the_others_go_on(
    crew: Crew, storage: tuple[str, str], server: AuthorizationServer
) -> None:
    """kill -9 in the midst of its token request; at the latest when the lease has run out."""
    holder, *others = crew.of(4)
    server.stall_next()
    held = asyncio.create_task(answers(server, storage, 5, [holder]))
    await server.wait_until(lambda: server.token_requests == 1)
    waiting = asyncio.create_task(answers(server, storage, 5, others))
    done, _ = await asyncio.wait({waiting}, timeout=0.2)  # that nothing happens cannot be awaited
    assert not done
    assert server.token_requests == 1
    holder.kill()
    assert await held == [None]
    assert await asyncio.wait_for(waiting, 20 * LEASE) == [{"200": 5}] * 3
    assert server.token_requests == 2
