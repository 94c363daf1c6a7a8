"""The clock that token life is judged by: one object, so that a test can hand in its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

__all__ = ("Clock",)


class Clock:
    """Two clocks and a sleep.

    :param monotonic: seconds since any fixed point; never steps, may stand still in a suspend.
    :param time: UTC seconds since the epoch; may step, goes on through a suspend.
    :param sleep: waits that many seconds without blocking the event loop.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        time: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.monotonic = monotonic
        self.time = time
        self.sleep = sleep
