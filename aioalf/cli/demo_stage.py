"""The stage of the demo: a real server on loopback that counts, and a clock that can be moved."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass

import aiohttp

from ..client import Client
from ..clock import Clock
from ..testing import AuthorizationServer

__all__ = ("HOUR", "TOKEN_LATENCY", "Counts", "Stage")

HOUR = 3600.0  # seconds; the lifetime of a token here
TOKEN_LATENCY = 0.1  # seconds that the token endpoint takes
CONNECTIONS = 50  # at most, of one client: both ends are in this process, and files may be scarce


class Stage:
    """A server, the clock of both sides, and the client of all scenes.

    :param client_class: the class of the clients.
    """

    client: Client

    def __init__(self, client_class: type[Client]) -> None:
        self._client_class = client_class
        self._moved = 0.0
        self.clock: Clock = Clock(
            monotonic=lambda: time.monotonic() + self._moved,
            time=lambda: time.time() + self._moved,
        )
        self.server: AuthorizationServer = AuthorizationServer(
            "demo",
            secrets.token_hex(16),
            token_lifetime=HOUR,
            latency=TOKEN_LATENCY,
            time=self.clock.time,
        )

    def new_client(self) -> Client:
        """Make a client that has no token yet."""
        return self._client_class(
            self.server.client_id,
            self.server.client_secret,
            self.server.token_endpoint,
            raise_token_errors=True,
            clock=self.clock,
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
        )

    def pass_time(self, seconds: float) -> None:
        """Move the clock forward, so that no scene has to wait."""
        self._moved += seconds

    async def send(self, count: int, client: Client | None = None) -> None:
        """Send `count` requests at once, each from its own task."""

        async def send_one() -> None:
            async with (client or self.client).get(self.server.resource) as response:
                await response.read()

        await asyncio.gather(*(send_one() for _ in range(count)))

    def token_in_use(self) -> str:
        """Return the token of the last request, as the server received it."""
        for received in reversed(self.server.log):
            if received.kind == "resource":
                return received.headers["Authorization"].partition(" ")[2]
        return ""

    def counts(self) -> Counts:
        """Return what the server has counted so far."""
        rejected = self.server.rejections
        return Counts(
            self.server.token_requests, self.server.resource_requests - rejected, rejected
        )


@dataclass(frozen=True)
class Counts:
    """Token requests, answers 200 and answers 401 of a server."""

    token_requests: int
    answered: int
    rejected: int

    def since(self, earlier: Counts) -> Counts:
        """Return the difference."""
        return Counts(
            self.token_requests - earlier.token_requests,
            self.answered - earlier.answered,
            self.rejected - earlier.rejected,
        )

    def __str__(self) -> str:
        return f"{self.token_requests:4,}{self.answered:7,}{self.rejected:7,}"
