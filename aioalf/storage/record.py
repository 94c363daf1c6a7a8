"""The one line of text that a token storage keeps: written and read here, opaque everywhere else.

Pure: no I/O. A line is JSON with a version and a binding, so that a manager never takes the token of
another endpoint, client, scope or flow for its own. A bare access token, which is what version 0.4.0
saved, is read as a token of unknown life.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from ..errors import TokenError
from ..token import Token, usable_access_token

__all__ = ("binding_of", "expires_at_of", "read_line", "write_line")

_VERSION = 1


def binding_of(
    flow: str,
    token_endpoint: str | None,
    client_id: str | None,
    scope: str | None,
    params: Mapping[str, Any] | None,
    account: str | None = None,
) -> str:
    """Hash what a token is bound to; the same for two managers that may share tokens.

    :param account: whose token it is, if several people share all the rest.
    :return: 64 hexadecimal digits, fit for a file name or a key.
    """
    scopes = sorted(scope.split()) if scope else []
    parts = [flow, token_endpoint, client_id, scopes, sorted((params or {}).items())]
    if account is not None:  # without one it is the key that it always was
        parts.append(account)
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def write_line(token: Token, binding: str) -> str:
    """Write a token as one line of text, with its expiry in absolute UTC."""
    return json.dumps(
        {
            "v": _VERSION,
            "binding": binding,
            "access_token": token.access_token,
            "expires_at": token.expires_at,
            "expires_in": token.expires_in,
            "scope": token.scope,
            "refresh_token": token.refresh_token,
            **({"extra": dict(token.extra)} if token.extra else {}),
        },
        default=str,
    )


def read_line(line: object, binding: str) -> Token | None:
    """Read what a storage gave back.

    :return: the token, or None if there is none or it is bound to something else.
    :raises TokenError: it is not such a line; the message says why and shows nothing of it.
    """
    if line is None or (isinstance(line, (str, bytes, bytearray)) and not line):
        return None
    if isinstance(line, (bytes, bytearray)):
        line = bytes(line).decode("utf-8", "replace")
    if not isinstance(line, str):
        raise TokenError(f"The token storage gave back a {type(line).__name__}, not a string.")
    line = line.strip()
    if not line.startswith("{"):
        return Token(usable_access_token(line), None)
    try:
        kept = json.loads(line)
    except (ValueError, RecursionError):
        kept = None
    if not isinstance(kept, dict) or kept.get("v") != _VERSION:
        raise TokenError("The token storage gave back a line that this version cannot read.")
    if kept.get("binding") != binding:
        return None
    return Token(
        usable_access_token(kept.get("access_token")),
        _number(kept.get("expires_in")),
        scope=_text(kept.get("scope")),
        refresh_token=_text(kept.get("refresh_token")),
        expires_at=_number(kept.get("expires_at")),
        extra=extra if isinstance(extra := kept.get("extra"), dict) else None,
    )


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise TokenError("The token storage gave back a token whose expiry is not a number.")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def expires_at_of(line: str) -> float | None:
    """Return until when a saved line is worth keeping.

    :param line: what `TokenStorage.save` was given.
    :return: UTC seconds since the epoch; None if that is unknown, or has no end because a
        refresh token can still be used after the access token has expired (RFC 6749 section 6).
    """
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None  # a bare token
    if not isinstance(fields, dict) or fields.get("refresh_token"):
        return None
    expires_at = fields.get("expires_at")
    if isinstance(expires_at, bool) or not isinstance(expires_at, (int, float)):
        return None
    try:
        seconds = float(expires_at)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None
