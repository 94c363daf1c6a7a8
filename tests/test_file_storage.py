"""Tokens in a file: what is kept, what is dropped, who waits for whom."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path

import filelock
import platformdirs
import pytest
from fakes import FakeClock
from processes import holding, python

from aioalf.clock import Clock
from aioalf.errors import TokenStorageError
from aioalf.storage.file import FileTokenStorage
from aioalf.storage.token_file import TokenFile

OURS = '{"format": "aio-alf tokens", "version": 1, "tokens": {"default": "a line"}}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A place for a token file, where none is yet."""
    return tmp_path / "state" / "tokens.json"


@pytest.fixture
def written(path: Path) -> Path:
    """A token file, as it should be, with one line in it."""
    path.parent.mkdir(mode=0o700)
    path.write_text(OURS)
    path.chmod(0o600)
    return path


async def test_what_was_saved_is_loaded_until_it_is_cleaned(path: Path) -> None:
    """By another storage object, too."""
    storage = FileTokenStorage(path)
    assert await storage.load() is None
    await storage.save("a line")
    assert await FileTokenStorage(str(path)).load() == "a line"
    await storage.clean()
    assert await storage.load() is None


async def test_the_file_says_what_it_is(path: Path) -> None:
    """Its format is a contract with later versions."""
    await FileTokenStorage(path).save("a line")
    await FileTokenStorage(path).for_key("00ff").save("another")
    assert json.loads(path.read_text()) == {
        "format": "aio-alf tokens",
        "version": 1,
        "tokens": {"default": "a line", "00ff": "another"},
    }


async def test_the_slots_of_one_file_are_independent(path: Path) -> None:
    """Many clients keep their tokens in one file."""
    storage = FileTokenStorage(path)
    one, two = storage.for_key("00ff"), storage.for_key("11ee")
    await one.save("one")
    await two.save("two")
    await one.clean()
    assert [await one.load(), await two.load(), await storage.load()] == [None, "two", None]


async def test_any_line_comes_back_as_it_was(path: Path) -> None:
    """Whatever the encoding of the machine, and however odd the line."""
    line = '{"a": "\\u0000 \u00fc \u2028 \ud800"}'
    await FileTokenStorage(path).save(line)
    assert await FileTokenStorage(path).load() == line


async def test_an_odd_key_names_no_other_file(path: Path) -> None:
    """A key becomes part of the name of a lock file."""
    storage = FileTokenStorage(path).for_key("../../escaped")
    async with storage.lock():
        await storage.save("a line")
    assert await FileTokenStorage(path).for_key("../../escaped").load() == "a line"
    assert {found.parent for found in path.parent.parent.rglob("*lock")} == {path.parent}


def test_the_default_place_is_the_user_s_state_directory() -> None:
    """As the system says where that is. Nothing is made before there is something to save."""
    expected = platformdirs.user_state_path("aio-alf") / "tokens.json"
    assert FileTokenStorage().path == expected


def test_the_path_is_absolute_and_a_tilde_expanded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that changes its directory goes on with the same file."""
    monkeypatch.chdir(tmp_path)
    assert FileTokenStorage("tokens.json").path == tmp_path / "tokens.json"
    assert FileTokenStorage("~/tokens.json").path == Path.home() / "tokens.json"


def test_the_representation_names_the_file(path: Path) -> None:
    """And nothing of what is in it."""
    assert repr(FileTokenStorage(path)) == f"<FileTokenStorage {str(path)!r}>"


@pytest.mark.parametrize("package", ["filelock", "platformdirs"])
def test_a_missing_package_is_named_with_the_command_to_install_it(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At construction, not at the first token."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(TokenStorageError, match=r'pip install "aio-alf\[file\]"'):
        FileTokenStorage()


async def test_what_a_killed_process_left_behind_is_replaced(written: Path) -> None:
    """The new content is written beside the file, under a name that is always the same."""
    await FileTokenStorage(written).save("one")
    (written.parent / "tokens.json.aio-alf-new").write_text("half a fi")
    await FileTokenStorage(written).save("two")
    assert await FileTokenStorage(written).load() == "two"
    assert not (written.parent / "tokens.json.aio-alf-new").exists()


async def test_a_save_drops_expired_tokens_of_other_slots(path: Path, clock: FakeClock) -> None:
    """Not those with a refresh token (RFC 6749 section 6), nor those of unknown expiry."""
    storage = FileTokenStorage(path, clock=clock)
    lines = {
        "expired": {"expires_at": clock.time() - 61},
        "fresh": {"expires_at": clock.time() - 59},
        "refreshable": {"expires_at": clock.time() - 999, "refresh_token": "r"},
        "unknown": {"expires_at": None},
    }
    path.parent.mkdir()
    for key, line in lines.items():
        await storage.for_key(key).save(json.dumps(line))
    await storage.save("bare")
    left = json.loads(path.read_text())["tokens"]
    assert sorted(left) == ["default", "fresh", "refreshable", "unknown"]


async def test_a_file_does_not_grow_beyond_what_can_be_read(path: Path) -> None:
    """The line that would is refused, and the file stays as it was."""
    storage = FileTokenStorage(path)
    await storage.save("a line")
    with pytest.raises(TokenStorageError, match="too large"):
        await storage.save("x" * (16 * 2**20))
    assert await storage.load() == "a line"


async def test_a_cancelled_save_does_not_write_later(written: Path) -> None:
    """Its caller was told that nothing was saved, and somebody else may save now."""
    storage = FileTokenStorage(written)
    with TokenFile(written, Clock()).lock_file():
        save = asyncio.create_task(storage.save("late"))
        await asyncio.sleep(0)
        save.cancel()
        await asyncio.wait([save])
    await asyncio.get_running_loop().shutdown_default_executor()
    assert written.read_text() == OURS


async def test_a_file_that_stays_locked_is_an_error_in_the_end(
    written: Path, clock: FakeClock
) -> None:
    """The lock of the file as a whole is held for moments only."""
    storage = FileTokenStorage(written, clock=clock)
    with filelock.FileLock(f"{written}.lock"):
        save = asyncio.create_task(storage.save("late"))
        while not save.done():
            clock.advance(1)
            await asyncio.sleep(0)
        with pytest.raises(TokenStorageError, match="stays locked"):
            await save


async def test_saves_from_many_threads_are_all_kept(path: Path) -> None:
    """Each reads, changes and replaces the whole file."""

    def work(number: int) -> None:
        asyncio.run(FileTokenStorage(path).for_key(f"key{number}").save(f"line {number}"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    expected = {f"key{number}": f"line {number}" for number in range(12)}
    assert json.loads(path.read_text())["tokens"] == expected


def test_saves_from_many_processes_are_all_kept(path: Path) -> None:
    """Each reads, changes and replaces the whole file."""
    code = """
