"""`CircuitBreaker`: what does not help backs off.

Two things do not help: a token endpoint that fails again and again, and new tokens that the API rejects
all the same. Meanwhile callers get the last error, or the 401, at once.
"""

from __future__ import annotations

import logging
import time

from ..backoff import backoff
from ..clock import Clock
from ..errors import AuthorizationError, TokenError, TokenHTTPError, clone
from ..token import Token

__all__ = ("CircuitBreaker",)

logger = logging.getLogger("aioalf")

_FREE_FAILURES = 2  # token requests in a row that may fail before the next one waits
_REFUSAL = 60.0  # seconds for which a person's refusal is remembered
_PASSED_ON = "_passed_on"  # the mark of an error that was given instead of a token request


class CircuitBreaker:
    """When the next token request may be made.

    :param clock: the clocks.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._held_until = 0.0
        self._error: TokenError | None = None
        #: A token that was fetched because of a 401 and that nothing has accepted so far.
        self.doubted: Token | None = None
        self._doubt_until = 0.0
        self._fruitless = 0
        self._told: Token | None = None

    def failed(self, error: Exception) -> str:
        """A token request failed for good. What `error` gave, and is only passed on, does not count.

        :return: what is to be told besides: until when there will be no other, or nothing.
        """
        if getattr(error, _PASSED_ON, False):
            return ""
        self._failures += 1
        if isinstance(error, AuthorizationError):
            wait = _REFUSAL
        elif self._failures <= _FREE_FAILURES:
            return ""
        else:
            asked = error.retry_after if isinstance(error, TokenHTTPError) else None
            failures = self._failures - _FREE_FAILURES
            wait = max(backoff(failures), backoff(failures, asked))  # "0" does not mean "at once"
        self._held_until = self._clock.monotonic() + wait
        note = f"; the next attempt is made not before {_utc(self._clock.time() + wait)}"
        self._error = _postponed(error, note)
        return note

    def succeeded(self, token: Token, *, after_rejection: bool) -> None:
        """A token request gave a token.

        :param token: the new token.
        :param after_rejection: it was made because the API answered 401.
        """
        self._failures = 0
        self._error = None
        if after_rejection:
            self._fruitless += 1
            self._doubt_until = self._clock.monotonic() + backoff(self._fruitless)
        # Also where it was renewed ahead since: nothing has been accepted so far.
        self.doubted = token if self._fruitless else None

    def accepted(self) -> None:
        """The API has accepted the doubted token."""
        self.doubted = None
        self._fruitless = 0

    def clear(self) -> None:
        """Forget all: somebody has asked for a new token in so many words."""
        self._failures = self._fruitless = 0
        self._error = self.doubted = None

    def error(self) -> TokenError | None:
        """What to raise instead of making a token request now, or None; each time a new object."""
        if self._error is not None and self._clock.monotonic() >= self._held_until:
            self._error = None
        return None if self._error is None else clone(self._error)

    def tell(self, rejected: Token) -> None:
        """Log, once for each token, that the API rejects a new one as well."""
        error = self.fruitless(rejected)
        if error is not None and self._told is not rejected:
            self._told = rejected
            logger.warning("%s", error)

    def fruitless(self, rejected: Token) -> TokenError | None:
        """What to raise instead of replacing this token now, or None."""
        wait = self._doubt_until - self._clock.monotonic()
        if rejected is not self.doubted or wait <= 0:
            return None
        return TokenError(
            "The API rejects new tokens as it rejected the old one; the next one is fetched not before"
            f" {_utc(self._clock.time() + wait)}. Does it take tokens of this server, for this scope"
            " and audience?"
        )


def _postponed(error: Exception, note: str) -> TokenError:
    """The same error again, saying until when it stands."""
    if isinstance(error, TokenError):
        again = clone(error)
        again.args = (f"{error.args[0] if error.args else 'No token'}{note}", *error.args[1:])
    else:
        again = TokenError(f"No token: {type(error).__name__}{note}")
    if isinstance(again, (TokenHTTPError, AuthorizationError)):
        again.message += note
    setattr(again, _PASSED_ON, True)
    return again


def _utc(seconds: float) -> str:
    return time.strftime("%H:%M:%S UTC", time.gmtime(seconds))
