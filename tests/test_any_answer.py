"""A token endpoint that answers at random: only a `TokenError`, never a hang, never a wrong token."""

from __future__ import annotations

import asyncio
import gzip
import json
import string
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aioalf import Client, Token, TokenError, TokenErrorResponse, TokenManager
from aioalf.backoff import read_retry_after
from aioalf.endpoint_url import validate_url
from aioalf.protocol.token_endpoint import read_token_response, token_from
from aioalf.redaction import redact, safe_url
from aioalf.storage.record import read_line
from aioalf.testing import AuthorizationServer
from aioalf.token import read_expires_in

NOW = 1_700_000_000.0

# The same examples in every run; none is kept on disk.
random_answers = settings(derandomize=True, database=None, deadline=None, max_examples=80)
over_sockets = settings(
    random_answers,
    max_examples=30,
    # The server is one for all examples, on purpose.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

TEXT = st.text(max_size=30)
TOKENS = st.text(string.ascii_letters + string.digits + "-._~+/=", min_size=1, max_size=20)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=10,
)
NEARLY = st.fixed_dictionaries(
    {"access_token": st.one_of(TOKENS, TOKENS, JSON)},
    optional={
        "token_type": st.one_of(st.sampled_from(["Bearer", "bearer", "mac"]), JSON),
        "expires_in": st.one_of(st.integers(), st.integers().map(str), JSON),
        "refresh_token": st.one_of(TOKENS, JSON),
        "scope": st.one_of(TEXT, st.lists(TEXT, max_size=3), JSON),
        "error": st.one_of(st.none(), st.just("invalid_client"), JSON),
        "error_description": JSON,
    },
)
BODIES = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    NEARLY.map(lambda value: json.dumps(value).encode()),
    NEARLY.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-16", "replace")),
    st.dictionaries(st.sampled_from(["access_token", "error", "token_type", "x"]), TEXT).map(
        lambda value: urlencode(value, errors="replace").encode()
    ),
    st.integers(1, 50_000).map(lambda times: b'{"access_token":' * times),
    st.builds(lambda value, cut: json.dumps(value).encode()[:cut], NEARLY, st.integers(0, 100)),
)
TYPES = st.one_of(
    st.sampled_from(
        ["", "application/json", "application/x-www-form-urlencoded", "text/plain", "text/html"]
    ),
    TEXT,
)
STATUSES = st.one_of(st.sampled_from([200, 200, 200, 400, 401, 503]), st.integers(100, 999))


def given_in(body: bytes) -> set[object]:
    """The access tokens that a body gives, read in every way there is."""
    found: set[object] = {
        value for name, value in parse_qsl(body.decode("utf-8", "replace").strip())
    }
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return found
    if isinstance(parsed, dict) and isinstance(parsed.get("access_token"), str):
        found.add(parsed["access_token"])
    return found


# Without a socket ------------------------------------------------------------------------------


@random_answers
@given(STATUSES, TYPES, BODIES)
def test_any_answer_is_a_token_that_it_gives_or_a_token_error(
    status: int, content_type: str, body: bytes
) -> None:
    """RFC 6749 sections 5.1 and 5.2, and all that is neither."""
    try:
        token = token_from(read_token_response(status, content_type, body), NOW)
    except TokenError:
        return
    assert status < 400
    assert token.access_token in given_in(body)
    assert token.access_token.isascii()
    assert not any(character.isspace() for character in token.access_token)
    assert repr(token)


@random_answers
@given(JSON, st.none() | st.builds(Token, TOKENS, st.just(5), refresh_token=TOKENS))
def test_any_mapping_is_a_token_that_it_holds_or_a_token_error(
    value: Any, previous: Token | None
) -> None:
    """What an overridden step of a manager returns may be anything as well."""
    try:
        token = token_from(value, NOW, previous)
    except TokenError:
        return
    assert token.access_token == value["access_token"]


@random_answers
@given(JSON)
def test_any_expires_in_is_seconds_or_unknown(value: object) -> None:
    """Finite, always: it is added to a clock."""
    seconds = read_expires_in(value)
    assert seconds is None or abs(seconds) < float("inf")


@random_answers
@given(st.one_of(TEXT, st.datetimes().map(lambda moment: f"{moment:%a, %d %b %Y %H:%M:%S GMT}")))
def test_any_retry_after_is_seconds_or_nothing(value: str) -> None:
    """Never less than none."""
    seconds = read_retry_after(value, NOW)
    assert seconds is None or seconds >= 0


@random_answers
@given(st.one_of(TEXT, TEXT.map("https://user:password@host/".__add__), st.binary(), st.none()))
def test_any_url_is_one_or_a_token_error(value: Any) -> None:
    """And whatever it is, it can be shown."""
    assert "password@" not in safe_url(value)
    try:
        url = validate_url(value)
    except TokenError:
        return
    assert url.host
    assert url.password is None


