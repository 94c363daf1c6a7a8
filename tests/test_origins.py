"""Where the token may go: `origins=`, `base_url`, and what is said of neither."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from clients import arrived, bearer, client_of, manager_of, status_of
from yarl import URL

from aioalf import Client, OAuth2Middleware, TokenManager
from aioalf.bearer.origins import origin_of, origins_of
from aioalf.testing import AuthorizationServer


@pytest.fixture
async def elsewhere() -> AsyncIterator[AuthorizationServer]:
    """A server of another origin."""
    async with AuthorizationServer() as started:
        yield started


@pytest.mark.parametrize("as_list", [False, True])
async def test_a_request_to_an_origin_not_named_goes_out_without_the_token(
    as_list: bool, server: AuthorizationServer, elsewhere: AuthorizationServer
) -> None:
    """And without a token request; its 401 is nobody's business here."""
    origins: Any = [server.url, URL("https://other.example")] if as_list else server.url
    async with client_of(server, origins=origins) as client:
        assert await status_of(client, elsewhere.resource) == 401
        assert server.token_requests == 0
        assert await status_of(client, server.resource) == 200
        assert await status_of(client, elsewhere.resource) == 401
    assert (server.token_requests, elsewhere.resource_requests) == (1, 2)
    assert not any(bearer(request) for request in elsewhere.log)


async def test_a_request_to_another_origin_is_the_caller_s_own(
    server: AuthorizationServer, elsewhere: AuthorizationServer
) -> None:
    """Their Authorization header goes out there as they gave it."""
    async with client_of(server, origins=server.url) as client:
        await client.get(elsewhere.resource, headers={"Authorization": "Bearer mine"})
    assert bearer(elsewhere.log[0]) == ["Bearer mine"]


async def test_the_origin_of_base_url_is_the_default(
    server: AuthorizationServer, elsewhere: AuthorizationServer
) -> None:
    """Relative URLs have the token, and so has an absolute one of the same origin."""
    async with client_of(server, base_url=server.url + "/resource/") as client:
        assert await status_of(client, "a") == 200
        assert await status_of(client, "/resource") == 200
        assert await status_of(client, server.resource) == 200
        assert await status_of(client, elsewhere.resource) == 401
        async with client.ws_connect("/ws") as websocket:
            await websocket.close()
    assert arrived(server)[0].path == "/resource/a"
    assert not any(bearer(request) for request in elsewhere.log)


async def test_a_borrowed_session_s_base_url_counts_as_well(
    server: AuthorizationServer, elsewhere: AuthorizationServer
) -> None:
    """It is the same promise, made elsewhere."""
    async with aiohttp.ClientSession(server.url) as session:
        async with client_of(server, session=session) as client:
            assert await status_of(client, "/resource") == 200
            assert await status_of(client, elsewhere.resource) == 401
    assert not any(bearer(request) for request in elsewhere.log)


async def test_origins_count_for_more_than_base_url(
    server: AuthorizationServer, elsewhere: AuthorizationServer
) -> None:
    """Named explicitly, they are the whole list."""
    async with client_of(server, base_url=elsewhere.url, origins=server.url) as client:
        assert await status_of(client, "/resource") == 401
        assert await status_of(client, server.resource) == 200
    assert not any(bearer(request) for request in elsewhere.log)


async def test_by_default_the_token_goes_wherever_the_caller_sends_a_request(
    server: AuthorizationServer, elsewhere: AuthorizationServer
) -> None:
    """Which is why the documents tell to name the origins where URLs come from users."""
    async with client_of(server) as client:
        await client.get(elsewhere.resource)
    assert bearer(arrived(elsewhere)[0])[0].startswith("Bearer ")
    assert "any origin the caller asks for" in (Client.__doc__ or "")


async def test_a_redirect_from_another_origin_into_a_named_one_has_no_token(
    server: AuthorizationServer, elsewhere: AuthorizationServer
) -> None:
    """The header belongs to the request that the caller made, and that one had none."""
    elsewhere.resource_answer_next(302, {"Location": server.resource})
    async with client_of(server, origins=server.url) as client:
        assert await status_of(client, elsewhere.resource) == 401
    assert server.token_requests == 0


