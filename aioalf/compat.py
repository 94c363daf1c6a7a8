"""The steps of version 0.4.0 that its subclasses override, and how an override of each is honoured.

In 0.4.0 a request called `get_token`, which called `_has_token`, `_update_token`, `_get_token_data`,
`_request_token` and `_fetch`, each the next; after a 401 it called `reset_token`. `TokenManager` takes a
shorter way. It derives from `OverridableSteps`, which has the old names and looks at every new object, and
at an object on which a test replaces a step: if the shorter way would pass an override by, that object
takes the long way. No other module knows of this.
"""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary, WeakSet

from .errors import TokenError
from .protocol.token_endpoint import token_from
from .renewal.cache import TokenCache
from .renewal.single_flight import Flight
from .token import Token, usable_access_token

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ("OverridableSteps", "warn_of_lost_overrides")

_GET = ("get_token", "_has_token")
_RESPONSE = ("_get_token_data", "_request_token")
_STEPS = frozenset({"get", "reset_token", "_update_token", *_GET, *_RESPONSE})
_ON_OBJECTS = ("peek", "report_accepted", "get", "renew", "renewal_blocked")  # methods of the cache
_ALL_STEPS = (*_STEPS, *_ON_OBJECTS[:2], "renew", "renewal_blocked", "renew_in_background")
_OURS = __name__.partition(".")[0]
#: The methods of each class that was found to override none of the steps.
_plain: WeakKeyDictionary[type, list[object]] = WeakKeyDictionary()
_warned: WeakSet[type] = WeakSet()


