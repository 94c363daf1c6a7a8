"""`aioalf.testing` has metadata, takes pushed requests and revokes tokens, as a strict server would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from fakes import FakeClock

from aioalf.testing import AuthorizationServer

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"
SECRET = {"client_id": "client-id", "client_secret": "secret"}
REQUEST = {
    "response_type": "code",
    "redirect_uri": "http://127.0.0.1:32000/",
    "code_challenge": "c" * 43,
    "code_challenge_method": "S256",
    "state": "s",
}


@pytest.fixture
async def server(clock: FakeClock) -> AsyncIterator[AuthorizationServer]:
    """A server whose time the test moves."""
    async with AuthorizationServer(time=clock.time) as started:
        yield started


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A bare session that gives up soon."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as started:
        yield started


async def get(session: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
    """Status and, of a success, JSON."""
    async with session.get(url) as response:
        return response.status, await response.json() if response.status == 200 else None


async def post(
    session: aiohttp.ClientSession, url: str, form: dict[str, str]
) -> tuple[int, dict[str, Any]]:
    """Status and, if it says something, JSON."""
    async with session.post(url, data=form) as response:
        body = await response.read()
        return response.status, await response.json() if body else {}


# -- metadata


@pytest.mark.parametrize(
    ("issuer_path", "there", "not_there"),
    [
        ("", [OPENID, OAUTH], ["/tenant" + OPENID, OPENID + "/tenant", "/.well-known/other"]),
        (
            "/tenant",
            ["/tenant" + OPENID, OPENID + "/tenant", "/tenant" + OAUTH, OAUTH + "/tenant"],
            [OPENID, OAUTH, "/other" + OPENID, OAUTH + "/other"],
        ),
    ],
)
async def test_metadata_is_at_the_well_known_paths_of_the_issuer_alone(
    server: AuthorizationServer,
    session: aiohttp.ClientSession,
    issuer_path: str,
    there: list[str],
    not_there: list[str],
) -> None:
    """RFC 8414 section 3.1, OpenID Connect Discovery section 4.1."""
    server.issuer_path = issuer_path
    assert server.issuer == server.url + issuer_path
    for path in there:
        status, document = await get(session, server.url + path)
        assert (status, document["issuer"]) == (200, server.issuer)
    for path in not_there:
        assert await get(session, server.url + path) == (404, None)
    assert server.requests["metadata"] == len(there) + len(not_there)
    assert {entry.kind for entry in server.log} == {"metadata"}


async def test_metadata_names_what_there_is(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 8414 section 2: each endpoint is where the property says."""
    _, document = await get(session, server.url + OAUTH)
    for name in (
        "token_endpoint",
        "authorization_endpoint",
        "device_authorization_endpoint",
        "pushed_authorization_request_endpoint",
        "revocation_endpoint",
    ):
        assert document[name] == getattr(server, name)
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert len(document["grant_types_supported"]) == 7
    for grant in document["grant_types_supported"]:
        if grant != "implicit":
            form = SECRET | {"grant_type": grant}
            _, answer = await post(session, server.token_endpoint, form)
            assert answer.get("error") in (None, "invalid_request"), grant
    for option, name in (
        ("require_par", "require_pushed_authorization_requests"),
        ("allow_public", "token_endpoint_auth_methods_supported"),
    ):
        setattr(server, option, True)
        assert (await get(session, server.url + OAUTH))[1][name] != document[name]


async def test_metadata_can_be_bent(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """Another issuer, an endpoint missing, aliases for certificates."""
    server.metadata = {
        "issuer": "https://evil.example.com",
        "token_endpoint": None,
        "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.example.com/token"},
    }
    _, document = await get(session, server.url + OPENID)
    assert document["issuer"] == "https://evil.example.com"
    assert "token_endpoint" not in document
    assert document["mtls_endpoint_aliases"] == {"token_endpoint": "https://mtls.example.com/token"}


