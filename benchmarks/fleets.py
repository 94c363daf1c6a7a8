"""A fleet: many managers in several processes, cold, after a revocation, and while tokens expire."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from .contenders import Contender
from .failures import several, summed
from .plan import Figures, Plan
from .process import Child

__all__ = ("fleet",)

_LATENCY = 0.2  # seconds that a token request takes
_LIFETIME = 4.0  # seconds that a token lives which expires under load
_STALLED = 0.1  # seconds
_WITHOUT_STORAGE = ("handwritten", "old", "peer")  # authlib has to be told to fetch its first token
_MOST_OF_OTHERS = 64  # managers in a process: who shares nothing has a token request for each


def fleet(plan: Plan) -> dict[str, Figures]:
    """How long it takes until the last manager has its token, by the number of managers."""
    only = [each for each in plan.contenders if each.name in ("client", *_WITHOUT_STORAGE)]

    def measure(contender: Contender) -> Figures:
        if not contender.has_storage:
            return {"points": _Fleet(plan, contender, "none").points()}
        points = []
        with tempfile.TemporaryDirectory() as folder, _redis(folder) as url:
            for kind in ("redis", "file") if url else ("file",):
                plan.progress(f"{plan.title}, {kind}", contender.title)
                points += _Fleet(plan, contender, kind, folder, url).points()
        return {"points": points}

    return replace(plan, contenders=only).each(measure)


class _Fleet:
    def __init__(
        self, plan: Plan, contender: Contender, kind: str, folder: str = "", url: str | None = None
    ) -> None:
        self._plan = plan
        self._contender = contender
        self._kind = kind
        self._folder = folder
        self._url = url
        self._made = 0

    def points(self) -> list[dict[str, Any]]:
        """Measure with ever more managers: first one in one process, then so many in each of several."""
        s = self._plan.settings
        shares = self._contender.has_storage
        numbers = [each for each in s.fleet if shares or each <= _MOST_OF_OTHERS]
        with several(self._plan, self._contender, s.fleet_processes) as workers:
            points = self._cold_and_revoked(workers[:1], 1)
            for number in numbers:
                points += self._cold_and_revoked(workers, number)
                if number in s.fleet_load and self._contender.has_storage:
                    points.append(self._expiring(workers, number))
        return points

    def _cold_and_revoked(self, workers: list[Child], number: int) -> list[dict[str, Any]]:
        storage = self._new_storage()
        self._plan.server.ask("reset", latency=_LATENCY)
        # Cold, the requests are answered from memory: it is the token that is waited for.
        self._open(workers, number, storage, memory=True)
        cold = self._burst(workers, number, "cold")
        if not self._contender.has_storage:
            return [cold]
        self._open(workers, number, storage)
        self._burst(workers, number, "warm")
        self._plan.server.ask("revoke")
        return [cold, self._burst(workers, number, "revoked")]

    def _open(
        self, workers: list[Child], number: int, storage: str | None, memory: bool = False
    ) -> None:
        for worker in workers:
            worker.ask("go", port=self._plan.port, storage=storage, memory=memory)
            worker.send("open", contender=self._contender.name, number=number)
        for worker in workers:
            worker.receive(timeout=120.0)
        for worker in workers:
            worker.ask("start", timeout=120.0)

    def _burst(self, workers: list[Child], number: int, day: str) -> dict[str, Any]:
        before = self._plan.server.ask("counters"), self._commands()
        for worker in workers:
            worker.send("burst", requests=number, time_limit=30.0)
        outcomes = [worker.receive() for worker in workers]
        after = self._plan.server.ask("counters"), self._commands()
        point = {
            "day": day,
            "storage": self._kind,
            "processes": len(workers),
            "managers": number * len(workers),
            "seconds": max(each["seconds"] for each in outcomes),
            "outcomes": summed(each["outcomes"] for each in outcomes),
            "token_requests": after[0]["token_requests"] - before[0]["token_requests"],
        }
        if before[1] is not None and after[1] is not None:
            point["commands"] = after[1] - before[1] - 1  # the last question is one too
        return point

    def _expiring(self, workers: list[Child], number: int) -> dict[str, Any]:
        s, server = self._plan.settings, self._plan.server
        server.ask("reset", latency=_LATENCY, lifetime=_LIFETIME)
        self._open(workers, number, self._new_storage())
        self._burst(workers, number, "warm")
        before = server.ask("counters")
        for worker in workers:
            worker.send(
                "load",
                tasks=number,
                seconds=s.fleet_seconds,
                period=max(
                    0.05, number / 64
                ),  # a few hundred requests per second, in all processes
                least_stall=_STALLED,
                slices=int(s.fleet_seconds * 20),
            )
        loads = [worker.receive(timeout=s.fleet_seconds + 40.0) for worker in workers]
        after = server.ask("counters")
        return {
            "day": "expiring",
            "storage": self._kind,
            "processes": len(workers),
            "managers": number * len(workers),
            "seconds": s.fleet_seconds,
            "lifetime": _LIFETIME,
            "requests": sum(each["requests"] for each in loads),
            "outcomes": summed(each["outcomes"] for each in loads),
            "stalled": sum(each["stalled"] for each in loads),
            "max": max(each["max"] for each in loads),
            "beside": max(each["beside"]["max"] for each in loads),
            "rejections": after["rejections"] - before["rejections"],
            "token_requests": after["token_requests"] - before["token_requests"],
        }

    def _new_storage(self) -> str | None:
        if self._kind == "none":
            return None
        if self._kind == "redis":
            self._ask_redis(lambda client: client.flushall())
            return self._url
        self._made += 1
        return str(Path(self._folder) / f"tokens-{self._made}")

    def _commands(self) -> int | None:
        if self._kind != "redis":
            return None
        counted: int = self._ask_redis(lambda client: client.info("stats"))[
            "total_commands_processed"
        ]
        return counted

    def _ask_redis(self, question: Any) -> Any:
        from redis import Redis

        if self._admin is None:
            self._admin = Redis.from_url(str(self._url))
        return question(self._admin)

    _admin: Any = None


@contextmanager
def _redis(folder: str) -> Iterator[str | None]:
    """Run a Redis and give its URL; None if it is not installed."""
    binary = shutil.which("redis-server")
    if binary is None:
        with nullcontext():
            yield None
        return
    path = f"{folder}/redis"
    command = [binary, "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        for line in server.stdout:
            if "eady to accept connections" in line:
                break
        yield f"unix://{path}"
    finally:
        server.terminate()
        server.communicate()
