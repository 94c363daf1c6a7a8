"""`TokenFetcher`: fetches one token, by a refresh token or by asking a person."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from ..errors import SignInRequired, TokenError, TokenHTTPError
from ..token import Token
from .single_flight import Flight, SingleFlight

__all__ = ("RefreshTokenRefused", "TokenFetcher")

logger: logging.Logger = logging.getLogger("aioalf")

_REMEMBERED = 8  # refresh tokens


class RefreshTokenRefused(Exception):
    """The server has refused a refresh token (``invalid_grant``, RFC 6749 section 5.2).

    :param refresh_token: that one.
    """

    def __init__(self, refresh_token: str) -> None:
        super().__init__()
        self.refresh_token = refresh_token


class TokenFetcher:
    """Fetches tokens inside flights, and knows what a flight may do.

    :param fetch: fetches a new token in place of the one it is given, whose refresh token it may use; see
        `aioalf.TokenManager.fetch_token`.
    :param flights: where it is called from.
    :param interactive: whether a person signs in if there is no refresh token.
    """

    __slots__ = ("_flights", "_refused", "fetch", "interactive", "unattended")

    def __init__(
        self,
        fetch: Callable[[Token | None], Awaitable[Token]],
        flights: SingleFlight,
        *,
        interactive: bool,
    ) -> None:
        #: The function that fetches; see above.
        self.fetch: Callable[[Token | None], Awaitable[Token]] = fetch
        self.interactive: bool = interactive
        #: Whether a person is asked only when the program says so.
        self.unattended: bool = False
        self._flights = flights
        self._refused: tuple[str, ...] = ()  # the last refresh tokens that were refused

    def is_silent(self, token: Token) -> bool:
        """Return whether a token can be renewed without a person."""
        return not self.interactive or self._has_refresh_token(token)

    def _has_refresh_token(self, token: Token) -> bool:
        return bool(token.refresh_token) and token.refresh_token not in self._refused

    async def fetch_one(self, previous: Token | None) -> Token:
        """Fetch a token in place of another.

        :raises RefreshTokenRefused: the refresh token was refused. It is not used again.
        :raises SignInRequired: a person has to sign in, and this flight may not ask.
        """
        if previous is not None and self._has_refresh_token(previous):
            self.protect()
            try:
                return await self.fetch(previous)
            except TokenHTTPError as error:
                if error.error != "invalid_grant":
                    raise
            refusal = "The refresh token was refused (invalid_grant); it is not used again."
            self._flights.tell(logger.info, refusal)
            refused = str(previous.refresh_token)
            self._refused = (*self._refused[1 - _REMEMBERED :], refused)
            raise RefreshTokenRefused(refused)
        if previous is not None and previous.refresh_token:
            previous = None  # a new grant begins
        if self.interactive:
            return await self.sign_in(previous)
        return await self.fetch(previous)

    async def sign_in(self, previous: Token | None) -> Token:
        """Fetch a token by asking a person, on behalf of the tasks that wait for it.

        :raises SignInRequired: this flight may not ask.
        """
        del previous  # it does not matter what it was
        with self._asking():
            return await self.fetch(None)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        flight = self._flight()
        if flight is None:
            yield
            return
        if flight.task is not None:
            flight.task.rotating = False
        if not flight.may_ask:
            when = ": call sign_in() when one is there." if self.unattended else "."
            raise SignInRequired(f"A person has to sign in{when}")
        if not flight.awaited:  # they have left while the storage was asked
            flight.abandon()
            raise asyncio.CancelledError
        flight.asking = flight.asked = True
        try:
            yield
        finally:
            flight.asking = False

    def close(self) -> None:
        """Let go of the manager: no circle is left, for one may be made for each incoming request."""
        self.fetch = _closed

    def stop_asking(self) -> None:
        """Take note that the person has done their part: the rest is done though no task waits for it."""
        if (flight := self._flight()) is not None:
            flight.asking = False

    def protect(self) -> None:
        """Let the end of the event loop wait for this flight: it sends what counts only once."""
        if (flight := self._flight()) is not None and flight.task is not None:
            flight.task.rotating = True

    def _flight(self) -> Flight | None:
        flight = self._flights.last
        return flight if flight is not None and flight.called_from_inside else None


async def _closed(previous: Token | None) -> Token:
    raise TokenError("The token manager is closed.")
