"""The token wins over credentials that the caller did not give as ``auth=``: a URL's, a ``.netrc``'s."""

from __future__ import annotations

import asyncio
import io
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from clients import arrived, bearer, client_of, manager_of, scripted_server, status_of

from aioalf import Client, OAuth2Middleware
from aioalf.testing import AuthorizationServer, ReceivedRequest

BODY = bytes(range(256)) * 100


@pytest.fixture
async def elsewhere() -> AsyncIterator[AuthorizationServer]:
    """A server of another origin."""
    async with AuthorizationServer() as started:
        yield started


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ``.netrc`` with an entry for every server here; aiohttp reads it for ``trust_env=True``."""
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(path))


def schemes(requests: list[ReceivedRequest]) -> list[list[str]]:
    """Of each request, the schemes of its Authorization headers."""
    return [[value.partition(" ")[0] for value in bearer(request)] for request in requests]


def with_credentials(url: str) -> str:
    """The same URL with a user and a password."""
    return url.replace("://", "://somebody:else@")


async def echo(client: Client, url: str) -> str:
    """What a websocket says."""
    async with client.ws_connect(url) as websocket:
        await websocket.send_str("hello")
        return await websocket.receive_str()


@pytest.mark.usefixtures("netrc")
async def test_the_token_wins_over_a_netrc(server: AuthorizationServer) -> None:
    """``trust_env=True`` is set because of a proxy; without options, with a body, and for a websocket."""
    async with client_of(server, trust_env=True) as client:
        assert await status_of(client, server.resource) == 200
        async with client.post(server.resource, data=io.BytesIO(BODY)) as response:
            assert (await response.json())["body_length"] == len(BODY)
        assert await echo(client, server.websocket) == "hello"
    assert schemes(arrived(server) + arrived(server, "websocket")) == [["Bearer"]] * 3
    assert server.token_requests == 1


@pytest.mark.usefixtures("netrc")
async def test_the_token_wins_over_a_netrc_also_after_a_401(server: AuthorizationServer) -> None:
    """Both sendings carry a token, and the second one the new one."""
    async with client_of(server, trust_env=True) as client:
        await status_of(client, server.resource)
        server.revoke_all()
        async with client.post(server.resource, data=io.BytesIO(BODY)) as response:
            assert (await response.json())["body_length"] == len(BODY)
        server.revoke_all()
        assert await echo(client, server.websocket) == "hello"
    first, rejected, again = (bearer(request) for request in arrived(server))
    assert first == rejected != again
    assert schemes(arrived(server, "websocket")) == [["Bearer"]] * 2
    assert server.token_requests == 3


@pytest.mark.usefixtures("netrc")
async def test_a_netrc_alone_stands_in_the_way_of_nothing(server: AuthorizationServer) -> None:
    """Without ``trust_env`` aiohttp does not read it."""
    async with client_of(server) as client:
        assert await status_of(client, server.resource) == 200


@pytest.mark.parametrize("method", ["get", "post", "delete"])
@pytest.mark.parametrize("base", [False, True])
async def test_the_token_wins_over_the_credentials_of_a_url(
    base: bool, method: str, server: AuthorizationServer
) -> None:
    """Of the request's own, or of the base URL that it is joined to; before and after a 401."""
    url = with_credentials(server.resource)
    base_url = with_credentials(server.url) if base else None
    async with client_of(server, base_url=base_url) as client:
        for _ in range(2):
            async with getattr(client, method)("resource" if base else url) as response:
                assert response.status == 200
            server.revoke_all()
    assert schemes(arrived(server)) == [["Bearer"]] * 3
    assert len({request.method for request in arrived(server)}) == 1


async def test_the_token_of_a_websocket_wins_over_the_credentials_of_its_url(
    server: AuthorizationServer,
) -> None:
    """Before and after a 401."""
    async with client_of(server) as client:
        for _ in range(2):
            assert await echo(client, with_credentials(server.websocket)) == "hello"
            server.revoke_all()
    assert schemes(arrived(server, "websocket")) == [["Bearer"]] * 3


