"""The HTTP part of `aioalf.testing`: what arrived, who is connected, what the resources answer."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl

from aiohttp import WSMsgType, web
from multidict import CIMultiDictProxy, MultiDict, MultiMapping

from .testing_rules import FORM_TYPE
from .testing_script import Answer

__all__ = ("Listener", "ReceivedRequest")

Kind = Literal["token", "authorize", "resource", "websocket", "stream", "redirect", "other"]

_ECHOED = 2**20  # bytes of a body that the resource sends back
_REDIRECTS = ("301", "302", "303", "307", "308")


@dataclass(frozen=True, eq=False)
class ReceivedRequest:
    """A request as it arrived. Its ``repr`` shows no header, no parameter and no body.

    :param kind: which part of the server it was for.
    :param method: the HTTP method.
    :param path: the path, percent-decoded.
    :param target: the request target as it was on the wire, path and query.
    :param headers: the headers; a repeated one is there as often as it was sent.
    :param raw_headers: the same as bytes, in order, names in the case they were sent in.
    :param query: the parameters of the URL.
    :param body: the body, decompressed; as far as it came if `complete` is false.
    :param complete: whether the body arrived to its end.
    :param peer_port: the port of the client; equal for requests that shared a connection.
    """

    kind: Kind
    method: str
    path: str
    target: str = field(repr=False)
    headers: CIMultiDictProxy[str] = field(repr=False)
    raw_headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    query: MultiMapping[str] = field(repr=False)
    body: bytes = field(repr=False)
    complete: bool
    peer_port: int

    @property
    def form(self) -> MultiDict[str]:
        """The parameters of the body, if it is a form."""
        if self.content_type != FORM_TYPE:
            return MultiDict()
        return MultiDict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    @property
    def content_type(self) -> str:
        """The media type of the body in lower case, without parameters; empty if there is none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def receive(request: web.BaseRequest, kind: Kind, *, read_body: bool) -> ReceivedRequest:
    """Read a request to its end, or as far as it comes."""
    body, complete = bytearray(), read_body
    if read_body and request.can_read_body:
        try:
            await _continue(request)
            async for chunk in request.content.iter_any():
                body += chunk
        except (web.RequestPayloadError, ConnectionError):
            complete = False
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return ReceivedRequest(
        kind=kind,
        method=request.method,
        path=request.path,
        target=request.raw_path,
        headers=request.headers,
        raw_headers=request.raw_headers,
        query=request.query,
        body=bytes(body),
        complete=complete,
        peer_port=peer[1] if peer else 0,
    )


async def _continue(request: web.BaseRequest) -> None:
    # aiohttp.web does this per route, and there are no routes here. The two lines are its own.
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON response."""
    return web.Response(
        body=json.dumps(value).encode(),
        status=status,
        headers=headers,
        content_type="application/json",
    )


async def echo(request: web.BaseRequest, received: ReceivedRequest) -> web.StreamResponse:
    """What arrived, as JSON."""
    headers: dict[str, str] = {}
    for name, value in received.headers.items():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return json_response(
        {
            "method": received.method,
            "path": received.path,
            "query": dict(received.query),
            "headers": headers,
            "body": received.body[:_ECHOED].decode("utf-8", "replace"),
            "body_sha256": hashlib.sha256(received.body).hexdigest(),
            "body_length": len(received.body),
        }
    )


async def echo_messages(request: web.BaseRequest, received: ReceivedRequest) -> web.StreamResponse:
    """A websocket that sends back what it is sent."""
    websocket = web.WebSocketResponse()
    if not websocket.can_prepare(request).ok:
        return web.Response(status=426, headers={"Upgrade": "websocket"})
    await websocket.prepare(request)
    async for message in websocket:
        if message.type is WSMsgType.TEXT:
            await websocket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await websocket.send_bytes(message.data)
    return websocket


async def send_events(request: web.BaseRequest, received: ReceivedRequest) -> web.StreamResponse:
    """Server-sent events, numbered from 0."""
    try:
        count = int(received.query.get("count", "3"))
        interval = float(received.query.get("interval", "0"))
    except ValueError:
        return web.Response(status=400, text="count and interval must be numbers")
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
    )
    await response.prepare(request)
    for number in range(count):
        if number:
            await asyncio.sleep(interval)
        await response.write(b"data: %d\n\n" % number)
    await response.write_eof()
    return response


async def redirect(request: web.BaseRequest, received: ReceivedRequest) -> web.StreamResponse:
    """A redirect to wherever the query says."""
    target, status = received.query.get("to", ""), received.query.get("status", "302")
    if not is_header_value(target) or status not in _REDIRECTS:
        return web.Response(status=400, text="to must be a URL, status a redirect")
    return web.Response(status=int(status), headers={"Location": target})


async def not_found(request: web.BaseRequest, received: ReceivedRequest) -> web.StreamResponse:
    """There is nothing here."""
    return web.Response(status=404)


def is_header_value(text: str) -> bool:
    """Whether a header can hold this text, which is visible ASCII."""
    return bool(text) and text.isascii() and text.isprintable()


class Listener(web.Server):
    """A `web.Server` that listens on 127.0.0.1, counts its connections and can end them all at once.

    It accepts them itself, so that it knows every one, one in the midst of its TLS handshake too.

    :param port: where to listen; 0 takes a free port, and `port` tells which.
    :param on_connection: called after every connection accepted.
    :raises OSError: the port is taken.
    """

    def __init__(
        self,
        handler: Answer,
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
        self.accepted = 0
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
