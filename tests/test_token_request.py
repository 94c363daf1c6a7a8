"""The POST to the token endpoint: what is on the wire, what `http_options` may do, and the fences."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientSession, ClientTimeout, CookieJar, web
from aiohttp.test_utils import TestServer
from clients import scripted_server
from fakes import FakeClock

from aioalf import Client, NoClientAuth, TokenError, TokenManager
from aioalf.testing import AuthorizationServer, ReceivedRequest


def manager_of(server: AuthorizationServer, **options: Any) -> TokenManager:
    """A manager with good credentials."""
    return TokenManager(server.token_endpoint, server.client_id, server.client_secret, **options)


async def asked(server: AuthorizationServer, **options: Any) -> ReceivedRequest:
    """The token request that a manager made with these options sends."""
    async with manager_of(server, **options) as manager:
        assert server.accepts(await manager.get_token())
    return server.log[-1]


async def test_a_token_request_is_a_post_of_a_form_with_basic_credentials(
    server: AuthorizationServer,
) -> None:
    """RFC 6749 sections 4.4.2 and 2.3.1: these headers and no others; JSON is asked for."""
    server.client_id, server.client_secret = "client_id", "client_secret"
    request = await asked(server, scope=["read", "write"])
    assert (request.method, request.target) == ("POST", "/token")
    assert request.body == b"grant_type=client_credentials&scope=read+write"
    headers = {name.decode().lower(): value.decode() for name, value in request.raw_headers}
    del headers["host"], headers["user-agent"]
    assert headers == {
        "authorization": "Basic Y2xpZW50X2lkOmNsaWVudF9zZWNyZXQ=",
        "accept": "application/json",
        "accept-encoding": "gzip, deflate",
        "content-type": "application/x-www-form-urlencoded",
        "content-length": str(len(request.body)),
    }
    assert len(request.raw_headers) == len(headers) + 2


async def test_further_parameters_are_sent_at_every_renewal(server: AuthorizationServer) -> None:
    """A list repeats the parameter (RFC 8707 section 2); numbers are written out."""
    server.token_parameters = {}
    params = {"audience": "api & more", "max": 5, "none": None}
    async with manager_of(server, token_request_params=params) as manager:
        await manager.get_token()
        await manager.reset_token()
    for request in server.log:
        assert dict(request.form) == {
            "grant_type": "client_credentials",
            "audience": "api & more",
            "max": "5",
        }
    server.answer_next(body='{"access_token": "t"}')
    params = {"resource": ["https://a", "https://b"]}
    assert await manager_of(server, token_request_params=params).get_token() == "t"
    assert server.log[-1].form.getall("resource") == ["https://a", "https://b"]


async def test_each_renewal_has_a_connection_of_its_own(server: AuthorizationServer) -> None:
    """A token is asked for once an hour or so: a connection kept for that goes stale."""
    async with manager_of(server) as manager:
        for _ in range(3):
            await manager.reset_token()
    assert (server.token_requests, server.connections) == (3, 3)


async def test_the_retries_of_a_renewal_share_its_connection(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The session is opened for the renewal and closed after it."""
    server.answer_next(503, times=3)
    async with manager_of(server, token_retries=3, clock=clock) as manager:
        await manager.get()
    assert (server.token_requests, server.connections) == (4, 1)


async def test_a_session_that_was_handed_in_keeps_its_connection(
    server: AuthorizationServer,
) -> None:
    """For programs that ask often; errors and odd answers are read to their end, too."""
    server.answer_next(400, body='{"error": "x"}', times=2)
    server.answer_next(200, body="<html>" * 1000)
    async with aiohttp.ClientSession() as session, manager_of(server, session=session) as manager:
        for _ in range(3):
            with pytest.raises(TokenError):
                await manager.reset_token()
        await manager.reset_token()
    assert (server.token_requests, server.connections) == (4, 1)


async def test_the_token_request_does_not_wait_for_the_callers_pool(
    server: AuthorizationServer,
) -> None:
    """A pool whose every slot waits for a token would deadlock: the manager has one of its own."""
    connector = aiohttp.TCPConnector(limit=1)
    endpoint = server.token_endpoint
    async with Client(
        server.client_id, server.client_secret, endpoint, connector=connector
    ) as client:
        async with client.session.get(server.url + "/elsewhere"):
            await asyncio.wait_for(client.token_manager.get_token(), 5)


