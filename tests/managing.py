"""What the tests of the token manager have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from fakes import FakeClock

from aioalf.manager import TokenManager
from aioalf.testing import AuthorizationServer
from aioalf.token import Token

__all__ = ("Fetching", "at_once", "manager_for", "turns", "until")

T = TypeVar("T")

Answer = Mapping[str, Any] | BaseException


def manager_for(
    server: AuthorizationServer, clock: FakeClock | None = None, **options: Any
) -> TokenManager:
    """A manager for that server; where there is a clock, both go by it."""
    if clock is not None:
        server.time = clock.time
        options["clock"] = clock
    return TokenManager(server.token_endpoint, server.client_id, server.client_secret, **options)


class Fetching(TokenManager):
    """A manager whose token requests the test answers: no network, every turn of the loop counted.

    :param clock: its clock.
    :param answers: token responses, or errors to raise, in order; then ``token-N`` for an hour.
    :param takes: turns of the event loop that a token request takes.
    """

    def __init__(self, clock: FakeClock, *answers: Answer, takes: int = 1, **options: Any) -> None:
        super().__init__("https://login.example.com/token", "id", "secret", clock=clock, **options)
        self.answers = list(answers)
        self.takes = takes
        #: What each fetch was to replace.
        self.fetches: list[Token | None] = []
        #: Where set, a fetch waits for it before it answers.
        self.gate: asyncio.Event | None = None
        self._running = False

    async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
        assert not self._running, "two token requests at a time"
        self._running = True
        self.fetches.append(previous)
        number = len(self.fetches)
        try:
            await turns(self.takes)
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self._running = False
        answer = (
            self.answers.pop(0)
            if self.answers
            else {"access_token": f"token-{number}", "expires_in": 3600}
        )
        if isinstance(answer, BaseException):
            raise answer
        return answer


async def turns(number: int) -> None:
    """Give the event loop so many turns."""
    for _ in range(number):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Give the event loop turns until something has happened."""
    while not condition():
        await asyncio.sleep(0)


def at_once(work: Coroutine[Any, Any, T] | Awaitable[T]) -> T:
    """Run a coroutine that must not wait for anything: not one trip through the event loop."""
    assert isinstance(work, Coroutine)
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        work.close()
    raise AssertionError("it has waited")
