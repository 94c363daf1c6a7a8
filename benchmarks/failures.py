"""The scenarios of a bad day: nobody has a token, it is revoked, it expires, or there is none to be had."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from .contenders import Contender
from .environments import interpreter
from .plan import Figures, Plan
from .process import Child

__all__ = (
    "cancellation",
    "cold",
    "crowd",
    "expiry",
    "outage",
    "rotation",
    "several",
    "shared",
    "storm",
    "storm_large",
    "storm_single",
    "summed",
)


def _burst(
    plan: Plan,
    requests: int,
    *,
    revoked: bool = False,
    cancel_after: float | None = None,
    **server: Any,
) -> dict[str, Figures]:
    def measure(contender: Contender) -> Figures:
        with plan.worker(contender.environment) as worker:
            settings = {"latency": 0.05, **server}
            plan.server.ask("reset", **settings)
            worker.ask("open", contender=contender.name)
            if revoked:
                worker.ask("start")
                worker.ask("burst", requests=1, time_limit=5.0)
                plan.server.ask("revoke")
            before = plan.server.ask("counters")
            time_limit = plan.settings.time_limit * max(1, requests / 2000)
            outcome = worker.ask(
                "burst",
                timeout=3 * time_limit + 30.0,
                requests=requests,
                time_limit=time_limit,
                cancel_after=cancel_after,
            )
            after = plan.server.ask("counters")
        for name in ("token_requests", "resource_requests", "rejections"):
            outcome[name] = after[name] - before[name]
        outcome["token_requests_at_a_time"] = after["token_requests_at_a_time"]
        figures: Figures = outcome
        return figures

    return plan.each(measure)


def cold(plan: Plan) -> dict[str, Figures]:
    """Everybody at once, and there is no token yet."""
    return _burst(plan, plan.settings.burst)


def storm(plan: Plan) -> dict[str, Figures]:
    """Everybody at once, and the token has been revoked."""
    return _burst(plan, plan.settings.burst, revoked=True)


def storm_single(plan: Plan) -> dict[str, Figures]:
    """The same, and each new token ends the one before."""
    return _burst(plan, plan.settings.burst, revoked=True, single_valid=True)


def storm_large(plan: Plan) -> dict[str, Figures]:
    """The same, and each 401 comes with a body of 1 MiB."""
    return _burst(plan, plan.settings.burst, revoked=True, rejection_bytes=2**20)


def outage(plan: Plan) -> dict[str, Figures]:
    """A hundred requests wait for a token, and the token endpoint answers 503 after 200 ms."""
    return _burst(plan, min(100, plan.settings.burst), outage=True, latency=0.2)


def crowd(plan: Plan) -> dict[str, Figures]:
    """Ten thousand at once, and there is no token yet."""
    return _burst(plan, plan.settings.crowd)


def cancellation(plan: Plan) -> dict[str, Figures]:
    """Ten thousand wait for a token and are cancelled at once."""
    requests = plan.settings.crowd
    return _burst(plan, requests, latency=30.0, cancel_after=requests / 5000)


def expiry(plan: Plan) -> dict[str, Figures]:
    """A steady load over tokens of 2 s from a token endpoint that takes 200 ms."""
    s = plan.settings

    def measure(contender: Contender) -> Figures:
        with plan.worker(contender.environment) as worker:
            plan.server.ask("reset", latency=0.2, lifetime=2.0)
            worker.ask("open", contender=contender.name)
            worker.ask("start")
            worker.ask("burst", requests=1, time_limit=s.time_limit)
            before = plan.server.ask("counters")
            outcome: Figures = worker.ask(
                "load",
                timeout=s.load_seconds + 40.0,
                tasks=s.load_tasks,
                seconds=s.load_seconds,
                period=s.load_period,
                least_stall=0.02,
                slices=int(s.load_seconds * 20),
            )
            after = plan.server.ask("counters")
        for name in ("token_requests", "rejections"):
            outcome[name] = after[name] - before[name]
        outcome["seconds"] = s.load_seconds
        return outcome

    # Bare aiohttp is beside everybody. Not bare httpx: this load alone is more than it can carry.
    return plan.without("bare", "headers", "httpx").each(measure, bare=True)


def shared(plan: Plan) -> dict[str, Figures]:
    """Several processes start at once; those who can share a token in a file."""

    def measure(contender: Contender) -> Figures:
        with (
            tempfile.TemporaryDirectory() as folder,
            several(plan, contender, plan.settings.processes) as workers,
        ):
            storage = str(Path(folder) / "token") if contender.has_storage else None
            plan.server.ask("reset", latency=0.05)
            for worker in workers:
                worker.ask("go", port=plan.port, storage=storage)
                worker.ask("open", contender=contender.name)
            for do, parameters in (("start", {}), ("burst", {"requests": 10, "time_limit": 10.0})):
                for worker in workers:
                    worker.send(do, **parameters)
                outcomes = [worker.receive() for worker in workers]
            counters = plan.server.ask("counters")
        statuses = [outcome["outcomes"] for outcome in outcomes]
        return {
            "outcomes": summed(statuses),
            "seconds": max(outcome["seconds"] for outcome in outcomes),
            "token_requests": counters["token_requests"],
        }

    return plan.each(measure)


def rotation(plan: Plan) -> dict[str, Figures]:
    """Several processes with one refresh token, which is replaced every 2 s; an old one would end all."""
    s = plan.settings
    plan = replace(plan, contenders=[each for each in plan.contenders if each.scenarios])

    def measure(contender: Contender) -> Figures:
        with (
            tempfile.TemporaryDirectory() as folder,
            several(plan, contender, plan.settings.processes) as workers,
        ):
            plan.server.ask("reset", latency=0.05, lifetime=2.0)
            for worker in workers:
                worker.ask("go", port=plan.port, storage=str(Path(folder) / "token"))
                worker.ask("open", contender=contender.name)
            for worker in workers:
                worker.send(
                    "load",
                    tasks=s.load_tasks // len(workers) or 1,
                    seconds=s.load_seconds,
                    period=s.load_period,
                    least_stall=0.02,
                    slices=int(s.load_seconds * 20),
                )
            loads = [worker.receive(timeout=s.load_seconds + 40.0) for worker in workers]
            counters = plan.server.ask("counters")
        outcomes = [load["outcomes"] for load in loads]
        return {
            "outcomes": summed(outcomes),
            "seconds": s.load_seconds,
            "token_requests": counters["token_requests"],
            "reuses": counters["reuses"],
        }

    return plan.each(measure)


def summed(outcomes: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Outcomes of several processes as those of one."""
    return dict(sum((Counter(each) for each in outcomes), Counter()))


@contextmanager
def several(plan: Plan, contender: Contender, processes: int) -> Iterator[list[Child]]:
    """Workers that may run on any core; ended when this is left."""
    python = str(interpreter(contender.environment))
    workers = [Child(python, "benchmarks.worker", None, plan.log) for _ in range(processes)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
