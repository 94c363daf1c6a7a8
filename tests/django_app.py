"""django-oauth-toolkit on sqlite, served on loopback: a program, run by `django_server.py`.

One line of JSON on stdin says what to serve, one line of JSON on stdout says where it is served;
the end of stdin ends the program, so that it never outlives the tests.

django-oauth-toolkit is somebody else's authorization server, with somebody else's reading of the
RFCs: what the library says must be right, not merely what this project's own test server expects.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.conf import settings

OPTIONS: dict[str, Any] = json.loads(sys.stdin.readline())

STYLE = """
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
  body { display: grid; place-items: center; min-height: 90vh; margin: 0 1rem }
  main { width: 22rem; padding: 2rem; border: 1px solid #8884; border-radius: 12px }
  h1 { font-size: 1.25rem; margin-top: 0 } label, input { display: block }
  * { box-sizing: border-box } main { max-width: 100% }
  input { width: 100%; margin: .25rem 0 1rem; padding: .5rem; font: inherit }
  button { padding: .5rem 1.25rem; font: inherit; border-radius: 8px; border: 1px solid #8888 }
  button.yes { background: #2456c6; color: white; border-color: #2456c6 }
"""
PAGE = (
    "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport"
    f" content='width=device-width'><style>{STYLE}</style>"
    "<title>{% block title %}{% endblock %}</title>"
    "<main{% block kind %}{% endblock %}>{% block main %}{% endblock %}</main></html>"
)
LOGIN = """{% extends "page.html" %}{% block title %}Sign in{% endblock %}{% block main %}
<h1>Sign in to Example</h1>{% if form.errors %}<p role=alert>Wrong name or password.</p>{% endif %}
<form method=post>{% csrf_token %}
<label for=id_username>Name</label>
<input id=id_username name=username autocomplete=username autofocus>
<label for=id_password>Password</label>
<input id=id_password name=password type=password autocomplete=current-password>
<button class=yes>Sign in</button></form>{% endblock %}"""
AUTHORIZE = """{% extends "page.html" %}{% block title %}Authorize{% endblock %}{% block main %}
{% if error %}<h1>This request cannot be granted</h1>
<p>{{ error.error }}: {{ error.description }}</p>
{% else %}<h1>Let {{ application.name }} act for you?</h1>
<p>It asks for:</p><ul>{% for scope in scopes_descriptions %}<li>{{ scope }}</li>{% endfor %}</ul>
<form method=post>{% csrf_token %}
{% for field in form %}{% if field.is_hidden %}{{ field }}{% endif %}{% endfor %}
<button class=yes name=allow value=Authorize>Approve</button>
<button name=deny value=Deny>Deny</button></form>{% endif %}{% endblock %}"""
CODE = """{% extends "page.html" %}{% block title %}Device{% endblock %}{% block main %}
<h1>Which code is on your device?</h1>{% if form.errors %}<p role=alert>That is not one.</p>{% endif %}
<form method=post>{% csrf_token %}
<label for=id_user_code>Code</label>
<input id=id_user_code name=user_code value="{{ form.user_code.value }}" autofocus>
<button class=yes>Continue</button></form>{% endblock %}"""
CONFIRM = """{% extends "page.html" %}{% block title %}Device{% endblock %}{% block main %}
<h1>Let {{ application.name }} act for you?</h1>
<p>It asks for:</p><ul>{% for scope in scopes_descriptions %}<li>{{ scope }}</li>{% endfor %}</ul>
<form method=post>{% csrf_token %}
<button class=yes name=action value=accept>Approve</button>
<button name=action value=deny>Deny</button></form>{% endblock %}"""
STATUS = """{% extends "page.html" %}{% block title %}Device{% endblock %}{% block kind %} data-kind=done
{% endblock %}{% block main %}<h1>{{ object.get_status_display }}</h1>{% endblock %}"""

APPS = ["contenttypes", "auth", "sessions"]
settings.configure(
    SECRET_KEY="known to everybody: this server is a test",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=[*(f"django.contrib.{app}" for app in APPS), "oauth2_provider"],
    # Tables are made straight from the models: the migrations would take most of the start.
    MIGRATION_MODULES=dict.fromkeys([*APPS, "oauth2_provider"]),
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(Path(OPTIONS["directory"]) / "server.sqlite3"),
            # Writers queue up, where sqlite's default is to fail the second of them.
            "OPTIONS": {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
            },
        }
    },
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "context_processors": ["django.template.context_processors.request"],
                "loaders": [
                    (
                        "django.template.loaders.locmem.Loader",
                        {
                            "page.html": PAGE,
                            "registration/login.html": LOGIN,
                            "oauth2_provider/authorize.html": AUTHORIZE,
                            "oauth2_provider/device/user_code.html": CODE,
                            "oauth2_provider/device/accept_deny.html": CONFIRM,
                            "oauth2_provider/device/device_grant_status.html": STATUS,
                        },
                    )
                ],
            },
        }
    ],
    OAUTH2_PROVIDER={
        "SCOPES": {"read": "Read your things", "write": "Change your things"},
        "DEFAULT_SCOPES": ["read"],
        "ACCESS_TOKEN_EXPIRE_SECONDS": 3600,
        "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,  # `iss`, RFC 9207
        "REFRESH_TOKEN_REUSE_PROTECTION": True,  # an old one ends the family
        "ALWAYS_RELOAD_OAUTHLIB_CORE": True,  # or it remembers the lifetime it first saw
    },
)

import django  # noqa: E402

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.contrib.auth.views import LoginView  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import include, path  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from oauth2_provider import views  # noqa: E402
from oauth2_provider.models import (  # noqa: E402
    AccessToken,
    Application,
    DeviceGrant,
    Grant,
    RefreshToken,
)
from oauth2_provider.oauth2_backends import get_oauthlib_core  # noqa: E402
from oauth2_provider.settings import oauth2_settings  # noqa: E402
from oauth2_provider.urls import metadata_urlpatterns  # noqa: E402

log: list[str] = []  # "METHOD path?query" of everything but the tests' own requests of /test


def resource(request: HttpRequest) -> JsonResponse:
    """The protected resource: says whose token it was given and for what."""
    valid, verified = get_oauthlib_core().verify_request(request, scopes=["read"])
    if not valid:
        # RFC 6750 3: the challenge names the scheme, and the reason where a token was given.
        challenge = 'Bearer error="invalid_token"'
        return JsonResponse({}, status=401, headers={"WWW-Authenticate": challenge})
    token = verified.access_token
    return JsonResponse(
        {
            "method": request.method,
            "body": request.body.decode(),
            "client_id": token.application.client_id,
            "user": token.user.username if token.user else None,
            "scope": token.scope,
        }
    )


def control(request: HttpRequest) -> JsonResponse:
    """What a test does to the server behind the library's back: any of these, in one request."""
    orders = json.loads(request.body)
    if "revoke_all" in orders:
        AccessToken.objects.all().delete()
    if "expire_all" in orders:
        AccessToken.objects.update(expires=timezone.now())
    if "revoke_refresh_tokens" in orders:
        RefreshToken.objects.all().delete()
    if "forget_sign_ins" in orders:
        for model in (RefreshToken, DeviceGrant, Grant):
            model.objects.all().delete()
    for name, value in orders.get("settings", {}).items():
        setattr(oauth2_settings, name, value)
    if "redirect_uris" in orders:
        implicit = Application.objects.filter(client_id=OPTIONS["implicit_client_id"])
        implicit.update(redirect_uris="\n".join(orders["redirect_uris"]))
    if "client_secret" in orders:
        service = Application.objects.get(client_id=OPTIONS["client_id"])
        service.client_secret = orders["client_secret"]
        service.save()
    if "forget_log" in orders:
        log.clear()
    return JsonResponse({"log": log, "live_tokens": AccessToken.objects.count()})


authorize = views.AuthorizationView.as_view()
device_confirm = views.DeviceConfirmView.as_view()
device_status = views.DeviceGrantStatusView.as_view()
oauth = [
    *metadata_urlpatterns,
    path("oauth/token", views.TokenView.as_view(), name="token"),
    path("oauth/authorize", authorize, name="authorize"),
    path("oauth/token/authorize", authorize),  # where aio-alf looks for it unless told otherwise
    path("oauth/revoke", views.RevokeTokenView.as_view(), name="revoke-token"),
    path("oauth/device-authorization", views.DeviceAuthorizationView.as_view()),
    path("oauth/device", views.DeviceUserCodeView.as_view(), name="device"),
    path("oauth/device/<slug:client_id>/<user_code>", device_confirm, name="device-confirm"),
    path(
        "oauth/device/<slug:client_id>/<user_code>/end", device_status, name="device-grant-status"
    ),
]
urlpatterns = [
    path("accounts/login/", LoginView.as_view()),
    path("", include((oauth, "oauth2_provider"))),
    path("resource", csrf_exempt(resource)),
    path("test", csrf_exempt(control)),
]


def fill() -> None:
    """Make the tables, the user and the applications."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    User.objects.create_user(OPTIONS["username"], password=OPTIONS["password"])
    Application.objects.create(
        name="A service",
        client_id=OPTIONS["client_id"],
        client_secret=OPTIONS["client_secret"],  # stored hashed, as by default
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )
    Application.objects.create(
        name="A program of yours",
        client_id=OPTIONS["implicit_client_id"],
        client_secret="",
        client_type=Application.CLIENT_PUBLIC,
        authorization_grant_type=Application.GRANT_IMPLICIT,
        redirect_uris="\n".join(OPTIONS["redirect_uris"]),
    )
    public, confidential = Application.CLIENT_PUBLIC, Application.CLIENT_CONFIDENTIAL
    code, device = Application.GRANT_AUTHORIZATION_CODE, Application.GRANT_DEVICE_CODE
    for name, client_type, grant in (
        ("native_client_id", public, code),
        ("web_client_id", confidential, code),
        ("device_client_id", public, device),
    ):
        Application.objects.create(
            name="A program of yours",
            client_id=OPTIONS[name],
            client_secret=OPTIONS["client_secret"] if client_type == confidential else "",
            client_type=client_type,
            authorization_grant_type=grant,
            redirect_uris="\n".join(OPTIONS["code_redirect_uris"]),
        )


class Server(ThreadingMixIn, WSGIServer):
    """A thread per connection: a browser opens several and leaves some idle."""

    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        """Bind without the look-up of this host's full name, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()
        self.setup_environ()


class Handler(WSGIRequestHandler):
    """Keeps quiet on stderr, and answers without waiting for the client's delayed ACK."""

    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


Start = Callable[..., object]


def logged(application: Callable[[dict[str, Any], Start], Iterable[bytes]]) -> Any:
    """Note what arrives before it is answered."""

    def wrapped(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        target = environ["PATH_INFO"]
        if target != "/test":
            query = environ["QUERY_STRING"]
            log.append(f"{environ['REQUEST_METHOD']} {target}{'?' + query if query else ''}")
        return application(environ, start_response)

    return wrapped


def main() -> None:
    """Serve until stdin ends."""
    fill()
    server = make_server("127.0.0.1", 0, logged(get_wsgi_application()), Server, Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    oauth2_settings.OAUTH_DEVICE_VERIFICATION_URI = f"{url}/oauth/device"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_port}), flush=True)
    sys.stdin.read()
    server.server_close()


if __name__ == "__main__":
    main()
