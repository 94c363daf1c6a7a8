"""The peers, each used as its own documentation shows.

Each is imported where it is used: no environment has them all, and none of them is a dependency.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .contenders import Arena
from .server import FIXED_TOKEN

__all__ = ("Authlib", "BareHttpx", "OldClient", "Peer")


class OldClient:
    """`aioalf.Client` of 0.4.0, which has that import name as well."""

    def __init__(self, arena: Arena) -> None:
        aioalf: Any = import_module("aioalf.client")
        self._url = arena.resource
        self._client: Any = aioalf.Client("id", "secret", arena.token_endpoint)
        self._unused: Any = None
        if arena.memory:
            aiohttp: Any = import_module("aiohttp")
            memory: Any = import_module(".memory", __package__)
            self._unused = self._client._http_client
            session = aiohttp.ClientSession(connector=memory.MemoryConnector())
            self._client._http_client = session

    async def get(self) -> int:
        response = await self._client.request("GET", self._url)
        await response.read()
        status: int = response.status
        return status

    async def close(self) -> None:
        await self._client.close()
        if self._unused is not None:
            await self._unused.close()


class Peer:
    """The middleware of aiohttp-oauth2-client."""

    def __init__(self, arena: Arena) -> None:
        aiohttp: Any = import_module("aiohttp")
        grants: Any = import_module("aiohttp_oauth2_client.grant.client_credentials")
        middlewares: Any = import_module("aiohttp_oauth2_client.middleware")
        connector: Any = import_module(".with_aiohttp", __package__).connector
        self._url = arena.resource
        self._grant = grants.ClientCredentialsGrant(arena.token_endpoint, "id", "secret")
        self._session = aiohttp.ClientSession(
            connector=connector(arena),
            middlewares=(middlewares.OAuth2Middleware(self._grant),),
        )

    async def get(self) -> int:
        response = await self._session.request("GET", self._url)
        await response.read()
        status: int = response.status
        return status

    async def close(self) -> None:
        await self._session.close()
        await self._grant.close()


def _httpx_options(arena: Arena) -> dict[str, Any]:
    """Patience: by default httpx gives up after five seconds in the queue for a connection."""
    options: dict[str, Any] = {"timeout": None}
    if arena.memory:
        memory: Any = import_module(".memory_httpx", __package__)
        options["mounts"] = {"http://memory": memory.answering()}
    return options


class BareHttpx:
    """httpx with a fixed header: what authlib stands on."""

    def __init__(self, arena: Arena) -> None:
        httpx: Any = import_module("httpx")
        headers = {"Authorization": f"Bearer {FIXED_TOKEN}"}
        self._url = arena.resource
        self._client: Any = httpx.AsyncClient(headers=headers, **_httpx_options(arena))

    async def get(self) -> int:
        response = await self._client.request("GET", self._url)
        status: int = response.status_code
        return status

    async def close(self) -> None:
        await self._client.aclose()


class Authlib(BareHttpx):
    """authlib's client on httpx. It raises until `start` has fetched the first token."""

    def __init__(self, arena: Arena) -> None:
        authlib: Any = import_module("authlib.integrations.httpx_client")
        self._url = arena.resource
        self._client = authlib.AsyncOAuth2Client(
            "id",
            "secret",
            token_endpoint=arena.token_endpoint,
            grant_type="client_credentials",
            **_httpx_options(arena),
        )

    async def start(self) -> None:
        """What its documentation has the user do before the first request."""
        await self._client.fetch_token()
