"""The file that tokens are kept in: who may read it, and what is never overwritten."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import stat
import threading
from pathlib import Path

import pytest
from fakes import FakeClock

from aioalf.errors import TokenStorageError
from aioalf.storage.file import FileTokenStorage
from aioalf.storage.token_file import TokenFile, TokenFileError

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


def mode(path: Path) -> int:
    """The permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log got, all of which has to be a warning of the storage's."""
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    assert all(record.name == "aioalf" for record in caplog.records)
    return [record.getMessage() for record in caplog.records]


async def test_everything_that_is_made_is_closed_to_others(path: Path) -> None:
    """Whatever the umask: the directory, the token file, and the lock files."""
    before = os.umask(0)
    try:
        storage = FileTokenStorage(path)
        async with storage.lock():
            await storage.save("a line")
    finally:
        os.umask(before)
    assert mode(path.parent) == 0o700
    made = {found.name: mode(found) for found in path.parent.iterdir()}
    assert made == {
        "tokens.json": 0o600,
        "tokens.json.lock": 0o600,
        "tokens.json.default.lock": 0o600,
    }


async def test_loading_and_cleaning_make_nothing(path: Path) -> None:
    """There is nothing to be found, nor to be removed."""
    storage = FileTokenStorage(path)
    await storage.load()
    await storage.clean()
    assert not path.parent.exists()


