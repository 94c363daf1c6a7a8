"""What a 401 is answered with: the rules that `Client` and `OAuth2Middleware` share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable

from aiohttp import ClientError, ClientResponse, hdrs

__all__ = (
    "UNAUTHORIZED",
    "drain",
    "had_token",
    "log_not_replayable",
    "send_without_token",
)

logger = logging.getLogger("aioalf")

UNAUTHORIZED = 401

_DRAIN_LIMIT = 2**20  # bytes
_DRAIN_TIME = 1.0  # seconds


def had_token(response: ClientResponse, authorization: str) -> bool:
    """Whether the request that this response answers carried the token.

    It did not after a redirect to another origin, where aiohttp leaves it out; a 401 from there says
    nothing about the token.
    """
    return response.request_info.headers.get(hdrs.AUTHORIZATION) == authorization


async def send_without_token(sending: Awaitable[ClientResponse]) -> ClientResponse:
    """Send a request to an origin that the token does not belong to; a 401 may be a mistake in origins=."""
    response = await sending
    if response.status == UNAUTHORIZED:
        logger.info(
            "A %s request to %s was answered 401. No token was put into it: that is none of origins=.",
            response.method,
            response.url.with_path("/").human_repr() if response.url.scheme else response.url.host,
        )
    return response


def log_not_replayable(method: str) -> None:
    """Say why a request answered 401 was not sent again."""
    logger.warning(
        "A %s request was answered 401 and cannot be sent again: its body can be read only once."
        " The 401 is returned, and the next request has a new token.",
        method,
    )


async def drain(response: ClientResponse) -> None:
    """Read the rest of a response that nobody will read, and give its connection back.

    A response that is not released holds a place in the pool, and one released unread costs its
    connection. So a bounded amount is read, in bytes and in time; what is longer is closed.
    """
    if not response.content.is_eof():
        # Not asyncio.wait_for, and below not response.wait_for_close(): before Python 3.12, and 3.11, they
        # may swallow a cancellation, and a request that its caller has given up would be sent again.
        reading = asyncio.ensure_future(_read_on(response))
        try:
            try:
                await asyncio.wait({reading}, timeout=_DRAIN_TIME)
            finally:
                reading.cancel()
                # Both are in the timer of the request, which would take the one for the other.
                await asyncio.wait({reading})
        except asyncio.CancelledError:
            response.close()
            raise
    # A body that is still being sent, or that waits for a 100, is cut off here: over the same connection
    # the server would take the next request for the rest of it.
    if response.content.is_eof() and response._writer is None:
        response.release()
    else:
        response.close()
    if (writer := response._writer) is not None:
        await asyncio.wait({writer})  # it must have stopped before it is sent again


async def _read_on(response: ClientResponse) -> None:
    read = 0
    with contextlib.suppress(ClientError, asyncio.TimeoutError, OSError):
        while read <= _DRAIN_LIMIT and (chunk := await response.content.readany()):
            read += len(chunk)
