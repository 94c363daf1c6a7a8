"""`Assertions`: signed JWTs, checked as a strict server would (RFC 7523 section 3). Pure: no I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .addresses import Addresses
from .refusal import OAuthErrorResponse

__all__ = ("Assertions",)

_LONGEST = 300.0  # seconds that an assertion of the client may count
_LONGEST_GRANT = 3600.0  # seconds: what Google's service accounts ask for
_HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
_SIGNED = re.compile(r"(?:RS|PS|ES|HS)(?:256|384|512)|EdDSA|Ed25519")  # not "none"


class Assertions:
    """Checks assertions, and takes none a second time.

    Signatures by private keys are checked by joserfc, which comes with the extra ``jwt``.
    """

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def check_client(self, settings: Addresses, form: Mapping[str, str]) -> None:
        """Check the assertion by which the client authenticates (RFC 7523 section 2.2).

        :raises OAuthErrorResponse: it is not good.
        """
        try:
            head, claims = _parts(form["client_assertion"])
            if head["alg"] in _HASHES:
                _check_secret(form["client_assertion"], settings.client_secret, head["alg"])
            else:
                _check_key(form["client_assertion"], settings.client_keys, head)
            for name in ("iss", "sub"):
                _require(claims.get(name) == settings.client_id, f"the {name} is not the client id")
            aud = claims.get("aud")
            if not (settings.allow_endpoint_audience and aud == settings.token_endpoint):
                _require(aud == settings.issuer, f"the aud is not the issuer {settings.issuer}")
            _require("nbf" not in claims, "nbf is more than is asked for")
            _require("jti" in claims, "it has no jti")
            self._check_times(claims, settings.time(), _LONGEST)
        except ValueError as error:
            raise OAuthErrorResponse("invalid_client", f"the assertion: {error}", 401) from None

    def check_grant(self, settings: Addresses, assertion: str) -> None:
        """Check an assertion that is a grant (RFC 7523 section 3).

        :raises OAuthErrorResponse: it is not good.
        """
        try:
            head, claims = _parts(assertion)
            key = settings.issuers.get(str(claims.get("iss")))
            _require(key is not None, "nobody trusts its iss")
            _check_key(assertion, [key or {}], head)
            _require(bool(claims.get("sub")), "it has no sub")
            aud = claims.get("aud")
            here = {settings.issuer, settings.token_endpoint}
            _require(
                bool(here.intersection(aud if isinstance(aud, list) else [aud])), "another aud"
            )
            now = settings.time()
            _require("nbf" not in claims or claims["nbf"] <= now, "nbf is in the future")
            self._check_times(claims, now, _LONGEST_GRANT)
        except ValueError as error:
            raise OAuthErrorResponse("invalid_grant", f"the assertion: {error}") from None

    def _check_times(self, claims: Mapping[str, Any], now: float, longest: float) -> None:
        issued, expires = claims.get("iat"), claims.get("exp")
        _require(type(issued) is int and issued <= now, "iat is not a second of the past")
        _require(type(expires) is int and now < expires <= now + longest, "exp is not near")
        if "jti" in claims:
            identifier = claims["jti"]
            _require(isinstance(identifier, str) and bool(identifier), "the jti is no string")
            _require(identifier not in self._seen, "it was used before (jti)")
            self._seen.add(identifier)


def _require(fulfilled: bool, otherwise: str) -> None:
    if not fulfilled:
        raise ValueError(otherwise)


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    parts = [_decoded(part) for part in token.split(".")[:2]]
    head, claims = (json.loads(part) for part in parts)
    _require(isinstance(head, dict) and isinstance(claims, dict), "it is not a JWT")
    _require(head.get("typ") == "JWT", "the typ is not JWT")
    _require(bool(_SIGNED.fullmatch(str(head.get("alg")))), "it is not signed")
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
