"""An OAuth 2 client for aiohttp: every request carries a valid Bearer token::

    async with Client(
        "client-id", "secret", "https://login.example.com/token", raise_token_errors=True
    ) as client:
        async with client.get("https://api.example.com/things") as response:
            print(await response.json())

Four nouns: a `Client` sends requests and owns a `TokenManager`, which has a valid `Token` whenever one is
needed, and a `TokenStorage` may keep that beyond the life of the process.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Client
    from .client_assertion import ClientAssertion, ClientSecretJWT, PrivateKeyJWT, TLSClientAuth
    from .clock import Clock
    from .errors import (
        AuthorizationError,
        SignInRequired,
        TokenError,
        TokenErrorResponse,
        TokenHTTPError,
        TokenStorageError,
    )
    from .flow_switch import use_authorization_code_flow, use_device_flow
    from .grants.jwt_bearer import JWTBearerTokenManager
    from .grants.refresh_token import RefreshTokenManager
    from .grants.static_token import StaticTokenManager
    from .grants.token_exchange import TokenExchangeManager
    from .httpclient import HTTPRequest
    from .implicit_manager import (
        OAuthImplicitTokenManager,
        OAuthImplictTokenManager,
        use_implicit_flow,
    )
    from .interactive.authorization_code import AuthorizationCodeTokenManager
    from .interactive.device import DeviceTokenManager
    from .manager import TokenManager
    from .middleware import OAuth2Middleware
    from .protocol.client_auth import (
        ClientAuth,
        ClientSecretBasic,
        ClientSecretBasicRaw,
        ClientSecretPost,
        NoClientAuth,
    )
    from .protocol.device import DeviceCode
    from .secret_file import SecretFile
    from .storage.base import TokenStorage
    from .storage.file import FileTokenStorage
    from .storage.keyring import KeyringTokenStorage
    from .storage.redis import RedisTokenStorage
    from .token import Token

__version__ = "0.5.0"

__all__ = (
    "AuthorizationCodeTokenManager",
    "AuthorizationError",
    "Client",
    "ClientAssertion",
    "ClientAuth",
    "ClientSecretBasic",
    "ClientSecretBasicRaw",
    "ClientSecretJWT",
    "ClientSecretPost",
    "Clock",
    "DeviceCode",
    "DeviceTokenManager",
    "FileTokenStorage",
    "HTTPRequest",
    "JWTBearerTokenManager",
    "KeyringTokenStorage",
    "NoClientAuth",
    "OAuth2Middleware",
    "OAuthImplicitTokenManager",
    "OAuthImplictTokenManager",
    "PrivateKeyJWT",
    "RedisTokenStorage",
    "RefreshTokenManager",
    "SecretFile",
    "SignInRequired",
    "StaticTokenManager",
    "TLSClientAuth",
    "Token",
    "TokenError",
    "TokenErrorResponse",
    "TokenExchangeManager",
    "TokenHTTPError",
    "TokenManager",
    "TokenStorage",
    "TokenStorageError",
    "use_authorization_code_flow",
    "use_device_flow",
    "use_implicit_flow",
)

# Imported when they are asked for: most programs need few of them, and a command that prints its help none.
_LATER = {
    "AuthorizationCodeTokenManager": "interactive.authorization_code",
    "AuthorizationError": "errors",
    "Client": "client",
    "ClientAssertion": "client_assertion",
    "ClientAuth": "protocol.client_auth",
    "ClientSecretBasic": "protocol.client_auth",
    "ClientSecretBasicRaw": "protocol.client_auth",
    "ClientSecretJWT": "client_assertion",
    "ClientSecretPost": "protocol.client_auth",
    "Clock": "clock",
    "DeviceCode": "protocol.device",
    "DeviceTokenManager": "interactive.device",
    "FileTokenStorage": "storage.file",
    "HTTPRequest": "httpclient",
    "JWTBearerTokenManager": "grants.jwt_bearer",
    "KeyringTokenStorage": "storage.keyring",
    "NoClientAuth": "protocol.client_auth",
    "OAuth2Middleware": "middleware",
    "OAuthImplicitTokenManager": "interactive.implicit",
    "OAuthImplictTokenManager": "interactive.implicit",
    "PrivateKeyJWT": "client_assertion",
    "RedisTokenStorage": "storage.redis",
    "RefreshTokenManager": "grants.refresh_token",
    "SecretFile": "secret_file",
    "SignInRequired": "errors",
    "StaticTokenManager": "grants.static_token",
    "TLSClientAuth": "client_assertion",
    "Token": "token",
    "TokenError": "errors",
    "TokenErrorResponse": "errors",
    "TokenExchangeManager": "grants.token_exchange",
    "TokenHTTPError": "errors",
    "TokenManager": "manager",
    "TokenStorage": "storage.base",
    "TokenStorageError": "errors",
    "use_authorization_code_flow": "flow_switch",
    "use_device_flow": "flow_switch",
    "use_implicit_flow": "implicit_manager",
}


# Those that ``import aioalf`` alone has brought with it since 0.4.0.
_MODULES = frozenset({"client", "errors", "manager", "token"})


def __getattr__(name: str) -> object:
    if name in _LATER:
        value: object = getattr(import_module(f".{_LATER[name]}", __name__), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
