"""`OwnedSession`: a `ClientSession` opened when it is needed, for the event loop that needs it.

Tokens survive an event loop; sessions, locks and tasks belong to one. `bind_to_running_loop` says which.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, NoReturn
from weakref import WeakKeyDictionary

from aiohttp import ClientSession

if TYPE_CHECKING:
    from aiohttp import BaseConnector, ClientTimeout
    from aiohttp.abc import AbstractCookieJar
    from multidict import CIMultiDict

__all__ = ("OwnedSession", "SessionAttributes", "bind_to_running_loop", "refuse_to_be_pickled")

# Sessions and event loops of a parent process. Their sockets and their epoll are shared with it: nothing
# here may touch them, and to collect them, with the tasks that wait for them, would.
_inherited: list[object] = []

# The process in which a loop was entered: a forked child inherits loops that look as if they ran.
_entered_in: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()


def bind_to_running_loop(
    previous: asyncio.AbstractEventLoop | None, who: str
) -> asyncio.AbstractEventLoop:
    """Return the running event loop, to which sessions, locks and tasks belong from now on.

    :param previous: the loop they belonged to so far.
    :param who: the class that asks, for the message.
    :raises RuntimeError: `previous` is another loop that still runs, in another thread.
    """
    loop = asyncio.get_running_loop()
    if previous is not None and previous is not loop:
        if _entered_in.get(previous) != os.getpid():
            _inherited.append(previous)
        elif previous.is_running():
            raise RuntimeError(
                f"This {who} is used in two event loops that both run. A {who} serves one loop at a"
                " time: make one for each loop; they may share a TokenStorage."
            )
    _entered_in[loop] = os.getpid()
    return loop


def refuse_to_be_pickled(self: object) -> NoReturn:
    """Raise the error of an object that belongs to its process: its ``__reduce__``."""
    raise TypeError(
        f"A {type(self).__name__} can be neither pickled nor copied: it holds a secret and what belongs to"
        " its process. Make one in each process; they may share a TokenStorage."
    )


class OwnedSession:
    """Opens a session at first use, opens another in another event loop, and closes what it opened.

    :param factory: makes the session; called while the event loop runs.
    """

    __slots__ = ("_factory", "_guard", "_loop", "_pid", "_session")

    def __init__(self, factory: Callable[[], ClientSession]) -> None:
        self._factory = factory
        self._session: ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._guard: AsyncGenerator[None, None] | None = None
        self._pid = os.getpid()

    @property
    def closed(self) -> bool:
        """Whether the session was closed directly; one that ended with its event loop is opened again."""
        session, loop = self._session, self._loop
        return session is not None and session.closed and loop is not None and not loop.is_closed()

    def get(self) -> ClientSession:
        """Return the session of the running event loop, opened if need be."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            self._forget()
            self._session, self._loop, self._pid = self._factory(), loop, os.getpid()
            self._guard = _close_with_loop(self._session)
            try:
                self._guard.__anext__().send(None)
            except StopIteration:
                pass
        return self._session

    async def close(self) -> None:
        """Close the session, if this loop has one open; may be called again."""
        guard, loop = self._guard, self._loop
        if guard is None or loop is not asyncio.get_running_loop():
            self._forget()
            return
        self._session = self._guard = self._loop = None
        await guard.aclose()

    def _forget(self) -> None:
        """Let go of the session of an event loop that is over, or of the parent process."""
        if self._pid != os.getpid():
            _inherited.extend((self._session, self._guard))
        elif self._session is not None and not self._session.closed:
            self._session.detach()
        self._session = self._guard = self._loop = None


class SessionAttributes:
    """What people look for on a session, for a class that has one; read-only, and the session is opened."""

    if TYPE_CHECKING:

        @property
        def session(self) -> ClientSession: ...

    @property
    def headers(self) -> CIMultiDict[str]:
        """The headers that go with every request: `session`'s."""
        return self.session.headers

    @property
    def cookie_jar(self) -> AbstractCookieJar:
        """The cookies of the APIs: `session`'s."""
        return self.session.cookie_jar

    @property
    def connector(self) -> BaseConnector | None:
        """The pool of connections: `session`'s."""
        return self.session.connector

    @property
    def timeout(self) -> ClientTimeout:
        """The time limits of a request that sets none: `session`'s."""
        return self.session.timeout


async def _close_with_loop(session: ClientSession) -> AsyncGenerator[None, None]:
    """Close the session when the event loop ends and nobody has closed it before.

    ``asyncio.run`` closes every asynchronous generator before it closes the loop. So a client that
    lives as long as the program, at module level say, leaves no open connection behind.
    """
    try:
        yield
    finally:
        await session.close()
