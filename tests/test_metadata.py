"""What an authorization server says of itself: where it is looked for, and what of it is believed."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from aioalf.errors import TokenError
from aioalf.protocol.metadata import check_issuer, endpoint_from, metadata_urls, read_metadata

ISSUER = "https://login.example.com"
URL = f"{ISSUER}/.well-known/openid-configuration"


def read(expected: str | None = ISSUER, /, status: int = 200, **members: Any) -> Any:
    """Read metadata with these members."""
    return read_metadata(status, json.dumps(members).encode(), issuer=expected, url=URL)


@pytest.mark.parametrize(
    ("issuer", "paths"),
    [
        (
            ISSUER,
            ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"],
        ),
        (
            f"{ISSUER}/",
            ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"],
        ),
        (
            f"{ISSUER}/realms/one",
            [
                "/realms/one/.well-known/openid-configuration",
                "/.well-known/oauth-authorization-server/realms/one",
                "/.well-known/openid-configuration/realms/one",
            ],
        ),
        (
            f"{ISSUER}/api/auth/",
            [
                "/api/auth/.well-known/openid-configuration",
                "/.well-known/oauth-authorization-server/api/auth",
                "/.well-known/openid-configuration/api/auth",
            ],
        ),
    ],
)
def test_metadata_is_looked_for_appended_and_inserted(issuer: str, paths: list[str]) -> None:
    """Rule 37: OpenID appends, RFC 8414 inserts, and servers do either."""
    assert metadata_urls(issuer) == [ISSUER + path for path in paths]


@pytest.mark.parametrize(
    ("found", "issuer"),
    [
        (ISSUER, ISSUER),
        (f"{ISSUER}/", ISSUER),
        (ISSUER, f"{ISSUER}/"),
        (f"{ISSUER}/realms/one", f"{ISSUER}/realms/one"),
        (f"{ISSUER}/{{tenantid}}/v2.0", f"{ISSUER}/common/v2.0"),
        (f"{ISSUER}/{{tenantid}}/v2.0", f"{ISSUER}/4f1c-22/v2.0"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_the_issuer_is_the_same_but_for_the_slash_of_an_origin(found: str, issuer: str) -> None:
    """Rule 37: and a {tenantid} in it stands for one segment of the path."""
    assert read(issuer, issuer=found) == {"issuer": found}


@pytest.mark.parametrize(
    ("found", "issuer"),
    [
        ("https://evil.example.com", ISSUER),
        (f"{ISSUER}/realms/one/", f"{ISSUER}/realms/one"),
        (f"{ISSUER}/realms/two", f"{ISSUER}/realms/one"),
        (f"{ISSUER}.evil.example", ISSUER),
        ("https://LOGIN.example.com", ISSUER),
        (f"{ISSUER}/{{tenantid}}/v2.0", f"{ISSUER}/a/b/v2.0"),
        (f"{ISSUER}/{{tenantid}}/v2.0", "https://other.example.com/a/v2.0"),
        (f"{ISSUER}/{{tenantid}}/v2.0", f"{ISSUER}//v2.0"),
        (f"{ISSUER}/a{{tenantid}}/v2.0", f"{ISSUER}/abc/v2.0"),
        ("https://{tenantid}/v2.0", f"{ISSUER}/v2.0"),
        ("{scheme}://login.example.com/v2.0", f"{ISSUER}/v2.0"),
        ("http://login.example.com", ISSUER),
    ],
)
def test_another_issuer_is_an_error_that_shows_both(found: str, issuer: str) -> None:
    """RFC 8414 section 3.3: what it says must not be used."""
    with pytest.raises(TokenError, match="another issuer") as caught:
        read(issuer, issuer=found)
    assert repr(found) in str(caught.value)
    assert repr(issuer) in str(caught.value)


def test_a_hostile_issuer_is_compared_in_no_time() -> None:
    """Many placeholders in one segment would have an expression try each way to share it out."""
    begun = time.process_time()
    with pytest.raises(TokenError, match="another issuer"):
        read(f"{ISSUER}/{'a' * 60}", issuer=f"{ISSUER}/{'{a}' * 50}!")
    assert time.process_time() - begun < 1


def test_without_an_issuer_that_of_the_document_counts() -> None:
    """``discovery_url=`` alone: it must still be https."""
    assert read(None, issuer=ISSUER)["issuer"] == ISSUER
    with pytest.raises(TokenError, match="not an https URL"):
        read(None, issuer="http://login.example.com")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429])
def test_a_4xx_means_that_the_next_address_is_tried(status: int) -> None:
    """Some servers answer 400 or 403 to an address that they do not know."""
    assert read(status=status, issuer=ISSUER) is None


@pytest.mark.parametrize("status", [500, 502, 503, 204])
def test_trouble_ends_the_search(status: int) -> None:
    """It must not turn into "wrong issuer"."""
    with pytest.raises(TokenError, match=f"the server answered {status}"):
        read(status=status, issuer=ISSUER)


@pytest.mark.parametrize(
    "body", [b"", b"<!DOCTYPE html><p>Sign in", b"[]", b'"x"', b"\xff\xfe", b"[" * 9999]
)
def test_a_page_for_people_is_not_metadata(body: bytes) -> None:
    """The message says what was expected, and what else can be given."""
    with pytest.raises(TokenError, match=r"not a JSON object.*discovery_url="):
        read_metadata(200, body, issuer=ISSUER, url=URL)


@pytest.mark.parametrize("issuer", [None, "", 5, []])
def test_metadata_without_an_issuer_is_not_believed(issuer: Any) -> None:
    """RFC 8414 section 2: it is required."""
    with pytest.raises(TokenError, match="names no issuer"):
        read(issuer=issuer)


@pytest.mark.parametrize(
    "issuer",
    [
        "login.example.com",
        "http://login.example.com",
        f"{ISSUER}?x=1",
        f"{ISSUER}#x",
        "https://user:secret@login.example.com",
        "https://",
        "",
        "https://login.example.com:99999",
        "javascript:alert(1)",
    ],
)
def test_what_cannot_be_an_issuer_is_refused_at_construction(issuer: str) -> None:
    """The message names the keyword, and shows no password."""
    with pytest.raises(ValueError, match=r"issuer is .* https URL") as caught:
        check_issuer(issuer)
    assert "secret" not in str(caught.value)


def test_an_issuer_is_a_string() -> None:
    """A URL object has lost what the comparison is about."""
    with pytest.raises(TypeError, match="issuer takes a string, not a int"):
        check_issuer(5)


@pytest.mark.parametrize(
    ("endpoint", "issuer"),
    [
        ("https://login.example.com/token", ISSUER),
        ("https://oauth2.other.example/token", ISSUER),
        ("http://127.0.0.1:81/token", "http://127.0.0.1:80"),
        ("http://localhost:81/token", "http://[::1]:80"),
    ],
)
def test_an_endpoint_may_be_on_another_host(endpoint: str, issuer: str) -> None:
    """Google's are; and on loopback http is enough."""
    assert endpoint_from({"token_endpoint": endpoint}, "token_endpoint", issuer) == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://login.example.com/token",
        "http://127.0.0.1/token",
        "/token",
        "//login.example.com/token",
        "javascript:alert(1)",
        "https://user:secret@login.example.com/token",
        "https://login.example.com/to ken",
        "",
        5,
        ["https://login.example.com/token"],
    ],
)
def test_an_endpoint_that_is_not_https_is_not_asked(endpoint: Any) -> None:
    """Nor one of loopback, if the issuer is elsewhere; the message names a remedy."""
    with pytest.raises(
        TokenError, match=r"token_endpoint that is not an absolute https URL.*token_endpoint="
    ):
        endpoint_from({"token_endpoint": endpoint}, "token_endpoint", ISSUER)


def test_an_endpoint_that_is_missing_is_none() -> None:
    """Who needs it says so."""
    assert endpoint_from({}, "revocation_endpoint", ISSUER) is None


def test_a_client_with_a_certificate_uses_the_aliases() -> None:
    """RFC 8705 section 5: the other endpoints do not ask for a certificate."""
    metadata = {
        "token_endpoint": f"{ISSUER}/token",
        "revocation_endpoint": f"{ISSUER}/revoke",
        "mtls_endpoint_aliases": {
            "token_endpoint": "https://mtls.example.com/token",
            "revocation_endpoint": None,
        },
    }
    for mtls, url in ((True, "https://mtls.example.com/token"), (False, f"{ISSUER}/token")):
        assert endpoint_from(metadata, "token_endpoint", ISSUER, mtls=mtls) == url
    assert endpoint_from(metadata, "revocation_endpoint", ISSUER, mtls=True) == f"{ISSUER}/revoke"
