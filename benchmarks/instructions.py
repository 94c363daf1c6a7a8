"""Instructions per request, counted by callgrind: a figure that does not depend on what else runs."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from .contenders import Arena, Contender, opened
from .environments import interpreter
from .process import BOOT, ROOT, Gone

__all__ = ("can_count", "count", "main")

_FEW, _MANY = 100, 300  # requests
_TIME_LIMIT = 300.0  # seconds: under valgrind all takes fifty times as long


def can_count() -> bool:
    """Return whether ``valgrind`` is installed."""
    return shutil.which("valgrind") is not None


def count(contender: Contender, port: int) -> float:
    """Return the instructions of one request that is answered from memory.

    Two processes send a different number of requests, and all else that they do is the same: what differs
    is due to the requests.

    :param port: the port of the load server, which gives the token.
    :raises Gone: the contender cannot be counted.
    """
    with ThreadPoolExecutor() as both:
        counted: Callable[[int], int] = lambda requests: _counted(contender, port, requests)  # noqa: E731
        few, many = both.map(counted, (_FEW, _MANY))
    return (many - few) / (_MANY - _FEW)


def _counted(contender: Contender, port: int, requests: int) -> int:
    command = [
        *("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"),
        *(str(interpreter(contender.environment)), "-c", BOOT, str(ROOT), __name__),
        *(contender.name, str(port), str(requests)),
    ]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Gone(f"not counted within {_TIME_LIMIT:.0f} s") from None
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise Gone(done.stderr.strip().rpartition("\n")[2][:200])
    return int(found[1])


def main() -> None:
    """Send the requests that the command line asks for; it runs under valgrind."""
    warnings.simplefilter("ignore")
    name, port, requests = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    asyncio.run(_send(name, port, requests))


async def _send(name: str, port: int, requests: int) -> None:
    token_endpoint = f"http://127.0.0.1:{port}/token"
    running = opened(name, Arena("http://memory/resource", token_endpoint, memory=True))
    try:
        if (start := getattr(running, "start", None)) is not None:
            await start()
        for _ in range(requests):
            await running.get()
    finally:
        await running.close()
