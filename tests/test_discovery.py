"""Endpoints that are looked up in the metadata of a server: `aioalf.discovery`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes import FakeClock

from aioalf import Client, FileTokenStorage, TokenError, TokenHTTPError, TokenManager
from aioalf.testing import AuthorizationServer

JSON = {"Content-Type": "application/json"}


def manager(server: AuthorizationServer, **options: Any) -> TokenManager:
    """Make a manager that knows the issuer alone."""
    options = {"issuer": server.issuer, "client_secret": server.client_secret, **options}
    return TokenManager(client_id=server.client_id, **options)


def paths(server: AuthorizationServer) -> list[str]:
    """Where metadata was looked for."""
    return [request.path for request in server.log if request.kind == "metadata"]


async def test_the_issuer_is_enough(server: AuthorizationServer) -> None:
    """For a client too; the metadata is read once, at the first need."""
    async with Client(server.client_id, server.client_secret, issuer=server.issuer) as client:
        assert server.requests["metadata"] == 0
        for _ in range(3):
            assert (await client.get(server.resource)).status == 200
            server.revoke_all()
    assert server.requests["metadata"] == 1
    assert server.token_requests == 3


async def test_an_issuer_with_a_path_is_looked_for_appended_then_inserted(
    server: AuthorizationServer,
) -> None:
    """Rule 37: servers answer 404, 400 or 403 to addresses that they do not know."""
    server.issuer_path = "/realms/one"
    server.answer_next(403, at="metadata")
    async with manager(server) as one:
        await one.get()
    assert paths(server) == [
        "/realms/one/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/realms/one",
    ]


async def test_discovery_url_replaces_the_addresses_but_not_the_check(
    server: AuthorizationServer,
) -> None:
    """Rule 37: one name inside of a cluster, another outside."""
    url = f"{server.url}/.well-known/openid-configuration"
    server.metadata = {"issuer": "http://outside.localhost"}
    async with manager(server, issuer="http://outside.localhost", discovery_url=url) as one:
        await one.get()
    async with manager(server, discovery_url=url) as two:
        with pytest.raises(TokenError, match="another issuer"):
            await two.get()


async def test_without_an_issuer_the_one_of_the_document_counts(
    server: AuthorizationServer,
) -> None:
    """``discovery_url=`` alone."""
    url = f"{server.url}/.well-known/openid-configuration"
    async with manager(server, issuer=None, discovery_url=url) as one:
        await one.get()


@pytest.mark.parametrize(
    ("status", "headers", "body", "message"),
    [
        (200, {"Content-Type": "text/html"}, "<html>", "is not a JSON object"),
        (200, JSON, '{"issuer": "https://evil.example.com"}', "another issuer"),
        (200, JSON, '{"token_endpoint": "https://a.example/token"}', "names no issuer"),
        (500, {}, "", "the server answered 500"),
        (503, {}, "<html>", "the server answered 503"),
        (302, {"Location": "https://evil.example.com"}, "", "follows no redirect"),
        (200, JSON, " " * (2**20 + 1), "more than"),
    ],
)
async def test_what_is_not_the_metadata_of_the_issuer_is_an_error_that_ends_the_search(
    server: AuthorizationServer, status: int, headers: Any, body: str, message: str
) -> None:
    """And no endpoint of it is asked."""
    server.answer_next(status, headers, body, at="metadata")
    async with manager(server) as one:
        with pytest.raises(TokenError, match=message):
            await one.get()
        assert server.requests["metadata"] == 1
        assert server.token_requests == 0
        await one.get()  # the next call tries afresh


async def test_no_metadata_at_any_address_names_them_all(server: AuthorizationServer) -> None:
    """And what else can be given."""
    server.issuer_path = "/a"
    server.answer_next(404, times=3, at="metadata")
    async with manager(server) as one:
        with pytest.raises(TokenError, match=r"no metadata at .*discovery_url=") as caught:
            await one.get()
    for path in paths(server):
        assert path in str(caught.value)
    assert len(paths(server)) == 3


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (None, "Missing token endpoint"),
        ("/token", "token_endpoint that is not an absolute https URL"),
        ("http://login.example.com/token", "token_endpoint that is not an absolute https URL"),
        ("https://user:pass@login.example.com/token", "not an absolute https URL"),
        (5, "not an absolute https URL"),
    ],
)
async def test_an_endpoint_that_is_missing_or_not_https_is_an_error(
    server: AuthorizationServer, member: Any, message: str
) -> None:
    """One of loopback may be http, as here."""
    server.metadata = {"token_endpoint": member}
    async with manager(server) as one:
        with pytest.raises(TokenError, match=message):
            await one.get()


@pytest.mark.parametrize("status", [404, 410])
async def test_metadata_is_read_anew_if_the_endpoint_has_gone(
    server: AuthorizationServer, clock: FakeClock, status: int
) -> None:
    """The server was moved; a program that runs for months notices."""
    async with manager(server, clock=clock) as one:
        await one.get()
        clock.advance(7200)
        server.answer_next(status)
        with pytest.raises(TokenHTTPError):
            await one.get()
        await one.get()
    assert server.requests["metadata"] == 2


async def test_metadata_is_kept_if_the_server_only_refuses(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """invalid_client says nothing of where it is."""
    async with manager(server, clock=clock) as one:
        server.answer_next(400, JSON, '{"error": "invalid_scope"}')
        with pytest.raises(TokenHTTPError):
            await one.get()
        await one.get()
    assert server.requests["metadata"] == 1


async def test_metadata_is_read_anew_if_there_is_no_connection(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The name may point to another machine by now."""
    async with manager(server, clock=clock) as one:
        await one.get()
        clock.advance(7200)
        server.drop_next()
        with pytest.raises(TokenError):
            await one.get()
        await one.get()
    assert server.requests["metadata"] == 2


