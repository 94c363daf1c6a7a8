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
from yarl import URL

from .bearer.body import ReplayablePayload, replayable
from .bearer.origins import origin_of, origins_of
from .bearer.unauthorized import UNAUTHORIZED, drain, log_not_replayable, send_without_token
from .manager import TokenManager
from .token import Token

__all__ = ("OAuth2Middleware",)


class OAuth2Middleware:
    """Adds a valid Bearer token to each request to the named origins; on a 401 renews it, once.

    aiohttp calls a middleware on every hop of a redirect, so the origins are checked on every hop: a
    redirect to an origin not named, or from https to http, goes out without the token.

    Here a token error is raised, always: a response that a middleware returns would be followed if it
    were a redirect. A renewal outlives the timeout of the request that began it.

    :param token_manager: where the token comes from; borrowed, never closed here. Its token requests
        pass through no middleware.
    :param origins: where the token may go, such as ``"https://api.example.com"`` or a list of such.
    :raises ValueError: `origins` names no origin.
    """

    def __init__(
        self, token_manager: TokenManager, *, origins: str | URL | Iterable[str | URL]
    ) -> None:
        if not hasattr(token_manager, "peek") or isinstance(token_manager, type):
            raise TypeError(
                f"OAuth2Middleware takes a TokenManager, not a {type(token_manager).__name__}"
                " (a Client has one: client.token_manager)."
            )
        self._token_manager = token_manager
        self._origins = origins_of(origins)
        # The header for the present token, so that it is made once for each token.
        self._token: Token | None = None
        self._value = ""

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
            return send_without_token(handler(request))
        if body := request.body:  # b"" where there is none
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
        present = manager.peek()
        token = present or await manager.get()
        if token is not self._token:
            self._token, self._value = token, f"Bearer {token.access_token}"
        headers, chunked = request.headers.copy(), request.chunked
        request.headers[hdrs.AUTHORIZATION] = self._value
        response = await handler(request)
        if response.status != UNAUTHORIZED:
            if present is None:
                manager.report_accepted(token)
            return response
        if body and not replayable(body):
            log_not_replayable(request.method)
            manager.renew_in_background(token)
            return response
        if manager.renewal_blocked(token):
            return response
        await drain(response)
        token = await manager.renew(token)
        # A middleware after this one may have changed it all, and will again: it gets what it got before.
        if request.body is not body:
            await request.update_body(None)
            request._body = body or None
        request.chunked = chunked
        request.headers.clear()
        request.headers.extend(headers)
        request.headers[hdrs.AUTHORIZATION] = f"Bearer {token.access_token}"
        request.update_expect_continue()  # a 100 is to be waited for anew
        response = await handler(request)
        if response.status == UNAUTHORIZED:
            manager.report_rejected(token)
        else:
            manager.report_accepted(token, resent=True)
        return response