# http_options ----------------------------------------------------------------------------------


async def test_http_options_are_merged_into_the_token_request(server: AuthorizationServer) -> None:
    """0.4.0, Client: ``http_options``, keywords for the token request; headers are added."""
    headers = {"X-Tenant": "a", "User-Agent": "mine"}
    request = await asked(server, http_options={"headers": headers, "skip_auto_headers": ["X"]})
    assert (request.headers["X-Tenant"], request.headers["User-Agent"]) == ("a", "mine")
    assert headers == {"X-Tenant": "a", "User-Agent": "mine"}
    pairs = [("X-Many", "1"), ("X-Many", "2")]
    request = await asked(server, http_options={"headers": pairs})
    assert request.headers.getall("X-Many") == ["1", "2"]


async def test_http_options_reach_the_token_request_through_a_client(
    server: AuthorizationServer,
) -> None:
    """The fourth positional argument; the API's requests do not get them."""
    options = {"headers": {"X-Tenant": "a"}}
    endpoint = server.token_endpoint
    async with Client(server.client_id, server.client_secret, endpoint, options) as client:
        async with client.get(server.resource) as response:
            assert response.status == 200
    assert [r.headers.get("X-Tenant") for r in server.log] == ["a", None]


FENCED: list[dict[str, Any]] = [
    {"auth": ("mallory", "x")},
    {"data": {"grant_type": "password"}},
    {"json": {"a": 1}},
    {"params": {"client_secret": "x"}},
    {"method": "GET"},
    {"url": "https://evil.example"},
    {"cookies": {"a": "b"}},
    {"allow_redirects": True},
    {"max_redirects": 5},
    {"raise_for_status": True},
    {"auto_decompress": True},
    {"read_until_eof": False},
    {"middlewares": (None,)},
    {"headers": {"authorization": "Bearer x"}},
    {"headers": {"Accept": "text/html"}},
    {"headers": {"Accept-Encoding": "br"}},
    {"headers": {"CONTENT-TYPE": "application/json"}},
    {"headers": {"Content-Length": "1"}},
    {"headers": {"Cookie": "a=b"}},
]


