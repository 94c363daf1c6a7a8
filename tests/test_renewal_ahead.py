"""Near its end a token is served while one background task renews it."""

from __future__ import annotations

import asyncio
import logging
from typing import ClassVar

import pytest
from fakes import FakeClock
from managing import Fetching, at_once, manager_for, turns, until

from aioalf.errors import TokenError
from aioalf.testing import AuthorizationServer

DUE = 3535.0  # seconds into the life of a token of an hour: due, and still handed out


async def test_near_its_end_the_token_is_served_while_it_is_renewed_once(
    clock: FakeClock,
) -> None:
    """A thousand callers cost one token request and no turn of the loop."""
    manager = Fetching(clock)
    first = await manager.get()
    clock.advance(DUE)
    for _ in range(1000):
        assert at_once(manager.get()) is first
    await until(lambda: len(manager.fetches) == 2)
    await turns(3)
    assert at_once(manager.get_token()) == "token-2"
    assert len(manager.fetches) == 2


async def test_an_idle_client_makes_no_traffic(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """There is no timer: a token that nobody asks for is not renewed."""
    manager = manager_for(server, clock)
    await manager.get()
    clock.advance(DUE)
    await turns(20)
    assert server.token_requests == 1
    assert len(asyncio.all_tasks()) <= 3


async def test_if_renewal_ahead_fails_the_old_token_is_served_until_it_expires(
    server: AuthorizationServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """And then the error is the caller's. The outage is in the log."""
    async with manager_for(server, clock) as manager:
        first = await manager.get()
        server.answer_next(503, body="down", times=1000)
        clock.advance(DUE)
        while clock.monotonic() < 1000 + 3589:
            assert await manager.get() is first
            await until(lambda: manager._cache.flights.current is None)
            clock.advance(1)
        assert server.accepts(first.access_token)
        # Two for nothing, then one after 1, 2, 4, 8, 16 and up to 30 seconds.
        assert 1 + 5 <= server.token_requests <= 1 + 9
        clock.advance(60)
        with pytest.raises(TokenError, match="503"):
            await manager.get()
        server.clear_next()
        clock.advance(60)
        assert (await manager.get()) is not first
    assert f"No token: the token endpoint {server.token_endpoint} answered 503" in caplog.text


async def test_a_renewal_ahead_that_fails_once_is_tried_again_by_the_next_call(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure disturbs nobody and is logged at WARNING."""
    manager = Fetching(clock)
    first = await manager.get()
    manager.answers = [TokenError("a passing cloud")]
    clock.advance(DUE)
    assert at_once(manager.get()) is first
    await until(lambda: manager._cache.flights.current is None)
    assert at_once(manager.get()) is first
    await until(lambda: manager._cache.flights.current is None)
    assert at_once(manager.get_token()) == "token-3"
    assert [r.levelno for r in caplog.records if "passing cloud" in r.message] == [logging.WARNING]


@pytest.mark.parametrize(
    ("lifetime", "takes"), [(2.0, 100), (10.0, 100), (60.0, 100), (3600.0, 15)]
)
async def test_steady_traffic_never_waits_for_a_token(
    lifetime: float, takes: int, clock: FakeClock
) -> None:
    """After the first, over ten lives of a token; its requests take up to a tenth of a life."""
    manager = Fetching(clock, takes=takes)
    manager.answers = [{"access_token": f"t{n}", "expires_in": lifetime} for n in range(40)]
    await manager.get()
    seen = set()
    for _ in range(10_000):
        clock.advance(lifetime / 1000)
        token = at_once(manager.get())
        assert token.expires_at is not None
        assert clock.time() < token.expires_at
        seen.add(token.access_token)
        await asyncio.sleep(0)
    assert 10 <= len(seen) <= 16
    assert len(manager.fetches) - len(seen) <= 1
    await until(lambda: manager._cache.flights.current is None)


async def test_whoever_comes_after_its_end_waits_for_the_renewal_that_has_begun(
    clock: FakeClock,
) -> None:
    """A renewal ahead that takes too long is joined, not doubled."""
    manager = Fetching(clock)
    await manager.get()
    manager.gate = asyncio.Event()
    clock.advance(DUE)
    at_once(manager.get())
    clock.advance(3600)
    late = [asyncio.create_task(manager.get_token()) for _ in range(5)]
    await turns(5)
    assert not any(task.done() for task in late)
    manager.gate.set()
    assert await asyncio.gather(*late) == ["token-2"] * 5
    assert len(manager.fetches) == 2


async def test_a_401_during_a_renewal_ahead_joins_it(clock: FakeClock) -> None:
    """One token request for both reasons."""
    manager = Fetching(clock)
    first = await manager.get()
    clock.advance(DUE)
    at_once(manager.get())
    assert (await manager.renew(first)).access_token == "token-2"
    assert len(manager.fetches) == 2


async def test_with_a_margin_of_nothing_a_token_is_not_renewed_ahead(clock: FakeClock) -> None:
    """It is replaced when it has expired."""
    manager = Fetching(clock, renewal_margin=0)
    first = await manager.get()
    clock.advance(3589)
    assert at_once(manager.get()) is first
    await turns(5)
    assert len(manager.fetches) == 1
    clock.advance(2)
    assert await manager.get() is not first


class Interactive(Fetching):
    """A flow in which a person takes part."""

    interactive: ClassVar[bool] = True


async def test_an_interactive_flow_is_never_renewed_ahead(clock: FakeClock) -> None:
    """Nobody is asked to sign in while the last sign-in still serves."""
    manager = Interactive(clock)
    first = await manager.get()
    clock.advance(3589)
    assert at_once(manager.get()) is first
    await turns(5)
    assert len(manager.fetches) == 1


async def test_an_interactive_flow_is_not_renewed_behind_a_401(clock: FakeClock) -> None:
    """The next call asks, and only that: there somebody waits."""
    manager = Interactive(clock)
    first = await manager.get()
    manager.report_accepted(first)
    manager.renew_in_background(first)
    await turns(5)
    assert len(manager.fetches) == 1
    assert (await manager.get()).access_token == "token-2"


async def test_a_renewal_behind_a_401_serves_the_next_call(clock: FakeClock) -> None:
    """Nobody waits for it; reported a hundred times, the token is renewed once."""
    manager = Fetching(clock)
    first = await manager.get()
    for _ in range(100):
        manager.renew_in_background(first)
    await until(lambda: manager._cache.flights.current is None)
    manager.renew_in_background(first)
    assert at_once(manager.get_token()) == "token-2"
    assert len(manager.fetches) == 2


async def test_a_401_opens_at_most_one_window_a_minute(clock: FakeClock) -> None:
    """Also if an API has accepted the token: another one that rejects it says 401 and means 403."""
    manager = Interactive(clock)
    first = await manager.get()
    manager.report_accepted(first)
    second = await manager.renew(first)
    assert second.access_token == "token-2"
    manager.report_accepted(second)
    clock.advance(59)
    assert manager.renewal_blocked(second)
    clock.advance(2)
    assert (await manager.renew(second)).access_token == "token-3"


async def test_a_sign_in_that_no_api_has_accepted_yet_is_not_asked_for_again(
    clock: FakeClock,
) -> None:
    """An API that takes no token at all opens no second window within a minute."""
    manager = Interactive(clock)
    first = await manager.get()
    assert manager.peek() is None  # so that the first answer is reported
    assert manager.renewal_blocked(first)
    clock.advance(61)
    assert not manager.renewal_blocked(first)


async def test_a_sign_in_that_was_demanded_is_not_held_against_the_next_401(
    clock: FakeClock,
) -> None:
    """`reset_token` is the program's own wish; what an API accepted may be revoked after it."""
    manager = Interactive(clock)
    await manager.get()
    await manager.reset_token()
    second = await manager.get()
    manager.report_accepted(second)
    assert manager.peek() is second
    assert not manager.renewal_blocked(second)
