"""A websocket whose handshake is a request as any other: with the token, and made once more after a 401."""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any

from aiohttp import ClientResponse, ClientSession
from yarl import URL

from .authorization import AUTH_REFUSED
from .sender import Sender

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

__all__ = ("connect",)


async def connect(
    sender: Sender, url: str | URL, options: dict[str, Any]
) -> ClientWebSocketResponse[bool]:
    """Open a websocket; see `aioalf.Client.ws_connect`.

    :param options: the keywords of ``ClientSession.ws_connect``.
    """
    session = sender.open_session()
    if options.get("auth") is not None and sender.token_allowed(url):
        raise ValueError(AUTH_REFUSED)
    websocket: ClientWebSocketResponse[bool]
    websocket = await _SessionOfHandshake(session, sender).ws_connect(url, **options)
    return websocket


class _SessionOfHandshake:
    """A session in everything but `request`, by which ``ws_connect`` sends its handshake.

    ``ws_connect`` itself takes neither ``middlewares`` nor ``raise_for_status``, and closes the response
    of a handshake that failed.
    """

    def __init__(self, session: ClientSession, sender: Sender) -> None:
        self._session = session
        self._sender = sender

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._session)  # a subclass that overrides ws_connect calls it by super()

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._session, name)
        if isinstance(attribute, MethodType) and attribute.__self__ is self._session:
            return MethodType(attribute.__func__, self)  # so that it calls the `request` below
        return attribute

    async def request(self, method: str, url: str | URL, **options: Any) -> ClientResponse:
        # Not False: an error of the token endpoint is raised then. A websocket cannot be one.
        options["raise_for_status"] = self._session.raise_for_status or _accept
        return await self._sender.send(method, url, options)


async def _accept(response: ClientResponse) -> None:
    """Leave the status to ``ws_connect``."""
