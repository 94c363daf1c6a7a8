"""Who takes part: a name, an environment, and how each is opened.

This module imports none of them; `opened` does, in a worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from itertools import cycle
from typing import Any, Protocol

__all__ = ("CONTENDERS", "Arena", "Contender", "Running", "Several", "opened")


@dataclass(frozen=True)
class Contender:
    """One way to send requests with a token.

    :param name: its key in the results.
    :param title: its name in tables and plots.
    :param environment: its virtual environment; "project" is the project's own.
    :param opener: ``module:function`` that makes a `Running` from an `Arena`.
    :param slow: fewer repetitions will do, or the run would take an hour.
    :param scenarios: the scenarios that it takes part in; empty: all.
    :param imported: the module whose import is timed, after `imported_after`; None: nothing is imported.
    """

    name: str
    title: str
    environment: str
    opener: str
    imported: str | None = None
    imported_after: str = "aiohttp"
    slow: bool = False
    has_token: bool = True
    has_storage: bool = False
    scenarios: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arena:
    """Where to send requests.

    :param resource: the URL of the protected resource.
    :param token_endpoint: the URL of the token endpoint.
    :param memory: answer the requests from memory; tokens come over a socket all the same.
    :param storage: where processes share a token, for those who can: a file, or the URL of a Redis.
    """

    resource: str
    token_endpoint: str
    memory: bool = False
    storage: str | None = None


class Running(Protocol):
    """A contender that has been opened."""

    async def get(self) -> int:
        """Send one GET request, read the answer, return its status.

        All do it with ``await ...request("GET", url)`` and ``await ...read()``, the one way that all have:
        ``async with`` costs as much as a client does, and 0.4.0 has none.
        """

    async def close(self) -> None:
        """Close all that was opened."""


_ALL = [
    Contender("bare", "bare aiohttp", "project", "with_aiohttp:Bare", has_token=False),
    Contender("again", "bare aiohttp, again", "project", "with_aiohttp:Bare", has_token=False),
    Contender(
        "headers",
        "bare aiohttp, headers=",
        "project",
        "with_aiohttp:HeaderPerRequest",
        has_token=False,
    ),
    Contender(
        "client",
        "aio-alf Client",
        "project",
        "with_aioalf:OverClient",
        imported="aioalf.client",
        has_storage=True,
    ),
    Contender(
        "middleware",
        "aio-alf OAuth2Middleware",
        "project",
        "with_aioalf:OverMiddleware",
        imported="aioalf.middleware",
        has_storage=True,
    ),
    Contender(
        "refreshing",
        "aio-alf Client, refresh token",
        "project",
        "with_aioalf:OverRefreshToken",
        has_storage=True,
        scenarios=("expiry", "rotation"),
    ),
    Contender(
        "sharing",
        "aio-alf Client, shared session",
        "project",
        "with_aioalf:OverShared",
        scenarios=("many",),
    ),
    Contender(
        "exchanging-alone",
        "aio-alf TokenExchangeManager",
        "project",
        "with_aioalf:OneExchangeAndHeader",
        scenarios=("exchange",),
    ),
    Contender(
        "exchanging",
        "the same, and a Client",
        "project",
        "with_aioalf:OneExchange",
        scenarios=("exchange",),
    ),
    Contender(
        "two-requests",
        "bare aiohttp, two requests",
        "project",
        "with_aiohttp:TwoRequests",
        has_token=False,
        scenarios=("exchange",),
    ),
    Contender("handwritten", "hand-written middleware", "project", "with_aiohttp:Handwritten"),
    Contender(
        "old", "aio-alf 0.4.0", "aio-alf-0.4.0", "with_peers:OldClient", imported="aioalf.client"
    ),
    Contender(
        "peer",
        "aiohttp-oauth2-client",
        "aiohttp-oauth2-client",
        "with_peers:Peer",
        imported="aiohttp_oauth2_client.grant.client_credentials",
    ),
    Contender(
        "authlib",
        "authlib on httpx",
        "authlib",
        "with_peers:Authlib",
        imported="authlib.integrations.httpx_client",
        imported_after="httpx",
        slow=True,
    ),
    Contender("httpx", "bare httpx", "authlib", "with_peers:BareHttpx", slow=True, has_token=False),
]
CONTENDERS = {each.name: each for each in _ALL}


class Several:
    """As many of one contender as are asked for, each of which sends the next request in turn."""

    def __init__(self, name: str, arena: Arena, number: int) -> None:
        self._all = [opened(name, arena) for _ in range(number)]
        self._turn = cycle(self._all)

    async def start(self) -> None:
        for each in self._all:
            if (start := getattr(each, "start", None)) is not None:
                await start()

    async def get(self) -> int:
        return await next(self._turn).get()

    async def close(self) -> None:
        for each in self._all:
            await each.close()


def opened(name: str, arena: Arena) -> Running:
    """Open a contender, in an environment that has it, while an event loop runs."""
    module, _, attribute = CONTENDERS[name].opener.partition(":")
    opener: Any = getattr(import_module(f".{module}", __package__), attribute)
    running: Running = opener(arena)
    return running
