"""What a server repeats of a secret, or of a token, does not get into an error of ours."""

from __future__ import annotations

import base64
import html
import json
import os
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from aioalf.errors import TokenHTTPError
from aioalf.protocol.token_endpoint import read_token_response
from aioalf.redaction import redact, secrets_of

FORM = "application/x-www-form-urlencoded"
SECRET = 's3cr+t/=% :ä€"<&\\😀'
CREDENTIALS = base64.b64encode(b"client-id:" + quote(SECRET).encode()).decode()


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
        quote_plus(quote_plus(quote(SECRET))),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        json.dumps(SECRET)[1:-1].replace("/", "\\/"),
        html.escape(SECRET),
        html.escape(SECRET).replace("&quot;", "&#34;").replace("ä", "&#xE4;"),
        SECRET.replace("ä", "\ufffd").replace("€", "\ufffd").replace("😀", "\ufffd"),
        CREDENTIALS,
        CREDENTIALS.rstrip("="),
        quote(CREDENTIALS, safe=""),
        f"Basic {CREDENTIALS}",
    ],
)
def test_a_known_secret_is_taken_out_however_it_is_spelled(spelled: str) -> None:
    """As it is, percent-encoded, escaped in JSON, HTML or XML, inside Basic credentials."""
    secrets = secrets_of(SECRET, {"Authorization": f"Basic {CREDENTIALS}"}, {})
    redacted = redact(f"<p>wrong: {spelled}!", secrets)
    assert redacted.removeprefix("<p>wrong: ").removeprefix("Basic ").startswith("***")
    assert len(redacted) < len("<p>wrong: Basic ***%3D%3D!") + 1


@pytest.mark.parametrize(
    "text",
    [
        '{"access_token": "TOKEN"}',
        '{"refresh_token":"TOKEN","a":1}',
        '{"id_token" : "TOKEN"}',
        r"{\"access_token\": \"TOKEN\"}",
        "access_token=TOKEN&a=1",
        "access_token%3DTOKEN",
        "{'client_secret': 'TOKEN'}",
        "&quot;access_token&quot;:&quot;TOKEN&quot;",
        "<access_token>TOKEN</access_token>",
        "accessToken: TOKEN",
        "client_assertion=TOKEN",
        "assertion=TOKEN",
        "password = TOKEN",
        "Authorization: Bearer TOKEN1",
        "authorization: basic VE9LRU4=TOKEN",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    """Of tokens nobody told us of."""
    redacted = redact(text)
    assert "TOKEN" not in redacted
    assert "***" in redacted


def test_a_message_without_a_secret_is_left_as_it_is() -> None:
    """It is there to be read."""
    text = '{"error":"invalid_client","code":"AADSTS7000215","token_type":"x","error_codes":[1]}'
    assert redact(text, ["unused", ""]) == text


@pytest.mark.parametrize("secret", ["\udcff\udcfe", "\ud800", "\0", "a" * 500])
def test_any_secret_can_be_taken_out(secret: str) -> None:
    """One with bytes of another encoding, as the environment gives it, too."""
    assert redact(f"[{secret}]", [secret]) == "[***]"


@pytest.mark.parametrize("spell", [str, quote_plus, lambda text: json.dumps(f"<{text}>")])
def test_a_long_token_is_taken_out_without_holding_up_the_event_loop(
    spell: Callable[[str], str],
) -> None:
    """Two of four thousand characters, new at each renewal: to compile the whole took a second."""
    started = time.process_time()
    for _ in range(2):
        token = base64.b64encode(os.urandom(3000)).decode()
        redacted = redact(f"INSERT {spell(token)} failed", [token])
        assert redacted.startswith("INSERT ")
        assert redacted.endswith(" failed")
        assert "***" in redacted
        assert len(redacted) < len('INSERT "<***>" failed') + 1
    assert time.process_time() - started < 0.5


def test_the_secrets_of_a_request_are_those_of_its_form_and_header() -> None:
    """Not the names that an error message may well repeat."""
    form = {
        "grant_type": "refresh_token",
        "client_id": "me",
        "scope": "a",
        "refresh_token": "R",
        "client_assertion": "J",
        "client_assertion_type": "urn:jwt",
        "code_verifier": "V",
        "audience": "api",
        "api_key": ["not", "text"],
    }
    assert secrets_of(None, {"Authorization": "Basic QQ=="}, form) == ["QQ", "R", "J", "V"]
    assert secrets_of("", {}, {}) == []


@pytest.mark.parametrize("offset", range(16_384 - 40, 16_384 + 5))
def test_half_a_secret_at_the_cut_is_not_shown(offset: int) -> None:
    """The rest of a long error is cut off; a secret may stand across the cut."""
    secret = "Zz9" * 11
    shrinking = 'access_token="' + "x" * (offset - 15) + '"'
    body = (shrinking + secret).encode()
    with pytest.raises(TokenHTTPError) as caught:
        read_token_response(400, "text/html", body, secrets=lambda: [secret])
    assert "Zz9" not in str(caught.value)


@pytest.mark.parametrize(
    "filler",
    ["a", "\\", " ", "password", "password=", "password ", "Basic ", "password\\", "%", "&quot;",
     '"access_token":"', "access_token=Basic "],
)  # fmt: skip
def test_a_hostile_error_of_a_mebibyte_is_read_quickly(filler: str) -> None:
    """No expression here goes back over what it has read."""
    body = (filler * (2**20 // len(filler))).encode()
    started = time.process_time()
    with pytest.raises(TokenHTTPError):
        read_token_response(400, FORM, body, secrets=lambda: ["a" * 64 + "b", "\\" * 64])
    assert time.process_time() - started < 2


@pytest.mark.parametrize("secrets", [["inner", "aa-inner-zz"], ["aa-inner-zz", "inner"]])
def test_a_secret_that_holds_another_is_taken_out_whole(secrets: list[str]) -> None:
    """Whichever is named first: nothing of the longer one is left beside the shorter one."""
    assert redact("[aa-inner-zz] [inner]", secrets) == "[***] [***]"
