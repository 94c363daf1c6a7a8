"""What the authorization endpoint accepts, as a strict one would (RFC 6749). Pure: no I/O."""

from __future__ import annotations

import html
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from .received import ReceivedRequest
from .refusal import OAuthErrorResponse, check_scope, unique_parameters
from .settings import Settings
from .token_endpoint import access_token
from .tokens import TokenRegistry

__all__ = ("authorization_response",)

_FORM_POST = """<!DOCTYPE html><title>Signing in</title><body onload="document.forms[0].submit()">
<form method="post" action="{action}">{inputs}<noscript><button>Go on</button></noscript></form>"""


def authorization_response(
    settings: Settings, tokens: TokenRegistry, received: ReceivedRequest
) -> tuple[str, str]:
    """Return the answer to an authorization request (RFC 6749 section 4.2), signed in without a question.

    :return: where to redirect to, and for ``response_mode=form_post`` the page to show instead.
    :raises OAuthErrorResponse: the redirect URI or the client is not right, so there is no redirect.
    """
    request = unique_parameters([*received.query.items(), *received.form.items()])
    target = request.get("redirect_uri", "")
    parts = urlsplit(target)
    if not (parts.scheme and target.isascii() and target.isprintable()) or "#" in target:
        raise OAuthErrorResponse(
            "invalid_request", "redirect_uri is not an absolute URL without fragment"
        )
    if request.get("client_id") != settings.client_id:
        raise OAuthErrorResponse("invalid_request", "unknown client_id")
    try:
        result = _implicit_grant(settings, tokens, request)
    except OAuthErrorResponse as refusal:
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


def _implicit_grant(
    settings: Settings, tokens: TokenRegistry, request: Mapping[str, str]
) -> dict[str, object]:
    if request.get("response_type") != "token":
        raise OAuthErrorResponse("unsupported_response_type", "the response_type is not token")
    if request.get("response_mode", "fragment") not in ("fragment", "form_post"):
        raise OAuthErrorResponse("invalid_request", "unknown response_mode")
    scope = check_scope(request.get("scope"), settings.allowed_scopes)
    if settings.deny:
        raise OAuthErrorResponse("access_denied", "the request was denied")
    return {**access_token(settings, tokens, scope), **settings.token_parameters}
