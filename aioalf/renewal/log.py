"""What the log says of a renewal."""

from __future__ import annotations

import logging

from ..errors import SignInRequired, in_short
from ..redaction import fingerprint
from ..token import CachedToken, Token
from .circuit_breaker import CircuitBreaker
from .single_flight import Flight

__all__ = ("NO_TOKEN", "log_failure", "log_token")

logger: logging.Logger = logging.getLogger("aioalf")

#: The record of a failed token request after which there is no token.
NO_TOKEN = "No token: %s%s"


def log_token(token: Token, *, fetched: bool) -> None:
    """Log which token there is now, and from where."""
    source = "new" if fetched else "from the storage"
    logger.debug("Token %s, %s", fingerprint(token.access_token), source)


def log_failure(
    error: Exception, breaker: CircuitBreaker, serving: CachedToken | None, flight: Flight
) -> None:
    """Log that a renewal has failed, and count it.

    :param breaker: counts it. That a person has to sign in is not a failure of the server's.
    :param serving: the old token, if it was renewed ahead and goes on serving.
    :param flight: the renewal; if it was in the background, no task knows of the failure.
    """
    if isinstance(error, SignInRequired):
        if flight.awaited:
            logger.warning(NO_TOKEN, in_short(error), ".")
        else:
            logger.info("The token was not renewed ahead: %s", error)
        return
    note = breaker.record_failure(error)
    cause = in_short(error)
    end = note or ("" if cause.endswith("?") else ".")
    if serving is None or serving.is_expired():
        logger.warning(NO_TOKEN, cause, end)
        return
    logger.warning(
        "The token was not renewed ahead, the old one serves for %.0f s more: %s%s",
        serving.left(),
        cause,
        end,
    )
