"""How many functions and files of the library a request enters: few enough to be read in one go."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from fakes import FakeClock

import aioalf
from aioalf import Client
from aioalf.testing import AuthorizationServer

PACKAGE = Path(aioalf.__file__).parent
HOUR = 3600.0


async def entered(client: Client, url: str) -> tuple[int, int]:
    """The functions, and the files, that one request enters."""
    functions: set[tuple[str, int]] = set()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and PACKAGE in (path := Path(code.co_filename)).parents:
            if PACKAGE / "testing" not in path.parents:
                functions.add((code.co_filename, code.co_firstlineno))

    before: Callable[..., Any] | None = sys.getprofile()
    sys.setprofile(profile)
    try:
        response = await client.get(url)
    finally:
        sys.setprofile(before)
    assert response.status == 200
    return len(functions), len({file for file, _ in functions})


async def test_a_request_enters_few_functions_in_few_files(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """With a token at hand, with one that has expired, and with one that is rejected."""
    server.time = clock.time
    options = (server.client_id, server.client_secret, server.token_endpoint)
    async with Client(*options, clock=clock) as client:
        await client.get(server.resource)
        assert await entered(client, server.resource) == (3, 3)
        clock.advance(2 * HOUR)
        functions, files = await entered(client, server.resource)
        assert (functions <= 45, files <= 12) == (True, True), (functions, files)
        server.revoke_all()
        functions, files = await entered(client, server.resource)
        assert (functions <= 50, files <= 13) == (True, True), (functions, files)
        assert server.token_requests == 3
