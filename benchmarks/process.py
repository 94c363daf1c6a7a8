"""`Child`: a Python process of the benchmark, which answers lines of JSON with lines of JSON."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

__all__ = ("BOOT", "ROOT", "Child", "Gone", "cores")

ROOT = Path(__file__).parent.parent

#: Runs the ``main`` of a module. Its arguments: the project's directory, the module, and the module's own.
# The directory goes last, so that an environment's own aioalf comes before this one.
BOOT = (
    "import sys; sys.path[:] = [p for p in sys.path if p]; sys.path.append(sys.argv.pop(1));"
    " from importlib import import_module; import_module(sys.argv.pop(1)).main()"
)


class Gone(Exception):
    """A child did not answer in time, or ended; it has been killed."""


def cores() -> tuple[set[int] | None, set[int] | None]:
    """The processor cores for the load server and for the workers; None where that cannot be chosen."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    own = sorted(os.sched_getaffinity(0))
    if len(own) < 2:
        return None, None
    return {own[-1]}, {own[0]}


class Child:
    """A running child.

    :param python: the interpreter, or that of a virtual environment.
    :param module: the module whose ``main`` it runs.
    :param on_cores: the cores it may use; None: any.
    :param log: the file that gets what it prints.
    """

    def __init__(self, python: str, module: str, on_cores: set[int] | None, log: Path) -> None:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment["PYTHONHASHSEED"] = "0"
        pin: Callable[[], None] | None = None
        if on_cores is not None:
            chosen = on_cores
            pin = lambda: os.sched_setaffinity(0, chosen)  # noqa: E731
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [python, "-c", BOOT, str(ROOT), module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=environment,
                preexec_fn=pin,
            )
        self._received = b""

    def send(self, do: str, **parameters: Any) -> None:
        """Send a command; `receive` then waits for its answer."""
        assert self._process.stdin is not None
        line = json.dumps({"do": do, **parameters}).encode() + b"\n"
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise Gone("it ended") from error

    def receive(self, timeout: float = 60.0) -> Any:
        """Return the answer to the last command.

        :param timeout: seconds, after which the child is killed.
        :raises Gone: there is none.
        """
        assert self._process.stdout is not None
        until = monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._received:
                if not selector.select(max(0.0, until - monotonic())):
                    self.kill()
                    raise Gone(f"no answer within {timeout:.0f} s")
                some = os.read(self._process.stdout.fileno(), 2**16)
                if not some:
                    self.kill()
                    raise Gone("it ended")
                self._received += some
        line, _, self._received = self._received.partition(b"\n")
        answer: Mapping[str, Any] = json.loads(line)
        if "failed" in answer:
            raise Gone(str(answer["failed"]))
        return answer["answer"]

    def ask(self, do: str, *, timeout: float = 60.0, **parameters: Any) -> Any:
        """Send a command and return its answer; see `receive`."""
        self.send(do, **parameters)
        return self.receive(timeout)

    def kill(self) -> None:
        """End it, at once."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    pass

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()


def this_python() -> str:
    """The interpreter of the project's own environment."""
    return sys.executable
