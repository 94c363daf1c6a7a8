"""Instructions per request, counted by callgrind: a figure that does not depend on what else runs."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import warnings

from .contenders import Arena, Contender, opened
from .environments import interpreter
from .process import BOOT, ROOT, Gone

__all__ = ("can_count", "count", "main")

_WARMING, _COUNTED, _COUNTED_OF_SLOW = 20, 200, 40  # requests
_TIME_LIMIT = (
    120.0  # seconds: under valgrind all takes ten times as long, and fifty while it counts
)


def can_count() -> bool:
    """Return whether ``valgrind`` is installed, with what switches its counting on and off."""
    return shutil.which("valgrind") is not None and shutil.which("callgrind_control") is not None


def count(contender: Contender, port: int) -> float:
    """Return the instructions of one request that is answered from memory.

    Counting is off while the process starts and sends its first requests: that alone takes ten times as
    long as the requests that are counted.

    :param port: the port of the load server, which gives the token.
    :raises Gone: the contender cannot be counted.
    """
    requests = _COUNTED_OF_SLOW if contender.slow else _COUNTED
    command = [
        *("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--instr-atstart=no"),
        *(str(interpreter(contender.environment)), "-c", BOOT, str(ROOT), __name__),
        *(contender.name, str(port), str(requests)),
    ]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment, text=True) as process:
        assert process.stdout is not None
        patience = threading.Timer(_TIME_LIMIT, process.kill)
        patience.start()
        switches = iter(["on", "off"])
        while process.stdout.readline() and (switch := next(switches, None)) is not None:
            control = ["callgrind_control", f"--instr={switch}", str(process.pid)]
            subprocess.run(control, capture_output=True, check=False)
            process.send_signal(signal.SIGUSR1)
        said = process.communicate()[1]
        patience.cancel()
    found = re.search(r"Collected : (\d+)", said)
    if process.returncode or found is None:
        raise Gone(said.strip().rpartition("\n")[2][:200])
    return int(found[1]) / requests


def main() -> None:
    """Send requests; before those that are counted, and after, write a line and wait for a signal."""
    warnings.simplefilter("ignore")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    name, port, requests = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    asyncio.run(_send(name, port, requests))


async def _send(name: str, port: int, counted: int) -> None:
    token_endpoint = f"http://127.0.0.1:{port}/token"
    running = opened(name, Arena("http://memory/resource", token_endpoint, memory=True))
    try:
        if (start := getattr(running, "start", None)) is not None:
            await start()
        for requests in (_WARMING, counted):
            for _ in range(requests):
                await running.get()
            print("ready", flush=True)
            signal.sigwait({signal.SIGUSR1})
    finally:
        await running.close()
