"""Where a run was broken off, so that the next one goes on there."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from time import time
from typing import Any

from .plan import Settings
from .process import ROOT

__all__ = ("Measured",)

_FRESH = 86400.0  # seconds: the machine may be another one tomorrow


class Measured:
    """The scenarios that an unfinished run has measured, in a file.

    It counts as long as the code, the interpreter and what is asked for are the same.
    """

    def __init__(self, folder: Path, settings: Settings, contenders: list[str]) -> None:
        self._path = folder / "unfinished.json"
        sources = hashlib.sha256()
        for path in sorted([*ROOT.glob("aioalf/**/*.py"), *ROOT.glob("benchmarks/*.py")]):
            sources.update(path.read_bytes())
        asked = [sys.version, asdict(settings), contenders, sources.hexdigest()]
        self._key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
        self.scenarios: dict[str, Any] = {}
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return
        if found["key"] == self._key and time() - found["time"] < _FRESH:
            self.scenarios = found["scenarios"]

    def keep(self, name: str, scenario: dict[str, Any]) -> None:
        """Add what was measured of a scenario."""
        self.scenarios[name] = scenario
        kept = {"key": self._key, "time": time(), "scenarios": self.scenarios}
        self._path.write_text(json.dumps(kept), encoding="utf-8")

    def finish(self) -> None:
        """Forget it: the results are complete."""
        self._path.unlink(missing_ok=True)
