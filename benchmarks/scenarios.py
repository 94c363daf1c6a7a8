"""The scenarios by name, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Callable

from . import failures, fleets, overhead
from .plan import Figures, Plan

__all__ = ("SCENARIOS",)

#: By name: a title, and what measures it and returns the figures of each contender.
SCENARIOS: dict[str, tuple[str, Callable[[Plan], dict[str, Figures]]]] = {
    "memory-cost": ("cost per request, in memory", overhead.cost_in_memory),
    "instructions": ("instructions per request", overhead.instructions),
    "socket-cost": ("cost per request, over sockets", overhead.cost_over_sockets),
    "throughput": ("throughput of 100 tasks", overhead.throughput),
    "growth": ("growth, 1 to 10,000 tasks", overhead.growth),
    "cold": ("cold herd of 1,000", failures.cold),
    "storm": ("401 storm of 1,000", failures.storm),
    "storm-single": ("401 storm, one valid token", failures.storm_single),
    "storm-large": ("401 storm, bodies of 1 MiB", failures.storm_large),
    "crowd": ("cold herd of 10,000", failures.crowd),
    "cancellation": ("10,000 cancelled at once", failures.cancellation),
    "expiry": ("expiry under load", failures.expiry),
    "outage": ("outage of the token endpoint", failures.outage),
    "shared": ("4 processes, cold", failures.shared),
    "rotation": ("4 processes, one refresh token", failures.rotation),
    "fleet": ("a fleet of 8 processes", fleets.fleet),
    "import": ("import time", overhead.importing),
    "memory": ("memory per client", overhead.memory),
    "many": ("many clients", overhead.many),
    "exchange": ("an exchange per request", overhead.exchange),
}
