"""Whatever a token endpoint does or is: a `TokenError` that names it, and the next call works."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientTimeout, web
from aiohttp.test_utils import TestServer

from aioalf import Client, TokenError, TokenErrorResponse, TokenHTTPError, TokenManager
from aioalf.testing import AuthorizationServer

Script = Callable[[AuthorizationServer], None]
MIB = 2**20
TOKEN = b'{"access_token": "unused", "token_type": "Bearer"}'


def says(body: object, status: int = 200, **headers: str) -> Script:
    """The server answers with that body, or with that value as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda server: server.answer_next(status, sent, raw)


def sends(*lines: str, body: bytes = b"") -> Script:
    """The server sends these header lines and this body as they are, and hangs up."""
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return lambda server: server.raw_next(head + body)


def no_token(access_token: object) -> Script:
    """The server answers with a token that is none."""
    return says({"access_token": access_token, "token_type": "Bearer"})


OK = "HTTP/1.1 200 OK"
BOMB = gzip.compress(b" " * (4 * MIB) + TOKEN)

BAD: dict[str, tuple[Script, str]] = {
    # no answer
    "dropped": (lambda s: s.drop_next(), "No answer .* it closed the connection"),
    "stalled": (lambda s: s.stall_next(), "No answer in time"),
    "stops in a header": (lambda s: s.raw_next(b"HTTP/1.1 200 OK\r\nX-"), "No answer"),
    "only says continue": (sends("HTTP/1.1 100 Continue"), "No answer"),
    "says continue for ever": (sends(*["HTTP/1.1 100 Continue\r\n"] * 500), "No answer"),
    # no HTTP, or not all of it
    "not HTTP": (sends("SSH-2.0-OpenSSH_9.2"), "cut short or unreadable"),
    "no status": (sends("HTTP/1.1"), "cut short or unreadable"),
    "two lengths": (sends(OK, "Content-Length: 1", "Content-Length: 2", body=b"{}"), "unreadable"),
    "a header of 1 MiB": (sends(OK, "X: " + "x" * MIB), "cut short or unreadable"),
    "truncated": (sends(OK, "Content-Length: 999", body=TOKEN), "cut short"),
    "truncated chunks": (sends(OK, "Transfer-Encoding: chunked", body=b"5\r\n{}"), "cut short"),
    "bad chunks": (sends(OK, "Transfer-Encoding: chunked", body=TOKEN), "unreadable"),
    "switches protocols": (
        sends("HTTP/1.1 101 Switching Protocols", "Upgrade: x", "Connection: upgrade", body=TOKEN),
        "not a token response|unreadable",
    ),
    # packed
    "not packed": (says(TOKEN, Content_Encoding="gzip"), "unreadable"),
    "packed in part": (says(gzip.compress(TOKEN)[:-9], Content_Encoding="gzip"), "cut short"),
    "packed otherwise": (says(b"\x0b\x02\x80", Content_Encoding="br"), "not a token response"),
    "a bomb": (says(BOMB, Content_Encoding="gzip"), f"more than {MIB} bytes"),
    "a deflated bomb": (says(zlib.compress(bytes(2 * MIB)), Content_Encoding="deflate"), "more"),
    # too much
    "over 1 MiB": (says(b" " * MIB + TOKEN), f"200 with more than {MIB} bytes"),
    "over 1 MiB of error": (says(b"x" * (MIB + 1), 500), f"500 with more than {MIB} bytes"),
    # not a token response
    "empty": (says(b""), "not a token response .0 bytes"),
    "no content": (says(b"", 204), "answered 204 .* not a token response"),
    "HTML": (says(b"<html>Sign in", Content_Type="text/html; charset=x"), "text/html.*right URL"),
    "a list": (says([{"access_token": "t"}]), "not a token response"),
    "a string": (says("access_token=t"), "not a token response"),
    "null": (says(None), "not a token response"),
    "deep": (says(b'{"a":' * 150_000), "not a token response"),
    "not UTF-8": (says(b'{"access_token": "\xff"}'), "character it must not"),
    "cut JSON": (says(TOKEN[:-1]), "not a token response"),
    "a form without a token": (
        says(b"a=b&c=d", Content_Type="application/x-www-form-urlencoded"),
        "not a token response",
    ),
    # no token
    "no access_token": (says({"token_type": "Bearer"}), "holds no access_token"),
    "access_token null": (no_token(None), "holds no access_token"),
    "access_token empty": (no_token(""), "access_token .* is empty"),
    "access_token a number": (no_token(5), "access_token .* is a int"),
    "access_token a list": (no_token(["t"]), "access_token .* is a list"),
    "access_token with a space": (no_token("a b"), "access_token .* character"),
    "access_token with CR LF": (no_token("a\r\nX-Admin: 1"), "access_token .* character"),
    "access_token with LF at its end": (no_token("a\n"), "access_token .* character"),
    "access_token not ASCII": (no_token("tökén"), "access_token .* character"),
    "token_type other": (says({"access_token": "t", "token_type": "DPoP"}), "'DPoP', not Bearer"),
    "token_type a number": (says({"access_token": "t", "token_type": 1}), "not a name .*, not Bearer"),
    "form-encoded, other type": (
        says(b"access_token=t&token_type=mac", Content_Type="text/plain"),
        "'mac', not Bearer",
    ),
    # redirects
    "a redirect": (
        says(b"", 302, Location="https://u:p@login.example.com/sso?next=1#f"),
        "answered 302 and points to https://login.example.com/sso: .* nothing was sent there",
    ),
    "a relative redirect": (says(b"", 307, Location="/v2/token?a=b"), r"points to http:\S+/v2/token:"),
    "a redirect to nowhere": (says(TOKEN, 308), "points to nowhere"),
    "a redirect to nonsense": (says(b"", 303, Location="http://[::1"), "not a URL"),
    "not modified": (says(b"", 304), "answered 304"),
}  # fmt: skip

