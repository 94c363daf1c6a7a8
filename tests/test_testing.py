"""`aioalf.testing`: the server that the other tests, and those of users, stand on."""

from __future__ import annotations

import ast
import asyncio
import base64
import hashlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fakes import FakeClock
from multidict import CIMultiDict

import aioalf.testing
from aioalf.testing import AuthorizationServer

FORM = {"grant_type": "client_credentials"}
BASIC = {"Authorization": "Basic " + base64.b64encode(b"client-id:secret").decode()}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A bare session that gives up soon."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as started:
        yield started


async def fetch(
    session: aiohttp.ClientSession, server: AuthorizationServer, **form: str
) -> dict[str, Any]:
    """A token response."""
    async with session.post(server.token_endpoint, data=FORM | form, headers=BASIC) as response:
        assert response.status == 200, await response.text()
        answer: dict[str, Any] = await response.json()
        return answer


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


async def status(session: aiohttp.ClientSession, url: str, token: str) -> int:
    """What the resource says of a token."""
    async with session.get(url, headers=bearer(token)) as response:
        return response.status


async def test_a_token_of_the_token_endpoint_opens_the_resource(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 6749 sections 4.4 and 5.1, RFC 6750 section 2.1."""
    async with session.post(server.token_endpoint, data=FORM, headers=BASIC) as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.content_type == "application/json"
        answer = await response.json()
    assert answer == {
        "access_token": answer["access_token"],
        "token_type": "Bearer",
        "expires_in": 3600,
    }
    assert await status(session, server.resource, answer["access_token"]) == 200
    assert server.accepts(answer["access_token"])


async def test_the_resource_echoes_what_it_got(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """Any method, any path below it; repeated headers joined."""
    headers = CIMultiDict({**bearer(server.issue()), "X-Many": "1"})
    headers.add("X-Many", "2")
    url = server.resource + "/a/b%20c?q=1&r=%C3%A4"
    async with session.patch(url, headers=headers, data="grüße") as response:
        echo = await response.json()
    assert (echo["method"], echo["path"]) == ("PATCH", "/resource/a/b c")
    assert echo["query"] == {"q": "1", "r": "ä"}
    assert echo["headers"]["X-Many"] == "1, 2"
    assert echo["body"] == "grüße"
    assert echo["body_length"] == 7
    assert echo["body_sha256"] == hashlib.sha256("grüße".encode()).hexdigest()


async def test_everything_that_arrives_is_counted_and_kept_in_order(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """The log holds the request as it was on the wire."""
    token = (await fetch(session, server, scope="read", audience="ä b"))["access_token"]
    await status(session, server.resource + "?x=%26", token)
    await status(session, server.resource, "wrong")
    await status(session, server.url + "/nowhere", token)
    assert [entry.kind for entry in server.log] == ["token", "resource", "resource", "other"]
    assert (server.token_requests, server.resource_requests, server.rejections) == (1, 2, 1)
    asked, got, _, _ = server.log
    assert asked.form == {**FORM, "scope": "read", "audience": "ä b"}
    assert asked.method == "POST"
    assert asked.content_type == "application/x-www-form-urlencoded"
    assert asked.complete
    assert got.target == "/resource?x=%26"
    assert got.query == {"x": "&"}
    assert not got.form
    assert got.headers["authorization"] == f"Bearer {token}"
    assert (b"Authorization", f"Bearer {token}".encode()) in got.raw_headers
    assert asked.peer_port == got.peer_port != 0
    assert server.connections == 1


async def test_a_log_that_is_not_wanted_stays_empty(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """The counters count all the same."""
    server.keep_log = False
    await fetch(session, server)
    assert not server.log
    assert server.token_requests == 1


async def test_no_repr_shows_a_token_or_the_secret(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """What pytest prints of a failed assertion ends in somebody's build log."""
    token = (await fetch(session, server))["access_token"]
    await status(session, f"{server.resource}?t={token}", token)
    assert server.client_secret not in repr(server)
    assert token not in repr(server.log)
    assert BASIC["Authorization"] not in repr(server.log)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "Bearer unknown")],
        [("Authorization", "Bearer ")],
        [("Authorization", "Bearer")],
        [("Authorization", "Basic {token}")],
        [("Authorization", "{token}")],
        [("Authorization", "Bearer {token}"), ("Authorization", "Bearer {token}")],
    ],
)
async def test_the_resource_wants_one_header_with_one_valid_token(
    server: AuthorizationServer,
    session: aiohttp.ClientSession,
    headers: list[tuple[str, str]],
) -> None:
    """RFC 6750 sections 2.1 and 3.1."""
    server.rejection_body = b"x" * 2**20
    token = server.issue()
    sent = CIMultiDict((name, value.format(token=token)) for name, value in headers)
    async with session.get(server.resource, headers=sent) as response:
        assert response.status == 401
        expected = 'Bearer error="invalid_token"' if headers else "Bearer"
        assert response.headers["WWW-Authenticate"] == expected
        assert await response.read() == server.rejection_body
    assert server.rejections == 1


