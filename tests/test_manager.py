"""`TokenManager` on its own: what it asks for, with what, how often, over which connections."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fakes import FakeClock
from managing import Fetching, manager_for

from aioalf.errors import TokenError, TokenHTTPError
from aioalf.manager import TokenManager
from aioalf.protocol.client_auth import ClientSecretPost
from aioalf.testing import AuthorizationServer
from aioalf.token import Token


async def test_it_works_on_its_own_without_a_client(server: AuthorizationServer) -> None:
    """0.4.0: positional as in 0.4.0; `get_token` gives a string, `reset_token` a new token."""
    manager = TokenManager(server.token_endpoint, server.client_id, server.client_secret)
    first = await manager.get_token()
    assert isinstance(first, str)
    assert await manager.get_token() == first
    assert await manager.reset_token() is None  # type: ignore[func-returns-value]
    assert await manager.get_token() != first
    assert server.token_requests == 2


async def test_get_gives_the_whole_token(server: AuthorizationServer) -> None:
    """With scope, expiry and refresh token."""
    server.issue_refresh_tokens = True
    token = await manager_for(server, scope=["read", "write"]).get()
    assert isinstance(token, Token)
    assert token.scope == "read write"
    assert token.expires_in == 3600
    assert token.refresh_token


async def test_the_token_request_is_the_one_of_client_credentials(
    server: AuthorizationServer,
) -> None:
    """RFC 6749 section 4.4.2; Basic credentials as in section 2.3.1."""
    await manager_for(server).get()
    (request,) = server.log
    assert (request.method, request.path) == ("POST", "/token")
    assert request.body == b"grant_type=client_credentials"
    assert request.headers["Authorization"] == "Basic Y2xpZW50LWlkOnNlY3JldA=="
    assert request.headers["Accept"] == "application/json"


@pytest.mark.parametrize("scope", ["read write", ["read", "write"], ("read", "write")])
async def test_a_scope_is_a_string_or_a_list(scope: Any, server: AuthorizationServer) -> None:
    """Joined with single spaces (RFC 6749 section 3.3)."""
    await manager_for(server, scope=scope).get()
    assert server.log[0].form["scope"] == "read write"


async def test_token_request_params_are_sent_at_every_renewal(server: AuthorizationServer) -> None:
    """A list repeats the parameter, as RFC 8707 section 2 allows for `resource`."""
    params = {"audience": "https://api.example.com"}
    manager = manager_for(server, token_request_params=params)
    token = await manager.get()
    params["audience"] = "changed afterwards"
    await manager.renew(token)
    await manager.reset_token()
    assert [request.form["audience"] for request in server.log] == ["https://api.example.com"] * 3
    server.answer_next(200, body='{"access_token": "t"}')
    await manager_for(server, token_request_params={"resource": ["a", "b"]}).get()
    assert server.log[-1].form.getall("resource") == ["a", "b"]


@pytest.mark.parametrize("name", ["grant_type", "scope", "client_id", "client_secret"])
def test_a_parameter_that_has_its_own_place_is_refused(name: str) -> None:
    """At construction."""
    with pytest.raises(ValueError, match=name):
        TokenManager(token_request_params={name: "x"})


@pytest.mark.parametrize("name", ["token_retries", "expiry_margin", "renewal_margin"])
def test_a_negative_number_is_refused(name: str) -> None:
    """At construction."""
    with pytest.raises(ValueError, match="negative"):
        TokenManager(**{name: -1})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token_retries": "2"}, "token_retries takes a number, not a str"),
        ({"expiry_margin": "10"}, "expiry_margin takes a number, not a str"),
        ({"renewal_margin": None}, "renewal_margin takes a number, not a NoneType"),
        ({"http_options": "ssl"}, "http_options takes a dict, not a str"),
        ({"token_request_params": "audience=x"}, "token_request_params takes a dict, not a str"),
        ({"scope": 3}, "scope takes a string or a list of strings, not a int"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(options: dict[str, Any], message: str) -> None:
    """At construction: what comes from the environment is a string."""
    with pytest.raises(TypeError, match=message):
        TokenManager(**options)


def test_a_client_auth_that_is_none_is_refused() -> None:
    """At construction."""
    with pytest.raises(TypeError, match="ClientAuth"):
        TokenManager(client_auth="post")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((None, "id", "secret"), "Missing token endpoint"),
        (("", "id", "secret"), "Missing token endpoint"),
        (("https://a/token", None, "secret"), r"Missing credentials \(client_id:client_secret\)"),
        (("https://a/token", "id", None), r"Missing credentials \(client_id:client_secret\)$"),
        (
            ("https://a/token", "id", lambda: None),
            r"Missing credentials \(client_id:client_secret\)$",
        ),
        (("https://a/token", "id", 17), r"Missing credentials .*the client_secret is a int"),
        (("https://a/token", 17, "s"), r"Missing credentials .*the client_id is a int"),
    ],
)
async def test_what_is_missing_is_an_error_at_first_use(given: Any, message: str) -> None:
    """0.4.0: a `TokenError`, not at construction."""
    manager = TokenManager(*given)
    for use in (manager.get, manager.get_token, manager.reset_token):
        with pytest.raises(TokenError, match=message):
            await use()


# The client secret


def plain(secret: str) -> Callable[[], str]:
    """A callable that gives it."""
    return lambda: secret


def asynchronous(secret: str) -> Callable[[], Awaitable[str]]:
    """An `async` callable that gives it."""

    async def give() -> str:
        await asyncio.sleep(0)
        return secret

    return give


@pytest.mark.parametrize("make", [plain, asynchronous])
@pytest.mark.parametrize("auth", [None, ClientSecretPost()])
async def test_a_secret_may_be_a_callable(
    make: Any, auth: Any, server: AuthorizationServer
) -> None:
    """Plain or async."""
    manager = TokenManager(
        server.token_endpoint, server.client_id, make(server.client_secret), client_auth=auth
    )
    assert server.accepts(await manager.get_token())


def rotating(
    server: AuthorizationServer, *secrets: str, **options: Any
) -> tuple[TokenManager, list[str]]:
    """A manager whose secret is another one each time, and those that are left."""
    left = list(secrets)
    secret = lambda: left.pop(0)  # noqa: E731
    return TokenManager(server.token_endpoint, server.client_id, secret, **options), left


async def test_a_secret_is_read_at_each_token_request(server: AuthorizationServer) -> None:
    """And at no other time."""
    manager, left = rotating(server, "secret", "changed", "never")
    await manager.get()
    await manager.get()
    server.client_secret = "changed"
    await manager.reset_token()
    assert left == ["never"]
    assert server.token_requests == 2


async def test_a_secret_that_was_rotated_is_read_again_once_on_invalid_client(
    server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """RFC 6749 section 5.2: no restart is needed."""
    manager, left = rotating(server, "old-s3cr3t", "secret", "never")
    caplog.set_level(logging.DEBUG)
    assert server.accepts(await manager.get_token())
    assert left == ["never"]
    assert server.token_requests == 2
    assert "s3cr3t" not in caplog.text


async def test_a_secret_that_is_refused_twice_is_an_error(server: AuthorizationServer) -> None:
    """It is read again once, not until it fits."""
    manager, left = rotating(server, "wrong", "wrong too", "secret")
    with pytest.raises(TokenHTTPError) as caught:
        await manager.get()
    assert caught.value.error == "invalid_client"
    assert left == ["secret"]


async def test_a_secret_that_has_not_changed_is_not_tried_again(
    server: AuthorizationServer,
) -> None:
    """Some servers lock a client out after a few wrong ones."""
    manager, left = rotating(server, "wrong", "wrong")
    with pytest.raises(TokenHTTPError):
        await manager.get()
    assert left == []
    assert server.token_requests == 1


async def test_a_secret_that_is_no_callable_is_not_tried_again(
    server: AuthorizationServer,
) -> None:
    """It cannot have changed."""
    server.client_secret = "another"
    with pytest.raises(TokenHTTPError):
        await TokenManager(server.token_endpoint, server.client_id, "secret").get()
    assert server.token_requests == 1


async def test_another_error_reads_the_secret_once(server: AuthorizationServer) -> None:
    """Only `invalid_client` says anything of it."""
    server.answer_next(400, body='{"error": "invalid_scope"}')
    manager, left = rotating(server, "secret", "never")
    with pytest.raises(TokenHTTPError):
        await manager.get()
    assert left == ["never"]


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_a_secret_callable_that_fails_is_a_token_error_that_names_it(
    kind: str, server: AuthorizationServer
) -> None:
    """With the cause; without its text, which may hold anything."""

    def fail() -> str:
        raise LookupError("vault s3cr3t")

    async def fail_later() -> str:
        return fail()

    secret: Any = fail if kind == "plain" else fail_later
    manager = TokenManager(server.token_endpoint, server.client_id, secret)
    with pytest.raises(TokenError, match=r"callable given as client_secret failed \(LookupError\)"):
        await manager.get()
    assert server.token_requests == 0


async def test_a_secret_callable_that_gives_no_string_is_a_token_error(
    server: AuthorizationServer,
) -> None:
    """The value is not shown."""
    secret: Any = lambda: b"s3cr3t"  # noqa: E731
    with pytest.raises(TokenError, match="the client_secret is a bytes") as caught:
        await TokenManager(server.token_endpoint, server.client_id, secret).get()
    assert "s3cr3t" not in str(caught.value)


# Retries


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_passing_failure_is_retried_with_exponential_back_off_and_jitter(
    status: int, server: AuthorizationServer, clock: FakeClock
) -> None:
    """1 s doubling to 30 s, a quarter less at most; the sleeps are the clock's."""
    server.answer_next(status, times=7)
    async with manager_for(server, clock, token_retries=7) as manager:
        assert server.accepts(await manager.get_token())
    assert server.token_requests == 8
    for slept, longest in zip(clock.sleeps, (1, 2, 4, 8, 16, 30, 30), strict=True):
        assert 0.75 * longest <= slept <= longest


