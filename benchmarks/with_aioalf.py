"""aio-alf: the client, and the middleware in somebody's session."""

from __future__ import annotations

from aiohttp import ClientSession
from yarl import URL

from aioalf import (
    Client,
    OAuth2Middleware,
    RefreshTokenManager,
    TokenManager,
    TokenStorage,
)

from .contenders import Arena
from .server import SEED
from .with_aiohttp import OverSession, connector

__all__ = ("OverClient", "OverMiddleware", "OverRefreshToken")


def _storage(arena: Arena) -> TokenStorage | None:
    if arena.storage is None:
        return None
    from aioalf import FileTokenStorage

    return FileTokenStorage(arena.storage)


class OverClient:
    """`aioalf.Client`."""

    def __init__(self, arena: Arena) -> None:
        self._url = arena.resource
        self._client = Client(
            "id",
            "secret",
            arena.token_endpoint,
            token_storage=_storage(arena),
            connector=connector(arena),
        )

    async def get(self) -> int:
        response = await self._client.request("GET", self._url)
        await response.read()
        return response.status

    async def close(self) -> None:
        await self._client.close()


class OverMiddleware(OverSession):
    """`aioalf.OAuth2Middleware`."""

    def __init__(self, arena: Arena) -> None:
        self._manager = TokenManager(
            arena.token_endpoint, "id", "secret", token_storage=_storage(arena)
        )
        middleware = OAuth2Middleware(self._manager, origins=URL(arena.resource).origin())
        session = ClientSession(connector=connector(arena), middlewares=(middleware,))
        super().__init__(arena, session)

    async def close(self) -> None:
        await self._manager.close()
        await super().close()


class OverRefreshToken:
    """`aioalf.Client` whose tokens come by a refresh token, which the server replaces each time."""

    def __init__(self, arena: Arena) -> None:
        self._url = arena.resource
        self._manager = RefreshTokenManager(
            arena.token_endpoint, "id", refresh_token=SEED, token_storage=_storage(arena)
        )
        self._client = Client(token_manager=self._manager, connector=connector(arena))

    async def get(self) -> int:
        response = await self._client.request("GET", self._url)
        await response.read()
        return response.status

    async def close(self) -> None:
        await self._manager.close()
        await self._client.close()
