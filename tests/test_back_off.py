"""What does not help backs off: a token endpoint that fails, and new tokens that are rejected."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator
from email.utils import formatdate

import pytest
from fakes import FakeClock
from managing import Fetching, at_once, manager_for, until
from storages import OneSlot

from aioalf.client import Client
from aioalf.errors import AuthorizationError, TokenError, TokenHTTPError
from aioalf.renewal.circuit_breaker import CircuitBreaker
from aioalf.testing import AuthorizationServer
from aioalf.token import Token

OUTAGE = 10_000  # requests


async def fail(manager: Fetching) -> TokenError:
    """The error that a call gets now."""
    with pytest.raises(TokenError) as caught:
        await manager.get()
    return caught.value


def broken(clock: FakeClock, error: BaseException | None = None) -> Fetching:
    """A manager whose token requests all fail."""
    return Fetching(clock, *[error or TokenError("No answer")] * 1000)


async def test_from_the_third_failure_in_a_row_the_next_attempt_waits(clock: FakeClock) -> None:
    """1 s doubling to 30 s, less a quarter at most; before that each call tries afresh."""
    manager = broken(clock)
    for number in (1, 2, 3):
        assert str(await fail(manager)) == "No answer"
        assert len(manager.fetches) == number
    for wait in (1, 2, 4, 8, 16, 30, 30, 30):
        asked = len(manager.fetches)
        clock.advance(0.74 * wait)
        assert "not before" in str(await fail(manager))
        assert len(manager.fetches) == asked
        clock.advance(0.27 * wait)
        assert str(await fail(manager)) == "No answer"
        assert len(manager.fetches) == asked + 1


async def test_the_error_and_the_log_say_until_when(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """In UTC, on the wall clock."""
    manager = broken(clock)  # it stands at 22:13:20 UTC
    manager.answers = [TokenHTTPError("Down", 503, "", retry_after=40.0)]
    await fail(manager)
    error = await fail(manager)
    assert "22:14:00 UTC" in str(error)
    logged = [record.getMessage() for record in caplog.records if record.name == "aioalf"]
    assert ["22:14:00 UTC" in line for line in logged] == [True]


async def test_meanwhile_callers_get_the_last_error_at_once_each_their_own(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Of the same class, with all that it tells; the traceback of one is not that of all."""
    server.answer_next(400, body='{"error": "invalid_scope"}', times=OUTAGE)
    async with manager_for(server, clock) as manager:
        for _ in range(3):
            with pytest.raises(TokenHTTPError):
                await manager.get()
        errors = await asyncio.gather(*(manager.get() for _ in range(50)), return_exceptions=True)
        assert server.token_requests == 3
    assert len({id(error) for error in errors}) == 50
    for error in errors:
        assert isinstance(error, TokenHTTPError)
        assert error.response_status == 400
        assert error.error == "invalid_scope"
        assert error.response is not None
        assert await error.response.read() == b'{"error": "invalid_scope"}'
        assert "not before" in str(error)
        assert len(traceback.extract_tb(error.__traceback__)) < 10


async def test_of_those_who_waited_for_the_third_failure_each_gets_it_as_it_is(
    clock: FakeClock,
) -> None:
    """Backing off begins after it."""
    manager = broken(clock)
    for _ in range(3):
        errors = await asyncio.gather(*(manager.get() for _ in range(5)), return_exceptions=True)
        assert [str(error) for error in errors] == ["No answer"] * 5
    assert len(manager.fetches) == 3
    assert "not before" in str(await fail(manager))