@pytest.mark.parametrize("options", FENCED, ids=lambda options: repr(options)[:40])
async def test_http_options_cannot_replace_credentials_form_or_fences(
    server: AuthorizationServer, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """They are left out, and the log names them; the request is as it is without them."""
    plain = await asked(server)
    request = await asked(server, http_options=options)
    assert (request.raw_headers, request.body) == (plain.raw_headers, plain.body)
    assert (request.method, request.target) == ("POST", "/token")
    name = next(iter(options.get("headers") or options))
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().endswith(f"left out: {name}.")


async def test_nothing_takes_the_type_off_the_form(server: AuthorizationServer) -> None:
    """``skip_auto_headers`` is for headers that aiohttp adds."""
    request = await asked(server, http_options={"skip_auto_headers": ["Content-Type", "Accept"]})
    assert request.content_type == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("name", ["time_out", "session", "self_", ""])
def test_an_unknown_http_option_is_an_error_at_once(name: str) -> None:
    """Not at the first token request; it names the keyword."""
    with pytest.raises(TypeError, match=f"http_options: '{name}'"):
        TokenManager("https://a.example/token", "id", "secret", {name: 1})
    with pytest.raises(TypeError, match=f"http_options: '{name}'"):
        Client("id", "secret", "https://a.example/token", {name: 1})


@pytest.mark.parametrize(
    "timeout", [0.05, ClientTimeout(total=0.05), ClientTimeout(sock_read=0.05)]
)
async def test_http_options_set_the_timeout(server: AuthorizationServer, timeout: object) -> None:
    """A number of seconds, as in 0.4.0, or a ``ClientTimeout``."""
    server.stall_next()
    with pytest.raises(TokenError, match="No answer in time"):
        await manager_of(server, http_options={"timeout": timeout}).get_token()


@pytest.mark.parametrize("options", [None, {}, {"timeout": None}])
async def test_a_token_request_has_a_timeout_of_its_own(
    server: AuthorizationServer, options: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that of a session; None does not take it away, ``ClientTimeout(total=None)`` does."""
    monkeypatch.setattr("aioalf.endpoint._TIMEOUT", ClientTimeout(total=0.05))
    server.stall_next()
    with pytest.raises(TokenError, match="No answer in time"):
        await manager_of(server, http_options=options).get_token()


async def test_http_options_set_the_tls_context(server_certificate: Any) -> None:
    """``ssl``: the token endpoint's certificate is of a CA of one's own."""
    async with AuthorizationServer(ssl_context=server_certificate.server) as server:
        request = await asked(server, http_options={"ssl": server_certificate.client})
        assert request.method == "POST"


@pytest.fixture
def server_certificate() -> Any:
    """A certificate for 127.0.0.1, and a context that trusts it."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()

    class Contexts:
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        client = ssl.create_default_context()

    authority.issue_cert("127.0.0.1").configure_cert(Contexts.server)
    authority.configure_trust(Contexts.client)
    return Contexts


@pytest.fixture
async def proxy() -> AsyncIterator[tuple[str, list[web.BaseRequest]]]:
    """A forward proxy for plain http: its URL, and what it was asked."""
    seen: list[web.BaseRequest] = []

    async def forward(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request)
        if request.method == "CONNECT" or "Proxy-Authorization" not in request.headers:
            return web.Response(status=407)
        headers = request.headers.copy()
        headers.pop("Proxy-Authorization")
        async with ClientSession() as session:
            body = await request.read()
            async with session.post(str(request.raw_path), data=body, headers=headers) as answer:
                return web.Response(status=answer.status, body=await answer.read())

    runner = web.ServerRunner(web.Server(forward, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://{runner.addresses[0][0]}:{runner.addresses[0][1]}", seen
    await runner.cleanup()


async def test_a_token_request_can_go_through_a_proxy(
    server: AuthorizationServer, proxy: tuple[str, list[web.BaseRequest]]
) -> None:
    """``proxy``, with credentials in its URL; the environment's proxy is not used unasked."""
    url, seen = proxy
    request = await asked(server, http_options={"proxy": url.replace("://", "://user:pa55@")})
    assert request.method == "POST"
    assert [r.raw_path for r in seen] == [server.token_endpoint]


async def test_a_proxy_that_refuses_is_an_error_that_says_so(
    proxy: tuple[str, list[web.BaseRequest]],
) -> None:
    """For https the proxy is asked for a tunnel first (RFC 9110 section 9.3.6)."""
    options = {"proxy": proxy[0].replace("http://", "http://user:pa55@")}
    manager = TokenManager("https://login.example.com/token", "id", "secret", options)
    with pytest.raises(TokenError, match="the proxy answered 407") as caught:
        await manager.get_token()
    assert "pa55" not in repr(caught.value)
    assert caught.value.__cause__ is None


# What does not leak in -------------------------------------------------------------------------


async def test_no_cookie_is_kept(server: AuthorizationServer) -> None:
    """Neither for the next token request nor for the API's."""
    server.token_parameters = {}
    cookie = {"Set-Cookie": "session=1; Path=/"}
    server.answer_next(200, cookie, '{"access_token": "t"}')
    endpoint = server.token_endpoint.replace("127.0.0.1", "localhost")  # a name, not an address
    jar = CookieJar(unsafe=True)
    async with Client(server.client_id, server.client_secret, endpoint, cookie_jar=jar) as client:
        await client.token_manager.get_token()
        await client.token_manager.reset_token()
        async with client.get(server.resource):
            pass
        assert len(jar) == 0
    assert len(server.log) == 3
    assert not any("Cookie" in request.headers for request in server.log)


async def test_nothing_of_the_callers_session_leaks_into_a_token_request(
    server: AuthorizationServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headers, cookies, netrc, middlewares, ``raise_for_status``, the environment's proxy."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password x\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    plain = await asked(server)
    through: list[str] = []

    async def middleware(request: Any, handler: Any) -> Any:
        through.append(request.url.path)
        return await handler(request)

    jar = CookieJar(unsafe=True)
    jar.update_cookies({"a": "b"})
    async with Client(
        server.client_id,
        server.client_secret,
        server.token_endpoint,
        headers={"X-Mine": "1", "Authorization": "Basic x", "User-Agent": "mine"},
        cookie_jar=jar,
        middlewares=(middleware,),
        raise_for_status=True,
        skip_auto_headers=["Accept"],
    ) as client:
        async with client.get(server.resource) as response:
            sent = (await response.json())["headers"]
    assert (sent["X-Mine"], sent["Cookie"], through) == ("1", "a=b", ["/resource"])
    assert server.log[1].kind == "token"
    assert server.log[1].raw_headers == plain.raw_headers


async def test_a_session_handed_to_the_manager_sends_the_token_requests(
    server: AuthorizationServer,
) -> None:
    """Borrowed, not closed; the fences stand, whatever its defaults are."""

    async def never(request: Any, handler: Any) -> Any:
        raise AssertionError("a token request passes through no middleware")

    async with ClientSession(
        headers={"X-Network": "odd", "Accept": "text/html"},
        raise_for_status=True,
        middlewares=(never,),
        auto_decompress=True,
    ) as session:
        async with manager_of(server, session=session) as manager:
            await manager.get_token()
            server.answer_next(400, body='{"error": "invalid_scope"}')
            with pytest.raises(TokenError, match="invalid_scope"):
                await manager.reset_token()
        assert not session.closed
    request = server.log[0]
    assert request.headers["X-Network"] == "odd"
    assert request.headers.getall("Accept") == ["application/json"]


async def test_a_redirect_is_followed_by_no_session(server: AuthorizationServer) -> None:
    """RFC 6749 section 10.5 by another way: credentials go where they were meant to go."""
    async with TestServer(web.Application()) as other, ClientSession() as session:
        location = {"Location": str(other.make_url("/token"))}
        for manager in (manager_of(server), manager_of(server, session=session)):
            server.answer_next(307, location)
            with pytest.raises(TokenError, match="follows no redirect"):
                await manager.get_token()
    assert server.token_requests == 2


@pytest.mark.parametrize("url", ["http://login.example.com/token", "http://192.0.2.1/token"])
async def test_plain_http_that_is_not_loopback_is_warned_of_once(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """RFC 6749 section 3.2 demands TLS; tests and sidecars on loopback need none."""
    manager = TokenManager(
        url, "id", client_auth=NoClientAuth(), http_options={"proxy": "http://[::1]:1"}
    )
    for _ in range(2):
        with pytest.raises(TokenError):
            await manager.reset_token()
    warnings = [r.getMessage() for r in caplog.records if "not https" in r.getMessage()]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"The token endpoint {url} is not https: the client's secret")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.9.9.9", "a.localhost"])
async def test_plain_http_on_loopback_is_not_warned_of(
    host: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is on the way."""
    manager = TokenManager(f"http://{host}:1/token", "id", "secret", {"proxy": "http://[::1]:1"})
    with pytest.raises(TokenError):
        await manager.get_token()
    assert not any("not https" in record.getMessage() for record in caplog.records)


async def test_an_answer_that_is_cut_short_is_asked_for_again(clock: FakeClock) -> None:
    """A passing failure, as a connection that could not be made is."""
    requests = 0

    async def handle(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal requests
        requests += 1
        body = b'{"access_token": "t", "token_type": "Bearer"}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        writer.write(body[:9] if requests == 1 else body)
        await writer.drain()
        writer.close()

    async with scripted_server(handle) as url:
        manager = TokenManager(url, "id", "secret", token_retries=1, clock=clock)
        assert await manager.get_token() == "t"
    assert requests == 2
    assert len(clock.sleeps) == 1


async def test_a_long_address_of_a_redirect_is_shown_in_part(server: AuthorizationServer) -> None:
    """An error is one line of a log."""
    server.answer_next(302, {"Location": "https://example.com/" + "x" * 5000})
    with pytest.raises(TokenError, match=r"points to https://example\.com/x+:") as caught:
        await manager_of(server).get_token()
    assert len(str(caught.value)) < 700


async def test_trace_configs_see_the_token_request(server: AuthorizationServer) -> None:
    """Those of a client see the requests to the API alone: the token request has a session of its own."""
    seen: list[str] = []
    traced = aiohttp.TraceConfig()

    async def began(
        session: aiohttp.ClientSession, context: object, params: aiohttp.TraceRequestStartParams
    ) -> None:
        seen.append(params.url.path)

    traced.on_request_start.append(began)
    options: dict[str, Any] = {"http_options": {"trace_configs": [traced]}}
    ids = (server.token_endpoint, server.client_id, server.client_secret)
    async with TokenManager(*ids, **options) as manager:
        await manager.get()
    assert seen == ["/token"]
    async with aiohttp.ClientSession() as session:
        with pytest.raises(TypeError, match="trace_configs go to a session that is opened here"):
            TokenManager(*ids, session=session, **options)
