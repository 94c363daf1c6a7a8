"""Stand-ins that tests hand in where the library takes a part as a parameter."""

from __future__ import annotations

import asyncio

from aioalf.clock import Clock

__all__ = ("FakeClock",)


class FakeClock(Clock):
    """A clock that moves only when told to, by `advance`, `jump_wall` or a `sleep` of the library.

    ``sleeps`` lists the seconds of every sleep asked for, in order. A sleep moves both clocks on
    by its length and gives the event loop one turn, so that nothing waits for real.
    """

    sleeps: list[float]
    _now: list[float]  # [monotonic, wall]: the base class is frozen, a list of its own is not

    def __init__(self, monotonic: float = 1_000.0, time: float = 1_700_000_000.0) -> None:
        object.__setattr__(self, "_now", [monotonic, time])
        object.__setattr__(self, "sleeps", [])
        super().__init__(self._read_monotonic, self._read_wall, self._sleep)

    def advance(self, seconds: float) -> None:
        """Time passes: both clocks move on."""
        self._now[0] += seconds
        self._now[1] += seconds

    def jump_wall(self, seconds: float) -> None:
        """The wall clock is set, or the machine was suspended: the monotonic one stays."""
        self._now[1] += seconds

    def jump_monotonic(self, seconds: float) -> None:
        """Only the monotonic clock moves."""
        self._now[0] += seconds

    def _read_monotonic(self) -> float:
        return self._now[0]

    def _read_wall(self) -> float:
        return self._now[1]

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def __repr__(self) -> str:
        return f"<FakeClock monotonic={self._now[0]} time={self._now[1]}>"
