"""What the token endpoint accepts, as a strict one would (RFC 6749). Pure: no I/O."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote_to_bytes

from .addresses import Addresses
from .grants import Grants
from .received import FORM_TYPE, ReceivedRequest
from .refusal import OAuthErrorResponse, check_scope, unique_parameters
from .tokens import TokenRegistry

__all__ = (
    "GRANT_TYPES",
    "access_token",
    "authenticated_form",
    "client_credentials",
    "form_parameters",
    "needed",
    "seconds",
    "token_response",
)

Form: TypeAlias = Mapping[str, str]

_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_JWT_BEARER_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_NOT_IN_A_QUERY = frozenset({"client_id", "client_secret", "client_assertion", "refresh_token"})


def form_parameters(content_type: str, body: bytes, query: Collection[str]) -> dict[str, str]:
    """Return the parameters of a token request (RFC 6749 section 3.2).

    :param content_type: the media type, without parameters, in lower case.
    :param query: the names of the parameters in the URL, where no credentials belong (2.3.1).
    :raises OAuthErrorResponse: not a form, not UTF-8, a parameter repeated, credentials in the URL.
    """
    if content_type != FORM_TYPE:
        raise OAuthErrorResponse("invalid_request", f"the content type is not {FORM_TYPE}")
    if _NOT_IN_A_QUERY.intersection(query):
        raise OAuthErrorResponse("invalid_request", "credentials in the URL")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise OAuthErrorResponse(
            "invalid_request", "the form is not percent-encoded UTF-8"
        ) from None
    return unique_parameters(pairs)


def client_credentials(
    authorization: Sequence[str], form: Mapping[str, str], *, decode: bool
) -> tuple[str, str | None]:
    """Return the client id and secret of a token request (RFC 6749 section 2.3).

    :param authorization: the values of all Authorization headers.
    :param decode: whether id and secret are form-decoded in Basic credentials (section 2.3.1).
    :return: the client id, and the secret or None where the client gave none.
    :raises OAuthErrorResponse: no credentials, unreadable ones, or two methods at once.
    """
    if len(authorization) > 1:
        raise OAuthErrorResponse("invalid_request", "more than one Authorization header")
    if not authorization:
        if "client_id" not in form:
            raise OAuthErrorResponse("invalid_client", "no client authentication", 401)
        return form["client_id"], form.get("client_secret")
    if "client_secret" in form:
        raise OAuthErrorResponse("invalid_request", "more than one client authentication method")
    scheme, _, value = authorization[0].partition(" ")
    if scheme.lower() != "basic":
        raise OAuthErrorResponse(
            "invalid_client", "the Authorization header is not of scheme Basic", 401
        )
    try:
        client_id, colon, secret = base64.b64decode(value, validate=True).partition(b":")
        if decode:
            client_id, secret = _form_decode(client_id), _form_decode(secret)
        name, password = client_id.decode("utf-8"), secret.decode("utf-8")
    except ValueError:
        raise OAuthErrorResponse("invalid_client", "unreadable Basic credentials", 401) from None
    if not colon:
        raise OAuthErrorResponse("invalid_client", "Basic credentials without a colon", 401)
    if form.get("client_id", name) != name:
        raise OAuthErrorResponse("invalid_request", "two different client ids")
    return name, password


def _form_decode(value: bytes) -> bytes:
    return unquote_to_bytes(value.replace(b"+", b" "))


def token_response(
    settings: Addresses, grants: Grants, received: ReceivedRequest
) -> dict[str, object]:
    """Return the answer to a token request (RFC 6749 sections 4.1.3, 4.4, 5.1 and 6, and what adds to it).

    :raises OAuthErrorResponse: it is refused.
    """
    form = authenticated_form(settings, grants, received)
    if "grant_type" not in form:
        raise OAuthErrorResponse("invalid_request", "grant_type is missing")
    if (grant := _GRANTS.get(form["grant_type"])) is None:
        raise OAuthErrorResponse("unsupported_grant_type", "this grant_type is not known")
    return {**grant(settings, grants, form), **settings.token_parameters}


def authenticated_form(
    settings: Addresses, grants: Grants, received: ReceivedRequest
) -> dict[str, str]:
    """Return the form of a request whose client has authenticated itself.

    :raises OAuthErrorResponse: it is not a form, or its client is not the one that there is.
    """
    if received.method != "POST":
        raise OAuthErrorResponse("invalid_request", "the method is not POST", 405)
    form = form_parameters(received.content_type, received.body, received.query)
    if "client_assertion" in form:
        if "client_secret" in form or "Authorization" in received.headers:
            raise OAuthErrorResponse(
                "invalid_request", "more than one client authentication method"
            )
        if form.get("client_id", settings.client_id) != settings.client_id:
            raise OAuthErrorResponse("invalid_client", "unknown client", 401)
        if form.get("client_assertion_type") != _JWT_BEARER_ASSERTION:
            raise OAuthErrorResponse("invalid_request", "unknown client_assertion_type")
        if form["client_assertion"] not in settings.assertions:
            grants.assertions.check_client(settings, form)
        return form
    exchange = form.get("grant_type") in (_EXCHANGE, _JWT_BEARER)
    if exchange and "client_id" not in form and "Authorization" not in received.headers:
        return form  # the client is optional there (RFC 7521 section 4.1, RFC 8693 section 2.1)
    client_id, secret = client_credentials(
        received.headers.getall("Authorization", []), form, decode=settings.decode_credentials
    )
    by_certificate = settings.allow_certificate and received.has_certificate
    is_known = secret == settings.client_secret
    if secret is None:
        is_known = settings.allow_public or by_certificate
    if client_id != settings.client_id or not is_known:
        raise OAuthErrorResponse("invalid_client", "unknown client, or a wrong secret", 401)
    return form


def _client_credentials(settings: Addresses, grants: Grants, form: Form) -> dict[str, object]:
    scope = check_scope(form.get("scope"), settings.allowed_scopes)
    return _tokens(settings, grants, scope, object(), refresh=settings.issue_refresh_tokens)


def _refresh_token(settings: Addresses, grants: Grants, form: Form) -> dict[str, object]:
    refresh_token = needed(form, "refresh_token")
    granted = scope = grants.tokens.refresh_scope(refresh_token)
    if "scope" in form:  # no more than was granted
        scope = check_scope(form["scope"], (granted or "").split())
    family = grants.tokens.refresh(
        refresh_token,
        settings.time(),
        rotate=settings.rotate_refresh_tokens,
        grace=settings.refresh_grace,
        detect_reuse=settings.detect_reuse,
    )
    response = access_token(settings, grants.tokens, scope, family)
    if settings.rotate_refresh_tokens:  # the next has the scope of this one, whatever was asked for
        response["refresh_token"] = grants.tokens.issue_refresh_token(granted, family)
    return response


def _authorization_code(settings: Addresses, grants: Grants, form: Form) -> dict[str, object]:
    needed(form, "code")
    code = grants.exchange_code(form, settings.time())
    refresh = settings.issue_refresh_tokens or _is_offline(code.scope)
    return _tokens(settings, grants, code.scope, code.family, refresh=refresh)


def _device_code(settings: Addresses, grants: Grants, form: Form) -> dict[str, object]:
    needed(form, "client_id")  # RFC 8628 section 3.4
    device = grants.poll(needed(form, "device_code"), settings.time())
    refresh = settings.issue_refresh_tokens or _is_offline(device.scope)
    return _tokens(settings, grants, device.scope, object(), refresh=refresh)


def _jwt_bearer(settings: Addresses, grants: Grants, form: Form) -> dict[str, object]:
    if needed(form, "assertion") not in settings.assertions:
        grants.assertions.check_grant(settings, form["assertion"])
    scope = check_scope(form.get("scope"), settings.allowed_scopes)
    return access_token(settings, grants.tokens, scope)


def _token_exchange(settings: Addresses, grants: Grants, form: Form) -> dict[str, object]:
    for name in ("subject", "actor"):
        if f"{name}_token" in form or name == "subject":
            _check_exchanged(settings, grants, needed(form, f"{name}_token"))
            needed(form, f"{name}_token_type")
        elif f"{name}_token_type" in form:
            raise OAuthErrorResponse("invalid_request", f"{name}_token is missing")
    scope = check_scope(form.get("scope"), settings.allowed_scopes)
    response = access_token(settings, grants.tokens, scope)
    requested = form.get("requested_token_type", _ACCESS_TOKEN)
    if requested != _ACCESS_TOKEN:
        response["token_type"] = "N_A"  # RFC 8693 section 2.2.1
    return {**response, "issued_token_type": requested}


def _check_exchanged(settings: Addresses, grants: Grants, token: str) -> None:
    if token not in settings.subject_tokens and not grants.tokens.accepts(token, settings.time()):
        raise OAuthErrorResponse(
            "invalid_request", "a token that is not valid (RFC 8693 section 2.2.2)"
        )


_GRANTS: dict[str, Callable[[Addresses, Grants, Form], dict[str, object]]] = {
    "client_credentials": _client_credentials,
    "refresh_token": _refresh_token,
    "authorization_code": _authorization_code,
    "urn:ietf:params:oauth:grant-type:device_code": _device_code,
    _JWT_BEARER: _jwt_bearer,
    _EXCHANGE: _token_exchange,
}


#: What ``grant_type`` may be.
GRANT_TYPES = tuple(_GRANTS)


def needed(form: Form, name: str) -> str:
    """Return a parameter that a request cannot be without.

    :raises OAuthErrorResponse: it is missing.
    """
    if name not in form:
        raise OAuthErrorResponse("invalid_request", f"{name} is missing")
    return form[name]


def _is_offline(scope: str | None) -> bool:
    return "offline_access" in (scope or "").split()


def _tokens(
    settings: Addresses, grants: Grants, scope: str | None, family: object, *, refresh: bool
) -> dict[str, object]:
    response = access_token(settings, grants.tokens, scope, family)
    if refresh:
        response["refresh_token"] = grants.tokens.issue_refresh_token(scope, family)
    return response


def access_token(
    settings: Addresses, tokens: TokenRegistry, scope: str | None, family: object | None = None
) -> dict[str, object]:
    """Issue an access token and return the parameters of its response."""
    token = tokens.issue(
        scope,
        settings.token_lifetime,
        settings.time(),
        single_valid=settings.single_valid,
        family=family,
    )
    response: dict[str, object] = {
        "access_token": token,
        "token_type": "Bearer",
    }
    if settings.token_lifetime is not None:
        response["expires_in"] = seconds(settings.token_lifetime)
    if scope is not None:
        response["scope"] = scope
    return response


def seconds(number: float) -> float:
    """Return a number of seconds as servers write it: without a fraction, if it has none."""
    return int(number) if number == int(number) else number
