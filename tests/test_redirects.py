"""A 401 at the end of a redirect: only the last hop is sent again, and only where it had the token."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from clients import arrived, bearer, client_of, status_of

from aioalf import Client
from aioalf.testing import AuthorizationServer

BODY = bytes(range(256)) * 400


@pytest.fixture
async def elsewhere() -> AsyncIterator[AuthorizationServer]:
    """A server of another origin, which knows nothing of the first one's tokens."""
    async with AuthorizationServer() as started:
        yield started


def redirect_then_401(server: AuthorizationServer, status: int) -> None:
    """The next request is redirected, and the one that follows rejected."""
    server.resource_answer_next(status, {"Location": server.resource + "/there?b=2"})
    server.resource_answer_next(401)


def path_of_methods(server: AuthorizationServer) -> list[str]:
    """What arrived, in short."""
    return [f"{request.method} {request.target}" for request in arrived(server)]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_token_goes_with_a_redirect_within_the_origin(
    status: int, server: AuthorizationServer
) -> None:
    """As with any header of the caller's."""
    url = f"{server.redirect}?status={status}&to=/resource"
    async with client_of(server) as client, client.get(url) as response:
        assert response.status == 200
        assert len(response.history) == 1
    assert server.token_requests == 1


@pytest.mark.parametrize(
    ("status", "method"), [(303, "post"), (302, "post"), (301, "post"), (303, "put")]
)
async def test_a_post_that_was_answered_with_a_redirect_to_get_is_never_repeated(
    status: int, method: str, server: AuthorizationServer
) -> None:
    """The POST is done; its answer is read with GET, and that is what was rejected (RFC 9110 15.4)."""
    redirect_then_401(server, status)
    async with client_of(server) as client:
        send = getattr(client, method)
        async with send(server.resource, data=BODY, params={"a": "1"}) as response:
            assert response.status == 200
            echo = await response.json()
    assert path_of_methods(server) == [
        f"{method.upper()} /resource?a=1",
        "GET /resource/there?b=2",
        "GET /resource/there?b=2",
    ]
    assert echo["body_length"] == 0
    assert echo["headers"].get("Content-Length", "0") == "0"
    assert server.token_requests == 2


async def test_the_answer_to_a_body_that_can_be_read_only_once_can_be_read_again(
    server: AuthorizationServer,
) -> None:
    """The body has arrived, and the GET that was rejected has none."""

    async def body() -> AsyncIterator[bytes]:
        yield BODY

    redirect_then_401(server, 303)
    async with client_of(server) as client, client.post(server.resource, data=body()) as response:
        assert response.status == 200
    assert path_of_methods(server)[1:] == ["GET /resource/there?b=2"] * 2


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize(
    "make",
    [lambda: {"data": BODY}, lambda: {"data": io.BytesIO(BODY)}, lambda: {"json": BODY.hex()}],
    ids=["bytes", "BytesIO", "json"],
)
async def test_a_body_that_goes_along_is_sent_again_to_the_last_hop_only(
    status: int, make: Any, server: AuthorizationServer
) -> None:
    """307 and 308 keep method and body; whole, each time."""
    redirect_then_401(server, status)
    async with client_of(server) as client:
        async with client.post(server.resource, params={"a": "1"}, **make()) as response:
            assert response.status == 200
            assert str(response.url) == server.resource + "/there?b=2"
            assert [hop.status for hop in response.history] == [status]
    assert path_of_methods(server) == [
        "POST /resource?a=1",
        "POST /resource/there?b=2",
        "POST /resource/there?b=2",
    ]
    assert len({hashlib.sha256(request.body).digest() for request in arrived(server)}) == 1
    assert len(arrived(server)[0].body) >= len(BODY)


async def test_a_put_keeps_its_body_on_a_302(server: AuthorizationServer) -> None:
    """aiohttp makes a GET of a POST only; what follows here is what it did."""
    redirect_then_401(server, 302)
    async with client_of(server) as client:
        async with client.put(server.resource, data=io.BytesIO(BODY)) as response:
            assert (await response.json())["body_length"] == len(BODY)
    assert [request.method for request in arrived(server)] == ["PUT"] * 3


async def test_a_redirect_to_another_origin_goes_without_the_token(
    server: AuthorizationServer, elsewhere: AuthorizationServer
) -> None:
    """A 401 from there says nothing about the token: none is renewed, none is sent, the 401 returned."""
    elsewhere.rejection_body = b"who are you"
    url = f"{server.redirect}?to={elsewhere.resource}"
    async with client_of(server) as client:
        for _ in range(3):
            async with client.get(url) as response:
                assert response.status == 401
                assert await response.text() == "who are you"
        assert await status_of(client, server.resource) == 200
    assert server.token_requests == 1
    assert elsewhere.resource_requests == 3
    assert not any(bearer(request) for request in elsewhere.log)


