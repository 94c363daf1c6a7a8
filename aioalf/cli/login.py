"""`python -m aioalf login` and `logout`: a person's token is kept for later, or revoked."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..errors import TokenError
from ..interactive.sign_in import SignInTokenManager
from ..manager import TokenManager
from .errors import CommandError, ExitStatus
from .io import print_error

__all__ = ("login", "logout")


async def login(args: Namespace, manager: TokenManager) -> int:
    """Have a person sign in, and keep the token.

    :return: the exit status.
    :raises TokenError: the sign-in was refused, failed, or did not come in time.
    """
    assert isinstance(manager, SignInTokenManager)
    async with _telling(args):
        token = await manager.sign_in()
    until = "of unknown life"
    if token.expires_at is not None:
        until = (
            f"good until {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(token.expires_at))}"
        )
    later = "renewed silently after that" if token.refresh_token else "not renewed after that"
    print_error(f"Signed in. The token is {until}, and {later}.")
    return 0


async def logout(args: Namespace, manager: TokenManager) -> int:
    """Revoke the token, and delete it whatever the server says.

    :return: the exit status.
    :raises CommandError: it is deleted, but not revoked.
    """
    try:
        await manager.revoke()
    except TokenError as error:
        if str(error) == "Missing revocation endpoint":
            print_error("Signed out here. The server has no endpoint to revoke the token at.")
            return 0
        line = f"signed out here, but the token is not revoked: {error}"
        raise CommandError(ExitStatus.NO_TOKEN, line) from error
    print_error("Signed out.")
    return 0


@asynccontextmanager
async def _telling(args: Namespace) -> AsyncIterator[None]:
    """Tell on a terminal how long the person is waited for, while the body runs."""
    telling = None
    terminal = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    # Where the address can be pasted, the line belongs to the person.
    if terminal and not args.no_browser:
        telling = asyncio.create_task(_tell(args.wait))
    try:
        yield
    finally:
        if telling is not None:
            telling.cancel()
            await asyncio.wait({telling})
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


async def _tell(seconds: float) -> None:
    end = time.monotonic() + seconds
    await asyncio.sleep(1)
    while (left := end - time.monotonic()) > 0:
        text = f"Waiting for the sign-in, {int(left) // 60}:{int(left) % 60:02} left"
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
        await asyncio.sleep(1)
