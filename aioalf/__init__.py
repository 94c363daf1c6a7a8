"""An OAuth 2 client for aiohttp: every request carries a valid Bearer token::

    async with Client("client-id", "secret", "https://login.example.com/token") as client:
        async with client.get("https://api.example.com/things") as response:
            print(await response.json())

Four nouns: a `Client` sends requests and owns a `TokenManager`, which has a valid `Token` whenever one is
needed, and a `TokenStorage` may keep that beyond the life of the process.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .client import Client
from .clock import Clock
from .errors import (
    AuthorizationError,
    SignInRequired,
    TokenError,
    TokenErrorResponse,
    TokenHTTPError,
    TokenStorageError,
)
from .manager import TokenManager
from .protocol.client_auth import (
    ClientAuth,
    ClientSecretBasic,
    ClientSecretBasicRaw,
    ClientSecretPost,
    NoClientAuth,
)
from .token import Token

if TYPE_CHECKING:
    from .httpclient import HTTPRequest
    from .implicit_manager import (
        OAuthImplicitTokenManager,
        OAuthImplictTokenManager,
        use_implicit_flow,
    )
    from .middleware import OAuth2Middleware
    from .storage.base import TokenStorage
    from .storage.file import FileTokenStorage
    from .storage.keyring import KeyringTokenStorage
    from .storage.redis import RedisTokenStorage

__version__ = "0.5.0"

__all__ = (
    "AuthorizationError",
    "Client",
    "ClientAuth",
    "ClientSecretBasic",
    "ClientSecretBasicRaw",
    "ClientSecretPost",
    "Clock",
    "FileTokenStorage",
    "HTTPRequest",
    "KeyringTokenStorage",
    "NoClientAuth",
    "OAuth2Middleware",
    "OAuthImplicitTokenManager",
    "OAuthImplictTokenManager",
    "RedisTokenStorage",
    "SignInRequired",
    "Token",
    "TokenError",
    "TokenErrorResponse",
    "TokenHTTPError",
    "TokenManager",
    "TokenStorage",
    "TokenStorageError",
    "use_implicit_flow",
)

# Imported when they are asked for: most programs need none of them.
_LATER = {
    "FileTokenStorage": "storage.file",
    "HTTPRequest": "httpclient",
    "KeyringTokenStorage": "storage.keyring",
    "OAuth2Middleware": "middleware",
    "OAuthImplicitTokenManager": "interactive.implicit",
    "OAuthImplictTokenManager": "interactive.implicit",
    "RedisTokenStorage": "storage.redis",
    "TokenStorage": "storage.base",
    "use_implicit_flow": "implicit_manager",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
