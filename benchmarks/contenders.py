"""Who takes part: a name, an environment, and how each is opened.

This module imports none of them; `opened` does, in a worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

__all__ = ("CONTENDERS", "Arena", "Contender", "Running", "opened")


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
    :param storage: a file that processes share a token in, for those who can.
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
        imported="aioalf",
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


def opened(name: str, arena: Arena) -> Running:
    """Open a contender, in an environment that has it, while an event loop runs."""
    module, _, attribute = CONTENDERS[name].opener.partition(":")
    opener: Any = getattr(import_module(f".{module}", __package__), attribute)
    running: Running = opener(arena)
    return running
