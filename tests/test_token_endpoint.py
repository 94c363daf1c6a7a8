"""What a token request says and what a token response means, without an event loop."""

from __future__ import annotations

import json
import logging
import time
from typing import Any
from urllib.parse import quote

import pytest

from aioalf.backoff import read_retry_after
from aioalf.errors import TokenError, TokenHTTPError
from aioalf.protocol.token_endpoint import (
    DEVICE_CODE,
    complete_form,
    read_token_response,
    scope_string,
    token_from,
)
from aioalf.token import Token, read_expires_in

NOW = 1_700_000_000.0
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
GRANT = {"grant_type": "client_credentials"}


def answer(body: object, status: int = 200, content_type: str = JSON) -> dict[str, Any]:
    """Read a token response with that JSON body."""
    return read_token_response(status, content_type, json.dumps(body).encode())


# The request -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "sent"),
    [
        (None, None),
        ("", None),
        ([], None),
        ("read", "read"),
        ("read write", "read write"),
        (["read"], "read"),
        (["read", "write"], "read write"),
        (("a", "b", "c"), "a b c"),
    ],
)
def test_a_list_of_scopes_is_joined_with_single_spaces(scope: Any, sent: str | None) -> None:
    """RFC 6749 section 3.3; no scope is no parameter, not an empty one."""
    assert scope_string(scope) == sent
    form = complete_form(GRANT, sent, {})
    assert form == {"grant_type": "client_credentials", **({"scope": sent} if sent else {})}


def test_further_parameters_go_into_the_form() -> None:
    """``audience``, ``resource`` (RFC 8707); one that is None is left out."""
    params = {"audience": "api", "resource": ["https://a", "https://b"], "tenant": None}
    form = complete_form(GRANT, "read", params)
    assert form == {
        "grant_type": "client_credentials",
        "scope": "read",
        "audience": "api",
        "resource": ["https://a", "https://b"],
    }
    assert params["tenant"] is None


def test_a_field_of_the_grant_comes_before_what_is_configured() -> None:
    """A flow knows better; and None leaves a field out."""
    given = {**GRANT, "scope": "write", "audience": None}
    assert complete_form(given, "read", {"audience": "api", "resource": "https://a"}) == {
        "grant_type": "client_credentials",
        "scope": "write",
        "resource": "https://a",
    }


@pytest.mark.parametrize("grant", ["authorization_code", "refresh_token", DEVICE_CODE])
def test_what_stands_for_a_scope_is_sent_without_one(grant: str) -> None:
    """Rule 27: a scope at a refresh is invalid_scope at some servers; one switch sends it."""
    assert complete_form({"grant_type": grant}, "read", {}) == {"grant_type": grant}
    sent = complete_form({"grant_type": grant}, "read", {}, scope_on_refresh=True)
    assert ("scope" in sent) == (grant == "refresh_token")


# A token ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type", [JSON, "text/html", "text/plain", "", "application/octet-stream", FORM]
)
def test_json_is_read_whatever_the_content_type(content_type: str) -> None:
    """Servers name all sorts of types."""
    assert answer({"access_token": "t"}, content_type=content_type) == {"access_token": "t"}


@pytest.mark.parametrize("content_type", [FORM, "text/plain"])
def test_a_form_encoded_token_is_read(content_type: str) -> None:
    """Some servers still answer so."""
    body = b"access_token=a%2Bb&token_type=bearer&expires_in=3600&scope=a+b\n"
    params = read_token_response(200, content_type, body)
    token = token_from(params, NOW)
    assert (token.access_token, token.expires_in, token.scope) == ("a+b", 3600.0, "a b")


def test_a_token_response_becomes_a_token() -> None:
    """RFC 6749 section 5.1."""
    token = token_from(
        {
            "access_token": "abc",
            "token_type": "Bearer",
            "expires_in": 3600,
            "scope": "a b",
            "refresh_token": "r",
            "instance_url": "https://eu.example.com",
        },
        NOW,
    )
    assert token == Token(
        "abc",
        3600,
        scope="a b",
        refresh_token="r",
        expires_at=NOW + 3600,
        extra={"instance_url": "https://eu.example.com"},
    )