ERRORS: dict[str, tuple[Script, int, str | None]] = {
    "an error": (says({"error": "invalid_scope"}, 400), 400, "invalid_scope"),
    "an error with status 200": (says({"error": "invalid_client"}), 200, "invalid_client"),
    "an error in a form": (
        says(b"error=invalid_client", 401, Content_Type="application/x-www-form-urlencoded"),
        401,
        "invalid_client",
    ),
    "a token with status 403": (says(TOKEN, 403), 403, None),
    "a page with status 502": (says(b"<h1>Bad Gateway", 502, Content_Type="text/html"), 502, None),
    "an empty error": (says(b"", 500), 500, None),
    "a packed error": (
        says(gzip.compress(b'{"error":"slow_down"}'), 429, Content_Encoding="gzip"),
        429,
        "slow_down",
    ),
    "no known status": (sends("HTTP/1.1 999 Denied", body=b"go away"), 999, None),
    "not UTF-8": (says(b"\xff\xfe", 400), 400, None),
}


def manager_of(server: AuthorizationServer, **options: Any) -> TokenManager:
    """A manager with good credentials and little patience."""
    timeout = {"timeout": ClientTimeout(total=0.3)}
    return TokenManager(
        server.token_endpoint, server.client_id, server.client_secret, timeout, **options
    )


async def works(manager: TokenManager, server: AuthorizationServer) -> None:
    """Nothing is lost and nothing hangs: the next call gives a token."""
    assert server.accepts(await asyncio.wait_for(manager.get_token(), 5))


@pytest.mark.parametrize(("script", "said"), BAD.values(), ids=BAD)
async def test_an_answer_without_a_token_is_an_error_that_names_it(
    server: AuthorizationServer, script: Script, said: str
) -> None:
    """RFC 6749 section 5.1. It is raised by a `Client` too: there is no response to return."""
    async with manager_of(server) as manager:
        script(server)
        with pytest.raises(TokenError, match=said) as caught:
            await asyncio.wait_for(manager.get(), 5)
        assert isinstance(caught.value, aiohttp.ClientError)
        assert not isinstance(caught.value, TokenHTTPError)
        await works(manager, server)
        requests = server.token_requests
        async with Client(token_manager=manager) as client:
            script(server)
            server.revoke_all()
            with pytest.raises(TokenError, match=said):
                async with client.get(server.resource):
                    pytest.fail("there is no token to send it with")
            async with client.get(server.resource) as response:
                assert response.status == 200
    assert (requests, server.token_requests) == (2, 4)