@pytest.mark.parametrize(("said", "wait"), [("17", 17), ("120", 120), ("86400", 600)])
async def test_retry_after_is_honoured_from_the_first_failure_on(
    said: str, wait: float, server: AuthorizationServer, clock: FakeClock
) -> None:
    """RFC 9110 section 10.2.3; a server that asks for more than ten minutes is asked again after these."""
    server.answer_next(429, {"Retry-After": said}, times=OUTAGE)
    async with manager_for(server, clock) as manager:
        for _ in range(5):
            with pytest.raises(TokenHTTPError):
                await manager.get()
        assert server.token_requests == 1
        clock.advance(wait - 1)
        with pytest.raises(TokenHTTPError):
            await manager.get()
        assert server.token_requests == 1
        clock.advance(1)
        with pytest.raises(TokenHTTPError):
            await manager.get()
        assert server.token_requests == 2


@pytest.mark.parametrize("said", ["0", "soon"])
async def test_a_retry_after_that_says_nothing_is_no_leave_to_hammer(
    said: str, server: AuthorizationServer, clock: FakeClock
) -> None:
    """From the third failure on the next attempt waits all the same."""
    server.answer_next(429, {"Retry-After": said}, times=OUTAGE)
    async with manager_for(server, clock) as manager:
        for asked in (1, 2, 3, 3, 3):
            with pytest.raises(TokenHTTPError):
                await manager.get()
            assert server.token_requests == asked


async def test_retry_after_may_be_a_date(server: AuthorizationServer, clock: FakeClock) -> None:
    """In the wall clock's time."""
    date = formatdate(clock.time() + 20, usegmt=True)
    server.answer_next(503, {"Retry-After": date}, times=OUTAGE)
    async with manager_for(server, clock) as manager:
        for seconds, asked in ((0, 1), (19, 1), (1, 2)):
            clock.advance(seconds)
            with pytest.raises(TokenHTTPError):
                await manager.get()
            assert server.token_requests == asked


async def test_a_success_ends_the_row(clock: FakeClock) -> None:
    """The failures before it count no more."""
    manager = Fetching(clock)
    for _ in range(5):
        manager.answers = [TokenError("one"), TokenError("two")]
        for _ in range(2):
            await fail(manager)
        await manager.get()
        clock.advance(3600)


async def test_any_failure_counts_also_one_of_a_subclass(clock: FakeClock) -> None:
    """It is raised as it is; while it backs off, as a `TokenError` that names it."""
    manager = broken(clock, ZeroDivisionError("a token-s3cr3t"))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await manager.get()
    error = await fail(manager)
    assert str(error).startswith("No token: ZeroDivisionError; the next attempt")
    assert "s3cr3t" not in str(error)


class OddError(TokenError):
    """A subclass of somebody's, whose constructor takes something else."""

    def __init__(self, *, status: int) -> None:
        super().__init__(f"odd {status}")
        self.status = status


async def test_an_error_of_somebodys_own_class_stays_one(clock: FakeClock) -> None:
    """With its attributes, whatever its constructor takes."""
    manager = broken(clock, OddError(status=7))
    for _ in range(3):
        await fail(manager)
    error = await fail(manager)
    assert isinstance(error, OddError)
    assert error.status == 7
    assert str(error).startswith("odd 7; the next attempt")


async def test_what_is_passed_on_by_another_manager_does_not_count(clock: FakeClock) -> None:
    """A flow that asks another manager: that one backs off already."""
    other = broken(clock)

    class Chained(Fetching):
        async def fetch_token(self, previous: Token | None) -> dict[str, object]:
            self.fetches.append(previous)
            return {"access_token": await other.get_token()}

    manager = Chained(clock)
    for _ in range(10):
        await fail(manager)
    assert len(other.fetches) == 3
    assert len(manager.fetches) == 3


async def test_a_refusal_by_the_person_is_remembered_for_a_minute(clock: FakeClock) -> None:
    """At the first time already, and until `reset_token`."""
    manager = broken(clock, AuthorizationError("Denied", error="access_denied"))
    await fail(manager)
    clock.advance(59)
    error = await fail(manager)
    assert isinstance(error, AuthorizationError)
    assert error.error == "access_denied"
    assert len(manager.fetches) == 1
    with pytest.raises(AuthorizationError):
        await manager.reset_token()
    assert len(manager.fetches) == 2
    clock.advance(61)
    await fail(manager)
    assert len(manager.fetches) == 3