import asyncio, sys
from aioalf.storage.file import FileTokenStorage

async def main(path, name):
    storage = FileTokenStorage(path)
    await asyncio.gather(*(storage.for_key(f"{name}x{i}").save(name) for i in range(8)))

asyncio.run(main(*sys.argv[1:]))
"""
    processes = [python(code, str(path), name) for name in "abcd"]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert len(json.loads(path.read_text())["tokens"]) == 32


async def hold(storage: FileTokenStorage, inside: list[int]) -> None:
    """Be alone in the lock of the storage for a few turns of the loop."""
    async with storage.lock() as lease:
        assert lease is None
        inside.append(1)
        assert len(inside) == 1
        await asyncio.sleep(0)
        inside.pop()


async def test_holders_of_one_slot_s_lock_exclude_each_other(path: Path, clock: FakeClock) -> None:
    """Whether they share the storage object or only the file."""
    shared = FileTokenStorage(path, clock=clock)
    inside: list[int] = []
    storages = [shared, shared, shared.for_key("default"), FileTokenStorage(path, clock=clock)]
    await asyncio.gather(*(hold(storage, inside) for storage in storages))


async def test_the_locks_of_two_slots_are_two(path: Path) -> None:
    """And a renewal keeps nobody from saving another token."""
    storage = FileTokenStorage(path)
    async with storage.for_key("00ff").lock(), storage.for_key("11ee").lock(), storage.lock():
        await storage.for_key("22dd").save("a line")


async def test_a_wait_for_the_lock_that_is_cancelled_leaves_nothing_held(
    path: Path, clock: FakeClock
) -> None:
    """Wherever it is cancelled: on its way in, in a thread, or while it waits for its turn."""
    storage = FileTokenStorage(path, clock=clock)
    for turns in range(12):
        taking = asyncio.create_task(hold(storage, []))
        for _ in range(turns):
            await asyncio.sleep(0)
        taking.cancel()
        await asyncio.wait([taking])
        await asyncio.wait_for(hold(storage, []), 10)
    async with storage.lock():
        waiting = asyncio.create_task(hold(FileTokenStorage(path, clock=clock), []))
        while not clock.sleeps:
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    await asyncio.wait_for(hold(storage, []), 10)


async def test_a_process_that_holds_the_lock_keeps_others_out_until_it_is_killed(
    path: Path,
) -> None:
    """The operating system ends the lock with the process, even one that is killed."""
    waited = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waited.set()
        await asyncio.sleep(0)

    storage = FileTokenStorage(path, clock=Clock(sleep=sleep))
    imports = "from aioalf.storage.file import FileTokenStorage"
    with holding(imports, f"FileTokenStorage({str(path)!r})") as process:
        waiting = asyncio.create_task(hold(storage, []))
        await waited.wait()
        assert not waiting.done()
        os.kill(process.pid, signal.SIGKILL)
        await asyncio.wait_for(waiting, 10)


async def test_the_lock_is_released_when_the_loop_s_threads_are_gone(path: Path) -> None:
    """As in a task that is cancelled while the loop is being closed."""
    async with FileTokenStorage(path).lock():
        await asyncio.get_running_loop().shutdown_default_executor()
    with filelock.FileLock(f"{path}.default.lock", blocking=False):
        pass
