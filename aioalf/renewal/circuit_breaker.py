"""When no token request is made: after failures in a row, and after renewals that did not help."""

from __future__ import annotations

import logging
import time

from ..backoff import backoff
from ..clock import Clock
from ..errors import AuthorizationError, TokenError, TokenHTTPError, clone
from ..token import Token

__all__ = ("CircuitBreaker", "RenewalThrottle")

logger: logging.Logger = logging.getLogger("aioalf")

_FAILURES_TO_OPEN = 3
_REFUSAL_COOLDOWN = 60.0  # seconds for which a person's refusal is remembered
_SIGN_IN_PAUSE = 60.0  # seconds
_FROM_BREAKER = "_from_breaker"  # marks an error that was raised instead of a token request


class CircuitBreaker:
    """Opens at the third token request in a row that failed; callers then get its error at once.

    It stays open for 1 s, then 2 s, doubling to 30 s; after that one request is let through, and its
    outcome closes the breaker or opens it for longer. ``Retry-After`` opens it at the first failure for as
    long as the server asks, up to ten minutes. A person's refusal opens it at once, for a minute.

    :param clock: the clocks.
    """

    __slots__ = ("_clock", "_counted", "_open_until", "error", "failures")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open_until = 0.0
        self._counted: Exception | None = None
        #: How many token requests in a row have failed.
        self.failures: int = 0
        #: The last failure, if the breaker opened because of it and no token request has been made since.
        self.error: TokenError | None = None

    @property
    def pause(self) -> float:
        """For how many seconds it stays open; 0 if it is closed."""
        return 0.0 if self.error is None else max(0.0, self._open_until - self._clock.monotonic())

    def error_while_open(self) -> TokenError | None:
        """Return the error to raise instead of a token request, a new object each time; None if closed."""
        if self.error is None or self._clock.monotonic() >= self._open_until:
            self.error = None
            return None
        return clone(self.error)

    def record_refusal(self, error: AuthorizationError) -> None:
        """Count a refused sign-in before its error has reached `record_failure`, which passes it by.

        Others may wait for the lock of the storage: the next one must not open another window.
        """
        self.record_failure(error)
        self._counted = error

    def record_failure(self, error: Exception) -> str:
        """Count a token request that failed, and open the breaker if it is time to.

        An error that this breaker, or another manager's, raised instead of a request does not count.

        :return: a note for the log that says when the next request may be made; empty if at once.
        """
        counted, self._counted = self._counted, None
        if getattr(error, _FROM_BREAKER, False) or error is counted:
            return ""
        self.failures += 1
        asked = error.retry_after if isinstance(error, TokenHTTPError) else None
        cooldown = 0.0 if asked is None else backoff(self.failures, asked)
        if isinstance(error, AuthorizationError):
            cooldown = _REFUSAL_COOLDOWN
        elif self.failures >= _FAILURES_TO_OPEN:  # Retry-After: 0 does not mean "at once" then
            cooldown = max(cooldown, backoff(self.failures - _FAILURES_TO_OPEN + 1))
        if not cooldown:
            return ""
        self._open_until = self._clock.monotonic() + cooldown
        note = f"; the next attempt is made not before {_utc(self._clock.time() + cooldown)}"
        self.error = _with_retry_time(error, note)
        return note

    def record_success(self) -> None:
        """Close the breaker: a token request gave a token, or `reset_token` was called."""
        self.failures = 0
        self.error = None


class RenewalThrottle:
    """Limits how often a 401 may cause a renewal.

    An API may reject a token that is good: it answers 401 and means 403, or it does not take tokens of
    this server. A new token does not help then. So a renewal that a 401 caused is followed by a pause (1 s,
    doubling to 30 s) in which no other 401 causes one. Only two things end the pause: time, and a request
    that was answered 401, was sent again with the new token, and was then accepted. The success of any
    other request says nothing about the one that is rejected.

    If a person takes part, a 401 opens at most one window a minute, whatever it led to; and a token that
    no API has accepted yet is not replaced in the minute after the sign-in that gave it.

    :param clock: the clocks.
    """

    __slots__ = (
        "_clock",
        "_ends_with_help",
        "_logged",
        "_paused_until",
        "_renewals",
        "token",
        "undecided",
    )

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: A renewal whose outcome is not known: the new token, the rejected one, and when it was.
        self.undecided: tuple[Token, Token, float] | None = None
        #: The result of the renewal that began a pause, also if time has ended it since.
        self.token: Token | None = None
        self._renewals = 0  # renewals in a row, each because the token of the last was rejected
        self._paused_until = 0.0
        self._ends_with_help = True
        self._logged: Token | None = None

    def record_renewal(
        self,
        token: Token,
        rejected: Token | None,
        *,
        signed_in: bool = False,
        demanded: bool = False,
        at: float | None = None,
    ) -> None:
        """Begin a pause after a renewal that a 401 caused, and after every sign-in.

        :param token: the new token.
        :param rejected: the token that it replaces.
        :param signed_in: whether a person has signed in for it.
        :param demanded: whether it was not a 401 that caused the renewal.
        :param at: when that was on the monotonic clock; now by default.
        """
        again = rejected is not None and self.gave(rejected)
        self._renewals = self._renewals + 1 if again else 1
        self.token = token
        pause = _SIGN_IN_PAUSE if signed_in else backoff(self._renewals)
        self._paused_until = (self._clock.monotonic() if at is None else at) + pause
        self._ends_with_help = demanded or not signed_in

    def _decide(self) -> None:
        if self.undecided is not None:  # it has not helped so far
            token, rejected, at = self.undecided
            self.undecided = None
            self.record_renewal(token, rejected, at=at)

    def record_help(self, token: Token) -> None:
        """End the pause: an API has accepted this new token in a request that was rejected before."""
        if self.gave(token) and self._ends_with_help:
            self.reset()

    def gave(self, token: Token) -> bool:
        """Return whether a token came from the renewal that began the pause."""
        return self.token is not None and token.access_token == self.token.access_token

    def reset(self) -> None:
        """Forget the renewals so far, as `reset_token` demands."""
        self.token = self.undecided = None
        self._renewals = 0

    def rejection_error(self) -> TokenError | None:
        """Return the error to raise instead of a renewal that a 401 would cause now, or None."""
        self._decide()
        pause = self._paused_until - self._clock.monotonic()
        if self.token is None or pause <= 0:
            return None
        return TokenError(
            "The API rejects new tokens as it rejected the old one; the next one is fetched not before"
            f" {_utc(self._clock.time() + pause)}. Does the API take tokens of this server, for this scope"
            " and audience?"
        )

    def log_rejection_once(self, rejected: Token) -> None:
        """Log that the API rejects a new token too, once for each token."""
        self._decide()
        if not self.gave(rejected) or self.token is self._logged:
            return
        self._logged = self.token
        if (error := self.rejection_error()) is not None:
            logger.warning("%s", error)


def _with_retry_time(error: Exception, note: str) -> TokenError:
    """Return the same error with the time of the next attempt in its message."""
    if isinstance(error, TokenError):
        again = clone(error)
        again.args = (f"{error.args[0] if error.args else 'No token'}{note}", *error.args[1:])
    else:
        again = TokenError(f"No token: {type(error).__name__}{note}")
    if isinstance(again, (TokenHTTPError, AuthorizationError)):
        again.message += note
    setattr(again, _FROM_BREAKER, True)
    return again


def _utc(seconds: float) -> str:
    return time.strftime("%H:%M:%S UTC", time.gmtime(seconds))
