"""Clients that authenticate by a signature, an assertion of others, or a certificate."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import pickle
import ssl
import subprocess
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    padding,
    rsa,
    utils,
    x25519,
)
from fakes import FakeClock
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from oidc_server import OIDCServer

import aioalf.jwt_signature
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
from aioalf.protocol.client_auth import ClientAuthContext
from aioalf.testing import AuthorizationServer

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()
RSA_KEY = rsa.generate_private_key(65537, 2048)
SHORT_KEY = rsa.generate_private_key(65537, 1024)
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


async def assertion_from(auth: ClientAuth, secret: str = "") -> str:
    """Make an assertion without a server."""
    context = ClientAuthContext(
        client_id="id",
        client_secret=secret,
        endpoint="https://login.example.com/token",
        issuer=None,
        clock=FakeClock(),
    )
    await auth.authenticate(context)
    return str(context.form["client_assertion"])


def output_of(command: str) -> str:
    """What a command prints."""
    return subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout


def check_signature(key: Any, algorithm: str, signed: bytes, signature: bytes) -> None:
    """Check a signature as RFC 7518 and RFC 8037 say, without a library for JWTs."""
    public, size = key.public_key(), algorithm[-3:]
    digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}.get(size)
    if algorithm.startswith("RS"):
        public.verify(signature, signed, padding.PKCS1v15(), digest)
    elif algorithm.startswith("PS"):
        pss = padding.PSS(padding.MGF1(digest), digest.digest_size)  # type: ignore[arg-type, union-attr]
        public.verify(signature, signed, pss, digest)
    elif algorithm.startswith("ES"):  # r and s, each as long as the curve (section 3.4)
        length = (key.key_size + 7) // 8
        assert len(signature) == 2 * length
        r, s = (int.from_bytes(part, "big") for part in (signature[:length], signature[length:]))
        public.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(digest))  # type: ignore[arg-type]
    else:
        public.verify(signature, signed)


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


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        *((KEYS[algorithm][0], algorithm) for algorithm in KEYS),
        (RSA_KEY, "RS512"),
        (RSA_KEY, "PS384"),
        (ec.generate_private_key(ec.SECP256K1()), "ES256K"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (ed448.Ed448PrivateKey.generate(), "EdDSA"),
    ],
)
async def test_a_signature_is_that_of_the_rfc(key: Any, algorithm: str) -> None:
    """RFC 7518 section 3.1, checked by cryptography itself."""
    token = await assertion_from(PrivateKeyJWT(pem_of(key), algorithm=algorithm))
    signed, _, signature = token.rpartition(".")
    encoded = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    check_signature(key, algorithm.removesuffix("K"), signed.encode(), encoded)
    assert decoded(signed.partition(".")[0])["alg"] == algorithm


@pytest.mark.parametrize("form", [dict, json.dumps])
async def test_a_key_may_be_a_jwk(server: AuthorizationServer, form: Any) -> None:
    """Text that begins with a brace, or the object; its ``kid`` and ``alg`` go into the header."""
    server.client_keys = [public_of("PS256", kid="2026-11")]
    private = RSAKey.import_key(pem_of(RSA_KEY).encode()).as_dict(private=True)
    jwk = form({**private, "kid": "2026-11", "alg": "PS256"})
    async with manager(server, PrivateKeyJWT(jwk)) as one:
        await one.get()
    assert assertion_of(server)[0] == {"typ": "JWT", "alg": "PS256", "kid": "2026-11"}
    token = await assertion_from(PrivateKeyJWT(jwk, key_id="other"))
    assert decoded(token.split(".")[0])["kid"] == "other"
    with pytest.raises(TokenError, match="not one for the algorithm RS256"):
        await assertion_from(PrivateKeyJWT(jwk, algorithm="RS256"))


@pytest.mark.parametrize(
    "command",
    [
        "openssl ecparam -genkey -name prime256v1",
        "openssl genrsa -traditional 2048",
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/stdout -subj /CN=x",
    ],
)
async def test_what_openssl_writes_is_read(command: str) -> None:
    """The parameters of a curve before the key, PKCS #1, a certificate after the key."""
    assert await assertion_from(PrivateKeyJWT(output_of(command)))


async def test_headers_may_be_any(server: AuthorizationServer) -> None:
    """A chain of certificates is long, and some servers have parameters of their own."""
    headers = {"x5c": ["A" * 2000, "B" * 2000], "tenant": {"id": 5}}
    token = await assertion_from(PrivateKeyJWT(pem_of(KEYS["ES256"][0]), headers=headers))
    assert decoded(token.split(".")[0]) == {"typ": "JWT", "alg": "ES256", **headers}


