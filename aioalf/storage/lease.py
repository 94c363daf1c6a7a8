"""`TimedLease`: a lock that is held for a time, and extended. Pure."""

from __future__ import annotations

from ..clock import Clock

__all__ = ("TimedLease",)


class TimedLease:
    """A lease that ends by itself, `seconds` after it was begun or extended last."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._seconds = seconds
        self._clock = clock
        self._begun = (0.0, 0.0)
        self._over = False

    def now(self) -> tuple[float, float]:
        return self._clock.monotonic(), self._clock.time()  # the one may stand still in a suspend

    def begin(self, begun: tuple[float, float]) -> None:
        self._begun = begun

    def end(self) -> None:
        self._over = True

    @property
    def lost(self) -> bool:
        passed = (now - then for now, then in zip(self.now(), self._begun, strict=True))
        return self._over or max(passed) >= self._seconds
