"""When a token is handed out, and when it is renewed.

Pure: no I/O, no state beyond the values given.
"""

from __future__ import annotations

import math

from ..clock import Clock
from ..token import Token

__all__ = ("HeldToken",)


# A short token gets short margins, or it would be "expired" all its life.
_EXPIRY_SHARE = 0.1
_RENEWAL_SHARE = 0.25


class HeldToken:
    """A token, and the moments on two clocks at which it is to be renewed and to be given up.

    At first it is `calm`: handed out with no further thought. Then it is `due`: handed out while it is
    renewed. In the end it is not `usable` any more. Each moment exists on the monotonic clock and on the
    wall clock, and whichever comes first counts: a suspended machine stops the one, a stepped clock
    moves the other.

    The moments up to which it is calm, and the clocks, are open to `TokenCache`, which looks at them for
    each request.

    :param token: the token.
    :param clock: the clocks, read now.
    :param expiry_margin: seconds before its expiry at which it is no longer handed out; at most a tenth
        of its life.
    :param renewal_margin: seconds before that at which it is renewed ahead; at most a quarter of its
        life. 0 where it is never renewed ahead.
    """

    __slots__ = (
        "_due",
        "_due_wall",
        "_usable_until",
        "_usable_until_wall",
        "calm_until",
        "calm_until_wall",
        "monotonic",
        "token",
        "wall",
    )

    def __init__(
        self, token: Token, clock: Clock, expiry_margin: float, renewal_margin: float
    ) -> None:
        self.token = token
        self.monotonic, self.wall = clock.monotonic, clock.time
        if token.expires_at is None:
            self._due = self._due_wall = self._usable_until = self._usable_until_wall = math.inf
            self.calm_until = self.calm_until_wall = math.inf
            return
        now, wall = clock.monotonic(), clock.time()
        left = token.expires_at - wall
        lifetime = left if token.expires_in is None else token.expires_in
        # A clock stepped back since the token was given cannot make it live longer than it was given for.
        left = min(left, lifetime)
        left -= min(expiry_margin, max(lifetime, 0.0) * _EXPIRY_SHARE)
        ahead = min(renewal_margin, max(lifetime, 0.0) * _RENEWAL_SHARE)
        self._usable_until, self._usable_until_wall = now + left, wall + left
        self._due, self._due_wall = now + left - ahead, wall + left - ahead
        self.calm_until, self.calm_until_wall = self._due, self._due_wall

    def usable(self) -> bool:
        """Whether it may still be handed out."""
        return self.monotonic() < self._usable_until and self.wall() < self._usable_until_wall

    def due(self) -> bool:
        """Whether it is time to renew it."""
        return self.monotonic() >= self._due or self.wall() >= self._due_wall

    def calm(self) -> bool:
        """Whether it may be handed out with no further thought."""
        return self.monotonic() < self.calm_until and self.wall() < self.calm_until_wall

    def spend(self) -> None:
        """Do not hand it out any more."""
        self.calm_until = self._due = self._usable_until = -math.inf

    def think_each_time(self) -> None:
        """Never be `calm`: there is more to look at than the clock."""
        self.calm_until = -math.inf
