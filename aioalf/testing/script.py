"""Answers that the test prescribes: given in order to the next requests, in place of the usual ones."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiohttp import web
from multidict import CIMultiDict

from .received import Endpoint
from .threaded import Threaded, from_any_thread

__all__ = ("LOST", "Respond", "ResponseQueue", "ScriptedResponses")

Respond = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Headers = Mapping[str, str] | Iterable[tuple[str, str]]


def answer(status: int, headers: Headers | None, body: bytes | str, delay: float) -> Respond:
    """Return a function that gives this answer, ``delay`` seconds after the request."""
    content = body.encode() if isinstance(body, str) else body

    async def respond(request: web.BaseRequest) -> web.StreamResponse:
        if delay:
            await asyncio.sleep(delay)
        return web.Response(status=status, headers=CIMultiDict(headers or {}), body=content)

    return respond


def raw_answer(data: bytes) -> Respond:
    """Return a function that writes these bytes, or none, and closes the connection."""

    async def respond(request: web.BaseRequest) -> web.StreamResponse:
        if request.transport is not None:
            if data:
                request.transport.write(data)
            request.transport.close()
        return web.Response()  # it has no way out any more

    return respond


async def stall(request: web.BaseRequest) -> web.StreamResponse:
    """Do not answer until the server closes."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("unreachable")


#: The request is to be done, but its answer is to be lost.
LOST = raw_answer(b"")


class ResponseQueue:
    """The answers to the next requests, in order."""

    def __init__(self) -> None:
        self._steps: deque[tuple[Respond, int]] = deque()

    def add(self, respond: Respond, times: int) -> None:
        """Answer so many requests like this, after those that were added before.

        :raises ValueError: ``times`` is less than 1.
        """
        if times < 1:
            raise ValueError("times must be at least 1")
        self._steps.append((respond, times))

    def clear(self) -> None:
        """Empty the queue."""
        self._steps.clear()

    def take(self) -> Respond | None:
        """Take the answer to the next request; None if it gets the usual one."""
        if not self._steps:
            return None
        respond, times = self._steps.popleft()
        if times > 1:
            self._steps.appendleft((respond, times - 1))
        return respond


class ScriptedResponses(Threaded):
    """The methods of `AuthorizationServer` that prescribe the answers to the next requests.

    They are given in the order of the calls, each ``times`` over; then the usual ones are given again.
    """

    def __init__(self) -> None:
        self._queues: defaultdict[Endpoint, ResponseQueue] = defaultdict(ResponseQueue)

    @from_any_thread
    def answer_next(
        self,
        status: int = 200,
        headers: Headers | None = None,
        body: bytes | str = b"",
        times: int = 1,
        delay: float = 0.0,
        at: Endpoint = "token",
    ) -> None:
        """Answer the next requests to the token endpoint with this, whatever they are.

        :param times: how many requests; a large number makes an outage, and `clear_next` its end.
        :param delay: seconds before the answer; `latency` does not apply.
        :param at: another endpoint than the token endpoint: ``"device"``, ``"metadata"``, ...
        """
        self._queues[at].add(answer(status, headers, body, delay), times)

    @from_any_thread
    def raw_next(self, data: bytes, times: int = 1, at: Endpoint = "token") -> None:
        """Send these bytes from the token endpoint, HTTP or not, and close the connection."""
        self._queues[at].add(raw_answer(data), times)

    @from_any_thread
    def drop_next(self, times: int = 1, at: Endpoint = "token") -> None:
        """Close the connection to the token endpoint without an answer."""
        self._queues[at].add(raw_answer(b""), times)

    @from_any_thread
    def lose_answer_next(self, times: int = 1, at: Endpoint = "token") -> None:
        """Do what a request to the token endpoint asks, but close the connection without an answer."""
        self._queues[at].add(LOST, times)

    @from_any_thread
    def stall_next(self, times: int = 1, at: Endpoint = "token") -> None:
        """Take a request to the token endpoint and do not answer until the server closes."""
        self._queues[at].add(stall, times)

    @from_any_thread
    def resource_answer_next(
        self,
        status: int = 200,
        headers: Headers | None = None,
        body: bytes | str = b"",
        times: int = 1,
        delay: float = 0.0,
    ) -> None:
        """Do as `answer_next` does for the protected resources; no token is checked. 401s are counted."""
        self._queues["resource"].add(answer(status, headers, body, delay), times)

    @from_any_thread
    def resource_drop_next(self, times: int = 1) -> None:
        """Do as `drop_next` does for the protected resources.

        aiohttp sends an idempotent request (GET, PUT, ...) once more by itself when its connection
        is closed without an answer, so ``times=2`` makes it fail.
        """
        self._queues["resource"].add(raw_answer(b""), times)

    @from_any_thread
    def resource_stall_next(self, times: int = 1) -> None:
        """Do as `stall_next` does for the protected resources."""
        self._queues["resource"].add(stall, times)

    @from_any_thread
    def clear_next(self) -> None:
        """Forget the answers that the methods above have prescribed."""
        self._queues.clear()