async def test_a_connection_that_fails_is_retried(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The first of the passing reasons."""
    server.drop_next(2)
    async with manager_for(server, clock, token_retries=2) as manager:
        assert server.accepts(await manager.get_token())
    assert len(clock.sleeps) == 2


async def test_retry_after_is_slept_for_up_to_a_minute(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """RFC 9110 section 10.2.3."""
    for said in ("7", "0", "60"):
        server.answer_next(503, {"Retry-After": said})
    async with manager_for(server, clock, token_retries=3) as manager:
        await manager.get()
    assert clock.sleeps == [7.0, 0.0, 60.0]


@pytest.mark.parametrize("retries", [0, 2])
async def test_when_the_retries_are_used_up_the_last_failure_is_the_error(
    retries: int, server: AuthorizationServer, clock: FakeClock
) -> None:
    """By default there are none."""
    server.answer_next(503, body="busy", times=100)
    options = {"token_retries": retries} if retries else {}
    async with manager_for(server, clock, **options) as manager:
        with pytest.raises(TokenHTTPError, match="503, Body: busy"):
            await manager.get()
    assert server.token_requests == retries + 1
    assert len(clock.sleeps) == retries


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
async def test_a_failure_that_does_not_pass_is_not_retried(
    status: int, server: AuthorizationServer, clock: FakeClock
) -> None:
    """Asking again would not help."""
    server.answer_next(status, body='{"error": "invalid_grant"}')
    async with manager_for(server, clock, token_retries=5) as manager:
        with pytest.raises(TokenHTTPError):
            await manager.get()
    assert server.token_requests == 1
    assert clock.sleeps == []


# Connections


async def test_used_bare_it_leaves_no_connection_open(server: AuthorizationServer) -> None:
    """Never entered, never closed, as old code does: one connection for each token request."""
    manager = manager_for(server)
    for _ in range(3):
        await manager.reset_token()
    del manager
    gc.collect()  # a ResourceWarning would be an error
    assert server.connections == 3
    await server.close()


# What it shows


def test_its_repr_names_client_and_endpoint_and_nothing_else() -> None:
    """No secret, no query, no password of a URL."""
    manager = TokenManager("https://u:s3cr3t@a/token?k=s3cr3t", "id", "s3cr3t")
    assert repr(manager) == "<TokenManager client_id='id' token_endpoint='https://a/token'>"


@pytest.mark.parametrize(
    ("endpoint", "warned"),
    [
        ("http://login.example.com/token?key=s3cr3t", True),
        ("http://10.0.0.1/token", True),
        ("https://login.example.com/token", False),
        ("http://localhost:1/token", False),
        ("http://a.localhost:1/token", False),
        ("http://127.0.0.2:1/token", False),
        ("http://[::1]:1/token", False),
    ],
)
async def test_a_token_endpoint_in_plain_http_is_warned_of_once(
    endpoint: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Unless it is on loopback (RFC 6749 section 3.2)."""
    manager = TokenManager(endpoint, "id", "secret", http_options={"proxy": "http://127.0.0.1:1"})
    for _ in range(2):
        with pytest.raises(TokenError):
            await manager.get()
    said = [record.message for record in caplog.records if "not https" in record.message]
    assert len(said) == warned
    assert "s3cr3t" not in caplog.text


async def test_a_token_is_named_in_the_log_by_a_fingerprint(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Eight digits that tell nothing outside of this process."""
    caplog.set_level(logging.DEBUG, "aioalf")
    await Fetching(clock, {"access_token": "s3cr3t-token"}).get()
    (said,) = [record.message for record in caplog.records if record.message.startswith("Token ")]
    assert "s3cr3t" not in said
    assert len(said.split()[1].rstrip(",")) == 8
