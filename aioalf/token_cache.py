"""`TokenCache`: the token that a manager holds. No task and no waiting: that is `aioalf.renewal.cache`."""

from __future__ import annotations

from collections import deque
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from .clock import Clock
from .renewal.lifetime import HeldToken
from .token import Token, issued_later, usable_access_token

__all__ = ("TokenCache",)

_SKIPPED_STEPS = frozenset({"get", "get_token", "_has_token"})  # `peek` passes them by


class TokenCache:
    """Holds one token, and tells whether it, or another, may be handed out."""

    #: Whether a person takes part in getting a token. Such a flow is never renewed ahead, never retried
    #: by itself, and given up when nobody waits for it any more.
    interactive: ClassVar[bool] = False

    # Defaults stand on the class: a subclass written for 0.4.0 may not call __init__.
    _token: Token | None = None
    _held: HeldToken | None = None
    _closed = False
    _clock = Clock()
    _expiry_margin = 10.0
    _renewal_margin = 60.0

    def _has_token(self) -> bool:
        held = self._adopted()
        return held is not None and held.usable()

    def _hold(self, token: Token) -> HeldToken:
        usable_access_token(token.access_token)
        margin = 0.0 if self.interactive else self._renewal_margin
        held = HeldToken(token, self._clock, self._expiry_margin, margin)
        if self._doubts(token) or any(map(self._overrides, _SKIPPED_STEPS)):
            held.think_each_time()
        self._token = token
        self._held = None if self._closed else held
        return held

    def _adopted(self) -> HeldToken | None:
        """What is held, after a look at whether an overridden step has set a token itself."""
        if self._token is None:
            self._held = None
        elif self._held is None or self._held.token is not self._token:
            return self._hold(self._token)
        return self._held

    def _worth(self, stored: Token, replaced: Token | None) -> bool:
        """Whether a token that was stored, by whomever, can be used in place of another."""
        if stored.access_token in self._rejected:
            return False
        if replaced is not None:
            if stored.access_token == replaced.access_token:
                return False
            if replaced.expires_at is not None and issued_later(replaced, stored):
                return False  # it is older, as far as one can tell
        held = HeldToken(stored, self._clock, self._expiry_margin, self._renewal_margin)
        return held.usable()

    @cached_property
    def _rejected(self) -> deque[str]:
        """The last access tokens that were rejected, or given up."""
        return deque(maxlen=8)

    def _named(self, access_token: str) -> Token:
        """The `Token` for what an overridden get_token() gave."""
        if self._token is not None and self._token.access_token == access_token:
            return self._token
        return Token(usable_access_token(access_token), None)

    def _doubts(self, token: Token) -> bool:
        """Whether it matters if the API takes this token."""
        raise NotImplementedError

    def _overrides(self, step: str) -> bool:
        """Whether a subclass, or somebody's test on this object, has replaced a step."""
        raise NotImplementedError

    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: object) -> None:
            if name == "_token" or name in _SKIPPED_STEPS:
                self._held = None  # replaced on this object: to be looked at from now on
            super().__setattr__(name, value)
