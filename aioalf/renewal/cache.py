"""`TokenCache`: has a valid token whenever one is asked for, whatever the flow.

It fetches once however many tasks ask, renews ahead of expiry, shares the token through a storage, and does
not ask while that does not help. It knows neither HTTP nor the flow.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ..clock import Clock
from ..errors import SignInRequired, TokenError
from ..sessions import bind_to_running_loop
from ..token import CachedToken, Token
from .circuit_breaker import CircuitBreaker, RenewalThrottle
from .fetcher import RefreshTokenRefused, TokenFetcher
from .single_flight import Flight, SingleFlight

if TYPE_CHECKING:
    from ..events import EventHook, Reason
    from ..storage.shared import StoredToken

__all__ = ("REMEMBERED", "REVOCATION", "TokenCache")

logger: logging.Logger = logging.getLogger("aioalf")

REMEMBERED = 8  # tokens that were rejected, and refresh tokens that were refused
_SAME_TOKEN_AGAIN = 1.0  # seconds
_TO_CLEAN_UP = 10.0  # seconds for a flight that was given up

#: A flight that gives no token.
REVOCATION = "revocation"


class TokenCache:
    """Holds one token and replaces it in time.

    Every method is for the event loop that runs; the token itself survives a loop.

    :param fetch: fetches a new token in place of the one it is given, whose refresh token it may use.
        Called by one task at a time, which no caller's cancellation or timeout reaches.
    :param owner: the name of the class that callers know, for messages.
    :param interactive: whether a person signs in if there is no refresh token. What runs in the background
        then never fetches, and a fetch that no task waits for any more is given up.
    """

    clock: Clock = Clock()
    expiry_margin: float = 10.0
    renewal_margin: float = 60.0
    lock_timeout: float = 60.0
    fetch_timeout: float = 300.0

    def __init__(
        self, fetch: Callable[[Token | None], Awaitable[Token]], owner: str, *, interactive: bool
    ) -> None:
        self._owner = owner
        #: The token as others share it, if there is a storage.
        self.stored: StoredToken | None = None
        #: Whether `peek` passes every token by, because more than its age is to be looked at.
        self.always_ask = False
        #: Who is told what happens, if anybody.
        self.on_event: EventHook | None = None
        self.closed: bool = False
        #: The token and its life, or None.
        self.cached: CachedToken | None = None
        self._peekable: CachedToken | None = None  # the cached token, if its age is all that counts
        self._unproven: Token | None = None  # a token of a sign-in that no API has accepted yet
        #: The last access tokens that an API has rejected: they are taken from nowhere any more.
        self.rejected: tuple[str, ...] = ()
        #: The fetching that callers join.
        self.flights: SingleFlight = SingleFlight()  # of a `Token`, but for a revocation
        #: How a token is fetched.
        self.fetcher: TokenFetcher = TokenFetcher(fetch, self.flights, interactive=interactive)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.use_clock(self.clock)

    def use_clock(self, clock: Clock) -> None:
        """Judge token life and pauses by these clocks."""
        self.clock = clock
        self.breaker: CircuitBreaker = CircuitBreaker(clock)
        self.throttle: RenewalThrottle = RenewalThrottle(clock)

    def put(self, token: Token | None, *, unproven: bool = False) -> None:
        """Cache a token in place of the one before; None empties the cache."""
        if token is None:
            self.cached = None
        else:
            ahead = not self.fetcher.interactive or self.fetcher.is_silent(token)
            margin = self.renewal_margin if ahead else 0.0
            self.cached = CachedToken(token, self.clock, self.expiry_margin, margin)
        self._unproven = token if unproven else None
        self._peekable = None if self.always_ask or self.closed or unproven else self.cached

    def update_peek(self) -> None:
        """Let `peek` give the cached token, unless more than its age counts or the cache is closed."""
        passed_by = self.always_ask or self.closed or self._unproven is not None
        self._peekable = None if passed_by else self.cached

    def peek(self) -> Token | None:
        """Return the token if it is fresh, without waiting; else None.

        :raises RuntimeError: no event loop is running.
        """
        # Each request pays for these lines: two clocks, no lock, no task, no await.
        cached = self._peekable
        if (
            cached is not None
            and cached.monotonic() - cached.since < cached.fresh_for
            and cached.wall() - cached.wall_since < cached.fresh_for
            and self._loop is get_running_loop()
        ):
            return cached.token
        return None

    async def get(self) -> Token:
        """Return a valid token, cached or fetched; see `aioalf.TokenManager.get`."""
        if self.closed or self._loop is not get_running_loop():
            self.enter()
        cached = self.cached
        if cached is None or cached.is_expired():
            was_rejected = cached is not None and cached.token.access_token in self.rejected
            replaced = cached.token if cached and was_rejected else None
            return await self.join("first" if cached is None else "expired", replaced)
        if (
            cached.is_stale()
            and self.flights.current is None
            and self.fetcher.is_silent(cached.token)
        ):
            if not self.breaker.error_while_open():
                self.start("ahead", cached.token)
        return cached.token

    async def renew(self, rejected: Token) -> Token:
        """Return another token than the rejected one; see `aioalf.TokenManager.renew`."""
        if self.closed or self._loop is not get_running_loop():
            self.enter()
        cached = self.cached
        if cached is not None and cached.token is not rejected and not cached.is_expired():
            return cached.token
        if (self.throttle.undecided or self.throttle.token) and self.flights.current is None:
            if error := self.throttle.rejection_error():
                raise error
        return await self.join("rejected", rejected)

    def renewal_blocked(self, rejected: Token) -> bool:
        """Return whether `renew` would fail at once; see `aioalf.TokenManager.renewal_blocked`."""
        if self.closed:
            return True
        cached = self.cached
        if cached is not None and cached.token is not rejected and not cached.is_expired():
            return False
        if self.flights.current is not None:
            return False
        if self.breaker.error is not None and self.breaker.error_while_open():
            return True
        throttle = self.throttle
        return bool((throttle.undecided or throttle.token) and throttle.rejection_error())

    def report_accepted(self, token: Token, *, resent: bool = False) -> None:
        """Take note that an API accepted a token; see `aioalf.TokenManager.report_accepted`."""
        if token is self._unproven:
            self._unproven = None
            self.update_peek()
        throttle = self.throttle
        if resent and (self.on_event is not None or logger.isEnabledFor(logging.INFO)):
            from .log import tell_of_second_sending

            tell_of_second_sending(self, accepted=True)
        if resent and throttle.undecided is not None and throttle.undecided[0] is token:
            throttle.undecided = None  # the renewal has helped
        elif throttle.token is not None and (resent or self.fetcher.interactive):
            throttle.record_help(token)

    def enter(self) -> None:
        """Belong to the running event loop from now on.

        :raises RuntimeError: the cache is closed, or is used in two event loops that both run.
        """
        if self.closed:
            raise RuntimeError(f"This {self._owner} is closed.")
        if self._loop is not get_running_loop():
            self._loop = bind_to_running_loop(self._loop, self._owner)
            self.flights.last = None
            if self.stored is not None:
                self.stored.retry_save_in_background()

    def start(self, reason: Reason, replaced: Token) -> None:
        """Renew in the background, which never asks a person."""
        work = self._renew(reason, replaced, self.flights.last)
        timeout = self.lock_timeout + self.fetch_timeout
        self.flights.last = Flight(work, timeout=timeout, reason=reason, may_ask=False)

    async def join(self, reason: Reason, replaced: Token | None) -> Token:
        """Wait for the renewal that runs, or begin one."""
        if replaced is not None and replaced.access_token not in self.rejected:
            self.rejected = (*self.rejected[1 - REMEMBERED :], replaced.access_token)
        may_ask = reason == "sign-in" or not self.fetcher.unattended
        while (flight := self.flights.current) is not None:
            if flight.called_from_inside:
                return await self._renew("expired", replaced, None)
            if flight.reason == REVOCATION or (reason == "sign-in" and not flight.asked):
                before = self.cached
                await flight.wait_over()
                if flight.asked and self.cached is not None and self.cached is not before:
                    return self.cached.token  # somebody has just signed in
                continue
            asks, flight.may_ask = flight.may_ask, flight.may_ask or may_ask
            try:
                return await flight.join()  # type: ignore[no-any-return]
            except SignInRequired:
                if asks or not may_ask:
                    raise  # else it found out before this caller came, who may be asked
        if self.breaker.error and (error := self.breaker.error_while_open()):
            raise error
        work = self._renew(reason, replaced, self.flights.last)
        timeout = self.lock_timeout + self.fetch_timeout
        self.flights.last = flight = Flight(work, timeout=timeout, reason=reason, may_ask=may_ask)
        return await flight.join()  # type: ignore[no-any-return]

    async def _renew(self, reason: Reason, replaced: Token | None, last: Flight | None) -> Token:
        loop, flight = get_running_loop(), self.flights.last
        assert flight is not None
        before, begun = None if self.cached is None else self.cached.token, self.clock.monotonic()
        # Rejected by the request before this one, which could not be sent again?
        why: Reason = "rejected" if replaced is not None and reason == "expired" else reason
        if last is not None and last.task is not None:  # given up, and still giving back its port
            from .._tasks import wait_done

            await wait_done(last.task, timeout=_TO_CLEAN_UP)
        # A failure keeps this frame, by its traceback: it must not keep the failure before it as well.
        last = None
        if flight.fetching:
            raise TokenError(
                f"This {self._owner} was asked for a token by its own token request (by client_secret=,"
                " fetch_token or the storage): that would never end."
            )
        flight.fetching = True
        try:
            fetch = self.fetcher.sign_in if reason == "sign-in" else self._fetch
            if self.stored is None:
                plain = not self.fetcher.interactive and not (before and before.refresh_token)
                token, fetched = await (self.fetcher.fetch if plain else fetch)(before), True
            else:
                token, fetched = await self.stored.load_or_renew(
                    before,
                    fetch,
                    replaced=replaced,
                    only_fetch=reason in ("forced", "sign-in"),
                    rejected=self.rejected,
                )
            signed_in = fetched and flight.asked
            self.put(token, unproven=signed_in)
        except (Exception, asyncio.CancelledError) as error:
            failure = error if isinstance(error, Exception) else flight.timed_out
            if failure is not None and not loop.is_closed():  # else the task is being collected
                from .log import tell_of_failure

                tell_of_failure(self, failure, why, begun, flight)
            failure = None  # it keeps this frame
            raise
        finally:
            flight.fetching = False
            if flight.task:
                flight.task.rotating = False
        if self.breaker.failures:
            self.breaker.record_success()
        if signed_in:
            demanded = reason != "rejected"
            self.throttle.record_renewal(token, replaced, signed_in=True, demanded=demanded)
        elif fetched and reason == "rejected" and replaced is not None:
            self.throttle.undecided = (token, replaced, self.clock.monotonic())
        if fetched and before is not None and token.access_token == before.access_token:
            if self.cached is not None:  # a server may give the same token until its end
                self.cached.hold_for(_SAME_TOKEN_AGAIN)
        if self.on_event is not None or logger.isEnabledFor(logging.INFO):
            from .log import tell_of_token

            tell_of_token(self, token, why, begun, fetched=fetched)
        flight.land(token)
        return token

    async def _fetch(self, previous: Token | None) -> Token:
        try:
            return await self.fetcher.fetch_one(previous)
        except RefreshTokenRefused as refusal:
            refused = refusal.refresh_token
        if self.cached is not None and self.cached.token.refresh_token == refused:
            self.cached.hold_until_expired()  # it cannot be renewed ahead any more
        if self.stored is None:
            return await self._fetch(None)
        from ..storage.turns import TokenFound

        other = await self.stored.forget_refresh_token(refused)
        if other is not None and self.stored.is_usable(other, self.rejected):
            raise TokenFound(other)  # another process was faster
        return await self._fetch(other)

    async def close(self, timeout: float) -> None:
        """End what runs in the background; see `aioalf.TokenManager.close`."""
        self.closed = True
        self.update_peek()
        # A flight of another event loop cannot be waited for: that loop is over, or ends it.
        if self._loop is get_running_loop():
            error = TokenError("The client was closed while its token was being fetched.")
            await self.flights.end(error, timeout)
        if self.stored is not None:
            await self.stored.close()
        self.fetcher.close()
