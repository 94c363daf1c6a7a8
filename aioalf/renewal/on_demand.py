"""Renewals that are asked for by name: a new token at once, a sign-in, or one in the background."""

from __future__ import annotations

from ..token import Token
from .cache import REMEMBERED, TokenCache

__all__ = ("demand", "renew_in_background")


async def demand(cache: TokenCache, *, sign_in: bool = False) -> Token:
    """Fetch a new token now, whatever the breaker or the throttle says.

    :param sign_in: whether a person is to sign in, whatever token there is.
    :raises TokenError: there is none to be had.
    """
    cache.enter()
    if (flight := cache.flights.current) is None or not flight.called_from_inside:
        cache.breaker.record_success()
        cache.throttle.reset()
    replaced = cache.cached.token if cache.cached and not sign_in else None
    return await cache.join("sign-in" if sign_in else "forced", replaced)


def renew_in_background(cache: TokenCache, rejected: Token) -> None:
    """Replace a rejected token for the next call, which waits for the new one."""
    if cache.renewal_blocked(rejected):
        return
    cache.enter()
    cached = cache.cached
    if cached is None or cached.token is not rejected or cache.flights.current is not None:
        return
    if rejected.access_token not in cache.rejected:
        cache.rejected = (*cache.rejected[1 - REMEMBERED :], rejected.access_token)
    cached.expire()  # the body of the next request may be one that cannot be sent again either
    if cache.fetcher.is_silent(rejected):  # nobody is asked to sign in for a request that is over
        cache.start("rejected", rejected)
