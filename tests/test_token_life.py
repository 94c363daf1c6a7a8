"""When a token is handed out, when it is renewed, and by which of the two clocks."""

from __future__ import annotations

import asyncio
import math

import pytest
from fakes import FakeClock
from managing import Fetching, at_once, manager_for

from aioalf.backoff import backoff
from aioalf.testing import AuthorizationServer
from aioalf.token import CachedToken, Token, issued_later

NOW = 1_700_000_000.0


def held(
    lifetime: float | None,
    margin: float = 10.0,
    ahead: float = 60.0,
    *,
    clock: FakeClock | None = None,
) -> CachedToken:
    """A token of that life, given now."""
    clock = clock or FakeClock(time=NOW)
    expires_at = None if lifetime is None else NOW + lifetime
    return CachedToken(Token("t", lifetime, expires_at=expires_at), clock, margin, ahead)


@pytest.mark.parametrize(
    ("lifetime", "margin", "ahead", "due", "gone"),
    [
        (3600, 10, 60, 3530, 3590),
        (600, 10, 60, 530, 590),
        (100, 10, 60, 65, 90),  # a tenth is the margin, a quarter the time to renew ahead
        (10, 10, 60, 6.5, 9),
        (2, 10, 60, 1.3, 1.8),
        (0.5, 10, 60, 0.325, 0.45),
        (3600, 0, 60, 3540, 3600),
        (3600, 10, 0, 3590, 3590),
        (3600, 0, 0, 3600, 3600),
        (100, 1000, 1000, 65, 90),
    ],
)
@pytest.mark.parametrize("step", ["advance", "jump_wall", "jump_monotonic"])
def test_a_token_is_fresh_then_stale_then_expired(
    lifetime: float, margin: float, ahead: float, due: float, gone: float, step: str
) -> None:
    """At the moment itself it is; a moment before it is not. Either clock is enough."""

    def at(seconds: float) -> tuple[bool, bool, bool]:
        clock = FakeClock(time=NOW)
        token = held(lifetime, margin, ahead, clock=clock)
        getattr(clock, step)(seconds)
        return not token.is_stale(), token.is_stale(), not token.is_expired()

    assert at(0) == (True, False, True)
    assert at(due - 0.001) == (True, False, True)
    assert at(due + 0.001) == (False, True, due != gone)
    assert at(gone - 0.001)[2] is True
    assert at(gone + 0.001) == (False, True, False)


def test_the_edges_belong_to_what_follows() -> None:
    """At the very moment that a state begins, it is there already."""
    clock = FakeClock(time=NOW)
    token = held(64, margin=4, ahead=16, clock=clock)  # sums that a float holds exactly
    clock.advance(44)
    assert token.is_stale()
    clock.advance(15.75)
    assert not token.is_expired()
    clock.advance(0.25)
    assert token.is_expired()


@pytest.mark.parametrize("lifetime", [0, -1, -3600])
def test_a_life_of_nothing_is_over_at_once(lifetime: float) -> None:
    """RFC 6749 section 5.1 does not forbid it."""
    assert held(lifetime).is_expired()


def test_a_token_of_unknown_life_is_never_stale() -> None:
    """Section 5.1: expires_in is only recommended. It is used until a 401."""
    clock = FakeClock(time=NOW)
    token = held(None, clock=clock)
    clock.advance(1e10)
    assert not token.is_expired()
    assert not token.is_stale()


def test_a_token_given_before_the_clock_was_set_back_lives_no_longer_for_that() -> None:
    """Stored with an expiry in absolute UTC, loaded when it is an hour earlier again."""
    clock = FakeClock(time=NOW - 3600)
    token = CachedToken(Token("t", 600, expires_at=NOW + 600), clock, 10, 60)
    clock.advance(589)
    assert not token.is_expired()
    clock.advance(2)
    assert token.is_expired()


def test_a_token_whose_length_of_life_is_not_known_is_judged_by_what_is_left() -> None:
    """Of a stored token only the expiry may be known."""
    clock = FakeClock(time=NOW)
    token = CachedToken(Token("t", None, expires_at=NOW + 100), clock, 10, 60)
    clock.advance(89)
    assert not token.is_expired()
    clock.advance(2)
    assert token.is_expired()


@pytest.mark.parametrize(
    ("failures", "longest"),
    [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30), (10_000, 30)],
)
def test_back_off_doubles_from_a_second_to_thirty_with_jitter(
    failures: int, longest: float
) -> None:
    """At most a quarter less, so that a fleet does not come back in step."""
    waits = [backoff(failures) for _ in range(200)]
    assert 0.75 * longest <= min(waits) < max(waits) <= longest


@pytest.mark.parametrize(
    ("asked", "wait"), [(0.0, 0.0), (17.0, 17.0), (600.0, 600.0), (1e9, 600.0)]
)
def test_a_server_may_ask_for_up_to_ten_minutes(asked: float, wait: float) -> None:
    """RFC 9110 section 10.2.3; more than that is a mistake, or an outage that may end sooner."""
    assert backoff(3, asked) == wait


