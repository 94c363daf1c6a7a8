"""`StoredToken`: a token that a storage shares with other managers, tasks, processes and machines.

A renewal is: lock, load again (another may have renewed), fetch, save, unlock. A refresh token that
could not be saved is kept here, and saving it is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Container

from .._tasks import detached
from ..backoff import backoff
from ..clock import Clock
from ..token import CachedToken, Token, issued_later, without_refresh_token
from .guarded import GuardedStorage
from .turns import Look, TokenFound

__all__ = ("StoredToken",)


class StoredToken:
    """The token of one binding, as one manager shares it with others.

    :param storage: stores it.
    :param clock: the clocks and the sleep.
    :param lock_timeout: seconds to wait for the storage's lock before going on without it.
    :param expiry_margin: seconds before its expiry at which a stored token is not taken any more.
    """

    def __init__(
        self, storage: GuardedStorage, clock: Clock, lock_timeout: float, expiry_margin: float
    ) -> None:
        self._storage = storage
        self._lock_timeout = lock_timeout
        self._expiry_margin = expiry_margin
        self._clock = clock
        #: A token with a refresh token that is not saved yet.
        self._unsaved: Token | None = None
        #: The access tokens that the last token fetched replaces.
        self._replaced: set[str] = set()
        self._saving: asyncio.Task[None] | None = None

    async def load_or_renew(
        self,
        cached: Token | None,
        fetch: Callable[[Token | None], Awaitable[Token]],
        *,
        replaced: Token | None,
        only_fetch: bool,
        rejected: Container[str],
    ) -> tuple[Token, bool]:
        """Take the token that is stored, or fetch one and store it.

        :param cached: the token that the manager has.
        :param fetch: fetches a new token in place of the one it is given, whose refresh token it may use.
        :param replaced: the token that is to be replaced: only one that was issued later will do.
        :param only_fetch: whether no stored token will do.
        :param rejected: access tokens that an API has rejected.
        :return: the token, and whether it has been fetched.
        """

        def will_do(stored: Token | None) -> Token | None:
            if stored is None or only_fetch or self._unsaved is not None:
                return None
            usable = self.is_usable(stored, rejected) and _can_replace(stored, replaced)
            return stored if usable else None

        async def look(known: Token | None) -> Token | None:
            return will_do(known) or will_do(await self._storage.load())

        try:
            return await self._renew_locked(
                cached, fetch, None if only_fetch else look, will_do, rejected
            )
        except TokenFound as outcome:
            return outcome.token, False

    async def _renew_locked(
        self,
        cached: Token | None,
        fetch: Callable[[Token | None], Awaitable[Token]],
        look: Look | None,
        will_do: Callable[[Token | None], Token | None],
        rejected: Container[str],
    ) -> tuple[Token, bool]:
        async with self._storage.locked(self._lock_timeout, look) as lease:
            stored = await self._storage.load()
            if (found := will_do(stored)) is not None:
                return found, False  # it came while the lock was handed over
            if stored is not None and stored.refresh_token is None:
                if stored.access_token in rejected:
                    await self._storage.clean()
            known = [token for token in (self._unsaved, stored, cached) if token is not None]
            token = await fetch(next((one for one in known if one.refresh_token), cached))
            # Kept from here on: a cancellation of what follows must not lose it.
            self._unsaved = token if token.refresh_token else None
            self._replaced = {one.access_token for one in known}
            if getattr(lease, "lost", False) and (other := await self._newer_stored(token)):
                self._unsaved = None
                return other, False
            if await self._storage.save(token):
                self._unsaved = None
        self.retry_save_in_background()
        return token, True

    def is_usable(self, token: Token, rejected: Container[str]) -> bool:
        """Return whether a stored token can be handed out: not expired, and not rejected by an API."""
        if token.access_token in rejected:
            return False
        return not CachedToken(token, self._clock, self._expiry_margin, 0.0).is_expired()

    async def forget_refresh_token(self, refused: str) -> Token | None:
        """Take a refresh token that was refused out of the storage, and nothing else; the lock is held.

        :return: another token with a refresh token, which somebody has stored since; else None.
        """
        if self._unsaved is not None and self._unsaved.refresh_token == refused:
            self._unsaved = None
        stored = await self._storage.load()
        if stored is None or stored.refresh_token is None:
            return None
        if stored.refresh_token != refused:
            return stored
        if self.is_usable(stored, ()):
            await self._storage.save(without_refresh_token(stored))
        else:
            await self._storage.clean()
        return None

    async def revoke(
        self, cached: Token | None, revoke: Callable[[Token], Awaitable[None]]
    ) -> None:
        """Have the stored token revoked, and forget it whatever comes of that; under the lock.

        :param cached: the token that the manager has, in case that none is stored.
        :param revoke: revokes a token, and its refresh token.
        """
        async with self._storage.locked(self._lock_timeout):
            token = self._unsaved or await self._storage.load() or cached
            self._unsaved = None
            try:
                if token is not None:
                    await revoke(token)
            finally:
                await self._storage.clean()

    def retry_save_in_background(self) -> None:
        """Go on trying to save a token in the background; do nothing if all are saved."""
        if self._unsaved is not None and self._saving_here() is None:
            self._saving = detached(self._save_again(), "aioalf: token saving")

    async def _save_again(self) -> None:
        failures = 0
        while self._unsaved is not None:
            failures += 1
            await self._clock.sleep(backoff(failures))
            async with self._storage.locked(self._lock_timeout):
                await self._save_now()

    async def _save_now(self) -> None:
        token = self._unsaved
        if token is None:
            return
        done = await self._newer_stored(token) is not None or await self._storage.save(token)
        if done and token is self._unsaved:
            self._unsaved = None

    async def _newer_stored(self, token: Token) -> Token | None:
        """Return the token that another manager has stored since, if that was issued later."""
        stored = await self._storage.load()
        if (
            stored is None
            or stored.access_token in self._replaced
            or not issued_later(stored, token)
        ):
            return None
        return stored

    def _saving_here(self) -> asyncio.Task[None] | None:
        """Return the task that saves, if it still runs and belongs to this event loop."""
        task = self._saving
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            return None
        return task

    async def close(self) -> None:
        """End what runs in the background; try once more to save a token that is not saved yet."""
        if (task := self._saving_here()) is not None:
            task.cancel()
            await asyncio.wait({task})
        await self._save_now()


def _can_replace(stored: Token, replaced: Token | None) -> bool:
    """Return whether a stored token is another one than the one to be replaced, and not older."""
    if replaced is None:
        return True
    if stored.access_token == replaced.access_token:
        return False
    return replaced.expires_at is None or not issued_later(replaced, stored)
