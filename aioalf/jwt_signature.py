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

from .errors import TokenError

__all__ = ("PrivateKey", "parse_private_key", "sign")

PrivateKey = RSAKey | ECKey | OKPKey

_SHORTEST_RSA = 2048  # bits (RFC 7518 section 3.3)
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "secp256k1": "ES256K"}


def sign(claims: Mapping[str, Any], key: PrivateKey, headers: Mapping[str, Any]) -> str:
    """Return a signed JWT (RFC 7515).

    :param claims: what it says.
    :param key: the private key.
    :param headers: its header, ``alg`` among them.
    :raises TokenError: the key is not one for that algorithm.
    """
    algorithm = str(headers["alg"])
    try:
        with warnings.catch_warnings():
            # EdDSA as a name is deprecated (RFC 9864), and the one that servers know.
            warnings.simplefilter("ignore")
            return jwt.encode(dict(headers), dict(claims), key, algorithms=[algorithm])
    except (JoseError, ValueError, TypeError) as error:
        raise TokenError(
            f"The key is not one for the algorithm {algorithm} ({type(error).__name__}); this one is"
            f" {_kind(key)}."
        ) from None


def parse_private_key(text: str) -> tuple[PrivateKey, str]:
    """Read a private key.

    :param text: the key as PEM, or as a JWK (RFC 7517).
    :return: the key, and the algorithm that goes with it.
    :raises TokenError: it is none; the message says what it is instead, and shows nothing of it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of short keys, which are refused below
            key = _from_jwk(text) if text.lstrip().startswith("{") else _from_pem(text)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise TokenError(
            f"The key cannot be read ({type(error).__name__}): a private key as PEM or as a JWK is needed."
        ) from None
    if not key.is_private:
        raise TokenError("The key is a public one: a private key is needed.")
    if isinstance(key, RSAKey):
        bits = key.raw_value.key_size
        if bits < _SHORTEST_RSA:
            raise TokenError(f"The RSA key has {bits} bits; {_SHORTEST_RSA} are needed.")
        return key, "RS256"
    return key, _CURVES.get(key.curve_name, "EdDSA")


def _from_pem(text: str) -> PrivateKey:
    if "PRIVATE KEY-----" not in text:
        for kind, name in (("CERTIFICATE", "a certificate"), ("PUBLIC KEY", "a public one")):
            if kind in text:
                raise TokenError(f"The key is {name}: a private key is needed.")
    if "ENCRYPTED" in text:
        raise TokenError(
            "The key is encrypted. Decrypt it, and protect the file instead:"
            " openssl pkey -in key.pem -out decrypted.pem"
        )
    raw = load_pem_private_key(text.encode(), None)
    cls: type[RSAKey | ECKey | OKPKey]
    if isinstance(raw, rsa.RSAPrivateKey):
        cls = RSAKey
    elif isinstance(raw, ec.EllipticCurvePrivateKey):
        cls = ECKey
    elif isinstance(raw, (ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)):
        cls = OKPKey
    else:
        raise TokenError(
            "The key is neither an RSA key nor one of an elliptic curve: it cannot sign."
        )
    key: PrivateKey = cls.import_key(text.encode())
    return key


def _from_jwk(text: str) -> PrivateKey:
    key = import_key(json.loads(text))
    if not isinstance(key, (RSAKey, ECKey, OKPKey)):
        raise TokenError(
            "The key is a shared secret: a private key is needed. See ClientSecretJWT."
        )
    return key


def _kind(key: PrivateKey) -> str:
    return "an RSA key" if isinstance(key, RSAKey) else f"a key of the curve {key.curve_name}"
