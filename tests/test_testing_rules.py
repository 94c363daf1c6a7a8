"""`aioalf.testing` checks what it is sent as a strict authorization server would."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from clients import manager_of
from multidict import CIMultiDict

from aioalf.testing import AuthorizationServer

GRANT = "grant_type=client_credentials"
POST = "&client_id=client-id&client_secret=secret"
FORM_TYPE = "application/x-www-form-urlencoded"


def basic(credentials: str) -> tuple[str, str]:
    """An Authorization header."""
    return "Authorization", "Basic " + base64.b64encode(credentials.encode()).decode()


GOOD = basic("client-id:secret")


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A bare session that gives up soon."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as started:
        yield started


async def ask(
    session: aiohttp.ClientSession,
    server: AuthorizationServer,
    body: str,
    *headers: tuple[str, str],
    query: str = "",
    content_type: str = FORM_TYPE,
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the answer to a token request, which must not be cached."""
    sent = CIMultiDict([*headers, ("Content-Type", content_type)])
    url = server.token_endpoint + query
    async with session.post(url, data=body.encode(), headers=sent) as response:
        assert response.headers["Cache-Control"] == "no-store"
        if response.status == 401:
            assert response.headers["WWW-Authenticate"].startswith("Basic")
        return response.status, await response.json()


@pytest.mark.parametrize(
    ("body", "headers", "options", "expected"),
    [
        (GRANT, [GOOD], {}, (200, None)),
        (GRANT, [GOOD], {"content_type": FORM_TYPE + "; charset=utf-8"}, (200, None)),
        (GRANT, [GOOD], {"query": "?tenant=1"}, (200, None)),
        (GRANT + POST, [], {}, (200, None)),
        (GRANT + "&client_id=client-id", [GOOD], {}, (200, None)),
        (GRANT + "&scope=", [GOOD], {}, (200, None)),
        (GRANT, [GOOD], {"content_type": "application/json"}, (400, "invalid_request")),
        (GRANT, [GOOD], {"query": "?client_secret=secret"}, (400, "invalid_request")),
        (GRANT, [GOOD, GOOD], {}, (400, "invalid_request")),
        (GRANT + POST, [GOOD], {}, (400, "invalid_request")),
        (GRANT + "&client_id=other", [GOOD], {}, (400, "invalid_request")),
        (GRANT + "&" + GRANT, [GOOD], {}, (400, "invalid_request")),
        (GRANT + "&scope=&scope=", [GOOD], {}, (400, "invalid_request")),
        (GRANT + "&x=%FF", [GOOD], {}, (400, "invalid_request")),
        (GRANT + "&x=ä", [GOOD], {}, (400, "invalid_request")),
        ("", [GOOD], {}, (400, "invalid_request")),
        ("grant_type=password", [GOOD], {}, (400, "unsupported_grant_type")),
        (GRANT + "&scope=a++b", [GOOD], {}, (400, "invalid_scope")),
        (GRANT + "&scope=%22", [GOOD], {}, (400, "invalid_scope")),
        (GRANT, [], {}, (401, "invalid_client")),
        (GRANT + "&client_id=client-id", [], {}, (401, "invalid_client")),
        (GRANT + POST + "x", [], {}, (401, "invalid_client")),
        (GRANT, [basic("client-id:wrong")], {}, (401, "invalid_client")),
        (GRANT, [basic("other:secret")], {}, (401, "invalid_client")),
        (GRANT, [basic("client-id")], {}, (401, "invalid_client")),
        (GRANT, [("Authorization", "Basic !")], {}, (401, "invalid_client")),
        (GRANT, [("Authorization", "Basic 5A==")], {}, (401, "invalid_client")),
        (GRANT, [("Authorization", "Bearer x")], {}, (401, "invalid_client")),
    ],
)
async def test_the_token_endpoint_is_strict(
    server: AuthorizationServer,
    session: aiohttp.ClientSession,
    body: str,
    headers: list[tuple[str, str]],
    options: dict[str, str],
    expected: tuple[int, str | None],
) -> None:
    """RFC 6749 sections 2.3, 3.2, 3.3 and 5.2."""
    status, answer = await ask(session, server, body, *headers, **options)
    assert (status, answer.get("error")) == expected
    assert bool(answer.get("error_description")) == (status != 200)
    assert server.token_requests == 1


