"""What went wrong with a request to the authorization server, as a `TokenError` that names it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import (
    ClientHttpProxyError,
    ClientPayloadError,
    ClientResponse,
    ClientResponseError,
    ClientSSLError,
    ServerDisconnectedError,
    ServerFingerprintMismatch,
    hdrs,
)
from yarl import URL

from .errors import TokenError
from .redaction import redact, safe_url

__all__ = ("redirect_error", "showable", "token_error")


def redirect_error(
    response: ClientResponse, url: URL, secrets: Sequence[str], name: str
) -> TokenError:
    """Return the error of a redirect, which is never followed: it names where that pointed."""
    location = response.headers.get(hdrs.LOCATION)
    try:
        target = "nowhere" if location is None else safe_url(url.join(URL(location)))
        target = redact(target, secrets)
    except ValueError:
        target = "something that is not a URL"
    return TokenError(
        f"The {name} {safe_url(url)} answered {response.status} and points to {target[:300]}:"
        " a request to it follows no redirect, nothing was sent there. Is it the right URL?"
    )


def token_error(error: BaseException, url: URL, name: str) -> TokenError:
    """Return the error of a request that has no answer."""
    where = f"the {name} {safe_url(url)}"
    if isinstance(error, asyncio.TimeoutError):
        return TokenError(f"No answer in time from {where}.")
    if isinstance(error, ServerFingerprintMismatch):
        return TokenError(f"No TLS connection to {where}: its certificate is not the one expected.")
    if isinstance(error, ClientSSLError):
        return TokenError(
            f"No TLS connection to {where}: {error}. (Token requests have a session of their own; their"
            " `ssl` is a keyword in http_options.)"
        )
    if isinstance(error, ServerDisconnectedError):
        return TokenError(f"No answer from {where}: it closed the connection.")
    if isinstance(error, OSError):
        return TokenError(f"No connection to {where}: {error}")
    if isinstance(error, ClientHttpProxyError):
        return TokenError(f"No connection to {where}: the proxy answered {error.status}.")
    if isinstance(error, (ClientPayloadError, ClientResponseError)):
        return TokenError(f"The answer of {where} is cut short or unreadable.")
    return TokenError(f"The request to {where} failed ({type(error).__name__}).")


def showable(error: BaseException) -> BaseException | None:
    """Return the error if a traceback may show it: if it quotes neither the answer nor the request."""
    return error if isinstance(error, (OSError, asyncio.TimeoutError)) else None
