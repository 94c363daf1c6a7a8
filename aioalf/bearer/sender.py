"""`Sender`: sends one request with a token, and answers a 401 with a new token and a second sending."""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from aiohttp import ClientResponse, ClientResponseError, ClientSession, hdrs
from multidict import CIMultiDict
from yarl import URL

from ..errors import TokenHTTPError
from ..manager import TokenManager
from ..sessions import OwnedSession, bind_to_running_loop
from ..token import Token
from .body import ReplayablePayload, replayable, replayable_body
from .origins import origin_of, origins_of
from .unauthorized import UNAUTHORIZED, drain, had_token, log_not_replayable, send_without_token

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse

    from .origins import Origin

__all__ = ("AUTH_REFUSED", "Sender")

AUTH_REFUSED = (
    "auth= cannot go with a Bearer token: both are the Authorization header. Leave auth= out, or use a"
    " plain aiohttp.ClientSession for this request."
)


# What is there, unless a subclass or a test has put something else in its place.
_REQUEST = ClientSession.request


class Sender:
    """What `Client` does with each request.

    The header is set on each request, outside aiohttp's middlewares: aiohttp then leaves it out itself
    when a redirect leads to another origin.

    :param manager: where the token comes from.
    :param session: what sends: a session that is borrowed, or one to be opened and closed here.
    :param origins: where the token may go; by default the origin of `base_url`, and where there is none
        either, wherever the caller sends a request.
    :param base_url: what relative URLs are relative to, or None.
    :param raise_token_errors: whether an error response of the token endpoint is raised, not returned.
    """

    def __init__(
        self,
        manager: TokenManager,
        session: ClientSession | OwnedSession,
        origins: str | URL | Iterable[str | URL] | None,
        base_url: str | URL | None,
        raise_token_errors: bool,
    ) -> None:
        self.closed = False
        self._token_manager = manager
        self._source = session
        self._session: ClientSession | None = None
        self._raise_for_status: Any = False  # what it does, where a request does not say
        self._unpatched = False  # whether its `request` is aiohttp's own
        self._fast_path = False  # that, and whether it raises for no status by itself
        self._loop: asyncio.AbstractEventLoop | None = None
        self._origins: frozenset[Origin] | None = None
        if origins is not None:  # an empty list is a mistake, and not "any origin"
            self._origins = origins_of(origins)
        elif base_url is not None:
            self._origins = origins_of(base_url, "base_url")
        self._base_url = base_url
        self._raise_token_errors = raise_token_errors
        # The header for the present token, so that it is made once for each token.
        self._token: Token | None = None
        self._bearer: CIMultiDict[str] = CIMultiDict()

    def open_session(self) -> ClientSession:
        """The session, for the event loop that runs.

        :raises RuntimeError: the client is closed, or is used in two event loops that both run.
        """
        if self.closed:
            raise RuntimeError("This Client is closed.")
        loop = get_running_loop()
        if self._session is None or self._loop is not loop:
            self._loop = bind_to_running_loop(self._loop, "Client")
            source = self._source
            self._session = source.get() if isinstance(source, OwnedSession) else source
            self._raise_for_status = self._session.raise_for_status
            self._unpatched = getattr(self._session.request, "__func__", None) is _REQUEST
            self._fast_path = self._unpatched and not self._raise_for_status
        return self._session

    def mark_closed(self) -> None:
        """Send nothing any more."""
        self.closed, self._session = True, None

    async def close(self) -> None:
        """Close the session, unless it is borrowed."""
        self.mark_closed()
        if isinstance(self._source, OwnedSession):
            await self._source.close()

    async def send(self, method: str, url: str | URL, options: dict[str, Any]) -> ClientResponse:
        """Send a request; see `aioalf.Client.request`.

        :param options: the keywords of ``ClientSession.request``; changed here.
        """
        session = self._session
        if (
            session is not None
            and self._loop is get_running_loop()
            and not options
            and self._fast_path
        ):
            # Most requests come here: a token, and nothing else to look at. What stands here is felt.
            token = self._token_manager.peek()
            if (
                token is self._token is not None
                and ClientSession.request is _REQUEST
                and (self._origins is None or self._token_allowed(url))
            ):
                sent = self._bearer.copy()  # what is put round aiohttp may add to it
                response = await session._request(method, url, headers=sent)
                if response.status != UNAUTHORIZED or self.closed:
                    return response
                return await self._send(method, url, {"headers": sent}, token, response)
        return await self._send(method, url, options)

    async def _send(
        self,
        method: str,
        url: str | URL,
        options: dict[str, Any],
        token: Token | None = None,
        refused: ClientResponse | None = None,
    ) -> ClientResponse:
        """Send any request; or go on with one that was answered 401, with that token."""
        session = self._session
        if session is None or self._loop is not get_running_loop():
            session = self.open_session()
        # Inside session.request is a coroutine, which it puts into an ``async with``. `Client` has one
        # round all this already; a second costs as much as all the rest here.
        usual = self._unpatched and ClientSession.request is _REQUEST
        request = session._request if usual else session.request
        if self._origins is not None and not self._token_allowed(url):
            return await send_without_token(request(method, url, **options))
        raise_for_status, body = self._raise_for_status, None
        if options or raise_for_status:
            raise_for_status, body = self._extract_options(options)
        manager = self._token_manager
        try:
            if refused is None or token is None:
                present = manager.peek()
                token = present or await manager.get()
                options["headers"] = self._headers(options.get("headers"), token)
                response = await request(method, url, **options)
                if present is None and response.status != UNAUTHORIZED:
                    manager.report_accepted(token)
            else:
                response = refused
            if response.status == UNAUTHORIZED and not self.closed:
                response = await self._handle_unauthorized(
                    response, token, request, method, url, options
                )
        except TokenHTTPError as error:
            if error.response is None or self._raise_token_errors or raise_for_status:
                raise
            return error.response
        finally:
            if body is not None:
                await body.close_wrapped()
        if raise_for_status:
            await _raise_for_status(response, raise_for_status)
        return response

    def _extract_options(self, options: dict[str, Any]) -> tuple[Any, ReplayablePayload | None]:
        """What of the options is done here: raising for status, and keeping the body open."""
        if options.get("auth") is not None:
            raise ValueError(AUTH_REFUSED)
        raise_for_status = options.get("raise_for_status")
        if raise_for_status is None:
            raise_for_status = self._raise_for_status
        if raise_for_status:
            options["raise_for_status"] = False
        body = options.get("data")
        if body is None:
            return raise_for_status, None
        options["data"] = body = replayable_body(body)
        return raise_for_status, body if isinstance(body, ReplayablePayload) else None

    async def _handle_unauthorized(
        self,
        response: ClientResponse,
        token: Token,
        request: Callable[..., Awaitable[ClientResponse]],
        method: str,
        url: str | URL,
        options: dict[str, Any],
    ) -> ClientResponse:
        manager = self._token_manager
        sent = options["headers"]
        if not had_token(response, sent[hdrs.AUTHORIZATION]):
            return response
        body_is_gone = _body_dropped_by_redirect(response)
        if not body_is_gone and not _can_be_sent_again(options.get("data")):
            log_not_replayable(method)
            manager.renew_in_background(token)
            return response
        if manager.renewal_blocked(token):
            return response
        await drain(response)
        token = await manager.renew(token)
        self.open_session()  # for it may have been closed meanwhile
        options["headers"] = self._headers(sent, token)
        options.pop("upload_tracker", None)  # aiohttp takes one for a single request only
        hops = response.history
        if hops:
            # Only the last hop was refused: what the first one did is done.
            method, url = response.method, response.url
            options.pop("params", None)
            if body_is_gone:
                options.pop("data", None)
                options.pop("json", None)
                options["headers"].pop(hdrs.CONTENT_LENGTH, None)
        response = await request(method, url, **options)
        response._history = hops + response._history  # as if nothing had happened on the way
        if response.status == UNAUTHORIZED:
            manager.report_rejected(token)
        else:
            manager.report_accepted(token, resent=True)
        return response

    async def connect(
        self, url: str | URL, options: dict[str, Any]
    ) -> ClientWebSocketResponse[bool]:
        """Open a websocket; see `aioalf.Client.ws_connect`."""
        session = self.open_session()
        if not self._token_allowed(url):
            return await session.ws_connect(url, **options)
        if options.get("auth") is not None:
            raise ValueError(AUTH_REFUSED)
        manager = self._token_manager
        token = await manager.get()
        sent = self._headers(options.pop("headers", None), token)
        try:
            websocket = await session.ws_connect(url, headers=sent, **options)
        except ClientResponseError as error:
            # Not always a WSServerHandshakeError: a session's raise_for_status comes first.
            if error.status != UNAUTHORIZED or manager.renewal_blocked(token):
                raise
            if error.request_info.headers.get(hdrs.AUTHORIZATION) != sent[hdrs.AUTHORIZATION]:
                raise
            token = await manager.renew(token)
            sent = self._headers(sent, token)
            websocket = await session.ws_connect(url, headers=sent, **options)
            manager.report_accepted(token, resent=True)
        else:
            manager.report_accepted(token)
        return websocket

    def _headers(self, headers: Any, token: Token) -> CIMultiDict[str]:
        """The caller's headers, copied, with the token in place of any Authorization they hold."""
        if token is not self._token:
            self._token = token
            self._bearer = CIMultiDict({hdrs.AUTHORIZATION: f"Bearer {token.access_token}"})
        # Always a copy: what is put round aiohttp may add to what it is given.
        copy: CIMultiDict[str] = CIMultiDict(headers or ())
        copy[hdrs.AUTHORIZATION] = self._bearer[hdrs.AUTHORIZATION]
        return copy

    def _token_allowed(self, url: str | URL) -> bool:
        if self._origins is None:
            return True
        try:
            asked = URL(url)
        except (TypeError, ValueError):
            return False  # aiohttp says what is wrong with it
        if not asked.absolute and self._base_url is not None:
            asked = URL(self._base_url)
        return origin_of(asked) in self._origins


def _body_dropped_by_redirect(response: ClientResponse) -> bool:
    """Whether a redirect on the way has left the body out, by the rules that aiohttp follows."""
    return any(
        (hop.status == 303 and hop.method != hdrs.METH_HEAD)
        or (hop.status in (301, 302) and hop.method == hdrs.METH_POST)
        for hop in response.history
    )


def _can_be_sent_again(data: Any) -> bool:
    return not isinstance(data, ReplayablePayload) or replayable(data)


async def _raise_for_status(response: ClientResponse, how: Any) -> None:
    try:
        if callable(how):
            await how(response)
        else:
            response.raise_for_status()
    except BaseException:
        response.close()
        raise
