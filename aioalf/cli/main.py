"""`python -m aioalf`: the demo, and a request or a token from the command line.

An error is one line on stderr that names the thing and the remedy. No secret is taken from the
command line, where every user of the machine could read it, and none is shown.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from .arguments import read_arguments
from .errors import CommandError, ExitStatus, command_error, one_line
from .io import (
    ClientSecret,
    Output,
    ask_secret,
    check_output,
    drop_unwritten,
    open_stdout,
    print_error,
    read_body,
    read_secret,
    writing,
)

if TYPE_CHECKING:
    from ..manager import TokenManager

__all__ = ("main",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    :param arguments: the arguments, without the program's name; by default those of the process.
    :return: the exit status.
    :raises SystemExit: help was asked for or the arguments are wrong; that has been printed.
    """
    args = None
    try:
        args = read_arguments(sys.argv[1:] if arguments is None else arguments)
        if args.command == "completion":
            Output(None).write(args.completion.encode())
            return 0
        status = _demo() if args.command == "demo" else _run(args)
        if sys.stdout is not None:
            with writing():
                sys.stdout.flush()
        return status
    except (Exception, KeyboardInterrupt) as error:
        return _fail(command_error(error, args))
    finally:
        # Otherwise Python tries again at its exit, complains, and exits with 120.
        for stream in (sys.stdout, sys.stderr):
            drop_unwritten(stream)


def _fail(failure: CommandError) -> int:
    if failure.line:
        print_error(f"aioalf: {one_line(failure.line)}")
    elif failure.status == ExitStatus.INTERRUPTED and sys.stderr and sys.stderr.isatty():
        print_error("")  # so that the shell's prompt begins a line
    return failure.status


class _OneLine(logging.Formatter):
    """Formats a log record like an error: one line without a traceback, which may quote a token."""

    def format(self, record: logging.LogRecord) -> str:
        return f"aioalf: {record.levelname.lower()}: {one_line(record.getMessage())}"


def _is_duplicate(record: logging.LogRecord) -> bool:
    """Return whether it is the failed token request, which ends the program with its own line."""
    from ..events import SignInNeeded, TokenRequestFailed

    told = record.args[0] if isinstance(record.args, tuple) and record.args else None
    return isinstance(told, (SignInNeeded, TokenRequestFailed)) and str(told).startswith("No token")


def _log(level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    if level > logging.DEBUG:
        handler.addFilter(lambda record: not _is_duplicate(record))
    # On the root: asyncio and aiohttp log as well, and asyncio quotes exceptions with their requests.
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(max(level, logging.WARNING))
    logging.getLogger("aioalf").setLevel(level)
    logging.raiseExceptions = False  # no traceback on stderr for a line that cannot be written


def _demo() -> int:
    import asyncio

    from . import demo

    _log(logging.ERROR)  # the demo provokes warnings on purpose
    return asyncio.run(demo.run(open_stdout()))


def _run_loop(work: Coroutine[Any, Any, int]) -> int:
    """Run it in an event loop; a signal that ends a process cancels it: half a download is deleted.

    No handler raises: that would be anywhere in Python, and is lost in a destructor. Python itself
    cancels it at Ctrl-C, from 3.11 on.
    """
    import asyncio

    before: dict[int, Any] = {}
    for name in ("SIGTERM", "SIGHUP", *(["SIGINT"] if sys.version_info < (3, 11) else [])):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        # nohup ignores one, and a shell another for what it runs in the background.
        if number and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            before[number] = signal.getsignal(number)

    async def interruptible() -> int:
        loop, task, received = asyncio.get_running_loop(), asyncio.ensure_future(work), 0

        def end(number: int, frame: object) -> None:
            nonlocal received
            received = number
            signal.signal(number, before[number])  # a second one does not wait
            loop.call_soon_threadsafe(task.cancel)

        for number in before:
            signal.signal(number, end)
        try:
            return await task
        except asyncio.CancelledError:
            if received == signal.SIGINT:
                raise KeyboardInterrupt from None
            if not received:
                raise
            return 128 + received
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    return asyncio.run(interruptible())


def _run(args: argparse.Namespace) -> int:
    from ..errors import TokenError
    from .login import login, logout
    from .managers import manager_of, storage_of
    from .proxy import Proxies
    from .request import send_request
    from .tls import tls_of

    _log(logging.DEBUG if args.verbose else logging.WARNING)
    secret = ClientSecret(None if args.client_auth == "none" else read_secret(args))
    public = args.user and secret.value is None and args.client_auth is None
    if args.command == "request":
        body = read_body(args)
        check_output(args.output)
    proxies, tls = Proxies(args.proxy), tls_of(args)
    storage = storage_of(args)

    async def work() -> int:
        given = None if public else secret
        async with manager_of(args, given, proxies, storage, tls) as manager:
            if args.command == "token":
                return await _print_token(args, manager)
            if args.command == "request":
                return await send_request(args, manager, body, proxies, tls)
            return await (login if args.command == "login" else logout)(args, manager)

    try:
        return _run_loop(work())
    except TokenError:
        if not secret.missed:
            raise
    # Asked for outside the loop, because a thread that reads the keyboard would outlive Ctrl-C. Starting
    # over does nothing twice: the URL has been asked nothing yet, or has answered 401.
    secret.value = ask_secret(args)
    secret.missed = False
    return _run_loop(work())


async def _print_token(args: argparse.Namespace, manager: TokenManager) -> int:
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
