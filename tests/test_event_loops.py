"""Tokens survive an event loop; sessions, locks and tasks belong to one."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakes import FakeClock
from managing import Fetching, manager_for, turns
from storages import Broken

from aioalf.client import Client
from aioalf.errors import TokenError
from aioalf.storage import TokenStorage
from aioalf.testing import AuthorizationServer


@pytest.fixture
def elsewhere() -> Iterator[AuthorizationServer]:
    """A server in a thread and an event loop of its own."""
    loop, server = asyncio.new_event_loop(), AuthorizationServer()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result()
    yield server
    asyncio.run_coroutine_threadsafe(server.close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def client_for(server: AuthorizationServer, **options: Any) -> Client:
    """A client, made where no loop runs."""
    return Client(server.client_id, server.client_secret, server.token_endpoint, **options)


async def status(client: Client, server: AuthorizationServer) -> int:
    """How a request is answered."""
    async with client.get(server.resource) as response:
        return response.status


def test_a_client_serves_one_asyncio_run_after_the_other(elsewhere: AuthorizationServer) -> None:
    """With the same token; never closed, it leaves no open connection (warnings are errors)."""
    client = client_for(elsewhere)
    for _ in range(3):
        assert asyncio.run(status(client, elsewhere)) == 200
    assert elsewhere.token_requests == 1
    elsewhere.revoke_all()
    assert asyncio.run(status(client, elsewhere)) == 200
    gc.collect()
    assert elsewhere.token_requests == 2


def test_a_manager_serves_one_asyncio_run_after_the_other(elsewhere: AuthorizationServer) -> None:
    """Bare, as old code uses it."""
    manager = manager_for(elsewhere)
    first = asyncio.run(manager.get_token())
    assert asyncio.run(manager.get_token()) == first
    asyncio.run(manager.reset_token())
    assert asyncio.run(manager.get_token()) != first
    gc.collect()
    assert elsewhere.token_requests == 2


def test_a_closed_client_stays_closed_in_the_next_loop(elsewhere: AuthorizationServer) -> None:
    """Closing may happen in a loop of its own, too."""
    client = client_for(elsewhere)
    assert asyncio.run(status(client, elsewhere)) == 200
    asyncio.run(client.close())
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(status(client, elsewhere))


def in_another_running_loop(work: Callable[[], object]) -> object:
    """Run something in a second loop, in a thread, while the first one runs."""
    result: list[object] = []

    def run() -> None:
        try:
            result.append(asyncio.run(work()))  # type: ignore[arg-type]
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return result[0]


def test_two_loops_that_both_run_are_an_error_that_says_so(elsewhere: AuthorizationServer) -> None:
    """A session cannot serve two; the client goes on in its own."""
    client, manager = client_for(elsewhere), manager_for(elsewhere)

    async def main() -> None:
        async with client, manager:
            await status(client, elsewhere)
            await manager.get()
            for use in (lambda: status(client, elsewhere), manager.get, manager.reset_token):
                error = await asyncio.to_thread(in_another_running_loop, use)
                assert isinstance(error, RuntimeError)
                assert "two event loops that both run" in str(error)
            assert await status(client, elsewhere) == 200

    asyncio.run(main())
    assert elsewhere.token_requests == 2


def test_two_loops_in_two_threads_each_with_its_client_share_a_storage(
    elsewhere: AuthorizationServer,
) -> None:
    """One token for both."""
    storage = TokenStorage()
    barrier = threading.Barrier(2)
    said: list[int] = []

    async def work() -> None:
        async with client_for(elsewhere, token_storage=storage) as client:
            said.append(await status(client, elsewhere))
            await asyncio.to_thread(barrier.wait, 10)
            said.append(await status(client, elsewhere))

    threads = [threading.Thread(target=lambda: asyncio.run(work())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [200] * 4
    assert elsewhere.token_requests <= 2  # the lock of the storage in memory is one of a loop


def test_a_back_off_survives_a_loop(clock: FakeClock) -> None:
    """A script that calls `asyncio.run` in a loop does not hammer."""
    manager = Fetching(clock, *[TokenError("down")] * 10)
    for _ in range(6):
        with pytest.raises(TokenError):
            asyncio.run(manager.get())
    assert len(manager.fetches) == 3


def test_a_loop_that_ends_in_the_midst_of_a_renewal_spoils_nothing(clock: FakeClock) -> None:
    """`asyncio.run` cancels what still runs; the next loop asks afresh."""
    manager = Fetching(clock)

    async def leave() -> None:
        manager.gate = asyncio.Event()
        task = asyncio.create_task(manager.get())
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    manager.gate = None
    assert asyncio.run(manager.get_token()).startswith("token-")


def test_a_refresh_token_that_could_not_be_saved_is_saved_in_the_next_loop(
    clock: FakeClock,
) -> None:
    """The attempts go on where the manager does."""
    storage = Broken("save", OSError("disk full"))
    response = {"access_token": "a", "expires_in": 3600, "refresh_token": "r1"}
    manager = Fetching(clock, response, token_storage=storage)

    async def use() -> None:
        await manager.get()
        await asyncio.sleep(0)

    asyncio.run(use())
    assert storage.line is None
    storage.method = None

    async def until_saved() -> None:
        await manager.get()
        while storage.line is None:
            await asyncio.sleep(0)

    asyncio.run(until_saved())


# Nothing can close a connection whose loop is gone; asyncio says so, as it would without this library.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_closed_under_it_leaves_a_client_that_works_in_the_next(
    elsewhere: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """In the midst of a token request, with a connection to the API open."""
    client = client_for(elsewhere)
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(status(client, elsewhere)) == 200
    elsewhere.revoke_all()
    elsewhere.stall_next()

    async def leave() -> asyncio.Task[int]:
        task = asyncio.create_task(status(client, elsewhere))
        while elsewhere.token_requests < 2:
            await asyncio.sleep(0.001)
        return task

    task = loop.run_until_complete(leave())
    loop.set_exception_handler(lambda loop, context: None)  # "destroyed but it is pending"
    loop.close()
    del task, loop
    assert asyncio.run(status(client, elsewhere)) == 200
    asyncio.run(client.close())
    gc.collect()
    assert not [record for record in caplog.records if record.name.startswith("aioalf")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
def test_a_client_built_before_a_fork_works_on_both_sides(
    used: bool, elsewhere: AuthorizationServer
) -> None:
    """As pre-forking servers do, on import. The child does not touch the parent's connections."""
    client = client_for(elsewhere)
    loop = asyncio.new_event_loop()
    if used:
        assert loop.run_until_complete(status(client, elsewhere)) == 200
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a thread is running: the server's
        child = os.fork()
    if child == 0:  # nothing of pytest's may run here
        code = 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                code = 0 if asyncio.run(status(client, elsewhere)) == 200 else 2
                gc.collect()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert loop.run_until_complete(status(client, elsewhere)) == 200
    assert elsewhere.connections <= 2 + 2  # token and API, on each side
    loop.run_until_complete(client.close())
    loop.close()
    assert elsewhere.token_requests == (1 if used else 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_that_forgets_the_loop_of_its_parent_does_not_disturb_it(
    elsewhere: AuthorizationServer,
) -> None:
    """Collecting it would take the sockets out of the epoll that both share, for the parent too."""
    client = client_for(elsewhere)
    loops = [asyncio.new_event_loop()]
    elsewhere.latency = 0.2

    async def begin(requests: int) -> asyncio.Task[int]:
        task = asyncio.create_task(status(client, elsewhere))
        while elsewhere.token_requests < requests:
            await asyncio.sleep(0.001)
        return task

    assert loops[0].run_until_complete(status(client, elsewhere)) == 200
    elsewhere.revoke_all()
    tasks = [loops[0].run_until_complete(begin(2))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            loops.clear()
            tasks.clear()
            for _ in range(2):
                code = 0 if asyncio.run(status(client, elsewhere)) == 200 else 2
                gc.collect()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert loops[0].run_until_complete(asyncio.wait_for(tasks[0], 5)) == 200
    loops[0].run_until_complete(client.close())
    loops[0].close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_client_forked_while_its_loop_runs_works_in_the_child(
    elsewhere: AuthorizationServer,
) -> None:
    """In the midst of a token request; the child is in no loop that runs, although it looks so."""
    client = client_for(elsewhere)
    children: list[int] = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if asyncio.run(status(client, elsewhere)) == 200 else 2
                gc.collect()
            finally:
                os._exit(code)
        children.append(child)

    async def main() -> None:
        async with client:
            elsewhere.latency = 0.05
            request = asyncio.create_task(status(client, elsewhere))
            while elsewhere.token_requests < 1:
                await asyncio.sleep(0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                await asyncio.to_thread(fork)
            assert await request == 200
            assert await status(client, elsewhere) == 200
            ended = await asyncio.to_thread(os.waitpid, children[0], 0)
            assert os.waitstatus_to_exitcode(ended[1]) == 0
            assert await status(client, elsewhere) == 200

    asyncio.run(main())
    assert elsewhere.token_requests == 2


def test_two_loops_that_take_turns_are_none_that_both_run(clock: FakeClock) -> None:
    """Neither is closed, as in a notebook or with one loop for each kind of work."""
    manager = Fetching(clock)
    loops = [asyncio.new_event_loop() for _ in range(2)]
    tokens = [loop.run_until_complete(manager.get_token()) for loop in loops * 2]
    assert tokens == ["token-1"] * 4
    for loop in loops:
        loop.close()


def test_a_token_that_a_closed_loop_could_not_save_is_saved_in_the_next(clock: FakeClock) -> None:
    """What tried it still looks as if it ran."""

    class WithoutLock:
        line: str | None = None
        failing = True

        def save(self, token: str) -> None:
            if self.failing:
                raise OSError("disk full")
            self.line = token

        def load(self) -> str | None:
            return self.line

        def clean(self) -> None:
            self.line = None

    storage: Any = WithoutLock()
    response = {"access_token": "a", "expires_in": 3600, "refresh_token": "r1"}
    manager = Fetching(clock, response, token_storage=storage)

    async def use() -> None:
        await manager.get()
        await turns(4)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    assert manager._cache.stored is not None
    stuck = manager._cache.stored._saving
    assert stuck is not None
    loop.set_exception_handler(lambda loop, context: None)  # "destroyed but it is pending"
    loop.close()
    storage.failing = False

    async def until_saved() -> None:
        await manager.get()
        for _ in range(50):
            await asyncio.sleep(0)

    asyncio.run(until_saved())
    assert storage.line is not None
    assert not stuck.done()
    del stuck
    gc.collect()