@pytest.mark.parametrize("method", ["get", "head", "options"])
@pytest.mark.parametrize("options", [{}, {"headers": {"X-Mine": "1"}}])
async def test_the_token_wins_over_the_credentials_of_a_redirect_within_the_origin(
    options: dict[str, Any], method: str, server: AuthorizationServer
) -> None:
    """aiohttp refuses to follow it; a request that changes nothing is made once more."""
    server.resource_answer_next(302, {"Location": with_credentials(server.resource)}, times=2)
    async with client_of(server) as client:
        await client.token_manager.get()
        send = getattr(client, method)
        async with send(server.resource, allow_redirects=True, **options) as response:
            assert response.status == 200
            assert [hop.status for hop in response.history] == [302]
    assert schemes(arrived(server)) == [["Bearer"]] * 3


async def test_a_handshake_may_be_redirected_to_a_url_with_credentials(
    server: AuthorizationServer,
) -> None:
    """As a GET may."""
    there = with_credentials(server.url + "/ws")
    server.resource_answer_next(302, {"Location": there}, times=2)
    async with client_of(server) as client:
        assert await echo(client, server.url + "/ws") == "hello"


@pytest.mark.parametrize("status", [303, 307])
async def test_a_post_that_was_redirected_to_a_url_with_credentials_is_not_repeated(
    status: int, server: AuthorizationServer
) -> None:
    """It has been done. The error is aiohttp's `ClientError`, and says what happened."""
    server.resource_answer_next(status, {"Location": with_credentials(server.resource)})
    async with client_of(server) as client:
        with pytest.raises(aiohttp.ClientError, match="redirected to a URL that holds credentials"):
            await client.post(server.resource, data=BODY)
    assert len(arrived(server)) == 1


@pytest.mark.usefixtures("netrc")
@pytest.mark.parametrize("named", [False, True])
async def test_a_token_that_wins_does_not_go_to_another_origin(
    named: bool, server: AuthorizationServer, elsewhere: AuthorizationServer
) -> None:
    """Not by a redirect, also if ``origins=`` names it: as with a header that aiohttp leaves out."""
    origins = [server.url, elsewhere.url] if named else None
    async with client_of(server, trust_env=True, origins=origins) as client:
        server.resource_answer_next(302, {"Location": elsewhere.resource})
        assert await status_of(client, server.resource) == 401
        server.resource_answer_next(302, {"Location": with_credentials(elsewhere.resource)})
        assert await status_of(client, server.resource) == 401
        server.resource_answer_next(302, {"Location": elsewhere.url + "/ws"})
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await echo(client, server.websocket)
    assert schemes(elsewhere.log) == [["Basic"]] * 3
    assert server.token_requests == 1


