"""Client authentication: what it puts into a token request, and that real servers accept it."""

from __future__ import annotations

import base64
from collections.abc import MutableMapping
from urllib.parse import unquote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aioalf import (
    ClientAuth,
    ClientSecretBasic,
    ClientSecretBasicRaw,
    ClientSecretPost,
    NoClientAuth,
    TokenError,
    TokenHTTPError,
    TokenManager,
)
from aioalf.testing import AuthorizationServer

ODD = "pÄs+s/w=o%r:d 100%25 €😀\t&"


def applied(
    auth: ClientAuth, client_id: str, client_secret: str = ""
) -> tuple[dict[str, str], dict[str, object]]:
    """The headers and the form of a request with these credentials."""
    headers: dict[str, str] = {}
    form: dict[str, object] = {"grant_type": "client_credentials"}
    auth.apply(
        client_id=client_id,
        client_secret=client_secret,
        token_endpoint="https://login.example.com/token",
        headers=headers,
        form=form,
    )
    return headers, form


def sent(auth: ClientAuth, client_id: str, client_secret: str) -> tuple[bytes, bytes]:
    """Id and secret as they are inside the Basic credentials."""
    headers, form = applied(auth, client_id, client_secret)
    assert form == {"grant_type": "client_credentials"}
    scheme, _, credentials = headers.pop("Authorization").partition(" ")
    assert (scheme, headers) == ("Basic", {})
    user, colon, password = base64.b64decode(credentials, validate=True).partition(b":")
    assert colon
    return user, password


@pytest.mark.parametrize("auth", [ClientSecretBasic(), ClientSecretBasicRaw()])
def test_basic_credentials_are_those_of_the_documents(auth: ClientAuth) -> None:
    """The bytes that 0.4.0 sent for ``client_id:client_secret``."""
    headers, _ = applied(auth, "client_id", "client_secret")
    assert headers == {"Authorization": "Basic Y2xpZW50X2lkOmNsaWVudF9zZWNyZXQ="}


@pytest.mark.parametrize(
    "value",
    ["glBQ3nYU/8/kaVi/bIgXGA==", "a-b_c.d~e", "!\"#$&'()*,/;<=>?@[\\]^`{|}", "abcXYZ019"],
)
def test_what_a_form_decoder_leaves_alone_is_sent_as_it_is(value: str) -> None:
    """So that servers which decode and those which do not read the same."""
    assert sent(ClientSecretBasic(), value, value) == (value.encode(), value.encode())
    assert unquote_plus(value) == value


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("%", b"%25"),
        ("+", b"%2B"),
        (" ", b"%20"),
        ("\t", b"%09"),
        ("\r\n", b"%0D%0A"),
        ("\0", b"%00"),
        ("\x7f", b"%7F"),
        ("ä", b"%C3%A4"),
        ("€", b"%E2%82%AC"),
        ("😀", b"%F0%9F%98%80"),
        ("\udcff", b"%FF"),
    ],
)
def test_what_a_form_decoder_would_change_is_percent_encoded(value: str, encoded: bytes) -> None:
    """RFC 6749 section 2.3.1 and appendix B: UTF-8, then percent-encoded; bytes stay what they are."""
    assert sent(ClientSecretBasic(), value, value) == (encoded, encoded)


def test_a_colon_is_encoded_in_the_id_only() -> None:
    """RFC 7617 section 2: the first colon ends the user id."""
    assert sent(ClientSecretBasic(), "a:b", "c:d") == (b"a%3Ab", b"c:d")


def test_raw_basic_credentials_are_encoded_by_nothing() -> None:
    """For a server that decodes nothing; UTF-8 all the same (RFC 7617 section 2.1)."""
    assert sent(ClientSecretBasicRaw(), "é+ %", "c:d ä") == ("é+ %".encode(), "c:d ä".encode())


@settings(derandomize=True, database=None, max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])), st.text())
def test_a_server_that_decodes_reads_what_was_meant(client_id: str, secret: str) -> None:
    """RFC 6749 section 2.3.1, for any text that is text; what is not is refused."""
    try:
        secret.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        with pytest.raises(TokenError, match="not valid Unicode"):
            applied(ClientSecretBasic(), client_id, secret)
        return
    user, password = sent(ClientSecretBasic(), client_id, secret)
    assert user.isascii()
    assert password.isascii()
    assert unquote_plus(user.decode("ascii")) == client_id
    assert unquote_plus(password.decode("ascii"), errors="surrogateescape") == secret


