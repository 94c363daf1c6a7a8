"""The scenarios of a bad day: nobody has a token, it is revoked, it expires, or there is none to be had."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .arrangement import Arrangement, Figures
from .child import Child
from .contenders import Contender
from .environments import interpreter

__all__ = (
    "cancellation",
    "cold",
    "crowd",
    "expiry",
    "outage",
    "shared",
    "storm",
    "storm_large",
    "storm_single",
)


def _burst(
    arrangement: Arrangement,
    requests: int,
    *,
    revoked: bool = False,
    cancel_after: float | None = None,
    **server: Any,
) -> dict[str, Figures]:
    def measure(contender: Contender) -> Figures:
        with arrangement.worker(contender.environment) as worker:
            settings = {"latency": 0.05, **server}
            arrangement.server.ask("reset", **settings)
            worker.ask("open", contender=contender.name)
            if revoked:
                worker.ask("start")
                worker.ask("burst", requests=1, patience=5.0)
                arrangement.server.ask("revoke")
            before = arrangement.server.ask("counters")
            patience = arrangement.settings.patience * max(1, requests / 2000)
            outcome = worker.ask(
                "burst",
                timeout=3 * patience + 30.0,
                requests=requests,
                patience=patience,
                cancel_after=cancel_after,
            )
            after = arrangement.server.ask("counters")
        for name in ("token_requests", "resource_requests", "rejections"):
            outcome[name] = after[name] - before[name]
        outcome["token_requests_at_a_time"] = after["token_requests_at_a_time"]
        figures: Figures = outcome
        return figures

    return arrangement.each(measure)


def cold(arrangement: Arrangement) -> dict[str, Figures]:
    """Everybody at once, and there is no token yet."""
    return _burst(arrangement, arrangement.settings.burst)


def storm(arrangement: Arrangement) -> dict[str, Figures]:
    """Everybody at once, and the token has been revoked."""
    return _burst(arrangement, arrangement.settings.burst, revoked=True)


def storm_single(arrangement: Arrangement) -> dict[str, Figures]:
    """The same, and each new token ends the one before."""
    return _burst(arrangement, arrangement.settings.burst, revoked=True, single_valid=True)


def storm_large(arrangement: Arrangement) -> dict[str, Figures]:
    """The same, and each 401 comes with a body of 1 MiB."""
    return _burst(arrangement, arrangement.settings.burst, revoked=True, rejection_bytes=2**20)


def outage(arrangement: Arrangement) -> dict[str, Figures]:
    """A hundred requests wait for a token, and the token endpoint answers 503 after 200 ms."""
    return _burst(arrangement, min(100, arrangement.settings.burst), outage=True, latency=0.2)


def crowd(arrangement: Arrangement) -> dict[str, Figures]:
    """Ten thousand at once, and there is no token yet."""
    return _burst(arrangement, arrangement.settings.crowd)


def cancellation(arrangement: Arrangement) -> dict[str, Figures]:
    """Ten thousand wait for a token and are cancelled at once."""
    requests = arrangement.settings.crowd
    return _burst(arrangement, requests, latency=30.0, cancel_after=requests / 5000)


def expiry(arrangement: Arrangement) -> dict[str, Figures]:
    """A steady load over tokens of 2 s from a token endpoint that takes 200 ms."""
    s = arrangement.settings

    def measure(contender: Contender) -> Figures:
        with arrangement.worker(contender.environment) as worker:
            arrangement.server.ask("reset", latency=0.2, lifetime=2.0)
            worker.ask("open", contender=contender.name)
            worker.ask("start")
            worker.ask("burst", requests=1, patience=s.patience)
            before = arrangement.server.ask("counters")
            outcome: Figures = worker.ask(
                "load",
                timeout=s.load_seconds + 40.0,
                tasks=s.load_tasks,
                seconds=s.load_seconds,
                period=s.load_period,
                least_stall=0.02,
                slices=int(s.load_seconds * 20),
            )
            after = arrangement.server.ask("counters")
        for name in ("token_requests", "rejections"):
            outcome[name] = after[name] - before[name]
        outcome["seconds"] = s.load_seconds
        return outcome

    # Bare aiohttp is beside everybody. Not bare httpx: this load alone is more than it can carry.
    return arrangement.without("bare", "headers", "httpx").each(measure, bare=True)


def shared(arrangement: Arrangement) -> dict[str, Figures]:
    """Several processes start at once; those who can share a token in a file."""

    def measure(contender: Contender) -> Figures:
        with tempfile.TemporaryDirectory() as folder, _several(arrangement, contender) as workers:
            storage = str(Path(folder) / "token") if contender.has_storage else None
            arrangement.server.ask("reset", latency=0.05)
            for worker in workers:
                worker.ask("go", port=arrangement.port, storage=storage)
                worker.ask("open", contender=contender.name)
            for do, parameters in (("start", {}), ("burst", {"requests": 10, "patience": 10.0})):
                for worker in workers:
                    worker.send(do, **parameters)
                outcomes = [worker.receive() for worker in workers]
            counters = arrangement.server.ask("counters")
        statuses = [outcome["outcomes"] for outcome in outcomes]
        return {
            "outcomes": {
                key: sum(each.get(key, 0) for each in statuses)
                for key in sorted({key for each in statuses for key in each})
            },
            "seconds": max(outcome["seconds"] for outcome in outcomes),
            "token_requests": counters["token_requests"],
        }

    return arrangement.each(measure)


@contextmanager
def _several(arrangement: Arrangement, contender: Contender) -> Iterator[list[Child]]:
    python = str(interpreter(contender.environment))
    workers = [
        Child(python, "benchmarks.worker", None, arrangement.log)
        for _ in range(arrangement.settings.processes)
    ]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
