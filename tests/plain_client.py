"""OAuth spoken by hand with plain aiohttp: how a test asks a real server what it does.

Nothing of the library is in here, so that what these helpers see is the server alone.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp import web
from jwcrypto.jwk import JWK
from jwcrypto.jwt import JWT

__all__ = (
    "DEVICE_GRANT",
    "JWT_BEARER",
    "Answer",
    "CodeRequest",
    "Landing",
    "ask",
    "assertion",
    "basic",
    "bearer",
    "landing",
    "new_key",
    "public",
)

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    json: dict[str, Any]  # empty if the body was


async def ask(url: str, form: dict[str, str] | None = None, **options: Any) -> Answer:
    """Post a form there, or get it without one; read the answer as JSON."""
    method = "GET" if form is None else "POST"
    async with aiohttp.ClientSession() as session:
        async with session.request(method, url, data=form, **options) as response:
            text = await response.text()
            return Answer(response.status, json.loads(text) if text else {})


def basic(client_id: str, client_secret: str) -> dict[str, str]:
    """The headers of client_secret_basic, RFC 6749 section 2.3.1: form-encoded, then Base64."""
    pair = f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def bearer(token: str) -> dict[str, str]:
    """The headers of RFC 6750."""
    return {"Authorization": f"Bearer {token}"}


@dataclass(frozen=True)
class Landing:
    """A redirect URI with somebody behind it."""

    redirect_uri: str
    received: list[dict[str, str]]  # the parameters of each answer


@contextlib.asynccontextmanager
async def landing(host: str = "127.0.0.1", path: str = "/callback") -> AsyncIterator[Landing]:
    """Listen at a free port for answers to authorization requests, by GET or by form_post."""
    received: list[dict[str, str]] = []

    async def answered(request: web.Request) -> web.Response:
        received.append({**request.query, **{k: str(v) for k, v in (await request.post()).items()}})
        text = "<link rel=icon href='data:,'><main data-kind=done><h1>Landed.</h1></main>"
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.router.add_route("*", path or "/", answered)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, 0).start()
        port = runner.addresses[0][1]
        yield Landing(f"http://{host}:{port}{path}", received)
    finally:
        await runner.cleanup()


class CodeRequest:
    """One authorization request for a code, with PKCE (RFC 7636) and a state."""

    def __init__(self, client_id: str, redirect_uri: str, scope: str, **more: str) -> None:
        self.verifier = secrets.token_urlsafe(32)
        digest = hashlib.sha256(self.verifier.encode()).digest()
        #: The parameters of the request.
        self.params = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "scope": scope,
            "state": secrets.token_urlsafe(16),
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            **more,
        }

    def url(self, authorization_endpoint: str) -> str:
        """Where the browser is sent."""
        return f"{authorization_endpoint}?{urlencode(self.params)}"

    def exchange(self, code: str) -> dict[str, str]:
        """The form that a public client sends for the code; a confidential one adds its secret."""
        return {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.params["redirect_uri"],
            "client_id": self.params["client_id"],
            "code_verifier": self.verifier,
        }


def new_key(algorithm: str) -> JWK:
    """A private key for RS256, PS256, ES256 or EdDSA (Ed25519)."""
    if algorithm == "ES256":
        return JWK.generate(kty="EC", crv="P-256", kid="test")
    if algorithm == "EdDSA":
        return JWK.generate(kty="OKP", crv="Ed25519", kid="test")
    return JWK.generate(kty="RSA", size=2048, kid="test")


def public(key: JWK) -> dict[str, Any]:
    """The public half of a key, for a server's JWKS."""
    half = key.export_public(as_dict=True)
    assert isinstance(half, dict)
    return half


def assertion(client_id: str, audience: str, key: JWK, algorithm: str, **claims: Any) -> str:
    """A client assertion, RFC 7523 section 3, good for a minute."""
    now = int(time.time())
    said = {"iss": client_id, "sub": client_id, "aud": audience, "iat": now, "exp": now + 60}
    said["jti"] = secrets.token_urlsafe(16)
    token = JWT(header={"alg": algorithm, "typ": "JWT"}, claims={**said, **claims})
    token.make_signed_token(key)
    return str(token.serialize())