@random_answers
@given(
    st.text(max_size=100),
    st.text(string.ascii_letters + '"&<\\/% +äß€😀\udcff', min_size=3, max_size=20),
    st.text(max_size=100),
)
def test_a_secret_is_taken_out_of_any_text(before: str, secret: str, after: str) -> None:
    """Whatever stands around it."""
    for text in (before + secret + after, before + json.dumps(secret) + after):
        redacted = redact(text, [secret])
        assert secret not in redacted
        assert json.dumps(secret)[1:-1] not in redacted


@random_answers
@given(st.one_of(JSON, st.binary(max_size=50), NEARLY.map(json.dumps), TOKENS), TEXT)
def test_any_stored_line_is_a_token_or_none_or_a_token_error(line: object, binding: str) -> None:
    """What a storage loads is validated the same way."""
    try:
        token = read_line(line, binding)
    except TokenError:
        return
    assert token is None or token.access_token.isascii()


# Over sockets ----------------------------------------------------------------------------------

HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            """Content-Type Content-Length Transfer-Encoding Content-Encoding Location Connection Upgrade
            Retry-After Set-Cookie WWW-Authenticate X""".split()
        ),
        st.one_of(
            st.sampled_from(
                """chunked gzip deflate br identity close keep-alive upgrade websocket 0 5 -1 99999
                application/json text/plain application/x-www-form-urlencoded;charset=x //evil
                http://[ a=b;Domain=x""".split()
            ),
            st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=20),
        ),
    ),
    max_size=4,
)


@st.composite
def answers(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tuple[bytes, bytes]:
    """What is sent, and the body in it before anything was done to it."""
    body: bytes = draw(BODIES)
    headers: list[tuple[str, str]] = draw(HEADERS)
    sent = body
    how = draw(st.sampled_from(["close", "length", "chunked", "gzip", "short"]))
    if how == "gzip":
        sent = gzip.compress(body, 1, mtime=0)
        headers.append(("Content-Encoding", "gzip"))
    if how == "chunked":
        sent = b"".join(
            b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]) if part
        )
        sent += b"0\r\n\r\n"
        headers.append(("Transfer-Encoding", "chunked"))
    elif how in ("length", "gzip"):
        headers.append(("Content-Length", str(len(sent))))
    elif how == "short":
        headers.append(("Content-Length", str(len(sent) + 1)))
    lines = [f"HTTP/1.1 {draw(STATUSES)} x", *(f"{name}: {value}" for name, value in headers)]
    raw = "\r\n".join([*lines, "", ""]).encode("latin-1") + sent
    return raw[: draw(st.none() | st.integers(1, 100))], body


RAW = st.one_of(
    st.tuples(st.binary(min_size=1, max_size=200), st.just(b"")),
    st.tuples(st.binary(max_size=100).map(b"HTTP/1.1 200 OK\r\n".__add__), st.just(b"")),
    answers(),
    answers(),
    answers(),
)


@over_sockets
@given(answer=RAW)
async def test_any_bytes_are_a_token_that_they_give_or_a_token_error(
    server: AuthorizationServer, answer: tuple[bytes, bytes]
) -> None:
    """Whatever the bytes, headers, lengths and encodings; a call after it gives a token."""
    raw, body = answer
    options = {"timeout": 2}
    manager = TokenManager(server.token_endpoint, server.client_id, server.client_secret, options)
    server.raw_next(raw)
    try:
        token = await asyncio.wait_for(manager.get(), 10)
    except TokenError:
        assert server.accepts(await asyncio.wait_for(manager.get_token(), 10))
    else:
        # Bytes left out by a wrong length may end the body earlier than was meant.
        assert any(token.access_token in given_in(body[:end]) for end in (None, 0, 5))


@over_sockets
@given(answer=RAW)
async def test_a_client_sends_nothing_without_a_token(
    server: AuthorizationServer, answer: tuple[bytes, bytes]
) -> None:
    """It returns the error response, readable, or raises a `TokenError`; or sends what it was given."""
    options, before = {"timeout": 2}, server.resource_requests
    endpoint = server.token_endpoint
    async with Client(server.client_id, server.client_secret, endpoint, options) as client:
        server.raw_next(answer[0])
        try:
            response = await asyncio.wait_for(client.get(server.resource), 10)
        except TokenError:
            assert server.resource_requests == before
            return
        if isinstance(response, TokenErrorResponse):
            assert response.status >= 400
            assert await response.read() == await response.read()
            assert server.resource_requests == before
        else:
            assert response.status == 200  # with the token of a second request
            assert server.resource_requests - before in (1, 2)


@pytest.mark.parametrize(
    "body", [b"\x00\x00\x00{", b"\xef\xbb\xbf", b"{\x00}\x00", b"\xfe\xff\x00{"]
)
def test_a_body_in_another_encoding_is_no_token(body: bytes) -> None:
    """JSON is read in the encodings of RFC 4627 section 3; half of one is an error like any other."""
    with pytest.raises(TokenError):
        token_from(read_token_response(200, "application/json", body), NOW)
