"""Where a token outlives a process, or is shared by many: `TokenStorage`, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Hashable
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from weakref import WeakValueDictionary

__all__ = ("Lease", "TokenStorage")


class Lease(Protocol):
    """What `TokenStorage.lock` may give to its holder: a lock that can be lost while it is held."""

    @property
    def lost(self) -> bool:
        """True as soon as another may hold the lock: load again before saving."""


class LoopLocks:
    """Named `asyncio` locks, a set of them for each event loop.

    A lock lives as long as a task holds it or waits for it; so neither names nor loops pile up.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[Hashable, ...], asyncio.Lock] = WeakValueDictionary()

    def get(self, *name: Hashable) -> asyncio.Lock:
        """Return the lock of that name in the running loop.

        :raises RuntimeError: no event loop is running.
        """
        return self._locks.setdefault((asyncio.get_running_loop(), *name), asyncio.Lock())


class TokenStorage:
    """Keeps one token, in memory; the base class of every other storage.

    A subclass overrides `save`, `load` and `clean`, plain or ``async``, and gets the rest right by
    that; it need not call ``__init__``. What is saved is one line of text that means nothing to the
    storage: it comes back from `load` as it was.

    Whoever made a storage closes it; managers and clients only borrow it. Any exception of a
    storage counts as a failure of the storage, never of the token. A call may be cancelled at any
    time.
    """

    token: str | None = None

    def save(self, token: str) -> Awaitable[None] | None:
        """Keep this line in place of the one before.

        :param token: one line of text.
        """
        self.token = token
        return None

    def load(self) -> Awaitable[str | None] | str | None:
        """Give back the line that was saved last.

        :return: that line, or a bare access token (its expiry is then unknown), or None.
        """
        return self.token

    def clean(self) -> Awaitable[None] | None:
        """Forget the line; `load` gives None from now on."""
        self.token = None
        return None

    def for_key(self, key: str) -> TokenStorage:
        """Return the slot for the tokens of one binding (endpoint, client id, scope, request parameters).

        :param key: the binding, hashed: lower case hexadecimal digits.
        :return: a storage that shares everything but the slot with this one. This class has one
            slot only, and returns itself.
        """
        return self

    def lock(self) -> AbstractAsyncContextManager[Lease | None]:
        """Return the lock under which a token is renewed: load, fetch, save.

        Holders of one slot's lock exclude each other; this one does so among the tasks of one
        event loop that share this object. A wait for it may be cancelled and leaves nothing held.

        :return: an async context manager, for one use, made while an event loop is running. It
            gives a `Lease` if the lock can be lost while it is held, else None.
        """
        # Not set in __init__, which a subclass may not call; nor by setattr, which it may forbid.
        locks: LoopLocks = self.__dict__.setdefault("_loop_locks", LoopLocks())
        return locks.get()

    async def close(self) -> None:
        """Release what this storage opened itself: nothing, here. Tokens stay."""
