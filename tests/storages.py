"""Storages as people write them, and as they should not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from managing import turns

from aioalf.storage import TokenStorage

__all__ = ("Broken", "OneSlot", "Slow", "Stalling")


class OneSlot(TokenStorage):
    """As written for 0.4.0: three plain methods, no call of the base class."""

    def __init__(self) -> None:
        self.line: str | None = None
        self.calls: list[str] = []

    def save(self, token: str) -> None:
        self.calls.append("save")
        self.line = token

    def load(self) -> str | None:
        self.calls.append("load")
        return self.line

    def clean(self) -> None:
        self.calls.append("clean")
        self.line = None


class Slow(TokenStorage):
    """Every call takes some turns of the event loop; tells whether its lock is held."""

    line: str | None = None
    takes = 2

    async def save(self, token: str) -> None:
        await turns(self.takes)
        self.line = token
        await turns(self.takes)

    async def load(self) -> str | None:
        await turns(self.takes)
        return self.line

    async def clean(self) -> None:
        await turns(self.takes)
        self.line = None

    @property
    def locked(self) -> bool:
        return self._mutex.locked()

    @property
    def _mutex(self) -> asyncio.Lock:
        mutex: asyncio.Lock = self.__dict__.setdefault("mutex", asyncio.Lock())
        return mutex

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        await turns(self.takes)
        async with self._mutex:
            await turns(self.takes)
            yield
            await turns(self.takes)


class Broken(TokenStorage):
    """One of its methods raises.

    :param method: which.
    :param error: what.
    """

    def __init__(self, method: str, error: BaseException) -> None:
        self.method: str | None = method
        self.error = error
        self.line: str | None = None
        self.tried = 0

    def _call(self, method: str) -> None:
        if method == self.method:
            self.tried += 1
            raise self.error

    async def save(self, token: str) -> None:
        self._call("save")
        self.line = token

    async def load(self) -> str | None:
        self._call("load")
        return self.line

    async def clean(self) -> None:
        self._call("clean")
        self.line = None

    def for_key(self, key: str) -> TokenStorage:
        self._call("for_key")
        return self

    def lock(self) -> Any:
        self._call("lock")
        return self._lock()

    @asynccontextmanager
    async def _lock(self) -> AsyncIterator[None]:
        self._call("enter")
        yield
        self._call("leave")


class Stalling(Broken):
    """One of its methods never ends, or only when it is cancelled."""

    def __init__(self, method: str) -> None:
        super().__init__(method, RuntimeError())

    def _call(self, method: str) -> None:
        pass

    async def _stall(self, method: str) -> None:
        if method == self.method:
            self.tried += 1
            await asyncio.get_running_loop().create_future()

    async def save(self, token: str) -> None:
        await self._stall("save")
        self.line = token

    async def load(self) -> str | None:
        await self._stall("load")
        return self.line

    async def clean(self) -> None:
        await self._stall("clean")
        self.line = None

    @asynccontextmanager
    async def _lock(self) -> AsyncIterator[None]:
        await self._stall("enter")
        yield
        await self._stall("leave")
