"""The scenarios of a good day: what a request costs, and what it costs to have a client at all."""

from __future__ import annotations

from dataclasses import replace

from .arrangement import Arrangement, Figures
from .contenders import Contender
from .import_time import import_times

__all__ = (
    "cost_in_memory",
    "cost_over_sockets",
    "growth",
    "importing",
    "memory",
    "throughput",
)


def _paired(
    arrangement: Arrangement, memory: bool, pairs: int, requests: int, tasks: int, rounds: int
) -> dict[str, Figures]:
    def measure(contender: Contender) -> Figures:
        count, block = pairs, requests
        if contender.slow:
            count, block = max(2, pairs // 4), max(tasks, requests // 4)
        measured: list[list[float]] = []
        for _ in range(rounds):
            with arrangement.worker(contender.environment) as worker:
                arrangement.server.ask("reset")
                measured += worker.ask(
                    "pairs",
                    timeout=arrangement.settings.patience * (2 if contender.slow else 10),
                    contender=contender.name,
                    limit="bare",
                    memory=memory,
                    pairs=count,
                    requests=block,
                    tasks=tasks,
                )
        return {"pairs": measured}

    return arrangement.without("bare").each(measure, bare=True)


def cost_in_memory(arrangement: Arrangement) -> dict[str, Figures]:
    """CPU and time per request, one after the other, answered from memory."""
    s = arrangement.settings
    return _paired(arrangement, True, s.memory_pairs, s.block, 1, s.rounds)


def cost_over_sockets(arrangement: Arrangement) -> dict[str, Figures]:
    """The same over loopback."""
    s = arrangement.settings
    return _paired(arrangement, False, s.socket_pairs, s.block, 1, s.rounds)


def throughput(arrangement: Arrangement) -> dict[str, Figures]:
    """A hundred tasks over loopback."""
    s = arrangement.settings
    return _paired(
        arrangement.without("headers"),
        False,
        s.throughput_pairs,
        s.throughput_requests,
        s.throughput_tasks,
        1,
    )


def growth(arrangement: Arrangement) -> dict[str, Figures]:
    """The ratio to bare with ever more tasks, answered from memory: the pool is at work, no socket."""
    figures: dict[str, Figures] = {}
    for tasks, requests, pairs in arrangement.settings.growth:
        able = [
            each
            for each in arrangement.without("headers").contenders
            if not any(
                "failed" in had for had in figures.get(each.name, {"tasks": {}})["tasks"].values()
            )
        ]
        still = replace(
            arrangement, contenders=able
        )  # who failed with a thousand is spared ten thousand
        for name, measured in _paired(still, True, pairs, requests, tasks, 1).items():
            figures.setdefault(name, {"tasks": {}})["tasks"][str(tasks)] = measured
    return figures


def importing(arrangement: Arrangement) -> dict[str, Figures]:
    """Seconds that the import adds to that of what it stands on, in fresh interpreters."""

    def measure(contender: Contender) -> Figures:
        if contender.imported is None:
            return {"runs": []}
        return import_times(contender, arrangement.settings.import_runs)

    return arrangement.each(measure)


def memory(arrangement: Arrangement) -> dict[str, Figures]:
    """What an open client holds that has sent one request, its session and connections included."""

    def measure(contender: Contender) -> Figures:
        with arrangement.worker(contender.environment) as worker:
            arrangement.server.ask("reset")
            clients = arrangement.settings.clients
            return {"bytes": worker.ask("memory", contender=contender.name, clients=clients)}

    return arrangement.without("headers").each(measure, bare=True)
