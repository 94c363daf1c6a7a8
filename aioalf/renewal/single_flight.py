"""`Flight`: one piece of work that many tasks wait for, and that none of them can kill."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from .._tasks import wait_done
from ..errors import CLONEABLE, TokenError, clone

__all__ = ("Flight",)

T = TypeVar("T")

_current_flight: contextvars.ContextVar[object] = contextvars.ContextVar(
    "aioalf_flight", default=None
)


class Flight(Generic[T]):
    """Runs a coroutine in a task of its own and hands its outcome to everyone who joined.

    A task that is cancelled while it waits leaves; the work goes on, even if all have left. It is not
    ``asyncio.shield``: that walks over all waiters for each one that is cancelled, and ten thousand
    cancelled at once would stop the loop for seconds.

    :param work: the coroutine to run; the flight owns it from here on.
    :param cancel_when_unawaited: cancel the work when the last task that waits leaves. A sign-in is then
        of no use.
    """

    def __init__(
        self, work: Coroutine[Any, Any, T], *, cancel_when_unawaited: bool = False
    ) -> None:
        self._waiters: set[asyncio.Future[T]] = set()
        self._cancel_when_unawaited = cancel_when_unawaited
        self._mark = object()  # not the flight itself: its task's context would then keep it alive
        #: Whether the last task that waited has left, and the work was cancelled.
        self.abandoned = False
        #: Whether the work is fetching a token, and whether that may rotate a refresh token.
        self.fetching = self.rotating = False
        # An empty context: the context variables of the first caller are not everyone's.
        context = contextvars.Context()
        context.run(_current_flight.set, self._mark)
        self.task: asyncio.Task[T] = context.run(_new_task, work)
        self.task.add_done_callback(self._on_done)

    @property
    def running(self) -> bool:
        """Whether a task that joins now gets the outcome of work that still runs."""
        return not self.abandoned and not self.task.done()

    @property
    def called_from_inside(self) -> bool:
        """Whether the work itself asks, or a task that it has started: to join would be a deadlock."""
        return _current_flight.get() is self._mark

    async def join(self) -> T:
        """Wait for the outcome. A task that is cancelled here disturbs no other."""
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
        """Wait for the end of the work, even if the task that waits is cancelled meanwhile."""
        await wait_done(self.task)

    def fail_waiters(self, error: BaseException) -> None:
        """Raise an error in all tasks that wait; the work goes on."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(_clone_for_waiter(error))

    def _on_done(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.fail_waiters(TokenError("The token request was cancelled before it was answered."))
        elif (error := task.exception()) is not None:
            self.fail_waiters(error)
        else:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(task.result())


def _new_task(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    # Not by create_task: an eager task factory would run the work before the flight is known to anyone.
    return asyncio.Task(work, loop=asyncio.get_running_loop(), name="aioalf: token renewal")


def _clone_for_waiter(error: BaseException) -> BaseException:
    """Return an error that one waiter has to itself; a foreign class may not let itself be copied."""
    if not isinstance(error, TokenError) or type(error) not in CLONEABLE:
        return error
    own = clone(error).with_traceback(error.__traceback__)
    own.__cause__, own.__context__ = error.__cause__, error.__context__
    own.__suppress_context__ = error.__suppress_context__
    return own