async def test_a_well_known_path_below_the_resource_is_a_resource(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """It wants a token."""
    assert await get(session, server.resource + "/.well-known/x") == (401, None)
    assert server.requests == {"resource": 1}


# -- pushed requests


async def push(
    session: aiohttp.ClientSession, server: AuthorizationServer, **changes: str
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the answer to a pushed request."""
    form = {name: value for name, value in (REQUEST | SECRET | changes).items() if value}
    return await post(session, server.pushed_authorization_request_endpoint, form)


async def authorize(
    session: aiohttp.ClientSession, server: AuthorizationServer, **query: str
) -> tuple[int, dict[str, list[str]]]:
    """Status and parameters of the answer to an authorization request."""
    url = server.authorization_endpoint
    async with session.get(url, params=query, allow_redirects=False) as response:
        return response.status, parse_qs(urlsplit(response.headers.get("Location", "")).query)


async def test_a_pushed_request_is_good_once(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 9126 sections 2.2 and 4; what stands beside it counts for nothing."""
    status, pushed = await push(session, server)
    assert (status, pushed["expires_in"], len(pushed)) == (201, 60, 2)
    assert type(pushed["expires_in"]) is int
    assert pushed["request_uri"].startswith("urn:ietf:params:oauth:request_uri:")
    query = {"client_id": "client-id", "request_uri": pushed["request_uri"], "state": "other"}
    status, answer = await authorize(session, server, **query)
    assert (status, answer["state"], list(answer)) == (302, ["s"], ["code", "state", "iss"])
    assert await authorize(session, server, **query) == (400, {})
    assert server.requests["par"] == 1


async def test_a_pushed_request_expires(
    server: AuthorizationServer, session: aiohttp.ClientSession, clock: FakeClock
) -> None:
    """RFC 9126 section 4."""
    _, pushed = await push(session, server)
    clock.advance(60)
    query = {"client_id": "client-id", "request_uri": pushed["request_uri"]}
    assert await authorize(session, server, **query) == (400, {})


async def test_a_pushed_request_is_of_the_client_that_pushed_it(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 9126 section 4."""
    _, pushed = await push(session, server)
    assert (await authorize(session, server, request_uri=pushed["request_uri"]))[0] == 400


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"client_secret": ""}, (401, "invalid_client")),
        ({"client_secret": "wrong"}, (401, "invalid_client")),
        ({"redirect_uri": "http://127.0.0.1:32000"}, (400, "invalid_request")),
        ({"redirect_uri": ""}, (400, "invalid_request")),
        ({"code_challenge": ""}, (400, "invalid_request")),
        ({"code_challenge_method": "plain"}, (400, "invalid_request")),
        ({"response_type": "id_token"}, (400, "unsupported_response_type")),
        ({"scope": "b"}, (400, "invalid_scope")),
        ({"request_uri": "urn:x"}, (400, "invalid_request")),
    ],
)
async def test_a_request_is_checked_when_it_is_pushed(
    server: AuthorizationServer,
    session: aiohttp.ClientSession,
    changes: dict[str, str],
    expected: tuple[int, str],
) -> None:
    """RFC 9126 section 2.1: as the authorization endpoint would."""
    server.redirect_uris, server.allowed_scopes = [REQUEST["redirect_uri"]], ["a"]
    status, answer = await push(session, server, **changes)
    assert (status, answer["error"]) == expected


async def test_a_request_that_was_not_pushed_is_refused_where_it_must_be(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 9126 section 5."""
    request = REQUEST | {"client_id": "client-id"}
    assert (await authorize(session, server, **request))[0] == 302
    server.require_par = True
    assert (await authorize(session, server, **request))[0] == 400


# -- revocation


async def revoke(session: aiohttp.ClientSession, server: AuthorizationServer, **form: str) -> int:
    """The status of the answer to a revocation."""
    return (await post(session, server.revocation_endpoint, SECRET | form))[0]


async def refresh(
    session: aiohttp.ClientSession, server: AuthorizationServer, token: str
) -> dict[str, Any]:
    """The answer to a refresh token."""
    form = SECRET | {"grant_type": "refresh_token", "refresh_token": token}
    return (await post(session, server.token_endpoint, form))[1]


async def test_a_refresh_token_that_is_revoked_takes_its_family_with_it(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 7009 section 2.1; whatever the hint says."""
    tokens = await refresh(session, server, server.issue_refresh_token())
    other = await refresh(session, server, server.issue_refresh_token())
    form = {"token": tokens["refresh_token"], "token_type_hint": "access_token"}
    assert await revoke(session, server, **form) == 200
    assert not server.accepts(tokens["access_token"])
    assert (await refresh(session, server, tokens["refresh_token"]))["error"] == "invalid_grant"
    assert server.accepts(other["access_token"])


async def test_an_access_token_is_revoked_alone(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 7009 section 2.1."""
    tokens = await refresh(session, server, server.issue_refresh_token())
    assert await revoke(session, server, token=tokens["access_token"]) == 200
    assert not server.accepts(tokens["access_token"])
    assert "access_token" in await refresh(session, server, tokens["refresh_token"])


async def test_a_token_that_is_not_known_is_revoked_already(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 7009 section 2.2."""
    assert await revoke(session, server, token="unknown") == 200
    assert server.requests["revocation"] == 1


async def test_only_the_client_may_revoke_and_must_say_what(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 7009 section 2.1."""
    token = server.issue()
    url = server.revocation_endpoint
    for form, expected in (
        ({"token": token}, (401, "invalid_client")),
        ({"token": token, **SECRET, "client_secret": "wrong"}, (401, "invalid_client")),
        (SECRET, (400, "invalid_request")),
    ):
        status, answer = await post(session, url, form)
        assert (status, answer["error"]) == expected
    assert server.accepts(token)


# -- bad days


@pytest.mark.parametrize("kind", ["device", "metadata", "par", "revocation", "authorize"])
async def test_every_endpoint_can_be_told_to_misbehave(
    server: AuthorizationServer, session: aiohttp.ClientSession, kind: Any
) -> None:
    """An answer, and none at all; the token endpoint notices nothing."""
    url = {
        "device": server.device_authorization_endpoint,
        "metadata": server.url + OAUTH,
        "par": server.pushed_authorization_request_endpoint,
        "revocation": server.revocation_endpoint,
        "authorize": server.authorization_endpoint,
    }[kind]
    server.answer_next(503, {"Retry-After": "7"}, "<html>", at=kind)
    server.drop_next(at=kind)
    async with session.post(url) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "7")
        assert await response.text() == "<html>"
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await session.post(url)
    form = SECRET | {"grant_type": "client_credentials"}
    assert (await post(session, server.token_endpoint, form))[0] == 200
    assert server.requests == {kind: 2, "token": 1}


async def test_a_revocation_whose_answer_is_lost_has_been_done(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """The same holds for every endpoint."""
    token = server.issue()
    server.lose_answer_next(at="revocation")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await revoke(session, server, token=token)
    assert not server.accepts(token)


async def test_one_can_wait_for_a_request_of_any_kind(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """`wait_until` is told of each."""
    waiting = asyncio.create_task(
        asyncio.wait_for(server.wait_until(lambda: server.requests["metadata"] == 2), 5)
    )
    for _ in range(2):
        assert not waiting.done()
        await get(session, server.url + OAUTH)
    await waiting
