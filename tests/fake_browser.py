"""A browser without a window: follows a sign-in to its end, as the page's script would.

Where a test is not about what a browser does, this one is quicker than Chromium.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import aiohttp

from aioalf.interactive.page import CALLBACK_PATH

__all__ = ("FakeBrowser", "connects", "free_ports", "post_answer", "taken")


def free_ports(count: int) -> tuple[int, int]:
    """Return a range of ports that nobody has just now, below those that connections start from."""
    while True:
        first = random.randint(10_000, 32_000 - count)
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for port in range(first, first + count):
                for host in ("127.0.0.1", "::1"):
                    held.enter_context(taken(port, host))
            return first, first + count - 1


@contextlib.contextmanager
def taken(port: int, host: str = "127.0.0.1") -> Iterator[None]:
    """Let another program listen on a port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen()
        yield


async def connects(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether anybody listens there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


@contextlib.asynccontextmanager
async def post_answer(
    redirect_uri: str, pairs: Any, *, headers: dict[str, str] | None = None
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Post what the script would post, and give the response."""
    origin = "http://" + urlsplit(redirect_uri).netloc
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            urljoin(redirect_uri, CALLBACK_PATH),
            json={"params": pairs},
            headers={"Origin": origin, **(headers or {})},
        ) as response,
    ):
        yield response


class FakeBrowser:
    """Signs in at an `aioalf.testing.AuthorizationServer`; hand it in as ``open_browser=``.

    :param works: False: says that it cannot open anything, and does nothing.
    """

    def __init__(self, *, works: bool = True) -> None:
        self.works = works
        #: The addresses it was asked to open.
        self.opened: list[str] = []
        #: The titles of the pages that the person saw at the end.
        self.titles: list[str] = []
        #: What was asked of the receiver, as the request line has it.
        self.visited: list[str] = []
        self._visits: list[asyncio.Task[None]] = []

    async def __call__(self, url: str) -> bool:
        self.opened.append(url)
        if self.works:
            self._visits.append(asyncio.ensure_future(self._visit(url)))
        return self.works

    async def done(self) -> None:
        """Wait until all pages are there."""
        await asyncio.gather(*self._visits)

    async def _visit(self, url: str) -> None:
        async with aiohttp.ClientSession() as session:
            async with session.get(url, allow_redirects=False) as response:
                text = await response.text()
                location = response.headers.get("Location")
            if location is None:
                await self._submit(session, text)
                return
            bare, _, fragment = location.partition("#")
            self.visited.append(bare)
            async with session.get(bare) as response:
                self.titles.append(_title(await response.text()))
            if not fragment or 'data-kind="waiting"' not in await response.text():
                return
            async with post_answer(bare, parse_qsl(fragment)) as response:
                self.titles.append((await response.json())["title"])

    async def _submit(self, session: aiohttp.ClientSession, text: str) -> None:
        action = re.findall(r'action="([^"]*)"', text)[0]
        form = dict(re.findall(r'name="([^"]*)" value="([^"]*)"', text))
        self.visited.append(action)
        async with session.post(action, data=form, headers={"Origin": "null"}) as response:
            self.titles.append(_title(await response.text()))


def _title(text: str) -> str:
    return str(re.findall(r"<title>(.*?)</title>", text)[0])
