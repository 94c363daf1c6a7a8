"""`Renewal`: the half of a token manager that keeps one valid token, whatever the flow.

Cache, single flight, renewal ahead of expiry, storage, back-off. It knows nothing of HTTP: a token comes
from `fetch_token`, which the other half (`aioalf.manager`) and every flow provide.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

from .clock import Clock
from .errors import TokenError, TokenHTTPError
from .restraint import Restraint
from .sessions import enter_loop
from .single_flight import Flight
from .storage_slot import Slot
from .token import Token, fingerprint
from .token_endpoint import token_from, usable_access_token
from .token_life import HeldToken, backoff

__all__ = ("Renewal",)

logger = logging.getLogger(__name__)


class Renewal:
    """See `aioalf.TokenManager`, which is this class and a way to fetch a token."""

    #: Whether a person takes part in getting a token. Such a flow is never renewed ahead, never retried
    #: by itself, and given up when nobody waits for it any more.
    interactive: ClassVar[bool] = False
    #: Seconds to wait for the storage's lock before going on without it.
    lock_wait: float = 60.0
    #: Seconds to wait for a storage to load, save or clean.
    storage_patience: float = 10.0
    #: Seconds that `close` lets a renewal go on that may rotate a refresh token.
    close_patience: float = 30.0

    # Defaults stand on the class: a subclass written for 0.4.0 may not call __init__.
    _token: Token | None = None
    _held: HeldToken | None = None
    _flight: Flight[Token] | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _slot: Slot | None = None
    _unsaved: Token | None = None
    _saving: asyncio.Task[None] | None = None
    _rotating = False
    _closed = False
    _clock = Clock()
    _expiry_margin = 10.0
    _renewal_margin = 60.0

    async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
        """Get a new token: the one step in which flows differ.

        Called by one task at a time, which no caller's cancellation or timeout reaches.

        :param previous: the token to be replaced, whose refresh token may be used; None at first.
        :return: a token response: the parameters of RFC 6749 section 5.1.
        :raises TokenError: there is none to be had.
        """
        raise NotImplementedError

    async def get(self) -> Token:
        """Return a valid token: the present one, or a new one where there is none.

        A fresh token costs no lock, no task and no trip through the event loop. Otherwise one token
        request serves all who call; a caller that is cancelled neither stops it nor loses its result.

        :raises TokenError: there is none to be had; the next call tries afresh.
        :raises RuntimeError: the manager is closed, or is used in two running event loops.
        """
        held = self._held
        if (
            held is not None
            and held.token is self._token
            and self._loop is asyncio.get_running_loop()
            and held.calm(self._clock)
        ):
            return held.token
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
        if (error := self._restraint.fruitless(rejected)) is not None:
            raise error
        return await self._join(rejected)

    def cannot_renew(self, rejected: Token) -> bool:
        """Whether `renew` would fail at once now; a 401 is then better handed on as it is."""
        held = self._held
        if held is not None and held.token is not rejected and held.usable(self._clock):
            return False
        if self._flying is not None:
            return False
        restraint = self._restraint
        return restraint.error() is not None or restraint.fruitless(rejected) is not None

    def renew_behind(self, rejected: Token) -> None:
        """Replace a rejected token for the next call; nobody waits for it."""
        self._enter()
        held = self._adopted()
        if (held is not None and held.token is not rejected) or self._flying is not None:
            return
        if not self.interactive and not self.cannot_renew(rejected):
            self._rejected.append(rejected.access_token)
            self._start(rejected, after_rejection=True)

    def accepted(self, token: Token) -> None:
        """Tell that the API has taken a token."""
        if token is self._restraint.doubted:
            self._restraint.accepted()

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
        self._restraint.clear()
        await self._join(self._token, forget=True)

    async def close(self) -> None:
        """End what runs in the background; who still waits gets a `TokenError` that says so.

        A renewal that may rotate a refresh token is let finish, and saved, within `close_patience`. The
        manager cannot be used any more. May be called again.
        """
        if self._closed:
            return
        self._closed, self._held = True, None
        flight = self._flying
        if flight is not None and self._loop is asyncio.get_running_loop():
            flight.dismiss(TokenError("The client was closed while its token was being fetched."))
            if self._rotating:
                await asyncio.wait({flight.task}, timeout=self.close_patience)
            flight.task.cancel()
            await asyncio.wait({flight.task})
            self._held = None
        if self._saving is not None and self._loop is asyncio.get_running_loop():
            self._saving.cancel()
            await asyncio.wait({self._saving})
        if self._unsaved is not None and self._slot is not None:
            await self._slot.save(self._unsaved)

    # -- one token for everybody

    async def _current(self) -> Token:
        held = self._adopted()
        if held is not None and self._has_token():
            if not held.calm(self._clock):
                self._renew_ahead(held)
            return held.token
        return await self._join(None)

    def _has_token(self) -> bool:
        held = self._adopted()
        return held is not None and held.usable(self._clock)

    @property
    def _flying(self) -> Flight[Token] | None:
        flight = self._flight
        return flight if flight is not None and flight.joinable else None

    async def _join(self, rejected: Token | None, *, forget: bool = False) -> Token:
        if rejected is not None:
            self._rejected.append(rejected.access_token)
        flight = self._flying
        if flight is not None and flight.task is asyncio.current_task():
            # An overridden step, called by the flight, has called its base.
            return await self._renewed(rejected, after_rejection=False)
        if flight is None:
            if (error := self._restraint.error()) is not None:
                raise error
            flight = self._start(rejected, after_rejection=rejected is not None and not forget)
        return await flight.join()

    def _start(self, replaced: Token | None, *, after_rejection: bool) -> Flight[Token]:
        work = self._renewed(replaced, after_rejection=after_rejection, after=self._flight)
        self._flight = flight = Flight(work, abandon=self.interactive)
        return flight

    def _renew_ahead(self, held: HeldToken) -> None:
        if self._unsaved is not None and self._saving is None:
            self._saving = asyncio.ensure_future(self._save_again())
        due = held.due(self._clock)
        if due and not self.interactive and self._flying is None and not self._restraint.error():
            self._start(held.token, after_rejection=False)

    async def _renewed(
        self, replaced: Token | None, *, after_rejection: bool, after: Flight[Token] | None = None
    ) -> Token:
        if after is not None and not after.task.done():  # abandoned, and still giving back its port
            await asyncio.wait({after.task})
        try:
            token, fetched = await self._obtained(replaced)
            self._hold(token)
        except Exception as error:
            self._restraint.failed(error)
            logger.warning("No token: %s", _in_short(error))
            raise
        self._restraint.succeeded(token, after_rejection=after_rejection and fetched)
        logger.debug(
            "Token %s, %s",
            fingerprint(token.access_token),
            "new" if fetched else "from the storage",
        )
        return token

    async def _obtained(self, replaced: Token | None) -> tuple[Token, bool]:
        """Take a token from the storage, where another process may have put it, or fetch one."""
        slot = self._slot
        if slot is None:
            return await self._fetched(self._token), True
        async with slot.locked(self.lock_wait) as lease:
            stored = await slot.load()
            if stored is not None and self._worth(stored, replaced):
                return stored, False
            if stored is not None and stored.access_token in self._rejected:
                if stored.refresh_token is None:
                    await slot.clean()
            known = [token for token in (self._unsaved, stored, self._token) if token is not None]
            previous = next((token for token in known if token.refresh_token), self._token)
            token = await self._fetched(previous)
            if lease is not None and lease.lost:
                # Another holder may have saved a token meanwhile: the longer-lived one stands.
                other = await slot.load()
                if other is not None and other != stored and _outlives(other, token):
                    return other, False
            self._unsaved = None if await slot.save(token) or not token.refresh_token else token
        return token, True

    def _worth(self, stored: Token, replaced: Token | None) -> bool:
        if stored.access_token in self._rejected or self._unsaved is not None:
            return False
        if replaced is not None and (
            stored.access_token == replaced.access_token or _outlives(replaced, stored)
        ):
            return False
        held = HeldToken(stored, self._clock, self._expiry_margin, self._renewal_margin)
        return held.usable(self._clock)

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

    def _hold(self, token: Token) -> HeldToken:
        usable_access_token(token.access_token)
        margin = 0.0 if self.interactive else self._renewal_margin
        held = HeldToken(token, self._clock, self._expiry_margin, margin)
        if self._unsaved is not None or any(map(self._overrides, ("get_token", "_has_token"))):
            held.think_each_time()
        self._token, self._held = token, held
        return held

    def _adopted(self) -> HeldToken | None:
        """What is held, after a look at whether an overridden step has set a token itself."""
        if self._token is None:
            self._held = None
        elif self._held is None or self._held.token is not self._token:
            return self._hold(self._token)
        return self._held

    async def _save_again(self) -> None:
        failures = 0
        while self._unsaved is not None and self._slot is not None:
            failures += 1
            await self._clock.sleep(backoff(failures))
            token = self._unsaved
            if token is not None and await self._slot.save(token) and token is self._unsaved:
                self._unsaved = None
        self._saving = self._held = None

    # -- steps that a subclass written for 0.4.0 overrides

    def _overrides(self, step: str) -> bool:
        function = getattr(getattr(self, step), "__func__", None)
        return function is not getattr(Renewal, step)

    def _named(self, access_token: str) -> Token:
        if self._token is not None and self._token.access_token == access_token:
            return self._token
        return Token(usable_access_token(access_token), None)

    async def _renew_by_overrides(self, rejected: Token) -> Token:
        token = await self.get()
        if token.access_token != rejected.access_token:
            return token
        if (flight := self._flying) is None:
            self._flight = flight = Flight(self._reset_by_override())
        return await flight.join()

    async def _reset_by_override(self) -> Token:
        if self._overrides("reset_token") or self._can_fetch():
            done: Any = self.reset_token()  # 0.4.0's own implicit manager had a plain one
            if inspect.isawaitable(done):
                await done
        return self._named(await self.get_token())

    def _can_fetch(self) -> bool:
        return True

    # -- state that is made when it is needed, for the same reason

    @cached_property
    def _restraint(self) -> Restraint:
        return Restraint(self._clock)

    @cached_property
    def _rejected(self) -> deque[str]:
        return deque(maxlen=8)

    def _enter(self) -> None:
        if self._closed:
            raise RuntimeError(f"This {type(self).__name__} is closed.")
        if self._loop is not asyncio.get_running_loop():
            self._loop = enter_loop(self._loop, type(self).__name__)
            self._flight = self._saving = None


def _outlives(one: Token, other: Token) -> bool:
    if one.expires_at is None or other.expires_at is None:
        return one.expires_at is None and other.expires_at is not None
    return one.expires_at > other.expires_at


def _in_short(error: Exception) -> str:
    if isinstance(error, TokenHTTPError):
        return f"the token endpoint answered {error.response_status} ({error.error or 'no error code'})."
    return str(error) if isinstance(error, TokenError) else f"{type(error).__name__}."
