"""`Renewal`: the half of a token manager that keeps one valid token, whatever the flow.

Single flight, renewal ahead of expiry, storage, back-off. It knows nothing of HTTP: a token comes from
`fetch_token`, which the other half (`aioalf.manager`) and every flow provide.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from asyncio import get_running_loop
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..errors import TokenError, TokenHTTPError
from ..protocol.token_endpoint import token_from
from ..redaction import fingerprint
from ..sessions import bind_to_running_loop
from ..token import Token
from ..token_cache import TokenCache
from .circuit_breaker import CircuitBreaker
from .lifetime import HeldToken
from .single_flight import Flight

if TYPE_CHECKING:
    from ..storage.shared import StoredToken

__all__ = ("NO_TOKEN", "Renewal")

logger = logging.getLogger("aioalf")

#: The log record of a failed token request.
NO_TOKEN = "No token: %s%s"


class Renewal(TokenCache):
    """See `aioalf.TokenManager`, which is this class and a way to fetch a token."""

    #: Seconds to wait for the storage's lock before going on without it.
    lock_timeout: float = 60.0
    #: Seconds to wait for a storage to load, save or clean.
    storage_timeout: float = 10.0
    #: Seconds that `close` lets a renewal go on that may rotate a refresh token.
    close_timeout: float = 30.0

    # Defaults stand on the class: a subclass written for 0.4.0 may not call __init__.
    _flight: Flight[Token] | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _shared: StoredToken | None = None
    _rotating = False

    async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
        """Get a new token: the one step in which flows differ.

        Called by one task at a time, which no caller's cancellation or timeout reaches.

        :param previous: the token to be replaced, whose refresh token may be used; None at first.
        :return: a token response: the parameters of RFC 6749 section 5.1.
        :raises TokenError: there is none to be had.
        """
        raise NotImplementedError

    def peek(self) -> Token | None:
        """Return the token where it needs no further thought; else None, and `get` is to be asked.

        :raises RuntimeError: no event loop is running.
        """
        held = self._held
        if (
            held is not None
            and held.monotonic() < held.calm_until
            and held.wall() < held.calm_until_wall
            and self._loop is get_running_loop()
        ):
            return held.token
        return None

    async def get(self) -> Token:
        """Return a valid token: the present one, or a new one where there is none.

        A fresh token costs no lock, no task and no trip through the event loop. Otherwise one token
        request serves all who call; a caller that is cancelled neither stops it nor loses its result.

        :raises TokenError: there is none to be had; the next call tries afresh.
        :raises RuntimeError: the manager is closed, or is used in two running event loops.
        """
        token = self.peek()
        if token is not None:
            return token
        self._enter()
        if self._overrides("get_token"):
            return self._named(await self.get_token())
        return await self._current()

    async def renew(self, rejected: Token) -> Token:
        """Return a token to use instead of a rejected one: a new one, unless somebody already has one.

        However many tasks, or processes with a shared storage, report the same token, it is replaced
        once.

        :param rejected: the token that the API answered with 401.
        :raises TokenError: there is none to be had, or the last one fetched for this reason was rejected
            as well and it is too early for the next.
        :raises RuntimeError: the manager is closed, or is used in two running event loops.
        """
        self._enter()
        if self._overrides("get_token") or self._overrides("reset_token"):
            return await self._renew_by_overrides(rejected)
        held = self._adopted()
        if held is not None and held.token is not rejected and self._has_token():
            return held.token
        if self._in_flight is None and (error := self._restraint.fruitless(rejected)) is not None:
            raise error
        return await self._join(rejected)

    def renewal_blocked(self, rejected: Token) -> bool:
        """Whether `renew` would fail at once now; a 401 is then better handed on as it is."""
        if self._closed:
            return True
        held = self._held
        if held is not None and held.token is not rejected and held.usable():
            return False
        if self._in_flight is not None:
            return False
        restraint = self._restraint
        return restraint.error() is not None or restraint.fruitless(rejected) is not None

    def renew_in_background(self, rejected: Token) -> None:
        """Replace a rejected token for the next call; nobody waits for it."""
        if self._closed:
            return
        self._enter()
        if self._in_flight is not None:
            return
        if self._overrides("get_token") or self._overrides("reset_token"):
            self._start_reset(rejected)
            return
        held = self._adopted()
        if held is None or held.token is not rejected or self.renewal_blocked(rejected):
            return
        self._rejected.append(rejected.access_token)
        held.spend()  # the next call waits for the new one: its body may be one that cannot wait for a 401
        if not self.interactive:  # nobody is asked to sign in for a request that is over
            self._start(rejected, after_rejection=True)

    def report_accepted(self, token: Token) -> None:
        """Tell that the API has taken a token; not needed for one that `peek` gave."""
        if token is self._restraint.doubted:
            self._restraint.accepted()
            self._held = None  # it is calm from now on

    def report_rejected(self, token: Token) -> None:
        """Tell that the API has answered 401 to a token that came in place of a rejected one."""
        self._restraint.tell(token)

    async def get_token(self) -> str:
        """Return a valid access token; `get`, under the name it had before.

        :raises TokenError: there is none to be had.
        """
        self._enter()
        return (await self._current()).access_token

    async def reset_token(self) -> None:
        """Replace the present token with a new one, now, whatever was held against that.

        :raises TokenError: there is none to be had.
        """
        self._enter()
        anew = (
            not self._called_from_inside
        )  # else an overridden step calls its base, because of a 401
        if anew:
            self._restraint.clear()
        await self._join(self._token, anew=anew)

    async def close(self) -> None:
        """End what runs in the background; who still waits gets a `TokenError` that says so.

        A renewal that may rotate a refresh token is let finish, and saved, within `close_timeout`. The
        manager cannot be used any more. May be called again.
        """
        self._closed, self._held = True, None
        flight = self._flight
        # What belongs to another event loop cannot be waited for here; that loop is over, or ends it.
        if flight is not None and self._loop is asyncio.get_running_loop():
            flight.fail_waiters(
                TokenError("The client was closed while its token was being fetched.")
            )
            if self._rotating:
                await asyncio.wait({flight.task}, timeout=self.close_timeout)
            if not flight.abandoned:  # else it is clearing up after itself already
                flight.task.cancel()
            await asyncio.wait({flight.task}, timeout=self.close_timeout)
        if self._shared is not None:
            await self._shared.close()

    # -- one token for everybody

    async def _current(self) -> Token:
        held = self._adopted()
        if held is not None and self._has_token():
            if not held.calm():
                self._renew_ahead(held)
            return held.token
        gone = held is not None and held.token.access_token in self._rejected
        return await self._join(self._token if gone else None)

    @property
    def _in_flight(self) -> Flight[Token] | None:
        flight = self._flight
        return flight if flight is not None and flight.running else None

    @property
    def _called_from_inside(self) -> bool:
        """Whether this is called by the flight: by an overridden step that calls its base."""
        flight = self._in_flight
        return flight is not None and flight.called_from_inside

    async def _join(self, rejected: Token | None, *, anew: bool = False) -> Token:
        if rejected is not None:
            self._rejected.append(rejected.access_token)
        if self._called_from_inside:
            return await self._renewed(rejected, anew=anew)
        if (flight := self._in_flight) is None:
            if (error := self._restraint.error()) is not None:
                raise error
            after_rejection = rejected is not None and not anew
            flight = self._start(rejected, after_rejection=after_rejection, anew=anew)
        return await flight.join()

    def _start(
        self, replaced: Token | None, *, after_rejection: bool = False, anew: bool = False
    ) -> Flight[Token]:
        work = self._renewed(
            replaced, after_rejection=after_rejection, anew=anew, after=self._flight
        )
        self._flight = flight = Flight(work, cancel_when_unawaited=self.interactive)
        return flight

    def _renew_ahead(self, held: HeldToken) -> None:
        due = held.due()
        if due and not self.interactive and self._in_flight is None and not self._restraint.error():
            self._start(held.token)

    async def _renewed(
        self,
        replaced: Token | None,
        *,
        after_rejection: bool = False,
        anew: bool = False,
        after: Flight[Token] | None = None,
    ) -> Token:
        loop = asyncio.get_running_loop()
        if after is not None:
            await after.wait_done()  # it may have been abandoned, and still be giving back its port
        try:
            token, fetched = await self._obtained(replaced, anew)
            self._hold(token)
        except Exception as error:
            if loop.is_closed():  # under this task, which is being collected: nobody was asked
                raise
            until = self._restraint.failed(error)
            logger.warning(NO_TOKEN, _in_short(error).removesuffix("."), until or ".")
            raise
        finally:
            self._rotating = False
        self._restraint.succeeded(token, after_rejection=after_rejection and fetched)
        if self._held is not None and self._doubts(token):
            self._held.think_each_time()
        logger.debug(
            "Token %s, %s",
            fingerprint(token.access_token),
            "new" if fetched else "from the storage",
        )
        return token

    def _doubts(self, token: Token) -> bool:
        return token is self._restraint.doubted

    async def _obtained(self, replaced: Token | None, anew: bool) -> tuple[Token, bool]:
        """Take a token from the storage, where another process may have put it, or fetch one."""
        if self._shared is None:
            return await self._fetched(self._token), True
        return await self._shared.renewed(
            self._token,
            self._fetched,
            worth=lambda stored: self._worth(stored, stored if anew else replaced),
            rejected=self._rejected,
            lock_timeout=self.lock_timeout,
        )

    async def _fetched(self, previous: Token | None) -> Token:
        self._rotating = previous is not None and previous.refresh_token is not None
        if not self._overrides("_update_token"):
            return token_from(await self.fetch_token(previous), self._clock.time(), previous)
        await self._update_token()
        if self._token is None:
            raise TokenError("The overridden _update_token() has set no _token.")
        return self._token

    async def _update_token(self) -> None:
        self._token = token_from(
            await self.fetch_token(self._token), self._clock.time(), self._token
        )

    # -- steps that a subclass written for 0.4.0 overrides

    def _overrides(self, step: str) -> bool:
        function = getattr(getattr(self, step), "__func__", None)
        return function is not getattr(Renewal, step)

    async def _renew_by_overrides(self, rejected: Token) -> Token:
        if (flight := self._in_flight) is None:
            return await self._start_reset(rejected).join()
        await flight.join()  # whatever it was for: get_token() knows what came of it
        return self._named(await self.get_token())

    def _start_reset(self, rejected: Token) -> Flight[Token]:
        self._flight = flight = Flight(self._reset_by_override(rejected))
        return flight

    async def _reset_by_override(self, rejected: Token) -> Token:
        token = self._named(await self.get_token())
        if token.access_token != rejected.access_token:
            return token  # somebody has reset it already
        if self._overrides("reset_token") or self._can_fetch():
            done: Any = self.reset_token()  # 0.4.0's own implicit manager had a plain one
            if inspect.isawaitable(done):
                await done
        return self._named(await self.get_token())

    def _can_fetch(self) -> bool:
        return True

    # -- state that is made when it is needed, for the same reason

    @cached_property
    def _token_lock(self) -> asyncio.Lock:
        # 0.4.0's get_token() held it; so does a subclass that began as a copy of that. Nothing else does.
        return asyncio.Lock()

    @cached_property
    def _restraint(self) -> CircuitBreaker:
        return CircuitBreaker(self._clock)

    def _enter(self) -> None:
        if self._closed:
            raise RuntimeError(f"This {type(self).__name__} is closed.")
        if self._loop is not asyncio.get_running_loop():
            self._loop = bind_to_running_loop(self._loop, type(self).__name__)
            self._flight = None
            if self._shared is not None:
                self._shared.retry_save_in_background(self.lock_timeout)


def _in_short(error: Exception) -> str:
    if isinstance(error, TokenHTTPError):
        code = error.error or "no error code"
        where = f" {error.token_endpoint}" if error.token_endpoint else ""
        return f"the token endpoint{where} answered {error.response_status} ({code})."
    return str(error) if isinstance(error, TokenError) else f"{type(error).__name__}."
