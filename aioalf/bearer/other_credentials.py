"""Credentials that the caller did not give as ``auth=``: a URL's, a redirect's, those of a ``.netrc``.

aiohttp refuses a request that has both them and an Authorization header. So the token of such a request is
put in by a middleware, which runs after aiohttp has chosen; the token wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import (
    ClientError,
    ClientHandlerType,
    ClientMiddlewareType,
    ClientRequest,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    hdrs,
)
from multidict import CIMultiDict
from yarl import URL

from .origins import Origin, origin_of
from .unauthorized import hide_token

__all__ = ("sent_with_token", "with_pinned_token")

_SAFE = ("GET", "HEAD", "OPTIONS")


async def sent_with_token(
    error: ClientResponseError | ValueError,
    session: ClientSession,
    method: str,
    url: str | URL,
    options: dict[str, Any],
) -> ClientResponse:
    """Send a request that aiohttp refused because of other credentials; raise any other error.

    :param error: what aiohttp raised.
    :param session: sends it.
    :param options: the keywords of its request, the token among its headers.
    """
    if isinstance(error, ClientResponseError):
        hide_token(error)
    if not isinstance(error, ValueError) or "AUTHORIZATION header" not in str(error):
        raise error
    if not _has_credentials(url) and method.upper() not in _SAFE:
        # The request that was redirected has been done; to do it again is not ours to decide.
        raise ClientError(
            f"A {method} request was redirected to a URL that holds credentials: not followed."
        ) from None
    return await session.request(method, url, **with_pinned_token(options, session._middlewares))


def _has_credentials(url: str | URL) -> bool:
    try:
        return URL(url).user is not None or URL(url).password is not None
    except (TypeError, ValueError):
        return False  # aiohttp says what is wrong with it


def with_pinned_token(
    options: dict[str, Any], middlewares: Sequence[ClientMiddlewareType]
) -> dict[str, Any]:
    """Return the options of a request with the Authorization header moved into a middleware.

    :param options: the keywords of ``ClientSession.request``, the token among its headers.
    :param middlewares: those of the session.
    """
    headers = CIMultiDict(options["headers"])
    pinned = _PinnedToken(headers.pop(hdrs.AUTHORIZATION))
    others = options.get("middlewares")
    others = middlewares if others is None else others
    return {**options, "headers": headers, "middlewares": (pinned, *others)}


class _PinnedToken:
    """Puts a token into one request as long as its redirects stay at the origin where it began.

    aiohttp calls a middleware on every hop. It leaves a header out for good once a redirect has led to
    another origin; so does this.
    """

    def __init__(self, authorization: str) -> None:
        self._authorization = authorization
        self._origin: Origin | None = None
        self._left = False

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        origin = origin_of(request.url)
        if self._origin is None:
            self._origin = origin
        self._left = self._left or origin != self._origin
        if not self._left:
            request.headers[hdrs.AUTHORIZATION] = self._authorization
        return await handler(request)