async def test_reset_token_tries_at_once_whatever_was_held_against_it(clock: FakeClock) -> None:
    """Somebody has asked for it in so many words."""
    manager = broken(clock)
    for _ in range(3):
        await fail(manager)
    manager.answers.clear()
    await manager.reset_token()
    assert len(manager.fetches) == 4
    assert await manager.get_token() == "token-4"


async def test_an_outage_costs_one_token_request_at_a_time(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """A hundred requests wait, and all are answered in one round trip."""
    server.answer_next(503, times=OUTAGE)
    async with manager_for(server, clock) as manager:
        for asked in (1, 2, 3, 3, 3):
            gathered = asyncio.gather(*(manager.get() for _ in range(100)), return_exceptions=True)
            assert {type(error) for error in await gathered} == {TokenHTTPError}
            assert server.token_requests == asked


# Tokens that are rejected


def client_for(server: AuthorizationServer, clock: FakeClock) -> Client:
    """A client whose clock, and whose server's, is moved by hand."""
    server.time = clock.time
    return Client(server.client_id, server.client_secret, server.token_endpoint, clock=clock)


async def status(client: Client, server: AuthorizationServer) -> int:
    """How a request is answered."""
    async with client.get(server.resource) as response:
        return response.status


async def test_new_tokens_that_are_rejected_back_off_and_the_401_is_handed_on_at_once(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """An API that takes none of our tokens costs the token endpoint little, and callers nothing."""
    server.resource_answer_next(401, times=OUTAGE)
    async with client_for(server, clock) as client:
        assert await status(client, server) == 401
        assert (server.token_requests, server.resource_requests) == (2, 2)
        for wait in (1, 2, 4, 8, 16, 30, 30):
            requests = (server.token_requests, server.resource_requests)
            clock.advance(0.74 * wait)
            assert await status(client, server) == 401
            assert (server.token_requests, server.resource_requests) == (
                requests[0],
                requests[1] + 1,
            )
            clock.advance(0.27 * wait)
            assert await status(client, server) == 401
            assert server.token_requests == requests[0] + 1


async def test_a_hundred_tasks_whose_new_tokens_are_rejected_cost_two_token_requests(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The first token and the one after the 401."""
    server.resource_answer_next(401, times=OUTAGE)
    async with client_for(server, clock) as client:
        answers = await asyncio.gather(*(status(client, server) for _ in range(100)))
        assert set(answers) == {401}
        assert server.token_requests == 2


async def test_the_log_says_once_for_each_token_that_new_ones_are_rejected_too(
    server: AuthorizationServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A wrong audience is to be found in the log, and not to fill it."""
    server.resource_answer_next(401, times=OUTAGE)
    async with client_for(server, clock) as client:
        for _ in range(2):
            await asyncio.gather(*(status(client, server) for _ in range(50)))
            clock.advance(2)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 2
    assert all("rejects new tokens" in line and "not before 22:13:2" in line for line in said)


async def test_a_token_that_was_accepted_once_resets_the_back_off(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """A later revocation is renewed at once, as often as it comes."""
    async with client_for(server, clock) as client:
        for number in range(2, 8):
            assert await status(client, server) == 200
            server.revoke_all()
            assert await status(client, server) == 200
            assert server.token_requests == number


async def test_a_token_that_came_after_a_rejected_one_resets_it_too(clock: FakeClock) -> None:
    """Renewed ahead or not: what counts is that the API has taken it."""
    manager = Fetching(clock, *[{"access_token": f"t{n}", "expires_in": 5} for n in range(5)])
    first = await manager.get()
    second = await manager.renew(first)
    assert manager.renewal_blocked(second)
    clock.advance(5)
    third = await manager.get()  # because it has expired
    assert third is not second
    manager.report_accepted(third)
    fourth = await manager.renew(third)
    clock.advance(1.1)  # as long as after a first time
    assert not manager.renewal_blocked(fourth)


async def test_renew_raises_while_it_backs_off_and_says_until_when(clock: FakeClock) -> None:
    """For those who call the manager themselves."""
    manager = Fetching(clock)
    second = await manager.renew(await manager.get())
    with pytest.raises(TokenError, match=r"rejects new tokens.* not before 22:13:2\d UTC"):
        await manager.renew(second)
    assert len(manager.fetches) == 2
    await manager.reset_token()
    assert len(manager.fetches) == 3


async def test_a_renewal_that_runs_is_joined_also_while_it_backs_off(clock: FakeClock) -> None:
    """`renewal_blocked` says no, and `renew` keeps the promise."""
    manager = Fetching(clock, *[{"access_token": f"t{n}", "expires_in": 2} for n in range(4)])
    second = await manager.renew(await manager.get())
    clock.advance(1.1)
    third = await manager.renew(second)  # the next one not for 1.5 s at least
    clock.advance(1.4)
    assert manager.renewal_blocked(third)
    assert at_once(manager.get()) is third  # and is renewed ahead: it has 0.6 s to live
    assert not manager.renewal_blocked(third)
    assert (await manager.renew(third)).access_token == "t3"


async def test_a_401_while_the_token_endpoint_is_down_is_handed_on_at_once(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The first failures are told as such; from the third on there is nothing to wait for."""
    async with client_for(server, clock) as client:
        assert await status(client, server) == 200
        server.revoke_all()
        server.answer_next(503, times=OUTAGE)
        assert [await status(client, server) for _ in range(6)] == [503, 503, 503, 401, 401, 401]
        assert server.token_requests == 4


async def test_a_token_that_another_process_stored_is_not_held_against_the_next_renewal(
    clock: FakeClock,
) -> None:
    """Only a token that was fetched because of a 401, and rejected as well, backs off."""
    storage = OneSlot()
    one, two = (Fetching(clock, token_storage=storage) for _ in range(2))
    two.answers = [{"access_token": name, "expires_in": 3600} for name in ("other", "another")]
    first = await one.get()
    clock.advance(1)
    await two.reset_token()
    second = await one.renew(first)
    assert (second.access_token, len(one.fetches)) == ("other", 1)
    assert not one.renewal_blocked(second)
    assert (await one.renew(second)).access_token == "token-2"


async def test_a_token_that_reset_token_gave_is_replaced_at_once_when_it_is_rejected(
    clock: FakeClock,
) -> None:
    """What was held against those before it is forgotten."""
    manager = Fetching(clock)
    second = await manager.renew(await manager.get())
    assert manager.renewal_blocked(second)
    await manager.reset_token()
    third = await manager.get()
    assert not manager.renewal_blocked(third)
    assert (await manager.renew(third)).access_token == "token-4"


async def test_a_late_401_is_answered_with_the_token_that_is_there_whatever_backs_off(
    clock: FakeClock,
) -> None:
    """A request that took long was sent with an old token: no token request is needed for it."""
    manager = Fetching(clock)
    first = await manager.get()
    await manager.reset_token()
    second = await manager.get()
    manager.answers = [TokenError("down")] * 3
    clock.advance(3535)
    for _ in range(3):
        assert at_once(manager.get()) is second  # and is renewed ahead, in vain
        await until(lambda: manager._cache.flights.current is None)
    assert manager.renewal_blocked(second)
    assert not manager.renewal_blocked(first)
    assert at_once(manager.renew(first)) is second


async def test_a_token_renewed_in_the_background_is_replaced_after_a_second_at_the_earliest(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Any request may be the first to carry it, so its success proves little: a second is enough."""

    async def once() -> AsyncIterator[bytes]:
        yield b"there only once"

    async with client_for(server, clock) as client:
        assert await status(client, server) == 200
        server.revoke_all()
        async with client.post(server.resource, data=once()) as response:
            assert response.status == 401
        await until(lambda: client.token_manager._cache.flights.current is None)
        assert await status(client, server) == 200
        server.revoke_all()
        assert await status(client, server) == 401
        clock.advance(1)
        assert await status(client, server) == 200
        assert server.token_requests == 3


async def test_the_pause_after_a_401_doubles_though_other_resources_accept_the_token(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """It means 403. What other resources accept says nothing about it, and time alone ends the pause."""
    async with client_for(server, clock) as client:
        for _ in range(50):
            assert await status(client, server) == 200
            server.resource_answer_next(401, times=2)
            assert await status(client, server) == 401
            server.clear_next()
        assert server.token_requests == 2
        for wait in (1, 2, 4, 8, 16, 30, 30):
            clock.advance(wait)
            for _ in range(3):
                server.resource_answer_next(401, times=2)
                assert await status(client, server) == 401
                server.clear_next()
                assert await status(client, server) == 200
        assert server.token_requests == 2 + 7


async def test_a_renewal_that_helped_is_not_held_against_the_next(clock: FakeClock) -> None:
    """The request that was rejected was accepted with the new token: the old one was bad indeed."""
    manager = Fetching(clock)
    second = await manager.renew(await manager.get())
    assert manager.renewal_blocked(second)
    manager.report_accepted(second)  # by a request that no 401 has met
    assert manager.renewal_blocked(second)
    manager.report_accepted(second, resent=True)
    assert not manager.renewal_blocked(second)


async def test_a_renewal_behind_a_401_counts_as_one_because_of_it(clock: FakeClock) -> None:
    """An API that takes no token at all is not asked for new ones by uploads either."""
    manager = Fetching(clock)
    first = await manager.get()
    manager.renew_in_background(first)
    await until(lambda: manager._cache.flights.current is None)
    second = await manager.get()
    assert second.access_token == "token-2"
    assert manager.renewal_blocked(second)
    manager.renew_in_background(second)
    assert at_once(manager.get()) is second
    assert len(manager.fetches) == 2


async def test_what_is_passed_on_holds_up_nobody_after_the_other_s_wait(clock: FakeClock) -> None:
    """The flow that asks another manager has made no token request that failed."""
    other = Fetching(clock, AuthorizationError("Denied", error="access_denied"))

    class Chained(Fetching):
        async def fetch_token(self, previous: Token | None) -> dict[str, object]:
            return {"access_token": await other.get_token()}

    manager = Chained(clock)
    await fail(other)
    clock.advance(30)
    assert "not before" in str(await fail(manager))
    clock.advance(31)
    assert await manager.get_token() == "token-2"


async def test_a_token_that_came_all_the_same_ends_what_was_held_against_the_next(
    clock: FakeClock,
) -> None:
    """Two managers may share a breaker: one was refused while the other signed in."""
    breaker = CircuitBreaker(clock)
    breaker.record_failure(AuthorizationError("Denied", error="access_denied"))
    assert breaker.error_while_open() is not None
    breaker.record_success()
    assert breaker.error_while_open() is None


async def test_what_was_held_against_a_token_is_forgotten_also_where_reset_token_fails(
    clock: FakeClock,
) -> None:
    """The next 401 may try again, as after any first failure."""
    manager = Fetching(clock)
    second = await manager.renew(await manager.get())
    manager.answers = [TokenError("down")]
    with pytest.raises(TokenError, match="down"):
        await manager.reset_token()
    assert not manager.renewal_blocked(second)


async def test_reset_token_begins_a_row_of_failures_of_its_own(clock: FakeClock) -> None:
    """Those before it count no more; from the third on the next attempt waits."""
    manager = broken(clock)
    for _ in range(3):
        await fail(manager)
    with pytest.raises(TokenError, match=r"^No answer$"):
        await manager.reset_token()
    for _ in range(2):
        assert str(await fail(manager)) == "No answer"
    assert "not before" in str(await fail(manager))
