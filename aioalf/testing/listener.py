"""`Listener`: accepts the connections of the server and can end them all at once."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web

from .script import Respond

__all__ = ("Listener",)


class Listener(web.Server):
    """A `web.Server` that listens on 127.0.0.1, counts its connections and can end them all at once.

    It accepts them itself, so that it knows every one, also one whose TLS handshake has just begun.

    :param port: where to listen; 0 takes a free port, and `port` tells which.
    :param on_connection: called after every connection accepted.
    :raises OSError: the port is taken.
    """

    def __init__(
        self,
        handler: Respond,
        on_connection: Callable[[], None],
        port: int,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        super().__init__(self._run, access_log=None)
        self._handler, self._ssl_context = handler, ssl_context
        self._on_connection = on_connection
        self._socket = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._socket.setblocking(False)
        self._waker = socket.socket()  # made now: later there may be too many open files
        self._waker.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.accepted: int = 0
        self._connecting: dict[asyncio.Task[None], socket.socket] = {}
        self._transports: dict[web.RequestHandler, asyncio.Transport] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # of the connections, which await the handler
        self._emptied = asyncio.Event()
        self._closing = False
        self._accepting = asyncio.create_task(self._accept())

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, _ = await loop.sock_accept(self._socket)
            except OSError:  # too many open files, or a client that has left already
                if self._closing:
                    return
                await asyncio.sleep(0.01)
                continue
            if self._closing:
                connected.close()
                return
            self.accepted += 1
            self._on_connection()
            task = asyncio.create_task(self._connect(connected))
            self._connecting[task] = connected
            task.add_done_callback(self._connecting.pop)

    async def _connect(self, connected: socket.socket) -> None:
        with suppress(OSError):  # a handshake that failed
            await asyncio.get_running_loop().connect_accepted_socket(
                self, connected, ssl=self._ssl_context
            )

    async def _run(self, request: web.BaseRequest) -> web.StreamResponse:
        task = request.task
        if task not in self._tasks:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if self._closing:  # parsed before `end`, begun after it
            return web.Response(status=503)
        return await self._handler(request)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._transports[handler] = transport
        self._emptied.clear()

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        self._transports.pop(handler, None)
        if not self._transports:
            self._emptied.set()
        super().connection_lost(handler, exc)

    async def end(self) -> None:
        """Stop listening, cancel what is being handled, close every connection, wait for no client.

        `shutdown` alone is not enough: it overlooks a request whose client has left, and waits for
        a client that does not read.
        """
        self._closing = True
        # Not cancelled but woken: a cancelled accept can lose the connection it has just accepted.
        self._waker.connect_ex(self._socket.getsockname())
        await self._accepting
        self._waker.close()
        self._socket.close()
        connecting = dict(self._connecting)
        for task in connecting:
            task.cancel()
        await asyncio.gather(*connecting, return_exceptions=True)
        for connected in connecting.values():
            connected.close()  # its task may have been cancelled before it began
        self.pre_shutdown()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for transport in list(self._transports.values()):
            transport.abort()
        if self._transports:
            await self._emptied.wait()
        await self.shutdown(0.01)
