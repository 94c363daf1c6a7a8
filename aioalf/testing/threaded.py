"""`Threaded`: a server in a thread of its own, for tests that are not coroutines."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

__all__ = ("Threaded", "from_any_loop", "from_any_thread")

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound="Threaded")

_PATIENCE = 30.0  # seconds for the thread to do what it is asked for


class Threaded:
    """Runs in a thread with an event loop of its own, if ``with`` is used and not ``async with``."""

    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None

    async def start(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    def __enter__(self: S) -> S:
        if self._thread is not None:
            raise RuntimeError("The server is running.")
        loop = asyncio.new_event_loop()
        # A daemon: a test that never leaves the block does not keep the interpreter from ending.
        thread = threading.Thread(target=_run, args=(loop,), name="aioalf: server", daemon=True)
        thread.start()
        self._loop, self._thread = loop, thread
        try:
            self.do(self.start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            self.do(self.close())
        finally:
            self._end()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the thread, and wait for it."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    @property
    def elsewhere(self) -> bool:
        """Whether the server runs in another thread than the one that asks."""
        return self._thread is not None and threading.current_thread() is not self._thread

    def _end(self) -> None:
        loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_PATIENCE)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        if left := asyncio.all_tasks(loop):  # another thread may wait for them
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()


def from_any_thread(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Make a method do its work in the thread of the server, whoever calls it."""

    @functools.wraps(method)
    def call(self: S, /, *args: P.args, **options: P.kwargs) -> T:
        if not self.elsewhere:
            return method(self, *args, **options)

        async def work() -> T:
            return method(self, *args, **options)

        return self.do(work())

    return call


def from_any_loop(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Make a coroutine method do its work in the loop of the server, whoever awaits it."""

    @functools.wraps(method)
    async def call(self: S, /, *args: P.args, **options: P.kwargs) -> T:
        if not self.elsewhere or self._loop is None:
            return await method(self, *args, **options)
        work = asyncio.run_coroutine_threadsafe(method(self, *args, **options), self._loop)
        return await asyncio.wrap_future(work)

    return call