class OverridableSteps:
    """The state of a `TokenManager`, and 0.4.0's names for what is done with it.

    The state is made in `__new__`: a subclass written for 0.4.0 may not call ``__init__``.
    """

    #: Whether a person takes part in getting a token. Such a flow is never renewed ahead, never retried
    #: by itself, and given up when no task waits for it any more.
    interactive: ClassVar[bool] = False

    _cache: TokenCache

    if TYPE_CHECKING:

        async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]: ...
        async def _fetch_as_token(self, previous: Token | None) -> Token: ...
        def _can_fetch(self) -> bool: ...

    def __new__(cls, *args: Any, **options: Any) -> Self:
        self = super().__new__(cls)
        cache = TokenCache(self._fetch_as_token, cls.__name__, interactive=cls.interactive)
        object.__setattr__(self, "_cache", cache)
        methods = [getattr(cls, step) for step in _ALL_STEPS]
        if _plain.get(cls) == methods:  # nearly all, and one may be made for each incoming request
            self.__dict__.update({step: getattr(cache, step) for step in _ON_OBJECTS})
        else:
            self._honour_overrides()
            if not self._overrides(*_ALL_STEPS):
                _plain[cls] = methods
        return self

    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if name in _STEPS:
                self._honour_overrides()

    def _overrides(self, *steps: str) -> bool:
        """Return whether any of these steps is not this library's: a subclass or a test has replaced it."""
        modules = (getattr(getattr(self, step), "__module__", None) or "" for step in steps)
        return any(module.partition(".")[0] != _OURS for module in modules)

    def _honour_overrides(self) -> None:
        overrides, cache = self._overrides, self._cache
        cache.always_ask = overrides("get", *_GET)
        cache.update_peek()
        response = overrides("_update_token", *_RESPONSE)
        cache.fetcher.fetch = self._fetch_by_overrides if response else self._fetch_as_token
        # The cache's own methods stand on the object: one call less for each request.
        ways: dict[str, tuple[bool, Callable[..., object]]] = {
            "peek": (False, cache.peek),
            "report_accepted": (False, cache.report_accepted),
            "get": (overrides(*_GET), self._get_by_overrides),
            "renew": (overrides("reset_token", *_GET), self._renew_by_overrides),
            "renewal_blocked": (
                overrides("reset_token", "get_token"),
                self._renewal_blocked_by_overrides,
            ),
            "renew_in_background": (
                overrides("reset_token", "get_token"),
                self._renew_in_background_by_overrides,
            ),
        }
        for step, (overridden, way) in ways.items():
            if not self._overrides(step):
                if overridden or hasattr(cache, step):
                    object.__setattr__(self, step, way if overridden else getattr(cache, step))
                else:
                    self.__dict__.pop(step, None)

    # -- the token

    @property
    def _token(self) -> Token | None:
        return None if self._cache.cached is None else self._cache.cached.token

    @_token.setter
    def _token(self, token: Token | None) -> None:
        self._cache.put(token)
        if token is not None:
            try:
                usable_access_token(token.access_token)
            except TokenError:
                self._expire()  # such as Token(""), which 0.4.0 began with

    @cached_property
    def _token_lock(self) -> asyncio.Lock:
        # 0.4.0's get_token() held it; so does a subclass that began as a copy of that. Nothing else does.
        return asyncio.Lock()

    def _has_token(self) -> bool:
        cached = self._cache.cached
        return cached is not None and not cached.is_expired()

    def _expire(self) -> None:
        if self._cache.cached is not None:
            self._cache.cached.expire()

    # -- from a request to the cache

    async def get_token(self) -> str:
        """Return a valid access token; `get` under its older name.

        :raises TokenError: there is none to be had.
        """
        return (await self._get_if_has_token()).access_token

    async def reset_token(self) -> None:
        """Replace the token with a new one now, whatever pause there is between token requests.

        :raises TokenError: there is none to be had.
        """
        from .renewal.on_demand import demand

        await demand(self._cache)

    async def _get_by_overrides(self) -> Token:
        if not self._overrides("get_token"):
            return await self._get_if_has_token()
        self._cache.enter()
        return self._as_token(await self.get_token())

    async def _get_if_has_token(self) -> Token:
        if self._overrides("_has_token"):
            if self._has_token() and self._token is not None:
                return self._token
            self._expire()
        return self._cache.peek() or await self._cache.get()

    async def _renew_by_overrides(self, rejected: Token) -> Token:
        cache = self._cache
        if not self._overrides("get_token", "reset_token"):
            if not self._has_token():
                self._expire()
            return await cache.renew(rejected)
        cache.enter()
        flight = cache.flights.current
        if flight is None:
            token: Token = await self._fly_reset(rejected).join()
            return token
        await flight.join()  # whatever it was for: get_token() knows what came of it
        return self._as_token(await self.get_token())

    def _renewal_blocked_by_overrides(self, rejected: Token) -> bool:
        # get_token() may know a newer one than a token that was not the last.
        last = self._cache.throttle.gave(rejected)
        return self._cache.renewal_blocked(rejected) and (self._cache.closed or last)

    def _renew_in_background_by_overrides(self, rejected: Token) -> None:
        cache = self._cache
        if cache.flights.current is None and not self._renewal_blocked_by_overrides(rejected):
            cache.enter()
            self._fly_reset(rejected)

    def _fly_reset(self, rejected: Token) -> Flight:
        cache = self._cache
        timeout = cache.lock_timeout + cache.fetch_timeout
        cache.flights.last = flight = Flight(self._reset(rejected), timeout=timeout)
        return flight

    async def _reset(self, rejected: Token) -> Token:
        token = self._as_token(await self.get_token())
        if token.access_token != rejected.access_token:
            return token  # another task has reset it already
        if (error := self._cache.throttle.rejection_error()) is not None:
            raise error
        if self._overrides("reset_token") or self._can_fetch():
            done: Any = self.reset_token()  # 0.4.0's own implicit manager had a plain one
            if inspect.isawaitable(done):
                await done
        token = self._as_token(await self.get_token())
        self._cache.throttle.record_renewal(token, rejected, demanded=False)
        return token

    def _as_token(self, access_token: str) -> Token:
        """Return the `Token` of what an overridden get_token() returned."""
        token = self._token
        if token is not None and token.access_token == access_token:
            return token
        return Token(usable_access_token(access_token), None)

    # -- from the cache to the token request

    async def _fetch_by_overrides(self, previous: Token | None) -> Token:
        if not self._overrides("_update_token"):
            response = await self._get_token_data()
            return token_from(response, self._cache.clock.time(), previous)
        await self._update_token()
        token = self._token
        if token is None:
            raise TokenError("The overridden _update_token() has set no _token.")
        usable_access_token(token.access_token)
        return token

    async def _update_token(self) -> None:
        self._token = token_from(
            await self._get_token_data(), self._cache.clock.time(), self._token
        )

    async def _get_token_data(self) -> Mapping[str, Any]:
        return await self._request_token()

    async def _request_token(self) -> Mapping[str, Any]:
        return await self.fetch_token(self._token)


def warn_of_lost_overrides(client_class: type) -> None:
    """Warn once of a step of 0.4.0's `Client` that a subclass overrides and that is not called any more."""
    if hasattr(client_class, "_authorized_fetch") and client_class not in _warned:
        _warned.add(client_class)
        warnings.warn(
            f"{client_class.__name__}._authorized_fetch is not called: aio-alf sends requests in another"
            " way since 0.5.0. Override request(), or use a middleware of aiohttp (middlewares=).",
            UserWarning,
            stacklevel=3,
        )
