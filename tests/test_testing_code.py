"""`aioalf.testing` gives codes, and tokens for them, as a strict authorization server would."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
from fakes import FakeClock

from aioalf.testing import AuthorizationServer

BACK = "http://127.0.0.1:32000/back"
VERIFIER = "v" * 43
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
)
NOTHING = ""  # of a parameter: it is left out


@pytest.fixture
async def server(clock: FakeClock) -> AsyncIterator[AuthorizationServer]:
    """A server whose time the test moves, for a public client."""
    async with AuthorizationServer(allow_public=True, time=clock.time) as started:
        yield started


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A bare session that gives up soon."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as started:
        yield started


def request(server: AuthorizationServer, **changes: str) -> dict[str, str]:
    """The parameters of a good authorization request, but for the changes."""
    good = {
        "response_type": "code",
        "client_id": server.client_id,
        "redirect_uri": BACK,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "s&t",
    }
    return {name: value for name, value in (good | changes).items() if value}


async def answer(
    session: aiohttp.ClientSession, server: AuthorizationServer, **changes: str
) -> tuple[str, list[tuple[str, str]]]:
    """Where the answer is redirected to, and its parameters."""
    async with session.get(
        server.authorization_endpoint, params=request(server, **changes), allow_redirects=False
    ) as response:
        assert response.status == 302, await response.text()
        assert response.headers["Cache-Control"] == "no-store"
        location = urlsplit(response.headers["Location"])
    target = location._replace(query="", fragment="").geturl()
    return target, parse_qsl(location.query or location.fragment)


async def code(session: aiohttp.ClientSession, server: AuthorizationServer, **changes: str) -> str:
    """A code."""
    return dict((await answer(session, server, **changes))[1])["code"]


async def ask(
    session: aiohttp.ClientSession, server: AuthorizationServer, **form: str
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the answer to a token request."""
    sent = {"client_id": server.client_id} | form
    sent = {name: value for name, value in sent.items() if value}
    async with session.post(server.token_endpoint, data=sent) as response:
        return response.status, await response.json()


async def exchange(
    session: aiohttp.ClientSession, server: AuthorizationServer, a_code: str, **changes: str
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the answer to a code, with what belongs to it but for the changes."""
    good = {"grant_type": "authorization_code", "code": a_code}
    good |= {"redirect_uri": BACK, "code_verifier": VERIFIER}
    return await ask(session, server, **(good | changes))


async def refresh(
    session: aiohttp.ClientSession, server: AuthorizationServer, token: str, **form: str
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the answer to a refresh token."""
    return await ask(session, server, grant_type="refresh_token", refresh_token=token, **form)


async def test_a_code_opens_the_resource(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 6749 section 4.1, with the issuer in the answer (RFC 9207) and the scope that was asked for."""
    target, parameters = await answer(session, server, scope="a b")
    assert target == BACK
    assert [name for name, _ in parameters] == ["code", "state", "iss"]
    assert dict(parameters)["state"] == "s&t"
    assert dict(parameters)["iss"] == server.issuer
    status, tokens = await exchange(session, server, dict(parameters)["code"])
    assert status == 200
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("Bearer", 3600, "a b")
    assert "refresh_token" not in tokens
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    async with session.get(server.resource, headers=headers) as response:
        assert response.status == 200
    assert server.requests == {"authorize": 1, "token": 1, "resource": 1}


@pytest.mark.parametrize(("mode", "mark"), [("query", "?"), ("fragment", "#"), (NOTHING, "?")])
async def test_a_code_comes_in_the_query_unless_asked_otherwise(
    server: AuthorizationServer, session: aiohttp.ClientSession, mode: str, mark: str
) -> None:
    """OAuth 2.0 Multiple Response Type Encoding Practices, section 2.1."""
    sent = request(server, response_mode=mode)
    async with session.get(
        server.authorization_endpoint, params=sent, allow_redirects=False
    ) as response:
        assert response.headers["Location"].startswith(f"{BACK}{mark}code=")


async def test_a_query_that_is_there_already_is_kept(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 6749 section 3.1.2."""
    _, parameters = await answer(session, server, redirect_uri=BACK + "?x=1")
    assert parameters[0] == ("x", "1")
    assert parameters[1][0] == "code"


async def test_a_code_can_come_in_a_form(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """OAuth 2.0 Form Post Response Mode."""
    sent = request(server, response_mode="form_post")
    async with session.get(server.authorization_endpoint, params=sent) as response:
        assert response.content_type == "text/html"
        page = await response.text()
    assert f'action="{BACK}"' in page
    assert all(f'name="{name}"' in page for name in ("code", "state", "iss"))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": NOTHING}, "invalid_request"),
        ({"code_challenge": VERIFIER, "code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": NOTHING}, "invalid_request"),  # which means plain
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge": CHALLENGE + "="}, "invalid_request"),
        ({"response_mode": "jwt"}, "invalid_request"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"scope": "c"}, "invalid_scope"),
        ({"scope": "a  b"}, "invalid_scope"),
    ],
)
async def test_a_request_for_a_code_is_refused_in_the_redirect(
    server: AuthorizationServer,
    session: aiohttp.ClientSession,
    changes: dict[str, str],
    error: str,
) -> None:
    """RFC 6749 section 4.1.2.1, RFC 7636 section 4.4.1: with the state."""
    server.allowed_scopes = ["a", "b"]
    parameters = dict((await answer(session, server, **changes))[1])
    assert (parameters["error"], parameters["state"]) == (error, "s&t")
    assert "code" not in parameters


