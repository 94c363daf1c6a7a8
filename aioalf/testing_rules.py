"""What the authorization server of `aioalf.testing` accepts, as a strict one would. Pure: no I/O.

A rule that is broken raises `Refusal`, which is the error response of RFC 6749 section 5.2.
"""

from __future__ import annotations

import base64
import html
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_to_bytes, urlencode, urlsplit

if TYPE_CHECKING:
    from .testing import AuthorizationServer
    from .testing_http import ReceivedRequest

__all__ = (
    "FORM_TYPE",
    "Refusal",
    "TokenBook",
    "authorization_response",
    "check_scope",
    "client_credentials",
    "form_parameters",
    "token_response",
    "unique_parameters",
)

FORM_TYPE = "application/x-www-form-urlencoded"

_FORM_POST = """<!DOCTYPE html><title>Signing in</title><body onload="document.forms[0].submit()">
<form method="post" action="{action}">{inputs}<noscript><button>Go on</button></noscript></form>"""

# RFC 6749 section 3.3: visible ASCII without the quote and the backslash, one space between tokens.
_SCOPE = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")
_NOT_IN_A_QUERY = frozenset({"client_id", "client_secret", "client_assertion", "refresh_token"})


class Refusal(Exception):
    """A request that is refused.

    :param error: the error code of RFC 6749.
    :param description: why, for a developer.
    :param status: the HTTP status.
    """

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.status = status
        self.parameters = {"error": error, "error_description": description}

    @property
    def headers(self) -> dict[str, str]:
        """The headers that go with the status."""
        if self.status == 401:
            return {"WWW-Authenticate": 'Basic realm="token endpoint"'}
        return {"Allow": "POST"} if self.status == 405 else {}