@pytest.mark.parametrize(("script", "status", "code"), ERRORS.values(), ids=ERRORS)
async def test_an_error_of_the_token_endpoint_carries_status_and_code(
    server: AuthorizationServer, script: Script, status: int, code: str | None
) -> None:
    """RFC 6749 section 5.2; raised by a manager, returned by a client if the status is an error's."""
    async with manager_of(server) as manager:
        script(server)
        with pytest.raises(TokenHTTPError) as caught:
            await asyncio.wait_for(manager.get(), 5)
        assert (caught.value.response_status, caught.value.error) == (status, code)
        assert isinstance(caught.value.response, TokenErrorResponse) is (status >= 400)
        await works(manager, server)
        async with Client(token_manager=manager) as client:
            script(server)
            server.revoke_all()
            if status >= 400:
                async with client.get(server.resource) as response:
                    assert isinstance(response, TokenErrorResponse)
                    assert response.status == status
                    assert (code or "") in await response.text(errors="replace")
            else:
                with pytest.raises(TokenHTTPError):
                    await client.get(server.resource)
            async with client.get(server.resource) as response:
                assert response.status == 200


@pytest.mark.parametrize("wbits", [31, 15])
async def test_a_bomb_does_not_go_off(server: AuthorizationServer, wbits: int) -> None:
    """What is over the limit is not even unpacked: 64 MiB in 64 KiB take no such memory."""
    packing = zlib.compressobj(wbits=wbits)
    bomb = b"".join(packing.compress(bytes(MIB)) for _ in range(64)) + packing.flush()
    assert len(bomb) < MIB / 8
    server.answer_next(200, {"Content-Encoding": "gzip" if wbits == 31 else "deflate"}, bomb)
    tracemalloc.start()
    try:
        with pytest.raises(TokenError, match="more than"):
            await manager_of(server).get_token()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * MIB


@pytest.mark.parametrize("size", [MIB - 1, MIB])
@pytest.mark.parametrize("encoding", ["", "gzip", "deflate", "DEFLATE", "raw deflate", "utf-8"])
async def test_a_token_response_of_one_mebibyte_is_read(
    server: AuthorizationServer, size: int, encoding: str
) -> None:
    """The limit is inclusive, and counts what is unpacked; a charset in the wrong header is nothing."""
    body = TOKEN + b" " * (size - len(TOKEN))
    wbits = {"gzip": 31, "deflate": 15, "DEFLATE": 15, "raw deflate": -15}.get(encoding)
    if wbits:
        packing = zlib.compressobj(wbits=wbits)
        body = packing.compress(body) + packing.flush()
    server.answer_next(200, {"Content-Encoding": encoding.rpartition(" ")[2]}, body)
    assert await manager_of(server).get_token() == "unused"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"access_token=a%2Fb"),
        ({"Content-Type": "text/plain; charset=utf-8"}, b"access_token=a%2Fb&token_type=bearer"),
        ({"Content-Type": "text/html"}, b'{"access_token": "a/b"}'),
        ({"Content-Type": "nonsense"}, b'\xef\xbb\xbf{"access_token": "a/b"}'),
        ({"Content-Type": ";;;\xff"}, b'{"access_token": "a\\/b", "token_type": null}'),
    ],
)
async def test_a_token_is_read_whatever_the_content_type(
    server: AuthorizationServer, headers: dict[str, str], body: bytes
) -> None:
    """JSON always, a form where the type allows it."""
    server.answer_next(200, headers, body)
    assert await manager_of(server).get_token() == "a/b"


@pytest.mark.parametrize(
    "expires_in",
    [None, 60, "60", 60.5, " 60 ", 0, "0", -5, True, "soon", "", [], {}, 10**400, "1e999", "6e1"],
)
async def test_a_good_token_is_not_thrown_away_for_its_expires_in(
    server: AuthorizationServer, expires_in: object
) -> None:
    """RFC 6749 section 5.1; the whole table is in test_token_endpoint.py."""
    server.token_parameters = {"expires_in": expires_in}
    async with Client(server.client_id, server.client_secret, server.token_endpoint) as client:
        for _ in range(2):
            async with client.get(server.resource) as response:
                assert response.status == 200
    lasting = expires_in not in (0, "0", -5)
    assert server.token_requests == (1 if lasting else 2)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_nothing_is_sent_to_where_a_redirect_points(
    server: AuthorizationServer, status: int
) -> None:
    """The credentials go to the endpoint they are for, and to no other."""
    asked: list[str] = []

    async def note(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", note)
    async with TestServer(app) as other:
        server.answer_next(status, {"Location": str(other.make_url("/token"))}, TOKEN)
        with pytest.raises(TokenError, match=f"answered {status}"):
            await manager_of(server).get_token()
    assert asked == []
