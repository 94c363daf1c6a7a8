"""The scenarios of a good day: what a request costs, and what it costs to have a client at all."""

from __future__ import annotations

from dataclasses import replace

from .contenders import Contender
from .import_time import import_times
from .instructions import can_count, count
from .plan import Figures, Plan

__all__ = (
    "cost_in_memory",
    "cost_over_sockets",
    "exchange",
    "growth",
    "importing",
    "instructions",
    "many",
    "memory",
    "throughput",
)


_MOST_TASKS_OF_SLOW = 100  # with more, a run would take minutes longer
_MOST_SESSIONS = 1000  # beyond that nothing changes but the time that it takes


def _paired(
    plan: Plan,
    memory: bool,
    pairs: int,
    requests: int,
    tasks: int,
    rounds: int,
    limit: str = "bare",
) -> dict[str, Figures]:
    def measure(contender: Contender) -> Figures:
        count, block = pairs, requests
        if contender.slow:
            count, block = max(2, pairs // 4), max(tasks, requests // 4)
        measured: list[list[float]] = []
        for _ in range(rounds):
            with plan.worker(contender.environment) as worker:
                plan.server.ask("reset")
                measured += worker.ask(
                    "pairs",
                    timeout=plan.settings.time_limit * (2 if contender.slow else 10),
                    contender=contender.name,
                    limit=limit,
                    memory=memory,
                    pairs=count,
                    requests=block,
                    tasks=tasks,
                )
        return {"pairs": measured}

    return plan.without(limit).each(measure, bare=True)


def cost_in_memory(plan: Plan) -> dict[str, Figures]:
    """CPU and time per request, one after the other, answered from memory."""
    s = plan.settings
    return _paired(plan, True, s.memory_pairs, s.block, 1, s.rounds)


def instructions(plan: Plan) -> dict[str, Figures]:
    """Instructions per request, one after the other, answered from memory; nothing without valgrind."""

    def measure(contender: Contender) -> Figures:
        plan.server.ask("reset")
        return {"instructions": count(contender, plan.port)}

    return plan.without("again").each(measure, bare=True) if can_count() else {}


def cost_over_sockets(plan: Plan) -> dict[str, Figures]:
    """The same over loopback."""
    s = plan.settings
    return _paired(plan, False, s.socket_pairs, s.block, 1, s.rounds)


def throughput(plan: Plan) -> dict[str, Figures]:
    """A hundred tasks over loopback."""
    s = plan.settings
    return _paired(
        plan.without("headers"),
        False,
        s.throughput_pairs,
        s.throughput_requests,
        s.throughput_tasks,
        1,
    )


def growth(plan: Plan) -> dict[str, Figures]:
    """The ratio to bare with ever more tasks, answered from memory: the pool is at work, no socket."""
    figures: dict[str, Figures] = {}
    for tasks, requests, pairs in plan.settings.growth:
        able = [
            each
            for each in plan.without("headers").contenders
            if not (each.slow and tasks > _MOST_TASKS_OF_SLOW)
            and not any(
                "failed" in had for had in figures.get(each.name, {"tasks": {}})["tasks"].values()
            )
        ]
        still = replace(plan, contenders=able)  # who failed with a thousand is spared ten thousand
        for name, measured in _paired(still, True, pairs, requests, tasks, 1).items():
            figures.setdefault(name, {"tasks": {}})["tasks"][str(tasks)] = measured
    return figures


def importing(plan: Plan) -> dict[str, Figures]:
    """Seconds that the import adds to that of what it stands on, in fresh interpreters."""

    def measure(contender: Contender) -> Figures:
        if contender.imported is None:
            return {"runs": []}
        return import_times(contender, plan.settings.import_runs)

    return plan.each(measure)


def memory(plan: Plan) -> dict[str, Figures]:
    """What an open client holds that has sent one request, its session and connections included."""

    def measure(contender: Contender) -> Figures:
        with plan.worker(contender.environment) as worker:
            plan.server.ask("reset")
            clients = plan.settings.clients
            return {"bytes": worker.ask("memory", contender=contender.name, clients=clients)}

    return plan.without("headers").each(measure, bare=True)


def many(plan: Plan) -> dict[str, Figures]:
    """What each of ever more clients holds, and what it costs to have it and send one request."""
    only = [each for each in plan.contenders if each.name in ("bare", "client", "sharing")]

    def measure(contender: Contender) -> Figures:
        figures = {}
        for clients in plan.settings.many:
            if clients > _MOST_SESSIONS and contender.name != "sharing":
                continue
            with plan.worker(contender.environment) as worker:
                plan.server.ask("reset")
                figures[str(clients)] = worker.ask(
                    "many", contender=contender.name, clients=clients
                )
        return {"clients": figures}

    return replace(plan, contenders=only).each(measure, bare=True)


def exchange(plan: Plan) -> dict[str, Figures]:
    """What a manager costs that is made for one request, over the two requests that are sent."""
    s = plan.settings
    only = [each for each in plan.contenders if each.scenarios == ("exchange",)]
    paired = replace(plan, contenders=only)
    return _paired(paired, False, s.exchange_pairs, s.block, 1, s.rounds, "two-requests")
