"""`python -m aioalf`: the demo, and a request or a token from the command line.

An error is one line on stderr that names the thing and the remedy. No secret is taken from the
command line, where every user of the machine could read it, and none is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from ..client import Client
from ..errors import TokenError, TokenHTTPError
from ..manager import TokenManager
from ..protocol.client_auth import (
    ClientAuth,
    ClientSecretBasic,
    ClientSecretBasicRaw,
    ClientSecretPost,
    NoClientAuth,
)
from ..redaction import safe_url
from ..renewal.cache import NO_TOKEN
from ..storage.base import TokenStorage
from .arguments import read_arguments
from .io import (
    CommandError,
    ExitStatus,
    Output,
    ask_secret,
    check_output,
    one_line,
    open_stdout,
    read_body,
    read_secret,
)

__all__ = ("main",)

CLIENT_AUTH: dict[str, Callable[[], ClientAuth]] = {
    "basic": ClientSecretBasic,
    "basic-raw": ClientSecretBasicRaw,
    "post": ClientSecretPost,
    "none": NoClientAuth,
}
REMEDIES = {
    "invalid_client": "check the client id and the secret; some servers want --client-auth post",
    "invalid_scope": "check --scope",
    "unauthorized_client": "the server does not let this client use client_credentials",
    "unsupported_grant_type": "the server does not offer client_credentials",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    :param arguments: the arguments, without the program's name; by default those of the process.
    :return: the exit status.
    :raises SystemExit: help was asked for or the arguments are wrong; that has been printed.
    """
    try:
        args = read_arguments(sys.argv[1:] if arguments is None else arguments)
        status = _demo() if args.command == "demo" else _run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except CommandError as caught:
        failure = caught
    except TokenError as error:
        failure = CommandError(
            ExitStatus.NO_TOKEN, f"no token: {_reason(error, args.token_endpoint)}"
        )
    except BrokenPipeError:
        failure = CommandError(ExitStatus.BROKEN_PIPE)
    except OSError as error:
        failure = CommandError(ExitStatus.NO_OUTPUT, f"cannot write stdout: {error.strerror}")
    except ValueError as error:  # the library refuses an argument that looked right so far
        failure = CommandError(ExitStatus.USAGE, str(error))
    except KeyboardInterrupt:
        failure = CommandError(ExitStatus.INTERRUPTED)
        if sys.stderr is not None and sys.stderr.isatty():
            print(file=sys.stderr)  # the shell's prompt does not go behind what was begun
    if failure.line and sys.stderr is not None:  # print() would take stdout for None
        print(f"aioalf: {one_line(failure.line)}", file=sys.stderr)
    if failure.status in (ExitStatus.BROKEN_PIPE, ExitStatus.NO_OUTPUT) and sys.stdout is not None:
        # Python would try, and complain, once more at its exit for what is left in the buffer.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return failure.status


class _Secret:
    """The client secret, missed only when a token request needs it: a stored token may do."""

    def __init__(self, value: str | None) -> None:
        self.value = value
        self.missed = False

    def __call__(self) -> str:
        if self.value is None:
            self.missed = True
            raise TokenError("No client secret")
        return self.value


