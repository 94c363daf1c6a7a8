"""What a 401 is answered with: the rules that a request, a websocket and the middleware share."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Iterable
from typing import Literal

from aiohttp import ClientError, ClientResponse, hdrs

from ..manager import TokenManager
from ..token import Token

__all__ = (
    "UNAUTHORIZED",
    "body_dropped_by_redirect",
    "check_statuses",
    "had_token",
    "renewed_for",
    "send_without_token",
)

logger: logging.Logger = logging.getLogger("aioalf")

UNAUTHORIZED = frozenset({401})

_DRAIN_LIMIT = 2**20  # bytes
_DRAIN_TIME = 1.0  # seconds


async def renewed_for(
    response: ClientResponse, token: Token, manager: TokenManager, *, replayable: bool
) -> Token | None:
    """Return the token to send a rejected request with again, or None if its 401 is to be handed on.

    :param response: the 401, which is drained if the request is sent again.
    :param token: the token that was rejected.
    :param manager: replaces it.
    :param replayable: whether the request can be sent again; if not, the next one has a new token.
    :raises TokenError: there is no new token.
    """
    if not replayable:
        _tell_that_it_is_kept(response, manager, "body")
        manager.renew_in_background(token)
        return None
    if manager.renewal_blocked(token):
        _tell_that_it_is_kept(response, manager, "paused")
        return None
    await drain(response)
    return await manager.renew(token)


def had_token(response: ClientResponse, authorization: str, manager: TokenManager) -> bool:
    """Return whether the request that was answered carried the token; tell of it if it did not.

    aiohttp leaves it out after a redirect to another origin. A 401 from there says nothing about it.
    """
    if response.request_info.headers.get(hdrs.AUTHORIZATION) == authorization:
        return True
    _tell_that_it_is_kept(response, manager, "origin")
    return False


def _tell_that_it_is_kept(
    response: ClientResponse, manager: TokenManager, reason: Literal["body", "paused", "origin"]
) -> None:
    from ..events import RejectionKept, emit

    request = response.request_info
    event = RejectionKept(reason, request.method, request.url.host, response.status)
    emit(event, manager.on_event)


def body_dropped_by_redirect(response: ClientResponse) -> bool:
    """Return whether a redirect on the way has left the body out, by the rules that aiohttp follows."""
    return any(
        (hop.status == 303 and hop.method != hdrs.METH_HEAD)
        or (hop.status in (301, 302) and hop.method == hdrs.METH_POST)
        for hop in response.history
    )


async def send_without_token(
    sending: Awaitable[ClientResponse], unauthorized: frozenset[int]
) -> ClientResponse:
    """Send a request to an origin that the token does not belong to.

    :param unauthorized: the statuses that may come of a mistake in origins=.
    """
    response = await sending
    if response.status in unauthorized:
        logger.info(
            "A %s request to %s was answered %s. Its origin is not in origins=, so no token was sent.",
            response.method,
            response.url.with_path("/").human_repr() if response.url.scheme else response.url.host,
            response.status,
        )
    return response


def check_statuses(statuses: Iterable[int]) -> frozenset[int]:
    """Return ``unauthorized_statuses=`` as a set.

    :raises ValueError: one of them is not a client error (RFC 9110 section 15.5), or there is none.
    """
    if statuses is UNAUTHORIZED:
        return UNAUTHORIZED
    try:
        checked = frozenset(statuses)
        if checked and all(400 <= status <= 499 for status in checked):
            return checked
    except TypeError:
        pass  # one number, or text
    raise ValueError(
        f"unauthorized_statuses takes statuses from 400 to 499 such as {{401, 419}}, not {statuses!r}."
    )


async def drain(response: ClientResponse) -> None:
    """Read the rest of a response that nobody will read, and give its connection back.

    A response that is not released holds a place in the pool, and one that is released unread costs its
    connection. So a bounded amount is read, in bytes and in time; a longer one is closed.
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
                # The reading task and this one share the timer of the request. aiohttp would take our
                # cancellation of the one for a timeout of the other, so wait until it has ended.
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
