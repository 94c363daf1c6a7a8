"""What a request to the authorization endpoint says, and what its error answer means (RFC 6749).

Pure: no I/O, and no import of aiohttp's networking or asyncio. `token_endpoint` is its counterpart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from ..errors import AuthorizationError, TokenError
from ..redaction import redact

__all__ = ("authorization_endpoint_of", "authorization_url", "error_from")


def authorization_endpoint_of(token_endpoint: str) -> str:
    """Return ``{token_endpoint}/authorize``, where 0.4.0 took it to be; a query is kept."""
    parts = urlsplit(token_endpoint)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/authorize"))


def authorization_url(endpoint: str, params: Mapping[str, Any]) -> str:
    """Return the address that a browser is sent to (RFC 6749 section 3.1).

    :param endpoint: the authorization endpoint. A query that it has is kept, a fragment dropped.
    :param params: the parameters; a list as value repeats the parameter, None leaves it out.
    :raises TokenError: the endpoint is no http or https URL; anything else is not for a browser.
    """
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise TokenError(f"The authorization endpoint {endpoint!r} is not an http or https URL.")
    query = urlencode(list(_pairs(params)), quote_via=quote, safe="")
    joined = f"{parts.query}&{query}" if parts.query else query
    return urlunsplit(parts._replace(query=joined, fragment=""))


def _pairs(params: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in params.items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if one is not None:
                yield name, str(one)


def error_from(params: Mapping[str, str]) -> AuthorizationError:
    """Make the exception of an error answer (RFC 6749 sections 4.1.2.1 and 4.2.2.1).

    :param params: the parameters of the answer, ``error`` among them.
    """
    said = {
        name: redact(_printable(params[name]))
        for name in ("error", "error_description", "error_uri")
        if params.get(name)
    }
    code = said.get("error", "unknown error")
    described = f": {said['error_description']}" if "error_description" in said else ""
    return AuthorizationError(f"The sign-in was refused ({code}){described}", **said)


def _printable(text: str) -> str:
    """Cut a server's text to what may go to a terminal and into a log: no control characters."""
    return "".join(char if char.isprintable() else " " for char in text[:500])
