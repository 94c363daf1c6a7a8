"""What a worker does and measures: pairs of blocks, bursts, a steady load, memory."""

from __future__ import annotations

import asyncio
import gc
import platform
import resource
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from time import perf_counter, process_time
from typing import Any

from .contenders import Arena, Running, Several, opened

__all__ = ("Workloads", "percentile")

_MEMORY = "http://memory/resource"


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the ordered values that is not below that share of them."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Workloads:
    """Each public method is a command; what it returns goes to the parent as JSON."""

    def __init__(self) -> None:
        self._arena = Arena("", "")
        self._running: Running | None = None

    async def hello(self, distributions: list[str]) -> dict[str, Any]:
        """Say which versions are at work."""
        versions = {}
        for name in distributions:
            try:
                versions[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                pass
        return {"python": platform.python_version(), "versions": versions}

    async def go(self, port: int, storage: str | None = None, memory: bool = False) -> None:
        """Say where the load server is, and whether requests are answered from memory."""
        origin = f"http://127.0.0.1:{port}"
        resource = _MEMORY if memory else f"{origin}/resource"
        self._arena = Arena(resource, f"{origin}/token", memory, storage)

    async def open(self, contender: str, number: int | None = None) -> None:
        """Open the contender of the commands that follow; or so many, which send the requests in turn."""
        await self.close()
        if number is None:
            self._running = opened(contender, self._arena)
        else:
            self._running = Several(contender, self._arena, number)

    async def start(self) -> None:
        """Do what must be done before the first request; most need nothing."""
        if (start := getattr(self._running, "start", None)) is not None:
            await start()

    async def close(self) -> None:
        """Close it."""
        if self._running is not None:
            await self._running.close()
            self._running = None

    # -- pairs: the contender and its limit, turn and turn about, in one process

    async def pairs(
        self, contender: str, limit: str, memory: bool, pairs: int, requests: int, tasks: int = 1
    ) -> list[list[float]]:
        """Measure blocks of requests of one and the other, the first of each pair in turn.

        :param tasks: how many tasks share the requests of a block.
        :return: for each pair microseconds per request: CPU of the contender, CPU of its limit, then
            the time that passed for either.
        """
        arena = self._arena
        if memory:
            arena = Arena(_MEMORY, arena.token_endpoint, memory=True)
        ours, theirs = opened(contender, arena), opened(limit, arena)
        results = []
        try:
            if (start := getattr(ours, "start", None)) is not None:
                await start()
            for each in (ours, theirs):  # warms code, pool and token
                await _block(each, requests, tasks)
            gc.collect()
            gc.freeze()
            for turn in range(pairs):
                if turn % 2:
                    limits = await _block(theirs, requests, tasks)
                    own = await _block(ours, requests, tasks)
                else:
                    own = await _block(ours, requests, tasks)
                    limits = await _block(theirs, requests, tasks)
                cpu, wall = zip(own, limits, strict=True)
                results.append([round(1e6 * value / requests, 2) for value in (*cpu, *wall)])
        finally:
            await ours.close()
            await theirs.close()
        return results

    # -- bursts: all at once, and what becomes of each

    async def burst(
        self, requests: int, time_limit: float, cancel_after: float | None = None
    ) -> dict[str, Any]:
        """Send that many requests at once.

        :param time_limit: seconds, after which whoever still waits counts as unanswered.
        :param cancel_after: seconds, after which all are cancelled on purpose.
        :return: the outcomes, by status or exception; seconds; the longest that the loop stood still.
        """
        running = self._running
        assert running is not None
        gc.collect()
        begun = perf_counter()
        ended = [begun]

        async def one() -> str:
            try:
                return str(await running.get())
            except Exception as error:
                return type(error).__name__
            finally:
                ended[0] = perf_counter()

        gap = asyncio.ensure_future(_longest_gap())
        tasks = [asyncio.ensure_future(one()) for _ in range(requests)]
        wait = time_limit if cancel_after is None else cancel_after
        _, pending = await asyncio.wait(tasks, timeout=wait)
        cancelled = perf_counter()
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending, timeout=time_limit)
        seconds = perf_counter() - cancelled if cancel_after is not None else ended[0] - begun
        await asyncio.sleep(0.01)
        gap.cancel()
        never = "unanswered" if cancel_after is None else "cancelled"
        outcomes = Counter(
            task.result() if task.done() and not task.cancelled() else never for task in tasks
        )
        return {
            "outcomes": dict(outcomes),
            "seconds": round(seconds, 4),
            "longest_gap": round(_gaps[-1], 4),
        }

    # -- a steady load, and how long each request took

    async def load(
        self, tasks: int, seconds: float, period: float, least_stall: float, slices: int
    ) -> dict[str, Any]:
        """Let tasks send a request every `period` seconds each, and as many tasks of bare aiohttp beside.

        A request counts as stalled when it took half as long again as the slowest of bare aiohttp about
        the same moment: what holds up the loop or the machine holds up both.

        :param least_stall: seconds; nothing shorter is a stall.
        :param slices: the time is cut into so many; the slowest request of each is told.
        """
        running = self._running
        assert running is not None
        bare = opened("bare", self._arena)
        await bare.get()
        gc.collect()
        gc.freeze()
        begun = perf_counter() + 0.01
        own, beside = _Load(begun, seconds, slices), _Load(begun, seconds, slices)
        started = [
            asyncio.ensure_future(
                load.work(each, begun + period * (number + shift) / tasks, period)
            )
            for each, load, shift in ((running, own, 0.0), (bare, beside, 0.5))
            for number in range(tasks)
        ]
        _, pending = await asyncio.wait(started, timeout=seconds + 3.0)
        for task in pending:
            task.cancel()
        await bare.close()
        own.outcomes["unanswered"] += len(pending)
        stalled = own.stalled(beside, least_stall) + len(pending)
        return {**own.figures(), "stalled": stalled, "beside": beside.figures()}

    # -- memory

    async def memory(self, contender: str, clients: int) -> float:
        """Bytes that one open client holds, having sent one request, its session and connections too."""
        kept = [await self._used(contender) for _ in range(5)]  # what is made once is made now
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        kept += [await self._used(contender) for _ in range(clients)]
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        for running in kept:
            await running.close()
        return round(held / clients)

    async def many(self, contender: str, clients: int) -> dict[str, float]:
        """Bytes and CPU of so many clients, each of which has sent one request, answered from memory.

        :return: for each of them, bytes and microseconds.
        """
        arena = Arena(_MEMORY, self._arena.token_endpoint, memory=True)
        kept = [await self._used(contender, arena) for _ in range(5)]
        gc.collect()
        begun = process_time()
        timed = [await self._used(contender, arena) for _ in range(clients)]
        cpu = process_time() - begun
        for running in timed:
            await running.close()
        timed.clear()
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        kept += [await self._used(contender, arena) for _ in range(clients)]
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        for running in kept:
            await running.close()
        return {"bytes": round(held / clients), "cpu": round(1e6 * cpu / clients, 1)}

    async def _used(self, contender: str, arena: Arena | None = None) -> Running:
        running = opened(contender, arena or self._arena)
        if (start := getattr(running, "start", None)) is not None:
            await start()
        await running.get()
        return running

    async def resident(self) -> int:
        """The most memory this process has had, in KiB."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class _Load:
    """The requests of some tasks, from `begun` on for `seconds`."""

    def __init__(self, begun: float, seconds: float, slices: int) -> None:
        self._begun = begun
        self._seconds = seconds
        self._slowest = [0.0] * slices
        self._taken: list[tuple[int, float]] = []  # slice, latency
        self.outcomes: Counter[str] = Counter()

    async def work(self, running: Running, due: float, period: float) -> None:
        slices = len(self._slowest)
        while due < self._begun + self._seconds:
            await asyncio.sleep(max(0.0, due - perf_counter()))
            sent = perf_counter()
            try:
                self.outcomes[str(await running.get())] += 1
            except Exception as error:
                self.outcomes[type(error).__name__] += 1
            latency = perf_counter() - sent
            at = min(slices - 1, int((sent - self._begun) / self._seconds * slices))
            self._taken.append((at, latency))
            self._slowest[at] = max(self._slowest[at], latency)
            due = max(due + period, sent)

    def stalled(self, bare: _Load, least: float) -> int:
        """How many requests waited for something that bare aiohttp did not wait for."""
        slow = bare._slowest
        allowed = [max(least, 1.5 * max(slow[max(0, at - 4) : at + 5])) for at in range(len(slow))]
        return sum(latency > allowed[at] for at, latency in self._taken)

    def figures(self) -> dict[str, Any]:
        ordered = sorted(latency for _, latency in self._taken)
        return {
            "requests": len(ordered),
            "outcomes": {name: count for name, count in self.outcomes.items() if count},
            "p50": round(percentile(ordered, 0.5), 6),
            "p99": round(percentile(ordered, 0.99), 6),
            "max": round(ordered[-1], 6),
            "slowest": [round(latency, 5) for latency in self._slowest],
        }


async def _block(running: Running, requests: int, tasks: int) -> tuple[float, float]:
    async def several(count: int) -> None:
        get = running.get
        for _ in range(count):
            status = await get()
            if status != 200:
                raise RuntimeError(f"answered {status}")

    cpu, wall = process_time(), perf_counter()
    if tasks == 1:
        await several(requests)
    else:
        await asyncio.gather(*[several(requests // tasks) for _ in range(tasks)])
    return process_time() - cpu, perf_counter() - wall


_gaps = [0.0]


async def _longest_gap() -> None:
    """Note how long the event loop is held up."""
    _gaps.append(0.0)
    before = perf_counter()
    while True:
        await asyncio.sleep(0.001)
        now = perf_counter()
        _gaps[-1] = max(_gaps[-1], now - before)
        before = now