class _OneLine(logging.Formatter):
    """A log record in the manner of the errors: one line, no traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return f"aioalf: {record.levelname.lower()}: {one_line(record.getMessage())}"


def _is_duplicate(record: logging.LogRecord) -> bool:
    """Whether it is the failed token request, which ends the program with a line of its own."""
    return record.msg is NO_TOKEN


def _log(level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    if level > logging.DEBUG:
        handler.addFilter(lambda record: not _is_duplicate(record))
    logger = logging.getLogger("aioalf")
    logger.addHandler(handler)
    logger.setLevel(level)


def _demo() -> int:
    from . import demo

    _log(logging.ERROR)  # it provokes on purpose what there would be a warning of
    return asyncio.run(demo.run(open_stdout()))


def _run(args: argparse.Namespace) -> int:
    _log(logging.DEBUG if args.verbose else logging.WARNING)
    secret = _Secret(None if args.client_auth == "none" else read_secret(args))
    body = None
    if args.command == "request":
        body = read_body(args)
        check_output(args.output)
    storage: TokenStorage | None = None
    if args.storage is not None:
        from ..storage.file import FileTokenStorage

        storage = FileTokenStorage(os.path.expanduser(args.storage))

    async def work() -> int:
        async with _manager(args, secret, storage) as manager:
            if args.command == "token":
                return await _token(args, manager)
            return await _request(args, manager, body, secret)

    try:
        return asyncio.run(work())
    except TokenError:
        if not secret.missed:
            raise
    # Asked for out here, because a thread that reads the keyboard would outlive Ctrl-C. Nothing is done
    # twice by starting over: the URL has been asked nothing yet, or has answered 401.
    secret.value = ask_secret(args)
    secret.missed = False
    return asyncio.run(work())


def _manager(
    args: argparse.Namespace, secret: _Secret, storage: TokenStorage | None
) -> TokenManager:
    values: dict[str, list[str]] = {}
    for key, value in args.param:
        values.setdefault(key, []).append(value)
    # One value is no list: a token stored by a program of the same parameters is the same token.
    params = {key: given if len(given) > 1 else given[0] for key, given in values.items()}
    return TokenManager(
        args.token_endpoint,
        args.client_id,
        None if args.client_auth == "none" else secret,
        {"timeout": _timeout(args)} if args.timeout else None,
        args.scope,
        client_auth=CLIENT_AUTH[args.client_auth](),
        token_storage=storage,
        token_request_params=params,
    )


async def _token(args: argparse.Namespace, manager: TokenManager) -> int:
    token = await manager.get()
    text = token.access_token
    if args.json:
        text = json.dumps(
            {
                "access_token": token.access_token,
                "token_type": "Bearer",
                "expires_at": token.expires_at,
                "scope": token.scope,
            }
        )
    Output(None).write(f"{text}\n".encode())
    return 0


async def _request(
    args: argparse.Namespace, manager: TokenManager, body: bytes | None, secret: _Secret
) -> int:
    headers = CIMultiDict(args.header)
    if args.json is not None:
        headers.setdefault("Content-Type", "application/json")
        headers.setdefault("Accept", "application/json")
    elif args.data is not None:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    timeout = _timeout(args)
    async with Client(token_manager=manager, raise_token_errors=True, timeout=timeout) as client:
        try:
            async with client.request(args.method, args.url, headers=headers, data=body) as answer:
                if secret.missed:  # a 401, and the secret is needed to renew the token
                    raise TokenError("No client secret")
                return await _show(args, answer)
        except TokenError:
            raise
        except asyncio.TimeoutError as error:
            reason = f"not done after {args.timeout:g} s" if args.timeout else "no connection"
            raise CommandError(ExitStatus.NO_ANSWER, f"{_named(args)}: {reason}") from error
        except (aiohttp.ClientError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise CommandError(ExitStatus.NO_ANSWER, f"{_named(args)}: {reason}") from error


async def _show(args: argparse.Namespace, answer: aiohttp.ClientResponse) -> int:
    failed = args.fail and answer.status >= 400
    if args.include or not failed:
        output = Output(args.output)
        try:
            if args.include:
                output.write(_head(answer))
            if not failed:
                # As it comes: an answer may be larger than the memory, or never end.
                async for chunk in answer.content.iter_any():
                    output.write(chunk)
        finally:
            output.close()
    if failed:
        line = f"{_named(args)}: answered {answer.status} {answer.reason or ''}"
        raise CommandError(ExitStatus.HTTP_ERROR, line)
    return 0


def _head(answer: aiohttp.ClientResponse) -> bytes:
    version = answer.version or aiohttp.HttpVersion11
    status = f"HTTP/{version.major}.{version.minor} {answer.status} {answer.reason or ''}"
    fields = [b"%b: %b" % field for field in answer.raw_headers]
    return b"\r\n".join([status.encode(), *fields, b"", b""])


def _timeout(args: argparse.Namespace) -> aiohttp.ClientTimeout:
    # No limit to the whole where none was asked for: a download or a stream takes what it takes.
    return aiohttp.ClientTimeout(total=args.timeout, sock_connect=30)


def _named(args: argparse.Namespace) -> str:
    return f"{args.method} {URL(args.url).with_query(None).with_fragment(None)}"


def _reason(error: TokenError, endpoint: str) -> str:
    if not isinstance(error, TokenHTTPError):
        return str(error) or type(error).__name__
    if not error.error:  # a page for people, often
        said = f"the token endpoint {safe_url(endpoint)} answered {error.response_status}"
        guess = "server trouble" if (error.response_status or 0) >= 500 else "is it the right URL?"
        return f"{said} and no OAuth error code ({guess})"
    said = f"the token endpoint answered {error.response_status} {error.error}"
    if error.error_description:
        said += f", {error.error_description!r}"
    remedy = REMEDIES.get(error.error)
    return f"{said} ({remedy})" if remedy else said
