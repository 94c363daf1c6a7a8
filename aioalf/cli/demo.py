"""`python -m aioalf demo`: the life of a token, in numbers that a real server has counted."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import aiohttp

from .. import __version__
from ..client import Client
from ..errors import TokenStorageError
from ..redaction import fingerprint
from ..storage.file import FileTokenStorage
from ..testing import AuthorizationServer
from .demo_screen import Screen
from .demo_stage import HOUR, TOKEN_LATENCY, Counts, Stage
from .errors import one_line

__all__ = ("run",)

SCENE_TIMEOUT = 20.0  # seconds; the longest scene takes about one


class LeftOutError(Exception):
    """A scene cannot be played here; the message says what is missing."""


class NotAsClaimedError(Exception):
    """A scene failed, even if the counts are right; the message says how."""


@dataclass(frozen=True)
class Scene:
    """One event in the life of a token, and its claimed cost."""

    name: str
    text: str
    play: Callable[[Stage], Awaitable[None]]
    claimed: Counts


async def fetched(stage: Stage) -> None:
    """Ask for a token with the first request."""
    await stage.send(1)


async def reused(stage: Stage) -> None:
    """Send further requests with it."""
    await stage.send(100)


async def renewed_ahead(stage: Stage) -> None:
    """Replace the token near its end, while it is still in use."""
    old = stage.token_in_use()
    stage.pass_time(HOUR - 60)
    await stage.send(1)
    if stage.token_in_use() != old:
        raise NotAsClaimedError("the request waited for the new token")
    while (await stage.client.token_manager.get()).access_token == old:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(TOKEN_LATENCY / 10)
    await stage.send(99)


async def expired(stage: Stage) -> None:
    """Let the token expire, then send a request."""
    stage.pass_time(HOUR)
    await stage.send(1)


async def revoked(stage: Stage) -> None:
    """Answer a request with 401; it is sent again with a new token."""
    stage.server.revoke_all()
    await stage.send(1)


async def cold_start(stage: Stage) -> None:
    """Start a thousand tasks without a token."""
    async with stage.new_client() as client:
        await stage.send(1000, client)


async def mass_revocation(stage: Stage) -> None:
    """Revoke the token of a thousand requests, on a server that has one valid token at a time."""
    stage.server.single_valid = True
    stage.server.revoke_all()
    await stage.send(1000)
    stage.server.single_valid = False


async def caller_leaves(stage: Stage) -> None:
    """Cancel the only caller that waits for a token; the next one gets that token."""
    asked = stage.server.token_requests
    async with stage.new_client() as client:
        caller = asyncio.create_task(stage.send(1, client))
        while stage.server.token_requests == asked:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(TOKEN_LATENCY / 10)
        caller.cancel()
        await asyncio.wait([caller])
        await stage.send(1, client)


async def kept_in_file(stage: Stage) -> None:
    """Share a token between two processes, one after the other, through a file."""
    directory = await asyncio.to_thread(tempfile.mkdtemp)
    try:
        file = os.path.join(directory, "tokens.json")
        try:
            FileTokenStorage(file)
        except TokenStorageError as error:
            raise LeftOutError(str(error)) from error
        for _ in range(2):
            await _request_in_a_process(stage.server, file)
    finally:
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


async def _request_in_a_process(server: AuthorizationServer, file: str) -> None:
    arguments = ["request", "GET", server.resource, "--fail", "--storage", file]
    arguments += ["--token-endpoint", server.token_endpoint, "--client-id", server.client_id]
    # The child imports the same package, and asks this machine without a proxy.
    path = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "aioalf", *arguments),
        env={
            **os.environ,
            "AIOALF_CLIENT_SECRET": server.client_secret,
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "NO_PROXY": "*",
            "no_proxy": "*",
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise NotAsClaimedError(
            f"exit status {process.returncode}: {stderr.decode(errors='replace')}"
        )


SCENES = (
    Scene("fetched", "the first request asks for a token", fetched, Counts(1, 1, 0)),
    Scene("reused", "100 requests share it", reused, Counts(0, 100, 0)),
    Scene("renewed ahead", "near its end, and no task waits", renewed_ahead, Counts(1, 100, 0)),
    Scene("expired", "an hour of silence, then a request", expired, Counts(1, 1, 0)),
    Scene("revoked", "401, a new token, sent once more", revoked, Counts(1, 1, 1)),
    Scene("cold start", "1,000 tasks and no token", cold_start, Counts(1, 1000, 0)),
    Scene("401 storm", "1,000 tasks and a revoked token", mass_revocation, Counts(1, 1000, 1000)),
    Scene("caller leaves", "its token serves the next one", caller_leaves, Counts(1, 1, 0)),
    Scene("kept in a file", "a process asks, the next need not", kept_in_file, Counts(1, 2, 0)),
)


async def run(out: TextIO, client_class: type[Client] = Client) -> int:
    """Play all scenes, and print the counts of the server.

    :param out: where to print; coloured on a terminal, unless NO_COLOR is set.
    :param client_class: the class of the clients.
    :return: 0 if everything was as claimed, else 1.
    """
    screen = Screen(out)
    stage = Stage(client_class)
    began = time.monotonic()
    held = played = 0
    async with stage.server:
        screen.title(f"The life of a token, with aio-alf {__version__}")
        screen.line(f"Against an OAuth 2 server on {stage.server.url}, which did the counting:")
        screen.line()
        screen.aside(f"{'':50}token{'answers':>12}")
        screen.aside(f"{'':50}asked{'200':>7}{'401':>7}  in use")
        stage.client = stage.new_client()
        async with stage.client:
            for scene in SCENES:
                screen.begin(scene.name, scene.text)
                try:
                    held += await _play(scene, stage, screen)
                    played += 1
                except LeftOutError as reason:
                    screen.end("left out", scene.name, scene.text)
                    screen.line(f"  {one_line(str(reason))}")
        counted = stage.counts()
    seconds = time.monotonic() - began
    left_out = f", {len(SCENES) - played} left out" if played < len(SCENES) else ""
    screen.line()
    screen.verdict(
        held == played,
        f"{held} of {played} as claimed{left_out}: {counted.token_requests:,} token requests for"
        f" {counted.answered:,} answers, in {seconds:.1f} s",
    )
    if held < played:
        return 1
    screen.line("With your API: python -m aioalf request --help")
    return 0


async def _play(scene: Scene, stage: Stage, screen: Screen) -> bool:
    """Play a scene and print its row; return whether it was as claimed."""
    before = stage.counts()
    wrong = ""
    try:
        await asyncio.wait_for(scene.play(stage), SCENE_TIMEOUT)
    except asyncio.TimeoutError:
        wrong = f"not over after {SCENE_TIMEOUT:g} s"
    except (NotAsClaimedError, aiohttp.ClientError, OSError) as error:
        wrong = one_line(str(error) or type(error).__name__)
    counted = stage.counts().since(before)
    if not wrong and counted != scene.claimed:
        wrong = f"{'claimed':49}{scene.claimed}"
    # A fingerprint shows as well that a token was replaced.
    figures = f"{counted}  {fingerprint(stage.token_in_use())}"
    screen.end("broken" if wrong else "held", scene.name, scene.text, figures)
    if wrong:
        screen.verdict(False, f"  {wrong}")
    return not wrong
