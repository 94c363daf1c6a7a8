"""`python -m aioalf`: the demo, and a request or a token from the command line.

An error is one line on stderr that names the thing and the remedy. No secret is taken from the
command line, where every user of the machine could read it, and none is shown.
"""

from __future__ import annotations

import argparse
import contextlib
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
    """Run it in an event loop; Ctrl-C cancels it, as it does in Python 3.11 and later.

    In 3.10 it is raised wherever Python is at that moment, and is lost if that is a destructor.
    """
    import asyncio

    # A shell lets those ignore it that are in its background.
    ignored = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    if sys.version_info >= (3, 11) or ignored:
        return asyncio.run(work)

    async def interruptible() -> int:
        task, interrupted = asyncio.ensure_future(work), asyncio.Event()

        def interrupt() -> None:
            interrupted.set()
            task.cancel()

        with contextlib.suppress(NotImplementedError):  # on Windows
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)
        try:
            return await task
        except asyncio.CancelledError:
            if not interrupted.is_set():  # but ended by another signal
                raise
            raise KeyboardInterrupt from None

    return asyncio.run(interruptible())


def _end_in_order() -> None:
    """Let the signals that end a process end it as Ctrl-C does: half a download is deleted."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores it
            signal.signal(number, lambda number, frame: sys.exit(128 + number))


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

    _end_in_order()

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
