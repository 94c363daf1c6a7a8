"""`FileTokenStorage`: tokens in a file, shared by processes. Needs ``aio-alf[file]``."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import os
import random
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from ..clock import Clock
from ..errors import TokenStorageError
from .base import Lease, TokenStorage
from .token_file import TokenFile, TokenFileError
from .worker import DaemonWorker

__all__ = ("FileTokenStorage",)

_INSTALL = 'FileTokenStorage needs more: pip install "aio-alf[file]"'
_CLOCK = Clock()
_POLL = 0.5  # seconds between two attempts at a lock that another holds, at most

_T = TypeVar("_T")


class FileTokenStorage(TokenStorage):
    """Keeps tokens in one JSON file that any number of processes and clients may share.

    The file is readable by its owner only and replaced atomically; a directory that has to be made
    is closed to others too. A file that is a symbolic link, belongs to another user or was not
    written by this class is never used nor overwritten: `load` then logs one warning and returns
    None, `save` raises. A file of this class that has been damaged is moved aside.

    Renewal is locked per slot, by a lock file beside the token file that stays there, empty. The
    operating system ends the lock with the process that holds it, however that ends. All file access is
    done in a thread of the storage's own, which the program does not wait for: a file system that hangs
    holds up nothing else. A call that is cancelled before it has written does not write any more.

    :param path: the file; a ``~`` is expanded. By default ``tokens.json`` in the user's state
        directory for ``aio-alf``.
    :param clock: tells which tokens have expired, and waits for locks.
    :raises TokenStorageError: a package is missing; the message says how to install it.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, clock: Clock = _CLOCK
    ) -> None:
        try:
            import filelock  # noqa: F401

            if path is None:
                import platformdirs

                path = platformdirs.user_state_path("aio-alf") / "tokens.json"
        except ImportError as error:
            raise TokenStorageError(_INSTALL) from error
        # Absolute from here on: a later chdir does not make it another file.
        try:
            full = Path(path).expanduser().absolute()
        except RuntimeError as error:
            raise TokenStorageError(
                f"The token file {str(path)!r} is in a home directory that cannot be found."
            ) from error
        self._file = TokenFile(full, clock)
        self._worker = DaemonWorker(f"token file {str(full)!r}")
        self._clock = clock
        self._key = "default"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {str(self.path)!r}>"

    @property
    def path(self) -> Path:
        """The file, as an absolute path."""
        return self._file.path

    def for_key(self, key: str) -> FileTokenStorage:
        """Return the slot of one binding, in the same file. See `TokenStorage.for_key`."""
        slot = copy.copy(self)
        # A key names a lock file, too.
        plain = key.isascii() and key.isalnum()
        slot._key = key if plain else hashlib.sha256(key.encode()).hexdigest()
        return slot

    async def save(self, token: str) -> None:
        """Keep this line; expired tokens of other slots are dropped on the way.

        :param token: one line of text.
        :raises TokenStorageError: the file is not one of ours, or cannot be written.
        """
        await self._in_thread(lambda cancelled: self._file.update(self._key, token, cancelled))

    async def load(self) -> str | None:
        """Return the line of this slot; None, with a warning in the log, if the file cannot be used."""
        return await self._in_thread(lambda cancelled: self._file.load(self._key))

    async def clean(self) -> None:
        """Forget the line of this slot. A file that is not one of ours is left alone.

        :raises TokenStorageError: the file cannot be written.
        """
        await self._in_thread(lambda cancelled: self._file.update(self._key, None, cancelled))

    def lock(self) -> AbstractAsyncContextManager[Lease | None]:
        """Return the lock of this slot, among all tasks, threads and processes that use the same file.

        It cannot be lost while it is held, so there is no `Lease`: the context manager gives None.

        :raises TokenStorageError: on entry, if the lock file cannot be made.
        """
        return self._lock()

    @asynccontextmanager
    async def _lock(self) -> AsyncIterator[None]:
        hold = _FileLock(self._file, self._key[:16])
        try:
            while not await self._in_thread(lambda cancelled: hold.attempt()):
                await self._clock.sleep(random.uniform(_POLL / 2, _POLL))
            yield
        finally:
            # After an attempt that a cancelled caller has left behind, and whether or not this one is
            # cancelled too.
            await asyncio.shield(asyncio.wrap_future(self._worker.submit(hold.release)))

    async def _in_thread(self, work: Callable[[threading.Event], _T]) -> _T:
        cancelled = threading.Event()
        try:
            return await self._worker.run(lambda: work(cancelled))
        except TokenFileError as error:
            raise TokenStorageError(f"The token file {str(self.path)!r} {error}") from error
        except (OSError, NotImplementedError) as error:
            # A file system without locks is a NotImplementedError to filelock.
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise TokenStorageError(
                f"The token file {str(self.path)!r}, or its lock, cannot be used: {reason}"
            ) from error
        finally:
            cancelled.set()


class _FileLock:
    """Holds a file lock once, by attempts and a release that may each run in any thread."""

    def __init__(self, file: TokenFile, name: str) -> None:
        self._file = file
        self._lock = file.lock_file(name)
        self._mutex = threading.Lock()
        self._over = False

    def attempt(self) -> bool:
        """Take the lock unless another has it; never waits. After `release`, takes nothing."""
        import filelock

        with self._mutex:
            if self._over:
                return False
            self._file.make_directory()
            try:
                self._lock.acquire(blocking=False)
            except filelock.Timeout:
                return False
            return True

    def release(self) -> None:
        """Give the lock back, if it was taken."""
        with self._mutex:
            self._over = True
            self._lock.release()
