"""What the token endpoint accepts, as a strict one would (RFC 6749). Pure: no I/O."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import parse_qsl, unquote_to_bytes

from .received import FORM_TYPE, ReceivedRequest
from .refusal import OAuthErrorResponse, check_scope, unique_parameters
from .settings import Settings
from .tokens import TokenRegistry

__all__ = ("access_token", "client_credentials", "form_parameters", "token_response")

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
    if "client_secret" in form or "client_assertion" in form:
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
    settings: Settings, tokens: TokenRegistry, received: ReceivedRequest
) -> dict[str, object]:
    """Return the answer to a token request (RFC 6749 sections 4.4, 5.1 and 6).

    :raises OAuthErrorResponse: it is refused.
    """
    if received.method != "POST":
        raise OAuthErrorResponse("invalid_request", "the method is not POST", 405)
    form = form_parameters(received.content_type, received.body, received.query)
    _authenticate(settings, received, form)
    refresh_token = None
    if form.get("grant_type") == "client_credentials":
        scope = check_scope(form.get("scope"), settings.allowed_scopes)
        if settings.issue_refresh_tokens:
            refresh_token = tokens.issue_refresh_token(scope)
    elif form.get("grant_type") == "refresh_token":
        if "refresh_token" not in form:
            raise OAuthErrorResponse("invalid_request", "refresh_token is missing")
        scope = tokens.refresh_scope(form["refresh_token"])
        if "scope" in form:  # no more than was granted
            scope = check_scope(form["scope"], (scope or "").split())
        if settings.rotate_refresh_tokens:
            tokens.revoke(form["refresh_token"])
            refresh_token = tokens.issue_refresh_token(scope)
    elif "grant_type" in form:
        raise OAuthErrorResponse(
            "unsupported_grant_type", "neither client_credentials nor refresh_token"
        )
    else:
        raise OAuthErrorResponse("invalid_request", "grant_type is missing")
    response = access_token(settings, tokens, scope)
    if refresh_token is not None:
        response["refresh_token"] = refresh_token
    return {**response, **settings.token_parameters}


def _authenticate(settings: Settings, received: ReceivedRequest, form: Mapping[str, str]) -> None:
    client_id, secret = client_credentials(
        received.headers.getall("Authorization", []), form, decode=settings.decode_credentials
    )
    is_public = secret is None and settings.allow_public
    if client_id != settings.client_id or not (is_public or secret == settings.client_secret):
        raise OAuthErrorResponse("invalid_client", "unknown client, or a wrong secret", 401)


def access_token(settings: Settings, tokens: TokenRegistry, scope: str | None) -> dict[str, object]:
    """Issue an access token and return the parameters of its response."""
    token = tokens.issue(
        scope, settings.token_lifetime, settings.time(), single_valid=settings.single_valid
    )
    response: dict[str, object] = {
        "access_token": token,
        "token_type": "Bearer",
    }
    if settings.token_lifetime is not None:
        seconds = settings.token_lifetime
        response["expires_in"] = int(seconds) if seconds == int(seconds) else seconds
    if scope is not None:
        response["scope"] = scope
    return response
