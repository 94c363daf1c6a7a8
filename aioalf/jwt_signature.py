"""Signs JWTs by joserfc (``pip install "aio-alf[jwt]"``): the one file that knows of it.

Only signing happens here: no JWT is ever trusted.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key
from joserfc.jws import JWSRegistry

from .errors import TokenError

__all__ = ("PrivateKey", "parse_private_key", "sign")

PrivateKey = RSAKey | ECKey | OKPKey

_SHORTEST_RSA = 2048  # bits (RFC 7518 section 3.3)
_CURVES = {  # as cryptography calls them (RFC 7518 section 3.4, RFC 8812 section 3.2)
    "secp256r1": "ES256",
    "secp384r1": "ES384",
    "secp521r1": "ES512",
    "secp256k1": "ES256K",
}
_ENCRYPTED = (
    "is encrypted. Decrypt it, and protect the file instead:"
    " openssl pkey -in key.pem -out decrypted.pem"
)
_PATH = " If that is the path of a file, give SecretFile(path)."
# What is often given instead of a key, and what is said of it.
_MISTAKES = (
    ("ENCRYPTED", _ENCRYPTED),
    (
        "OPENSSH PRIVATE KEY",
        "is in the format of OpenSSH: ssh-keygen -p -m PKCS8 -f key changes it.",
    ),
    ("PRIVATE KEY-----\\n", "holds the two characters \\n in the place of its line ends."),
)
_MISTAKES_WITHOUT_KEY = (
    ("-----BEGIN CERT", "is a certificate: a private key is needed."),
    ("PUBLIC KEY-----", "is a public one: a private key is needed."),
)


def sign(claims: Mapping[str, Any], key: PrivateKey, headers: Mapping[str, Any]) -> str:
    """Return a signed JWT (RFC 7515).

    The event loop stands still meanwhile: 0.5 ms with an RSA key of 2048 bits, 2 ms with one of 4096.

    :param claims: what it says.
    :param key: the private key.
    :param headers: its header, ``alg`` among them.
    :raises TokenError: the key is not one for that algorithm.
    """
    algorithm = str(headers["alg"])
    # Not strict: the server may know header parameters that no RFC does.
    registry = JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    try:
        with warnings.catch_warnings():
            # EdDSA as a name is deprecated (RFC 9864), and the one that servers know.
            warnings.simplefilter("ignore")
            return jwt.encode(dict(headers), dict(claims), key, registry=registry)
    except (JoseError, ValueError, TypeError) as error:
        raise TokenError(
            f"The key is not one for the algorithm {algorithm} ({type(error).__name__}); this one is"
            f" {_kind(key)}."
        ) from None


def parse_private_key(text: str) -> tuple[PrivateKey, dict[str, str]]:
    """Read a private key.

    To check an RSA key of 2048 bits takes 40 ms, one of 4096 bits 250 ms. So this is done once for a key,
    and in a thread: cryptography lets the event loop go on meanwhile.

    :param text: the key as PEM, or as a JWK (RFC 7517).
    :return: the key, and the header that goes with it.
    :raises TokenError: it is none; the message says what it is instead, and shows nothing of it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of short keys, which are refused below
            key = _from_jwk(text) if text.lstrip().startswith("{") else _from_pem(text)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        path = "" if "{" in text or "-----" in text else _PATH
        raise TokenError(
            f"The key cannot be read ({type(error).__name__}): a private key as PEM or as a JWK is"
            f" needed.{path}"
        ) from None
    if not key.is_private:
        raise TokenError("The key is a public one: a private key is needed.")
    algorithm = _algorithm(key)
    header = {"typ": "JWT", "alg": key.alg or algorithm}
    return key, header if key.kid is None else {**header, "kid": key.kid}


def _algorithm(key: PrivateKey) -> str:
    if isinstance(key, OKPKey):
        if key.curve_name.startswith("X"):
            raise TokenError(f"The key is of the curve {key.curve_name}: it cannot sign.")
        return "EdDSA"
    if isinstance(key, ECKey):
        return _CURVES[key.raw_value.curve.name]
    bits = key.raw_value.key_size
    if bits < _SHORTEST_RSA:
        raise TokenError(f"The RSA key has {bits} bits; {_SHORTEST_RSA} are needed.")
    return "RS256"


def _from_pem(text: str) -> PrivateKey:
    mistakes = _MISTAKES if "PRIVATE KEY-----" in text else _MISTAKES_WITHOUT_KEY
    for found, what in mistakes:
        if found in text:
            raise TokenError(f"The key {what}")
    raw = load_pem_private_key(text.encode(), None)
    if isinstance(raw, rsa.RSAPrivateKey):
        return RSAKey(raw, raw)
    if isinstance(raw, ec.EllipticCurvePrivateKey):
        if raw.curve.name not in _CURVES:
            raise TokenError(f"The key is of the curve {raw.curve.name}: no JWT is signed with it.")
        return ECKey(raw, raw)
    if isinstance(raw, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        return OKPKey(raw, raw)
    raise TokenError("The key is neither an RSA key nor one of an elliptic curve: it cannot sign.")


def _from_jwk(text: str) -> PrivateKey:
    key = import_key(json.loads(text))
    if not isinstance(key, (RSAKey, ECKey, OKPKey)):
        raise TokenError(
            "The key is a shared secret: a private key is needed. See ClientSecretJWT."
        )
    return key


def _kind(key: PrivateKey) -> str:
    return "an RSA key" if isinstance(key, RSAKey) else f"a key of the curve {key.curve_name}"
