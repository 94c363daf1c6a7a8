"""Clients that authenticate by a signature, an assertion of others, or a certificate."""

from __future__ import annotations

import base64
import json
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from fakes import FakeClock
from joserfc.jwk import ECKey, OKPKey, RSAKey
from oidc_server import OIDCServer

from aioalf import (
    ClientAssertion,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretJWT,
    PrivateKeyJWT,
    SecretFile,
    TLSClientAuth,
    TokenError,
    TokenHTTPError,
    TokenManager,
)
from aioalf.testing import AuthorizationServer

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()
RSA_KEY = rsa.generate_private_key(65537, 2048)
KEYS: dict[str, tuple[Any, Any]] = {
    "RS256": (RSA_KEY, RSAKey),
    "PS256": (RSA_KEY, RSAKey),
    "ES256": (ec.generate_private_key(ec.SECP256R1()), ECKey),
    "ES384": (ec.generate_private_key(ec.SECP384R1()), ECKey),
    "ES512": (ec.generate_private_key(ec.SECP521R1()), ECKey),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate(), OKPKey),
}


def pem_of(key: Any, encryption: Any = PLAIN) -> str:
    """A private key as text."""
    text: bytes = key.private_bytes(PEM, PKCS8, encryption)
    return text.decode()


def public_of(algorithm: str, **members: str) -> dict[str, str]:
    """The public key as a JWK."""
    key, kind = KEYS[algorithm]
    return {**kind.import_key(pem_of(key).encode()).as_dict(private=False), **members}


def manager(server: AuthorizationServer, client_auth: ClientAuth, **options: Any) -> TokenManager:
    """Make a manager that has no secret."""
    options = {"issuer": server.issuer, **options}
    return TokenManager(client_id=server.client_id, client_auth=client_auth, **options)


def assertion_of(server: AuthorizationServer, number: int = -1) -> tuple[dict[str, Any], ...]:
    """Header and claims of an assertion that the token endpoint was sent."""
    sent = [request for request in server.log if request.kind == "token"]
    return tuple(map(decoded, sent[number].form["client_assertion"].split(".")[:2]))


def decoded(part: str) -> dict[str, Any]:
    """One part of a JWT."""
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return value


# -- a private key


@pytest.mark.parametrize("algorithm", KEYS)
async def test_a_key_of_each_kind_signs(server: AuthorizationServer, algorithm: str) -> None:
    """The algorithm goes with the key; only PS256 has to be asked for."""
    server.client_keys = [public_of(algorithm)]
    asked = algorithm if algorithm == "PS256" else None
    async with manager(server, PrivateKeyJWT(pem_of(KEYS[algorithm][0]), algorithm=asked)) as one:
        assert server.accepts((await one.get()).access_token)
    assert assertion_of(server)[0] == {"typ": "JWT", "alg": algorithm}


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_a_key_of_each_kind_is_accepted_by_oidc_provider(
    oidc_server: OIDCServer, algorithm: str
) -> None:
    """A certified server, which takes each assertion once."""
    client_id = oidc_server.register_key({**public_of(algorithm), "alg": algorithm})
    auth = PrivateKeyJWT(pem_of(KEYS[algorithm][0]), algorithm=algorithm)
    one = TokenManager(client_id=client_id, issuer=oidc_server.issuer, client_auth=auth)
    async with one:
        await one.reset_token()
        await one.reset_token()


async def test_a_key_may_be_a_jwk(server: AuthorizationServer) -> None:
    """Text that begins with a brace."""
    server.client_keys = [public_of("ES256")]
    jwk = ECKey.import_key(pem_of(KEYS["ES256"][0]).encode()).as_dict(private=True)
    async with manager(server, PrivateKeyJWT(json.dumps(jwk))) as one:
        await one.get()


