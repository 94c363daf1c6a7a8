"""What the loopback receiver needs to read requests carefully and to refuse them plainly."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl

from aiohttp import web

__all__ = ("decoded_pairs", "method_not_allowed", "only", "plain", "small_body")

_MAX_BODY = 64 * 1024  # bytes; a token is a few kilobytes


def only(values: Iterable[str]) -> str:
    """Return the one value; empty where there is none, or more than one."""
    given = list(values)
    return given[0] if len(given) == 1 else ""


def decoded_pairs(encoded: str) -> list[tuple[str, str]]:
    """Decode a query or a form; empty where it cannot be one."""
    try:
        return parse_qsl(encoded, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return []


async def small_body(request: web.BaseRequest, content_type: str) -> bytes | web.Response:
    """Read a small body of that type, or return the response that refuses it."""
    if request.content_type != content_type or "Content-Encoding" in request.headers:
        return plain(415, f"Only {content_type} is accepted here.")
    body = bytearray()
    if (request.content_length or 0) <= _MAX_BODY:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > _MAX_BODY:
                break
        else:
            return bytes(body)
    return plain(413, "This is more than an answer can be.")


def plain(status: int, text: str) -> web.Response:
    """Answer in plain text: no person is meant to read it."""
    return web.Response(status=status, text=text + "\n")


def method_not_allowed(allowed: str) -> web.Response:
    """Answer 405, and which methods there are (RFC 9110 section 15.5.6)."""
    response = plain(405, "This method is not served here.")
    response.headers["Allow"] = allowed
    return response
