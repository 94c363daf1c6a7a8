"""What the device, PAR and revocation endpoints answer, and what the metadata says. Pure: no I/O."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from .authorization_endpoint import check_request
from .grants import Grants
from .received import ReceivedRequest
from .refusal import check_scope
from .settings import Settings
from .token_endpoint import authenticated_form

__all__ = ("device_response", "metadata_of", "par_response", "revoke")

_WELL_KNOWN = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")


def device_response(
    settings: Settings,
    grants: Grants,
    received: ReceivedRequest,
    issuer: str,
    verification_uri: str,
) -> dict[str, object]:
    """Return the answer to a device authorization request (RFC 8628 section 3.2).

    :raises OAuthErrorResponse: it is refused.
    """
    form = authenticated_form(settings, grants, received, issuer)
    scope = check_scope(form.get("scope"), settings.allowed_scopes)
    expires_at = settings.time() + settings.device_lifetime
    device_code, user_code = grants.add_device(scope, expires_at, settings.device_interval)
    return _with(
        {
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": verification_uri,
            "verification_uri_complete": f"{verification_uri}?user_code={user_code}",
            "expires_in": settings.device_lifetime,
            "interval": settings.device_interval,
        },
        settings.device_parameters,
    )


def par_response(
    settings: Settings, grants: Grants, received: ReceivedRequest, issuer: str
) -> dict[str, object]:
    """Keep an authorization request, and return what stands for it (RFC 9126 section 2.2).

    :raises OAuthErrorResponse: it is refused.
    """
    form = authenticated_form(settings, grants, received, issuer)
    check_request(settings, form)
    request_uri = f"urn:ietf:params:oauth:request_uri:{secrets.token_urlsafe(24)}"
    grants.pushed[request_uri] = (form, settings.time() + settings.code_lifetime)
    return {"request_uri": request_uri, "expires_in": settings.code_lifetime}


def revoke(settings: Settings, grants: Grants, received: ReceivedRequest, issuer: str) -> None:
    """Revoke a token; one that is not known is revoked already (RFC 7009 section 2.2).

    :raises OAuthErrorResponse: the request is refused.
    """
    form = authenticated_form(settings, grants, received, issuer)
    grants.tokens.revoke(form.get("token", ""))


def metadata_of(settings: Settings, url: str, path: str) -> dict[str, object] | None:
    """Return what the server says of itself (RFC 8414 section 2); None if that is not there.

    :param url: its origin.
    :param path: where it is looked for.
    """
    places = {settings.issuer_path + name for name in _WELL_KNOWN}
    if path not in places | {name + settings.issuer_path for name in _WELL_KNOWN}:
        return None
    return _with(
        {
            "issuer": url + settings.issuer_path,
            "token_endpoint": f"{url}/token",
            "authorization_endpoint": f"{url}/authorize",
            "device_authorization_endpoint": f"{url}/device_authorization",
            "pushed_authorization_request_endpoint": f"{url}/par",
            "require_pushed_authorization_requests": settings.require_par,
            "revocation_endpoint": f"{url}/revoke",
            "response_types_supported": ["code", "token"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "token_endpoint_auth_methods_supported": [
                "client_secret_basic",
                "client_secret_post",
                "client_secret_jwt",
                "private_key_jwt",
                "none",
            ],
        },
        settings.metadata,
    )


def _with(members: Mapping[str, object], others: Mapping[str, object]) -> dict[str, object]:
    """Return members with others over them; None takes one out."""
    return {name: value for name, value in {**members, **others}.items() if value is not None}
