"""What the commands read and write besides HTTP: the body, the secret, the output; how they fail."""

from __future__ import annotations

import argparse
import errno
import getpass
import json
import os
import re
import sys
from pathlib import Path
from typing import BinaryIO, TextIO

from ..redaction import redact

__all__ = (
    "CommandError",
    "ExitStatus",
    "Output",
    "ask_secret",
    "check_output",
    "one_line",
    "open_stdout",
    "read_body",
    "read_secret",
)


class ExitStatus:
    """Exit statuses: curl's where curl has one, the shell's for what a signal would have ended."""

    NO_TOKEN = 1
    USAGE = 2
    NO_ANSWER = 3
    HTTP_ERROR = 22
    NO_OUTPUT = 23
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class CommandError(Exception):
    """What ends the program: an exit status, and the line that says why (empty: nothing to say)."""

    def __init__(self, status: int, line: str = "") -> None:
        super().__init__(line)
        self.status = status
        self.line = line


class Output:
    """Where an answer goes: stdout, or a file.

    :param name: the file, made anew; None and ``-``: stdout.
    :raises Failure: the file cannot be made.
    """

    def __init__(self, name: str | None) -> None:
        self._name = name or "stdout"
        self._own: BinaryIO | None = None
        if name and name != "-":
            try:
                self._own = open(name, "wb")  # noqa: SIM115 - closed by `close`
            except OSError as error:
                raise self._failure(error) from error
        self._file = self._own or open_stdout().buffer

    def write(self, data: bytes) -> None:
        """Write, and flush: whoever reads a stream wants each event when it comes.

        :raises Failure: the disk is full, or the reader went away.
        """
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Close the file; stdout stays open."""
        if self._own is not None:
            try:
                self._own.close()  # it writes what a full disk has left in the buffer
            except OSError as error:
                raise self._failure(error) from error

    def _failure(self, error: OSError) -> CommandError:
        if isinstance(error, BrokenPipeError):
            return CommandError(ExitStatus.BROKEN_PIPE)
        return _cannot_write(self._name, error.strerror)


def _cannot_write(name: str, reason: str | None) -> CommandError:
    return CommandError(ExitStatus.NO_OUTPUT, f"cannot write {name}: {reason}")


def open_stdout() -> TextIO:
    """Return stdout.

    :raises Failure: the process was started with it closed; Python has None for it then.
    """
    if sys.stdout is None:
        raise _cannot_write("stdout", "it is closed")
    return sys.stdout


def check_output(name: str | None) -> None:
    """Find out whether a file can be made, before a request is sent that cannot be taken back.

    :raises Failure: it cannot, as far as can be told without making it.
    """
    if name is None or name == "-":
        return
    path = Path(name)
    reason = 0
    if path.is_dir():
        reason = errno.EISDIR
    elif not path.parent.is_dir():
        reason = errno.ENOENT
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        reason = errno.EACCES
    if reason:
        raise _cannot_write(name, os.strerror(reason))


def one_line(text: str) -> str:
    """Make one short printable line of a text that may come from a server: no secret, no token."""
    # A query may hold a key of the caller's or a code of the server's.
    text = re.sub(r"\?[^\s'\")]+", "?...", redact(" ".join(text.split())))
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= 400 else text[:400] + "..."


def read_body(args: argparse.Namespace) -> bytes | None:
    """Read the body of the request, whole, so that it can be sent again after a 401.

    :raises Failure: the file cannot be read, or what should be JSON is none.
    """
    text: str | None = args.data if args.json is None else args.json
    if text is None:
        return None
    body = text.encode(errors="surrogateescape")
    if text.startswith("@") or text == "-":
        body = _read(text.removeprefix("@"), "the body")
    if args.json is not None:
        try:
            json.loads(body)
        except ValueError as error:
            line = "--json: the body is no JSON; to send it all the same, use --data"
            raise CommandError(ExitStatus.USAGE, line) from error
    return body


def read_secret(args: argparse.Namespace) -> str | None:
    """Read the client secret from the file that was named, or from the environment.

    :return: the secret; None where there is neither.
    :raises Failure: the file cannot be read, or holds something else.
    """
    if args.secret_file is None:
        return os.environ.get("AIOALF_CLIENT_SECRET") or None
    try:
        # The line end is the editor's; and no secret ends in one.
        secret = _read(args.secret_file, "the secret").decode().rstrip("\r\n")
    except UnicodeDecodeError:
        secret = ""
    if not secret or len(secret.splitlines()) > 1:
        line = "--secret-file: one line of text is needed, the client secret"
        raise CommandError(ExitStatus.USAGE, line)
    return secret


def ask_secret(args: argparse.Namespace) -> str:
    """Ask the person at the terminal for the client secret, without showing it.

    :raises Failure: there is no terminal, or no secret was typed.
    """
    if all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        try:
            if secret := getpass.getpass(f"Client secret of {args.client_id}: "):
                return secret
        except EOFError:
            print(file=sys.stderr)
    raise CommandError(
        ExitStatus.USAGE,
        "no client secret: set AIOALF_CLIENT_SECRET or give --secret-file FILE"
        " (for a public client: --client-auth none)",
    )


def _read(name: str, what: str) -> bytes:
    if name == "-" and sys.stdin is None:  # the process was started with it closed
        raise CommandError(ExitStatus.USAGE, f"cannot read {what} from stdin: it is closed")
    try:
        return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        line = f"cannot read {what} from {name}: {error.strerror}"
        raise CommandError(ExitStatus.USAGE, line) from error