async def test_a_refusal_names_the_issuer(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 9207 section 2: on error answers too."""
    server.deny = True
    parameters = dict((await answer(session, server))[1])
    assert (parameters["error"], parameters["iss"]) == ("access_denied", server.issuer)


@pytest.mark.parametrize("changes", [{"redirect_uri": BACK + "/"}, {"client_id": "other"}])
async def test_a_redirect_uri_is_compared_character_by_character(
    server: AuthorizationServer, session: aiohttp.ClientSession, changes: dict[str, str]
) -> None:
    """RFC 9700 section 2.1: and who is not known is not redirected to."""
    server.redirect_uris = [BACK]
    sent = request(server, **changes)
    async with session.get(
        server.authorization_endpoint, params=sent, allow_redirects=False
    ) as response:
        assert response.status == 400
        assert "Location" not in response.headers
    assert await code(session, server)


@pytest.mark.parametrize(
    ("registered", "sent", "known"),
    [
        ("http://127.0.0.1/back", "http://127.0.0.1:54321/back", True),
        ("http://localhost:1/back", "http://localhost:54321/back", True),
        ("http://[::1]/back", "http://[::1]:54321/back", True),
        ("http://127.0.0.1/back", "http://localhost:54321/back", False),
        ("http://127.0.0.1/back", "http://127.0.0.1:54321/", False),
        ("http://127.0.0.1/back", "http://127.0.0.1:port/back", False),
        ("http://127.0.0.1/back", "http://me@127.0.0.1:54321/back", False),
        ("https://127.0.0.1/back", "http://127.0.0.1:54321/back", False),
        ("http://app.example.com/back", "http://app.example.com:54321/back", False),
    ],
)
async def test_a_loopback_redirect_may_be_at_any_port_where_that_is_allowed(
    server: AuthorizationServer,
    session: aiohttp.ClientSession,
    registered: str,
    sent: str,
    known: bool,
) -> None:
    """RFC 8252 section 7.3: the port alone may differ."""
    server.redirect_uris = [registered]
    url, params = server.authorization_endpoint, request(server, redirect_uri=sent)
    for allowed, status in ((False, 400), (True, 302 if known else 400)):
        server.any_loopback_port = allowed
        async with session.get(url, params=params, allow_redirects=False) as response:
            assert response.status == status


async def test_an_answer_can_be_bent(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """Another state, another issuer, no state, two codes."""
    server.authorization_parameters = {"state": "other", "iss": None, "code": ["one", "two"]}
    _, parameters = await answer(session, server)
    assert parameters == [("code", "one"), ("code", "two"), ("state", "other")]
    server.authorization_parameters = {"state": None, "error": "server_error"}
    _, parameters = await answer(session, server)
    assert [name for name, _ in parameters] == ["code", "iss", "error"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uri": BACK + "/"}, "invalid_grant"),
        ({"redirect_uri": NOTHING}, "invalid_grant"),
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": NOTHING}, "invalid_grant"),
        ({"code_verifier": CHALLENGE}, "invalid_grant"),
        ({"code": "other"}, "invalid_grant"),
        ({"code": NOTHING}, "invalid_request"),
        ({"client_id": "other"}, "invalid_client"),
        ({"client_secret": "wrong"}, "invalid_client"),
    ],
)
async def test_a_code_is_exchanged_with_all_that_belongs_to_it(
    server: AuthorizationServer,
    session: aiohttp.ClientSession,
    changes: dict[str, str],
    error: str,
) -> None:
    """RFC 6749 section 4.1.3, RFC 7636 section 4.6."""
    status, refused = await exchange(session, server, await code(session, server), **changes)
    assert (status, refused["error"]) == (401 if error == "invalid_client" else 400, error)


async def test_a_confidential_client_authenticates_at_the_exchange(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 6749 section 4.1.3."""
    server.allow_public = False
    a_code = await code(session, server)
    assert (await exchange(session, server, a_code))[1]["error"] == "invalid_client"
    assert (await exchange(session, server, a_code, client_secret="secret"))[0] == 200


async def test_pkce_can_be_left_out_where_that_is_allowed_but_not_by_half(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 9700 section 2.1.1: a verifier without a challenge is an attack."""
    server.require_pkce = False
    bare = {"code_challenge": NOTHING, "code_challenge_method": NOTHING}
    a_code = await code(session, server, **bare)
    assert (await exchange(session, server, a_code, code_verifier=NOTHING))[0] == 200
    a_code = await code(session, server, **bare)
    assert (await exchange(session, server, a_code))[1]["error"] == "invalid_grant"
    plain = dict((await answer(session, server, code_challenge_method="plain"))[1])
    assert plain["error"] == "invalid_request"


async def test_a_code_that_comes_twice_ends_the_tokens_it_gave(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 6749 section 4.1.2."""
    a_code = await code(session, server, scope="offline_access")
    _, tokens = await exchange(session, server, a_code)
    _, refreshed = await refresh(session, server, tokens["refresh_token"])
    other = server.issue()
    assert (await exchange(session, server, a_code))[1]["error"] == "invalid_grant"
    assert not server.accepts(tokens["access_token"])
    assert not server.accepts(refreshed["access_token"])
    status, refused = await refresh(session, server, refreshed["refresh_token"])
    assert (status, refused["error"]) == (400, "invalid_grant")
    assert server.accepts(other)


async def test_a_code_expires(
    server: AuthorizationServer, session: aiohttp.ClientSession, clock: FakeClock
) -> None:
    """RFC 6749 section 4.1.2."""
    server.code_lifetime = 10
    early, late = await code(session, server), await code(session, server)
    clock.advance(9.9)
    assert (await exchange(session, server, early))[0] == 200
    clock.advance(0.1)
    assert (await exchange(session, server, late))[1]["error"] == "invalid_grant"


async def test_an_old_refresh_token_ends_its_family_and_no_other(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 9700 section 4.14.2."""
    mine, theirs = server.issue_refresh_token(), server.issue_refresh_token()
    _, first = await refresh(session, server, mine)
    _, second = await refresh(session, server, first["refresh_token"])
    _, other = await refresh(session, server, theirs)
    assert (await refresh(session, server, mine))[1]["error"] == "invalid_grant"
    assert not server.accepts(first["access_token"])
    assert not server.accepts(second["access_token"])
    assert (await refresh(session, server, second["refresh_token"]))[0] == 400
    assert server.accepts(other["access_token"])
    assert (await refresh(session, server, other["refresh_token"]))[0] == 200


async def test_an_old_refresh_token_is_merely_refused_where_reuse_is_not_detected(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """The newer ones go on."""
    server.detect_reuse = False
    old = server.issue_refresh_token()
    _, first = await refresh(session, server, old)
    assert (await refresh(session, server, old))[1]["error"] == "invalid_grant"
    assert server.accepts(first["access_token"])
    assert (await refresh(session, server, first["refresh_token"]))[0] == 200


async def test_an_old_refresh_token_is_taken_for_a_while_where_there_is_grace(
    server: AuthorizationServer, session: aiohttp.ClientSession, clock: FakeClock
) -> None:
    """The answer to the first may have been lost; the time counts from then, not from the repetition."""
    server.refresh_grace = 10
    old = server.issue_refresh_token()
    assert (await refresh(session, server, old))[0] == 200
    clock.advance(9)
    _, again = await refresh(session, server, old)
    assert server.accepts(again["access_token"])
    clock.advance(1)
    assert (await refresh(session, server, old))[1]["error"] == "invalid_grant"
    assert not server.accepts(again["access_token"])


async def test_a_narrower_scope_is_that_of_one_access_token(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 6749 section 6: a new refresh token has the scope of the old one."""
    _, narrow = await refresh(session, server, server.issue_refresh_token(scope="a b"), scope="a")
    assert narrow["scope"] == "a"
    _, wide = await refresh(session, server, narrow["refresh_token"])
    assert wide["scope"] == "a b"


async def test_a_scope_that_was_not_granted_uses_no_refresh_token_up(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 6749 section 6."""
    token = server.issue_refresh_token(scope="a")
    assert (await refresh(session, server, token, scope="a b"))[1]["error"] == "invalid_scope"
    assert (await refresh(session, server, token))[0] == 200
