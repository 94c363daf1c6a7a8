"""Python processes beside the tests: what is shared between processes is tested between processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ("holding", "python")

_HOLDER = """
import asyncio, sys

async def main():
    storage = {storage}
    async with storage.lock():
        print("held", flush=True)
        await asyncio.to_thread(sys.stdin.read)  # until the test closes it, or kills this process
    await storage.close()

asyncio.run(main())
"""


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start another Python that imports what this one can.

    :param code: its program.
    :param arguments: its ``sys.argv``, after the first.
    """
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def holding(imports: str, storage: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of that storage; killed at the end, if not before.

    :param imports: the statement that imports what the expression needs.
    :param storage: the expression that makes the storage.
    """
    with python(f"{imports}\n{_HOLDER.format(storage=storage)}") as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            os.kill(process.pid, signal.SIGKILL)
