"""Client authentication by something better than a secret that is sent: a signature, or a certificate.

An assertion is a short JWT that the client signs for each sending of a request (RFC 7523 section 2.2).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import importlib.util
import json
import math
import secrets
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Literal

from .errors import TokenError
from .protocol.client_auth import ClientAuth, ClientAuthContext, NoClientAuth
from .sources import Source, check_source, read_needed

if TYPE_CHECKING:
    from .jwt_signature import PrivateKey

__all__ = ("ClientAssertion", "ClientSecretJWT", "PrivateKeyJWT", "TLSClientAuth")

_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
_PRIVATE_ALGORITHMS = frozenset(
    "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 ES256K EdDSA Ed25519 Ed448".split()
)
_RESERVED_HEADERS = frozenset({"alg", "kid", "typ"})


class _Assertion(ClientAuth):
    """What all assertions have in common: where they go."""

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
        raise TypeError(f"{type(self).__name__} is applied by authenticate(), which may wait.")

    def _put(self, context: ClientAuthContext, assertion: str) -> None:
        if context.client_id:
            context.form["client_id"] = context.client_id
        context.form["client_assertion_type"] = _TYPE
        context.form["client_assertion"] = assertion


class _SignedAssertion(_Assertion):
    """An assertion that is made and signed here."""

    def __init__(self, audience: str | None, lifetime: float) -> None:
        if not isinstance(audience, (str, type(None))):
            raise TypeError(f"audience takes a string, not a {type(audience).__name__}.")
        if not isinstance(lifetime, (int, float)) or not 0 < lifetime < math.inf:
            raise ValueError("lifetime must be a number of seconds, more than 0.")
        self._audience, self._lifetime = audience, lifetime

    def _claims(self, context: ClientAuthContext) -> dict[str, Any]:
        """Return what an assertion says (RFC 7523 section 3).

        Its audience is the issuer alone if that is known: what is addressed to a token endpoint that a
        malicious server has named is good for an attack on the one that it belongs to.
        """
        now = math.floor(context.clock.time())
        return {
            "iss": context.client_id,
            "sub": context.client_id,
            "aud": self._audience or context.issuer or context.endpoint,
            "iat": now,
            "exp": now + math.ceil(self._lifetime),
            "jti": secrets.token_urlsafe(24),
        }


class PrivateKeyJWT(_SignedAssertion):
    """A signature by the client's private key (``private_key_jwt``, OpenID Connect Core section 9).

    The server knows the public key. Each sending of a request carries an assertion of its own, so that one
    that was seen is of no use. Needs the extra ``jwt``.

    :param key: the private key as PEM or as a JWK: a string, or a callable, plain or ``async``, such as a
        `SecretFile`, that is asked at each sending. A JWK may also be a dict. RSA, EC or Ed25519; not
        encrypted.
    :param algorithm: how to sign, such as ``PS256``; by default the ``alg`` of a JWK, or what goes with the
        key: ``RS256``, ``ES256``, ``ES384``, ``ES512`` or ``EdDSA``.
    :param key_id: the ``kid`` by which the server finds the public key, if it needs one; by default that of
        a JWK.
    :param audience: who the assertion is for; by default the server's issuer identifier, or its token
        endpoint if there is no issuer. Entra wants its token endpoint.
    :param lifetime: how long an assertion counts, in seconds.
    :param headers: further header parameters, such as ``x5t`` or ``x5c``.
    :raises TypeError: a value is of the wrong kind.
    :raises ValueError: the algorithm is not one for private keys, or a header has a keyword of its own.
    :raises TokenError: the extra is not installed.
    """

    def __init__(
        self,
        key: Source | Mapping[str, Any],
        *,
        algorithm: str | None = None,
        key_id: str | None = None,
        audience: str | None = None,
        lifetime: float = 60,
        headers: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(audience, lifetime)
        if isinstance(key, Mapping):
            key = json.dumps({**key})
        check_source(key, "key")
        if algorithm is not None and algorithm not in _PRIVATE_ALGORITHMS:
            raise ValueError(
                f"algorithm is {algorithm!r}; it must be one of {', '.join(sorted(_PRIVATE_ALGORITHMS))}."
            )
        if reserved := sorted(_RESERVED_HEADERS & {*(headers or ())}):
            raise ValueError(
                f"headers cannot hold {', '.join(reserved)}: see algorithm= and key_id=."
            )
        try:
            json.dumps(headers)
        except (TypeError, ValueError) as error:
            raise TypeError(f"headers cannot be written as JSON: {error}.") from None
        if importlib.util.find_spec("joserfc") is None:
            raise TokenError('PrivateKeyJWT needs joserfc: pip install "aio-alf[jwt]"')
        given = {"alg": algorithm, "kid": key_id}
        self._key = key
        self._headers = {
            **(headers or {}),
            **{name: value for name, value in given.items() if value is not None},
        }
        self._parsed: tuple[str, PrivateKey, dict[str, str]] | None = None

    async def authenticate(self, context: ClientAuthContext) -> None:
        """Sign an assertion and put it into the form; the key is asked for at each sending.

        :raises TokenError: there is no key, or none that can be used.
        """
        text = await read_needed(self._key, "key")
        parsed = self._parsed
        if parsed is None or parsed[0] != text:
            self._parsed = parsed = (text, *await asyncio.to_thread(_parse_key, text))
        from .jwt_signature import sign

        _, key, header = parsed
        self._put(context, sign(self._claims(context), key, {**header, **self._headers}))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_parsed": None}  # a key that was read cannot be pickled


class ClientSecretJWT(_SignedAssertion):
    """A signature by the client secret (``client_secret_jwt``, OpenID Connect Core section 9).

    The secret itself is not sent.

    :param algorithm: how to sign.
    :param audience: as of `PrivateKeyJWT`.
    :param lifetime: how long an assertion counts, in seconds.
    :raises ValueError: the algorithm is not one for shared secrets.
    """

    needs_secret = True

    def __init__(
        self,
        *,
        algorithm: Literal["HS256", "HS384", "HS512"] = "HS256",
        audience: str | None = None,
        lifetime: float = 60,
    ) -> None:
        super().__init__(audience, lifetime)
        if algorithm not in _HASHES:
            raise ValueError(f"algorithm is {algorithm!r}; it must be one of {', '.join(_HASHES)}.")
        self._algorithm = algorithm

    async def authenticate(self, context: ClientAuthContext) -> None:
        """Sign an assertion (RFC 7515 section 5.1, RFC 7518 section 3.2) and put it into the form."""
        head = _encoded(json.dumps({"typ": "JWT", "alg": self._algorithm}).encode())
        body = _encoded(json.dumps(self._claims(context)).encode())
        try:
            key = context.client_secret.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # it holds the whole secret
            raise TokenError("The client secret is not valid Unicode text.") from None
        signed = f"{head}.{body}"
        digest = hmac.digest(key, signed.encode(), _HASHES[self._algorithm])
        self._put(context, f"{signed}.{_encoded(digest)}")


class ClientAssertion(_Assertion):
    """An assertion that somebody else has made (RFC 7523 section 2.2): a projected token, a KMS.

    It says who asks, so a manager with this needs no client id (RFC 7521 section 4.2).

    :param assertion: the JWT: a string, or a callable, plain or ``async``, such as a `SecretFile`, that is
        asked at each sending.
    :raises TypeError: it is neither a string nor callable.
    """

    needs_client_id = False

    def __init__(self, assertion: Source) -> None:
        check_source(assertion, "assertion")
        self._source = assertion

    async def authenticate(self, context: ClientAuthContext) -> None:
        """Put the assertion into the form.

        :raises TokenError: there is none.
        """
        self._put(context, (await read_needed(self._source, "client assertion")).strip())


class TLSClientAuth(NoClientAuth):
    """The client's certificate (``tls_client_auth``, RFC 8705 section 2): the id in the form alone.

    The certificate is a part of the TLS connection: give ``http_options={"ssl": context}``. If the server
    names endpoints for it in its metadata, those are asked (section 5).
    """

    uses_certificate = True


def _parse_key(text: str) -> tuple[PrivateKey, dict[str, str]]:
    # In a thread: the import takes 60 ms, and the check of an RSA key of 4096 bits takes 250 ms.
    from .jwt_signature import parse_private_key

    return parse_private_key(text)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