def test_a_list_of_scopes_in_the_answer_is_joined() -> None:
    """Not what RFC 6749 says, but what some servers do; anything else is no scope."""
    assert token_from({"access_token": "t", "scope": ["a", "b"]}, NOW).scope == "a b"
    assert token_from({"access_token": "t", "scope": {"a": 1}}, NOW).scope is None
    assert token_from({"access_token": "t", "scope": [1]}, NOW).scope is None


@pytest.mark.parametrize("given", [None, "", 5, ["r"], False])
def test_a_refresh_token_is_kept_until_another_is_given(given: object) -> None:
    """RFC 6749 section 6."""
    previous = Token("old", 10, refresh_token="first")
    params = {"access_token": "t", "refresh_token": given}
    assert token_from(params, NOW, previous).refresh_token == "first"
    assert token_from({"access_token": "t"}, NOW, previous).refresh_token == "first"
    assert token_from({"access_token": "t"}, NOW, Token("old", 10)).refresh_token is None
    assert token_from({"access_token": "t"}, NOW).refresh_token is None


def test_another_refresh_token_replaces_the_one_before() -> None:
    """RFC 6749 section 6: rotation."""
    params = {"access_token": "t", "refresh_token": "second"}
    assert token_from(params, NOW, Token("old", 10, refresh_token="first")).refresh_token == (
        "second"
    )


