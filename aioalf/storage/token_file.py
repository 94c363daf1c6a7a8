"""The file of `FileTokenStorage`: reading, checking, replacing it. Blocking: for threads."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..clock import Clock
from .record import expires_at_of

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ("TokenFile", "TokenFileError")

logger: logging.Logger = logging.getLogger("aioalf")
_FORMAT = "aio-alf tokens"
_VERSION = 1
_OURS = re.compile(rb'\s*\{\s*"format"\s*:\s*"aio-alf tokens"')
_HEADER = f'{{"format": "{_FORMAT}"'.encode()
_MAX_BYTES = 16 * 2**20  # nobody has that many tokens: what is bigger is something else
_EXPIRED_FOR = 60.0  # seconds after its expiry from which on a token is dropped
_LOCK_WAIT = 10.0  # seconds; this lock is held for the replacing of a small file
_NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_NO_BLOCK: int = getattr(os, "O_NONBLOCK", 0)  # or opening a named pipe would wait for its writer
_BINARY: int = getattr(os, "O_BINARY", 0)


class TokenFileError(Exception):
    """The file cannot be used; the text ends a sentence that begins with its name."""


class NotOurFile(TokenFileError):
    """The file is not ours: left exactly as it is."""


class CorruptFile(TokenFileError):
    """The file is ours, and its content is lost."""


class TokenFile:
    """One token file. Threads and processes may call anything at any time.

    :param path: the file, absolute.
    :param clock: tells which tokens have expired.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._warned: str | None = None

    def load(self, key: str) -> str | None:
        """Return the line of that slot; None, and one warning in the log, if the file is unusable."""
        try:
            tokens = self._read()
        except TokenFileError as error:
            self._warn(error)
            return None
        self._warned = None
        return tokens.get(key)

    def update(self, key: str, line: str | None, cancelled: threading.Event) -> None:
        """Set the line of that slot, or remove it; drop what has expired in the others.

        :param abandoned: once set, nothing is written any more.
        :raises TokenFileError: there is a file and it is not ours.
        :raises OSError: the file cannot be written.
        """
        if line is not None:
            self.make_directory()
        elif not os.path.lexists(self.path):
            return
        with self._locked(cancelled):
            try:
                tokens = self._read()
            except TokenFileError as error:
                if line is None:
                    # There is no token of ours in it that `load` would find.
                    self._warn(error)
                    return
                if isinstance(error, NotOurFile):
                    raise
                self._move_aside(error)
                tokens = {}
            kept = {name: old for name, old in tokens.items() if name != key and self._useful(old)}
            if line is not None:
                kept[key] = line
            if kept != tokens and not cancelled.is_set():
                self._write(kept, cancelled)

    def make_directory(self) -> None:
        """Make the directory if it is missing, closed to others; check it if it is there.

        :raises TokenFileError: others could put their files in place of ours.
        """
        missing: list[Path] = []
        directory = self.path.parent
        while not directory.exists():
            missing.append(directory)
            directory = directory.parent
        for directory in reversed(missing):
            with suppress(FileExistsError):
                directory.mkdir(mode=0o700)
        found = self.path.parent.stat()
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if sys.platform != "win32":
            if found.st_uid not in (os.geteuid(), 0):
                raise NotOurFile("is in a directory that belongs to another user")
            # A group may write: many systems give each user a group of their own, and umask 002.
            if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
                raise NotOurFile(
                    "is in a directory that anybody may write to; give it a directory of its own"
                    " below that one"
                )

    def lock_file(self, name: str | None = None) -> BaseFileLock:
        """Return the lock of that slot, or of the file as a whole: that one is held for moments only."""
        import filelock

        suffix = "lock" if name is None else f"{name}.lock"
        # Taken and released in whichever threads the executor has.
        return filelock.FileLock(f"{self.path}.{suffix}", mode=0o600, thread_local=False)

    @contextmanager
    def _locked(self, cancelled: threading.Event) -> Iterator[None]:
        import filelock

        lock = self.lock_file()
        deadline = self._clock.monotonic() + _LOCK_WAIT
        while True:
            try:
                lock.acquire(blocking=False)
                break
            except filelock.Timeout:
                if cancelled.is_set() or self._clock.monotonic() > deadline:
                    raise NotOurFile("stays locked by another process") from None
                cancelled.wait(0.01)
        try:
            yield
        finally:
            lock.release()

    def _read(self) -> dict[str, str]:
        try:
            if (
                self.path.is_symlink()
            ):  # asked first, for the message, and for systems without O_NOFOLLOW
                raise NotOurFile("is a symbolic link, and is not followed")
            descriptor = os.open(self.path, os.O_RDONLY | _NO_FOLLOW | _NO_BLOCK | _BINARY)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise NotOurFile(f"cannot be read: {_reason(error)}") from error
        try:
            _check(descriptor)
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(_MAX_BYTES + 1)
            try:
                return _parse(data)
            finally:
                if _is_ours(data):  # another program's file keeps its mode
                    self._close_to_others(descriptor)
        except OSError as error:
            raise NotOurFile(f"cannot be read: {_reason(error)}") from error
        finally:
            os.close(descriptor)

    def _close_to_others(self, descriptor: int) -> None:
        if sys.platform != "win32" and os.fstat(descriptor).st_mode & 0o077:
            logger.warning(
                "The token file %r was open to other users of this machine; it is closed to them "
                "now. They may have read the tokens in it.",
                str(self.path),
            )
            os.fchmod(descriptor, 0o600)

    def _write(self, tokens: dict[str, str], cancelled: threading.Event) -> None:
        content = {"format": _FORMAT, "version": _VERSION, "tokens": tokens}
        data = json.dumps(content).encode() + b"\n"
        if len(data) > _MAX_BYTES:
            raise NotOurFile("would grow too large")
        # Always this name, under the lock: what a killed process left is gone at the next save.
        new = self.path.with_name(f"{self.path.name}.aio-alf-new")
        new.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _BINARY
        descriptor = os.open(new, flags, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            if cancelled.is_set():
                return
            os.replace(new, self.path)
            _sync_directory(self.path.parent)
        finally:
            new.unlink(missing_ok=True)

    def _move_aside(self, error: TokenFileError) -> None:
        if not self.path.stat().st_size:
            return
        aside = self.path.with_name(f"{self.path.name}.corrupt-{time.time_ns()}-{os.getpid()}")
        os.rename(self.path, aside)
        logger.warning(
            "The token file %r %s; it is kept as %r, and a new one begun.",
            str(self.path),
            error,
            aside.name,
        )

    def _useful(self, line: str) -> bool:
        until = expires_at_of(line)
        return until is None or until + _EXPIRED_FOR > self._clock.time()

    def _warn(self, error: TokenFileError) -> None:
        if self._warned != str(error):
            self._warned = str(error)
            logger.warning("The token file %r %s; going on without it.", str(self.path), error)


def _check(descriptor: int) -> None:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise NotOurFile("is not a regular file")
    if sys.platform != "win32" and found.st_uid != os.geteuid():
        raise NotOurFile("belongs to another user")


def _is_ours(data: bytes) -> bool:
    # The second case is one of our files cut short, within the very first words.
    return bool(_OURS.match(data)) or (len(data) > 8 and _HEADER.startswith(data))


def _parse(data: bytes) -> dict[str, str]:
    if not data.strip(b"\0 \t\r\n"):
        # Some file systems leave a file of zeros behind when the power fails.
        raise CorruptFile("is empty")
    if len(data) > _MAX_BYTES:
        raise NotOurFile("is not a token file of aio-alf")
    try:
        content: Any = json.loads(data)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        if _is_ours(data):
            raise CorruptFile("is damaged")
        raise NotOurFile("is not a token file of aio-alf")
    if content.get("version") != _VERSION:
        raise NotOurFile("was written by another version of aio-alf")
    tokens = content.get("tokens")
    if not isinstance(tokens, dict):
        raise CorruptFile("is damaged")
    return {key: line for key, line in tokens.items() if isinstance(line, str)}


def _reason(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "it is a symbolic link"
    return error.strerror or type(error).__name__


def _sync_directory(directory: Path) -> None:
    # Else a power failure may undo the replacement, and bring a used refresh token back.
    if sys.platform != "win32":
        with suppress(OSError):
            descriptor = os.open(directory, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
