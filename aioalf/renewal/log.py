"""What is told of a renewal: to the log, and to those who have asked for events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..errors import AuthorizationError, SignInRequired, TokenHTTPError, in_short
from ..events import (
    Event,
    Reason,
    RequestResent,
    SignInNeeded,
    TokenObtained,
    TokenRequestFailed,
    emit,
)
from ..redaction import fingerprint
from ..token import Token
from .single_flight import Flight

if TYPE_CHECKING:
    from .cache import TokenCache

__all__ = ("tell", "tell_of_failure", "tell_of_second_sending", "tell_of_token")


def tell(cache: TokenCache, event: Event) -> None:
    """Tell an event in the context of the task that caused it.

    That of a renewal is the task that began it: so a record has its request id, and a span its parent.
    """
    emit(event, cache.on_event, cache.flights.context())


def tell_of_token(
    cache: TokenCache,
    token: Token,
    reason: Reason,
    begun: float,
    *,
    fetched: bool,
) -> None:
    """Tell that there is a new token.

    :param begun: when the renewal began, on the monotonic clock.
    """
    lifetime = None if token.expires_at is None else token.expires_at - cache.clock.time()
    seconds = cache.clock.monotonic() - begun
    name = fingerprint(token.access_token)
    source: Literal["endpoint", "storage"] = "endpoint" if fetched else "storage"
    tell(cache, TokenObtained(reason, source, seconds, lifetime, name))


def tell_of_failure(
    cache: TokenCache, error: Exception, reason: Reason, begun: float, flight: Flight
) -> None:
    """Count a renewal that has failed, and tell of it.

    That a person has to sign in is not a failure of the server's. If it was in the background, no task
    knows of it.

    :param begun: when the renewal began, on the monotonic clock.
    """
    if isinstance(error, SignInRequired):
        tell(cache, SignInNeeded(in_short(error), flight.awaited))
        return
    note = cache.breaker.record_failure(error)
    serving = cache.cached if reason in ("ahead", "forced", "sign-in") else None
    event = TokenRequestFailed(
        reason=reason,
        error=getattr(error, "error", None)
        if isinstance(error, (TokenHTTPError, AuthorizationError))
        else None,
        status=getattr(error, "response_status", None),
        message=f"{in_short(error)}{note}",
        seconds=cache.clock.monotonic() - begun,
        old_token_serves=0.0 if serving is None or serving.is_expired() else serving.left(),
        pause=cache.breaker.pause,
    )
    tell(cache, event)


def tell_of_second_sending(cache: TokenCache, *, accepted: bool) -> None:
    """Tell what came of a request that was sent again because its token was rejected."""
    emit(RequestResent(accepted), cache.on_event)
