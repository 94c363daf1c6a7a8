"""`Assertions`: signed JWTs, checked as a strict server would (RFC 7523 section 3). Pure: no I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from .refusal import OAuthErrorResponse
from .settings import Settings

__all__ = ("Assertions",)

_LONGEST = 300.0  # seconds that an assertion may count
_HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


class Assertions:
    """Checks assertions, and takes none a second time.

    Signatures by private keys are checked by joserfc, which comes with the extra ``jwt``.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def check_client(self, settings: Settings, form: Mapping[str, str], issuer: str) -> None:
        """Check the assertion by which the client authenticates.

        :param issuer: the issuer identifier of this server: the one audience that will do.
        :raises OAuthErrorResponse: it is not good.
        """
        try:
            head, claims = _parts(form["client_assertion"])
            if head.get("alg") in _HASHES:
                _check_secret(form["client_assertion"], settings.client_secret, head["alg"])
            else:
                _check_key(form["client_assertion"], settings.client_keys, head)
            for name in ("iss", "sub"):
                _require(claims.get(name) == settings.client_id, f"the {name} is not the client id")
            _require(form.get("client_id", settings.client_id) == settings.client_id, "client_id")
            _require(claims.get("aud") == issuer, f"the aud is not the issuer {issuer}")
            self._check_times(claims, settings.time())
        except ValueError as error:
            raise OAuthErrorResponse("invalid_client", f"the assertion: {error}", 401) from None

    def check_grant(self, settings: Settings, assertion: str) -> None:
        """Check an assertion that is a grant.

        :raises OAuthErrorResponse: it is not good.
        """
        try:
            head, claims = _parts(assertion)
            key = settings.issuers.get(str(claims.get("iss")))
            _require(key is not None, "nobody trusts its iss")
            _check_key(assertion, [key or {}], head)
            _require(bool(claims.get("sub")), "it has no sub")
            self._check_times(claims, settings.time())
        except ValueError as error:
            raise OAuthErrorResponse("invalid_grant", f"the assertion: {error}") from None

    def _check_times(self, claims: Mapping[str, Any], now: float) -> None:
        issued, expires, identifier = (claims.get(name) for name in ("iat", "exp", "jti"))
        _require(type(issued) is int and issued <= now, "iat is not a second of the past")
        _require(type(expires) is int and now < expires <= now + _LONGEST, "exp is not near")
        _require("nbf" not in claims, "nbf is more than is asked for")
        _require(isinstance(identifier, str) and bool(identifier), "it has no jti")
        _require(identifier not in self._seen, "it was used before (jti)")
        self._seen.add(str(identifier))


def _require(fulfilled: bool, otherwise: str) -> None:
    if not fulfilled:
        raise ValueError(otherwise)


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    parts = [_decoded(part) for part in token.split(".")[:2]]
    head, claims = (json.loads(part) for part in parts)
    _require(isinstance(head, dict) and isinstance(claims, dict), "it is not a JWT")
    _require(head.get("typ") == "JWT", "the typ is not JWT")
    return head, claims


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _check_secret(token: str, secret: str, algorithm: str) -> None:
    signed, _, signature = token.rpartition(".")
    digest = hmac.digest(secret.encode(), signed.encode(), _HASHES[algorithm])
    _require(hmac.compare_digest(digest, _decoded(signature)), "the signature is wrong")


def _check_key(token: str, keys: Sequence[Mapping[str, str]], head: Mapping[str, Any]) -> None:
    import warnings

    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key

    named = [key for key in keys if "kid" not in head or key.get("kid") == head["kid"]]
    _require(bool(named), "there is no key of this kid")
    for key in named:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # EdDSA is deprecated as a name
                jwt.decode(token, import_key(dict(key)), algorithms=[str(head.get("alg"))])
        except (JoseError, ValueError):
            continue
        return
    raise ValueError("the signature is wrong")
