"""`ManagerVerbs`: what is done with the token of a manager; `aioalf.manager` says how it gets one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from .sessions import refuse_to_be_pickled
from .token import Token

if TYPE_CHECKING:
    from typing_extensions import Self

    from .events import EventHook
    from .renewal.cache import TokenCache

__all__ = ("ManagerVerbs",)


class ManagerVerbs:
    """The public methods of a `TokenManager` that ask its cache, or end its life."""

    #: Seconds for which `close` waits for a renewal that may rotate a refresh token.
    close_timeout: float = 30.0

    if TYPE_CHECKING:
        _cache: TokenCache

        async def _request(self, name: str, form: Mapping[str, Any]) -> Mapping[str, Any]: ...

    def peek(self) -> Token | None:
        """Return the token if it is fresh, without waiting; else None.

        :raises RuntimeError: no event loop is running.
        """
        return self._cache.peek()

    async def get(self) -> Token:
        """Return a valid token: the cached one, or a new one if there is none.

        A fresh token costs no lock, no task and no trip through the event loop. Otherwise one token
        request serves all who call; a caller that is cancelled neither stops it nor loses its result.

        :raises TokenError: there is none to be had; the next call tries again.
        :raises RuntimeError: the manager is closed, or is used in two running event loops.
        """
        return self._cache.peek() or await self._cache.get()

    async def renew(self, rejected: Token) -> Token:
        """Return another token than a rejected one: a new one, unless another task has one already.

        However many tasks, or processes with a shared storage, report the same token, it is replaced
        once.

        :param rejected: the token that the API answered with 401.
        :raises TokenError: there is none to be had; or an earlier 401 caused a renewal that did not help,
            and it is too early for the next.
        :raises RuntimeError: the manager is closed, or is used in two running event loops.
        """
        return await self._cache.renew(rejected)

    def renewal_blocked(self, rejected: Token) -> bool:
        """Return whether `renew` would fail at once; it is then better to hand a 401 on as it is."""
        return self._cache.renewal_blocked(rejected)

    def renew_in_background(self, rejected: Token) -> None:
        """Replace a rejected token for the next call; no task waits for it."""
        from .renewal.on_demand import renew_in_background

        renew_in_background(self._cache, rejected)

    def report_accepted(self, token: Token, *, resent: bool = False) -> None:
        """Report that the API accepted a token; not needed for one that `peek` returned.

        :param resent: whether the request had been rejected before, with another token.
        """
        self._cache.report_accepted(token, resent=resent)

    def report_rejected(self, token: Token) -> None:
        """Report that the API answered 401 to a token that came in place of a rejected one."""
        from .renewal.log import tell_of_second_sending

        tell_of_second_sending(self._cache, accepted=False)
        self._cache.throttle.log_rejection_once(token)

    @property
    def on_event(self) -> EventHook | None:
        """The function that is told what happens: see `aioalf.events`."""
        return self._cache.on_event

    async def revoke(self) -> None:
        """Revoke the refresh token and the access token (RFC 7009), and forget both.

        They are forgotten here and in the storage, whatever the server says. No renewal runs beside it; the
        next request fetches a new token.

        :raises TokenError: the server could not be asked, or has not revoked them.
        :raises RuntimeError: the manager is closed, or is used in two running event loops.
        """
        from .revocation import revoke  # few programs sign out

        await revoke(self._cache, self._request)

    async def close(self) -> None:
        """End what runs in the background; a task that still waits gets a `TokenError` that says so.

        A renewal that may rotate a refresh token is let finish, and saved, within `close_timeout` seconds.
        The manager cannot be used any more. May be called again.
        """
        await self._cache.close(self.close_timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __reduce__(self) -> NoReturn:
        refuse_to_be_pickled(self)
