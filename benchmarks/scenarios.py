"""The scenarios by name, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Callable

from . import bad_days, costs
from .arrangement import Arrangement, Figures

__all__ = ("SCENARIOS",)

#: By name: a title, and what measures it and returns the figures of each contender.
SCENARIOS: dict[str, tuple[str, Callable[[Arrangement], dict[str, Figures]]]] = {
    "memory-cost": ("cost per request, in memory", costs.cost_in_memory),
    "socket-cost": ("cost per request, over sockets", costs.cost_over_sockets),
    "throughput": ("throughput of 100 tasks", costs.throughput),
    "growth": ("growth, 1 to 10,000 tasks", costs.growth),
    "cold": ("cold herd of 1,000", bad_days.cold),
    "storm": ("401 storm of 1,000", bad_days.storm),
    "storm-single": ("401 storm, one valid token", bad_days.storm_single),
    "storm-large": ("401 storm, bodies of 1 MiB", bad_days.storm_large),
    "crowd": ("cold herd of 10,000", bad_days.crowd),
    "cancellation": ("10,000 cancelled at once", bad_days.cancellation),
    "expiry": ("expiry under load", bad_days.expiry),
    "outage": ("outage of the token endpoint", bad_days.outage),
    "shared": ("4 processes, cold", bad_days.shared),
    "import": ("import time", costs.importing),
    "memory": ("memory per client", costs.memory),
}