@pytest.mark.usefixtures("netrc")
async def test_a_token_that_wins_stays_away_when_a_redirect_comes_back(
    server: AuthorizationServer, elsewhere: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The other origin chose where to: aiohttp does not put a header back, either. The log says so."""
    caplog.set_level(logging.INFO, "aioalf")
    server.resource_answer_next(302, {"Location": elsewhere.resource})
    elsewhere.resource_answer_next(302, {"Location": server.resource + "/back"})
    async with client_of(server, trust_env=True) as client:
        assert await status_of(client, server.resource) == 401
    assert schemes(arrived(server)) == [["Bearer"], ["Basic"]]
    assert schemes(arrived(elsewhere)) == [["Basic"]]
    assert server.token_requests == 1
    (record,) = (r for r in caplog.records if "answered 401" in r.getMessage())
    assert "came from a redirect to another origin" in record.getMessage()


@pytest.mark.usefixtures("netrc")
@pytest.mark.parametrize("from_tls", [False, True])
async def test_a_token_that_wins_does_not_change_between_http_and_https(
    from_tls: bool, server: AuthorizationServer
) -> None:
    """In neither direction: another scheme is another origin."""
    authority = trustme.CA()
    for_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(for_server)
    for_client = ssl.create_default_context()
    authority.configure_trust(for_client)
    async with AuthorizationServer(ssl_context=for_server) as secure:
        first, second = (secure, server) if from_tls else (server, secure)
        first.resource_answer_next(302, {"Location": second.resource})
        async with (
            manager_of(server) as manager,
            Client(
                token_manager=manager,
                session=aiohttp.ClientSession(
                    trust_env=True, connector=aiohttp.TCPConnector(ssl=for_client)
                ),
            ) as client,
            client.session,
        ):
            assert await status_of(client, first.resource) == 401
        assert schemes(arrived(first) + arrived(second)) == [["Bearer"], ["Basic"]]


@pytest.mark.usefixtures("netrc")
async def test_origins_count_also_where_the_token_would_win(
    server: AuthorizationServer, elsewhere: AuthorizationServer
) -> None:
    """A request to another one goes out as aiohttp sends it."""
    async with client_of(server, trust_env=True, origins=server.url) as client:
        assert await status_of(client, elsewhere.resource) == 401
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await echo(client, elsewhere.websocket)
    assert schemes(elsewhere.log) == [["Basic"]] * 2
    assert server.token_requests == 0


@pytest.mark.usefixtures("netrc")
@pytest.mark.parametrize("on", ["session", "request", "none on the request"])
async def test_middlewares_are_called_as_ever_where_the_token_wins(
    on: str, server: AuthorizationServer
) -> None:
    """The session's, or those of the request in their place; they see the token, and may take it away."""
    seen: list[str] = []

    async def look(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        seen.append(request.headers["Authorization"].partition(" ")[0])
        return await handler(request)

    async def never(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        raise AssertionError

    for_client = {"middlewares": (look,) if on == "session" else (never,)}
    for_request = {"request": (look,), "none on the request": ()}.get(on)
    options = {} if for_request is None else {"middlewares": for_request}
    async with client_of(server, trust_env=True, **for_client) as client:
        assert await status_of(client, server.resource, **options) == 200
        assert await status_of(client, with_credentials(server.resource), **options) == 200
    assert seen == ([] if on == "none on the request" else ["Bearer"] * 2)
    assert schemes(arrived(server)) == [["Bearer"]] * 2


@pytest.mark.usefixtures("netrc")
async def test_an_error_of_a_request_whose_token_won_does_not_hold_it(
    server: AuthorizationServer,
) -> None:
    """Neither with ``trust_env`` nor after the first refusal."""
    for options, url in (
        ({"trust_env": True}, server.resource),
        ({}, with_credentials(server.resource)),
    ):
        server.resource_answer_next(302, {"Location": server.resource})
        async with client_of(server, **options) as client:
            with pytest.raises(aiohttp.TooManyRedirects) as caught:
                await client.get(url, max_redirects=1)
            token = (await client.token_manager.get()).access_token
        assert token not in repr(caught.value)
        assert "Authorization" not in caught.value.request_info.headers


@pytest.mark.usefixtures("netrc")
async def test_a_session_with_an_authorization_header_of_its_own_and_a_netrc_is_refused_once(
    server: AuthorizationServer,
) -> None:
    """By aiohttp: these two are in its way without us. Before 3.14 it let the last one win: the token."""
    options: dict[str, Any] = {"trust_env": True, "headers": {"Authorization": "Bearer mine"}}
    async with client_of(server, **options) as client:
        try:
            assert await status_of(client, server.resource) == 200
        except ValueError as error:
            assert "AUTHORIZATION header" in str(error)  # noqa: PT017 - not by every aiohttp


async def test_a_server_that_says_what_aiohttp_would_say_causes_no_second_request(
    server: AuthorizationServer,
) -> None:
    """Only aiohttp's own refusal is answered with one."""
    requests = 0

    async def handle(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal requests
        requests += 1
        writer.write(b"HTTP/1.1 AUTHORIZATION header\r\n\r\n")

    async with scripted_server(handle) as url, client_of(server) as client:
        with pytest.raises(aiohttp.ClientResponseError, match="AUTHORIZATION header"):
            await client.get(url)
    assert requests == 1


@pytest.mark.usefixtures("netrc")
async def test_the_token_of_the_middleware_wins_over_a_netrc_and_a_url(
    server: AuthorizationServer,
) -> None:
    """It is set after aiohttp has chosen."""
    async with manager_of(server) as manager:
        middleware = OAuth2Middleware(manager, origins=server.url)
        options: dict[str, Any] = {"middlewares": (middleware,), "trust_env": True}
        async with aiohttp.ClientSession(**options) as session:
            assert (await session.get(server.resource)).status == 200
            async with session.get(with_credentials(server.resource)) as response:
                assert response.status == 200
    assert schemes(arrived(server, "resource")) == [["Bearer"], ["Bearer"]]
