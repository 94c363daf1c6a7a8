"""What a token request says and what a token response means (RFC 6749 sections 4.4 and 5).

Pure: no I/O, and no import of aiohttp or asyncio.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from ..errors import TokenError, TokenHTTPError
from ..redaction import excerpt, redact
from ..token import Token, usable_access_token

__all__ = (
    "client_credentials_form",
    "read_expires_in",
    "read_token_response",
    "scope_string",
    "token_from",
)

logger = logging.getLogger("aioalf")

# Compiled when they are needed, and kept by re: compiling them all would be most of what it takes to import
# this library.

_NO_ERROR_CODE = r"[^\x20-\x7e]"  # RFC 6749 section 5.2
_NUMBER = r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?"


def scope_string(scope: str | Sequence[str] | None) -> str | None:
    """Join a list of scopes with single spaces (RFC 6749 section 3.3); None and empty give None."""
    if scope is None or isinstance(scope, str):
        return scope or None
    return " ".join(scope) or None


def client_credentials_form(
    scope: str | Sequence[str] | None, params: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The form of a client_credentials request (RFC 6749 section 4.4.2).

    :param scope: the scope to ask for, or None for the server's default.
    :param params: further parameters, such as ``audience``; a list as value repeats the parameter, None
        leaves it out.
    """
    form: dict[str, Any] = {"grant_type": "client_credentials"}
    if scoped := scope_string(scope):
        form["scope"] = scoped
    form.update((name, value) for name, value in (params or {}).items() if value is not None)
    return form


def read_token_response(
    status: int, content_type: str, body: bytes, *, secrets: Callable[[], list[str]] = list
) -> dict[str, Any]:
    """Read the parameters of a token response (RFC 6749 sections 5.1 and 5.2).

    JSON is read whatever the content type says; form encoding, which some servers still answer in, is
    read where the content type allows it.

    :param status: the HTTP status.
    :param content_type: the media type, without parameters.
    :param body: the whole body.
    :param secrets: lists the secrets that an error must not repeat; called if there is one.
    :return: the parameters, not yet checked to hold a usable token: `token_from` does that.
    :raises TokenHTTPError: the status is 400 or above, or the body carries an ``error``.
    :raises TokenError: the body is no token response at all.
    """
    params = _parameters(content_type, body)
    if status >= 400 or (params is not None and params.get("error")):
        known = secrets()
        said: dict[str, Any] = {
            name: excerpt(value, known)
            for name in ("error", "error_description", "error_uri")
            if params is not None and isinstance(value := params.get(name), str)
        }
        if "error" in said:  # it goes into one line of a log, whatever it is
            said["error"] = re.sub(_NO_ERROR_CODE, "?", said["error"])[:100]
        raise TokenHTTPError(
            "Failed to request token" + (f" ({said['error']})" if "error" in said else ""),
            status,
            excerpt(body, known),
            **said,
        )
    if params is None:
        kind = redact(content_type, secrets())[:80] or "no content type"
        raise TokenError(
            f"The token endpoint answered {status} with a body that is no token response"
            f" ({len(body)} bytes, {kind}): a JSON object was expected. Is it the right URL?"
        )
    return params


def _parameters(content_type: str, body: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(body, parse_int=_integer)
    except (ValueError, RecursionError):
        if content_type not in ("application/x-www-form-urlencoded", "text/plain"):
            return None
        parsed = dict(parse_qsl(body.decode("utf-8", "replace").strip()))
        if not parsed.keys() & {"access_token", "error"}:
            return None
    return parsed if isinstance(parsed, dict) else None


def token_from(params: Mapping[str, Any], now: float, previous: Token | None = None) -> Token:
    """Make the token of a token response (RFC 6749 section 5.1).

    :param params: the parameters of the response.
    :param now: UTC seconds since the epoch.
    :param previous: the token replaced; its refresh token is kept until another is given (section 6).
    :raises TokenError: there is no usable Bearer token in it; the message names what is wrong.
    """
    if not isinstance(params, Mapping):
        raise TokenError(f"The token response is no mapping but a {type(params).__name__}.")
    kind = params.get("token_type")
    if kind is not None and (not isinstance(kind, str) or kind.lower() != "bearer"):
        raise TokenError(f"The token response holds a token of type {_named(kind)}, not Bearer.")
    access_token = usable_access_token(params.get("access_token"))
    lifetime = read_expires_in(params.get("expires_in"))
    scope = params.get("scope")
    if isinstance(scope, list) and all(isinstance(part, str) for part in scope):
        scope = " ".join(scope)
    refresh_token = params.get("refresh_token")
    if not isinstance(refresh_token, str) or not refresh_token:
        refresh_token = previous.refresh_token if previous is not None else None
    return Token(
        access_token,
        lifetime,
        scope=scope if isinstance(scope, str) else None,
        refresh_token=refresh_token,
        expires_at=None if lifetime is None else now + lifetime,
    )


def read_expires_in(value: object) -> float | None:
    """Read a token's life in seconds; None means unknown.

    A number, or a string that is one (at least PayPal's and Azure's have been), is seconds. What cannot
    be read is unknown, with a warning: a good access token is not thrown away for a bad hint.
    """
    if value is None:
        return None
    number = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    elif isinstance(value, str) and re.fullmatch(_NUMBER, value.strip()):
        number = float(value)
    if math.isfinite(number):
        return number
    logger.warning(
        "The token response has an expires_in that cannot be read (a %s);"
        " the token is used until it is rejected.",
        type(value).__name__,
    )
    return None


def _integer(digits: str) -> float:
    # int() refuses, or takes minutes, where there are thousands of them.
    return int(digits) if len(digits) < 100 else float(digits)


def _named(value: object) -> str:
    # Short and without digits, as the registered ones are: it may be the token, in the wrong place.
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_-]{1,16}", value):
        return repr(value)
    return f"that is no name (a {type(value).__name__})"