async def test_a_stored_token_is_bound_to_the_issuer(
    server: AuthorizationServer, tmp_path: Any
) -> None:
    """Wherever its endpoints are; and no endpoint looks like an issuer."""
    storage = FileTokenStorage(tmp_path / "tokens.json")
    tokens = []
    given: list[dict[str, Any]] = [{}, {"token_endpoint": server.token_endpoint}, {}]
    for options in given:
        async with manager(server, token_storage=storage, **options) as one:
            tokens.append((await one.get()).access_token)
    async with manager(
        server, issuer=None, token_endpoint=server.token_endpoint, token_storage=storage
    ) as other:
        tokens.append((await other.get()).access_token)
    assert tokens[0] == tokens[1] == tokens[2] != tokens[3]


async def test_a_metadata_request_carries_no_credentials(server: AuthorizationServer) -> None:
    """It is a public document."""
    async with manager(server) as one:
        await one.get()
    request = next(request for request in server.log if request.kind == "metadata")
    assert request.method == "GET"
    assert "Authorization" not in request.headers
    assert "Content-Type" not in request.headers
    assert not request.body


async def test_nothing_but_endpoints_is_chosen_from_metadata(server: AuthorizationServer) -> None:
    """Rule 37: how a client authenticates is what it was told, not what a document says first."""
    server.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post", "none"]}
    async with manager(server) as one:
        await one.get()
    request = next(request for request in server.log if request.kind == "token")
    assert request.headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize("issuer", ["http://login.example.com", "x", 5, "https://a.example?b"])
def test_what_cannot_be_an_issuer_is_told_at_construction(issuer: Any) -> None:
    """With the name of the keyword."""
    with pytest.raises((TypeError, ValueError), match="issuer"):
        TokenManager(client_id="id", client_secret="secret", issuer=issuer)


async def test_the_body_may_be_of_any_content_type(server: AuthorizationServer) -> None:
    """Some servers say octet-stream."""
    body = json.dumps({"issuer": server.issuer, "token_endpoint": server.token_endpoint})
    server.answer_next(200, {"Content-Type": "application/octet-stream"}, body, at="metadata")
    async with manager(server) as one:
        await one.get()
