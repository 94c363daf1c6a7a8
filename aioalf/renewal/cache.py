"""`TokenCache`: always has one valid token, whatever the flow.

It fetches once however many tasks ask, renews ahead of expiry, shares the token through a storage, and does
not ask while asking does not help. It knows neither HTTP nor the flow: a token comes from the function that
it is given.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Literal

from ..clock import Clock
from ..errors import TokenError, TokenHTTPError
from ..redaction import fingerprint
from ..sessions import bind_to_running_loop
from ..token import Token, issued_later
from .circuit_breaker import CircuitBreaker, RenewalThrottle
from .lifetime import CachedToken
from .single_flight import Flight

if TYPE_CHECKING:
    from ..storage.shared import StoredToken

__all__ = ("NO_TOKEN", "TokenCache")

logger = logging.getLogger("aioalf")

#: The log record of a failed token request.
NO_TOKEN = "No token: %s%s"

_REMEMBERED_REJECTIONS = 8

#: Why a token is fetched: there is no valid one, it is renewed ahead, an API has rejected it, or the
#: caller demands a new one.
Reason = Literal["missing", "ahead", "rejected", "demanded"]


class TokenCache:
    """Holds one token and replaces it in time.

    Every method is for the event loop that runs; the token itself survives a loop.

    :param fetch: fetches a new token in place of the one it is given, whose refresh token it may use.
        Called by one task at a time, which no caller's cancellation or timeout reaches.
    :param owner: the name of the class that callers know, for messages.
    :param interactive: whether a person takes part: the token is then never renewed ahead, and a fetch
        that no task waits for any more is given up.
    """

    clock = Clock()
    expiry_margin = 10.0
    renewal_margin = 60.0
    lock_timeout = 60.0
    close_timeout = 30.0

    def __init__(
        self, fetch: Callable[[Token | None], Awaitable[Token]], owner: str, *, interactive: bool
    ) -> None:
        #: The function that fetches; see above.
        self.fetch = fetch
        self._owner = owner
        self.interactive = interactive
        #: The token as others share it, if there is a storage.
        self.stored: StoredToken | None = None
        #: Whether `peek` passes every token by, because more than its age is to be looked at.
        self.always_ask = False
        self.closed = False
        self._cached: CachedToken | None = None
        self._peekable: CachedToken | None = None  # the cached token, if its age is all that counts
        self._rejected: tuple[str, ...] = ()  # the last access tokens that were rejected
        self._flight: Flight[Token] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unproven: Token | None = None  # a token of a sign-in that no API has accepted yet
        self.use_clock(self.clock)

    def use_clock(self, clock: Clock) -> None:
        """Judge token life and pauses by these clocks."""
        self.clock = clock
        self.breaker = CircuitBreaker(clock)
        self.throttle = RenewalThrottle(clock, interactive=self.interactive)

    # -- the cached token

    @property
    def token(self) -> Token | None:
        """The cached token, valid or not."""
        return None if self._cached is None else self._cached.token

    def put(self, token: Token | None) -> None:
        """Cache a token in place of the one before; None empties the cache."""
        self._unproven = None
        if token is None:
            self._cached = None
        else:
            margin = 0.0 if self.interactive else self.renewal_margin
            self._cached = CachedToken(token, self.clock, self.expiry_margin, margin)
        self.update_peek()

    def update_peek(self) -> None:
        """Let `peek` give the cached token, unless more than its age counts or the cache is closed."""
        passed_by = self.closed or self.always_ask or self._unproven is not None
        self._peekable = None if passed_by else self._cached

    def has_valid(self) -> bool:
        """Whether the cached token may be handed out."""
        return self._cached is not None and not self._cached.is_expired()

    def expire(self) -> None:
        """Hand the cached token out no more."""
        if self._cached is not None:
            self._cached.expire()

    def peek(self) -> Token | None:
        """Return the token if it is fresh, without waiting; else None.

        :raises RuntimeError: no event loop is running.
        """
        # Each request pays for these lines: two clocks, and no lock, no task, no await.
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
        self.enter()
        cached = self._cached
        if cached is None or cached.is_expired():
            was_rejected = cached is not None and cached.token.access_token in self._rejected
            return await self._join("missing", self.token if was_rejected else None)
        if cached.is_stale() and not self.interactive and self.in_flight is None:
            if self.breaker.error_while_open() is None:
                self._start("ahead", cached.token)
        return cached.token

    async def demand(self) -> Token:
        """Fetch a new token now, whatever the breaker or the throttle says."""
        self.enter()
        if not self.called_from_inside:
            self.breaker.record_success()
            self.throttle.reset()
        return await self._join("demanded", self.token)

    # -- what a 401 leads to

    async def renew(self, rejected: Token) -> Token:
        """Return another token than the rejected one; see `aioalf.TokenManager.renew`."""
        self.enter()
        cached = self._cached
        if cached is not None and cached.token is not rejected and not cached.is_expired():
            return cached.token
        if self.in_flight is None and (error := self.throttle.rejection_error()) is not None:
            raise error
        return await self._join("rejected", rejected)

    def renewal_blocked(self, rejected: Token) -> bool:
        """Return whether `renew` would fail at once; see `aioalf.TokenManager.renewal_blocked`."""
        if self.closed:
            return True
        cached = self._cached
        if cached is not None and cached.token is not rejected and not cached.is_expired():
            return False
        if self.in_flight is not None:
            return False
        return bool(self.breaker.error_while_open() or self.throttle.rejection_error())

    def renew_in_background(self, rejected: Token) -> None:
        """Replace a rejected token for the next call, which waits for the new one."""
        if self.closed:
            return
        self.enter()
        cached = self._cached
        if cached is None or cached.token is not rejected or self.in_flight is not None:
            return
        if self.renewal_blocked(rejected):
            return
        self._remember(rejected)
        cached.expire()  # the body of the next request may be one that cannot be sent again either
        if not self.interactive:  # nobody is asked to sign in for a request that is over
            self._start("rejected", rejected)

    def report_accepted(self, token: Token, *, resent: bool) -> None:
        """Take note that an API accepted a token; see `aioalf.TokenManager.report_accepted`."""
        if resent or self.interactive:
            self.throttle.record_help(token)
        if token is self._unproven:
            self._unproven = None
            self.update_peek()

    # -- one flight for everyone

    @property
    def in_flight(self) -> Flight[Token] | None:
        """The flight that fetches a token now, or None."""
        flight = self._flight
        return flight if flight is not None and flight.running else None

    @property
    def called_from_inside(self) -> bool:
        """Whether the flight itself asks: to join it would be a deadlock."""
        flight = self.in_flight
        return flight is not None and flight.called_from_inside

    def enter(self) -> None:
        """Belong to the running event loop from now on.

        :raises RuntimeError: the cache is closed, or is used in two event loops that both run.
        """
        if self.closed:
            raise RuntimeError(f"This {self._owner} is closed.")
        if self._loop is not get_running_loop():
            self._loop = bind_to_running_loop(self._loop, self._owner)
            self._flight = None
            if self.stored is not None:
                self.stored.retry_save_in_background(self.lock_timeout)

    def fly(self, work: Coroutine[Any, Any, Token]) -> Flight[Token]:
        """Make this work the flight that callers join."""
        self._flight = flight = Flight(work, cancel_when_unawaited=self.interactive)
        return flight

    async def _join(self, reason: Reason, replaced: Token | None) -> Token:
        if reason != "missing" or replaced is not None:
            self._remember(replaced)
        flight = self.in_flight
        if flight is None:
            if (error := self.breaker.error_while_open()) is not None:
                raise error
            flight = self._start(reason, replaced)
        elif flight.called_from_inside:
            return await self._renew("missing", replaced, None)
        return await flight.join()

    def _start(self, reason: Reason, replaced: Token | None) -> Flight[Token]:
        last = self._flight
        # One that was abandoned may still be giving back its port.
        unfinished = last if last is not None and not last.task.done() else None
        return self.fly(self._renew(reason, replaced, unfinished))

    def _remember(self, rejected: Token | None) -> None:
        if rejected is not None and rejected.access_token not in self._rejected:
            self._rejected = (*self._rejected[1 - _REMEMBERED_REJECTIONS :], rejected.access_token)

    async def _renew(
        self, reason: Reason, replaced: Token | None, unfinished: Flight[Token] | None
    ) -> Token:
        loop, flight = get_running_loop(), self._flight
        assert flight is not None
        if unfinished is not None:
            await unfinished.wait_done()
            # A failure keeps this frame, by its traceback: it must not keep the failure before it.
            unfinished = None
        if flight.fetching:
            raise TokenError(
                f"This {self._owner} was asked for a token by its own token request (by client_secret=,"
                " fetch_token or the storage): that would never end."
            )
        flight.fetching = True
        try:
            token, fetched = await self._load_or_fetch(reason, replaced)
            self.put(token)
        except Exception as error:
            if not loop.is_closed():  # else the task is being collected
                note = self.breaker.record_failure(error)
                logger.warning(NO_TOKEN, _in_short(error).removesuffix("."), note or ".")
            raise
        finally:
            flight.fetching = flight.rotating = False
        if self.breaker.failures:
            self.breaker.record_success()
        if fetched and (reason == "rejected" or self.interactive):
            self.throttle.record_renewal(token, replaced, demanded=reason != "rejected")
            self._unproven = token if self.interactive else None
            self.update_peek()
        if logger.isEnabledFor(logging.DEBUG):
            source = "new" if fetched else "from the storage"
            logger.debug("Token %s, %s", fingerprint(token.access_token), source)
        return token

    async def _load_or_fetch(self, reason: Reason, replaced: Token | None) -> tuple[Token, bool]:
        """Take a token from the storage, where another process may have put it, or fetch one."""
        if self.stored is None:
            return await self._fetch_one(self.token), True

        def can_replace(stored: Token) -> bool:
            return reason != "demanded" and self._can_replace(stored, replaced)

        return await self.stored.load_or_renew(
            self.token,
            self._fetch_one,
            can_replace=can_replace,
            rejected=self._rejected,
            lock_timeout=self.lock_timeout,
        )

    def _can_replace(self, stored: Token, replaced: Token | None) -> bool:
        """Whether a stored token is valid and not older than the one it would replace."""
        if stored.access_token in self._rejected:
            return False
        if replaced is not None:
            if stored.access_token == replaced.access_token:
                return False
            if replaced.expires_at is not None and issued_later(replaced, stored):
                return False
        margins = (self.expiry_margin, self.renewal_margin)
        return not CachedToken(stored, self.clock, *margins).is_expired()

    async def _fetch_one(self, previous: Token | None) -> Token:
        if self._flight is not None:
            self._flight.rotating = previous is not None and previous.refresh_token is not None
        return await self.fetch(previous)

    # -- its end

    async def close(self) -> None:
        """End what runs in the background; see `aioalf.TokenManager.close`."""
        self.closed = True
        self.update_peek()
        flight = self._flight
        # The flight of another event loop cannot be waited for: that loop is over, or ends it.
        if flight is not None and self._loop is get_running_loop():
            flight.fail_waiters(
                TokenError("The client was closed while its token was being fetched.")
            )
            if flight.rotating:
                await asyncio.wait({flight.task}, timeout=self.close_timeout)
            if not flight.abandoned:  # else it is ending already
                flight.task.cancel()
            await asyncio.wait({flight.task}, timeout=self.close_timeout)
        if self.stored is not None:
            await self.stored.close()


def _in_short(error: Exception) -> str:
    if isinstance(error, TokenHTTPError):
        code = error.error or "no error code"
        where = f" {error.token_endpoint}" if error.token_endpoint else ""
        return f"the token endpoint{where} answered {error.response_status} ({code})."
    return str(error) if isinstance(error, TokenError) else f"{type(error).__name__}."