async def test_a_redirect_there_and_back_goes_without_the_token(
    server: AuthorizationServer, elsewhere: AuthorizationServer
) -> None:
    """What another origin has sent is not trusted with the token, wherever it leads."""
    elsewhere.resource_answer_next(302, {"Location": server.resource})
    url = f"{server.redirect}?to={elsewhere.resource}"
    async with client_of(server) as client:
        assert await status_of(client, url) == 401
    assert bearer(arrived(server)[0]) == []
    assert server.token_requests == 1


async def test_a_redirect_to_nowhere_fails_as_with_aiohttp(server: AuthorizationServer) -> None:
    """aiohttp's own errors come through."""
    async with client_of(server) as client:
        server.resource_answer_next(302, {"Location": server.resource}, times=20)
        with pytest.raises(aiohttp.TooManyRedirects):
            await client.get(server.resource)
        server.clear_next()
        server.resource_answer_next(302, {"Location": "mailto:a@example.com"})
        with pytest.raises(aiohttp.NonHttpUrlRedirectClientError):
            await client.get(server.resource)
        with pytest.raises(aiohttp.InvalidURL):
            await client.get("http://")


async def test_redirects_that_are_not_followed_are_returned(server: AuthorizationServer) -> None:
    """``allow_redirects=False``, the second time too."""
    url = f"{server.redirect}?to={server.resource}"
    async with client_of(server) as client:
        await status_of(client, server.resource)
        server.revoke_all()
        async with client.get(url, allow_redirects=False) as response:
            assert response.status == 302
    assert server.token_requests == 2


async def test_credentials_of_the_last_hop_are_the_caller_s_own_headers(
    server: AuthorizationServer,
) -> None:
    """Headers and cookies of the call go with the second request to the last hop as with the first."""
    redirect_then_401(server, 307)
    client: Client
    async with client_of(server) as client:
        await client.post(server.resource, headers={"X-Mine": "1"}, cookies={"c": "2"})
    for request in arrived(server):
        assert (request.headers["X-Mine"], request.headers["Cookie"]) == ("1", "c=2")


async def test_a_json_post_that_was_answered_with_a_redirect_to_get_is_not_sent_to_its_target(
    server: AuthorizationServer,
) -> None:
    """Neither the body nor the length that the caller gave for it."""
    redirect_then_401(server, 303)
    options: dict[str, Any] = {"json": {"a": 1}, "headers": {"Content-Length": "8"}}
    async with client_of(server) as client:
        async with client.post(server.resource, **options) as response:
            assert response.status == 200
    assert [len(request.body) for request in arrived(server)] == [8, 0, 0]
    for request in arrived(server)[1:]:
        assert request.headers.get("Content-Length", "0") == "0"
        assert "Content-Type" not in request.headers


async def test_the_history_tells_of_every_redirect_on_the_way(server: AuthorizationServer) -> None:
    """Of those before the 401 and of those after it."""
    redirect_then_401(server, 307)
    server.resource_answer_next(302, {"Location": server.resource + "/further"})
    async with client_of(server) as client, client.get(server.resource) as response:
        assert response.status == 200
        assert [hop.status for hop in response.history] == [307, 302]
        assert [hop.url.path for hop in response.history] == ["/resource", "/resource/there"]


async def test_a_redirect_with_credentials_of_its_own_goes_without_the_token(
    server: AuthorizationServer, elsewhere: AuthorizationServer
) -> None:
    """What was rejected there is a password in the URL, and no token of ours."""
    there = elsewhere.resource.replace("http://", "http://somebody:password@")
    server.resource_answer_next(302, {"Location": there})
    async with client_of(server) as client, client.get(server.resource) as response:
        assert response.status == 401
    assert [value.partition(" ")[0] for value in bearer(elsewhere.log[0])] == ["Basic"]
    assert (server.token_requests, elsewhere.resource_requests) == (1, 1)


@pytest.mark.parametrize("websocket", [False, True])
async def test_a_401_from_where_the_token_was_not_sent_says_so_in_the_log(
    websocket: bool,
    server: AuthorizationServer,
    elsewhere: AuthorizationServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line at INFO, with the host; an answer that is fine is not worth one."""
    caplog.set_level(logging.INFO, "aioalf")
    async with client_of(server) as client:
        server.resource_answer_next(302, {"Location": elsewhere.url + "/ws"})
        if websocket:
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await client.ws_connect(server.websocket)
        else:
            assert await status_of(client, server.resource) == 401
        server.resource_answer_next(302, {"Location": elsewhere.url + "/ws"})
        elsewhere.resource_answer_next(200)
        assert await status_of(client, server.resource) == 200
    (record,) = (r for r in caplog.records if "answered 401" in r.getMessage())
    assert record.getMessage() == (
        "A GET request to 127.0.0.1 was answered 401: it came from a redirect to another origin, where"
        " the token is not sent."
    )
    assert server.token_requests == 1