async def test_the_token_endpoint_takes_only_post(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 6749 section 3.2."""
    async with session.get(server.token_endpoint, headers=[GOOD]) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert (await response.json())["error"] == "invalid_request"


NASTY = 'ä+/= %:\\"&?#'


@pytest.mark.parametrize(
    ("decode", "credentials", "status"),
    [
        (True, "i%3Ad:%C3%A4%2B/=+%25:%5C%22%26%3F%23", 200),
        (True, f"i%3Ad:{NASTY}", 401),
        (False, f"id:{NASTY}", 200),
        (False, "id:%C3%A4%2B/=+%25:%5C%22%26%3F%23", 401),
    ],
)
async def test_basic_credentials_are_form_decoded_unless_told_otherwise(
    session: aiohttp.ClientSession, decode: bool, credentials: str, status: int
) -> None:
    """RFC 6749 section 2.3.1, and the many servers that do not do as it says."""
    client_id = "i:d" if decode else "id"
    async with AuthorizationServer(client_id, NASTY, decode_credentials=decode) as server:
        assert (await ask(session, server, GRANT, basic(credentials)))[0] == status


async def test_a_public_client_needs_no_secret_where_that_is_allowed(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 6749 section 2.1; a secret that is sent has to be right all the same."""
    server.allow_public = True
    public = GRANT + "&client_id=client-id"
    assert (await ask(session, server, public))[0] == 200
    assert (await ask(session, server, GRANT + "&client_id=other"))[0] == 401
    assert (await ask(session, server, public + "&client_secret=wrong"))[0] == 401


async def test_only_the_scopes_that_there_are_can_be_had(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 6749 section 3.3."""
    server.allowed_scopes = {"read", "write"}
    assert (await ask(session, server, GRANT + "&scope=write+read", GOOD))[1]["scope"] == (
        "write read"
    )
    status, answer = await ask(session, server, GRANT + "&scope=read+admin", GOOD)
    assert (status, answer["error"]) == (400, "invalid_scope")


async def test_a_refresh_token_is_good_once(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 6749 section 6, with rotation; the scope can be narrowed, not widened."""
    server.issue_refresh_tokens = True
    _, first = await ask(session, server, GRANT + "&scope=a+b", GOOD)
    refresh = "grant_type=refresh_token&refresh_token=" + first["refresh_token"]
    assert (await ask(session, server, refresh + "&scope=c", GOOD))[1]["error"] == "invalid_scope"
    _, second = await ask(session, server, refresh, GOOD)
    assert second["scope"] == "a b"
    assert second["refresh_token"] != first["refresh_token"]
    assert server.accepts(second["access_token"])
    again = "grant_type=refresh_token&refresh_token=" + second["refresh_token"]
    _, third = await ask(session, server, again + "&scope=a", GOOD)
    assert third["scope"] == "a"
    assert (await ask(session, server, refresh, GOOD))[1]["error"] == "invalid_grant"
    # RFC 9700 section 4.14.2: whoever has stolen it, all that came of it is over.
    assert not server.accepts(third["access_token"])
    again = "grant_type=refresh_token&refresh_token=" + third["refresh_token"]
    assert (await ask(session, server, again, GOOD))[1]["error"] == "invalid_grant"
    assert (await ask(session, server, "grant_type=refresh_token", GOOD))[1]["error"] == (
        "invalid_request"
    )


async def test_a_refresh_token_stays_where_the_server_does_not_rotate(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 6749 section 6: a new one is optional."""
    server.issue_refresh_tokens, server.rotate_refresh_tokens = True, False
    _, first = await ask(session, server, GRANT, GOOD)
    refresh = "grant_type=refresh_token&refresh_token=" + first["refresh_token"]
    for _ in range(2):
        status, answer = await ask(session, server, refresh, GOOD)
        assert status == 200
        assert "refresh_token" not in answer


async def authorize(
    session: aiohttp.ClientSession, server: AuthorizationServer, endpoint: str = "", **changes: str
) -> tuple[int, dict[str, str]]:
    """Status of the answer to an authorization request, and the fragment it redirects to."""
    query = {
        "response_type": "token",
        "client_id": server.client_id,
        "redirect_uri": "http://localhost:32000/back?x=1",
        "state": "s&t",
    } | changes
    url = endpoint or server.authorization_endpoint
    async with session.get(url, params=query, allow_redirects=False) as response:
        assert response.headers["Cache-Control"] == "no-store"
        location = urlsplit(response.headers.get("Location", ""))
        if location.netloc:
            assert (location.netloc, location.path, location.query) == (
                "localhost:32000",
                "/back",
                "x=1",
            )
        return response.status, {
            name: value for name, [value] in parse_qs(location.fragment).items()
        }


@pytest.mark.parametrize("path", ["/authorize", "/token/authorize"])
async def test_the_authorization_endpoint_redirects_with_a_token_in_the_fragment(
    server: AuthorizationServer, session: aiohttp.ClientSession, path: str
) -> None:
    """RFC 6749 section 4.2.2."""
    status, answer = await authorize(session, server, server.url + path, scope="a b")
    assert status == 302
    assert server.accepts(answer.pop("access_token"))
    assert answer == {"token_type": "Bearer", "expires_in": "3600", "scope": "a b", "state": "s&t"}
    assert server.authorization_requests == 1
    assert server.log[0].kind == "authorize"
    assert server.log[0].query["state"] == "s&t"


async def test_the_authorization_endpoint_can_answer_with_a_form(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """OAuth 2.0 Form Post Response Mode; everything in it is escaped."""
    query = {
        "response_type": "token",
        "response_mode": "form_post",
        "client_id": server.client_id,
        "redirect_uri": "http://localhost:1/?a=b&c=d",
        "state": '"><script>',
    }
    async with session.get(server.authorization_endpoint, params=query) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        page = await response.text()
    assert 'action="http://localhost:1/?a=b&amp;c=d"' in page
    assert 'name="state" value="&quot;&gt;&lt;script&gt;"' in page
    assert 'name="access_token"' in page


@pytest.mark.parametrize(
    ("knobs", "changes", "error"),
    [
        ({"deny": True}, {}, "access_denied"),
        ({"allowed_scopes": ["a"]}, {"scope": "b"}, "invalid_scope"),
        ({}, {"response_type": "id_token"}, "unsupported_response_type"),
        ({}, {"response_type": ""}, "unsupported_response_type"),
        ({}, {"response_mode": "query"}, "invalid_request"),
    ],
)
async def test_a_refused_authorization_is_told_in_the_redirect(
    session: aiohttp.ClientSession, knobs: dict[str, Any], changes: dict[str, str], error: str
) -> None:
    """RFC 6749 section 4.2.2.1, with the state."""
    async with AuthorizationServer(**knobs) as server:
        status, answer = await authorize(session, server, **changes)
    assert (status, answer["error"], answer["state"]) == (302, error, "s&t")
    assert "access_token" not in answer


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": ""},
        {"redirect_uri": "/relative"},
        {"redirect_uri": "http://localhost/#fragment"},
        {"redirect_uri": "http://localhost/\r\nSet-Cookie: a=b"},
        {"client_id": "other"},
    ],
)
async def test_nobody_is_redirected_to_where_they_should_not_go(
    server: AuthorizationServer, session: aiohttp.ClientSession, changes: dict[str, str]
) -> None:
    """RFC 6749 section 4.2.2.1."""
    assert await authorize(session, server, **changes) == (400, {})


@pytest.mark.parametrize("name", ["resource", "audience"])
async def test_a_resource_or_an_audience_may_be_named_more_than_once(
    name: str, server: AuthorizationServer
) -> None:
    """RFC 8707 section 2, RFC 8693 section 2.1: the manager offers it, so the server takes it."""
    params = {name: ["https://a.example.com", "https://b.example.com"]}
    async with manager_of(server, token_request_params=params) as manager:
        await manager.get()
    assert server.log[0].form.getall(name) == params[name]