async def test_an_assertion_says_what_rfc_7523_asks_for_and_no_more(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rules 33 to 35: the issuer as audience, seconds rounded down, no nbf; kid and x5t if asked."""
    server.time = clock.time
    clock.advance(0.9)
    server.client_keys = [public_of("ES256", kid="2026-11")]
    auth = PrivateKeyJWT(pem_of(KEYS["ES256"][0]), key_id="2026-11", headers={"x5t": "abc"})
    async with manager(server, auth, clock=clock) as one:
        await one.get()
    header, claims = assertion_of(server)
    now = int(clock.time())
    assert header == {"typ": "JWT", "alg": "ES256", "kid": "2026-11", "x5t": "abc"}
    assert len(claims.pop("jti")) >= 32
    assert claims == {
        "iss": server.client_id,
        "sub": server.client_id,
        "aud": server.issuer,
        "iat": now,
        "exp": now + 60,
    }


@pytest.mark.parametrize("audience", [None, "https://login.example.com/token"])
async def test_without_an_issuer_the_audience_is_the_token_endpoint(
    server: AuthorizationServer, audience: str | None
) -> None:
    """Rule 33: and audience= wins, for Entra."""
    auth = PrivateKeyJWT(pem_of(KEYS["ES256"][0]), audience=audience)
    given = {"issuer": None, "token_endpoint": server.token_endpoint}
    async with manager(server, auth, **given) as one:
        with pytest.raises(TokenHTTPError, match="invalid_client"):
            await one.get()
    assert assertion_of(server)[1]["aud"] == (audience or server.token_endpoint)


async def test_each_sending_has_an_assertion_of_its_own(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 34: a retry with the same jti is refused by servers that are strict."""
    server.time = clock.time
    server.client_keys = [public_of("ES256")]
    server.lose_answer_next(2)
    auth = PrivateKeyJWT(pem_of(KEYS["ES256"][0]))
    async with manager(server, auth, token_retries=3, clock=clock) as one:
        await one.get()
    assert len({assertion_of(server, number)[1]["jti"] for number in range(3)}) == 3


async def test_a_key_is_asked_for_at_each_sending(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """It was replaced, and the program was not restarted."""
    path = tmp_path / "key.pem"
    auth = PrivateKeyJWT(SecretFile(path))
    async with manager(server, auth) as one:
        for algorithm in ("RS256", "ES256"):
            server.client_keys = [public_of(algorithm)]
            path.write_text(pem_of(KEYS[algorithm][0]))
            await one.reset_token()


def encrypted() -> str:
    """A key with a password."""
    return pem_of(RSA_KEY, serialization.BestAvailableEncryption(b"password"))


def public_pem() -> str:
    """A public key."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return RSA_KEY.public_key().public_bytes(PEM, form).decode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Missing key"),
        ("   \n", "cannot be read"),
        ("junk", "cannot be read"),
        ("{", "cannot be read"),
        ('{"kty": "XX"}', "cannot be read"),
        ('{"kty": "oct", "k": "c2VjcmV0"}', "See ClientSecretJWT"),
        (encrypted(), "is encrypted.*openssl pkey"),
        (public_pem(), "is a public one"),
        (json.dumps(public_of("ES256")), "is a public one"),
        ("-----BEGIN CERTIFICATE-----\n", "is a certificate"),
        (pem_of(rsa.generate_private_key(65537, 1024)), "1024 bits; 2048 are needed"),
    ],
)
async def test_a_key_that_cannot_be_used_is_named(
    server: AuthorizationServer, text: str, message: str
) -> None:
    """And nothing of it is shown; no request is sent."""
    async with manager(server, PrivateKeyJWT(lambda: text)) as one:
        with pytest.raises(TokenError, match=message) as caught:
            await one.get()
    assert server.token_requests == 0
    lines = [line for line in text.splitlines() if len(line) > 40]
    assert not any(line in repr(caught.value) for line in lines)


async def test_a_key_of_another_kind_than_the_algorithm_is_named(
    server: AuthorizationServer,
) -> None:
    """With both kinds."""
    auth = PrivateKeyJWT(pem_of(KEYS["ES256"][0]), algorithm="RS256")
    async with manager(server, auth) as one:
        with pytest.raises(TokenError, match=r"not one for the algorithm RS256.*the curve P-256"):
            await one.get()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: PrivateKeyJWT(5), TypeError, "key takes a string"),  # type: ignore[arg-type]
        (lambda: PrivateKeyJWT("x", algorithm="none"), ValueError, "algorithm is 'none'"),
        (lambda: PrivateKeyJWT("x", algorithm="HS256"), ValueError, "algorithm is 'HS256'"),
        (lambda: PrivateKeyJWT("x", headers={"kid": "1"}), ValueError, "cannot hold kid"),
        (lambda: PrivateKeyJWT("x", lifetime=0), ValueError, "lifetime"),
        (lambda: PrivateKeyJWT("x", audience=["a"]), TypeError, "audience takes a string"),  # type: ignore[arg-type]
        (lambda: ClientSecretJWT(algorithm="RS256"), ValueError, "algorithm is 'RS256'"),  # type: ignore[arg-type]
        (lambda: ClientAssertion(5), TypeError, "assertion takes a string"),  # type: ignore[arg-type]
    ],
)
def test_a_mistake_is_told_where_it_is_made(
    make: Callable[[], ClientAuth], error: type[Exception], message: str
) -> None:
    """At construction, with the name of the keyword."""
    with pytest.raises(error, match=message):
        make()


def test_without_joserfc_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra; a client secret needs none."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TokenError, match=r'pip install "aio-alf\[jwt\]"'):
        PrivateKeyJWT("x")
    ClientSecretJWT()


# -- a shared secret


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_secret_signs_and_is_not_sent(server: AuthorizationServer, algorithm: Any) -> None:
    """By the standard library alone."""
    auth = ClientSecretJWT(algorithm=algorithm)
    async with manager(server, auth, client_secret=server.client_secret) as one:
        assert server.accepts((await one.get()).access_token)
    request = next(request for request in server.log if request.kind == "token")
    assert server.client_secret not in request.body.decode()
    assert "Authorization" not in request.headers


async def test_a_secret_signs_at_oidc_provider(oidc_server: OIDCServer) -> None:
    """It is full of odd characters."""
    one = TokenManager(
        client_id=oidc_server.jwt_client_id,
        client_secret=oidc_server.client_secret,
        issuer=oidc_server.issuer,
        client_auth=ClientSecretJWT(),
    )
    async with one:
        await one.reset_token()
        await one.reset_token()


async def test_a_secret_is_needed_to_sign_with_it(server: AuthorizationServer) -> None:
    """The old message of a manager without credentials."""
    async with manager(server, ClientSecretJWT()) as one:
        with pytest.raises(TokenError, match="Missing credentials"):
            await one.get()


# -- an assertion of somebody else's


async def test_a_projected_token_is_read_at_each_request(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """Rule 36: it works for an hour, and then the file holds another one."""
    path = tmp_path / "token"
    async with manager(server, ClientAssertion(SecretFile(path))) as one:
        for token in ("first.a.b", "second.a.b"):
            server.assertions = [token]
            path.write_text(f"\ufeff{token}\n\n")
            await one.reset_token()


async def test_an_assertion_that_is_missing_is_named(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """With the path of the file."""
    path = tmp_path / "token"
    async with manager(server, ClientAssertion(SecretFile(path))) as one:
        with pytest.raises(TokenError, match="token cannot be read: No such file"):
            await one.get()


# -- a certificate


async def test_a_certificate_authenticates_and_goes_to_the_endpoints_for_it() -> None:
    """RFC 8705: the id in the form, no secret, and the alias that the metadata names."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    authority.issue_cert("client.example.com").configure_cert(ours)
    async with AuthorizationServer(ssl_context=context, allow_public=True) as server:
        server.metadata = {
            "token_endpoint": "https://nobody.example.com/token",
            "mtls_endpoint_aliases": {"token_endpoint": server.token_endpoint},
        }
        async with manager(server, TLSClientAuth(), http_options={"ssl": ours}) as one:
            assert server.accepts((await one.get()).access_token)
        assert server.log[-1].form == {
            "grant_type": "client_credentials",
            "client_id": server.client_id,
        }


# -- what holds for all


async def test_nothing_secret_is_logged_or_shown(
    server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Key, assertion: not in the log, not in an error that the server repeats them in."""
    caplog.set_level(logging.DEBUG)
    key = pem_of(KEYS["ES256"][0])
    auth = PrivateKeyJWT(key)
    async with manager(server, auth) as one:
        with pytest.raises(TokenHTTPError) as caught:
            await one.get()
    sent = next(request for request in server.log if request.kind == "token")
    shown = caplog.text + repr(auth) + repr(caught.value) + str(caught.value) + repr(one)
    assert sent.form["client_assertion"] not in shown
    assert key.splitlines()[1] not in shown


async def test_a_class_of_others_that_knows_apply_alone_is_used_as_before(
    server: AuthorizationServer,
) -> None:
    """``authenticate`` calls it."""

    class Theirs(ClientSecretBasic):
        def apply(self, **request: Any) -> None:
            request["form"]["theirs"] = "1"
            super().apply(**request)

    async with manager(server, Theirs(), client_secret=server.client_secret) as one:
        await one.get()
    assert server.log[-1].form["theirs"] == "1"
