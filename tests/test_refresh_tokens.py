"""Refresh tokens (RFC 6749 section 6): how they are used, kept, and given up."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout, TraceConfig
from fakes import FakeClock
from managing import turns, until
from storages import Broken, OneSlot, Slow

from aioalf import (
    AuthorizationError,
    Client,
    FileTokenStorage,
    RefreshTokenManager,
    SecretFile,
    SignInRequired,
    Token,
    TokenError,
    TokenHTTPError,
    TokenManager,
    TokenStorage,
)
from aioalf.interactive.sign_in import SignInTokenManager
from aioalf.storage.record import read_line, write_line
from aioalf.testing import AuthorizationServer

JSON = {"Content-Type": "application/json"}
REFUSED = '{"error": "invalid_grant", "error_description": "revoked"}'


@pytest.fixture
async def server(clock: FakeClock) -> AsyncIterator[AuthorizationServer]:
    """A server that goes by the test's clock, rotates, and ends all if an old one comes back."""
    async with AuthorizationServer(allow_public=True, time=clock.time) as started:
        yield started


def manager(server: AuthorizationServer, clock: FakeClock, **options: Any) -> RefreshTokenManager:
    """Make a manager of a public client with a seed of its own."""
    options.setdefault("refresh_token", server.issue_refresh_token())
    return RefreshTokenManager(server.token_endpoint, server.client_id, clock=clock, **options)


def sent(server: AuthorizationServer) -> list[str]:
    """The refresh tokens that the server was sent, in order."""
    tokens = [
        request.form.get("refresh_token") for request in server.log if request.kind == "token"
    ]
    return [token for token in tokens if token]


class SigningIn(SignInTokenManager):
    """A sign-in flow whose person is the test: each sign-in gives a token with a refresh token."""

    def __init__(self, server: AuthorizationServer, clock: FakeClock, **options: Any) -> None:
        self.server, self.sign_ins = server, 0
        #: A sign-in waits for it, if it is there.
        self.gate: asyncio.Event | None = None
        #: Whether the person says no.
        self.refuses = False
        super().__init__(
            server.token_endpoint,
            server.client_id,
            authorization_timeout=60,
            clock=clock,
            **options,
        )

    async def _ask_person(self) -> Mapping[str, Any]:
        self.sign_ins += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.refuses:
            raise AuthorizationError("The sign-in was refused", error="access_denied")
        return {
            "access_token": self.server.issue(3600),
            "expires_in": 3600,
            "refresh_token": self.server.issue_refresh_token(),
            "instance_url": "https://a.example",
        }


# -- the seed


