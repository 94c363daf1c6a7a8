"""Bare aiohttp, the limit, and the hand-written middleware."""

from __future__ import annotations

from typing import Any

from aiohttp import BaseConnector, ClientSession, TCPConnector

from .contenders import Arena
from .handwritten import HandwrittenMiddleware
from .memory import MemoryConnector
from .server import FIXED_TOKEN

__all__ = ("Bare", "Handwritten", "HeaderPerRequest", "OverSession", "TwoRequests", "connector")


def connector(arena: Arena) -> BaseConnector:
    """A pool of a hundred connections, as aiohttp has it by default."""
    return MemoryConnector() if arena.memory else TCPConnector()


class OverSession:
    """Whoever is used as a plain `ClientSession` is."""

    def __init__(self, arena: Arena, session: ClientSession) -> None:
        self._url = arena.resource
        self._session = session

    async def get(self) -> int:
        response = await self._session.request("GET", self._url)
        await response.read()
        return response.status

    async def close(self) -> None:
        await self._session.close()


class Bare(OverSession):
    """A session with a fixed header: what cannot be beaten."""

    def __init__(self, arena: Arena) -> None:
        headers = {"Authorization": f"Bearer {FIXED_TOKEN}"}
        super().__init__(arena, ClientSession(connector=connector(arena), headers=headers))


class HeaderPerRequest(OverSession):
    """The same header with each request, as whoever sends more than one token must: aiohttp merges it."""

    def __init__(self, arena: Arena) -> None:
        super().__init__(arena, ClientSession(connector=connector(arena)))
        self._headers = {"Authorization": f"Bearer {FIXED_TOKEN}"}

    async def get(self) -> int:
        response = await self._session.request("GET", self._url, headers=self._headers)
        await response.read()
        return response.status


class TwoRequests:
    """A token request, and a request with the token: what an exchange cannot do without."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._tokens, self._session = ClientSession(), ClientSession()

    async def get(self) -> int:
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": "token-of-user",
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }
        basic = {"Authorization": "Basic aWQ6c2VjcmV0"}
        answer = await self._tokens.post(self._arena.token_endpoint, data=form, headers=basic)
        token = (await answer.json())["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        response = await self._session.request("GET", self._arena.resource, headers=bearer)
        await response.read()
        return response.status

    async def close(self) -> None:
        await self._tokens.close()
        await self._session.close()


class Handwritten(OverSession):
    """A session with the middleware of `benchmarks.handwritten`."""

    def __init__(self, arena: Arena) -> None:
        middleware = HandwrittenMiddleware(arena.token_endpoint, "id", "secret")
        pool = TCPConnector() if not arena.memory else _MemoryButForTokens()
        super().__init__(arena, ClientSession(connector=pool, middlewares=(middleware,)))


class _MemoryButForTokens(MemoryConnector):
    """It asks for its tokens through the very session that it serves; those need a socket."""

    def __init__(self) -> None:
        super().__init__()
        self._tokens = TCPConnector()

    async def _create_connection(self, req: Any, traces: Any, timeout: Any) -> Any:
        if getattr(req, "method", None) == "POST":
            create = self._tokens._create_connection
            return await create(req, traces, timeout)
        return await super()._create_connection(req, traces, timeout)
