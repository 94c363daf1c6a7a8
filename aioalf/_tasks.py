"""Waiting for a task, whatever becomes of the one that waits. General helpers on top of asyncio."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

__all__ = ("CancelledByItself", "detached", "wait_bounded", "wait_done")

T = TypeVar("T")


class CancelledByItself(Exception):
    """Work was cancelled that its caller had not cancelled."""


def detached(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run a coroutine in a task of its own, in an empty context: it is not the first caller's alone."""
    return contextvars.Context().run(asyncio.create_task, work, name=name)


async def wait_bounded(awaitable: Awaitable[T], seconds: float) -> T:
    """Wait so long and no longer, even for work that ignores being cancelled.

    :raises asyncio.TimeoutError: it took longer; it has been cancelled.
    :raises CancelledByItself: the work was cancelled, but not by the caller: no reason to cancel that one.
    """
    outcome: list[T] = []

    async def work() -> None:
        # Not as the result of the task: asyncio's debug mode logs that, and it may be a token.
        outcome.append(await awaitable)

    task = asyncio.ensure_future(work())
    task.add_done_callback(_see)
    try:
        await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not task.done():
        task.cancel()
        raise asyncio.TimeoutError
    if task.cancelled():
        raise CancelledByItself("a call was cancelled")
    task.result()
    return outcome[0]


async def wait_done(
    future: asyncio.Future[Any],
    *,
    timeout: float = math.inf,
    on_cancel: Callable[[], None] | None = None,
) -> None:
    """Wait for the end of a future, even if the caller is cancelled; that is raised afterwards.

    :param timeout: seconds after which it is waited for no longer.
    :param on_cancel: called at each cancellation of the caller.
    """
    cancelled = False
    now = asyncio.get_running_loop().time
    deadline = now() + timeout
    while not future.done() and (left := deadline - now()) > 0:
        try:
            await asyncio.wait({future}, timeout=None if left == math.inf else left)
        except asyncio.CancelledError:
            cancelled = True
            if on_cancel is not None:
                on_cancel()
    if cancelled:
        raise asyncio.CancelledError


def _see(task: asyncio.Future[Any]) -> None:
    # Nobody may be left to see how it ended, and asyncio would complain of that.
    if not task.cancelled():
        task.exception()
