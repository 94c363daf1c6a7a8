"""`python -m aioalf` as a real process, for the tests of the command line."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aioalf
from aioalf.testing import AuthorizationServer

__all__ = (
    "PACKAGE",
    "TIMEOUT",
    "Result",
    "assert_one_line",
    "credentials",
    "finish",
    "run",
    "start",
)

PACKAGE = Path(aioalf.__file__).parents[1]
TIMEOUT = 20.0  # seconds for one process; on an idle machine it takes a third of one


@dataclass(frozen=True)
class Result:
    """The end of a process."""

    status: int
    out: bytes
    err: str


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a process that has no other settings than those of a test."""
    # Output is to be buffered, as it is by default; and the servers of the tests need no proxy.
    ours = re.compile("AIOALF_|PYTHONUNBUFFERED|NETRC|.*_proxy$", re.IGNORECASE)
    others = {name: value for name, value in os.environ.items() if not ours.match(name)}
    return {**others, "PYTHONPATH": str(PACKAGE), **variables}


def credentials(server: AuthorizationServer) -> dict[str, str]:
    """Return the variables that a user of that server has exported."""
    return {
        "AIOALF_TOKEN_ENDPOINT": server.token_endpoint,
        "AIOALF_CLIENT_ID": server.client_id,
        "AIOALF_CLIENT_SECRET": server.client_secret,
    }


async def start(
    *arguments: str, variables: Mapping[str, str], **options: Any
) -> asyncio.subprocess.Process:
    """Start ``python -m aioalf``, in a session of its own: without the terminal of the tests."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "aioalf", *arguments),
        env=environment(**variables),
        start_new_session=True,
        **{"stdin": pipe, "stdout": pipe, "stderr": pipe, **options},
    )


async def finish(process: asyncio.subprocess.Process, stdin: bytes | None = None) -> Result:
    """Wait for a process to end."""
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin), TIMEOUT)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Result(process.returncode, out or b"", (err or b"").decode())


async def run(
    server: AuthorizationServer, *arguments: str, stdin: bytes = b"", **variables: str
) -> Result:
    """Run ``python -m aioalf`` with the server's credentials in the environment."""
    known = {**credentials(server), **variables}
    return await finish(await start(*arguments, variables=known), stdin)


def assert_one_line(result: Result, status: int, *words: str) -> None:
    """Check that an error is one line on stderr, and that nothing is on stdout."""
    assert (result.status, result.out) == (status, b""), result
    assert result.err.startswith("aioalf: "), result.err
    assert result.err.count("\n") == 1, result.err
    for word in words:
        assert word in result.err
