"""Revocation: the server is told that tokens are not needed any more (RFC 7009)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from .backoff import LONGEST_PAUSE
from .clock import Clock
from .endpoint import REVOCATION_ENDPOINT
from .errors import TokenError, TokenHTTPError
from .renewal.cache import REVOCATION, TokenCache
from .renewal.single_flight import Flight
from .token import Token

__all__ = ("revoke",)

Request = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


async def revoke(cache: TokenCache, request: Request) -> None:
    """Forget the token of a cache, here and in its storage, and have it revoked; no renewal runs beside it.

    :param cache: where it is.
    :param request: sends a form to an endpoint with the client's credentials.
    :raises TokenError: it is not revoked; it is forgotten all the same.
    """
    cache.enter()
    while (flight := cache.flights.current) is not None:
        await flight.wait_over()
    timeout = cache.lock_timeout + cache.fetch_timeout
    work = _forget_and_revoke(cache, request)
    cache.flights.last = flight = Flight(work, timeout=timeout, reason=REVOCATION, may_ask=False)
    await flight.join()


async def _forget_and_revoke(cache: TokenCache, request: Request) -> None:
    async def revoke_one(token: Token) -> None:
        await _revoke_token(token, request, cache.clock)

    token = None if cache.cached is None else cache.cached.token
    cache.put(None)
    if cache.stored is not None:
        await cache.stored.revoke(token, revoke_one)
    elif token is not None:
        await revoke_one(token)


async def _revoke_token(token: Token, request: Request, clock: Clock) -> None:
    """Revoke a token: its refresh token first, which most servers let end the access token too.

    :raises TokenError: one of them is not revoked; both have been tried.
    """
    failure: TokenError | None = None
    kinds = {"refresh_token": token.refresh_token, "access_token": token.access_token}
    for kind, value in kinds.items():
        if not value:
            continue
        form = {"token": value, "token_type_hint": kind}
        try:
            try:
                await request(REVOCATION_ENDPOINT, form)
            except TokenHTTPError as error:
                wait = error.retry_after
                if error.response_status != 503 or wait is None or wait > LONGEST_PAUSE:
                    raise
                await clock.sleep(wait)  # RFC 7009 section 2.2.1
                await request(REVOCATION_ENDPOINT, form)
        except TokenError as error:
            # Not every server revokes access tokens (RFC 7009 section 2): they run out by themselves.
            if getattr(error, "error", None) != "unsupported_token_type":
                failure = failure or error
    if failure is not None:
        raise failure
