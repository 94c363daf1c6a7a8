"""`python -m aioalf request`: one request with a token; the answer goes to stdout, or to a file."""

from __future__ import annotations

import asyncio
import ssl
from argparse import Namespace
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import aiohttp
from multidict import CIMultiDict

from ..client import Client
from ..errors import TokenError
from ..manager import TokenManager
from ..redaction import safe_url
from .errors import CONNECT_TIMEOUT, IDLE_TIMEOUT, CommandError, ExitStatus, no_answer
from .io import Output
from .progress import progress
from .proxy import Proxies
from .verbose import show_heads

__all__ = ("send_request",)


async def send_request(
    args: Namespace,
    manager: TokenManager,
    body: Callable[[], Any],
    proxies: Proxies,
    tls: ssl.SSLContext | None,
) -> int:
    """Send the request of a command line, and write its answer as it comes.

    :return: the exit status.
    :raises CommandError: there is no answer, or --fail was given and it is an error.
    :raises TokenError: there is no token for it.
    """
    headers = CIMultiDict(args.header)
    if args.json is not None:
        headers.setdefault("Content-Type", "application/json")
        headers.setdefault("Accept", "application/json")
    elif args.data is not None:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    # A download or a stream may take its time, as long as something comes.
    idle = None if args.timeout else IDLE_TIMEOUT
    client = Client(
        token_manager=manager,
        raise_token_errors=True,
        timeout=aiohttp.ClientTimeout(total=args.timeout, connect=CONNECT_TIMEOUT, sock_read=idle),
        middlewares=[proxies.middleware, *([show_heads] if args.verbose else [])],
    )
    options: dict[str, Any] = {} if tls is None else {"ssl": tls}
    try:
        async with (
            client,
            client.request(
                args.method, args.url, headers=headers, data=body(), **options
            ) as response,
        ):
            return await _show(args, response)
    except TokenError:
        raise
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError, UnicodeError) as error:
        raise no_answer(error, args) from error


async def _show(args: Namespace, response: aiohttp.ClientResponse) -> int:
    failed = args.fail and response.status >= 400
    if args.include or not failed:
        output, complete = Output(args.output), False
        length = response.content_length
        bar = progress(args.output or "received", length, shown=args.output not in (None, "-"))
        try:
            if args.include:
                output.write(_head(response))
            if not failed:
                # Chunk by chunk: an answer may be larger than the memory, or never end.
                async for chunk in response.content.iter_any():
                    output.write(chunk)
                    bar.update(len(chunk))
            complete = True
        finally:
            bar.close()
            output.close(complete=complete)
    if failed:
        line = f"{args.method} {safe_url(args.url)}: answered {_status(response.status)}"
        raise CommandError(ExitStatus.HTTP_ERROR, line)
    return 0


def _status(status: int) -> str:
    """Return the status with its registered phrase; the server's own may repeat the token."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _head(response: aiohttp.ClientResponse) -> bytes:
    version = response.version or aiohttp.HttpVersion11
    status = f"HTTP/{version.major}.{version.minor} {response.status} {response.reason or ''}"
    fields = [b"%b: %b" % field for field in response.raw_headers]
    return b"\r\n".join([status.encode(errors="surrogateescape"), *fields, b"", b""])
