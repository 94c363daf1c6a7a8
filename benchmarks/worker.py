"""A worker: runs in the environment of one contender and does what the parent asks, line by line."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import warnings
from importlib import import_module
from typing import Any

__all__ = ("main",)


async def _work(answers: int) -> None:
    workloads = import_module(".workloads", __package__).Workloads()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command: dict[str, Any] = json.loads(line)
        do = command.pop("do")
        try:
            answer = {"answer": await getattr(workloads, do)(**command)}
        except Exception as error:
            import traceback

            traceback.print_exc()
            answer = {"failed": f"{type(error).__name__}: {error}"[:200]}
        os.write(answers, json.dumps(answer).encode() + b"\n")


def main() -> None:
    """Work until standard input ends. What anybody prints goes to the log, not among the answers."""
    warnings.simplefilter("ignore")
    answers = os.dup(1)
    os.dup2(2, 1)
    gc.collect()
    gc.freeze()
    asyncio.run(_work(answers))