async def test_the_key_that_was_read_is_not_pickled() -> None:
    """It is read again from its source in the other process."""
    auth = PrivateKeyJWT(SecretFile("/nowhere/key.pem"))
    auth._key = pem_of(KEYS["ES256"][0])
    await assertion_from(auth)
    assert await assertion_from(pickle.loads(pickle.dumps(auth)))


async def test_the_event_loop_goes_on_while_a_key_is_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An RSA key of 4096 bits takes some hundred milliseconds."""
    loop, seen = asyncio.get_running_loop(), threading.Event()
    parse = aioalf.jwt_signature.parse_private_key

    def slow(text: str) -> Any:
        loop.call_soon_threadsafe(seen.set)
        assert seen.wait(10)
        return parse(text)

    monkeypatch.setattr("aioalf.jwt_signature.parse_private_key", slow)
    assert await assertion_from(PrivateKeyJWT(pem_of(KEYS["ES256"][0])))


async def test_a_key_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of token requests."""
    calls: list[object] = []

    def counted(*args: Any) -> Any:
        calls.append(args)
        return serialization.load_pem_private_key(*args)

    monkeypatch.setattr("aioalf.jwt_signature.load_pem_private_key", counted)
    auth = PrivateKeyJWT(pem_of(RSA_KEY))
    await assertion_from(auth)
    await assertion_from(auth)
    assert len(calls) == 1


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


def private_jwk(kind: Any, key: Any, **members: str) -> str:
    """A private key as a JWK."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        private = kind.import_key(pem_of(key).encode()).as_dict(private=True)
    return json.dumps({**private, **members})


def openssh() -> str:
    """A key as ssh-keygen writes it."""
    form = serialization.PrivateFormat.OpenSSH
    return RSA_KEY.private_bytes(PEM, form, PLAIN).decode()


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
        ("/run/secrets/key.pem", r"If that is the path of a file, give SecretFile\(path\)"),
        (pem_of(RSA_KEY).replace("\n", "\\n"), "the two characters"),
        (openssh(), "OpenSSH.*ssh-keygen -p -m PKCS8"),
        (pem_of(ec.generate_private_key(ec.SECP224R1())), "the curve secp224r1: no JWT"),
        (pem_of(dsa.generate_private_key(2048)), "cannot sign"),
        ('{"keys": []}', "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ('{"a":' * 100_000, "cannot be read"),
        ("-----BEGIN PRIVATE KEY-----\ud800", "cannot be read"),
        ("{", "cannot be read"),
        ('{"kty": "XX"}', "cannot be read"),
        ('{"kty": "oct", "k": "c2VjcmV0"}', "See ClientSecretJWT"),
        (encrypted(), "is encrypted.*openssl pkey"),
        (public_pem(), "is a public one"),
        (json.dumps(public_of("ES256")), "is a public one"),
        ("-----BEGIN CERTIFICATE-----\n", "is a certificate"),
        (pem_of(SHORT_KEY), "1024 bits; 2048 are needed"),
        (private_jwk(RSAKey, SHORT_KEY, alg="PS256"), "1024 bits; 2048 are needed"),
        (private_jwk(OKPKey, x25519.X25519PrivateKey.generate()), "X25519: it cannot sign"),
        (private_jwk(RSAKey, RSA_KEY, use="enc"), "KeyUse"),
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
        (lambda: PrivateKeyJWT("x", headers={"x5t": b"1"}), TypeError, "headers cannot be written"),
        (lambda: PrivateKeyJWT(Path("x")), TypeError, r"SecretFile\(path\) reads a file"),  # type: ignore[arg-type]
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


@pytest.mark.parametrize("size", [256, 384, 512])
async def test_a_signature_by_a_secret_is_that_of_the_rfc(size: Any) -> None:
    """RFC 7518 section 3.2; the secret's UTF-8 is the key (OpenID Connect Core section 10.1)."""
    algorithm: Any = f"HS{size}"
    secret = "p\u00e4ss: " + "x" * 60
    token = await assertion_from(ClientSecretJWT(algorithm=algorithm), secret)
    signed, _, signature = token.rpartition(".")
    digest = hmac.digest(secret.encode(), signed.encode(), getattr(hashlib, f"sha{size}"))
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == signature
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        key = OctKey.import_key(secret)
    assert jwt.decode(token, key, algorithms=[algorithm]).claims["sub"] == "id"


async def test_a_secret_that_is_not_unicode_is_named_and_not_shown() -> None:
    """The error of the codec would hold it."""
    with pytest.raises(TokenError, match="client secret is not valid Unicode text") as caught:
        await assertion_from(ClientSecretJWT(), "hidden\ud800")
    assert caught.value.__context__ is None or caught.value.__suppress_context__


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
    asyncio.get_running_loop().set_debug(True)
    asyncio.get_running_loop().slow_callback_duration = 0
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
