"""A small HTTP server that reads carefully, refuses plainly and keeps few connections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import parse_qsl

from aiohttp import web

from .page import HEADERS

__all__ = (
    "LoopbackServer",
    "decoded_pairs",
    "method_not_allowed",
    "read_limited",
    "single_value",
    "text_response",
)

logger: logging.Logger = logging.getLogger("aioalf")

# aiohttp's server logs the request line of what it cannot parse, and a broken server may have put a
# token there. A failure of our own is logged below. Made directly: no logging configuration can reach a
# logger that is not registered.
_silent = logging.Logger("aioalf: nothing of this is logged")  # noqa: LOG001
_silent.addHandler(logging.NullHandler())

_MAX_BODY = 64 * 1024  # bytes; a token is a few kilobytes
_MAX_CONNECTIONS = 32  # a browser opens six to a host
_MAX_TIME = 10.0  # seconds for a request to arrive, and for its page to be sent


class LoopbackServer(web.Server):
    """Serves one request for each connection, on few connections, none for long.

    Any program of the machine may connect: idle connections must not use up the program's files. If there
    are too many, the oldest is closed.

    :param respond: answers a request.
    """

    def __init__(self, respond: Callable[[web.BaseRequest], Awaitable[web.Response]]) -> None:
        super().__init__(self._handle, access_log=None, logger=_silent)
        self._respond = respond
        self._transports: dict[web.RequestHandler, asyncio.Transport] = {}  # the oldest first
        self._deadlines: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        self._answering: set[object] = set()

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._transports[handler] = transport
        self._deadlines[handler] = asyncio.get_running_loop().call_later(_MAX_TIME, transport.abort)
        if len(self._transports) > _MAX_CONNECTIONS:
            next(iter(self._transports.values())).abort()

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        self._transports.pop(handler, None)
        self._answering.discard(handler)
        if (deadline := self._deadlines.pop(handler, None)) is not None:
            deadline.cancel()
        super().connection_lost(handler, exc)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            response = await self._respond(request)
        except Exception as error:
            # Its message and its traceback may quote what was sent.
            logger.error("A request to the receiver failed (%s).", type(error).__name__)
            response = text_response(500, "Something went wrong here.")
        response.headers.update(HEADERS)
        # One request for each connection: then a closing port has no idle connections to break.
        response.force_close()
        self._answering.add(request.protocol)
        return response

    async def end(self, timeout: float) -> None:
        """Close all connections: those whose request has not arrived whole at once.

        :param timeout: seconds for the answers that are being sent.
        """
        for handler, transport in list(self._transports.items()):
            if handler not in self._answering:
                transport.abort()
        self.pre_shutdown()
        try:
            await self.shutdown(timeout)
        finally:
            for connection in self.connections:  # cancelled while it was flushing
                connection.force_close()
            await asyncio.sleep(0)  # transports say goodbye in the next turn of the loop


def single_value(values: Iterable[str]) -> str:
    """Return the one value; empty if there is none, or more than one."""
    listed = list(values)
    return listed[0] if len(listed) == 1 else ""


def decoded_pairs(encoded: str) -> list[tuple[str, str]]:
    """Decode a query or a form; empty if it cannot be one."""
    try:
        return parse_qsl(encoded, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return []


async def read_limited(request: web.BaseRequest, content_type: str) -> bytes | web.Response:
    """Read a small body of that type, or return the response that refuses it."""
    if request.content_type != content_type or "Content-Encoding" in request.headers:
        return text_response(415, f"Only {content_type} is accepted here.")
    body = bytearray()
    if (request.content_length or 0) <= _MAX_BODY:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > _MAX_BODY:
                break
        else:
            return bytes(body)
    return text_response(413, "This is more than an answer can be.")


def text_response(status: int, text: str) -> web.Response:
    """Answer in plain text: no person is meant to read it."""
    return web.Response(status=status, text=text + "\n")


def method_not_allowed(allowed: str) -> web.Response:
    """Answer 405 and name the methods that there are (RFC 9110 section 15.5.6)."""
    response = text_response(405, "This method is not served here.")
    response.headers["Allow"] = allowed
    return response