def unique_parameters(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The parameters of a request; one without a value counts as left out.

    :raises Refusal: a parameter is repeated (RFC 6749 sections 3.1 and 3.2).
    """
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise Refusal("invalid_request", f"parameter {name!r} is repeated")
    return {name: value for name, value in pairs if value}


def form_parameters(content_type: str, body: bytes, query: Collection[str]) -> dict[str, str]:
    """The parameters of a token request (RFC 6749 section 3.2).

    :param content_type: the media type, without parameters, in lower case.
    :param query: the names of the parameters in the URL, where no credentials belong (2.3.1).
    :raises Refusal: not a form, not UTF-8, a parameter repeated, credentials in the URL.
    """
    if content_type != FORM_TYPE:
        raise Refusal("invalid_request", f"the content type is not {FORM_TYPE}")
    if _NOT_IN_A_QUERY.intersection(query):
        raise Refusal("invalid_request", "credentials in the URL")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise Refusal("invalid_request", "the form is not percent-encoded UTF-8") from None
    return unique_parameters(pairs)


def client_credentials(
    authorization: Sequence[str], form: Mapping[str, str], *, decode: bool
) -> tuple[str, str | None]:
    """Who the client says it is (RFC 6749 section 2.3).

    :param authorization: the values of all Authorization headers.
    :param decode: whether id and secret are form-decoded in Basic credentials (section 2.3.1).
    :returns: the client id, and the secret or None where the client gave none.
    :raises Refusal: no credentials, unreadable ones, or two methods at once.
    """
    if len(authorization) > 1:
        raise Refusal("invalid_request", "more than one Authorization header")
    if not authorization:
        if "client_id" not in form:
            raise Refusal("invalid_client", "no client authentication", 401)
        return form["client_id"], form.get("client_secret")
    if "client_secret" in form or "client_assertion" in form:
        raise Refusal("invalid_request", "more than one client authentication method")
    scheme, _, value = authorization[0].partition(" ")
    if scheme.lower() != "basic":
        raise Refusal("invalid_client", "the Authorization header is not of scheme Basic", 401)
    try:
        client_id, colon, secret = base64.b64decode(value, validate=True).partition(b":")
        if decode:
            client_id, secret = _form_decode(client_id), _form_decode(secret)
        name, password = client_id.decode("utf-8"), secret.decode("utf-8")
    except ValueError:
        raise Refusal("invalid_client", "unreadable Basic credentials", 401) from None
    if not colon:
        raise Refusal("invalid_client", "Basic credentials without a colon", 401)
    if form.get("client_id", name) != name:
        raise Refusal("invalid_request", "two different client ids")
    return name, password


def _form_decode(value: bytes) -> bytes:
    return unquote_to_bytes(value.replace(b"+", b" "))


def check_scope(scope: str | None, allowed: Collection[str] | None) -> str | None:
    """The scope that is granted: the one asked for.

    :param allowed: the scope tokens that there are; None allows all.
    :raises Refusal: a malformed scope, or one that is not allowed (RFC 6749 section 3.3).
    """
    if scope is None:
        return None
    if not _SCOPE.fullmatch(scope):
        raise Refusal("invalid_scope", "malformed scope")
    if allowed is not None and not set(scope.split(" ")) <= set(allowed):
        raise Refusal("invalid_scope", "unknown scope")
    return scope


@dataclass(frozen=True)
class _Grant:
    expires_at: float | None  # in the seconds of the server's clock; None: until it is revoked
    scope: str | None

    def is_valid(self, now: float) -> bool:
        return self.expires_at is None or now < self.expires_at


class TokenBook:
    """The tokens that are valid. Those that have expired are forgotten from time to time."""

    def __init__(self) -> None:
        self._access: dict[str, _Grant] = {}
        self._refresh: dict[str, str | None] = {}
        self._purge_at = 1000

    def issue(self, scope: str | None, lifetime: float | None, now: float) -> str:
        """A new access token, valid for so many seconds from now, or until it is revoked."""
        if len(self._access) >= self._purge_at:
            self._access = {t: g for t, g in self._access.items() if g.is_valid(now)}
            self._purge_at = 2 * len(self._access) + 1000
        token = secrets.token_urlsafe(24)
        self._access[token] = _Grant(None if lifetime is None else now + lifetime, scope)
        return token

    def issue_refresh_token(self, scope: str | None) -> str:
        """A new refresh token; it does not expire."""
        token = secrets.token_urlsafe(24)
        self._refresh[token] = scope
        return token

    def accepts(self, token: str, now: float) -> bool:
        """Whether an access token is known and has not expired."""
        grant = self._access.get(token)
        return grant is not None and grant.is_valid(now)

    def refresh_scope(self, token: str) -> str | None:
        """The scope that a refresh token stands for (RFC 6749 section 6).

        :raises Refusal: the refresh token is not known.
        """
        if token not in self._refresh:
            raise Refusal("invalid_grant", "unknown refresh token")
        return self._refresh[token]

    def revoke(self, token: str) -> None:
        """Forget an access token or a refresh token, if it is known."""
        self._access.pop(token, None)
        self._refresh.pop(token, None)

    def revoke_all(self, *, refresh_tokens: bool) -> None:
        """Forget every access token, and every refresh token where asked."""
        self._access.clear()
        if refresh_tokens:
            self._refresh.clear()


def token_response(server: AuthorizationServer, received: ReceivedRequest) -> dict[str, object]:
    """The answer to a token request (RFC 6749 sections 4.4, 5.1 and 6).

    :raises Refusal: it is refused.
    """
    if received.method != "POST":
        raise Refusal("invalid_request", "the method is not POST", 405)
    form = form_parameters(received.content_type, received.body, received.query)
    _authenticate(server, received, form)
    tokens, refresh_token = server._tokens, None
    if form.get("grant_type") == "client_credentials":
        scope = check_scope(form.get("scope"), server.allowed_scopes)
        if server.issue_refresh_tokens:
            refresh_token = tokens.issue_refresh_token(scope)
    elif form.get("grant_type") == "refresh_token":
        if "refresh_token" not in form:
            raise Refusal("invalid_request", "refresh_token is missing")
        scope = tokens.refresh_scope(form["refresh_token"])
        if "scope" in form:  # no more than was granted
            scope = check_scope(form["scope"], (scope or "").split())
        if server.rotate_refresh_tokens:
            tokens.revoke(form["refresh_token"])
            refresh_token = tokens.issue_refresh_token(scope)
    elif "grant_type" in form:
        raise Refusal("unsupported_grant_type", "neither client_credentials nor refresh_token")
    else:
        raise Refusal("invalid_request", "grant_type is missing")
    response = _access_token(server, scope)
    if refresh_token is not None:
        response["refresh_token"] = refresh_token
    return {**response, **server.token_parameters}


def _authenticate(
    server: AuthorizationServer, received: ReceivedRequest, form: Mapping[str, str]
) -> None:
    client_id, secret = client_credentials(
        received.headers.getall("Authorization", []), form, decode=server.decode_credentials
    )
    is_public = secret is None and server.allow_public
    if client_id != server.client_id or not (is_public or secret == server.client_secret):
        raise Refusal("invalid_client", "unknown client, or a wrong secret", 401)


def _access_token(server: AuthorizationServer, scope: str | None) -> dict[str, object]:
    response: dict[str, object] = {
        "access_token": server.issue(scope=scope),
        "token_type": "Bearer",
    }
    if server.token_lifetime is not None:
        seconds = server.token_lifetime
        response["expires_in"] = int(seconds) if seconds == int(seconds) else seconds
    if scope is not None:
        response["scope"] = scope
    return response


def authorization_response(
    server: AuthorizationServer, received: ReceivedRequest
) -> tuple[str, str]:
    """The answer to an authorization request (RFC 6749 section 4.2), signed in without a question.

    :returns: where to redirect to, and for ``response_mode=form_post`` the page to show instead.
    :raises Refusal: there is nowhere to redirect to.
    """
    request = unique_parameters([*received.query.items(), *received.form.items()])
    target = request.get("redirect_uri", "")
    parts = urlsplit(target)
    if not (parts.scheme and target.isascii() and target.isprintable()) or "#" in target:
        raise Refusal("invalid_request", "redirect_uri is not an absolute URL without fragment")
    if request.get("client_id") != server.client_id:
        raise Refusal("invalid_request", "unknown client_id")
    try:
        result = _implicit_grant(server, request)
    except Refusal as refusal:
        result = dict(refusal.parameters)
    if "state" in request:
        result["state"] = request["state"]
    if request.get("response_mode") == "form_post":
        inputs = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(str(value))}">'
            for name, value in result.items()
        )
        return target, _FORM_POST.format(action=html.escape(target), inputs=inputs)
    return f"{target}#{urlencode(result)}", ""


def _implicit_grant(server: AuthorizationServer, request: Mapping[str, str]) -> dict[str, object]:
    if request.get("response_type") != "token":
        raise Refusal("unsupported_response_type", "the response_type is not token")
    if request.get("response_mode", "fragment") not in ("fragment", "form_post"):
        raise Refusal("invalid_request", "unknown response_mode")
    scope = check_scope(request.get("scope"), server.allowed_scopes)
    if server.deny:
        raise Refusal("access_denied", "the request was denied")
    return {**_access_token(server, scope), **server.token_parameters}
