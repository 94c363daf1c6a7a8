"""The table of the demo: a row for each scene, in colour and with progress on a terminal."""

from __future__ import annotations

import os
import shutil
from typing import TextIO

from .io import writing

__all__ = ("Screen",)

_BOLD, _DIM, _RED, _GREEN = "1", "2", "31", "32"


class Screen:
    """Prints lines and rows; a row is marked as running until its outcome is known.

    :param out: where to print; plain text unless it is a terminal, no colours if NO_COLOR is set.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty() and os.environ.get("TERM") != "dumb"
        self._coloured = self._live and not os.environ.get("NO_COLOR")
        marks = "…✓✗-"
        try:
            marks.encode(out.encoding or "ascii")
        except UnicodeError:
            marks = ".+!-"
        self._marks = dict(zip(("begun", "held", "broken", "left out"), marks, strict=True))

    def title(self, text: str) -> None:
        """Print a line in bold."""
        self._print(self._styled(text, _BOLD))

    def line(self, text: str = "") -> None:
        """Print a line."""
        self._print(text)

    def aside(self, text: str) -> None:
        """Print a line in a weaker colour."""
        self._print(self._styled(text, _DIM))

    def verdict(self, good: bool, text: str) -> None:
        """Print a line in green if all is well, else in red."""
        self._print(self._styled(text, _GREEN if good else _RED))

    def begin(self, name: str, text: str) -> None:
        """Show a row without its figures, on a terminal; `end` writes over it."""
        # A row that takes two lines cannot be written over.
        if self._live and len(f"  {name:15}{text}") < shutil.get_terminal_size().columns:
            self._print(self._styled(self._row("begun", name, text), _DIM), end="")

    def end(self, outcome: str, name: str, text: str, figures: str = "") -> None:
        """Print a row.

        :param outcome: "held", "broken" or "left out".
        """
        if self._live:
            self._print("\r\x1b[K", end="")
        self._print(self._row(outcome, name, text, figures))

    def _row(self, outcome: str, name: str, text: str, figures: str = "") -> str:
        style = {"held": _GREEN, "broken": _RED}.get(outcome, _DIM)
        mark = self._styled(self._marks[outcome], style)
        return f"{mark} {self._styled(f'{name:15}', _BOLD)}{text:34}{figures}".rstrip()

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._coloured else text

    def _print(self, text: str, end: str = "\n") -> None:
        # Flushed, so that the reader of a pipe sees each row at once.
        with writing():
            print(text, end=end, file=self._out, flush=True)
