"""The network for httpx that answers from memory, as `benchmarks.memory` does for aiohttp.

All of httpx and httpcore but the socket is at work, the connection pool too.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from .server import ANSWER

__all__ = ("answering",)


def answering() -> Any:
    """Return a transport for httpx whose connections end in memory."""
    transport: Any = import_module("httpx").AsyncHTTPTransport()
    # There is no public way to hand a network to httpx; its own tests go in here as well.
    transport._pool._network_backend = _Network()
    return transport


class _Network:
    async def connect_tcp(self, *_: Any, **__: Any) -> Any:
        return _Stream()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Stream:
    def __init__(self) -> None:
        self._answer = b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if buffer.endswith(b"\r\n\r\n"):
            self._answer = ANSWER

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        await asyncio.sleep(0)
        answer, self._answer = self._answer, b""
        return answer

    async def aclose(self) -> None:
        pass

    def get_extra_info(self, info: str) -> Any:
        return None
