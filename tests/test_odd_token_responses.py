"""Token responses as servers in the field give them, and secrets that they repeat."""

from __future__ import annotations

import gzip
import json
import logging
from typing import Any

import aiohttp
import pytest
from clients import client_of, manager_of

from aioalf import ClientAuth, ClientSecretBasic, ClientSecretPost
from aioalf.errors import TokenError, TokenHTTPError
from aioalf.testing import AuthorizationServer

JSON = {"Content-Type": "application/json"}
BODY = b'{"access_token": "tok", "token_type": "Bearer", "expires_in": 3600}'


async def error_of(server: AuthorizationServer) -> TokenError:
    """The error of one token request."""
    async with manager_of(server) as manager:
        with pytest.raises(TokenError) as caught:
            await manager.get()
    return caught.value


async def test_a_body_of_several_gzip_members_is_read_whole(server: AuthorizationServer) -> None:
    """RFC 1952 section 2.2."""
    packed = gzip.compress(BODY[:20]) + gzip.compress(BODY[20:])
    server.answer_next(200, {**JSON, "Content-Encoding": "gzip"}, packed)
    async with manager_of(server) as manager:
        assert await manager.get_token() == "tok"


async def test_many_gzip_members_are_held_to_the_same_limit(server: AuthorizationServer) -> None:
    """A mebibyte after decompression, whatever it is made of."""
    member = gzip.compress(b" " * 2**18)
    server.answer_next(200, {**JSON, "Content-Encoding": "gzip"}, member * 20 + gzip.compress(BODY))
    assert "more than 1048576 bytes" in str(await error_of(server))


async def test_an_error_in_another_charset_is_understood(server: AuthorizationServer) -> None:
    """By the charset that the answer names; the code itself is ASCII (RFC 6749 section 5.2)."""
    body = '{"error": "invalid_grant", "error_description": "Jeton expir\u00e9"}'.encode("latin-1")
    server.answer_next(400, {"Content-Type": "application/json;charset=ISO-8859-1"}, body)
    server.answer_next(400, JSON, body)
    for description in ("Jeton expir\u00e9", "Jeton expir\ufffd"):
        error = await error_of(server)
        assert isinstance(error, TokenHTTPError)
        assert (error.error, error.error_description) == ("invalid_grant", description)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
async def test_json_in_any_unicode_encoding_is_read(
    encoding: str, server: AuthorizationServer
) -> None:
    """RFC 8259 section 8.1 knows UTF-8 alone; servers and Python know more."""
    server.answer_next(200, JSON, BODY.decode().encode(encoding))
    async with manager_of(server) as manager:
        assert await manager.get_token() == "tok"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_a_secret_that_is_repeated_in_any_encoding_is_taken_out(
    encoding: str, server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Read as UTF-8, UTF-16 has a NUL between the letters, which a terminal does not show."""
    server.client_secret = "S3cr3t-of-ours"
    body = json.dumps({"error": server.client_secret, "detail": server.client_secret})
    server.answer_next(400, JSON, body.encode(encoding))
    error: Any = await error_of(server)
    for text in (str(error), error.response_text, error.error, caplog.text):
        assert "S3cr3t" not in text.replace("\0", "")


async def test_a_secret_that_a_redirect_repeats_is_taken_out(
    server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """In its path as in its host."""
    server.client_secret = "s3cr3t-of-ours"
    for location in ("/login/s3cr3t-of-ours", "https://s3cr3t-of-ours.example.com/"):
        server.answer_next(302, {"Location": location})
        error = await error_of(server)
        assert "points to" in str(error)
        assert "s3cr3t" not in f"{error}{caplog.text}"


async def test_an_error_code_that_holds_the_secret_is_still_a_code(
    server: AuthorizationServer,
) -> None:
    """``client`` as a secret would make ``invalid_***`` of it, which no code recognises."""
    server.client_secret = "client"
    server.answer_next(401, JSON, '{"error": "invalid_client", "hint": "client"}')
    error = await error_of(server)
    assert isinstance(error, TokenHTTPError)
    assert error.error == "invalid_client"
    assert "Failed to request token (invalid_client)" in str(error)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"errcode": 40013, "errmsg": "invalid appid"}, "errcode, errmsg"),
        ({"success": False, "message": "client disabled"}, "success, message"),
        ({"a s3cr3t in place of a name": 1}, "other members"),
        ({}, "nothing"),
    ],
)
async def test_an_answer_without_a_token_is_described_by_its_members(
    body: dict[str, Any], names: str, server: AuthorizationServer
) -> None:
    """It is what everyone asks for first."""
    server.answer_next(200, JSON, json.dumps(body))
    assert str(await error_of(server)).endswith(f"holds no access_token, but {names}.")


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER", "BearerToken", None])
async def test_a_token_type_in_the_field_is_taken(
    kind: str | None, server: AuthorizationServer
) -> None:
    """RFC 6749 section 5.1: not case-sensitive; some servers say more."""
    server.token_parameters = {"token_type": kind}
    async with manager_of(server) as manager:
        await manager.get()


async def test_another_token_type_is_refused_and_the_remedy_named(
    server: AuthorizationServer,
) -> None:
    """A token that has to be signed or bound is worth nothing in a Bearer header."""
    server.token_parameters = {"token_type": "DPoP"}
    error = str(await error_of(server))
    assert "a token of type 'DPoP', not Bearer" in error
    assert "override fetch_token" in error


async def test_no_control_character_of_a_server_gets_into_the_log(
    server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A terminal would obey it."""
    server.raw_next(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/\x1b[31mred\x9b\r\nContent-Length: 2\r\n\r\nno"
    )
    error = str(await error_of(server))
    assert all(char.isprintable() for char in f"{error}{caplog.messages[-1]}")


@pytest.mark.parametrize(
    "timeout",
    [
        aiohttp.ClientTimeout(),
        aiohttp.ClientTimeout(total=0),
        aiohttp.ClientTimeout(sock_connect=5),
        0,
        None,
    ],
    ids=repr,
)
async def test_no_http_option_lifts_the_limit_on_the_time(
    timeout: Any, server: AuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that need a token wait for this request."""
    monkeypatch.setattr("aioalf.endpoint._TIMEOUT", aiohttp.ClientTimeout(total=0.05))
    server.stall_next()
    async with client_of(server, http_options={"timeout": timeout}) as client:
        with pytest.raises(TokenError, match="No answer in time"):
            await client.get(server.resource)


@pytest.mark.parametrize("client_auth", [ClientSecretBasic(), ClientSecretPost()])
async def test_a_netrc_never_takes_the_place_of_the_credentials_of_a_client(
    client_auth: ClientAuth,
    server: AuthorizationServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    """aiohttp 3.13 replaces them without a word, and 3.14 says ValueError, and neither what nor where."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with aiohttp.ClientSession(trust_env=True) as session:
        manager = manager_of(server, session=session, client_auth=client_auth)
        await manager.get()
    (request,) = server.log
    assert ("Authorization" in request.headers) == isinstance(client_auth, ClientSecretBasic)


async def test_a_warning_ends_in_one_full_stop(
    server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Also if what it tells ends in a question."""
    server.answer_next(200, body="<html>")
    await error_of(server)
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert line.endswith("Is it the right URL?")