async def test_a_file_open_to_others_is_closed_with_a_warning(
    written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its tokens may have been read, so its owner is told."""
    written.chmod(0o644)
    assert await FileTokenStorage(written).load() == "a line"
    assert mode(written) == 0o600
    (warning,) = warnings(caplog)
    assert str(written) in warning
    assert "open to other users" in warning


async def test_another_program_s_file_keeps_its_mode(written: Path) -> None:
    """It is left exactly as it is."""
    written.write_text('{"name": "something else"}')
    written.chmod(0o644)
    assert await FileTokenStorage(written).load() is None
    assert mode(written) == 0o644


FOREIGN = {
    "text": b"# settings of another program\n",
    "binary": b"\x89PNG\r\n\x1a\n\xff",
    "json": b'{"format": "something else", "version": 1, "tokens": {}}',
    "list": b"[1, 2]",
    "deep": b"[" * 100_000,
    "newer": OURS.replace(": 1,", ": 2,").encode(),
    "huge": b" " * (16 * 2**20) + OURS.encode(),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
async def test_a_file_that_is_not_ours_is_never_changed(
    content: bytes, written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning that names the file, not its content; no token; an error for what is saved."""
    written.write_bytes(content)
    storage = FileTokenStorage(written)
    assert await storage.load() is None
    assert await storage.for_key("00ff").load() is None
    await storage.clean()
    with pytest.raises(TokenStorageError, match=r"tokens\.json"):
        await storage.save("a line")
    assert written.read_bytes() == content
    (warning,) = warnings(caplog)
    assert str(written) in warning
    assert "settings" not in warning


DAMAGED = {
    "cut short": OURS[:-10].encode(),
    "cut shorter": OURS[:15].encode(),
    "overwritten": OURS.encode() + b"}",
    "no tokens": b'{"format": "aio-alf tokens", "version": 1}',
    "not text": OURS.encode().replace(b"a line", b"\xff"),
    "zeros": b"\0" * 512,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
async def test_a_damaged_file_of_ours_is_kept_aside_and_a_new_one_begun(
    content: bytes, written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Loading it gives a warning and nothing else; what is saved next is kept."""
    written.write_bytes(content)
    storage = FileTokenStorage(written)
    assert await storage.load() is None
    assert len(warnings(caplog)) == 1
    await storage.clean()
    assert written.read_bytes() == content
    await storage.save("new")
    assert await storage.load() == "new"
    (aside,) = written.parent.glob("tokens.json.corrupt-*")
    assert aside.read_bytes() == content
    assert mode(aside) == 0o600
    assert aside.name in warnings(caplog)[-1]


async def test_an_empty_file_is_taken_over(written: Path, caplog: pytest.LogCaptureFixture) -> None:
    """There is nothing in it to be kept: a temporary file made for the purpose, for one."""
    written.write_bytes(b"")
    storage = FileTokenStorage(written)
    assert await storage.load() is None
    await storage.save("new")
    assert await storage.load() == "new"
    assert list(written.parent.glob("*corrupt*")) == []
    assert len(warnings(caplog)) == 1


async def test_an_entry_that_is_no_text_is_nobody_s(written: Path) -> None:
    """The other slots go on."""
    content = json.loads(OURS)
    content["tokens"]["00ff"] = {"not": "a line"}
    written.write_text(json.dumps(content))
    storage = FileTokenStorage(written)
    assert await storage.for_key("00ff").load() is None
    assert await storage.load() == "a line"


async def test_the_same_trouble_is_told_once(
    written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And again when it comes back after it was mended."""
    storage = FileTokenStorage(written)
    for content in ("foreign", "foreign", OURS, "foreign"):
        written.write_text(content)
        await storage.load()
        await storage.load()
    assert len(warnings(caplog)) == 2


async def test_a_symbolic_link_is_not_followed(
    written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither to be read nor to be written, wherever it leads."""
    link = written.parent / "link.json"
    link.symlink_to(written)
    storage = FileTokenStorage(link)
    assert await storage.load() is None
    assert "symbolic link" in warnings(caplog)[0]
    with pytest.raises(TokenStorageError, match="symbolic link"):
        await storage.save("new")
    assert link.is_symlink()
    assert written.read_text() == OURS


@pytest.mark.parametrize("name", ["tokens.json.lock", "tokens.json.default.lock"])
async def test_a_lock_file_that_is_a_symbolic_link_is_refused(name: str, written: Path) -> None:
    """The file it leads to is neither made nor touched."""
    target = written.parent / "target"
    (written.parent / name).symlink_to(target)
    storage = FileTokenStorage(written)
    with pytest.raises(TokenStorageError, match="lock"):
        async with storage.lock():
            await storage.save("new")
    assert not target.exists()
    assert written.read_text() == OURS


async def test_a_file_of_another_user_is_not_used(
    written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever wrote it could have us use a token of theirs."""
    if os.geteuid() == 0:
        os.chown(written, 12345, -1)
    else:
        written = Path("/etc/passwd").resolve()
    storage = FileTokenStorage(written)
    assert await storage.load() is None
    assert "belongs to another user" in warnings(caplog)[0]


async def test_a_named_pipe_is_not_waited_for(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Opening one blocks until somebody writes to it."""
    path.parent.mkdir()
    os.mkfifo(path)
    assert await FileTokenStorage(path).load() is None
    assert "not a regular file" in warnings(caplog)[0]


async def test_a_file_that_cannot_be_read_is_gone_without(
    written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Loading warns, saving says why it failed."""
    storage = FileTokenStorage(written / "below a file")
    assert await storage.load() is None
    assert "cannot be read: Not a directory" in warnings(caplog)[0]
    with pytest.raises(TokenStorageError, match="cannot be used: Not a directory"):
        await storage.save("new")


async def test_a_directory_that_anybody_may_write_to_is_refused(tmp_path: Path) -> None:
    """Others could remove the file there, unless the sticky bit keeps them from it."""
    tmp_path.chmod(0o777)
    storage = FileTokenStorage(tmp_path / "tokens.json")
    with pytest.raises(TokenStorageError, match="anybody may write"):
        await storage.save("a line")
    assert list(tmp_path.iterdir()) == []
    tmp_path.chmod(0o1777)
    await storage.save("a line")


async def test_another_trouble_is_told_as_well(
    written: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not the one that was told before."""
    storage = FileTokenStorage(written)
    for content in ("foreign", OURS[:-10], OURS.replace(": 1,", ": 2,")):
        written.write_text(content)
        await storage.load()
    said = warnings(caplog)
    assert len(said) == 3
    assert ("is not a token file" in said[0], "is damaged" in said[1]) == (True, True)
    assert "another version" in said[2]


async def test_a_directory_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner could put a file of theirs in place of ours."""
    if os.geteuid() == 0:
        os.chown(tmp_path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(TokenStorageError, match="belongs to another user"):
        await FileTokenStorage(tmp_path / "tokens.json").save("a line")
    assert list(tmp_path.iterdir()) == []


async def test_a_save_that_fails_leaves_no_token_beside_the_file(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file goes, and the old one stays as it is."""

    def fail(*paths: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(TokenStorageError, match="Input/output error"):
            await FileTokenStorage(written).save("new")
    assert {path.name for path in written.parent.iterdir()} <= {
        written.name,
        f"{written.name}.lock",
    }
    assert written.read_text() == OURS


async def test_a_save_whose_caller_has_gone_replaces_nothing(
    written: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it was written already: nobody was told that it is saved."""
    abandoned = threading.Event()
    monkeypatch.setattr(os, "fsync", lambda descriptor: abandoned.set())
    await asyncio.to_thread(TokenFile(written, clock).update, "default", "late", abandoned)
    assert abandoned.is_set()
    assert written.read_text() == OURS
    assert not list(written.parent.glob("*new*"))


async def test_a_save_whose_caller_has_gone_does_not_wait_for_the_file(
    written: Path, clock: FakeClock
) -> None:
    """Its thread is given back at once; the clock stands still here."""
    abandoned = threading.Event()
    abandoned.set()
    file = TokenFile(written, clock)
    with file.lock_file(), pytest.raises(TokenFileError, match="stays locked"):
        await asyncio.to_thread(file.update, "default", "late", abandoned)
    assert written.read_text() == OURS
