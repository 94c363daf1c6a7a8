"""What ``-v`` shows of each request and each answer: their heads, without what is secret in them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, hdrs

from ..redaction import fingerprint, redact, safe_url
from .errors import one_line
from .io import print_error

__all__ = ("show_heads",)

_SECRET = re.compile(
    "auth|cookie|token|secret|key|password|signature|session|credential", re.IGNORECASE
)


async def show_heads(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Show the heads on stderr, as curl does; a middleware of aiohttp, which sees each hop."""
    print_error(one_line(f"> {request.method} {safe_url(request.url)}"))
    token = request.headers.get(hdrs.AUTHORIZATION, "").rpartition(" ")[2]
    _show(">", request.headers.items(), token)
    response = await handler(request)
    version = response.version
    number = f"{version.major}.{version.minor}" if version else "1.1"
    print_error(f"< HTTP/{number} {response.status}")
    _show("<", response.headers.items(), token)
    return response


def _show(sign: str, fields: Iterable[tuple[str, str]], token: str) -> None:
    for name, value in fields:
        if name == hdrs.AUTHORIZATION and value == f"Bearer {token}":
            shown = f"Bearer ({fingerprint(token)})"
        elif _SECRET.search(name):
            shown = "***"
        else:
            shown = redact(value, [token])  # a server may repeat it
        print_error(one_line(f"{sign} {name}: {shown}"))