@pytest.mark.parametrize("by", ["client", "middleware"])
async def test_a_401_without_a_token_says_why_there_was_none(
    by: str,
    server: AuthorizationServer,
    elsewhere: AuthorizationServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At INFO: a name that is missing from origins= is a mistake that is hard to see."""
    caplog.set_level(logging.INFO, "aioalf")
    async with manager_of(server) as manager:
        middleware = OAuth2Middleware(manager, origins=server.url)
        sender: Client | aiohttp.ClientSession = Client(token_manager=manager, origins=server.url)
        if by == "middleware":
            sender = aiohttp.ClientSession(middlewares=(middleware,))
        async with sender:
            await sender.get(elsewhere.resource + "?q=secret")
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert len(said) == 1
    assert f"GET request to {elsewhere.url}/ was answered 401" in said[0]
    assert "origins=" in said[0]


def test_a_base_url_that_is_no_origin_is_named(server: AuthorizationServer) -> None:
    """And not origins=, which nobody gave."""
    with pytest.raises(ValueError, match=r"base_url: 'api\.example\.com' is not an origin"):
        Client("a", "b", server.token_endpoint, base_url="api.example.com")


@pytest.mark.parametrize(
    "origins",
    ["https://*.example.com", "api.example.com", "/path", "ftp://x", "", [], ["https://"]],
)
def test_what_is_no_origin_is_refused_at_construction(origins: Any) -> None:
    """A typing error must not open the door."""
    with pytest.raises(ValueError, match="origins: "):
        origins_of(origins)
    with pytest.raises(ValueError, match="origins: "):
        OAuth2Middleware(TokenManager(), origins=origins)
    with pytest.raises(ValueError, match="origins: "):
        Client("a", "b", "http://127.0.0.1/token", origins=origins)


@pytest.mark.parametrize("origin", ["https://a.example/v2", "https://a.example/?tenant=1"])
def test_the_log_says_that_the_path_of_an_origin_counts_for_nothing(
    origin: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever wrote it may think that the token stays below that path."""
    assert origins_of(origin) == origins_of("https://a.example")
    (line,) = [record.getMessage() for record in caplog.records]
    assert "is more than an origin; the token goes to every path of https://a.example." in line
    origins_of("https://a.example/"), origins_of(origin, "base_url")
    assert len(caplog.records) == 1


async def test_a_url_that_is_none_is_refused_by_aiohttp(server: AuthorizationServer) -> None:
    """And costs no token."""
    async with client_of(server, origins=server.url) as client:
        with pytest.raises(aiohttp.InvalidURL):
            await client.get("http://[::1")
    assert server.log == []


async def test_a_url_without_a_scheme_is_no_named_origin(server: AuthorizationServer) -> None:
    """aiohttp sends it all the same, to the host it names and without TLS."""
    async with client_of(server, base_url=server.url) as client:
        assert await status_of(client, server.resource.removeprefix("http:")) == 401
    assert server.token_requests == 0


@pytest.mark.parametrize(
    ("named", "asked", "same"),
    [
        ("https://API.example.com", "https://api.example.com/x?y", True),
        ("https://api.example.com", "https://api.example.com:443/", True),
        ("https://api.example.com:443", "https://api.example.com/", True),
        ("https://api.example.com", "wss://api.example.com/", True),
        ("https://api.example.com", URL("https://API.Example.com/", encoded=True), True),
        ("https://api.example.com", "http://api.example.com/", False),
        ("https://api.example.com", "http://api.example.com:443/", False),
        ("https://api.example.com", "https://api.example.com:444/", False),
        ("https://api.example.com", "https://api.example.com.evil.example/", False),
        ("http://[::1]", "http://[::1]:80/", True),
        ("http://[::1]:8080", "ws://[::1]:8080/", True),
        ("https://bücher.example", "https://xn--bcher-kva.example/", True),
        ("wss://api.example.com:443", "https://api.example.com/", True),
        ("https://user:secret@api.example.com", "https://api.example.com/", True),
        ("https://api.example.com", "https://user@api.example.com/", True),
        ("https://api.example.com", "https://api.example.com@evil.example/", False),
        ("https://api.example.com", "https://api.example.com./", False),
        ("http://api.example.com:8080", "ws://API.example.com:8080/", True),
    ],
)
def test_an_origin_is_found_however_it_is_spelled(named: str, asked: str | URL, same: bool) -> None:
    """RFC 6454 section 4: case and default port make no difference, scheme and port do.

    A dot at the end does too: with a search list, the two names may be two hosts.
    """
    assert (origin_of(URL(asked)) in origins_of(named)) is same
