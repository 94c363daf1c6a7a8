"""better-auth with its OAuth provider, of npm, as a real authorization server for tests.

In a test, take the fixture, which ``conftest.py`` makes known (one process per test session)::

    from better_auth_server import BetterAuthServer

    async def test_something(better_auth_server: BetterAuthServer) -> None: ...

It starts in some seconds, on a free port of 127.0.0.1, in a process of its own; the first time ever
npm installs its packages (`npm.py`). The fixture brings a server back to where it started before
each test: no session, no token, no consent, the usual settings, an empty log.

What it is here for: ``slow_down`` (a poll before ``interval``, 5 s, is over), an ``issuer`` with a
path (``/api/auth``), and no patience with a code or a refresh token that is used twice.

Addresses: ``issuer`` and the endpoints, by the names of RFC 8414; ``resource`` (its userinfo endpoint:
needs scope ``openid``, answers ``sub``, or 401). Metadata stands at
``{issuer}/.well-known/openid-configuration``, and for RFC 8414 before and after the path.

Scopes: ``openid offline_access read write``; a refresh token comes with ``offline_access`` alone.

Clients: ``native_client_id``, a public one, registered over HTTP, for codes, refresh and devices with
the redirect URIs ``http://127.0.0.1``, ``http://localhost`` and ``http://[::1]``, any port, and the paths
none, ``/`` and ``/callback``. Others: ``register(auth, ...)``, which returns what the server answers.

The person: ``username`` (a mail address) and ``password``; ``approve(user_code)`` and
``decline(user_code)`` do what they do at the page for devices, without a browser. With one:
``Person.approves`` and ``Person.denies`` in ``browser.py``.

Behind the library's back (all of them blocking, a few milliseconds): ``revoke_all()``,
``revoke_refresh_tokens()``, ``set_lifetime(seconds, of)``, ``set_interval(seconds)``, ``log()`` (what
the server was asked: "METHOD path?query"), ``token_requests()``, ``forget_log()``, ``reset()``.
"""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from typing import Any, Literal
from urllib.parse import quote

import npm
import pytest
from oidc_server import DEVICE_CODE, REDIRECT_URIS

__all__ = ("BetterAuthServer", "better_auth_server", "better_auth_server_process")

LIFETIMES = {"access_token": 3600, "device_code": 1800, "refresh_token": 86400}
INTERVAL = 5


@dataclass(frozen=True)
class BetterAuthServer:
    """A running server; see the top of this file."""

    url: str
    native_client_id: str = ""  # the server's choice
    username: str = "alice@example.com"
    password: str = "correct horse"
    _settings: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def issuer(self) -> str:
        """Its name, with a path."""
        return f"{self.url}/api/auth"

    @property
    def authorization_endpoint(self) -> str:
        """Where a browser is sent."""
        return f"{self.issuer}/oauth2/authorize"

    @property
    def token_endpoint(self) -> str:
        """Where tokens are asked for."""
        return f"{self.issuer}/oauth2/token"

    @property
    def device_authorization_endpoint(self) -> str:
        """Where a device asks for its codes."""
        return f"{self.issuer}/device/code"

    @property
    def revocation_endpoint(self) -> str:
        """Where a token is given back."""
        return f"{self.issuer}/oauth2/revoke"

    @property
    def resource(self) -> str:
        """What the tokens are good for."""
        return f"{self.issuer}/oauth2/userinfo"

    def register(self, auth: str = "none", **metadata: Any) -> dict[str, Any]:
        """Register a native client for codes, refresh and devices.

        :param auth: its ``token_endpoint_auth_method``; other members of RFC 7591 by keyword.
        """
        client = {
            "application_type": "native",
            "grant_types": ["authorization_code", "refresh_token", DEVICE_CODE],
            "redirect_uris": REDIRECT_URIS,
            "response_types": ["code"],
            "token_endpoint_auth_method": auth,
            **metadata,
        }
        return self._call(_opener(), "/oauth2/register", client)

    def approve(self, user_code: str) -> None:
        """Say yes to a device, as the person."""
        self._decide(user_code, "approve")

    def decline(self, user_code: str) -> None:
        """Say no to a device, as the person."""
        self._decide(user_code, "deny")

    def _decide(self, user_code: str, decision: str) -> None:
        person = _opener()
        self._call(person, "/sign-in/email", {"email": self.username, "password": self.password})
        self._call(person, f"/device?user_code={quote(user_code)}")  # makes the code this person's
        self._call(person, f"/device/{decision}", {"userCode": user_code})

    def _call(
        self, opener: urllib.request.OpenerDirector, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.issuer}{path}")
        request.add_header("Origin", self.url)  # or it takes the request for a forged one
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with opener.open(request, timeout=30) as response:
            answer = json.load(response)
        assert isinstance(answer, dict)
        return answer

    def revoke_all(self) -> None:
        """Make every access token worthless at once; refresh tokens stay."""
        npm.order(self.url, empty=["oauthAccessToken"])

    def revoke_refresh_tokens(self) -> None:
        """Make every refresh token worthless at once; access tokens stay."""
        npm.order(self.url, empty=["oauthRefreshToken"])

    def set_lifetime(
        self,
        seconds: int,
        of: Literal["access_token", "device_code", "refresh_token"] = "access_token",
    ) -> None:
        """Let what is issued from now on live that many seconds."""
        self._settings["lifetimes"] = {**self._settings["lifetimes"], of: seconds}
        npm.order(self.url, settings=self._settings)

    def set_interval(self, seconds: int) -> None:
        """Let devices that ask for codes from now on poll that often."""
        self._settings["interval"] = seconds
        npm.order(self.url, settings=self._settings)

    def log(self) -> list[str]:
        """Everything asked of the server so far, as "METHOD path?query", oldest first."""
        log = npm.order(self.url)["log"]
        assert isinstance(log, list)
        return log

    def forget_log(self) -> None:
        """Start the log anew."""
        npm.order(self.url, forget_log=True)

    def token_requests(self) -> int:
        """How many token requests the log holds."""
        return self.log().count("POST /api/auth/oauth2/token")

    def reset(self) -> None:
        """Bring the server back to where it started."""
        usual = {"lifetimes": LIFETIMES, "interval": INTERVAL}
        changed = {"settings": usual} if self._settings != usual else {}
        self._settings.update(usual)
        npm.order(self.url, reset=True, forget_log=True, **changed)

    @classmethod
    @contextlib.contextmanager
    def start(cls) -> Iterator[BetterAuthServer]:
        """Run a server for the length of a ``with`` block. Skips the test if there cannot be one."""
        settings = {"lifetimes": LIFETIMES, "interval": INTERVAL}
        with npm.running("better_auth", **settings) as said:
            url = f"http://127.0.0.1:{said['port']}"
            bare = cls(url)
            account = {"name": "Alice", "email": cls.username, "password": cls.password}
            bare._call(_opener(), "/sign-up/email", account)
            yield cls(url, bare.register()["client_id"], _settings=settings)


def _opener() -> urllib.request.OpenerDirector:
    """Somebody with a cookie jar, and no proxy between a test and its own loopback."""
    cookies = urllib.request.HTTPCookieProcessor(CookieJar())
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)


@pytest.fixture(scope="session")
def better_auth_server_process() -> Iterator[BetterAuthServer]:
    """The process of the fixture `better_auth_server`, one for all tests."""
    with BetterAuthServer.start() as started:
        yield started


@pytest.fixture
def better_auth_server(better_auth_server_process: BetterAuthServer) -> BetterAuthServer:
    """better-auth, somebody else's authorization server, as good as new."""
    better_auth_server_process.reset()
    return better_auth_server_process
