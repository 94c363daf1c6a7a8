"""`python -m aioalf demo`: it shows what it claims, and says so if a claim does not hold."""

from __future__ import annotations

import asyncio
import io
import os
import re
import sys
from pathlib import Path

import aiohttp
import pytest

import aioalf
from aioalf import Client, Token, TokenError, TokenManager
from aioalf.cli import demo
from aioalf.cli.demo_stage import Counts, Stage

PACKAGE = Path(aioalf.__file__).parents[1]
NAMES = [scene.name for scene in demo.SCENES]


class Terminal(io.StringIO):
    """A text stream that claims to be a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        """Claim to be one."""
        return True


async def test_the_demo_holds_and_ends_with_0_as_plain_text_in_a_pipe() -> None:
    """Every scene, in a process of its own, with nothing on stderr and no token on stdout."""
    variables = {**os.environ, "PYTHONPATH": str(PACKAGE), "PYTHONIOENCODING": "utf-8"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "aioalf", "demo"),
        env=variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    text = out.decode()
    assert (process.returncode, err) == (0, b""), text
    rows = [line[2:17].strip() for line in text.splitlines() if line.startswith("✓ ")]
    assert rows == NAMES
    assert f"{len(NAMES)} of {len(NAMES)} as claimed:" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert not re.search(r"[\w-]{20,}", text)  # as long as a token is


class ForgetfulManager(TokenManager):
    """Asks for a token each time."""

    async def get(self) -> Token:
        """Replace the token, then return it."""
        await self.reset_token()
        return await super().get()


class ForgetfulClient(Client):
    """A client on which nothing that the demo claims about reuse is true."""

    token_manager_class = ForgetfulManager


async def test_what_is_not_as_claimed_is_shown_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A demo that cannot fail shows nothing: what was claimed stands below what was counted."""
    monkeypatch.setattr(demo, "SCENES", demo.SCENES[:2])
    out = io.StringIO()
    assert await demo.run(out, ForgetfulClient) == 1
    lines = out.getvalue().splitlines()
    broken = next(line for line in lines if "reused" in line)
    claimed = lines[lines.index(broken) + 1]
    assert broken[0] in "✗!"
    assert claimed.split() == ["claimed", "0", "100", "0"]
    assert "1 of 2 as claimed" in out.getvalue()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TokenError("No token today"), "No token today"),
        (aiohttp.ClientError(), "ClientError"),
        (demo.NotAsClaimedError("the request waited"), "the request waited"),
    ],
)
async def test_a_scene_that_fails_is_shown_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    """The reason takes one line."""

    async def fail(stage: Stage) -> None:
        raise error

    failing = demo.Scene("failing", "it fails", fail, Counts(0, 0, 0))
    monkeypatch.setattr(demo, "SCENES", (failing, demo.SCENES[0]))
    out = io.StringIO()
    assert await demo.run(out) == 1
    assert words in out.getvalue()
    assert "1 of 2 as claimed" in out.getvalue()


async def test_a_scene_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing hangs."""

    async def hang(stage: Stage) -> None:
        await asyncio.Event().wait()

    hanging = demo.Scene("hanging", "it hangs", hang, Counts(0, 0, 0))
    monkeypatch.setattr(demo, "SCENES", (hanging,))
    monkeypatch.setattr(demo, "SCENE_TIMEOUT", 0.05)
    out = io.StringIO()
    assert await demo.run(out) == 1
    assert "not over after 0.05 s" in out.getvalue()


async def test_without_the_file_extra_the_last_scene_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says what to install; what was not shown is not counted as shown."""
    monkeypatch.setitem(sys.modules, "filelock", None)
    monkeypatch.setattr(demo, "SCENES", (demo.SCENES[0], demo.SCENES[-1]))
    out = io.StringIO()
    assert await demo.run(out) == 0
    assert "aio-alf[file]" in out.getvalue()
    assert "1 of 1 as claimed, 1 left out:" in out.getvalue()


async def test_the_proxy_of_the_environment_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process of the last scene would go through it."""
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setattr(demo, "SCENES", demo.SCENES[-1:])
    out = io.StringIO()
    assert await demo.run(out) == 0, out.getvalue()


@pytest.mark.parametrize("no_color", ["", "1"])
async def test_on_a_terminal_rows_are_alive_and_coloured_unless_no_color_is_set(
    monkeypatch: pytest.MonkeyPatch, no_color: str
) -> None:
    """A row shows that something is going on, and is written over."""
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(demo, "SCENES", demo.SCENES[:1])
    out = Terminal()
    assert await demo.run(out) == 0
    assert "…" in out.getvalue()
    assert "\r\x1b[K" in out.getvalue()
    assert ("\x1b[32m✓" in out.getvalue()) == (no_color == "")


async def test_what_takes_two_lines_is_not_begun_since_it_cannot_be_written_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each row once, on a narrow terminal too."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(demo, "SCENES", demo.SCENES[:1])
    out = Terminal()
    assert await demo.run(out) == 0
    assert out.getvalue().count("fetched") == 1


async def test_the_table_is_ascii_if_the_output_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark that cannot be printed would end the demo."""
    monkeypatch.setattr(demo, "SCENES", demo.SCENES[:1])
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    assert await demo.run(out) == 0
    assert b"+ fetched" in raw.getvalue()
