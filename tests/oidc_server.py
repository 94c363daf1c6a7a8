"""oidc-provider, the certified server of npm, as a real authorization server for tests.

In a test, take the fixture, which ``conftest.py`` makes known (one process per test session)::

    from oidc_server import OIDCServer

    async def test_something(oidc_server: OIDCServer) -> None: ...

It starts in about a second, on a free port of 127.0.0.1, in a process of its own; the first time
ever npm installs its packages (`npm.py`). The fixture brings a server back to where it started
before each test: no session, no token, no registered client, the usual lifetimes, an empty log.

Addresses: ``issuer`` and the endpoints, by the names of RFC 8414 and 9126; ``resource`` (needs any
live access token; answers ``method``, ``body``, ``client_id``, ``user``, ``scope`` as JSON, or 401).
Metadata stands at both well-known paths. The answers to authorization requests carry ``iss``.

Scopes: ``openid offline_access read write``. A refresh token comes with ``offline_access`` alone, and
that needs ``prompt=consent`` in an authorization request (not in a device's). It is rotated at each
refresh; an old one ends the whole grant.

Clients (all may use any grant; redirect URIs are ``http://127.0.0.1``, ``http://localhost`` and
``http://[::1]`` with any port and the paths none, ``/`` and ``/callback``):

* ``native_client_id``: a public one, for programs that have no secret
* ``client_id`` and ``client_secret``: client_secret_basic, both full of characters that a sloppy
  encoder ruins
* ``post_client_id``, ``jwt_client_id``, ``par_client_id``: client_secret_post, client_secret_jwt
  (HS256), and one that must push its authorization requests (client_secret_basic), with
  ``client_secret`` too
* others: ``register(auth, ...)``, with the members of RFC 7591; ``register_key(jwk)`` for
  private_key_jwt (RSA, EC, Ed25519). They return the client id.

The person signs in with any name and password, here ``username`` and ``password``, in the fields
``#id_username`` and ``#id_password`` and by the button "Sign in"; then there are "Approve" and "Deny".
The page for devices has the field ``#id_user_code``. See ``Person.answers`` in ``browser.py``.

Behind the library's back (all of them blocking, a few milliseconds): ``revoke_all()``,
``revoke_refresh_tokens()``, ``set_lifetime(seconds, of)``, ``log()`` (what the server was asked:
"METHOD path?query"), ``token_requests()``, ``forget_log()``, ``reset()``.
"""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import npm
import pytest

__all__ = ("OIDCServer", "oidc_server", "oidc_server_process")

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
LIFETIMES = {
    "access_token": 3600,
    "authorization_code": 60,
    "device_code": 600,
    "refresh_token": 86400,
}
REDIRECT_URIS = [
    f"http://{host}{path}"
    for host in ("127.0.0.1", "localhost", "[::1]")
    for path in ("", "/", "/callback")
]


