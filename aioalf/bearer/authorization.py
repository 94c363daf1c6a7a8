"""The Authorization header of a request, and how its token stays out of what is shown of that request."""

from __future__ import annotations

from typing import Any

from aiohttp import ClientResponse, ClientResponseError, RequestInfo

from ..errors import without_credentials

__all__ = ("AUTH_REFUSED", "BearerCredentials", "hide_token", "raise_for_status_of")

AUTH_REFUSED = (
    "auth= cannot go with a Bearer token: both are the Authorization header. Leave auth= out, or use a"
    " plain aiohttp.ClientSession for this request."
)


class BearerCredentials(str):
    """A header value (RFC 6750 section 2.1) whose `repr` does not show the token.

    A response keeps the headers that were sent, and so does each error that is made of it. Most logs,
    asyncio's among them, show the `repr` of an error, which holds the `repr` of each header.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'Bearer ***'"


def hide_token(holder: ClientResponse | Exception) -> None:
    """Take the credentials out of what a response, or an error, tells of its request."""
    info = getattr(holder, "request_info", None)  # a caller's own error need not have it
    if not isinstance(info, RequestInfo):
        return
    hidden = without_credentials(info)
    if isinstance(holder, ClientResponse):
        holder._request_info = hidden
        holder._cache.pop("request_info", None)
    elif isinstance(holder, ClientResponseError):
        holder.request_info = hidden
        holder.args = tuple(hidden if each is info else each for each in holder.args)
        for hop in holder.history:
            hide_token(hop)


async def raise_for_status_of(response: ClientResponse, how: Any) -> None:
    """Do what aiohttp does for ``raise_for_status=``; the error does not hold the token.

    :param how: True, or the caller's own function.
    """
    if callable(how) or not response.ok:
        hide_token(response)
    try:
        if callable(how):
            await how(response)
        else:
            response.raise_for_status()
    except BaseException:
        response.close()
        raise
