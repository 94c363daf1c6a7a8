"""When a cached token is fresh, stale or expired. Pure: no I/O."""

from __future__ import annotations

import math

from ..clock import Clock
from ..token import Token

__all__ = ("CachedToken",)

# A short token gets short margins, or it would be expired all its life.
_EXPIRY_SHARE = 0.1
_RENEWAL_SHARE = 0.25


class CachedToken:
    """A token, and how long it may be used.

    A *fresh* token is handed out. A *stale* one is handed out while a new one is fetched. An *expired* one
    is not handed out any more. The age of a token is what the monotonic clock says or what the wall clock
    says, whichever is more: a suspended machine stops the first, and somebody may set the second.

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

    def _age(self) -> float:
        return max(self.monotonic() - self.since, self.wall() - self.wall_since)

    def is_stale(self) -> bool:
        """Whether it is time to renew the token."""
        return self._age() >= self.fresh_for

    def is_expired(self) -> bool:
        """Whether the token may not be handed out any more."""
        return self._age() >= self.valid_for

    def expire(self) -> None:
        """Treat the token as expired from now on."""
        self.fresh_for = self.valid_for = -math.inf
