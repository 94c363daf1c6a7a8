"""`Flight`: one piece of work that many tasks wait for, and that none of them can kill."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from ..errors import CLONEABLE, TokenError, clone

__all__ = ("Flight",)

T = TypeVar("T")

_aboard: contextvars.ContextVar[object] = contextvars.ContextVar("aioalf_flight", default=None)


class Flight(Generic[T]):
    """Runs a coroutine in a task of its own and hands its outcome to everybody who joined.

    A joiner that is cancelled leaves; the work goes on, even if all have left. Not
    ``asyncio.shield``: that costs a walk over all waiters for each one that is cancelled, and ten
    thousand cancelled at once would stop the loop for seconds.

    :param work: what to run; it belongs to the flight from here on.
    :param abandon: cancel the work when the last joiner leaves (somebody signing in is of no use then).
    """

    def __init__(
        self, work: Coroutine[Any, Any, T], *, cancel_when_unawaited: bool = False
    ) -> None:
        self._waiters: set[asyncio.Future[T]] = set()
        self._cancel_when_unawaited = cancel_when_unawaited
        self._mark = object()
        self.abandoned = False
        # An empty context: what the first caller keeps in its context variables is not everybody's.
        context = contextvars.Context()
        context.run(_aboard.set, self._mark)
        self.task = context.run(asyncio.create_task, work, name="aioalf: token renewal")
        self.task.add_done_callback(self._on_done)

    @property
    def running(self) -> bool:
        """Whether whoever joins now gets the outcome of work that still runs."""
        return not self.abandoned and not self.task.done()

    @property
    def called_from_inside(self) -> bool:
        """Whether it is the work itself that asks, or a task that it has started.

        To join would be to wait for itself. Before Python 3.12 ``asyncio.wait_for`` starts a task.
        """
        return _aboard.get() is self._mark

    async def join(self) -> T:
        """Wait for the outcome; being cancelled here disturbs nobody else."""
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            return await waiter
        finally:
            self._waiters.discard(waiter)
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # seen, even if this task was cancelled in the same moment
            if self._cancel_when_unawaited and not self._waiters and not self.task.done():
                self.abandoned = True
                self.task.cancel()

    async def wait_done(self) -> None:
        """Wait for the end of the work; whoever is cancelled here waits for it all the same."""
        try:
            if not self.task.done():
                await asyncio.wait({self.task})
        finally:
            if not self.task.done():
                await asyncio.wait({self.task})

    def fail_waiters(self, error: BaseException) -> None:
        """Send everybody home with an error, while the work goes on."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(_clone_for_waiter(error))

    def _on_done(self, task: asyncio.Task[T]) -> None:
        error: BaseException | None
        if task.cancelled():
            error = TokenError("The token request was cancelled before it was answered.")
        else:
            error = task.exception()
        for waiter in self._waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(task.result())
            else:
                waiter.set_exception(_clone_for_waiter(error))


def _clone_for_waiter(error: BaseException) -> BaseException:
    """The error for one of those who wait; what is not ours may not let itself be copied."""
    if not isinstance(error, TokenError) or type(error) not in CLONEABLE:
        return error
    own = clone(error).with_traceback(error.__traceback__)
    own.__cause__, own.__context__ = error.__cause__, error.__context__
    own.__suppress_context__ = error.__suppress_context__
    return own
