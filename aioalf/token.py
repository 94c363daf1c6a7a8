"""`Token`: a token as an immutable value; `CachedToken`: how long it may be used.

Also names `TokenError` and `TokenHTTPError`, which live in `aioalf.errors`: the old import path.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import TokenError, TokenHTTPError
from .redaction import fingerprint

if TYPE_CHECKING:
    from .clock import Clock

__all__ = (
    "CachedToken",
    "Token",
    "TokenError",
    "TokenHTTPError",
    "issued_later",
    "read_expires_in",
    "usable_access_token",
    "without_refresh_token",
)

logger: logging.Logger = logging.getLogger("aioalf")

_NUMBER = r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?"
# RFC 6750 section 2.1 allows less (b64token); servers in the field give any visible ASCII.
_VISIBLE_ASCII = r"[\x21-\x7e]+"

# A short token gets short margins, or it would be expired all its life.
_EXPIRY_SHARE = 0.1
_RENEWAL_SHARE = 0.25
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Token:
    """An access token and what came with it (RFC 6749 section 5.1).

    :param access_token: the token; sent as ``Authorization: Bearer <token>``.
    :param expires_in: its life in seconds when it was given; None means unknown (use it until a 401).
    :param scope: the scope it was given for, or None if the server named none.
    :param refresh_token: the refresh token that came with it, or None.
    :param expires_at: when it expires, UTC seconds since the epoch; by default `expires_in` from now.
    :param extra: what else the token response held, such as ``id_token`` or ``instance_url``; read-only
        from then on. An ``id_token`` in it has not been validated.
    """

    # By hand: the dataclasses module would be a tenth of what it takes to import this library.
    __slots__ = ("access_token", "expires_at", "expires_in", "extra", "refresh_token", "scope")

    access_token: str
    expires_in: float | None
    scope: str | None
    refresh_token: str | None
    expires_at: float | None
    extra: Mapping[str, Any]

    def __init__(
        self,
        access_token: str = "",
        expires_in: float | str | None = 0,
        *,
        scope: str | None = None,
        refresh_token: str | None = None,
        expires_at: float | None = None,
        extra: Mapping[str, Any] | None = None,
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
        put(self, "extra", MappingProxyType(dict(extra)) if extra else _NOTHING)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"A Token cannot be changed: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"A Token cannot be changed: {name}")

    def _fields(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in Token.__slots__)

    def __eq__(self, other: object) -> bool:
        return self._fields() == other._fields() if isinstance(other, Token) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.access_token, self.expires_at))

    def __reduce__(self) -> tuple[object, ...]:
        fields = {name: getattr(self, name) for name in Token.__slots__}
        return (_restored, ({**fields, "extra": dict(self.extra)},))

    @property
    def expires_on(self) -> datetime:
        """When it expires, as a naive datetime in UTC; `datetime.max` if that is unknown."""
        if self.expires_at is None:
            return datetime.max
        try:
            return datetime.fromtimestamp(self.expires_at, timezone.utc).replace(tzinfo=None)
        except (OverflowError, ValueError, OSError):  # centuries away, either way
            return datetime.max if self.expires_at > 0 else datetime.min

    def is_valid(self) -> bool:
        """Return whether the token has not expired by the wall clock; True if its life is unknown."""
        return self.expires_at is None or time.time() < self.expires_at

    def __repr__(self) -> str:
        expiry = "unknown" if self.expires_at is None else f"{self.expires_on:%Y-%m-%dT%H:%M:%SZ}"
        return f"<Token {fingerprint(self.access_token)} expires={expiry} scope={self.scope!r}>"


def _restored(fields: dict[str, Any]) -> Token:
    return Token(**fields)


class CachedToken:
    """A token, and how long it may be used.

    A *fresh* token is handed out. A *stale* one is handed out while a new one is fetched. An *expired* one
    is not handed out any more. The age of a token is what the monotonic clock says or what the wall clock
    says, whichever is more: a suspended machine stops the first, and the second may be set.

    `fresh_for`, the two moments and the two clocks are public because `TokenCache.peek` reads them at each
    request.

    :param token: the token.
    :param clock: the clocks, read now.
    :param expiry_margin: seconds before its expiry from which on it counts as expired; at most a tenth of
        its life.
    :param renewal_margin: seconds before that from which on it is stale; at most a quarter of its life. 0
        for a token that is never renewed ahead.
    """

    __slots__ = ("fresh_for", "monotonic", "since", "token", "valid_for", "wall", "wall_since")

    token: Token
    monotonic: Callable[[], float]
    wall: Callable[[], float]
    since: float
    wall_since: float
    fresh_for: float
    valid_for: float

    def __init__(
        self, token: Token, clock: Clock, expiry_margin: float, renewal_margin: float
    ) -> None:
        self.token = token
        self.monotonic, self.wall = clock.monotonic, clock.time
        self.since, self.wall_since = clock.monotonic(), clock.time()
        if token.expires_at is None:
            self.fresh_for = self.valid_for = math.inf
            return
        left = token.expires_at - self.wall_since
        lifetime = left if token.expires_in is None else token.expires_in
        # A wall clock that was set back cannot make a token live longer than it was given for.
        left = min(left, lifetime)
        lifetime = max(lifetime, 0.0)
        self.valid_for = left - min(expiry_margin, lifetime * _EXPIRY_SHARE)
        self.fresh_for = self.valid_for - min(renewal_margin, lifetime * _RENEWAL_SHARE)

    def left(self) -> float:
        """Return the seconds for which the token may still be handed out."""
        return self.valid_for - max(self.monotonic() - self.since, self.wall() - self.wall_since)

    def is_stale(self) -> bool:
        """Return whether it is time to renew the token."""
        age = max(self.monotonic() - self.since, self.wall() - self.wall_since)
        return age >= self.fresh_for

    def is_expired(self) -> bool:
        """Return whether the token may not be handed out any more."""
        age = max(self.monotonic() - self.since, self.wall() - self.wall_since)
        return age >= self.valid_for

    def hold_for(self, seconds: float) -> None:
        """Let the token be fresh for so long at least, whatever its margins."""
        self.fresh_for = max(self.fresh_for, seconds)
        self.valid_for = max(self.valid_for, seconds)

    def hold_until_expired(self) -> None:
        """Let the token be fresh until it expires: there is no way to renew it ahead."""
        self.fresh_for = self.valid_for

    def expire(self) -> None:
        """Treat the token as expired from now on."""
        self.fresh_for = self.valid_for = -math.inf


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


def usable_access_token(value: object) -> str:
    """Return the access token if it can go into a header: a non-empty string of visible ASCII.

    :raises TokenError: it cannot; the message says why and does not show it.
    """
    if value is None:
        raise TokenError("The token response holds no access_token.")
    if not isinstance(value, str):
        raise TokenError(
            f"The access_token in the token response is a {type(value).__name__}, not a string."
        )
    if not value:
        raise TokenError("The access_token in the token response is empty.")
    if not re.fullmatch(_VISIBLE_ASCII, value):
        raise TokenError("The access_token in the token response holds a character it must not.")
    return value


def without_refresh_token(token: Token) -> Token:
    """Return the same token without its refresh token."""
    return Token(
        token.access_token,
        token.expires_in,
        scope=token.scope,
        expires_at=token.expires_at,
        extra=token.extra,
    )


def issued_later(one: Token, other: Token) -> bool:
    """Return whether a token was issued after another, however long each of them lives.

    If that cannot be told, whether it expires later; a token of unknown life never does.
    """
    if one.expires_at is None or other.expires_at is None:
        return one.expires_at is None and other.expires_at is not None
    if one.expires_in is not None and other.expires_in is not None:
        given, other_given = one.expires_at - one.expires_in, other.expires_at - other.expires_in
        if given != other_given:
            return given > other_given
    return one.expires_at > other.expires_at
