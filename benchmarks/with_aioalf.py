"""aio-alf: the client, and the middleware in somebody's session."""

from __future__ import annotations

from functools import lru_cache

from aiohttp import ClientSession
from yarl import URL

from aioalf import (
    Client,
    OAuth2Middleware,
    RefreshTokenManager,
    TokenExchangeManager,
    TokenManager,
    TokenStorage,
)

from .contenders import Arena
from .server import SEED
from .with_aiohttp import OverSession, connector

__all__ = (
    "OneExchange",
    "OneExchangeAndHeader",
    "OverClient",
    "OverMiddleware",
    "OverRefreshToken",
    "OverShared",
)


def _storage(arena: Arena) -> TokenStorage | None:
    return None if arena.storage is None else _storage_at(arena.storage)


@lru_cache
def _storage_at(place: str) -> TokenStorage:
    """One for all clients of the process, as in a program."""
    if place.startswith("unix://"):
        from aioalf import RedisTokenStorage

        return RedisTokenStorage(place)
    from aioalf import FileTokenStorage

    return FileTokenStorage(place)


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


class OverShared:
    """`aioalf.Client` over a session and a manager that all clients of the process share."""

    _shared: tuple[ClientSession, TokenManager] | None = None
    _clients = 0

    def __init__(self, arena: Arena) -> None:
        self._url = arena.resource
        if OverShared._shared is None:
            manager = TokenManager(arena.token_endpoint, "id", "secret")
            OverShared._shared = ClientSession(connector=connector(arena)), manager
        OverShared._clients += 1
        session, manager = OverShared._shared
        self._client = Client(token_manager=manager, session=session)

    async def get(self) -> int:
        response = await self._client.request("GET", self._url)
        await response.read()
        return response.status

    async def close(self) -> None:
        await self._client.close()
        OverShared._clients -= 1
        if OverShared._shared is not None and not OverShared._clients:
            session, manager = OverShared._shared
            OverShared._shared = None
            await manager.close()
            await session.close()


class OneExchange:
    """A token exchange manager that is made, used once and dropped, as for an incoming request."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._tokens, self._session = ClientSession(), ClientSession()
        self._users = 0

    def manager(self) -> TokenExchangeManager:
        """One for the next user."""
        self._users += 1
        return TokenExchangeManager(
            self._arena.token_endpoint,
            "id",
            "secret",
            subject_token=f"token-of-user-{self._users}",
            session=self._tokens,
        )

    async def get(self) -> int:
        manager = self.manager()
        async with manager, Client(token_manager=manager, session=self._session) as client:
            response = await client.request("GET", self._arena.resource)
            await response.read()
            return response.status

    async def close(self) -> None:
        await self._tokens.close()
        await self._session.close()


class OneExchangeAndHeader(OneExchange):
    """The same without a client: the token goes into a header by hand."""

    async def get(self) -> int:
        async with self.manager() as manager:
            token = await manager.get()
        headers = {"Authorization": f"Bearer {token.access_token}"}
        response = await self._session.request("GET", self._arena.resource, headers=headers)
        await response.read()
        return response.status
