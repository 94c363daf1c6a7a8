"""The middleware that many projects have: a lock, a look at the expiry, a refresh on 401.

Written for this benchmark in the spirit of the recipes in aiohttp's documentation, and no worse than a
careful user writes it on a good day: it looks again once it has the lock, and fetches nothing if another
task has replaced the rejected token meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import BasicAuth, ClientHandlerType, ClientRequest, ClientResponse, ClientSession

__all__ = ("HandwrittenMiddleware",)


class HandwrittenMiddleware:
    """Adds a Bearer token to each request."""

    def __init__(self, token_endpoint: str, client_id: str, client_secret: str) -> None:
        self._token_endpoint = token_endpoint
        self._auth = BasicAuth(client_id, client_secret)
        self._token: str | None = None
        self._expires_at = 0.0
        self._lock = asyncio.Lock()

    async def _get_token(self, session: ClientSession, rejected: str | None = None) -> str:
        async with self._lock:
            token = self._token
            if token is not None and token != rejected and time.time() < self._expires_at:
                return token
            async with session.post(
                self._token_endpoint,
                data={"grant_type": "client_credentials"},
                auth=self._auth,
                middlewares=(),
            ) as response:
                response.raise_for_status()
                data: dict[str, Any] = await response.json()
            self._token = new = str(data["access_token"])
            self._expires_at = time.time() + data.get("expires_in", 3600)
            return new

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        token = self._token
        if token is None or time.time() >= self._expires_at:
            token = await self._get_token(request.session)
        request.headers["Authorization"] = f"Bearer {token}"
        response = await handler(request)
        if response.status == 401:
            token = await self._get_token(request.session, rejected=token)
            request.headers["Authorization"] = f"Bearer {token}"
            response = await handler(request)
        return response
