"""`OAuth2Middleware`: the same authorization for any `ClientSession`, without changing a call::

    manager = TokenManager("https://login.example.com/token", "client-id", "secret")
    middleware = OAuth2Middleware(manager, origins="https://api.example.com")
    async with manager, ClientSession(middlewares=(middleware,)) as session:
        ...

What is the same for `Client` is in `aioalf.bearer.unauthorized`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Literal

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, hdrs
from aiohttp.payload import Payload
from multidict import CIMultiDict
from yarl import URL

from .bearer.authorization import BearerCredentials, hide_token
from .bearer.body import ReplayablePayload, replayable
from .bearer.origins import origin_of, origins_of
from .bearer.unauthorized import UNAUTHORIZED, check_statuses, renewed_for, send_without_token
from .manager import TokenManager
from .token import Token

__all__ = ("OAuth2Middleware",)


class OAuth2Middleware:
    """Adds a valid Bearer token to each request to the named origins; on a 401 renews it, once.

    aiohttp calls a middleware on every hop of a redirect, so the origins are checked on every hop: a
    redirect to an origin not named, or from https to http, goes out without the token.

    A token error is always raised here: aiohttp would follow a response that a middleware returns if it
    were a redirect. A renewal outlives the timeout of the request that began it. The token replaces any
    other Authorization: one in the caller's headers, ``auth=``, a URL's, or that of a ``.netrc``.

    :param token_manager: has the token; borrowed, never closed here. Its token requests pass through no
        middleware.
    :param origins: where the token may go, such as ``"https://api.example.com"`` or a list of such.
    :param unauthorized_statuses: the statuses that say that the token is not accepted, for an API that
        says so with a different status than 401.
    :raises ValueError: `origins` names no origin, or a status is not a client error.
    """

    def __init__(
        self,
        token_manager: TokenManager,
        *,
        origins: str | URL | Iterable[str | URL],
        unauthorized_statuses: Iterable[int] = UNAUTHORIZED,
    ) -> None:
        if not hasattr(token_manager, "peek") or isinstance(token_manager, type):
            raise TypeError(
                f"OAuth2Middleware takes a TokenManager, not a {type(token_manager).__name__}"
                " (a Client has one: client.token_manager)."
            )
        self._token_manager = token_manager
        self._origins = origins_of(origins)
        self._unauthorized = check_statuses(unauthorized_statuses)
        # The header for the present token, so that it is made once for each token.
        self._token: Token | None = None
        self._value = BearerCredentials()

    @property
    def token_manager(self) -> TokenManager:
        """The manager that has the token."""
        return self._token_manager

    def __call__(
        self, request: ClientRequest, handler: ClientHandlerType
    ) -> Awaitable[ClientResponse]:
        """Send one request, or one hop of it.

        :raises TokenError: there is no token to be had.
        """
        if origin_of(request.url) not in self._origins:
            return send_without_token(handler(request), self._unauthorized)
        if body := request.body:  # b"" if there is none
            return self._with_body(request, handler, body)
        return self._authorized(request, handler, b"")

    async def _with_body(
        self, request: ClientRequest, handler: ClientHandlerType, body: Payload
    ) -> ClientResponse:
        request._body = kept = ReplayablePayload(body)
        try:
            return await self._authorized(request, handler, kept)
        finally:
            if request._body is kept:
                request._body = body  # aiohttp closes it in its own time
            else:  # another middleware has put its own in its place, and closed only `kept`
                await kept.close_wrapped()

    async def _authorized(
        self, request: ClientRequest, handler: ClientHandlerType, body: Payload | Literal[b""]
    ) -> ClientResponse:
        manager = self._token_manager
        fresh = manager.peek()
        token = fresh or await manager.get()
        if token is not self._token:
            self._token, self._value = token, BearerCredentials(f"Bearer {token.access_token}")
        headers, chunked = request.headers.copy(), request.chunked
        request.headers[hdrs.AUTHORIZATION] = self._value
        try:
            response = await handler(request)
            if response.status in self._unauthorized:
                response = await self._resend(
                    response, token, request, handler, body, headers, chunked
                )
            elif fresh is None and manager.interactive:
                manager.report_accepted(token)
        except Exception as error:
            hide_token(error)
            raise
        if response.status >= 300 or hdrs.UPGRADE in headers:
            hide_token(response)  # aiohttp may make an error of it
        return response

    async def _resend(
        self,
        response: ClientResponse,
        token: Token,
        request: ClientRequest,
        handler: ClientHandlerType,
        body: Payload | Literal[b""],
        headers: CIMultiDict[str],
        chunked: bool | None,
    ) -> ClientResponse:
        """Send a request that was answered 401 once more, with a new token, or hand the 401 on."""
        manager = self._token_manager
        can_send_again = not body or replayable(body)
        renewed = await renewed_for(response, token, manager, replayable=can_send_again)
        if renewed is None:
            return response
        # A middleware after this one may have changed it all, and will again: it gets what it got before.
        if request.body is not body:
            await request.update_body(None)
            request._body = body or None
        request.chunked = chunked
        request.headers.clear()
        request.headers.extend(headers)
        request.headers[hdrs.AUTHORIZATION] = BearerCredentials(f"Bearer {renewed.access_token}")
        request.update_expect_continue()  # so that a 100 is waited for once more
        response = await handler(request)
        if response.status in self._unauthorized:
            manager.report_rejected(renewed)
        else:
            manager.report_accepted(renewed, resent=True)
        return response
