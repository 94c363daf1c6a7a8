"""`Sender`: sends one request with a token, and answers a 401 with a new token and a second sending."""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from aiohttp import ClientResponse, ClientResponseError, ClientSession, hdrs
from multidict import CIMultiDict
from yarl import URL

from ..errors import TokenErrorResponse, TokenHTTPError
from ..manager import TokenManager
from ..sessions import OwnedSession, bind_to_running_loop
from ..token import Token
from .authorization import AUTH_REFUSED, BearerCredentials, hide_token, raise_for_status_of
from .unauthorized import (
    UNAUTHORIZED,
    body_dropped_by_redirect,
    had_token,
    renewed_for,
    send_without_token,
)

# Few programs need these: they are imported where they are used.
if TYPE_CHECKING:
    from .body import ReplayablePayload
    from .origins import AllowedOrigins

__all__ = ("Sender",)

# aiohttp's own method, to notice if a subclass or a test has put another in its place.
_REQUEST = ClientSession.request


class Sender:
    """Does the work of each request of a `Client`.

    The header is set outside aiohttp's middlewares: on a redirect to another origin it is then left out.

    :param manager: has the token.
    :param session: sends: a session that is borrowed, or one to be opened and closed here.
    :param origins: where the token may go; by default the origin of `base_url`, or else any origin.
    :param base_url: the URL that relative URLs are relative to, or None.
    :param raise_token_errors: whether an error response of the token endpoint is raised, not returned.
    :param unauthorized: the statuses that say that the token is not accepted.
    """

    def __init__(
        self,
        manager: TokenManager,
        session: ClientSession | OwnedSession,
        origins: str | URL | Iterable[str | URL] | None,
        base_url: str | URL | None,
        raise_token_errors: bool,
        unauthorized: frozenset[int] = UNAUTHORIZED,
    ) -> None:
        self.closed: bool = False
        self.token_manager = manager
        self.unauthorized = unauthorized
        self.source = session
        self._session: ClientSession | None = None
        self._raise_for_status: Any = False  # the session's choice, for requests that make none
        self._unpatched = False  # whether the session's `request` is aiohttp's own
        self._trust_env = False
        self._fast_path = False  # whether a request without options needs no more than the token
        self._loop: asyncio.AbstractEventLoop | None = None
        self._origins: AllowedOrigins | None = None
        if origins is not None or base_url is not None:
            from .origins import AllowedOrigins

            self._origins = AllowedOrigins(origins, base_url)
        self._base_url = base_url
        self._raise_token_errors = raise_token_errors
        # The header for the present token, so that it is made once for each token.
        self._token: Token | None = None
        self._bearer: CIMultiDict[str] = CIMultiDict()

    def open_session(self) -> ClientSession:
        """Return the session of the running event loop, opened if need be.

        :raises RuntimeError: the client is closed, or is used in two event loops that both run.
        """
        if self.closed:
            raise RuntimeError("This Client is closed.")
        loop = get_running_loop()
        if self._session is None or self._loop is not loop:
            self._loop = bind_to_running_loop(self._loop, "Client")
            source = self.source
            self._session = source.get() if isinstance(source, OwnedSession) else source
            self._raise_for_status = self._session.raise_for_status
            self._unpatched = getattr(self._session.request, "__func__", None) is _REQUEST
            self._trust_env = self._session.trust_env
            plain = not self._raise_for_status and not self._trust_env
            self._fast_path = self._unpatched and plain and self.unauthorized == UNAUTHORIZED
        return self._session

    def mark_closed(self) -> None:
        """Send nothing any more."""
        self.closed, self._session = True, None

    async def close(self) -> None:
        """Close the session, unless it is borrowed."""
        self.mark_closed()
        if isinstance(self.source, OwnedSession):
            await self.source.close()

    async def send(self, method: str, url: str | URL, options: dict[str, Any]) -> ClientResponse:
        """Send a request; see `aioalf.Client.request`.

        :param options: the keywords of ``ClientSession.request``; changed here.
        """
        session = self._session
        fast = self._fast_path and not options and self._loop is get_running_loop()
        if fast and session is not None:
            # Most requests come here: a token, and nothing else to look at. Each pays for these lines.
            token = self.token_manager.peek()
            if (
                token is not None
                and token is self._token
                and ClientSession.request is _REQUEST
                and (self._origins is None or self.token_allowed(url))
            ):
                headers = self._bearer.copy()  # a middleware may add to it
                try:
                    response = await session._request(method, url, headers=headers)
                except (ClientResponseError, ValueError) as error:
                    from .other_credentials import is_clash

                    if not is_clash(error, method, url, self._base_url):
                        raise
                    response = await self._authorized(session, method, url, options, token, True)
                if response.status < 400:
                    return response
                if response.status == 401 and not self.closed:
                    options["headers"] = headers
                    response = await self._resend(response, token, method, url, options, False)
                if not response.ok:
                    hide_token(response)
                return response
        if "upload_tracker" not in options:
            return await self._send(method, url, options)
        from .body import held_open

        with held_open(options["upload_tracker"]):
            return await self._send(method, url, options)

    async def _send(self, method: str, url: str | URL, options: dict[str, Any]) -> ClientResponse:
        """Send any request."""
        session = self._session
        if session is None or self._loop is not get_running_loop():
            session = self.open_session()
        if self._origins is not None and not self.token_allowed(url):
            return await send_without_token(
                session.request(method, url, **options), self.unauthorized
            )
        raise_for_status, body = self._raise_for_status, None
        if options or raise_for_status:
            raise_for_status, body = self._extract_options(options)
        manager = self.token_manager
        try:
            fresh = manager.peek()
            try:
                token = fresh or await manager.get()
            except TokenHTTPError as error:
                if (answer := self._error_response(error, raise_for_status)) is None:
                    raise
                return answer
            response = await self._authorized(session, method, url, options, token)
            if response.status not in self.unauthorized or self.closed:
                if fresh is None and manager.interactive:
                    manager.report_accepted(token)
            else:
                response = await self._resend(
                    response, token, method, url, options, raise_for_status
                )
        finally:
            if body is not None:
                await body.close_wrapped()
        if not response.ok:
            hide_token(response)
        if raise_for_status and not isinstance(response, TokenErrorResponse):
            await raise_for_status_of(response, raise_for_status)
        return response

    async def _authorized(
        self,
        session: ClientSession,
        method: str,
        url: str | URL,
        options: dict[str, Any],
        token: Token,
        pinned: bool = False,
    ) -> ClientResponse:
        """Send a request with the token in its headers; pinned if there are other credentials."""
        options["headers"] = self.authorized_headers(options.get("headers"), token)
        sent = options
        if pinned := pinned or self._trust_env:  # a .netrc may hold other credentials
            from .other_credentials import with_pinned_token

            sent = with_pinned_token(options, session._middlewares)
        # Inside session.request is a coroutine, which it puts into an ``async with``. `Client` has done so
        # already; a second time costs as much as all the rest here.
        unpatched = self._unpatched and ClientSession.request is _REQUEST
        request = session._request if unpatched else session.request
        try:
            return await request(method, url, **sent)
        except (ClientResponseError, ValueError) as error:
            from .other_credentials import is_clash

            if not is_clash(error, method, url, self._base_url) or pinned:
                raise
            return await self._authorized(session, method, url, options, token, True)

    def _extract_options(self, options: dict[str, Any]) -> tuple[Any, ReplayablePayload | None]:
        """Take over two options: to raise for status, and to keep the body open."""
        if options.get("auth") is not None:
            raise ValueError(AUTH_REFUSED)
        raise_for_status = options.get("raise_for_status")
        if raise_for_status is None:
            raise_for_status = self._raise_for_status
        if raise_for_status:
            options["raise_for_status"] = False
        body = options.get("data")
        if body is None or options.get("json") is not None:  # of both, aiohttp says what is wrong
            return raise_for_status, None
        from .body import ReplayablePayload, replayable_body

        options["data"] = body = replayable_body(body)
        return raise_for_status, body if isinstance(body, ReplayablePayload) else None

    async def _resend(
        self,
        response: ClientResponse,
        token: Token,
        method: str,
        url: str | URL,
        options: dict[str, Any],
        raise_for_status: Any,
    ) -> ClientResponse:
        """Send a request that was answered 401 once more, with a new token, or hand the 401 on."""
        manager, headers = self.token_manager, options["headers"]
        hops = response.history
        if hops and not had_token(response, headers[hdrs.AUTHORIZATION], manager):
            return response
        dropped = bool(hops) and body_dropped_by_redirect(response)
        replayable, body = True, options.get("data")
        if body is not None and not dropped:
            from .body import can_be_sent_again

            replayable = can_be_sent_again(body)
        try:
            renewed = await renewed_for(response, token, manager, replayable=replayable)
        except TokenHTTPError as error:
            if (answer := self._error_response(error, raise_for_status)) is None:
                raise
            return answer
        if renewed is None:
            return response
        options["headers"] = headers = self.authorized_headers(headers, renewed)
        if hops:
            # Only the last hop was refused: what the first one did is done.
            method, url = response.method, response.url
            options.pop("params", None)
            if dropped:
                options.pop("data", None)
                options.pop("json", None)
                headers.pop(hdrs.CONTENT_LENGTH, None)
        session = self._session or self.open_session()  # it may have been closed meanwhile
        response = await self._authorized(session, method, url, options, renewed)
        response._history = hops + response._history  # as if nothing had happened on the way
        if response.status in self.unauthorized:
            manager.report_rejected(renewed)
        else:
            manager.report_accepted(renewed, resent=True)
        return response

    def _error_response(self, error: TokenHTTPError, raised: Any) -> ClientResponse | None:
        """Return the response to give back in place of the resource's; None if the error is raised."""
        return None if self._raise_token_errors or raised else error.response

    def authorized_headers(self, headers: Any, token: Token) -> CIMultiDict[str]:
        """Return a copy of the caller's headers with the token as their Authorization."""
        if token is not self._token:
            self._token = token
            credentials = BearerCredentials(f"Bearer {token.access_token}")
            self._bearer = CIMultiDict({hdrs.AUTHORIZATION: credentials})
        # Always a copy: middlewares and patches may change the headers that they get.
        copy: CIMultiDict[str] = CIMultiDict(headers or ())
        copy[hdrs.AUTHORIZATION] = self._bearer[hdrs.AUTHORIZATION]
        return copy

    def token_allowed(self, url: str | URL) -> bool:
        """Return whether a URL is of an origin where the token may go."""
        return self._origins is None or url in self._origins
