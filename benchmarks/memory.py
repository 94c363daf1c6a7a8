"""An aiohttp connector without sockets: each request is answered from memory, in the next turn of the loop.

All of aiohttp but the socket is at work: session, pool, request, parser, response. So a difference
between two clients is larger, relative to the whole, than it is over a socket, and the system's noise is
left out.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import BaseConnector

from .server import ANSWER

__all__ = ("MemoryConnector",)


class MemoryConnector(BaseConnector):
    """Hands out connections to a server that says the same to everything."""

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:
        protocol: Any = self._factory()
        protocol.connection_made(_Transport(protocol))
        return protocol


class _Transport(asyncio.Transport):
    """Where a request ends; only requests without a body may be sent."""

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self._protocol = protocol
        self._closing = False
        self._call_soon = asyncio.get_running_loop().call_soon

    def write(self, data: Any) -> None:
        if data.endswith(b"\r\n\r\n"):
            self._call_soon(self._protocol.data_received, ANSWER)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass
