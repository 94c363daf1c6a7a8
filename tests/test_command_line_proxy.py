"""`python -m aioalf` through a proxy: the environment's, and that of ``--proxy``."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from commands import assert_one_line, run
from http_proxy import http_proxy
from yarl import URL

from aioalf.cli.errors import CommandError
from aioalf.cli.proxy import Proxies
from aioalf.testing import AuthorizationServer

# On port 80 of this machine there is nothing: only the proxy leads to the server of a test.
LOGIN, API = "http://login.localhost/token", "http://api.localhost/resource"
CREDENTIALS = "user:hunter2"


@pytest.mark.parametrize("way", ["HTTP_PROXY", "http_proxy", "--proxy"])
async def test_token_request_and_request_go_through_the_proxy(
    way: str, server: AuthorizationServer
) -> None:
    """A request for http is sent to the proxy with its whole URL (RFC 9112 section 3.2.2)."""
    async with http_proxy(server.port) as proxy:
        options = ["--proxy", proxy.url] if way == "--proxy" else []
        variables: dict[str, Any] = {} if options else {way: proxy.url}
        result = await run(
            server, "request", "GET", API, *options, AIOALF_TOKEN_ENDPOINT=LOGIN, **variables
        )
    assert (result.status, result.err) == (0, "")
    assert json.loads(result.out)["method"] == "GET"
    assert proxy.lines == [f"POST {LOGIN} HTTP/1.1", f"GET {API} HTTP/1.1"]


async def test_https_goes_through_a_tunnel_that_shows_the_proxy_nothing(tmp_path: Path) -> None:
    """The proxy gets its own credentials, and neither the secret nor the token."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("login.invalid", "api.invalid").configure_cert(context)
    async with (
        AuthorizationServer(ssl_context=context) as server,
        http_proxy(server.port, CREDENTIALS) as proxy,
    ):
        result = await run(
            server,
            *("request", "GET", "https://api.invalid/resource", "-v"),
            AIOALF_TOKEN_ENDPOINT="https://login.invalid/token",
            HTTPS_PROXY=proxy.url,
            SSL_CERT_FILE=str(tmp_path / "ca.pem"),
        )
        assert result.status == 0, result
        assert json.loads(result.out)["path"] == "/resource"
        assert "Proxy-Authorization" not in json.loads(result.out)["headers"]
    assert proxy.lines == [
        "CONNECT login.invalid:443 HTTP/1.1",
        "CONNECT api.invalid:443 HTTP/1.1",
    ]
    assert proxy.seen.count(b"\r\nProxy-Authorization: ") == 2
    assert b"\r\nAuthorization" not in proxy.seen
    assert "hunter2" not in result.err


async def test_each_hop_of_a_redirect_has_the_proxy_that_is_meant_for_it(
    server: AuthorizationServer,
) -> None:
    """A host in NO_PROXY is asked directly, also if a redirect leads there."""
    server.resource_answer_next(302, {"Location": server.resource})
    async with http_proxy(server.port) as proxy:
        result = await run(
            server,
            *("request", "GET", API, "--include"),
            HTTP_PROXY=proxy.url,
            NO_PROXY="127.0.0.1,example.com",
        )
    assert result.status == 0, result
    assert result.out.startswith(b"HTTP/1.1 401 ")  # without the token: it is another origin
    assert proxy.lines == [f"GET {API} HTTP/1.1"]
    assert (server.token_requests, server.resource_requests) == (1, 2)


