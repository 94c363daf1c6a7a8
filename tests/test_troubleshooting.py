"""The messages on the page about troubleshooting are those that a program gets."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import threading
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import docutils.nodes
import pytest
from aiohttp import ClientSession
from documents import Internet, internet, parse

from aioalf import AuthorizationCodeTokenManager, Client, RefreshTokenManager

PAGE = Path(__file__).parent.parent / "docs" / "troubleshooting.rst"
TOKENS, THINGS = "https://login.example.com/token", "https://api.example.com/things"
TIME = re.compile(r"\d\d:\d\d:\d\d UTC")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Internet]:
    """An internet on loopback."""
    monkeypatch.chdir(tmp_path)
    with internet(monkeypatch) as started:
        yield started


def quoted() -> set[str]:
    """Each line of the page that is a message."""
    blocks = parse(PAGE, strict=False).findall(docutils.nodes.literal_block)
    return {
        line
        for block in blocks
        if "text" in block["classes"]
        for line in TIME.sub("12:00:00 UTC", block.astext()).splitlines()
    }


class Seen:
    """What a program has printed, logged and raised."""

    def __init__(self) -> None:
        self.lines: set[str] = set()

    async def of(self, work: Awaitable[Any]) -> None:
        """Wait for it, and keep how it ended."""
        try:
            self.lines.add(repr(await work).split("\n")[0])
        except Exception as error:
            self.lines.add(TIME.sub("12:00:00 UTC", str(error)))


async def provoke(world: Internet, seen: Seen) -> None:
    """Make each of the mistakes that the page is about."""
    server = world.secure
    known = (server.client_id, server.client_secret)

    async def ask(*args: Any, times: int = 1, **options: Any) -> None:
        async with Client(*args, **options) as client:
            for _ in range(times):
                await seen.of(client.get(THINGS))

    await ask(known[0], "wrong", TOKENS)
    await ask(known[0], "", TOKENS, raise_token_errors=True)
    for code in ("unauthorized_client", "invalid_scope", "invalid_dpop_proof"):
        server.answer_next(400, body=f'{{"error": "{code}"}}')
        await ask(*known, TOKENS, raise_token_errors=True)
    await ask(known[0], None, TOKENS)
    await ask(*known)
    for status in (404, 503):
        server.answer_next(status)
        await ask(*known, TOKENS, raise_token_errors=True)
    server.answer_next(200, {"Content-Type": "text/html"}, body="<html>")
    await ask(*known, TOKENS)
    server.answer_next(302, {"Location": "https://login.example.com/login"})
    await ask(*known, TOKENS)
    await ask(*known, issuer="https://login.example.com/realm")
    world.ports[9] = 9  # where nobody listens
    await ask(*known, "https://login.example.com:9/token", times=4)
    server.stall_next()
    await ask(*known, TOKENS, http_options={"timeout": 0.05})
    async with Client(*known, TOKENS) as client:
        await client.get(THINGS)
        server.answer_next(401, at="resource", times=2)
        await seen.of(client.get(THINGS))
    await ask(*known, TOKENS, origins="https://other.example.com")
    await seen.of(client.get(THINGS))  # it is closed
    await sign_in(world, seen)
    async with RefreshTokenManager(TOKENS, *known, refresh_token="used") as manager:
        await seen.of(manager.get())
    for wrong in ({"timeot": 3}, {"auth": None}):
        options: dict[str, Any] = wrong
        try:
            client = Client(*known, TOKENS, **options)
            await client.get(THINGS, **options)
        except (TypeError, ValueError) as error:
            seen.lines.add(str(error))


async def sign_in(world: Internet, seen: Seen) -> None:
    """Nobody there, no port there, nobody to be asked, and a refusal."""

    def flow(**options: Any) -> AuthorizationCodeTokenManager:
        return AuthorizationCodeTokenManager(
            TOKENS,
            "client-id",
            authorization_endpoint="https://login.example.com/authorize",
            **options,
        )

    async def nobody(url: str) -> None:
        pass

    async def somebody(url: str) -> None:
        async with ClientSession() as browser:
            await browser.get(url)

    asked = flow(port_range=None, open_browser=nobody, authorization_timeout=0.2)
    async with asked, flow(unattended=True) as unattended:
        await seen.of(asked.get())
        await seen.of(unattended.get())
    with socket.create_server(("127.0.0.1", 32100)):
        async with flow(port_range=(32100, 32100), open_browser=nobody) as blocked:
            await seen.of(blocked.get())
    world.secure.authorization_parameters = {"error": "access_denied"}
    async with flow(port_range=None, open_browser=somebody) as refused:
        await seen.of(refused.get())


def in_two_loops(client: Client) -> list[BaseException]:
    """Use a client where another loop, which also runs, has used it."""
    errors: list[BaseException] = []

    async def use() -> None:
        try:
            await client.get(THINGS)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=lambda: asyncio.run(use()))
    thread.start()
    thread.join()
    return errors


def test_each_message_on_the_page_is_a_real_one(
    world: Internet, caplog: pytest.LogCaptureFixture
) -> None:
    """Word by word, but for the times."""
    caplog.set_level(logging.INFO, "aioalf")
    seen = Seen()

    async def all_of_it() -> None:
        await provoke(world, seen)
        server = world.secure
        async with Client(server.client_id, server.client_secret, TOKENS) as client:
            await client.get(THINGS)
            errors = await asyncio.to_thread(in_two_loops, client)
            seen.lines.update(map(str, errors))
        with pytest.warns(ResourceWarning):
            ClientSession()

    asyncio.run(all_of_it())
    seen.lines.update(TIME.sub("12:00:00 UTC", line) for line in caplog.messages)
    seen.lines.update(line for message in caplog.messages for line in message.splitlines())
    assert quoted() - seen.lines == set()
    assert len(quoted()) >= 20
