"""What the protected resources answer."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping

from aiohttp import WSMsgType, web

from .received import ReceivedRequest

__all__ = ("echo", "echo_messages", "json_response", "not_found", "redirect", "send_events")

_ECHOED = 2**20  # bytes of a body that the resource sends back
_REDIRECTS = ("301", "302", "303", "307", "308")


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a JSON response."""
    return web.Response(
        body=json.dumps(value).encode(),
        status=status,
        headers=headers,
        content_type="application/json",
    )


async def echo(request: web.BaseRequest, received: ReceivedRequest) -> web.StreamResponse:
    """Return the request as JSON."""
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
    """Open a websocket and send back every message."""
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
    """Return a redirect to wherever the query says."""
    target, status = received.query.get("to", ""), received.query.get("status", "302")
    if not is_header_value(target) or status not in _REDIRECTS:
        return web.Response(status=400, text="to must be a URL, status a redirect")
    return web.Response(status=int(status), headers={"Location": target})


async def not_found(request: web.BaseRequest, received: ReceivedRequest) -> web.StreamResponse:
    """There is nothing here."""
    return web.Response(status=404)


def is_header_value(text: str) -> bool:
    """Return whether a header can hold this text, which is visible ASCII."""
    return bool(text) and text.isascii() and text.isprintable()
