"""`Plan`: who takes part, the load server, and how much is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .contenders import Contender
from .environments import interpreter
from .process import Child, Gone, cores

__all__ = ("QUICK", "Figures", "Plan", "Progress", "Settings")

Figures = dict[str, Any]
#: Called with the titles of a scenario and a contender before each measurement.
Progress = Callable[[str, str], None]


@dataclass(frozen=True)
class Settings:
    """How much is measured; the default takes some minutes."""

    rounds: int = 2  # fresh processes per contender
    fresh: bool = True  # false: one process per environment for everything
    processes: int = 4  # that share a token
    memory_pairs: int = 100
    socket_pairs: int = 40
    block: int = 50  # requests
    throughput_pairs: int = 8
    throughput_requests: int = 1000
    throughput_tasks: int = 100
    burst: int = 1000
    crowd: int = 10_000
    growth: tuple[tuple[int, int, int], ...] = (  # tasks, requests per block, pairs
        (1, 200, 12),
        (10, 500, 12),
        (100, 1000, 10),
        (1000, 2000, 4),
        # Not one: a block has one full garbage collection or two, as it happens, and each is felt.
        (10_000, 10_000, 2),
    )
    load_seconds: float = 8.0
    load_tasks: int = 50
    load_period: float = 0.05
    import_runs: int = 10
    clients: int = 100
    many: tuple[int, ...] = (10, 100, 1000, 10_000)  # clients
    exchange_pairs: int = 24
    fleet_processes: int = 8
    fleet: tuple[int, ...] = (1, 8, 64, 128)  # managers in each process
    fleet_load: tuple[int, ...] = (8, 64)  # of those, which see a token expire under load
    fleet_seconds: float = 7.0  # of that load
    time_limit: float = 6.0  # seconds, after which whoever still waits counts as unanswered


QUICK = Settings(
    rounds=1,
    memory_pairs=60,
    socket_pairs=20,
    throughput_pairs=4,
    growth=((1, 200, 4), (10, 500, 4), (100, 1000, 4), (1000, 2000, 2), (10_000, 10_000, 1)),
    load_seconds=4.2,
    import_runs=5,
    clients=40,
    many=(10, 100, 1000),
    exchange_pairs=12,
    fleet=(1, 8, 64),
    fleet_load=(8,),
)


@dataclass
class Plan:
    """Who takes part, and the load server."""

    settings: Settings
    contenders: list[Contender]
    server: Child
    port: int
    log: Path
    progress: Progress
    title: str = ""
    _kept: dict[str, Child] = field(default_factory=dict)

    @contextmanager
    def worker(self, environment: str) -> Iterator[Child]:
        """A process in an environment, its work done when this is left."""
        child = self._kept.pop(environment, None)
        if child is None:
            python = str(interpreter(environment))
            child = Child(python, "benchmarks.worker", cores()[1], self.log)
            child.send("go", port=self.port)
            child.receive()
        try:
            yield child
            if not self.settings.fresh:
                child.ask("close")
                self._kept[environment] = child
        finally:
            if environment not in self._kept:
                child.kill()

    def without(self, *names: str) -> Plan:
        """The same without some contenders."""
        left = [each for each in self.contenders if each.name not in names]
        return replace(self, contenders=left)

    def close(self) -> None:
        """End the processes that were kept."""
        while self._kept:
            self._kept.popitem()[1].kill()

    def each(
        self, measure: Callable[[Contender], Figures], *, bare: bool = False
    ) -> dict[str, Figures]:
        """Measure one after the other; whoever fails is shown as having failed.

        :param bare: those without a token too.
        """
        figures = {}
        for contender in self.contenders:
            if not bare and not contender.has_token:
                continue
            self.progress(self.title, contender.title)
            try:
                figures[contender.name] = measure(contender)
            except Gone as error:
                figures[contender.name] = {"failed": str(error)}
        return figures