def test_post_puts_both_into_the_form() -> None:
    """RFC 6749 section 2.3.1, the alternative."""
    headers, form = applied(ClientSecretPost(), "me", ODD)
    assert headers == {}
    assert form == {
        "grant_type": "client_credentials",
        "client_id": "me",
        "client_secret": ODD,
    }


def test_a_public_client_puts_its_id_into_the_form_and_nothing_else() -> None:
    """RFC 6749 section 3.2.1."""
    headers, form = applied(NoClientAuth(), "me", "never sent")
    assert headers == {}
    assert form == {"grant_type": "client_credentials", "client_id": "me"}


@pytest.mark.parametrize("auth", [ClientSecretBasic(), ClientSecretPost()])
async def test_reserved_and_foreign_characters_reach_a_strict_server(
    server: AuthorizationServer, auth: ClientAuth
) -> None:
    """In id and secret alike."""
    server.client_id = server.client_secret = ODD
    manager = TokenManager(server.token_endpoint, ODD, ODD, client_auth=auth)
    assert server.accepts(await manager.get_token())


@pytest.mark.parametrize("decode", [True, False])
async def test_an_id_of_base64_is_accepted_whether_the_server_decodes_or_not(
    server: AuthorizationServer, decode: bool
) -> None:
    """Such ids and secrets are common: nothing in them needs encoding."""
    server.decode_credentials = decode
    server.client_id = server.client_secret = "glBQ3nYU/8/kaVi/bIgXGA=="
    manager = TokenManager(server.token_endpoint, server.client_id, server.client_secret)
    assert server.accepts(await manager.get_token())


async def test_a_server_that_decodes_nothing_takes_raw_credentials(
    server: AuthorizationServer,
) -> None:
    """The raw variant is for it, and for nothing else."""
    server.decode_credentials = False
    server.client_secret = "a+b%c d:ä"
    raw = ClientSecretBasicRaw()
    endpoint, secret = server.token_endpoint, server.client_secret
    manager = TokenManager(endpoint, server.client_id, secret, client_auth=raw)
    assert server.accepts(await manager.get_token())
    with pytest.raises(TokenHTTPError, match="invalid_client"):
        await TokenManager(endpoint, server.client_id, secret).get_token()


@pytest.mark.parametrize("secret", [None, "", "unused"])
async def test_a_public_client_needs_no_secret(
    server: AuthorizationServer, secret: str | None
) -> None:
    """None, or one that is not used."""
    server.allow_public = True
    manager = TokenManager(
        server.token_endpoint, server.client_id, secret, client_auth=NoClientAuth()
    )
    assert server.accepts(await manager.get_token())
    assert dict(server.log[0].form) == {
        "grant_type": "client_credentials",
        "client_id": server.client_id,
    }
    assert "Authorization" not in server.log[0].headers


async def test_a_client_authentication_of_ones_own_can_be_handed_in(
    server: AuthorizationServer,
) -> None:
    """It is a small object with one method, which is told all that a signed assertion needs."""

    class Assertion(ClientAuth):
        needs_secret = False

        def apply(
            self,
            *,
            client_id: str,
            client_secret: str,
            token_endpoint: str,
            headers: MutableMapping[str, str],
            form: MutableMapping[str, object],
        ) -> None:
            form["client_assertion"] = f"{client_id}>{token_endpoint}"
            form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

    server.answer_next(body='{"access_token": "t"}')
    manager = TokenManager(server.token_endpoint, "me", client_auth=Assertion())
    assert await manager.get_token() == "t"
    assert server.log[0].form["client_assertion"] == f"me>{server.token_endpoint}"
    assert "Authorization" not in server.log[0].headers


@pytest.mark.parametrize(
    "auth", [ClientSecretBasic(), ClientSecretBasicRaw(), ClientSecretPost(), NoClientAuth()]
)
def test_client_authentication_is_shown_by_its_name(auth: ClientAuth) -> None:
    """It holds nothing that could be shown."""
    assert repr(auth) == f"{type(auth).__name__}()"
    assert not getattr(auth, "__dict__", {})


@pytest.mark.parametrize("auth", [object(), "basic", ClientSecretBasic, None])
def test_what_is_no_client_authentication_is_refused_at_once(auth: object) -> None:
    """Not at the first token request; None is the default."""
    if auth is None:
        TokenManager("https://a.example/token", "id", "secret", client_auth=auth)
        return
    with pytest.raises(TypeError, match="client_auth"):
        TokenManager("https://a.example/token", "id", "secret", client_auth=auth)  # type: ignore[arg-type]