@pytest.mark.parametrize("kind", [None, "Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_token_type_is_bearer_in_any_case_or_left_out(kind: str | None) -> None:
    """RFC 6749 section 7.1 and 5.1: the value is case insensitive."""
    assert token_from({"access_token": "t", "token_type": kind}, NOW).access_token == "t"


@pytest.mark.parametrize("kind", ["mac", "DPoP", "N_A", "pop"])
def test_another_token_type_is_an_error_that_names_it(kind: str) -> None:
    """RFC 6749 section 7.1: a client must not use a token of a type it does not understand."""
    with pytest.raises(TokenError, match=kind):
        token_from({"access_token": "t", "token_type": kind}, NOW)


@pytest.mark.parametrize("kind", ["", 1, ["Bearer"], {}, True, "Bearer ", "x" * 30, "a b", "ä"])
def test_a_token_type_that_is_no_name_is_an_error(kind: object) -> None:
    """It is not shown: it may be the token, in the wrong place."""
    with pytest.raises(TokenError, match=r"type that is not a name .* not Bearer"):
        token_from({"access_token": "t", "token_type": kind}, NOW)


@pytest.mark.parametrize(
    ("access_token", "said"),
    [
        (None, "holds no access_token"),
        ("", "empty"),
        (5, "int"),
        (1.5, "float"),
        (True, "bool"),
        (["a"], "list"),
        ({"a": 1}, "dict"),
        ("a b", "character"),
        (" a", "character"),
        ("a\r\nX-Admin: 1", "character"),
        ("a\n", "character"),
        ("a\t", "character"),
        ("a\0", "character"),
        ("a\x7f", "character"),
        ("ä", "character"),
        ("😀", "character"),
        ("\ud800", "character"),
    ],
)
def test_an_unusable_access_token_is_an_error_that_names_it(
    access_token: object, said: str
) -> None:
    """It goes into a header: a non-empty string of visible ASCII, and nothing else; it is not shown."""
    with pytest.raises(TokenError, match=said) as caught:
        token_from({"access_token": access_token}, NOW)
    assert "access_token" in str(caught.value)
    assert "Admin" not in str(caught.value)


@pytest.mark.parametrize("token", ["t", "a.b-c_d~e+f/g==", "!#$%&'()*,:;<>?@[]^`{|}", "x" * 5000])
def test_any_visible_ascii_is_an_access_token(token: str) -> None:
    """More than the b64token of RFC 6750 section 2.1: servers in the field give it."""
    assert token_from({"access_token": token}, NOW).access_token == token


@pytest.mark.parametrize("params", [None, [], "access_token", 5, b"access_token=1"])
def test_a_token_response_is_a_mapping(params: Any) -> None:
    """What an overridden step of a manager returns is checked as well."""
    with pytest.raises(TokenError, match="not a mapping"):
        token_from(params, NOW)


LIVES: list[tuple[object, float | None]] = [
    (None, None),
    (3600, 3600.0),
    (3600.5, 3600.5),
    ("3600", 3600.0),
    (" 3600 ", 3600.0),
    ("3600.0", 3600.0),
    ("3600.", 3600.0),
    ("+60", 60.0),
    ("1e3", 1000.0),
    (1e3, 1000.0),
    (0, 0.0),
    ("0", 0.0),
    (-1, -1.0),
    ("-1", -1.0),
    (-0.0, 0.0),
    (10**15, 1e15),
    (1e300, 1e300),
]
UNREADABLE: list[object] = [
    "",
    " ",
    "soon",
    "3600s",
    "1,000",
    "1_000",
    "0x10",
    "1 000",
    "٣٦٠٠",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "2030-01-01T00:00:00Z",
    float("nan"),
    float("inf"),
    float("-inf"),
    10**400,
    True,
    False,
    [3600],
    {"seconds": 3600},
    [],
    {},
    b"3600",
]


@pytest.mark.parametrize(("value", "seconds"), LIVES)
def test_expires_in_is_a_number_or_a_string_that_is_one(
    value: object, seconds: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    """RFC 6749 section 5.1; absent or null is unknown; nothing to warn of."""
    assert read_expires_in(value) == seconds
    token = token_from({"access_token": "t", "expires_in": value}, NOW)
    assert token.expires_in == seconds
    assert token.expires_at == (None if seconds is None else NOW + seconds)
    assert isinstance(repr(token), str)
    assert caplog.records == []


@pytest.mark.parametrize("value", UNREADABLE, ids=lambda value: repr(value)[:20])
def test_an_unreadable_expires_in_is_unknown_and_warned_of(
    value: object, caplog: pytest.LogCaptureFixture
) -> None:
    """A good access token is never thrown away for a bad hint."""
    token = token_from({"access_token": "t", "expires_in": value}, NOW)
    assert (token.expires_in, token.expires_at) == (None, None)
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert type(value).__name__ in caplog.text


@pytest.mark.parametrize("digits", [400, 5000, 900_000])
def test_a_number_of_any_length_in_json_is_read(digits: int) -> None:
    """``int()`` refuses thousands of digits; that must not cost the token."""
    body = b'{"access_token":"t","expires_in":' + b"9" * digits + b"}"
    started = time.process_time()
    token = token_from(read_token_response(200, JSON, body), NOW)
    assert (token.access_token, token.expires_in) == ("t", None)
    assert time.process_time() - started < 5


# No token --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"<!DOCTYPE html><title>Sign in</title>",
        b"[]",
        b'["access_token"]',
        b'"access_token=t"',
        b"null",
        b"42",
        b"true",
        b'{"access_token": "t"',
        b"{'access_token': 't'}",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"{}{}",
        b"access_token=t",
        b"\x00" * 1000,
    ],
    ids=lambda body: repr(body[:20]),
)
@pytest.mark.parametrize("content_type", [JSON, "", "text/html"])
def test_what_is_no_json_object_is_no_token_response(body: bytes, content_type: str) -> None:
    """HTML, empty, cut short, a list, a string, deep nesting, not UTF-8: named, and never shown."""
    with pytest.raises(TokenError, match="not a token response") as caught:
        read_token_response(200, content_type, body)
    assert not isinstance(caught.value, TokenHTTPError)
    assert f"{len(body)} bytes, {content_type or 'no content type'}" in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("body", [b"", b"hello", b"a=b", b"&&&", b"\xff=\xff", b"=access_token"])
def test_a_form_without_a_token_or_an_error_is_no_token_response(body: bytes) -> None:
    """Any text can be read as a form."""
    with pytest.raises(TokenError, match="not a token response"):
        read_token_response(200, FORM, body)


@pytest.mark.parametrize("status", [200, 201, 400, 401, 403, 429, 500, 599, 999])
@pytest.mark.parametrize("form", [False, True])
def test_an_error_response_is_an_error_whatever_the_status(status: int, form: bool) -> None:
    """RFC 6749 section 5.2; some servers report errors with status 200."""
    said = {
        "error": "invalid_scope",
        "error_description": "no such scope",
        "error_uri": "https://e/1",
    }
    body = "&".join(f"{k}={quote(v)}" for k, v in said.items()) if form else json.dumps(said)
    with pytest.raises(TokenHTTPError) as caught:
        read_token_response(status, FORM if form else JSON, body.encode())
    error = caught.value
    assert (error.error, error.error_description, error.error_uri) == tuple(said.values())
    assert error.response_status == status
    assert error.response_text == body
    assert str(error) == (
        f"Failed to request token (invalid_scope), StatusCode: {status}, Body: {body}"
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503])
@pytest.mark.parametrize("body", [b"", b"<h1>Bad Gateway</h1>", b"\xff\xfe", b"[]", b"[" * 9000])
def test_a_status_of_400_or_above_is_an_error_whatever_the_body(status: int, body: bytes) -> None:
    """No RFC 6749 parameters then; status and text are there."""
    with pytest.raises(TokenHTTPError) as caught:
        read_token_response(status, "text/html", body)
    assert caught.value.response_status == status
    assert caught.value.response_text == body.decode("utf-8", "replace")[:2000]
    assert caught.value.error is None


