"""Renewed once for everybody: N misses, or N rejections, cost one token request."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from fakes import FakeClock
from managing import Fetching, at_once, manager_for, turns, until

from aioalf.errors import TokenError
from aioalf.renewal.single_flight import Flight
from aioalf.testing import AuthorizationServer
from aioalf.token import Token

CROWD = 10_000


async def test_ten_thousand_tasks_without_a_token_cost_one_token_request(
    server: AuthorizationServer,
) -> None:
    """All get the same token."""
    async with manager_for(server) as manager:
        tokens = await asyncio.gather(*(manager.get_token() for _ in range(CROWD)))
        assert len(tokens) == CROWD
        assert len(set(tokens)) == 1
        assert server.accepts(tokens[0])
        assert server.token_requests == 1


async def test_ten_thousand_rejections_of_one_token_cost_one_token_request(
    server: AuthorizationServer,
) -> None:
    """Also where each new token ends the one before, and also for those who come late."""
    server.single_valid = True
    async with manager_for(server) as manager:
        first = await manager.get()
        server.revoke_all()
        renewed = await asyncio.gather(*(manager.renew(first) for _ in range(CROWD)))
        assert len({token.access_token for token in renewed}) == 1
        assert at_once(manager.renew(first)) is renewed[0]
        assert server.accepts(renewed[0].access_token)
        assert server.token_requests == 2


async def test_a_server_that_gives_the_same_token_again_is_not_asked_by_each(
    clock: FakeClock,
) -> None:
    """Some cache the token of a client until it expires."""
    manager = Fetching(clock, *[{"access_token": "same", "expires_in": 60}] * 5)
    first = await manager.get()
    await asyncio.gather(*(manager.renew(first) for _ in range(100)))
    await manager.renew(first)
    assert len(manager.fetches) == 2


async def test_a_caller_that_leaves_does_not_stop_what_others_wait_for(clock: FakeClock) -> None:
    """Whether it is cancelled or times out; the first one, who began it, included."""
    manager = Fetching(clock)
    manager.gate = asyncio.Event()
    callers = [asyncio.create_task(manager.get_token()) for _ in range(10)]
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(manager.get(), 0.001)
    callers[0].cancel()
    callers[5].cancel()
    await turns(2)
    manager.gate.set()
    said = await asyncio.gather(*callers, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in said].count(True) == 2
    assert said.count("token-1") == 8
    assert len(manager.fetches) == 1


async def test_a_token_is_kept_even_if_every_caller_has_left(clock: FakeClock) -> None:
    """The next call finds it."""
    manager = Fetching(clock)
    manager.gate = asyncio.Event()
    callers = [asyncio.create_task(manager.get_token()) for _ in range(10)]
    await turns(2)
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    manager.gate.set()
    await until(lambda: manager._cache.flights.current is None)
    assert at_once(manager.get_token()) == "token-1"


async def test_whoever_comes_after_all_have_left_joins_what_still_runs(clock: FakeClock) -> None:
    """The token request goes on, and there is no second one."""
    manager = Fetching(clock)
    manager.gate = asyncio.Event()
    caller = asyncio.create_task(manager.get())
    await turns(2)
    caller.cancel()
    late = asyncio.create_task(manager.get_token())
    await turns(2)
    manager.gate.set()
    assert await late == "token-1"
    assert len(manager.fetches) == 1


async def test_a_failure_is_handed_to_all_who_wait_once(clock: FakeClock) -> None:
    """The next call tries afresh."""
    manager = Fetching(clock, TokenError("no luck"))
    said = await asyncio.gather(*(manager.get() for _ in range(100)), return_exceptions=True)
    assert {str(error) for error in said} == {"no luck"}
    assert len(manager.fetches) == 1
    assert await manager.get_token() == "token-2"


async def test_each_who_waits_gets_a_failure_of_its_own(clock: FakeClock) -> None:
    """One object would carry the traceback of one task, and what it was at, into another's log."""
    cause = OSError("no route")
    failure = TokenError("no luck")
    failure.__cause__ = cause
    manager = Fetching(clock, failure)

    async def ask(doing: str) -> BaseException:
        try:
            raise KeyError(doing)
        except KeyError:
            with pytest.raises(TokenError) as raised:
                await manager.get()
        return raised.value

    doing = [str(number) for number in range(20)]
    errors = await asyncio.gather(*map(ask, doing))
    assert [error.__context__ and error.__context__.args[0] for error in errors] == doing
    assert all(error.__cause__ is cause for error in errors)


class Stubborn(TokenError):
    """An error that does not let itself be copied."""

    __slots__ = ("code",)

    def __new__(cls, code: int) -> Stubborn:
        return super().__new__(cls, code)

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


async def test_an_error_of_somebody_else_s_class_is_handed_on_as_it_is(clock: FakeClock) -> None:
    """It may hold what cannot be copied. While it backs off, its words are all there is."""
    manager = Fetching(clock, *[Stubborn(7)] * 3)
    for _ in range(3):
        for error in await asyncio.gather(manager.get(), manager.get(), return_exceptions=True):
            assert isinstance(error, Stubborn)
            assert error.code == 7
    with pytest.raises(TokenError, match=r"code 7.*not before"):
        await manager.get()


