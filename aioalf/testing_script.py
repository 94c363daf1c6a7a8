"""What the server of `aioalf.testing` does out of turn: the answers it was told to give."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiohttp import web
from multidict import CIMultiDict

__all__ = ("Answer", "Script", "Scripted")

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Headers = Mapping[str, str] | Iterable[tuple[str, str]]


def answer(status: int, headers: Headers | None, body: bytes | str, delay: float) -> Answer:
    """An answer that is given as it stands, ``delay`` seconds after the request."""
    content = body.encode() if isinstance(body, str) else body

    async def act(request: web.BaseRequest) -> web.StreamResponse:
        if delay:
            await asyncio.sleep(delay)
        return web.Response(status=status, headers=CIMultiDict(headers or {}), body=content)

    return act


def raw_answer(data: bytes) -> Answer:
    """These bytes and nothing else on the connection, which is then closed; none at all: a drop."""

    async def act(request: web.BaseRequest) -> web.StreamResponse:
        if request.transport is not None:
            if data:
                request.transport.write(data)
            request.transport.close()
        return web.Response()  # it has no way out any more

    return act


async def stall(request: web.BaseRequest) -> web.StreamResponse:
    """No answer, until the server closes."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("unreachable")


class Script:
    """What is done out of turn with the next requests, in order."""

    def __init__(self) -> None:
        self._steps: deque[tuple[Answer, int]] = deque()

    def add(self, act: Answer, times: int) -> None:
        """Do this with so many requests, after what was added before.

        :raises ValueError: ``times`` is less than 1.
        """
        if times < 1:
            raise ValueError("times must be at least 1")
        self._steps.append((act, times))

    def clear(self) -> None:
        """Nothing out of turn any more."""
        self._steps.clear()

    def take(self) -> Answer | None:
        """What to do with the request that is here; None: the usual."""
        if not self._steps:
            return None
        act, times = self._steps.popleft()
        if times > 1:
            self._steps.appendleft((act, times - 1))
        return act


class Scripted:
    """The methods of `AuthorizationServer` that tell it what to do with the next requests.

    It does so in the order in which it was told, each ``times`` over; then all is as usual.
    """

    def __init__(self) -> None:
        self._token_script, self._resource_script = Script(), Script()

    def answer_next(
        self,
        status: int = 200,
        headers: Headers | None = None,
        body: bytes | str = b"",
        times: int = 1,
        delay: float = 0.0,
    ) -> None:
        """The token endpoint answers its next requests with this, whatever they are.

        :param times: how many requests; a large number makes an outage, and `clear_next` its end.
        :param delay: seconds before the answer; `latency` does not apply.
        """
        self._token_script.add(answer(status, headers, body, delay), times)

    def raw_next(self, data: bytes, times: int = 1) -> None:
        """The token endpoint sends these bytes, be they HTTP or not, and closes the connection."""
        self._token_script.add(raw_answer(data), times)

    def drop_next(self, times: int = 1) -> None:
        """The token endpoint closes the connection without an answer."""
        self._token_script.add(raw_answer(b""), times)

    def stall_next(self, times: int = 1) -> None:
        """The token endpoint takes the request and never answers, until the server closes."""
        self._token_script.add(stall, times)

    def resource_answer_next(
        self,
        status: int = 200,
        headers: Headers | None = None,
        body: bytes | str = b"",
        times: int = 1,
        delay: float = 0.0,
    ) -> None:
        """As `answer_next`, for the protected resources; no token is checked. 401s are counted."""
        self._resource_script.add(answer(status, headers, body, delay), times)

    def resource_drop_next(self, times: int = 1) -> None:
        """As `drop_next`, for the protected resources.

        aiohttp sends an idempotent request (GET, PUT, ...) once more by itself when its connection
        is closed without an answer: ``times=2`` is what makes it fail.
        """
        self._resource_script.add(raw_answer(b""), times)

    def resource_stall_next(self, times: int = 1) -> None:
        """As `stall_next`, for the protected resources."""
        self._resource_script.add(stall, times)

    def clear_next(self) -> None:
        """Forget what was told by the methods above: everything is answered as usual again."""
        self._token_script.clear()
        self._resource_script.clear()