def test_a_token_with_an_error_status_is_not_used() -> None:
    """The status comes first; the token is not shown either."""
    with pytest.raises(TokenHTTPError) as caught:
        answer({"access_token": "abc123"}, status=400)
    assert "abc123" not in str(caught.value)


@pytest.mark.parametrize("error", [None, "", 0, False, [], {}])
def test_an_empty_error_with_a_token_is_no_error(error: object) -> None:
    """Some servers always send all parameters."""
    assert answer({"access_token": "t", "error": error})["access_token"] == "t"


@pytest.mark.parametrize("error", [True, 5, ["x"], {"code": 7, "message": "no"}])
def test_an_error_that_is_no_string_is_an_error_without_a_code(error: object) -> None:
    """Its text is in the body."""
    with pytest.raises(TokenHTTPError) as caught:
        answer({"error": error, "error_description": 5, "error_uri": []})
    assert caught.value.error is caught.value.error_description is caught.value.error_uri is None
    assert json.dumps(error) in str(caught.value)


def test_an_error_code_is_one_short_line() -> None:
    """It goes into the log: RFC 6749 section 5.2 allows visible ASCII, a server sends what it likes."""
    with pytest.raises(TokenHTTPError) as caught:
        answer({"error": "bad\r\nCRITICAL all is lost\x1b[2J" + "x" * 5000})
    assert caught.value.error is not None
    assert caught.value.error.startswith("bad??CRITICAL all is lost?[2J")
    assert len(caught.value.error) == 100
    assert "\n" not in caught.value.message


def test_what_an_error_shows_of_a_long_body_is_its_beginning() -> None:
    """A page of 1 MiB does not go into a traceback."""
    with pytest.raises(TokenHTTPError) as caught:
        answer({"error": "e", "error_description": "d" * 10**6}, status=400)
    assert len(caught.value.response_text or "") == 2000
    assert len(caught.value.error_description or "") == 2000
    assert len(str(caught.value)) < 2200


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("9" * 400, float("inf")),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60.0),
        ("Tue Nov 14 22:14:20 2023", 60.0),
        ("Tue, 14 Nov 2023 22:14:20 -0000", 60.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("-1", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
        ("٣", None),
        ("Tue, 99 Nov 2023 22:14:20 GMT", None),
        ("Tue, 14 Nov 99999999999999 22:14:20 GMT", None),
        ("\ud800", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(
    value: str | None, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9110 section 10.2.3 and, for the dates, 5.6.7; a date is GMT wherever this runs."""
    monkeypatch.setenv("TZ", "XYZ+5")
    time.tzset()
    try:
        assert read_retry_after(value, NOW) == seconds
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_content_type_that_repeats_a_secret_is_not_shown() -> None:
    """It is the server's text as much as the body is."""
    with pytest.raises(TokenError) as caught:
        read_token_response(200, "text/s3cr3t", b"nonsense", secrets=lambda: ["s3cr3t"])
    assert "s3cr3t" not in str(caught.value)
    assert "text/***" in str(caught.value)
