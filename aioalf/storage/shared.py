"""`StoredToken`: a token that a storage shares with other managers, tasks, processes and machines.

A renewal is: lock, load again (another may have renewed), fetch, save, unlock. A refresh token that
could not be saved is kept here, and saving it is tried again.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Container

from ..backoff import backoff
from ..clock import Clock
from ..token import Token, issued_later
from .guarded import GuardedStorage

__all__ = ("StoredToken",)


class StoredToken:
    """The token of one binding, as one manager shares it.

    :param slot: where it is stored.
    :param clock: the clocks and the sleep.
    """

    def __init__(self, slot: GuardedStorage, clock: Clock) -> None:
        self._slot = slot
        self._clock = clock
        #: A token with a refresh token that the storage should have, and has not.
        self._unsaved: Token | None = None
        #: The access tokens that were known when the last one was fetched: those that it replaces.
        self._older: set[str] = set()
        self._saving: asyncio.Task[None] | None = None

    async def renewed(
        self,
        present: Token | None,
        fetch: Callable[[Token | None], Awaitable[Token]],
        *,
        worth: Callable[[Token], bool],
        rejected: Container[str],
        lock_timeout: float,
    ) -> tuple[Token, bool]:
        """Take the token that is stored, or fetch one and store it.

        :param present: the token that the manager has.
        :param fetch: gets a new token in place of the one it is given, whose refresh token it may use.
        :param worth: whether a stored token will do.
        :param rejected: access tokens that an API has rejected.
        :param lock_timeout: seconds to wait for the storage's lock before going on without it.
        :return: the token, and whether it has been fetched.
        """
        async with self._slot.locked(lock_timeout) as lease:
            stored = await self._slot.load()
            if stored is not None and self._unsaved is None and worth(stored):
                return stored, False
            if stored is not None and stored.refresh_token is None:
                if stored.access_token in rejected:
                    await self._slot.clean()
            known = [token for token in (self._unsaved, stored, present) if token is not None]
            token = await fetch(next((one for one in known if one.refresh_token), present))
            # From here on, so that it is not lost where what follows is cancelled.
            self._unsaved = token if token.refresh_token else None
            self._older = {one.access_token for one in known}
            if getattr(lease, "lost", False) and (other := await self._newer_stored(token)):
                self._unsaved = None
                return other, False
            if await self._slot.save(token):
                self._unsaved = None
        self.retry_save_in_background(lock_timeout)
        return token, True

    def retry_save_in_background(self, lock_timeout: float) -> None:
        """Go on trying to save, in the background, what has not been saved; at once where all has.

        :param lock_timeout: seconds to wait for the storage's lock before going on without it.
        """
        if self._unsaved is not None and self._saving_here() is None:
            work = self._save_again(lock_timeout)
            self._saving = contextvars.Context().run(
                asyncio.create_task, work, name="aioalf: token saving"
            )

    async def _save_again(self, lock_timeout: float) -> None:
        failures = 0
        while self._unsaved is not None:
            failures += 1
            await self._clock.sleep(backoff(failures))
            async with self._slot.locked(lock_timeout):
                await self._save_now()

    async def _save_now(self) -> None:
        token = self._unsaved
        if token is None:
            return
        done = await self._newer_stored(token) is not None or await self._slot.save(token)
        if done and token is self._unsaved:
            self._unsaved = None

    async def _newer_stored(self, token: Token) -> Token | None:
        """What another has stored since, if that is newer: it must not be thrown away."""
        stored = await self._slot.load()
        if stored is None or stored.access_token in self._older or not issued_later(stored, token):
            return None
        return stored

    def _saving_here(self) -> asyncio.Task[None] | None:
        """The task that saves, if it still runs and belongs to this event loop."""
        task = self._saving
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            return None
        return task

    async def close(self) -> None:
        """End what runs in the background; save, once more, what has not been saved."""
        if (task := self._saving_here()) is not None:
            task.cancel()
            await asyncio.wait({task})
        await self._save_now()
