"""``python -m benchmarks``: build, measure, print a table, draw the plots."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import Any

from .charts import draw
from .contenders import CONTENDERS
from .environments import BUILD, PROJECT, build, project_version
from .pages import write_page
from .plan import QUICK, Plan, Settings
from .process import ROOT, Child, Gone, cores
from .progress import Measured
from .quiet import BUSY, taken_by_others
from .scenarios import SCENARIOS
from .screen import Screen
from .table import markdown, tables

__all__ = ("main", "run")

_DISTRIBUTIONS = ["aiohttp", "aio-alf", "aiohttp-oauth2-client", "Authlib", "httpx", "filelock"]


def run(
    settings: Settings,
    *,
    scenarios: list[str],
    contenders: list[str],
    folder: Path,
    quick: bool = False,
) -> dict[str, Any]:
    """Measure; a run that was broken off is gone on with, if it was for the same.

    :param scenarios: names, from `SCENARIOS`.
    :param contenders: names, from `CONTENDERS`; their environments are built if need be.
    :param folder: where the log goes.
    :return: all that is known afterwards, ready for JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "children.log"
    log.write_bytes(b"")
    with Screen() as screen:
        return _run(settings, scenarios, contenders, folder, quick, log, screen)


def _run(
    settings: Settings,
    scenarios: list[str],
    contenders: list[str],
    folder: Path,
    quick: bool,
    log: Path,
    screen: Screen,
) -> dict[str, Any]:
    measured = Measured(folder, settings, contenders)
    wanted = [CONTENDERS[name] for name in contenders]
    there = {}
    for environment in dict.fromkeys(each.environment for each in wanted):
        screen.show("environment", environment)
        there[environment] = build(environment)
    present = [each for each in wanted if there[each.environment]]
    results: dict[str, Any] = {
        "format": 1,
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "quick": quick,
        "machine": _machine(),
        "contenders": {},
        "not_installed": [each.title for each in wanted if each not in present],
        "scenarios": {},
    }
    with Child(sys.executable, "benchmarks.server", cores()[0], log) as server:
        port = server.ask("reset")["port"]
        plan = Plan(settings, present, server, port, log, screen.show)
        for contender in present:
            with plan.worker(contender.environment) as worker:
                about = worker.ask("hello", distributions=_DISTRIBUTIONS)
            if contender.environment == PROJECT:
                about["versions"]["aio-alf"] = project_version()
            results["contenders"][contender.name] = {"title": contender.title, **about}
        for name in scenarios:
            plan.title, measure = SCENARIOS[name]
            if name in measured.scenarios:
                screen.had(plan.title)
            else:
                if (share := taken_by_others()) > BUSY:
                    screen.busy(share)
                plan.contenders = [each for each in present if name in (each.scenarios or [name])]
                begun = monotonic()
                figures = measure(plan)
                found = {"title": plan.title, "figures": figures, "taken": round(share, 3)}
                measured.keep(name, found)
                screen.done(plan.title, monotonic() - begun)
            results["scenarios"][name] = measured.scenarios[name]
        plan.close()
    measured.finish()
    return results


def _machine() -> dict[str, Any]:
    model = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": model,
        "cores": count,
        "system": f"{platform.system()} {platform.machine()}",
    }


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="fewer repetitions: noisier, 2 minutes"
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=list(SCENARIOS),
        metavar="SCENARIO",
        help=f"one scenario; may be repeated: {', '.join(SCENARIOS)}",
    )
    parser.add_argument(
        "--who",
        action="append",
        choices=list(CONTENDERS),
        metavar="CONTENDER",
        help=f"one contender; may be repeated: {', '.join(CONTENDERS)}",
    )
    parser.add_argument("--out", type=Path, default=BUILD, help="where results go (build/bench)")
    parser.add_argument(
        "--show", type=Path, metavar="JSON", help="measure nothing: show these results"
    )
    parser.add_argument(
        "--docs", action="store_true", help="write docs/benchmarks.rst and its plots"
    )
    given = parser.parse_args()
    out: Path = given.out
    if given.show is not None:
        results = json.loads(given.show.read_text(encoding="utf-8"))
    else:
        try:
            results = run(
                QUICK if given.quick else Settings(),
                scenarios=given.only or list(SCENARIOS),
                contenders=given.who or list(CONTENDERS),
                folder=out,
                quick=given.quick,
            )
        except Gone as error:
            print(f"The load server is gone: {error}. See {out}.", file=sys.stderr)
            return 1
        (out / "results.json").write_text(json.dumps(results, indent=None), encoding="utf-8")
    text = markdown(tables(results))
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.md").write_text(text, encoding="utf-8")
    drawn = draw(results, out)
    print(text)
    busy = {name: each["taken"] for name, each in results["scenarios"].items()}
    if busy := {name: taken for name, taken in busy.items() if taken > BUSY}:
        named = ", ".join(f"{name} ({taken:.0%} of a core)" for name, taken in busy.items())
        print(f"Others were at work on this machine: {named}. Measure again in a quiet moment.\n")
    shown = os.path.relpath(out)
    print(f"{shown}: results.json, results.md, {', '.join(path.name for path in drawn)}")
    if given.docs:
        write_page(results, ROOT / "docs")
        print("docs: benchmarks.rst and its plots")
    return 0


if __name__ == "__main__":
    sys.exit(main())
