"""A bar for what takes more than a second, on a terminal, if the extra ``cli`` is installed."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

__all__ = ("progress", "tracked")

_DELAY = 1.0  # seconds


class _None:
    """No bar."""

    def update(self, number: int) -> None: ...
    def reset(self) -> None: ...
    def close(self) -> None: ...


def progress(what: str, total: int | None, *, shown: bool = True) -> Any:
    """Return a bar of bytes with ``update``, ``reset`` and ``close``; it shows nothing if it cannot.

    :param what: what is counted.
    :param total: how many bytes there will be; None if that is not known.
    """
    stream = sys.stderr
    live = stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    if not shown or not live:
        return _None()
    try:
        from tqdm import tqdm
    except ImportError:
        return _None()
    columns, rows = shutil.get_terminal_size()  # tqdm shows nothing if a terminal does not tell
    options: dict[str, Any] = {"unit": "B", "unit_scale": True, "ncols": columns, "nrows": rows}
    return tqdm(total=total, desc=what, file=stream, delay=_DELAY, leave=False, **options)


def tracked(name: str, bar: Any) -> BinaryIO:
    """Open a file whose reading a bar follows; one that is read again begins anew."""
    return io.BufferedReader(_Tracked(name, bar.update, bar.reset), 2**18)


class _Tracked(io.FileIO):
    def __init__(self, name: str, update: Callable[[int], Any], reset: Callable[[], Any]) -> None:
        super().__init__(name)
        self._update, self._reset = update, reset

    def readinto(self, buffer: Any, /) -> int | None:
        count = super().readinto(buffer)
        self._update(count or 0)
        return count

    def seek(self, position: int, whence: int = 0, /) -> int:
        if (position, whence) == (0, 0):
            self._reset()
        return super().seek(position, whence)