@dataclass(frozen=True)
class OIDCServer:
    """A running server; see the top of this file."""

    issuer: str
    native_client_id: str = "native-client"
    client_id: str = "glBQ3nYU/8/kaVi/bIgXGA=="
    client_secret: str = "s+e/c=r%e:t %2B + that is long enough to sign with"
    post_client_id: str = "post-client"
    jwt_client_id: str = "jwt-client"
    par_client_id: str = "par-client"
    username: str = "alice"
    password: str = "correct horse"

    @property
    def authorization_endpoint(self) -> str:
        """Where a browser is sent."""
        return f"{self.issuer}/auth"

    @property
    def token_endpoint(self) -> str:
        """Where tokens are asked for."""
        return f"{self.issuer}/token"

    @property
    def device_authorization_endpoint(self) -> str:
        """Where a device asks for its codes."""
        return f"{self.issuer}/device/auth"

    @property
    def pushed_authorization_request_endpoint(self) -> str:
        """Where an authorization request is pushed to."""
        return f"{self.issuer}/request"

    @property
    def revocation_endpoint(self) -> str:
        """Where a token is given back."""
        return f"{self.issuer}/token/revocation"

    @property
    def resource(self) -> str:
        """What the tokens are good for."""
        return f"{self.issuer}/resource"

    def register(self, auth: str = "none", **metadata: Any) -> str:
        """Register a native client for all grants; return its id.

        :param auth: its ``token_endpoint_auth_method``; other members of RFC 7591 by keyword.
        """
        body = json.dumps(_client(None, auth, **metadata)).encode()
        request = urllib.request.Request(f"{self.issuer}/reg", body)
        request.add_header("Content-Type", "application/json")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as response:
            return str(json.load(response)["client_id"])

    def register_key(self, *public_keys: dict[str, Any], **metadata: Any) -> str:
        """Register a client that signs with one of these keys (public JWKs); return its id."""
        return self.register("private_key_jwt", jwks={"keys": list(public_keys)}, **metadata)

    def revoke_all(self) -> None:
        """Make every access token worthless at once; refresh tokens stay."""
        npm.order(self.issuer, revoke=["access"])

    def revoke_refresh_tokens(self) -> None:
        """Make every refresh token worthless at once; access tokens stay."""
        npm.order(self.issuer, revoke=["refresh"])

    def set_lifetime(
        self,
        seconds: int,
        of: Literal[
            "access_token", "authorization_code", "device_code", "refresh_token"
        ] = "access_token",
    ) -> None:
        """Let what is issued from now on live that many seconds."""
        npm.order(self.issuer, lifetimes={of: seconds})

    def log(self) -> list[str]:
        """Everything asked of the server so far, as "METHOD path?query", oldest first."""
        log = npm.order(self.issuer)["log"]
        assert isinstance(log, list)
        return log

    def forget_log(self) -> None:
        """Start the log anew."""
        npm.order(self.issuer, forget_log=True)

    def token_requests(self) -> int:
        """How many token requests the log holds."""
        return self.log().count("POST /token")

    def reset(self) -> None:
        """Bring the server back to where it started."""
        npm.order(self.issuer, reset=True, forget_log=True)

    @classmethod
    @contextlib.contextmanager
    def start(cls) -> Iterator[OIDCServer]:
        """Run a server for the length of a ``with`` block. Skips the test if there cannot be one."""
        secret = {"client_secret": cls.client_secret}
        clients = [
            _client(cls.native_client_id),
            _client(cls.client_id, "client_secret_basic", **secret),
            _client(cls.post_client_id, "client_secret_post", **secret),
            _client(cls.jwt_client_id, "client_secret_jwt", **secret),
            _client(
                cls.par_client_id,
                "client_secret_basic",
                require_pushed_authorization_requests=True,
                **secret,
            ),
        ]
        with npm.running("oidc_provider", clients=clients, lifetimes=LIFETIMES) as said:
            yield cls(f"http://127.0.0.1:{said['port']}")


def _client(client_id: str | None, auth: str = "none", **more: object) -> dict[str, object]:
    """The metadata of a client, RFC 7591."""
    grants = ["authorization_code", "refresh_token", DEVICE_CODE]
    if auth != "none":
        grants.append("client_credentials")
    metadata: dict[str, object] = {
        "application_type": "native",
        "grant_types": grants,
        "redirect_uris": REDIRECT_URIS,
        "response_types": ["code"],
        "token_endpoint_auth_method": auth,
        **more,
    }
    if client_id is not None:
        metadata["client_id"] = client_id
    return metadata


@pytest.fixture(scope="session")
def oidc_server_process() -> Iterator[OIDCServer]:
    """The process of the fixture `oidc_server`, one for all tests."""
    with OIDCServer.start() as started:
        yield started


@pytest.fixture
def oidc_server(oidc_server_process: OIDCServer) -> OIDCServer:
    """oidc-provider, somebody else's authorization server, as good as new."""
    oidc_server_process.reset()
    return oidc_server_process