async def test_a_token_expires_by_the_clock_that_was_handed_in(
    session: aiohttp.ClientSession, clock: FakeClock
) -> None:
    """To the second; without a lifetime it never does."""
    async with AuthorizationServer(token_lifetime=60, time=clock.time) as server:
        token = server.issue()
        clock.advance(59.9)
        assert await status(session, server.resource, token) == 200
        clock.advance(0.1)
        assert await status(session, server.resource, token) == 401
        assert server.accepts(server.issue(lifetime=1))
        assert not server.accepts(server.issue(lifetime=0))
        server.token_lifetime = None
        answer = await fetch(session, server)
        assert "expires_in" not in answer
        clock.advance(1e9)
        assert server.accepts(answer["access_token"])


async def test_the_token_response_can_be_bent(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """What it says of the token and what is true of it are two things."""
    server.token_lifetime = 0.5
    assert (await fetch(session, server))["expires_in"] == 0.5
    server.token_parameters = {"expires_in": "3600", "token_type": "bearer"}
    answer = await fetch(session, server)
    assert (answer["expires_in"], answer["token_type"]) == ("3600", "bearer")


async def test_expired_tokens_are_forgotten(clock: FakeClock) -> None:
    """A server that runs for hours stays small."""
    server = AuthorizationServer(token_lifetime=10, time=clock.time)
    last = ""
    for _ in range(5_000):
        last = server.issue()
        clock.advance(0.1)
    assert len(server._grants.tokens._access) <= 1_200
    assert server.accepts(last)


async def test_a_new_token_can_end_the_ones_before(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """As some servers do."""
    server.single_valid = True
    old = server.issue()
    new = (await fetch(session, server))["access_token"]
    assert [server.accepts(old), server.accepts(new)] == [False, True]


async def test_revoked_tokens_are_rejected(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """One of them or all; refresh tokens only where asked."""
    server.issue_refresh_tokens = True
    first, second, third = server.issue(), server.issue(), server.issue()
    answer = await fetch(session, server)
    server.revoke(second)
    assert [server.accepts(token) for token in (first, second, third)] == [True, False, True]
    server.revoke_all()
    assert not any(server.accepts(token) for token in (first, third, answer["access_token"]))
    refresh = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    answer = await fetch(session, server, **refresh)
    server.revoke_all(refresh_tokens=True)
    refresh["refresh_token"] = answer["refresh_token"]
    async with session.post(server.token_endpoint, data=refresh, headers=BASIC) as response:
        assert (await response.json())["error"] == "invalid_grant"


async def test_latency_comes_before_the_token(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """A revocation in the meantime does not hit a token that is still to be issued."""
    server.latency = 0.02
    task = asyncio.create_task(fetch(session, server))
    await server.wait_until(lambda: bool(server.log))
    server.revoke_all()
    assert server.accepts((await task)["access_token"])


async def test_resource_latency_comes_after_the_verdict(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """A token that is revoked while it is being answered has been accepted."""
    server.resource_latency = 0.02
    token = server.issue()
    task = asyncio.create_task(status(session, server.resource, token))
    await server.wait_until(lambda: bool(server.log))
    server.revoke_all()
    assert await task == 200


async def test_a_websocket_echoes_and_wants_a_token(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """The token is checked at the handshake."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await session.ws_connect(server.websocket, headers=bearer("wrong"))
    assert refused.value.status == 401
    async with session.ws_connect(server.websocket, headers=bearer(server.issue())) as websocket:
        await websocket.send_str("a")
        assert await websocket.receive_str() == "a"
        await websocket.send_bytes(b"b")
        assert await websocket.receive_bytes() == b"b"
    async with session.get(
        server.websocket.replace("ws", "http", 1), headers=bearer(server.issue())
    ) as response:
        assert response.status == 426


async def test_events_are_streamed(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """The first is there before the last is sent."""
    headers = bearer(server.issue())
    url = server.stream + "?count=2&interval=600"
    async with session.get(url, headers=headers) as response:
        assert response.content_type == "text/event-stream"
        assert await response.content.readline() == b"data: 0\n"
    async with session.get(server.stream, headers=headers) as response:
        assert await response.text() == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
    async with session.get(server.stream + "?count=many", headers=headers) as response:
        assert response.status == 400


async def test_a_redirect_goes_where_it_is_told(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """Any redirect status, but only with a valid token."""
    headers = bearer(server.issue())
    for code in (301, 302, 303, 307, 308):
        query = {"to": server.resource + "?a=b", "status": str(code)}
        async with session.get(
            server.redirect, params=query, headers=headers, allow_redirects=False
        ) as response:
            assert response.status == code
            assert response.headers["Location"] == server.resource + "?a=b"
    for query in ({}, {"to": "/x", "status": "200"}, {"to": "/x\r\nSet-Cookie: a=b"}):
        async with session.get(server.redirect, params=query, headers=headers) as response:
            assert response.status == 400
    async with session.get(server.redirect, params={"to": server.resource}) as response:
        assert response.status == 401


async def test_a_body_can_be_sent_after_the_server_says_continue(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 9110 section 10.1.1."""
    async with session.put(
        server.resource, data=b"late", headers=bearer(server.issue()), expect100=True
    ) as response:
        assert (await response.json())["body"] == "late"


async def test_a_rejection_can_come_before_the_body(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """A server that does not read what it will not use; a body held back is never sent then."""
    server.read_rejected = False
    async with session.put(
        server.resource, data=b"x", headers=bearer("wrong"), expect100=True
    ) as response:
        assert response.status == 401
    assert (server.log[0].body, server.log[0].complete) == (b"", False)


async def test_half_a_body_is_kept_as_what_it_is(server: AuthorizationServer) -> None:
    """A client that hangs up in the middle of a body leaves what it had sent."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"Host: x\r\nAuthorization: Bearer {server.issue()}\r\nContent-Length: 10\r\n\r\n"
    writer.write(b"POST /resource HTTP/1.1\r\n" + head.encode() + b"half")
    await server.wait_until(lambda: server.resource_requests == 1)
    writer.close()
    await writer.wait_closed()
    await server.wait_until(lambda: bool(server.log))
    assert (server.log[0].body, server.log[0].complete) == (b"half", False)


async def test_it_speaks_tls() -> None:
    """With the context that it is given."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    # Python 3.10 warns of a client's TLS connection that the server closed first: the client ends.
    async with (
        AuthorizationServer(ssl_context=context) as server,
        aiohttp.ClientSession() as session,
    ):
        assert server.url.startswith("https://")
        assert server.websocket.startswith("wss://")
        async with session.get(
            server.resource, headers=bearer(server.issue()), ssl=trust
        ) as response:
            assert response.status == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(server.resource)


def test_it_stands_alone() -> None:
    """It is of no use for finding a mistake of the library if it shares the library's code."""
    modules = list(Path(aioalf.testing.__file__).parent.glob("*.py"))
    assert len(modules) > 5
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, module
                assert not (node.module or "").startswith("aioalf"), module
