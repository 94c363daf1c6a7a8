"""What the authorization endpoint accepts, as a strict one would (RFC 6749). Pure: no I/O."""

from __future__ import annotations

import html
import secrets
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from .grants import Code, Grants
from .received import ReceivedRequest
from .refusal import OAuthErrorResponse, check_scope, unique_parameters
from .settings import Settings
from .token_endpoint import access_token

__all__ = ("authorization_response", "check_request")

_FORM_POST = """<!DOCTYPE html><title>Signing in</title><body onload="document.forms[0].submit()">
<form method="post" action="{action}">{inputs}<noscript><button>Go on</button></noscript></form>"""
_MODES = ("query", "fragment", "form_post")


def check_request(settings: Settings, request: Mapping[str, str]) -> None:
    """Check what an answer cannot be redirected without (RFC 6749 section 4.1.2.1).

    :raises OAuthErrorResponse: the redirect URI or the client is not right.
    """
    target = request.get("redirect_uri", "")
    parts = urlsplit(target)
    if not (parts.scheme and target.isascii() and target.isprintable()) or "#" in target:
        raise OAuthErrorResponse(
            "invalid_request", "redirect_uri is not an absolute URL without fragment"
        )
    if settings.redirect_uris is not None and target not in settings.redirect_uris:
        raise OAuthErrorResponse("invalid_request", "redirect_uri is not registered")
    if request.get("client_id") != settings.client_id:
        raise OAuthErrorResponse("invalid_request", "unknown client_id")


def authorization_response(
    settings: Settings, grants: Grants, received: ReceivedRequest, issuer: str
) -> tuple[str, str]:
    """Return the answer to an authorization request (RFC 6749 sections 4.1 and 4.2).

    It is given as if somebody had just signed in.

    :param issuer: the issuer identifier (RFC 9207).
    :return: where to redirect to, and for ``response_mode=form_post`` the page to show instead.
    :raises OAuthErrorResponse: the redirect URI or the client is not right, so there is no redirect.
    """
    pairs = unique_parameters([*received.query.items(), *received.form.items()])
    request: Mapping[str, str] = pairs
    if "request_uri" in pairs:
        request = grants.take_pushed(pairs["request_uri"], settings.time())
        if pairs.get("client_id") != request.get("client_id"):
            raise OAuthErrorResponse("invalid_request", "another client_id than was pushed")
    elif settings.require_par:
        raise OAuthErrorResponse("invalid_request", "the request was not pushed")
    check_request(settings, request)
    by_code = request.get("response_type") == "code"
    try:
        result = (_code if by_code else _implicit_grant)(settings, grants, request)
    except OAuthErrorResponse as refusal:
        result = dict(refusal.parameters)
    if "state" in request:
        result["state"] = request["state"]
    if by_code:
        result["iss"] = issuer
    result.update(settings.authorization_parameters)
    result = {name: value for name, value in result.items() if value is not None}
    target = request["redirect_uri"]
    mode = request.get("response_mode")
    if mode not in (_MODES if by_code else _MODES[1:]):
        mode = "query" if by_code else "fragment"
    if mode == "form_post":
        inputs = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(str(value))}">'
            for name, value in result.items()
        )
        return target, _FORM_POST.format(action=html.escape(target), inputs=inputs)
    if mode == "query":
        return f"{target}{'&' if '?' in target else '?'}{urlencode(result)}", ""
    return f"{target}#{urlencode(result)}", ""


def _code(settings: Settings, grants: Grants, request: Mapping[str, str]) -> dict[str, object]:
    if request.get("response_mode", "query") not in _MODES:
        raise OAuthErrorResponse("invalid_request", "unknown response_mode")
    challenge = request.get("code_challenge")
    if challenge is None and settings.require_pkce:
        raise OAuthErrorResponse("invalid_request", "code_challenge is missing")
    if challenge is not None and request.get("code_challenge_method") != "S256":
        raise OAuthErrorResponse("invalid_request", "the code_challenge_method is not S256")
    scope = check_scope(request.get("scope"), settings.allowed_scopes)
    if settings.deny:
        raise OAuthErrorResponse("access_denied", "the request was denied")
    code = secrets.token_urlsafe(24)
    expires_at = settings.time() + settings.code_lifetime
    grants.codes[code] = Code(request["redirect_uri"], challenge, scope, expires_at)
    return {"code": code}


def _implicit_grant(
    settings: Settings, grants: Grants, request: Mapping[str, str]
) -> dict[str, object]:
    if request.get("response_type") != "token":
        raise OAuthErrorResponse("unsupported_response_type", "the response_type is not known")
    if request.get("response_mode", "fragment") not in ("fragment", "form_post"):
        raise OAuthErrorResponse("invalid_request", "unknown response_mode")
    scope = check_scope(request.get("scope"), settings.allowed_scopes)
    if settings.deny:
        raise OAuthErrorResponse("access_denied", "the request was denied")
    return {**access_token(settings, grants.tokens, scope), **settings.token_parameters}
