"""`GuardedStorage`: one slot of a `TokenStorage`, as a manager uses it.

A storage is other people's code, or a disk, or a network: here each call to it is bounded in time, and
whatever it raises or gives back, the manager goes on without it. The log says once what failed, and
again only after it has worked in between.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, TypeVar

from ..errors import TokenError
from ..redaction import redact
from ..token import Token
from .base import Lease, TokenStorage
from .record import read_line, write_line

__all__ = ("GuardedStorage",)

logger = logging.getLogger("aioalf")

T = TypeVar("T")


class GuardedStorage:
    """The slot that a storage has for one binding.

    :param storage: the storage; borrowed, never closed here.
    :param binding: what the tokens are bound to, hashed.
    :param patience: seconds to wait for `load`, `save`, `clean` and a release.
    """

    def __init__(self, storage: TokenStorage, binding: str, patience: float) -> None:
        self._storage = storage
        self._binding = binding
        self._patience = patience
        self._slot: Any = None  # whatever for_key gives: a storage, or something shaped like one
        self._failing: set[str] = set()

    async def load(self) -> Token | None:
        """Give the token that is stored, or None where there is none of ours, or none can be had."""
        try:
            line = await self._call("load")
            token = read_line(line, self._binding)
        except Exception as error:
            self._log_failure_once("load", error)
            return None
        self._failing.discard("load")
        return token

    async def save(self, token: Token) -> bool:
        """Store a token; False where that failed."""
        line = write_line(token, self._binding)
        try:
            await self._call("save", line)
        except Exception as error:
            self._log_failure_once("save", error, token)
            return False
        self._failing.discard("save")
        return True

    async def clean(self) -> None:
        """Forget the stored token."""
        try:
            await self._call("clean")
        except Exception as error:
            self._log_failure_once("clean", error)
        else:
            self._failing.discard("clean")

    @asynccontextmanager
    async def locked(self, wait: float) -> AsyncIterator[Lease | None]:
        """Hold the storage's lock, or go on without it when it cannot be had.

        Gives what the lock gives: a `Lease`, None, or whatever somebody's own lock gives.

        :param wait: seconds to wait for it.
        """
        lock, lease = None, None
        try:
            lock = self._lock()
            held, lease = await self._entered(lock, wait)
        except Exception as error:
            held = False
            self._log_failure_once("lock", error)
        else:
            self._failing.discard("lock")
            if not held:
                logger.warning(
                    "The lock of the token storage was not free within %g s: going on without it.",
                    wait,
                )
        try:
            yield lease
        finally:
            if held and lock is not None:
                await self._exit(lock)

    def _target(self) -> Any:
        if self._slot is None:
            for_key = getattr(self._storage, "for_key", None)
            self._slot = self._storage if for_key is None else for_key(self._binding)
        return self._slot

    def _lock(self) -> AbstractAsyncContextManager[Lease | None]:
        lock = getattr(self._target(), "lock", nullcontext)
        return lock()

    async def _call(self, name: str, *args: object) -> Any:
        result = getattr(self._target(), name)(*args)
        if not inspect.isawaitable(result):
            return result
        return await _bounded(result, self._patience)

    async def _entered(
        self, lock: AbstractAsyncContextManager[Lease | None], wait: float
    ) -> tuple[bool, Lease | None]:
        """Enter the lock; tell whether that was in time, and what it gave."""
        entering = _started(lock.__aenter__())
        try:
            await asyncio.wait({entering}, timeout=wait)
        except asyncio.CancelledError:
            await self._withdraw(entering)
            if _succeeded(entering):
                await self._exit(lock)
            raise
        if not entering.done():
            await self._withdraw(entering)
            if not _succeeded(entering):
                return False, None
        return True, _outcome(entering)

    async def _withdraw(self, entering: asyncio.Future[Any]) -> None:
        entering.cancel()
        await asyncio.wait({entering}, timeout=self._patience)

    async def _exit(self, lock: AbstractAsyncContextManager[Lease | None]) -> None:
        # Not awaited directly: whoever is cancelled here must still give the lock back.
        leaving = _started(lock.__aexit__(None, None, None))
        await asyncio.wait({leaving}, timeout=self._patience)
        try:
            if not leaving.done():
                leaving.cancel()
                raise asyncio.TimeoutError
            _outcome(leaving)
        except Exception as error:
            self._log_failure_once("unlock", error)
        else:
            self._failing.discard("unlock")

    def _log_failure_once(
        self, what: str, error: BaseException, token: Token | None = None
    ) -> None:
        at_stake = token is not None and token.refresh_token is not None
        if what in self._failing:
            return
        self._failing.add(what)
        known = [s for s in (token.access_token, token.refresh_token) if s] if token else []
        if isinstance(error, asyncio.TimeoutError):
            said = f"no answer within {self._patience:g} s"
        elif isinstance(error, TokenError):
            said = redact(str(error), known)
        else:
            said = f"{type(error).__name__}: {redact(str(error), known)[:200]}"
        logger.log(
            logging.ERROR if at_stake else logging.WARNING,
            "The token storage failed (%s): %s. Going on without it%s.",
            what,
            said.rstrip("."),
            "; the refresh token is kept in memory and saving it is tried again"
            if at_stake
            else "",
        )


def _succeeded(future: asyncio.Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


async def _bounded(awaitable: Awaitable[T], seconds: float) -> T:
    """Wait so long and no longer, even for what does not react to being cancelled."""
    future = _started(awaitable)
    try:
        await asyncio.wait({future}, timeout=seconds)
    except asyncio.CancelledError:
        future.cancel()
        raise
    if not future.done():
        future.cancel()
        raise asyncio.TimeoutError
    return _outcome(future)


def _started(awaitable: Awaitable[T]) -> asyncio.Future[T]:
    future = asyncio.ensure_future(awaitable)
    # Nobody may be left to see what it says in the end, and asyncio would complain of that.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


def _outcome(future: asyncio.Future[T]) -> T:
    if future.cancelled():  # by the storage itself: that is no reason to cancel the renewal
        raise TokenError("a call was cancelled")
    return future.result()
