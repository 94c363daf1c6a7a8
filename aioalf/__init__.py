"""An OAuth 2 client for aiohttp: every request carries a valid Bearer token.

    async with Client("client-id", "secret", "https://login.example.com/token") as client:
        async with client.get("https://api.example.com/things") as response:
            print(await response.json())

Four nouns: a `Client` sends requests and owns a `TokenManager`, which always has one valid `Token`, which
a `TokenStorage` may keep beyond the life of the process.
"""

from .client import Client
from .client_auth import (
    ClientAuth,
    ClientSecretBasic,
    ClientSecretBasicRaw,
    ClientSecretPost,
    NoClientAuth,
)
from .clock import Clock
from .errors import AuthorizationError, TokenError, TokenHTTPError, TokenStorageError
from .httpclient import HTTPRequest
from .manager import TokenManager
from .middleware import OAuth2Middleware
from .storage import TokenStorage
from .token import Token
from .token_request import TokenErrorResponse

__version__ = "0.5.0"

__all__ = (
    "AuthorizationError",
    "Client",
    "ClientAuth",
    "ClientSecretBasic",
    "ClientSecretBasicRaw",
    "ClientSecretPost",
    "Clock",
    "HTTPRequest",
    "NoClientAuth",
    "OAuth2Middleware",
    "Token",
    "TokenError",
    "TokenErrorResponse",
    "TokenHTTPError",
    "TokenManager",
    "TokenStorage",
    "TokenStorageError",
)
