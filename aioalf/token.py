"""`Token`: what the token endpoint gave, as an immutable value.

Also names `TokenError` and `TokenHTTPError`, which live in `aioalf.errors`: the old import path.
"""

from __future__ import annotations

import hashlib
import os
import time
from datetime import datetime, timezone
from typing import NoReturn

from .errors import TokenError, TokenHTTPError

__all__ = ("Token", "TokenError", "TokenHTTPError", "fingerprint")

_FINGERPRINT_KEY = os.urandom(16)


def fingerprint(token: str) -> str:
    """Name a token in a log without telling anything about it.

    The same token has the same name within a process, and another one in the next process, so that
    nobody can test a guess against a log.

    :param token: any token.
    :return: eight hexadecimal digits.
    """
    key = _FINGERPRINT_KEY
    return hashlib.blake2b(
        token.encode("utf-8", "surrogatepass"), key=key, digest_size=4
    ).hexdigest()


class Token:
    """An access token and what came with it (RFC 6749 section 5.1).

    :param access_token: the token; sent as ``Authorization: Bearer <token>``.
    :param expires_in: its life in seconds when it was given; None means unknown (use it until a 401).
    :param scope: the scope it was given for, or None where the server named none.
    :param refresh_token: the refresh token that came with it, or None.
    :param expires_at: when it expires, UTC seconds since the epoch; by default `expires_in` from now.
    """

    # By hand: the dataclasses module would be a tenth of what it takes to import this library.
    __slots__ = ("access_token", "expires_at", "expires_in", "refresh_token", "scope")

    access_token: str
    expires_in: float | None
    scope: str | None
    refresh_token: str | None
    expires_at: float | None

    def __init__(
        self,
        access_token: str = "",
        expires_in: float | str | None = 0,
        *,
        scope: str | None = None,
        refresh_token: str | None = None,
        expires_at: float | None = None,
    ) -> None:
        lifetime = None if expires_in is None else float(expires_in)
        if expires_at is None and lifetime is not None:
            expires_at = time.time() + lifetime
        put = object.__setattr__
        put(self, "access_token", access_token)
        put(self, "expires_in", lifetime)
        put(self, "scope", scope)
        put(self, "refresh_token", refresh_token)
        put(self, "expires_at", expires_at)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"A Token cannot be changed: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"A Token cannot be changed: {name}")

    def _fields(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in Token.__slots__)

    def __eq__(self, other: object) -> bool:
        return self._fields() == other._fields() if isinstance(other, Token) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._fields())

    def __reduce__(self) -> tuple[object, ...]:
        return (_restored, self._fields())

    @property
    def expires_on(self) -> datetime:
        """When it expires, as a naive datetime in UTC; `datetime.max` where that is unknown."""
        if self.expires_at is None:
            return datetime.max
        try:
            return datetime.fromtimestamp(self.expires_at, timezone.utc).replace(tzinfo=None)
        except (OverflowError, ValueError, OSError):  # centuries away, either way
            return datetime.max if self.expires_at > 0 else datetime.min

    def is_valid(self) -> bool:
        """Whether the token has not expired by the wall clock; True where its life is unknown."""
        return self.expires_at is None or time.time() < self.expires_at

    def __repr__(self) -> str:
        expiry = "unknown" if self.expires_at is None else f"{self.expires_on:%Y-%m-%dT%H:%M:%SZ}"
        return f"<Token {fingerprint(self.access_token)} expires={expiry} scope={self.scope!r}>"


def _restored(
    access_token: str,
    expires_at: float | None,
    expires_in: float | None,
    refresh_token: str | None,
    scope: str | None,
) -> Token:
    return Token(
        access_token, expires_in, scope=scope, refresh_token=refresh_token, expires_at=expires_at
    )
