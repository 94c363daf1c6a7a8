"""What the device, PAR and revocation endpoints answer, and what the metadata says. Pure: no I/O."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from .addresses import Addresses
from .authorization_endpoint import check_client, check_request
from .grants import Grants
from .received import ReceivedRequest
from .refusal import OAuthErrorResponse, check_scope
from .token_endpoint import GRANT_TYPES, authenticated_form, needed, seconds

__all__ = ("device_response", "metadata_of", "par_response", "revoke")

_WELL_KNOWN = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")


def device_response(
    settings: Addresses, grants: Grants, received: ReceivedRequest
) -> dict[str, object]:
    """Return the answer to a device authorization request (RFC 8628 section 3.2).

    :raises OAuthErrorResponse: it is refused.
    """
    form = authenticated_form(settings, grants, received)
    scope = check_scope(form.get("scope"), settings.allowed_scopes)
    expires_at = settings.time() + settings.device_lifetime
    device_code, user_code = grants.add_device(scope, expires_at, settings.device_interval)
    verification_uri = f"{settings.url}/device"
    return _with(
        {
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": verification_uri,
            "verification_uri_complete": f"{verification_uri}?user_code={user_code}",
            "expires_in": seconds(settings.device_lifetime),
            "interval": seconds(settings.device_interval),
        },
        settings.device_parameters,
    )


def par_response(
    settings: Addresses, grants: Grants, received: ReceivedRequest
) -> dict[str, object]:
    """Keep an authorization request, and return what stands for it (RFC 9126 section 2.2).

    :raises OAuthErrorResponse: it is refused.
    """
    form = authenticated_form(settings, grants, received)
    if "request_uri" in form:
        raise OAuthErrorResponse("invalid_request", "request_uri is in a request that is pushed")
    check_client(settings, form)
    check_request(settings, form)
    request_uri = f"urn:ietf:params:oauth:request_uri:{secrets.token_urlsafe(24)}"
    grants.pushed[request_uri] = (form, settings.time() + settings.code_lifetime)
    return {"request_uri": request_uri, "expires_in": seconds(settings.code_lifetime)}


def revoke(settings: Addresses, grants: Grants, received: ReceivedRequest) -> None:
    """Revoke a token; one that is not known is revoked already (RFC 7009 section 2.2).

    :raises OAuthErrorResponse: the request is refused.
    """
    form = authenticated_form(settings, grants, received)
    grants.tokens.revoke(needed(form, "token"))


def metadata_of(settings: Addresses, path: str) -> dict[str, object] | None:
    """Return what the server says of itself (RFC 8414 section 2); None if that is not there.

    :param path: where it is looked for.
    """
    places = {settings.issuer_path + name for name in _WELL_KNOWN}
    if path not in places | {name + settings.issuer_path for name in _WELL_KNOWN}:
        return None
    return _with(
        {
            "issuer": settings.issuer,
            "token_endpoint": settings.token_endpoint,
            "authorization_endpoint": settings.authorization_endpoint,
            "device_authorization_endpoint": settings.device_authorization_endpoint,
            "pushed_authorization_request_endpoint": settings.pushed_authorization_request_endpoint,
            "require_pushed_authorization_requests": settings.require_par,
            "revocation_endpoint": settings.revocation_endpoint,
            "grant_types_supported": [*GRANT_TYPES, "implicit"],
            "response_types_supported": ["code", "token"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "token_endpoint_auth_methods_supported": [
                "client_secret_basic",
                "client_secret_post",
                "client_secret_jwt",
                "private_key_jwt",
                *(["tls_client_auth"] if settings.allow_certificate else []),
                *(["none"] if settings.allow_public else []),
            ],
        },
        settings.metadata,
    )


def _with(members: Mapping[str, object], others: Mapping[str, object]) -> dict[str, object]:
    """Return members with others over them; None takes one out."""
    return {name: value for name, value in {**members, **others}.items() if value is not None}
