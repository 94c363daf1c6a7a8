"""The authorization request and its response (RFC 6749 section 3.1).

Pure: no I/O, and no import of aiohttp's networking or asyncio. `token_endpoint` is its counterpart.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from ..errors import AuthorizationError, TokenError
from ..redaction import redact, safe_url

__all__ = (
    "ResponseMode",
    "authorization_endpoint_of",
    "authorization_url",
    "error_from",
    "read_authorization_response",
)

#: How the response comes (OAuth 2.0 Multiple Response Types section 2.1, and Form Post Response Mode).
ResponseMode = Literal["query", "fragment", "form_post"]


def authorization_endpoint_of(token_endpoint: str) -> str:
    """Return ``{token_endpoint}/authorize``, where 0.4.0 took it to be; a query is kept."""
    parts = urlsplit(token_endpoint)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/authorize"))


def authorization_url(endpoint: str, params: Mapping[str, Any]) -> str:
    """Return the address that a browser is sent to (RFC 6749 section 3.1).

    :param endpoint: the authorization endpoint. A query that it has is kept, a fragment dropped.
    :param params: the parameters; a list as value repeats the parameter, None leaves it out.
    :raises TokenError: the endpoint is not an http or https URL, or holds credentials.
    """
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        # Not shown: with the arguments in the wrong order, it is a client secret.
        raise TokenError("The authorization endpoint is not an absolute http or https URL.")
    if parts.username is not None or parts.password is not None:
        raise TokenError(
            f"The authorization endpoint {safe_url(endpoint)} holds credentials in its URL: a browser"
            " would show them. Take them out."
        )
    query = urlencode(list(_pairs(params)), quote_via=quote, safe="")
    joined = f"{parts.query}&{query}" if parts.query else query
    return urlunsplit(parts._replace(query=joined, fragment=""))


def _pairs(params: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in params.items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if one is not None:
                yield name, str(one)


def read_authorization_response(
    pairs: Sequence[tuple[str, str]],
    state: str,
    *,
    came_in: ResponseMode,
    expected_in: ResponseMode,
    issuer: str | None = None,
    iss_required: bool = False,
) -> dict[str, str] | None:
    """Return the parameters of an authorization response (RFC 6749 sections 4.1.2 and 4.2.2).

    :param pairs: the parameters as they came.
    :param state: the ``state`` of the request; compared first, and in constant time.
    :param came_in: how the response came.
    :param expected_in: how it was to come. An error is understood in any way, as servers differ.
    :param issuer: the issuer that was asked, if it is known: an ``iss`` must be the same (RFC 9207 section
        2.4), or the response comes from another server (mix-up), an error likewise.
    :param iss_required: whether the server has promised an ``iss`` (RFC 9207 section 3).
    :return: the parameters without ``state`` and ``iss``; None if the response belongs to another request.
    :raises AuthorizationError: it is an error, or cannot be used.
    """
    states = [value for name, value in pairs if name == "state"]
    # Bytes, as compare_digest refuses text that is not ASCII; and lone surrogates are text too.
    given = states[0].encode("utf-8", "surrogatepass") if len(states) == 1 else b""
    if not hmac.compare_digest(given, state.encode()):
        return None
    params = dict(pairs)
    del params["state"]
    if len(params) + 1 != len(pairs):  # RFC 6749 section 3.1
        raise AuthorizationError("The answer of the authorization server repeats a parameter")
    iss = params.pop("iss", None)
    if issuer is not None and iss is not None and iss != issuer:
        raise AuthorizationError(
            f"The answer comes from another issuer: its iss is {_shown(iss)}, and {_shown(issuer)} was"
            " asked. It is not used."
        )
    if iss_required and iss is None:
        raise AuthorizationError(
            "The answer names no issuer (iss), which the server has promised to do. It is not used."
        )
    if params.get("error"):
        raise error_from(params)
    if came_in == "query" and expected_in != "query":
        raise AuthorizationError(
            "The authorization server answered in the query of the redirect URI, where servers and"
            " browsers log it; the answer is not used"
        )
    return params


def error_from(params: Mapping[str, str]) -> AuthorizationError:
    """Return the exception of an error response (RFC 6749 sections 4.1.2.1 and 4.2.2.1).

    :param params: the parameters of the response, ``error`` among them.
    """
    error_params = {
        name: redact(_printable(params[name]))
        for name in ("error", "error_description", "error_uri")
        if params.get(name)
    }
    code = error_params.get("error", "unknown error")
    described = error_params.get("error_description")
    text = f"The sign-in was refused ({code})" + (f": {described}" if described else "")
    return AuthorizationError(text, **error_params)


def _shown(text: str) -> str:
    return repr(redact(_printable(text))[:200])


def _printable(text: str) -> str:
    """Take the control characters out of a server's text: a terminal would obey them."""
    return "".join(char if char.isprintable() else " " for char in text[:500])
