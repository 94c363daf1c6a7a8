"""django-oauth-toolkit as a real third-party authorization server, for tests.

In a test, take the fixture, which ``conftest.py`` makes known (one process per test session)::

    from django_server import DjangoServer

    async def test_something(django_server: DjangoServer) -> None: ...

It starts in about a second, on a free port of 127.0.0.1, in a process of its own. The fixture
brings a server back to where it started before each test: no live token, tokens of an hour, the
usual redirect URIs, the usual secret, an empty log. A server of one's own, in a ``with`` block::

    with DjangoServer.start() as server: ...

Addresses: ``url``, ``token_endpoint``, ``authorization_endpoint`` (also served where aio-alf looks
for it by itself, ``{token_endpoint}/authorize``), ``resource`` (needs a token of scope ``read``;
answers ``method``, ``body``, ``client_id``, ``user``, ``scope`` as JSON). Scopes: ``read write``.

Applications: ``client_id`` and ``client_secret`` are a confidential one for client_credentials, the
secret full of characters that a sloppy encoder ruins; ``implicit_client_id`` is a public one for
``response_type=token`` with the redirect URIs ``http://localhost:30000`` to ``:30009``. For codes, PKCE
required, there are ``native_client_id``, a public one, and ``web_client_id``, a confidential one with
the same secret. Their redirect URIs are ``http://127.0.0.1`` and ``http://[::1]`` with any port (as RFC
8252 says; not so ``http://localhost``, which is there with the ports 32000 to 32009 alone), each with
the paths none, ``/`` and ``/callback``. ``device_client_id`` is a public one for devices.

Sign-ins: ``issuer`` has its metadata at the path of RFC 8414 alone, without the device endpoint; there
are ``device_authorization_endpoint`` and ``revocation_endpoint``. A code comes with ``iss``; a refusal
does not, though the metadata promises it. A refresh token comes with each code and device, whatever
the scope. It is rotated at each refresh; an old one ends the family, unless
``set_grace_period(seconds)`` is not over. A device is told an interval of 5 s, and no poll is too
early.

The person: ``username`` and ``password``. The sign-in page has the fields ``#id_username`` and
``#id_password`` and one button, "Sign in"; the page after it the buttons "Approve" and "Deny". The page
for devices has the field ``#id_user_code``. See ``Person.approves`` in ``browser.py``.

Behind the library's back (all of them blocking, a few milliseconds): ``revoke_all()``, ``expire_all()``
(access tokens only), ``revoke_refresh_tokens()``, ``set_lifetime(seconds)``, ``set_grace_period(seconds)``,
``allow_redirects(uris)``, ``rotate_secret(new)``, ``log()`` (what the server was asked: "METHOD
path?query"), ``token_requests()``, ``live_tokens()``, ``forget_log()``.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ("DjangoServer", "django_server", "django_server_process")

CLIENT_ID = "glBQ3nYU/8/kaVi/bIgXGA=="
CLIENT_SECRET = "s+e/c=r%e:t %2B +é"
REDIRECT_URIS = tuple(f"http://localhost:{port}" for port in range(30000, 30010))
CODE_REDIRECT_URIS = tuple(
    f"http://{origin}{path}"
    for origin in ("127.0.0.1", "[::1]", *(f"localhost:{port}" for port in range(32000, 32010)))
    for path in ("", "/", "/callback")
)


@dataclass(frozen=True)
class DjangoServer:
    """A running server; see the top of this file."""

    url: str
    client_id: str = CLIENT_ID
    client_secret: str = CLIENT_SECRET
    implicit_client_id: str = "implicit-client"
    native_client_id: str = "native-client"
    web_client_id: str = "web-client"
    device_client_id: str = "device-client"
    username: str = "alice"
    password: str = "correct horse"

    @property
    def issuer(self) -> str:
        """Its name, where its metadata is."""
        return self.url

    @property
    def token_endpoint(self) -> str:
        """Where tokens are asked for."""
        return f"{self.url}/oauth/token"

    @property
    def authorization_endpoint(self) -> str:
        """Where a browser is sent."""
        return f"{self.url}/oauth/authorize"

    @property
    def device_authorization_endpoint(self) -> str:
        """Where a device asks for its codes."""
        return f"{self.url}/oauth/device-authorization"

    @property
    def revocation_endpoint(self) -> str:
        """Where a token is given back."""
        return f"{self.url}/oauth/revoke"

    @property
    def resource(self) -> str:
        """What the tokens are good for."""
        return f"{self.url}/resource"

    def revoke_all(self) -> None:
        """Make every token worthless at once; this server lets no refresh token outlive its own."""
        self._order(revoke_all=True)

    def expire_all(self) -> None:
        """Let every access token end now; refresh tokens stay."""
        self._order(expire_all=True)

    def revoke_refresh_tokens(self) -> None:
        """Make every refresh token worthless at once; access tokens stay."""
        self._order(revoke_refresh_tokens=True)

    def set_lifetime(self, seconds: int) -> None:
        """Let tokens issued from now on live that many seconds."""
        self._order(settings={"ACCESS_TOKEN_EXPIRE_SECONDS": seconds})

    def set_grace_period(self, seconds: int) -> None:
        """Let a refresh token that was used be good for that many seconds more."""
        self._order(settings={"REFRESH_TOKEN_GRACE_PERIOD_SECONDS": seconds})

    def allow_redirects(self, uris: Iterable[str]) -> None:
        """Register these redirect URIs for the implicit application, in place of what it had."""
        self._order(redirect_uris=list(uris))

    def rotate_secret(self, secret: str) -> None:
        """Give the confidential application another secret."""
        self._order(client_secret=secret)

    def log(self) -> list[str]:
        """Everything asked of the server so far, as "METHOD path?query", oldest first."""
        log = self._order()["log"]
        assert isinstance(log, list)
        return log

    def forget_log(self) -> None:
        """Start the log anew."""
        self._order(forget_log=True)

    def token_requests(self) -> int:
        """How many token requests the log holds."""
        return sum(entry.partition("?")[0] == "POST /oauth/token" for entry in self.log())

    def live_tokens(self) -> int:
        """How many tokens the server has, expired ones included."""
        count = self._order()["live_tokens"]
        assert isinstance(count, int)
        return count

    def reset(self) -> None:
        """Bring the server back to where it started."""
        self._order(
            revoke_all=True,
            forget_sign_ins=True,
            settings={"ACCESS_TOKEN_EXPIRE_SECONDS": 3600, "REFRESH_TOKEN_GRACE_PERIOD_SECONDS": 0},
            redirect_uris=REDIRECT_URIS,
            client_secret=self.client_secret,
            forget_log=True,
        )

    def _order(self, **orders: object) -> dict[str, object]:
        # No proxy of the environment stands between a test and its own loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        body = json.dumps(orders).encode()
        with opener.open(f"{self.url}/test", body, timeout=30) as response:
            answer = json.load(response)
        assert isinstance(answer, dict)
        return answer

    @classmethod
    @contextlib.contextmanager
    def start(cls, redirect_uris: Iterable[str] = REDIRECT_URIS) -> Iterator[DjangoServer]:
        """Run a server for the length of a ``with`` block."""
        with tempfile.TemporaryDirectory() as directory:
            options = {
                "directory": directory,
                "client_id": cls.client_id,
                "client_secret": cls.client_secret,
                "implicit_client_id": cls.implicit_client_id,
                "native_client_id": cls.native_client_id,
                "web_client_id": cls.web_client_id,
                "device_client_id": cls.device_client_id,
                "code_redirect_uris": CODE_REDIRECT_URIS,
                "username": cls.username,
                "password": cls.password,
                "redirect_uris": list(redirect_uris),
            }
            program = [sys.executable, "-I", str(Path(__file__).with_name("django_app.py"))]
            errors = Path(directory) / "errors.txt"
            with (
                errors.open("w") as stderr,
                subprocess.Popen(
                    program,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                    encoding="utf-8",
                ) as process,
            ):
                assert process.stdin is not None
                assert process.stdout is not None
                try:
                    print(json.dumps(options), file=process.stdin, flush=True)
                    ready = process.stdout.readline()  # empty when the program has failed
                    assert ready, f"the server did not start:\n{errors.read_text()}"
                    yield cls(f"http://127.0.0.1:{json.loads(ready)['port']}")
                finally:
                    with contextlib.suppress(BrokenPipeError):
                        process.stdin.close()
                    try:
                        process.wait(timeout=10)
                    except subprocess.TimeoutExpired:
                        process.kill()


@pytest.fixture(scope="session")
def django_server_process() -> Iterator[DjangoServer]:
    """The process of the fixture `django_server`, one for all tests."""
    with DjangoServer.start() as started:
        yield started


@pytest.fixture
def django_server(django_server_process: DjangoServer) -> DjangoServer:
    """django-oauth-toolkit, somebody else's authorization server, as good as new."""
    django_server_process.reset()
    return django_server_process