async def test_a_failure_that_nobody_waited_for_complains_of_nothing(clock: FakeClock) -> None:
    """No exception that "was never retrieved"; warnings are errors here."""
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    manager = Fetching(clock, TokenError("no luck"))
    caller = asyncio.create_task(manager.get())
    await turns(1)
    caller.cancel()
    await until(lambda: manager._cache.flights.current is None)
    del caller
    gc.collect()
    assert not complaints


async def test_the_work_is_not_part_of_the_first_callers_context(clock: FakeClock) -> None:
    """A request id, a span, a database session: the token is everybody's."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    seen: list[str] = []

    class Looking(Fetching):
        async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
            seen.append(variable.get())
            return await super().fetch_token(previous)

    variable.set("the first caller's")
    await Looking(clock).get()
    assert seen == ["unset"]


async def test_a_cancelled_error_of_the_work_itself_reaches_its_waiters_as_a_token_error(
    clock: FakeClock,
) -> None:
    """They were not cancelled; something that the flow used was."""
    manager = Fetching(clock, asyncio.CancelledError())
    with pytest.raises(TokenError, match="cancelled"):
        await manager.get()
    assert await manager.get_token() == "token-2"


async def test_reset_token_replaces_a_token_that_is_still_good(
    server: AuthorizationServer,
) -> None:
    """Ten at a time cost one token request."""
    async with manager_for(server) as manager:
        first = await manager.get_token()
        await asyncio.gather(*(manager.reset_token() for _ in range(10)))
        assert await manager.get_token() != first
        assert server.token_requests == 2


async def test_a_crowd_that_leaves_at_once_does_not_stop_the_loop(clock: FakeClock) -> None:
    """Nobody hangs on the task itself: each who left that would cost a walk over all the others."""
    manager = Fetching(clock)
    manager.gate = asyncio.Event()
    crowd = [asyncio.create_task(manager.get()) for _ in range(CROWD)]
    await turns(3)
    flight = manager._cache.flights.current
    assert flight is not None
    assert flight.task is not None
    assert len(vars_of(flight.task, "_callbacks")) == 1
    for task in crowd:
        task.cancel()
    await asyncio.wait(crowd)
    manager.gate.set()
    await until(lambda: manager._cache.flights.current is None)
    assert len(manager.fetches) == 1


def vars_of(task: asyncio.Task[Any], name: str) -> list[Any]:
    """What the interpreter's own Task tells of itself, and no type says."""
    return list(getattr(task, name) or ())


class SignIn(Fetching):
    """A flow in which a person takes part, and that is slow to clear up after itself."""

    interactive: ClassVar[bool] = True
    open = 0

    async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
        assert self.open == 0, "two sign-ins at a time"
        self.open += 1
        try:
            return await super().fetch_token(previous)
        finally:
            await turns(50)
            self.open -= 1


async def test_a_sign_in_that_nobody_waits_for_ends_before_the_next_begins(
    clock: FakeClock,
) -> None:
    """However often that is given up, too; and before the manager is closed."""
    manager = SignIn(clock)
    manager.gate = asyncio.Event()
    for _ in range(4):
        caller = asyncio.create_task(manager.get())
        await turns(5)
        caller.cancel()
        await turns(5)
    assert manager.open == 1
    late = asyncio.create_task(manager.get_token())
    manager.gate.set()
    assert await late == "token-2"
    await manager.close()
    assert manager.open == 0


async def test_a_sign_in_that_is_being_given_up_ends_before_the_manager_is_closed(
    clock: FakeClock,
) -> None:
    """Nothing is pending afterwards, with a second one in line or without."""
    for callers in (1, 2, 3):
        manager = SignIn(clock)
        manager.gate = asyncio.Event()
        for _ in range(callers):
            caller = asyncio.create_task(manager.get())
            await turns(5)
            caller.cancel()
            await turns(2)
        await manager.close()
        assert manager.open == 0
        assert len(asyncio.all_tasks()) == 1


async def test_an_abandoned_flight_is_cancelled_with_its_last_joiner() -> None:
    """Somebody signing in is of no use when nobody waits any more."""
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    flight = Flight(work())
    flight.asking = True
    joiners = [asyncio.create_task(flight.join()) for _ in range(2)]
    await turns(2)
    joiners[0].cancel()
    await turns(3)
    assert flight.running
    joiners[1].cancel()
    await ended.wait()
    assert not flight.running
    await asyncio.wait(joiners)


async def test_a_late_401_is_not_answered_with_a_token_that_has_expired(clock: FakeClock) -> None:
    """Somebody has replaced the rejected one, and that is over by now."""
    manager = Fetching(clock)
    first = await manager.get()
    await manager.reset_token()
    clock.advance(3600)
    assert (await manager.renew(first)).access_token == "token-3"