@pytest.mark.parametrize(
    ("one", "other", "later"),
    [(2, 1, True), (1, 2, False), (1, 1, False), (None, 1, True), (1, None, False)],
)
def test_of_two_tokens_the_newer_expires_later_where_nothing_else_is_known(
    one: float | None, other: float | None, later: bool
) -> None:
    """An unknown life has no end."""
    assert (
        issued_later(Token("a", None, expires_at=one), Token("b", None, expires_at=other)) is later
    )
    assert issued_later(Token("a", None, expires_at=one), Token("b", 60, expires_at=other)) is later
    unknown = Token("c", None)
    assert not issued_later(unknown, unknown)


@pytest.mark.parametrize(
    ("one", "other", "later"),
    [((60, 162), (120, 220), True), ((120, 220), (60, 162), False), ((60, 160), (120, 220), False)],
)
def test_the_newer_of_two_tokens_may_be_the_first_to_expire(
    one: tuple[int, int], other: tuple[int, int], later: bool
) -> None:
    """A server may give each token another life: it counts when each was given."""
    first = Token("a", one[0], expires_at=one[1])
    assert issued_later(first, Token("b", other[0], expires_at=other[1])) is later


# A manager and its clocks


async def test_a_fresh_token_costs_no_lock_no_task_and_no_turn_of_the_loop(
    clock: FakeClock,
) -> None:
    """The hot path is a look at two clocks."""
    manager = Fetching(clock)
    token = await manager.get()
    tasks = asyncio.all_tasks()
    assert at_once(manager.get()) is token
    assert at_once(manager.get_token()) == "token-1"
    assert asyncio.all_tasks() == tasks
    assert len(manager.fetches) == 1


async def test_a_token_is_kept_until_it_expires_and_then_replaced(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """`expires_in` counts from the answer on."""
    manager = manager_for(server, clock, renewal_margin=0)
    first = await manager.get_token()
    clock.advance(3589)
    assert await manager.get_token() == first
    assert server.accepts(first)
    clock.advance(2)
    second = await manager.get_token()
    assert second != first
    assert server.token_requests == 2


async def test_a_token_of_ten_seconds_is_not_always_expired(clock: FakeClock) -> None:
    """The margin of ten seconds is never more than a tenth of a life."""
    manager = Fetching(clock, {"access_token": "short", "expires_in": 10})
    await manager.get()
    for _ in range(6):
        clock.advance(1)
        assert at_once(manager.get_token()) == "short"
    assert len(manager.fetches) == 1


@pytest.mark.parametrize("lifetime", [0, "0", -5])
async def test_a_token_that_lives_no_time_serves_those_who_waited_and_no_more(
    lifetime: object, clock: FakeClock
) -> None:
    """The next call makes the next token request."""
    manager = Fetching(clock)
    manager.answers = [{"access_token": f"t{n}", "expires_in": lifetime} for n in range(3)]
    assert await asyncio.gather(*(manager.get_token() for _ in range(10))) == ["t0"] * 10
    assert len(manager.fetches) == 1
    assert await manager.get_token() == "t1"
    assert await manager.get_token() == "t2"
    assert len(manager.fetches) == 3


@pytest.mark.parametrize("response", [{}, {"expires_in": None}, {"expires_in": "soon"}])
async def test_a_token_of_unknown_life_is_used_until_it_is_rejected(
    response: dict[str, object], clock: FakeClock
) -> None:
    """No hint, or one that cannot be read, throws no good token away."""
    manager = Fetching(clock, {"access_token": "endless", **response})
    token = await manager.get()
    clock.advance(10 * 365 * 86400)
    assert at_once(manager.get()) is token
    assert (await manager.renew(token)).access_token == "token-2"


@pytest.mark.parametrize("hours", [1, -1])
@pytest.mark.parametrize("ahead", [0.0, 60.0])
async def test_a_wall_clock_that_jumps_an_hour_costs_at_most_one_renewal(
    hours: int, ahead: float, clock: FakeClock
) -> None:
    """However often it is asked afterwards, for the rest of the token's life."""
    manager = Fetching(clock, renewal_margin=ahead)
    await manager.get()
    clock.jump_wall(hours * 3600)
    for _ in range(100):
        clock.advance(30)
        await manager.get()
    assert len(manager.fetches) <= 2


async def test_a_wall_clock_set_back_makes_no_token_live_longer(clock: FakeClock) -> None:
    """The monotonic clock knows better."""
    manager = Fetching(clock, renewal_margin=0)
    first = await manager.get()
    clock.jump_wall(-3600)
    clock.advance(3589)
    assert await manager.get() is first
    clock.advance(2)
    assert await manager.get() is not first


async def test_a_machine_that_was_suspended_renews_by_the_wall_clock(clock: FakeClock) -> None:
    """The monotonic clock may stand still meanwhile."""
    manager = Fetching(clock)
    first = await manager.get()
    clock.jump_wall(8 * 3600)
    assert await manager.get() is not first
    assert len(manager.fetches) == 2


async def test_an_hour_there_and_back_costs_at_most_two_renewals(clock: FakeClock) -> None:
    """One for each step."""
    manager = Fetching(clock)
    await manager.get()
    for step in (3600, -3600):
        clock.jump_wall(step)
        for _ in range(10):
            await manager.get()
            clock.advance(1)
    assert len(manager.fetches) <= 3


def test_no_moment_of_a_token_of_unknown_life_is_a_number_that_can_be_reached() -> None:
    """Not even by a clock that counts from the beginning of the world."""
    clock = FakeClock(math.floor(1e300), 1e300)
    assert not held(None, clock=clock).is_expired()
