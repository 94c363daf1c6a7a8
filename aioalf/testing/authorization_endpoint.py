"""What the authorization endpoint accepts, as a strict one would (RFC 6749). Pure: no I/O."""

from __future__ import annotations

import html
import re
import secrets
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from .addresses import Addresses
from .grants import Code, Grants
from .received import ReceivedRequest
from .refusal import OAuthErrorResponse, check_scope, unique_parameters
from .settings import Settings
from .token_endpoint import access_token

__all__ = ("authorization_response", "check_client", "check_request")

_FORM_POST = """<!DOCTYPE html><title>Signing in</title><body onload="document.forms[0].submit()">
<form method="post" action="{action}">{inputs}<noscript><button>Go on</button></noscript></form>"""
_MODES = {"code": ("query", "fragment", "form_post"), "token": ("fragment", "form_post")}
_CHALLENGE = re.compile(r"[\w-]{43}", re.ASCII)  # of S256: the base64url of 32 bytes
_LOOPBACK_PORT = re.compile(r"^(http://(?:127\.0\.0\.1|\[::1\]|localhost))(?::\d+)?(?=[/?]|$)")


def check_client(settings: Settings, request: Mapping[str, str]) -> None:
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
        known = {_LOOPBACK_PORT.sub(r"\1", each) for each in settings.redirect_uris}
        if not settings.any_loopback_port or _LOOPBACK_PORT.sub(r"\1", target) not in known:
            raise OAuthErrorResponse("invalid_request", "redirect_uri is not registered")
    if request.get("client_id") != settings.client_id:
        raise OAuthErrorResponse("invalid_request", "unknown client_id")


def check_request(settings: Settings, request: Mapping[str, str]) -> str | None:
    """Check the rest of an authorization request, and return the scope that it is for.

    :raises OAuthErrorResponse: it is refused (RFC 6749 sections 4.1.2.1 and 4.2.2.1).
    """
    response_type = request.get("response_type", "")
    if response_type not in _MODES:
        raise OAuthErrorResponse("unsupported_response_type", "the response_type is not known")
    modes = _MODES[response_type]
    if request.get("response_mode", modes[0]) not in modes:
        raise OAuthErrorResponse("invalid_request", "unknown response_mode")
    if response_type == "code":
        challenge = request.get("code_challenge")
        if challenge is None and settings.require_pkce:
            raise OAuthErrorResponse("invalid_request", "code_challenge is missing")
        if challenge is not None and request.get("code_challenge_method") != "S256":
            raise OAuthErrorResponse("invalid_request", "the code_challenge_method is not S256")
        if challenge is not None and not _CHALLENGE.fullmatch(challenge):
            raise OAuthErrorResponse("invalid_request", "the code_challenge is not one of S256")
    return check_scope(request.get("scope"), settings.allowed_scopes)


def authorization_response(
    settings: Addresses, grants: Grants, received: ReceivedRequest
) -> tuple[str, str]:
    """Return the answer to an authorization request (RFC 6749 sections 4.1 and 4.2).

    It is given as if somebody had just signed in.

    :return: where to redirect to, and for ``response_mode=form_post`` the page to show instead.
    :raises OAuthErrorResponse: the redirect URI or the client is not right, so there is no redirect.
    """
    sent = unique_parameters([*received.query.items(), *received.form.items()])
    request: Mapping[str, str] = sent
    if "request_uri" in sent:
        request = grants.take_pushed(sent["request_uri"], settings.time())
        if sent.get("client_id") != request.get("client_id"):
            raise OAuthErrorResponse("invalid_request", "another client_id than was pushed")
    elif settings.require_par:
        raise OAuthErrorResponse("invalid_request", "the request was not pushed")
    check_client(settings, request)
    by_code = request.get("response_type") == "code"
    try:
        scope = check_request(settings, request)
        if settings.deny:
            raise OAuthErrorResponse("access_denied", "the request was denied")
        if by_code:
            result: dict[str, object] = {"code": _code(settings, grants, request, scope)}
        else:
            result = {**access_token(settings, grants.tokens, scope), **settings.token_parameters}
    except OAuthErrorResponse as refusal:
        result = dict(refusal.parameters)
    if "state" in request:
        result["state"] = request["state"]
    if by_code:
        result["iss"] = settings.issuer  # RFC 9207
    result.update(settings.authorization_parameters)
    pairs = [
        (name, str(one))
        for name, value in result.items()
        for one in (value if isinstance(value, (list, tuple)) else [value])
        if one is not None
    ]
    target = request["redirect_uri"]
    modes = _MODES["code" if by_code else "token"]
    mode = request.get("response_mode")
    if mode not in modes:
        mode = modes[0]
    if mode == "form_post":
        inputs = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in pairs
        )
        return target, _FORM_POST.format(action=html.escape(target), inputs=inputs)
    if mode == "query":
        return f"{target}{'&' if '?' in target else '?'}{urlencode(pairs)}", ""
    return f"{target}#{urlencode(pairs)}", ""


def _code(settings: Settings, grants: Grants, request: Mapping[str, str], scope: str | None) -> str:
    code = secrets.token_urlsafe(24)
    expires_at = settings.time() + settings.code_lifetime
    challenge = request.get("code_challenge")
    grants.codes[code] = Code(request["redirect_uri"], challenge, scope, expires_at)
    return code
