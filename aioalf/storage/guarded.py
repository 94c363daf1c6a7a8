"""`GuardedStorage`: a `TokenStorage` that may fail, or hang, and costs no token.

A storage is a user's code, or a disk, or a network. Each call to it is bounded in time here; if it raises,
hangs or returns nonsense, the manager goes on without it. The log says so once, and again only after the
storage has worked in between.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from .._tasks import wait_bounded
from ..clock import Clock
from ..errors import TokenError
from ..redaction import redact
from ..token import Token
from .base import Lease, TokenStorage
from .record import read_line, write_line
from .turns import Look, TokenFound, Turn, turn_of

if TYPE_CHECKING:
    from ..events import EventHook

__all__ = ("GuardedStorage",)

logger: logging.Logger = logging.getLogger("aioalf")

_PASSED_BY = 60.0  # seconds for which a storage that hung is left alone
# Who waits for a lock looks for the token meanwhile, after a second less and less often.
_FIRST_LOOK = 0.1  # seconds
_SOON = 1.0  # seconds
_LAST_LOOK = 2.0  # seconds between two looks, at most


class GuardedStorage:
    """The slot of one binding in a storage that may fail.

    :param storage: the storage; borrowed, never closed here.
    :param binding: the hash of what the tokens are bound to.
    :param timeout: seconds to wait for `load`, `save`, `clean` and a release.
    :param clock: tells for how long a storage that hung is left alone.
    :param on_event: is told that it failed, and that it works again.
    :param context: returns the context to tell it in, if it is not the one that runs.
    """

    def __init__(
        self,
        storage: TokenStorage,
        binding: str,
        timeout: float,
        clock: Clock | None = None,
        on_event: EventHook | None = None,
        context: Callable[[], contextvars.Context | None] = lambda: None,
    ) -> None:
        self._storage = storage
        self._binding = binding
        self._timeout = timeout
        self._clock = clock or Clock()
        self._on_event = on_event
        self._context = context
        self._slot: Any = None  # what for_key returns: a storage, or something shaped like one
        self._turn: Turn | None = None  # while it is this one's
        self._failing: set[str] = set()
        self._passed_by_until = 0.0

    @property
    def passed_by(self) -> bool:
        """Whether the storage hung a moment ago and is left alone."""
        return self._clock.monotonic() < self._passed_by_until

    async def load(self) -> Token | None:
        """Return the stored token, or None if there is none of this binding, or none can be had."""
        if self.passed_by:
            return None
        try:
            token = read_line(await self._call("load"), self._binding)
        except Exception as error:
            self._log_failure_once("load", error)
            return None
        self._works("load")
        if self._turn is not None:
            self._turn.token = token
        return token

    async def save(self, token: Token) -> bool:
        """Store a token and return True; return False if that failed."""
        if self.passed_by:
            return False
        try:
            await self._call("save", write_line(token, self._binding))
        except Exception as error:
            self._log_failure_once("save", error, token)
            return False
        self._works("save")
        if self._turn is not None:
            self._turn.token = token
        return True

    async def clean(self) -> None:
        """Forget the stored token."""
        if self.passed_by:
            return
        try:
            await self._call("clean")
        except Exception as error:
            self._log_failure_once("clean", error)
            return
        self._works("clean")
        if self._turn is not None:
            self._turn.token = None

    @asynccontextmanager
    async def locked(self, wait: float, look: Look | None = None) -> AsyncIterator[Lease | None]:
        """Hold the storage's lock, or go on without it if it cannot be had.

        Gives what the lock gives: a `Lease`, None, or whatever a foreign lock gives.

        :param wait: seconds to wait for it, as long as the storage answers.
        :param look: see `Look`.
        :raises TokenFound: there is such a token; the lock is not held then.
        """
        lock = lease = None
        if not self.passed_by:
            try:
                lock, lease = await self._acquire(wait, look)
            except TokenFound:
                raise
            except Exception as error:
                self._log_failure_once("lock", error)
            else:
                self._works("lock")
        try:
            yield lease
        finally:
            if lock is not None:
                await self._release(lock)

    def _target(self) -> Any:
        if self._slot is None:
            for_key = getattr(self._storage, "for_key", None)
            self._slot = self._storage if for_key is None else for_key(self._binding)
        return self._slot

    async def _call(self, name: str, *args: object) -> Any:
        result = getattr(self._target(), name)(*args)
        return await wait_bounded(result, self._timeout) if inspect.isawaitable(result) else result

    @asynccontextmanager
    async def _lock(self, look: Look | None) -> AsyncIterator[Lease | None]:
        """Look for the token, then hold the storage's lock: one manager of this process at a time.

        The others get the token from that one, so that a storage does not feel how many they are.
        """
        lock = getattr(self._target(), "lock", None)
        turn = Turn() if lock is None else turn_of(self._storage, self._binding)
        waited = turn.locked()
        async with turn:
            # Without the lock: only who fetches holds it.
            known = turn.token if waited else None
            if look is not None and (found := await look(known)) is not None:
                turn.token = found
                raise TokenFound(found)
            self._turn = turn
            try:
                async with (lock or nullcontext)() as lease:
                    yield lease
            finally:
                self._turn = None

    async def _acquire(
        self, wait: float, look: Look | None
    ) -> tuple[AbstractAsyncContextManager[Lease | None] | None, Lease | None]:
        """Enter the lock and return it with its lease; return None twice if it was not free in time."""
        lock = self._lock(look)
        lease: list[Lease | None] = []

        async def enter() -> None:
            lease.append(await lock.__aenter__())

        entering = asyncio.ensure_future(enter())
        entering.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            found = await self._wait_and_look(entering, wait, look or self._look_for_nothing)
        except asyncio.CancelledError:
            await self._withdraw(entering)
            if lease:
                await self._release(lock)
            raise
        if found is not None:
            await self._withdraw(entering)
            if lease:
                await self._release(lock)
            raise TokenFound(found)
        if not entering.done():
            await self._withdraw(entering)
            if not lease:
                if not self.passed_by:
                    logger.warning(
                        "The lock of the token storage was not free within %g s: going on without it.",
                        wait,
                    )
                return None, None
        if entering.cancelled():  # by the storage itself: that is no reason to cancel the renewal
            raise TokenError("a call was cancelled")
        entering.result()
        return lock, lease[0]

    async def _look_for_nothing(self, known: Token | None) -> None:
        await self.load()

    async def _wait_and_look(
        self, entering: asyncio.Future[Any], wait: float, look: Look
    ) -> Token | None:
        """Wait for a lock, and look meanwhile for what it is waited for."""
        pause, loop = _FIRST_LOOK, asyncio.get_running_loop()
        begun = loop.time()
        end = begun + wait
        while not self.passed_by:
            left = end - loop.time()
            await asyncio.wait({entering}, timeout=min(left, pause * random.uniform(0.75, 1.25)))
            if entering.done() or left <= pause:
                return None
            # This also tells whether the storage hangs: then nobody waits for its lock. If it is another
            # manager's turn, that one looks.
            if self._turn is not None or pause > _SOON:
                if (found := await look(None)) is not None:
                    return found
            if loop.time() - begun > _SOON:
                pause = min(1.5 * pause, _LAST_LOOK)
        return None

    async def _withdraw(self, entering: asyncio.Future[Any]) -> None:
        entering.cancel()
        await asyncio.wait({entering}, timeout=self._timeout)

    async def _release(self, lock: AbstractAsyncContextManager[Lease | None]) -> None:
        # In a task: a caller that is cancelled here must still give the lock back.
        leaving = asyncio.ensure_future(lock.__aexit__(None, None, None))
        leaving.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({leaving}, timeout=0 if self.passed_by else self._timeout)
        try:
            if not leaving.done():
                leaving.cancel()
                raise asyncio.TimeoutError
            if leaving.cancelled():
                raise TokenError("a call was cancelled")
            leaving.result()
        except Exception as error:
            self._log_failure_once("unlock", error)
        else:
            self._works("unlock")

    def _log_failure_once(
        self, call: str, error: BaseException, token: Token | None = None
    ) -> None:
        if isinstance(error, asyncio.TimeoutError):
            self._passed_by_until = self._clock.monotonic() + _PASSED_BY
        if call in self._failing:
            return
        self._failing.add(call)
        secrets = [s for s in (token.access_token, token.refresh_token) if s] if token else []
        if isinstance(error, asyncio.TimeoutError):
            reason = f"no answer within {self._timeout:g} s; it is left alone for a minute"
        elif isinstance(error, TokenError):
            reason = redact(str(error), secrets)
        else:
            reason = f"{type(error).__name__}: {redact(str(error), secrets)[:200]}"
        at_stake = token is not None and token.refresh_token is not None
        from ..events import StorageFailed, emit

        emit(StorageFailed(call, reason.rstrip("."), at_stake), self._on_event, self._context())

    def _works(self, call: str) -> None:
        if call in self._failing:
            from ..events import StorageRecovered, emit

            self._failing.discard(call)
            emit(StorageRecovered(call), self._on_event, self._context())
