"""How long an import takes, in interpreters that have imported nothing before."""

from __future__ import annotations

import subprocess
import tempfile
from typing import Any

from .contenders import Contender
from .environments import PROJECT, interpreter
from .process import ROOT, Gone

__all__ = ("import_times",)

_PROGRAM = """
import sys, warnings
warnings.simplefilter("ignore")
sys.path.extend(sys.argv[1:])
from importlib import import_module
from time import perf_counter
begun = perf_counter()
import_module({first!r})
between = perf_counter()
import_module({second!r})
print(between - begun, perf_counter() - between)
"""


def import_times(contender: Contender, runs: int) -> dict[str, Any]:
    """Import what a contender stands on, then the contender, and time both.

    :return: milliseconds of each run: of the first, and what the second adds.
    """
    program = _PROGRAM.format(first=contender.imported_after, second=contender.imported)
    command = [str(interpreter(contender.environment)), "-I", "-c", program]
    if contender.environment == PROJECT:
        command.append(str(ROOT))  # it need not be installed
    measured = []
    with tempfile.TemporaryDirectory() as elsewhere:
        for run in range(runs + 1):
            done = subprocess.run(
                command, cwd=elsewhere, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise Gone(done.stderr.strip().rpartition("\n")[2][:200])
            if run:  # the first one compiles
                measured.append([round(1000 * float(each), 3) for each in done.stdout.split()])
    return {"runs": measured}
