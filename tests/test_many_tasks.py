"""Many tasks and one token: a herd, a revocation, callers that leave."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from clients import arrived, bearer, client_of, status_of
from fakes import FakeClock

from aioalf import Client, TokenError, TokenErrorResponse
from aioalf.testing import AuthorizationServer

MANY = 1000


async def statuses(client: Client, url: str, count: int = MANY) -> list[int]:
    """What so many requests at once are answered with."""
    return await asyncio.gather(*(status_of(client, url) for _ in range(count)))


async def test_a_thousand_cold_requests_cost_one_token_request(
    server: AuthorizationServer,
) -> None:
    """All wait for the one, and all get its token."""
    server.latency = 0.05
    async with client_of(server) as client:
        assert await statuses(client, server.resource) == [200] * MANY
    assert (server.token_requests, server.rejections) == (1, 0)


@pytest.mark.parametrize("single_valid", [False, True], ids=["plain", "each kills the last"])
async def test_a_thousand_requests_after_a_revocation_cost_one_token_request(
    single_valid: bool, server: AuthorizationServer
) -> None:
    """And 1,000 answers 200, "also when each new token kills the one before"."""
    server.single_valid = single_valid
    async with client_of(server) as client:
        await status_of(client, server.resource)
        server.revoke_all()
        assert await statuses(client, server.resource) == [200] * MANY
    assert server.token_requests == 2
    assert len({header for request in arrived(server) for header in bearer(request)}) == 2


async def test_so_they_do_where_the_401_carries_a_mebibyte(server: AuthorizationServer) -> None:
    """Through a pool of 20: no deadlock, one renewal, and what is read of each 401 is bounded."""
    server.keep_log = False
    server.rejection_body = b"x" * 2**20
    async with client_of(server, connector=aiohttp.TCPConnector(limit=20)) as client:
        await status_of(client, server.resource)
        server.revoke_all()
        assert await statuses(client, server.resource) == [200] * MANY
    assert server.token_requests == 2
    assert 1 <= server.rejections <= MANY


async def test_so_they_do_through_a_single_connection(server: AuthorizationServer) -> None:
    """A pool whose every place waits on a 401 would be a deadlock."""
    async with client_of(server, connector=aiohttp.TCPConnector(limit=1)) as client:
        await status_of(client, server.resource)
        server.revoke_all()
        assert await statuses(client, server.resource, 100) == [200] * 100
    assert server.token_requests == 2


async def test_a_caller_that_is_cancelled_takes_nothing_from_the_others(
    server: AuthorizationServer,
) -> None:
    """Be it the one that began the token request."""
    server.latency = 0.05
    async with client_of(server) as client:
        first = asyncio.ensure_future(status_of(client, server.resource))
        await server.wait_until(lambda: server.token_requests == 1)
        others = [asyncio.ensure_future(status_of(client, server.resource)) for _ in range(10)]
        await asyncio.sleep(0)
        first.cancel()
        assert await asyncio.gather(*others) == [200] * 10
        with pytest.raises(asyncio.CancelledError):
            await first
    assert server.token_requests == 1


async def test_a_caller_that_times_out_takes_nothing_from_the_others(
    server: AuthorizationServer,
) -> None:
    """Its own time is up, not the renewal's."""
    server.latency = 0.1
    async with client_of(server) as client:
        waiting = asyncio.ensure_future(status_of(client, server.resource))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(status_of(client, server.resource), 0.02)
        assert await waiting == 200
    assert server.token_requests == 1


async def test_the_result_is_kept_even_if_every_caller_has_left(
    server: AuthorizationServer,
) -> None:
    """The next request finds the token, or waits for the same token request."""
    server.latency = 0.05
    async with client_of(server) as client:
        callers = [asyncio.ensure_future(status_of(client, server.resource)) for _ in range(10)]
        await server.wait_until(lambda: server.token_requests == 1)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        assert server.resource_requests == 0
        assert await status_of(client, server.resource) == 200
    assert server.token_requests == 1


async def test_callers_that_leave_during_a_renewal_after_a_401_lose_nothing(
    server: AuthorizationServer,
) -> None:
    """Nor do they leave a connection behind."""
    async with client_of(server, connector=aiohttp.TCPConnector(limit=2)) as client:
        await status_of(client, server.resource)
        server.revoke_all()
        server.latency = 0.05
        callers = [asyncio.ensure_future(status_of(client, server.resource)) for _ in range(10)]
        await server.wait_until(lambda: server.token_requests == 2)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        assert await statuses(client, server.resource, 10) == [200] * 10
    assert server.token_requests == 2


async def test_a_failure_is_handed_to_all_who_wait_and_the_next_call_tries_afresh(
    server: AuthorizationServer,
) -> None:
    """One token request for all of them, failed or not."""
    server.answer_next(500, delay=0.05)
    server.answer_next(200, body="nonsense", delay=0.05)
    async with client_of(server) as client:
        answers = await asyncio.gather(*(client.get(server.resource) for _ in range(50)))
        assert all(isinstance(answer, TokenErrorResponse) for answer in answers)
        errors = await asyncio.gather(
            *(client.get(server.resource) for _ in range(50)), return_exceptions=True
        )
        assert all(isinstance(error, TokenError) for error in errors)
        assert await status_of(client, server.resource) == 200
    assert (server.token_requests, server.resource_requests) == (3, 1)


async def test_steady_traffic_across_an_expiry_never_waits_and_never_sees_a_401(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Near its end the token is served while one background task renews it."""
    server.time, server.token_lifetime, server.latency = clock.time, 100.0, 0.02
    async with client_of(server, clock=clock) as client:
        await status_of(client, server.resource)
        for life in range(1, 5):
            old = await client.token_manager.get()
            clock.advance(80)  # within the wide margin, not yet within the thin one
            assert await statuses(client, server.resource, 20) == [200] * 20
            used = {header for request in arrived(server)[-20:] for header in bearer(request)}
            assert used == {f"Bearer {old.access_token}"}  # not one of them has waited
            while (await client.token_manager.get()) is old:
                await asyncio.sleep(0.001)
            assert server.token_requests == life + 1
    assert server.rejections == 0


async def test_a_fresh_token_costs_no_lock_no_task_and_no_turn_of_the_loop(
    server: AuthorizationServer,
) -> None:
    """Asking for it ends without having waited once."""
    async with client_of(server) as client:
        await status_of(client, server.resource)
        tasks = asyncio.all_tasks()
        asking = client.token_manager.get()
        with pytest.raises(StopIteration):
            asking.send(None)
        assert asyncio.all_tasks() == tasks
