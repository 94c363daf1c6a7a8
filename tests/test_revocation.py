"""Signing out: tokens are revoked (RFC 7009), and forgotten whatever comes of that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakes import FakeClock
from managing import until
from oidc_server import OIDCServer
from storages import Broken

from aioalf import (
    Client,
    RefreshTokenManager,
    TokenError,
    TokenHTTPError,
    TokenManager,
    TokenStorage,
)
from aioalf.testing import AuthorizationServer

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def server(clock: FakeClock) -> AsyncIterator[AuthorizationServer]:
    """A server that gives refresh tokens to everybody."""
    async with AuthorizationServer(issue_refresh_tokens=True, time=clock.time) as started:
        yield started


def manager(server: AuthorizationServer, clock: FakeClock, **options: Any) -> TokenManager:
    """Make a manager that knows the issuer alone."""
    given = {"issuer": server.issuer, "client_secret": server.client_secret, **options}
    return TokenManager(client_id=server.client_id, clock=clock, **given)


def revoked(server: AuthorizationServer) -> list[tuple[str, str]]:
    """What the server was asked to revoke, and the hints."""
    forms = [request.form for request in server.log if request.kind == "revocation"]
    return [(form["token"], form["token_type_hint"]) for form in forms]


async def test_the_refresh_token_is_revoked_first_then_the_access_token(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Most servers let the one end the other; the client says who it is, as ever."""
    storage = TokenStorage()
    async with manager(server, clock, token_storage=storage) as one:
        token = await one.get()
        await one.revoke()
        assert one.peek() is None
        assert storage.token is None
        assert not server.accepts(token.access_token)
        assert await one.get() is not token
    assert revoked(server) == [
        (token.refresh_token, "refresh_token"),
        (token.access_token, "access_token"),
    ]
    request = next(request for request in server.log if request.kind == "revocation")
    assert request.headers["Authorization"].startswith("Basic ")