async def test_the_seed_is_used_once_and_then_what_the_server_gave(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Each refresh token is used once: the server would end all otherwise."""
    async with manager(server, clock, refresh_token=(seed := server.issue_refresh_token())) as one:
        async with Client(token_manager=one) as client:
            for _ in range(4):
                assert (await client.get(server.resource)).status == 200
                clock.advance(7200)
    assert sent(server)[0] == seed
    assert len(set(sent(server))) == 4


async def test_a_seed_may_be_a_callable_that_is_asked_only_when_it_is_needed(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """A file, say; it is not asked again while there is a refresh token."""
    asked = []

    async def seed() -> str:
        asked.append(1)
        return server.issue_refresh_token() + "\n"

    async with manager(server, clock, refresh_token=seed) as one:
        await one.get()
        await one.reset_token()
    assert len(asked) == 1


async def test_a_file_that_holds_a_new_seed_is_read_again_after_a_refusal(
    server: AuthorizationServer, clock: FakeClock, tmp_path: Path
) -> None:
    """Whoever replaces the file need not restart the program; nor is the file read in between."""
    path, storage = tmp_path / "refresh", TokenStorage()
    path.write_text(server.issue_refresh_token() + "\n")
    options = {"refresh_token": SecretFile(path), "token_storage": storage}
    async with manager(server, clock, **options) as one, Client(token_manager=one) as client:
        assert (await client.get(server.resource)).status == 200
        path.unlink()
        clock.advance(7200)
        assert (await client.get(server.resource)).status == 200
        server.revoke_all(refresh_tokens=True)
        path.write_text(server.issue_refresh_token())
        assert (await client.get(server.resource)).status == 200
        assert json.loads(storage.token or "")["refresh_token"] == (await one.get()).refresh_token


async def test_an_account_is_one_whatever_its_seed(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """A new seed in the configuration does not use up what is stored."""
    storage, tokens = TokenStorage(), set()
    for _ in range(2):
        async with manager(server, clock, account="anna", token_storage=storage) as one:
            tokens.add((await one.get()).access_token)
    assert len(tokens) == 1
    assert server.token_requests == 1


async def test_a_second_program_goes_on_with_what_is_stored(
    server: AuthorizationServer, clock: FakeClock, tmp_path: Path
) -> None:
    """Not with the seed, which is used up."""
    seed = server.issue_refresh_token()
    for _ in range(3):
        options = {"refresh_token": seed, "token_storage": FileTokenStorage(tmp_path / "token")}
        async with manager(server, clock, **options) as one:
            await one.get()
        clock.advance(7200)
    assert len(set(sent(server))) == 3


async def test_two_seeds_do_not_share_a_stored_token(
    server: AuthorizationServer, clock: FakeClock, tmp_path: Path
) -> None:
    """Two people, one client, one file: each has a token of their own."""
    storage = FileTokenStorage(tmp_path / "tokens")
    tokens = []
    for seed in (server.issue_refresh_token(), server.issue_refresh_token()):
        async with manager(server, clock, refresh_token=seed, token_storage=storage) as one:
            tokens.append((await one.get()).access_token)
            assert seed not in (tmp_path / "tokens").read_text()
    assert tokens[0] != tokens[1]


async def test_accounts_tell_callables_apart(
    server: AuthorizationServer, clock: FakeClock, tmp_path: Path
) -> None:
    """A callable can be anybody's."""
    storage = FileTokenStorage(tmp_path / "tokens")
    tokens = []
    for account in ("anna", "bert", "anna"):
        options = {"account": account, "refresh_token": server.issue_refresh_token}
        async with manager(server, clock, token_storage=storage, **options) as one:
            tokens.append((await one.get()).access_token)
    assert tokens[0] == tokens[2] != tokens[1]


async def test_a_seed_that_is_refused_is_named_with_the_remedy(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """It was used before, or revoked."""
    async with manager(server, clock, refresh_token="stale") as one:
        with pytest.raises(TokenError, match=r"invalid_grant.*Get a new one.*refresh_token="):
            await one.get()


@pytest.mark.parametrize("error", ["invalid_client", "invalid_scope", "server_error"])
async def test_a_seed_is_not_called_refused_for_another_error(
    server: AuthorizationServer, clock: FakeClock, error: str
) -> None:
    """Rule 31: a new one would not help."""
    server.answer_next(400, JSON, json.dumps({"error": error}))
    async with manager(server, clock) as one:
        with pytest.raises(TokenHTTPError, match=error) as caught:
            await one.get()
        assert "Get a new one" not in str(caught.value)
        await one.get()
    assert len(set(sent(server))) == 1


@pytest.mark.parametrize("seed", [None, "", lambda: None, lambda: ""])
async def test_a_seed_that_is_missing_is_named(
    server: AuthorizationServer, clock: FakeClock, seed: Any
) -> None:
    """And nothing is sent."""
    async with manager(server, clock, refresh_token=seed) as one:
        with pytest.raises(TokenError, match="Missing refresh_token"):
            await one.get()
    assert server.token_requests == 0


def test_a_seed_is_a_string_or_a_callable() -> None:
    """A path is neither: SecretFile(path) is."""
    with pytest.raises(TypeError, match="refresh_token takes a string, or a callable"):
        RefreshTokenManager("https://a.example/token", "id", refresh_token=Path("x"))  # type: ignore[arg-type]


@pytest.mark.parametrize("on_refresh", [False, True])
async def test_the_scope_is_sent_only_if_asked_for(
    server: AuthorizationServer, clock: FakeClock, on_refresh: bool
) -> None:
    """Rule 27: it is invalid_scope at some servers; at Microsoft it names the resource."""
    seed = server.issue_refresh_token(scope="read write")
    options = {"refresh_token": seed, "scope": "read", "scope_on_refresh": on_refresh}
    async with manager(server, clock, **options) as one:
        assert (await one.get()).scope == ("read" if on_refresh else "read write")
    assert ("scope" in server.log[-1].form) == on_refresh


# -- what an answer leaves out


@pytest.mark.parametrize("member", [{}, {"refresh_token": None}, {"refresh_token": ""}])
async def test_a_refresh_token_is_kept_until_another_is_given(
    server: AuthorizationServer, clock: FakeClock, member: dict[str, Any]
) -> None:
    """Rule 26: else the second refresh is impossible; the scope and what else there was likewise."""
    server.rotate_refresh_tokens = False
    server.token_parameters = member
    async with manager(server, clock) as one:
        first = await one.get()
        await one.reset_token()
        assert (await one.get()).refresh_token == first.refresh_token is not None


async def test_a_scope_and_what_else_was_given_is_kept(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """RFC 6749 section 5.1: a scope that is left out is the same."""
    body = {"access_token": "a", "scope": "read", "instance_url": "https://eu.example.com"}
    server.answer_next(200, JSON, json.dumps({**body, "expires_in": 60}))
    server.answer_next(200, JSON, '{"access_token": "b", "id_token": "x.y.z"}')
    async with manager(server, clock) as one:
        await one.get()
        await one.reset_token()
        token = await one.get()
    assert (token.access_token, token.scope) == ("b", "read")
    assert token.extra == {"instance_url": "https://eu.example.com", "id_token": "x.y.z"}


# -- a refusal, and what is not one


@pytest.mark.parametrize(
    "failure",
    [
        {"status": 500},
        {"status": 503},
        {"status": 429},
        {"status": 400, "body": '{"error": "invalid_client"}'},
        {"status": 400, "body": '{"error": "temporarily_unavailable"}'},
        {"status": 404, "body": "<html>"},
        {"status": 200, "body": "<html>"},
    ],
)
async def test_only_invalid_grant_gives_a_refresh_token_up(
    server: AuthorizationServer, clock: FakeClock, failure: dict[str, Any]
) -> None:
    """Rule 31: no network does not mean signed out."""
    storage = TokenStorage()
    one = SigningIn(server, clock, token_storage=storage)
    async with one:
        first = await one.get()
        clock.advance(7200)
        server.answer_next(failure["status"], JSON, failure.get("body", ""))
        with pytest.raises(TokenError):
            await one.get()
        assert json.loads(storage.token or "")["refresh_token"] == first.refresh_token
        await one.get()
    assert one.sign_ins == 1


async def test_a_network_that_is_away_does_not_sign_anybody_out(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 31: dropped, hanging, and no connection at all."""
    storage, limit = TokenStorage(), {"timeout": ClientTimeout(total=0.05)}
    one = SigningIn(server, clock, token_storage=storage, http_options=limit)
    async with one:
        first = await one.get()
        clock.advance(7200)
        server.drop_next(2)
        with pytest.raises(TokenError, match="closed the connection"):
            await one.get()
        server.stall_next(2)
        with pytest.raises(TokenError, match="No answer"):
            await one.get()
        await server.close()
        with pytest.raises(TokenError, match="No connection"):
            await one.get()
        assert json.loads(storage.token or "")["refresh_token"] == first.refresh_token
        await server.start()
        clock.advance(60)  # the pause after three failures
        await one.get()
    assert one.sign_ins == 1


async def test_after_a_refusal_what_another_process_has_stored_is_used(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 28: the loser must not wipe the winner's token."""
    storage = TokenStorage()
    one = SigningIn(server, clock, token_storage=storage)
    async with one:
        first = await one.get()
        clock.advance(7200)
        line = json.loads(storage.token or "")
        winner = {**line, "access_token": server.issue(3600), "refresh_token": "the winner's"}
        winner["expires_at"] = clock.time() + 3600

        lines = [json.dumps(line), json.dumps(line), json.dumps(winner)]

        class Late(OneSlot):
            """Has the old token at first, and the winner's when it is looked into again."""

            def load(self) -> str:
                return lines.pop(0) if len(lines) > 1 else lines[0]

        server.revoke(str(first.refresh_token))
        two = SigningIn(server, clock, token_storage=Late())
        async with two:
            assert (await two.get()).access_token == winner["access_token"]
        assert two.sign_ins == 0


async def test_after_a_refusal_the_other_refresh_token_is_tried_once(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 28: another process has renewed, and that token has expired since."""
    storage = TokenStorage()
    one = SigningIn(server, clock, token_storage=storage)
    async with one:
        await one.get()
        line = json.loads(storage.token or "")
        old, other = line["refresh_token"], server.issue_refresh_token()
        server.revoke(old)
        clock.advance(7200)
        renewed = {**line, "access_token": "expired", "refresh_token": other}
        lines = [json.dumps(line), json.dumps(line), json.dumps(renewed)]

        class Late(OneSlot):
            def load(self) -> str:
                return lines.pop(0) if len(lines) > 1 else lines[0]

        two = SigningIn(server, clock, token_storage=Late())
        async with two:
            await two.get()
        assert two.sign_ins == 0
    assert sent(server)[-2:] == [old, other]


async def test_only_what_was_refused_is_deleted(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The access token beside it is good for its time, for this program and for others."""
    storage = TokenStorage()
    one = SigningIn(server, clock, token_storage=storage)
    async with one:
        first = await one.get()
        server.revoke_all(refresh_tokens=True)
        clock.advance(3600 - 30)  # in the margin: it is renewed ahead
        assert await one.get() is first
        await until(lambda: one._cache.flights.current is None)
        kept = json.loads(storage.token or "")
        assert (kept["access_token"], kept["refresh_token"]) == (first.access_token, None)
        assert kept["extra"] == first.extra
        for _ in range(5):
            assert await one.get() is first
    assert server.token_requests == 1
    assert one.sign_ins == 1


async def test_a_refused_refresh_token_that_was_never_saved_is_not_saved_later(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The storage works again, but what was kept for it counts no more."""
    storage = Broken("save", OSError("disk full"))
    one = SigningIn(server, clock, unattended=True, token_storage=storage)
    async with one:
        await one.sign_in()
        server.revoke_all(refresh_tokens=True)
        clock.jump_wall(7200)
        clock.jump_monotonic(7200)
        with pytest.raises(SignInRequired):
            await one.get()
        storage.method = None
    assert storage.line is None


# -- an answer that was lost


async def test_a_refresh_whose_answer_was_lost_is_repeated_once_at_once(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 29: within its grace period the server answers again."""
    server.refresh_grace = 10
    server.lose_answer_next()
    async with manager(server, clock) as one:
        await one.get()
        await one.reset_token()
    first, again, second = sent(server)
    assert first == again != second
    assert not clock.sleeps


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", b"HTTP/1.1 200 OK\r\nConte"]
)
async def test_a_refresh_whose_answer_is_cut_short_is_repeated_too(
    server: AuthorizationServer, clock: FakeClock, answer: bytes
) -> None:
    """Rule 29: so much of it is as good as nothing."""
    server.raw_next(answer)
    async with manager(server, clock) as one:
        await one.get()
    assert len(sent(server)) == 2
    assert not clock.sleeps


async def test_a_refresh_is_repeated_once_and_not_more(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 29: a server that is in trouble is not asked for ever; the next request tries again."""
    server.refresh_grace = 10
    server.lose_answer_next(2)
    async with manager(server, clock) as one:
        with pytest.raises(TokenError, match="closed the connection"):
            await one.get()
        assert len(sent(server)) == 2
        await one.get()
    assert len(set(sent(server))) == 1


async def test_retries_come_after_the_one_at_once(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 29: `token_retries` counts those that wait."""
    server.refresh_grace = 10
    server.lose_answer_next(3)
    async with manager(server, clock, token_retries=2) as one:
        await one.get()
    assert len(sent(server)) == 4
    assert len(clock.sleeps) == 2


async def test_outside_a_grace_period_nothing_more_is_lost(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 29: then a person signs in."""
    one = SigningIn(server, clock)
    async with one:
        await one.get()
        clock.advance(7200)
        server.lose_answer_next()
        await one.get()
    assert one.sign_ins == 2
    assert len(sent(server)) == 2


async def test_a_refresh_that_was_never_sent_is_not_repeated_at_once(
    clock: FakeClock,
) -> None:
    """Nothing was lost; `token_retries` says how often that is tried."""
    tried = []

    async def count(*_: object) -> None:
        tried.append(1)

    trace = TraceConfig()
    trace.on_request_start.append(count)
    async with AuthorizationServer(allow_public=True) as server:
        seed = server.issue_refresh_token()
    async with ClientSession(trace_configs=[trace]) as session:
        options = {"refresh_token": seed, "token_retries": 2, "session": session}
        async with manager(server, clock, **options) as one:
            with pytest.raises(TokenError, match="No connection"):
                await one.get()
    assert len(tried) == 3
    assert len(clock.sleeps) == 2


# -- saved before it is used


async def test_a_rotated_refresh_token_is_saved_before_its_token_is_used(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 30: in one write, under the lock; whoever dies afterwards has lost nothing."""
    used: list[str] = []

    class Watched(TokenStorage):
        def save(self, token: str) -> None:
            used.append(f"saved {json.loads(token)['refresh_token'] in sent(server)}")
            super().save(token)

    one = manager(server, clock, token_storage=Watched())
    async with one, Client(token_manager=one) as client:
        await client.get(server.resource)
        used.append(f"requests {server.resource_requests}")
        server.revoke_all()
        await client.get(server.resource)
    assert used == ["saved False", "requests 1", "saved False"]
    assert server.resource_requests == 3


@pytest.mark.parametrize("before", [0, 1])
async def test_closing_in_the_middle_of_a_refresh_loses_nothing(
    server: AuthorizationServer, clock: FakeClock, before: int
) -> None:
    """Rule 30: the answer is waited for and saved, though nobody uses it; the seed's as well."""
    storage, seed = TokenStorage(), server.issue_refresh_token()
    options = {"refresh_token": seed, "token_storage": storage}
    async with manager(server, clock, **options) as one:
        if before:
            await one.get()
            clock.advance(7200)
        server.latency = 0.05
        asking = asyncio.ensure_future(one.get())
        await server.wait_until(lambda: server.token_requests == before + 1)
    with pytest.raises(TokenError, match="closed"):
        await asking
    server.latency = 0
    async with manager(server, clock, **options) as two, Client(token_manager=two) as client:
        assert (await client.get(server.resource)).status == 200
        clock.advance(7200)
        assert (await client.get(server.resource)).status == 200
    assert len(set(sent(server))) == len(sent(server)) == before + 2


# -- who is asked, and when


async def test_a_token_with_a_refresh_token_is_renewed_ahead_by_a_sign_in_flow_too(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Nobody has to be there for it."""
    one = SigningIn(server, clock)
    async with one:
        first = await one.get()
        clock.advance(3600 - 30)
        assert await one.get() is first
        await server.wait_until(lambda: server.token_requests == 1)
        await until(lambda: one._cache.flights.current is None)
        assert await one.get() is not first
    assert one.sign_ins == 1


async def test_what_runs_in_the_background_never_asks_a_person(
    server: AuthorizationServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule 22: the old token serves on; who needs a new one then asks."""
    caplog.set_level(logging.INFO)
    one = SigningIn(server, clock)
    async with one:
        first = await one.get()
        server.revoke_all(refresh_tokens=True)
        clock.advance(3600 - 30)
        assert await one.get() is first
        await until(lambda: one._cache.flights.current is None)
        assert one.sign_ins == 1
        assert "A person has to sign in" in caplog.text
        assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
        clock.advance(60)
        assert await one.get() is not first
    assert one.sign_ins == 2


async def test_what_runs_in_the_background_of_an_unattended_program_is_no_error(
    server: AuthorizationServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule 22: the old token serves on, and its end is the error, which says what to do."""
    caplog.set_level(logging.INFO)
    one = SigningIn(server, clock, unattended=True)
    async with one:
        first = await one.sign_in()
        server.revoke_all(refresh_tokens=True)
        clock.advance(3600 - 30)
        assert await one.get() is first
        await until(lambda: one._cache.flights.current is None)
        assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
        clock.advance(60)
        for _ in range(3):
            with pytest.raises(SignInRequired, match=r"sign_in\(\)"):
                await one.get()
    assert one.sign_ins == 1
    assert server.token_requests == 1  # what was refused is not sent again


async def test_a_refusal_in_the_background_is_told_once_and_the_token_serves_on(
    server: AuthorizationServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a program with a seed; a refusal is nothing to repeat at each request."""
    async with manager(server, clock) as one:
        first = await one.get()
        server.revoke_all(refresh_tokens=True)
        clock.advance(3600 - 30)
        for _ in range(5):
            assert await one.get() is first
            await until(lambda: one._cache.flights.current is None)
        assert caplog.text.count("Get a new one") == 1
        clock.advance(60)
        with pytest.raises(TokenError, match="Get a new one"):
            await one.get()


async def test_a_caller_that_joins_a_background_renewal_may_have_a_person_asked(
    server: AuthorizationServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It began silently, and ends in a sign-in for the one who waits."""
    one = SigningIn(server, clock)
    async with one:
        first = await one.get()
        server.revoke_all(refresh_tokens=True)
        server.latency = 0.05
        clock.advance(3600 - 30)
        assert await one.get() is first
        await server.wait_until(lambda: server.token_requests == 1)
        clock.advance(60)  # by now it has expired
        assert await one.get() is not first
    assert one.sign_ins == 2
    assert server.token_requests == 1
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


@pytest.mark.parametrize("after", range(16))
async def test_a_caller_may_come_at_any_point_of_a_background_renewal(
    server: AuthorizationServer, clock: FakeClock, after: int
) -> None:
    """Rule 22: also after that has found out that it must not ask: then another begins, which asks."""
    one = SigningIn(server, clock, token_storage=Slow())
    async with one:
        first = await one.get()
        server.answer_next(400, JSON, REFUSED)
        clock.advance(3600 - 30)
        assert await one.get() is first
        await until(lambda: first.refresh_token in one._cache.fetcher._refused)
        await turns(after)
        clock.advance(60)
        assert await one.get() is not first
    assert one.sign_ins == 2


async def test_a_refresh_goes_on_though_nobody_waits_and_a_sign_in_does_not(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """A flight is given up only while a person is being waited for."""
    one = SigningIn(server, clock)
    async with one:
        await one.get()
        clock.advance(7200)
        server.latency = 0.05
        asking = asyncio.ensure_future(one.get())
        await server.wait_until(lambda: server.token_requests == 1)
        asking.cancel()
        await asyncio.wait({asking})
        await until(lambda: one._cache.flights.current is None)
        assert one.peek() is not None
        server.revoke_all(refresh_tokens=True)
        clock.advance(7200)
        one.gate = asyncio.Event()
        asking = asyncio.ensure_future(one.get())
        await until(lambda: one.sign_ins == 2)
        asking.cancel()
        await asyncio.wait({asking})
        await until(lambda: one._cache.flights.current is None)
        assert one.peek() is None


@pytest.mark.parametrize("after", range(12))
async def test_a_caller_that_leaves_while_the_storage_is_asked_leaves_no_window(
    server: AuthorizationServer, clock: FakeClock, after: int
) -> None:
    """Nobody is asked on behalf of nobody, at whatever point that is; the storage is left unlocked."""
    storage = Slow()
    one = SigningIn(server, clock, token_storage=storage)
    async with one:
        one.gate = asyncio.Event()
        asking = asyncio.ensure_future(one.get())
        await turns(after)
        asking.cancel()
        await turns(50)
        assert one._cache.flights.current is None
        assert not storage.locked
        one.gate = None
        await one.get()


async def test_an_unattended_program_is_told_that_a_person_is_needed(
    server: AuthorizationServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """`SignInRequired` at each request until `sign_in`; no pause begins because of it."""
    one = SigningIn(server, clock, unattended=True)
    async with one, Client(token_manager=one) as client:
        for _ in range(5):
            with pytest.raises(SignInRequired):
                await client.get(server.resource)
        assert one.sign_ins == 0
        await one.sign_in()
        assert (await client.get(server.resource)).status == 200
        server.revoke_all()
        assert (await client.get(server.resource)).status == 200  # by the refresh token


@pytest.mark.parametrize("refuses", [False, True])
async def test_a_sign_in_that_waits_for_a_request_has_its_outcome_and_no_older_token(
    server: AuthorizationServer, clock: FakeClock, refuses: bool
) -> None:
    """The request finds its refresh token refused, and asks a person: one window for both."""
    one = SigningIn(server, clock)
    async with one:
        first = await one.get()
        server.revoke_all(refresh_tokens=True)
        clock.advance(7200)
        server.latency, one.refuses = 0.02, refuses
        asking = asyncio.ensure_future(one.get())
        await server.wait_until(lambda: server.token_requests == 1)
        outcomes = await asyncio.gather(asking, one.sign_in(), return_exceptions=True)
        if refuses:
            assert [type(outcome) for outcome in outcomes] == [AuthorizationError] * 2
        else:
            assert outcomes[0] is outcomes[1] is not first
    assert one.sign_ins == 2


async def test_a_sign_in_is_one_though_a_refresh_runs(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Who calls it wants a person to be asked, another account to be chosen: a refresh will not do."""
    one = SigningIn(server, clock)
    async with one:
        await one.get()
        clock.advance(7200)
        server.latency = 0.02
        asking = asyncio.ensure_future(one.get())
        await server.wait_until(lambda: server.token_requests == 1)
        token = await one.sign_in()
        assert (await asking).access_token != token.access_token
        assert await one.get() is token
    assert one.sign_ins == 2


async def test_a_sign_in_in_another_process_is_noticed_at_the_next_request(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Of an unattended service: ``aioalf login`` has stored a token."""
    storage = TokenStorage()
    service = SigningIn(server, clock, unattended=True, token_storage=storage)
    desk = SigningIn(server, clock, token_storage=storage)
    async with service, desk:
        with pytest.raises(SignInRequired):
            await service.get()
        token = await desk.sign_in()
        assert (await service.get()).access_token == token.access_token


async def test_a_flow_of_ones_own_gets_all_of_this(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """It overrides `fetch_token` and uses `request_token`, and no more."""

    class Own(TokenManager):
        grant = "own"

        async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
            if previous is not None and previous.refresh_token:
                form = {"grant_type": "refresh_token", "refresh_token": previous.refresh_token}
                return await self.request_token(form)
            return await self.request_token({"grant_type": "client_credentials"})

    server.issue_refresh_tokens = True
    one = Own(server.token_endpoint, server.client_id, server.client_secret, clock=clock)
    async with one:
        await one.get()
        clock.advance(7200)
        await one.get()
        server.revoke_all(refresh_tokens=True)
        clock.advance(7200)
        await one.get()
    grants = [request.form["grant_type"] for request in server.log]
    assert grants == ["client_credentials", "refresh_token", "refresh_token", "client_credentials"]


async def test_an_invalid_grant_of_another_grant_is_just_an_error(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """There is no refresh token that it could be about."""
    server.answer_next(400, JSON, REFUSED)
    one = TokenManager(server.token_endpoint, server.client_id, server.client_secret, clock=clock)
    async with one:
        with pytest.raises(TokenHTTPError, match="invalid_grant"):
            await one.get()
    assert server.token_requests == 1


# -- what else a server said


def test_extra_is_read_only_and_not_shown() -> None:
    """An id_token in it is a secret, and has not been validated."""
    given = {"id_token": "s3cr3t", "instance_url": "https://a.example"}
    token = Token("a", 60, extra=given)
    given["later"] = "x"
    assert token.extra == {"id_token": "s3cr3t", "instance_url": "https://a.example"}
    with pytest.raises(TypeError):
        token.extra["id_token"] = "x"  # type: ignore[index]
    assert "s3cr3t" not in repr(token)
    assert pickle.loads(pickle.dumps(token)) == token
    assert copy.deepcopy(token) == copy.copy(token) == token
    assert hash(token) == hash(pickle.loads(pickle.dumps(token)))
    assert token != Token("a", 60, expires_at=token.expires_at)
    assert not Token("a", 60).extra


async def test_extra_is_stored_with_the_token(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Salesforce's instance_url is needed by whoever has the token."""
    server.token_parameters = {"instance_url": "https://a.example", "nested": {"a": [1, None]}}
    storage = TokenStorage()
    seed = server.issue_refresh_token()
    for _ in range(2):
        async with manager(server, clock, refresh_token=seed, token_storage=storage) as one:
            token = await one.get()
            assert token.extra == server.token_parameters
    assert server.token_requests == 1


@pytest.mark.parametrize(
    "value",
    [
        "null",
        "NaN",
        "1e999",
        "9" * 5000,
        '"\\ud800"',
        "[" * 300 + "]" * 300,
        '{"": {"a b": []}}',
        '""',
    ],
)
async def test_whatever_else_an_answer_holds_neither_hurts_nor_is_lost(
    server: AuthorizationServer, clock: FakeClock, value: str
) -> None:
    """What Python's JSON reads, it writes: in the storage it is the same."""
    server.answer_next(200, JSON, f'{{"access_token": "a", "refresh_token": "r", "x": {value}}}')
    storage = TokenStorage()
    tokens = []
    for _ in range(2):
        async with manager(server, clock, refresh_token="s", token_storage=storage) as one:
            tokens.append(await one.get())
    assert server.token_requests == 1
    assert tokens[1].refresh_token == "r"
    assert repr(tokens[1].extra) == repr(tokens[0].extra)


@pytest.mark.parametrize("stored", [[], "x", 5, None])
def test_a_stored_extra_that_is_no_object_counts_as_none(stored: object) -> None:
    """The token beside it is good."""
    line = {**json.loads(write_line(Token("a", 60), "b")), "extra": stored}
    token = read_line(json.dumps(line), "b")
    assert token is not None
    assert not token.extra


async def test_extra_is_not_logged(
    server: AuthorizationServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at DEBUG, and not if the storage fails."""
    caplog.set_level(logging.DEBUG)
    server.token_parameters = {"id_token": "s3cr3t.id.token"}
    async with manager(server, clock, token_storage=Broken("save", OSError("full"))) as one:
        token = await one.get()
        await one.reset_token()
        server.answer_next(400, JSON, '{"error": "x", "id_token": "s3cr3t.id.token"}')
        with pytest.raises(TokenError) as caught:
            await one.reset_token()
    assert token.extra["id_token"] == "s3cr3t.id.token"
    assert "s3cr3t" not in caplog.text + repr(caught.value) + repr(token) + repr(one)
