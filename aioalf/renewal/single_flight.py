"""`Flight`: one piece of work that many tasks wait for, and that none of them can kill.

`SingleFlight`: at most one of them at a time.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

from ..errors import CLONEABLE, TokenError, clone

__all__ = ("Flight", "SingleFlight")

_current_flight: contextvars.ContextVar[object] = contextvars.ContextVar(
    "aioalf_flight", default=None
)


_NAME = "aioalf: token renewal"
_NONE: set[Any] = set()  # of the waiters of a flight that is over


class _RenewalTask(asyncio.Task[Any]):
    """A task that ``asyncio.run`` cannot cancel while it rotates a refresh token.

    At its end ``asyncio.run`` cancels every task, and waits for them. A refresh token whose rotation is
    cut off is lost for good, so that one is let finish; its own time limits go on counting.

    It is made directly, not by ``create_task``: an eager task factory would run the work before anyone
    knows of the flight.
    """

    #: Whether the work may be replacing a refresh token.
    rotating = False

    def cancel(self, msg: Any = None) -> bool:
        if self.rotating and not self.get_loop().is_running():
            return False
        return super().cancel(msg)


class Flight:
    """Runs a coroutine in a task of its own and hands its outcome to everyone who joined.

    A task that is cancelled while it waits leaves; the work goes on, even if all have left. It is not
    ``asyncio.shield``: that walks over all waiters for each one that is cancelled, and ten thousand
    cancelled at once would stop the loop for seconds.

    :param work: the coroutine to run; the flight owns it from here on.
    :param timeout: seconds after which all that wait get an error and the work is cancelled.
    :param reason: what the work is for.
    :param may_ask: whether the work may ask a person to sign in.
    """

    __slots__ = (
        "_deadline",
        "_mark",
        "_waiters",
        "abandoned",
        "asked",
        "asking",
        "context",
        "fetching",
        "may_ask",
        "reason",
        "task",
        "timed_out",
    )

    def __init__(
        self,
        work: Coroutine[Any, Any, Any],
        *,
        timeout: float = 300.0,
        reason: str = "first",
        may_ask: bool = True,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._waiters: set[asyncio.Future[Any]] = set()
        self.reason: str = reason
        self.may_ask: bool = may_ask
        #: Whether a person is being waited for: if no task waits any more, the work is then cancelled.
        self.asking: bool = False
        #: Whether a person has been asked.
        self.asked: bool = False
        self._mark = object()  # not the flight itself: its task's context would then keep it alive
        #: Whether the last task that waited has left, and the work was cancelled.
        self.abandoned: bool = False
        #: What those who waited have got, if it took too long.
        self.timed_out: TokenError | None = None
        #: Whether the work is fetching a token.
        self.fetching: bool = False
        #: The context of the task that began it, for what is told of it; let go of when it is over.
        self.context: contextvars.Context | None = contextvars.copy_context()
        # The work has an empty one: the context variables of the first caller are not everyone's.
        context = contextvars.Context()
        context.run(_current_flight.set, self._mark)
        #: The task that runs the work; let go of when that is over.
        self.task: _RenewalTask | None = context.run(_RenewalTask, work, loop=loop, name=_NAME)
        self.task.add_done_callback(self._on_done)
        self._deadline = loop.call_later(timeout, self._time_out, timeout)

    @property
    def running(self) -> bool:
        """Whether a task that joins now gets the outcome of work that still runs."""
        return not self.abandoned and self.task is not None

    @property
    def awaited(self) -> bool:
        """Whether a task waits for the outcome."""
        return bool(self._waiters)

    @property
    def called_from_inside(self) -> bool:
        """Whether the work itself asks, or a task that it has started: to join would be a deadlock."""
        return _current_flight.get() is self._mark

    async def join(self) -> Any:
        """Wait for the outcome. A task that is cancelled here disturbs no other."""
        waiter: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        waiters = self._waiters
        waiters.add(waiter)
        try:
            return await waiter
        finally:
            waiters.discard(waiter)
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # seen, even if this task was cancelled in the same moment
            if self.asking and not waiters:
                self.abandon()

    async def wait_over(self) -> None:
        """Wait until the work is over, whatever comes of it."""
        if self.task is not None:
            await asyncio.wait({self.task})

    def abandon(self) -> None:
        """Cancel the work, for no task waits for it any more."""
        if self.task is not None:
            self.abandoned = True
            self.task.cancel()

    def fail_waiters(self, error: BaseException) -> None:
        """Raise an error in all tasks that wait; the work goes on."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(_clone_for_waiter(error))

    def _time_out(self, timeout: float) -> None:
        self.abandoned = True
        self.timed_out = TokenError(f"No token within {timeout:g} s: the renewal was given up.")
        self.fail_waiters(self.timed_out)
        if self.task is not None:
            self.task.cancel()

    def land(self, result: Any) -> None:
        """Give the result to all who wait. The work may do this itself, at its end: that is sooner."""
        self._deadline.cancel()
        if self.task is not None:
            self.task.remove_done_callback(self._on_done)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(result)
        # A manager keeps its last flight, maybe for an hour: it is to be light.
        self.task, self._waiters, self.context = None, _NONE, None

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        error: BaseException | None
        if task.cancelled():
            error = TokenError("The token request was cancelled before it was answered.")
        else:
            error = task.exception()
        if error is not None:
            self.fail_waiters(error)
        self.land(None if error is not None else task.result())


class SingleFlight:
    """Runs at most one flight at a time, in one event loop."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        #: The last flight, over or not. A new one is put here, if there is none to be joined.
        self.last: Flight | None = None

    @property
    def current(self) -> Flight | None:
        """The flight that can be joined, or None."""
        flight = self.last
        over = flight is None or flight.abandoned or flight.task is None
        return None if over else flight

    def context(self) -> contextvars.Context | None:
        """Return the context of the task that began the flight, if its work asks; else None."""
        flight = self.last
        return None if flight is None or not flight.called_from_inside else flight.context

    def tell(self, log: Callable[..., None], *args: object) -> None:
        """Write a record in the context of the task that began the flight, if its work writes it."""
        if (context := self.context()) is None:
            log(*args)
        else:
            context.run(log, *args)

    async def end(self, error: TokenError, timeout: float) -> None:
        """Raise an error in all that wait, and end the work.

        :param timeout: seconds for work that may be rotating a refresh token to finish.
        """
        flight = self.last
        task = None if flight is None else flight.task
        if flight is None or task is None:
            return
        flight.fail_waiters(error)
        if task.rotating:
            await asyncio.wait({task}, timeout=timeout)
        if not flight.abandoned:  # else it is ending already
            task.cancel()
        await asyncio.wait({task}, timeout=timeout)


def _clone_for_waiter(error: BaseException) -> BaseException:
    """Return an error that one waiter has to itself; a foreign class may not let itself be copied."""
    if not isinstance(error, TokenError) or type(error) not in CLONEABLE:
        return error
    own = clone(error).with_traceback(error.__traceback__)
    own.__cause__, own.__context__ = error.__cause__, error.__context__
    own.__suppress_context__ = error.__suppress_context__
    return own