async def test_what_another_program_has_stored_is_revoked(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """``aioalf logout`` has never asked for a token itself."""
    storage = TokenStorage()
    async with manager(server, clock, token_storage=storage) as one:
        token = await one.get()
    async with manager(server, clock, token_storage=storage) as two:
        await two.revoke()
    assert not server.accepts(token.access_token)
    assert storage.token is None


async def test_without_a_token_there_is_nothing_to_do(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """No request, no error."""
    async with manager(server, clock) as one:
        await one.revoke()
        await one.revoke()
    assert not server.log


async def test_a_token_type_that_the_server_does_not_revoke_is_no_failure(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """RFC 7009 section 2: access tokens may run out by themselves."""
    async with manager(server, clock) as one:
        await one.get()
        server.answer_next(200, at="revocation")
        server.answer_next(400, JSON, '{"error": "unsupported_token_type"}', at="revocation")
        await one.revoke()


@pytest.mark.parametrize("status", [400, 401, 500, 503])
async def test_it_is_forgotten_whatever_the_server_says_and_the_error_is_raised(
    server: AuthorizationServer, clock: FakeClock, status: int
) -> None:
    """Whoever signs out is signed out here; both tokens have been tried."""
    storage = TokenStorage()
    async with manager(server, clock, token_storage=storage) as one:
        await one.get()
        server.answer_next(status, JSON, '{"error": "server_error"}', times=9, at="revocation")
        with pytest.raises(TokenHTTPError, match="revocation endpoint"):
            await one.revoke()
        assert one.peek() is None
        assert storage.token is None
    assert len(revoked(server)) == 2


async def test_a_server_that_is_away_keeps_nobody_signed_in(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """No connection is an error too, afterwards."""
    storage = TokenStorage()
    async with manager(server, clock, token_storage=storage) as one:
        await one.get()
        await server.close()
        with pytest.raises(TokenError, match="No connection"):
            await one.revoke()
        assert storage.token is None


@pytest.mark.parametrize(
    ("retry_after", "waits", "requests"), [("7", [7.0], 3), (None, [], 2), ("3600", [], 2)]
)
async def test_a_503_is_waited_for_once_if_the_server_says_for_how_long(
    server: AuthorizationServer,
    clock: FakeClock,
    retry_after: str | None,
    waits: list[float],
    requests: int,
) -> None:
    """RFC 7009 section 2.2.1; not for an hour."""
    async with manager(server, clock) as one:
        await one.get()
        headers = {"Retry-After": retry_after} if retry_after else {}
        server.answer_next(503, headers, at="revocation")
        if waits:
            await one.revoke()
        else:
            with pytest.raises(TokenHTTPError):
                await one.revoke()
    assert clock.sleeps == waits
    assert len(revoked(server)) == requests


async def test_a_server_that_stays_away_is_asked_again_once_for_each_token(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Then it is an error, and all is forgotten here."""
    storage = TokenStorage()
    async with manager(server, clock, token_storage=storage) as one:
        await one.get()
        server.answer_next(503, {"Retry-After": "7"}, times=9, at="revocation")
        with pytest.raises(TokenHTTPError, match="503"):
            await one.revoke()
        assert (one.peek(), storage.token) == (None, None)
    assert clock.sleeps == [7, 7]
    assert [hint for _, hint in revoked(server)] == ["refresh_token"] * 2 + ["access_token"] * 2


@pytest.mark.parametrize("status", [429, 500])
async def test_only_a_503_is_waited_for(
    server: AuthorizationServer, clock: FakeClock, status: int
) -> None:
    """RFC 7009 section 2.2.1: who signs out does not want to wait."""
    async with manager(server, clock) as one:
        await one.get()
        server.answer_next(status, {"Retry-After": "7"}, at="revocation")
        with pytest.raises(TokenHTTPError, match=str(status)):
            await one.revoke()
    assert not clock.sleeps


@pytest.mark.parametrize("second", [200, 401])
async def test_the_first_failure_is_the_one_that_is_raised(
    server: AuthorizationServer, clock: FakeClock, second: int
) -> None:
    """The refresh token is worth more, whatever comes of the access token."""
    async with manager(server, clock) as one:
        await one.get()
        server.answer_next(400, JSON, '{"error": "invalid_request"}', at="revocation")
        server.answer_next(second, JSON, '{"error": "invalid_client"}', at="revocation")
        with pytest.raises(TokenHTTPError, match="invalid_request"):
            await one.revoke()
    assert len(revoked(server)) == 2


async def test_without_a_stored_token_the_one_in_memory_is_revoked(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Somebody has emptied the storage."""
    storage = TokenStorage()
    async with manager(server, clock, token_storage=storage) as one:
        token = await one.get()
        storage.token = None
        await one.revoke()
    assert not server.accepts(token.access_token)


async def test_what_could_not_be_saved_is_revoked_and_not_the_older_one(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """And it is not saved afterwards: it is forgotten."""
    storage = Broken("nothing", OSError("disk full"))
    async with manager(server, clock, token_storage=storage) as one:
        await one.get()
        storage.method = "save"
        await one.reset_token()
        token = await one.get()
        await one.revoke()
        storage.method = None
    assert [value for value, _ in revoked(server)] == [token.refresh_token, token.access_token]
    assert storage.line is None


async def test_metadata_that_cannot_be_had_keeps_nobody_signed_in(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Where to revoke is then unknown."""
    storage = TokenStorage()
    options = {"token_endpoint": server.token_endpoint, "token_storage": storage}
    async with manager(server, clock, **options) as one:
        await one.get()
        server.answer_next(500, times=9, at="metadata")
        with pytest.raises(TokenError, match="metadata"):
            await one.revoke()
        assert (one.peek(), storage.token) == (None, None)


async def test_without_an_endpoint_it_is_forgotten_and_told(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The keyword is named by its words."""
    server.metadata = {"revocation_endpoint": None}
    async with manager(server, clock) as one:
        await one.get()
        with pytest.raises(TokenError, match="Missing revocation endpoint"):
            await one.revoke()
        assert one.peek() is None


async def test_an_endpoint_can_be_given(server: AuthorizationServer, clock: FakeClock) -> None:
    """Without discovery."""
    options = {"issuer": None, "token_endpoint": server.token_endpoint}
    options |= {"revocation_endpoint": server.revocation_endpoint}
    async with manager(server, clock, **options) as one:
        await one.get()
        await one.revoke()
    assert server.requests["revocation"] == 2


async def test_a_renewal_that_runs_is_waited_for(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Else the refresh token that it brings would be left."""
    server.latency = 0.05
    async with manager(server, clock) as one:
        asking = asyncio.ensure_future(one.get())
        await server.wait_until(lambda: server.token_requests == 1)
        await one.revoke()
        token = await asking
        assert not server.accepts(token.access_token)
        assert one.peek() is None


async def test_a_request_that_comes_meanwhile_gets_a_new_token(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """It waits until the old one is gone."""
    async with manager(server, clock) as one, Client(token_manager=one) as client:
        await one.get()
        server.answer_next(200, delay=0.05, times=2, at="revocation")
        revoking = asyncio.ensure_future(one.revoke())
        await server.wait_until(lambda: server.requests["revocation"] == 1)
        assert (await client.get(server.resource)).status == 200
        assert revoking.done()
        await revoking
    assert server.token_requests == 2


async def test_who_signs_out_twice_at_a_time_does_so_once(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The second finds nothing left."""
    async with manager(server, clock, token_storage=TokenStorage()) as one:
        await one.get()
        await asyncio.gather(*(one.revoke() for _ in range(3)))
    assert server.requests["revocation"] == 2


async def test_who_is_cancelled_has_signed_out_all_the_same(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """It goes on without its caller: half of it would be worse."""
    storage = TokenStorage()
    async with manager(server, clock, token_storage=storage) as one:
        token = await one.get()
        server.answer_next(503, {"Retry-After": "7"}, delay=0.02, at="revocation")
        revoking = asyncio.ensure_future(one.revoke())
        await server.wait_until(lambda: server.requests["revocation"] == 1)
        revoking.cancel()
        await asyncio.wait({revoking})
        await until(lambda: one._cache.flights.current is None)
        assert (one.peek(), storage.token) == (None, None)
        assert not server.accepts(token.access_token)


async def test_a_refresh_in_the_background_is_waited_for_and_what_it_brings_is_revoked(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Else it would sign in again who has just signed out."""
    storage = TokenStorage()
    one = RefreshTokenManager(
        client_id=server.client_id,
        client_secret=server.client_secret,
        issuer=server.issuer,
        refresh_token=server.issue_refresh_token(),
        clock=clock,
        token_storage=storage,
    )
    async with one:
        first = await one.get()
        clock.advance(3600 - 30)
        server.latency = 0.02
        assert await one.get() is first
        await server.wait_until(lambda: server.token_requests == 2)
        await one.revoke()
        assert storage.token is None
    (refresh_token, _), (access_token, _) = revoked(server)
    assert refresh_token != first.refresh_token
    assert access_token != first.access_token


async def test_a_storage_that_fails_keeps_the_server_from_nothing(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The log says that what it holds could not be deleted."""
    storage = Broken("clean", OSError("read-only"))
    async with manager(server, clock, token_storage=storage) as one:
        token = await one.get()
        await one.revoke()
        assert one.peek() is None
    assert not server.accepts(token.access_token)
    assert storage.tried == 1


async def test_a_closed_manager_revokes_nothing(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """As for every other use."""
    one = manager(server, clock)
    await one.close()
    with pytest.raises(RuntimeError, match="closed"):
        await one.revoke()


async def test_oidc_provider_revokes(oidc_server: OIDCServer) -> None:
    """A certified server; the resource does not take the token any more."""
    one = TokenManager(
        client_id=oidc_server.client_id,
        client_secret=oidc_server.client_secret,
        issuer=oidc_server.issuer,
    )
    async with one, Client(token_manager=one) as client:
        token = await one.get()
        assert (await client.get(oidc_server.resource)).status == 200
        await one.revoke()
        headers = {"Authorization": f"Bearer {token.access_token}"}
        async with client.session.get(oidc_server.resource, headers=headers) as response:
            assert response.status == 401


async def test_a_seed_that_was_revoked_is_not_good_any_more(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The next request says so."""
    one = RefreshTokenManager(
        client_id=server.client_id,
        client_secret=server.client_secret,
        issuer=server.issuer,
        refresh_token=server.issue_refresh_token(),
        clock=clock,
    )
    async with one:
        await one.get()
        await one.revoke()
        with pytest.raises(TokenError, match="Get a new one"):
            await one.get()
