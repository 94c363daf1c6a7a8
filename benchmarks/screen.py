"""What a run says while it goes on: where it is, all the time, and that the machine is busy."""

from __future__ import annotations

import os
import sys
import threading
from time import monotonic
from types import TracebackType

__all__ = ("Screen",)

_SILENT = 10.0  # seconds: elsewhere than on a terminal, a line this often is enough


class Screen:
    """A line on a terminal, with the time that has passed; elsewhere a line now and then."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._begun = self._said = monotonic()
        self._now = ""
        self._over = threading.Event()
        self._clock = threading.Thread(target=self._tick, daemon=True)
        if self._live:
            self._clock.start()

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._live:
            self._clock.join()

    def show(self, what: str, who: str) -> None:
        """Say what is measured now."""
        self._now = f"{what:32} {who}"
        if self._live:
            self._draw()
        elif monotonic() - self._said > _SILENT:
            self._say(f"{self._passed()}  {self._now}")

    def done(self, what: str, seconds: float) -> None:
        """Say how long that took."""
        self._say(f"{what:32} {seconds:5.1f} s")

    def had(self, what: str) -> None:
        """Say that it was measured by an earlier run that was broken off."""
        self._say(f"{what:32} measured before")

    def busy(self, share: float) -> None:
        """Say that the machine is not quiet."""
        self._say(
            f"The machine is busy: others take {share:.0%} of a core. Times are not to be believed."
        )

    def _say(self, text: str) -> None:
        self._said = monotonic()
        clear = "\r\x1b[K" if self._live else ""
        print(f"{clear}{text}", file=sys.stderr, flush=True)

    def _tick(self) -> None:
        while not self._over.wait(1.0):
            self._draw()

    def _draw(self) -> None:
        print(f"\r\x1b[K{self._passed()}  {self._now}", end="", file=sys.stderr, flush=True)

    def _passed(self) -> str:
        elapsed = int(monotonic() - self._begun)
        return f"{elapsed // 60}:{elapsed % 60:02}"
