"""A disk or a keyring that hangs holds up one thread, and nothing else of the program."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeClock
from managing import Fetching, manager_for
from storages import Stalling

import aioalf.storage.worker
from aioalf.errors import TokenStorageError
from aioalf.storage.file import FileTokenStorage
from aioalf.storage.worker import DaemonWorker
from aioalf.testing import AuthorizationServer

pytest.importorskip("filelock")


class Impatient(Fetching):
    """A manager that waits for no storage for long."""

    storage_timeout = 0.01
    lock_timeout = 0.01


def workers() -> list[threading.Thread]:
    """The threads that this library has started."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("aio-alf")]


@pytest.fixture
def hanging_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[threading.Event]:
    """Every call for a file of this test hangs until the event is set; as on a dead network disk."""
    free = threading.Event()
    real = {name: getattr(os, name) for name in ("open", "stat", "lstat")}

    def hang(name: str) -> Any:
        def call(path: Any, *args: Any, **options: Any) -> Any:
            if str(path).startswith(str(tmp_path)):
                free.wait(30)
            return real[name](path, *args, **options)

        return call

    for name in real:
        monkeypatch.setattr(os, name, hang(name))
    yield free
    free.set()


async def test_a_disk_that_hangs_takes_one_thread_and_none_of_the_event_loop(
    hanging_disk: threading.Event, clock: FakeClock, tmp_path: Path
) -> None:
    """aiohttp resolves names in the loop's threads: with those gone, no request would go out."""
    before = len(workers())
    storage = FileTokenStorage(tmp_path / "tokens")
    manager = Impatient(clock, token_storage=storage)
    for number in range(1, 10):
        await manager.reset_token()
        assert await manager.get_token() == f"token-{number}"
        clock.advance(61)
    assert len(workers()) <= before + 1
    assert await asyncio.wait_for(asyncio.to_thread(int), 10) == 0
    hanging_disk.set()
    await asyncio.to_thread(storage._worker.submit(int).result)  # all calls before it have ended


async def test_a_call_after_one_that_hangs_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would otherwise wait as long as the first; once that has come back, all is well."""
    monkeypatch.setattr(aioalf.storage.worker, "_STUCK_AFTER", -1.0)
    free, begun = threading.Event(), threading.Event()
    worker = DaemonWorker("disk")
    first = worker.submit(lambda: begun.set() or free.wait(30))  # type: ignore[func-returns-value]
    await asyncio.to_thread(begun.wait, 30)
    with pytest.raises(TokenStorageError, match="The disk does not answer: an earlier call hangs"):
        await worker.run(int)
    free.set()
    await asyncio.wrap_future(first)
    while worker._busy_since is not None:
        await asyncio.sleep(0)
    assert await worker.run(int) == 0


async def test_a_call_that_was_cancelled_before_it_began_is_not_made() -> None:
    """It waits in line behind another."""
    free = threading.Event()
    made: list[int] = []
    worker = DaemonWorker("disk")
    first = asyncio.ensure_future(worker.run(lambda: free.wait(30)))
    second = asyncio.ensure_future(worker.run(lambda: made.append(2)))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait({second})
    free.set()
    await first
    await worker.run(lambda: made.append(3))
    assert made == [3]


def test_a_program_ends_though_its_disk_hangs(tmp_path: Path) -> None:
    """``asyncio.run`` returns, and the interpreter exits, while the call still hangs."""
    program = f"""
        import asyncio, os, threading
        from aioalf import Token, TokenManager, FileTokenStorage
        class M(TokenManager):
            storage_timeout = lock_timeout = 0.05
            async def fetch_token(self, previous): return {{"access_token": "t", "expires_in": 60}}
        async def main():
            storage = FileTokenStorage({str(tmp_path / "t")!r})
            manager = M("https://a.example/token", "id", "s", token_storage=storage)
            real, os.stat = os.stat, lambda *a, **k: threading.Event().wait()
            print(await manager.get_token())
        asyncio.run(main())
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert done.stdout == "t\n"


@pytest.mark.parametrize("method", ["load", "save", "enter"])
async def test_a_storage_that_hung_is_left_alone_for_a_minute(
    method: str, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Callers wait for it once, and not at each renewal."""
    storage = Stalling(method)
    manager = Impatient(clock, token_storage=storage)
    if method == "enter":  # a lock may be busy: only a storage that does not load hangs
        storage.method = "load"
    await manager.get()
    tried = storage.tried
    for _ in range(5):
        await manager.reset_token()
        clock.advance(11)
    assert storage.tried == tried
    clock.advance(60)
    storage.method = None
    await manager.reset_token()
    assert storage.line is not None
    assert sum("left alone" in record.getMessage() for record in caplog.records) == 1
    await manager.close()


async def test_a_lock_is_waited_for_only_while_the_storage_answers(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    """A Redis that was stopped does not keep all callers for a minute."""
    monkeypatch.setattr("aioalf.storage.guarded._FIRST_LOOK", 0.01)

    class Hanging(Stalling):
        async def load(self) -> str | None:
            self.method = "load"
            return await super().load()

    class Patient(Fetching):
        storage_timeout = 0.01
        lock_timeout = 3600.0

    manager = Patient(clock, token_storage=Hanging("enter"))
    assert await manager.get_token() == "token-1"
    await manager.close()


async def test_no_stored_line_is_in_what_asyncio_logs_of_slow_callbacks(
    server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """In debug mode it logs the result of a task whose last step took long."""

    class Slow(Stalling):
        line: str | None = None

        async def load(self) -> str | None:
            return self.line

    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0  # every step is too slow
    server.issue_refresh_tokens = True
    storage = Slow("nothing")
    with caplog.at_level(logging.DEBUG, "asyncio"):
        for _ in range(2):
            async with manager_for(server, token_storage=storage) as manager:
                token = await manager.get()
    loop.set_debug(False)
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name == "asyncio")
    assert "Executing" in logged
    assert token.refresh_token is not None
    assert token.access_token not in logged
    assert token.refresh_token[-11:] not in logged


def test_stored_tokens_are_read_where_bytes_warnings_are_errors(tmp_path: Path) -> None:
    """``python -bb``: nothing compares bytes with text."""
    program = f"""
        import asyncio
        from aioalf import FileTokenStorage, TokenManager, TokenStorage
        fetched = []
        class M(TokenManager):
            async def fetch_token(self, previous):
                fetched.append(1)
                return {{"access_token": "t", "expires_in": 60}}
        async def main():
            for storage in (TokenStorage(), FileTokenStorage({str(tmp_path / "t")!r})):
                for _ in range(2):
                    manager = M("https://a.example/token", "id", "s", token_storage=storage)
                    await manager.get()
                    await manager.close()
            print(len(fetched))
        asyncio.run(main())
        """
    done = subprocess.run(
        [sys.executable, "-bb", "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("2\n", "")


async def test_a_file_system_without_locks_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """filelock raises NotImplementedError there."""
    import filelock

    def acquire(*args: Any, **options: Any) -> None:
        raise NotImplementedError("no flock here")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    storage = FileTokenStorage(tmp_path / "tokens")
    with pytest.raises(TokenStorageError, match="cannot be used: NotImplementedError"):
        await storage.save("line")


def test_a_home_directory_that_cannot_be_found_is_named() -> None:
    """At construction, as an error of this library's."""
    with pytest.raises(TokenStorageError, match="'~nosuchuser/x' is in a home directory"):
        FileTokenStorage("~nosuchuser/x")
