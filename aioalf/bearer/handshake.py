"""A websocket whose handshake carries the token; one that is answered 401 is made once more."""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import ClientResponse, ClientResponseError, hdrs
from yarl import URL

from .sender import AUTH_REFUSED, Sender
from .unauthorized import had_token, hide_token, renewed_for, report

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

__all__ = ("connect", "except_in_first_handshake")

_first_handshake: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "aioalf_first_handshake", default=False
)

RaiseForStatus = Callable[[ClientResponse], Awaitable[None]]


def except_in_first_handshake(raise_for_status: RaiseForStatus) -> RaiseForStatus:
    """Return a session's ``raise_for_status`` that leaves the 401 of a first handshake to `connect`.

    ``ws_connect`` has no keyword for it, and what the callable raises may be of any class.
    """

    async def wrapped(response: ClientResponse) -> None:
        if not (_first_handshake.get() and response.status == 401):
            await raise_for_status(response)

    return wrapped


async def connect(
    sender: Sender, url: str | URL, options: dict[str, Any]
) -> ClientWebSocketResponse[bool]:
    """Open a websocket; see `aioalf.Client.ws_connect`.

    :param options: the keywords of ``ClientSession.ws_connect``; changed here.
    """
    session = sender.open_session()
    if not sender.token_allowed(url):
        return await session.ws_connect(url, **options)
    if options.get("auth") is not None:
        raise ValueError(AUTH_REFUSED)
    manager = sender.token_manager
    token = await manager.get()
    headers = sender.authorized_headers(options.pop("headers", None), token)
    first = _first_handshake.set(True)
    try:
        websocket = await session.ws_connect(url, headers=headers, **options)
    except ClientResponseError as error:
        # Not always a WSServerHandshakeError: a session's raise_for_status comes first.
        rejected = error.status in sender.unauthorized
        rejected = rejected and had_token(error.request_info, headers[hdrs.AUTHORIZATION])
        hide_token(error)
        if not rejected:
            raise
        renewed = await renewed_for(None, token, manager, method=hdrs.METH_GET)
        if renewed is None:
            raise
    else:
        manager.report_accepted(token)
        return websocket
    finally:
        _first_handshake.reset(first)
    headers = sender.authorized_headers(headers, renewed)
    try:
        websocket = await sender.open_session().ws_connect(url, headers=headers, **options)
    except ClientResponseError as error:
        report(manager, renewed, rejected=error.status in sender.unauthorized)
        hide_token(error)
        raise
    report(manager, renewed, rejected=False)
    return websocket
