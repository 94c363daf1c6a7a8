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
    hdrs,
)
from multidict import CIMultiDict
from yarl import URL

from .authorization import hide_token
from .origins import Origin, joined, origin_of

__all__ = ("is_clash", "with_pinned_token")

_SAFE = ("GET", "HEAD", "OPTIONS")


def is_clash(error: Exception, method: str, url: str | URL, base_url: str | URL | None) -> bool:
    """Return whether aiohttp refused a request because it has other credentials, and it can be sent again.

    :param error: what aiohttp raised; whatever it is, it does not hold the token any more.
    :param base_url: the URL that `url` is joined to, or None.
    :raises aiohttp.ClientError: it can not: it was done, and redirected to a URL that holds credentials.
    """
    hide_token(error)
    if type(error) is not ValueError or "AUTHORIZATION header" not in str(error):
        return False
    first = joined(url, base_url)
    if first.user is None and first.password is None and method.upper() not in _SAFE:
        raise ClientError(
            f"A {method} request was redirected to a URL that holds credentials: not followed."
        ) from None
    return True


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