async def test_a_netrc_does_not_replace_the_token(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """Credentials for every host, which aiohttp takes together with the environment's proxy."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    async with http_proxy(server.port) as proxy:
        result = await run(
            server,
            *("request", "GET", API, "--fail"),
            AIOALF_TOKEN_ENDPOINT=LOGIN,
            HTTP_PROXY=proxy.url,
            NETRC=str(netrc),
        )
    assert (result.status, result.err) == (0, "")
    assert server.log[0].headers["Authorization"].startswith("Basic ")
    assert server.log[1].headers["Authorization"].startswith("Bearer ")


async def test_a_proxy_that_wants_other_credentials_is_named_and_its_own_are_not(
    server: AuthorizationServer,
) -> None:
    """407, to a plain request and to one for a tunnel (RFC 9110 section 15.5.8)."""
    async with http_proxy(server.port, "user:other") as proxy:
        wrong = proxy.url.replace("other", "hunter2")
        variables: dict[str, Any] = {
            "HTTP_PROXY": wrong,
            "HTTPS_PROXY": wrong,
            "NO_PROXY": "127.0.0.1",
        }
        results = await asyncio.gather(
            run(server, "token", AIOALF_TOKEN_ENDPOINT=LOGIN, **variables),
            run(server, "token", AIOALF_TOKEN_ENDPOINT="https://login.invalid/token", **variables),
            run(server, "request", "GET", "https://api.invalid/", **variables),
            run(server, "request", "GET", API, "--fail", **variables),
        )
    for result, status in zip(results, (1, 1, 3, 22), strict=True):
        assert_one_line(result, status, "407")
        assert "roxy" in result.err
        assert "hunter2" not in result.err


async def test_a_proxy_that_is_not_there_is_named_without_its_credentials(
    server: AuthorizationServer, unused_tcp_port: int
) -> None:
    """It is not the server that cannot be reached."""
    proxy = f"http://{CREDENTIALS}@127.0.0.1:{unused_tcp_port}"
    variables: dict[str, Any] = {"HTTP_PROXY": proxy, "NO_PROXY": "127.0.0.1"}
    request = await run(server, "request", "GET", API, "-v", **variables)
    token = await run(server, "token", "-v", AIOALF_TOKEN_ENDPOINT=LOGIN, **variables)
    assert (request.status, token.status) == (3, 1)
    assert f"no connection to the proxy 127.0.0.1:{unused_tcp_port}" in request.err
    assert f"127.0.0.1:{unused_tcp_port}" in token.err
    assert "hunter2" not in request.err + token.err


@pytest.mark.parametrize(
    "proxy", ["https://hunter2:443", "socks5h://hunter2:1080", "http://[hunter2", "http://:8080"]
)
async def test_a_proxy_that_cannot_be_used_is_not_passed_by(
    proxy: str, server: AuthorizationServer
) -> None:
    """The user may not want a request to go out without one; the line names the variable."""
    result = await run(server, "token", HTTP_PROXY=proxy)
    assert_one_line(result, 2, "HTTP_PROXY: the http URL of a proxy is needed")
    assert "hunter2" not in result.err
    assert server.token_requests == 0


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the proxies of the machine that runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "request_method"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("", "https://api.example.com/", False),
        ("*", "https://api.example.com/", True),
        ("example.com", "https://api.example.com/", True),
        (".example.com, other", "https://API.example.com:8443/", True),
        ("api.example.com:443", "https://api.example.com/", True),
        ("api.example.com:8443", "https://api.example.com/", False),
        ("example.com", "https://notexample.com/", False),
        ("::1", "https://[::1]:8443/", True),
        ("[::1]", "https://[::1]/", True),
        ("127.0.0.1", "https://127.0.0.1:8443/", True),
    ],
)
@pytest.mark.usefixtures("clean_environment")
def test_no_proxy_is_honoured_with_either_kind_of_proxy(
    no_proxy: str, url: str, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts, domains and ports."""
    monkeypatch.setenv("NO_PROXY", no_proxy)
    monkeypatch.setenv("HTTPS_PROXY", "http://env.example:3128")
    for option in (None, URL("http://option.example:3128")):
        proxy = Proxies(option).for_url(url)
        expected = None if direct else option or URL("http://env.example:3128")
        assert proxy == expected


@pytest.mark.usefixtures("clean_environment")
def test_each_scheme_has_its_proxy_and_a_name_without_a_scheme_is_http(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As curl takes it."""
    monkeypatch.setenv("HTTPS_PROXY", "user:pa%40ss@proxy.example:3128")
    proxy = Proxies(None).for_url("https://api.example.com/")
    assert proxy is not None
    assert (proxy.scheme, proxy.host, proxy.port) == ("http", "proxy.example", 3128)
    assert (proxy.user, proxy.password) == ("user", "pa@ss")
    assert Proxies(None).for_url("http://api.example.com/") is None
    monkeypatch.setenv("HTTP_PROXY", "ftp://proxy.example")
    with pytest.raises(CommandError, match="HTTP_PROXY"):
        Proxies(None).for_url("http://api.example.com/")
