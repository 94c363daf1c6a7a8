"""`DaemonWorker`: calls that block, one after the other, in a thread that the program does not wait for."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ..errors import TokenStorageError

__all__ = ("DaemonWorker",)

T = TypeVar("T")

_STUCK_AFTER = 5.0  # seconds; a file or a keyring answers at once, or waits for something
_IDLE = 1.0  # seconds after which the thread ends


class DaemonWorker:
    """Makes blocking calls in one daemon thread, which is started when it is needed.

    It is not the executor of the event loop: aiohttp resolves names there, and ``asyncio.run`` waits for
    it. A disk that hangs, or a keyring that nobody unlocks, holds up this thread alone. Meanwhile every
    further call fails at once.

    :param name: the name of the thread, and of what hangs, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._thread: threading.Thread | None = None
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._busy_since: float | None = None

    def submit(self, work: Callable[[], T]) -> concurrent.futures.Future[T]:
        """Make a call after those before it, even if one of them hangs now.

        :return: its outcome. If that is cancelled before the call has begun, it is not made.
        """
        if self._pid != os.getpid():  # a fork has no threads
            self._forget()
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def call() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    result = work()
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)

        self._calls.put(call)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._work, name=f"aio-alf {self._name}", daemon=True
            )
            self._thread.start()
        return future

    async def run(self, work: Callable[[], T]) -> T:
        """Make a call and return its outcome.

        :raises TokenStorageError: an earlier call hangs.
        """
        since = self._busy_since
        if since is not None and self._pid == os.getpid():
            if time.monotonic() - since > _STUCK_AFTER:
                raise TokenStorageError(f"The {self._name} does not answer: an earlier call hangs.")
        return await asyncio.wrap_future(self.submit(work))

    def _work(self) -> None:
        calls = self._calls
        while True:
            try:
                call = calls.get(timeout=_IDLE)
            except queue.Empty:
                self._thread = None
                if calls.empty():  # else a call came in this very moment
                    return
                continue
            self._busy_since = time.monotonic()
            try:
                call()
            finally:
                self._busy_since = None
            del call
