"""What the commands read and write besides HTTP: the body, the client secret, the output."""

from __future__ import annotations

import argparse
import contextlib
import errno
import getpass
import io
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from .errors import CommandError, ExitStatus
from .progress import progress, tracked

if TYPE_CHECKING:
    from aiohttp import FormData

__all__ = (
    "ClientSecret",
    "Output",
    "ask_secret",
    "check_output",
    "drop_unwritten",
    "open_stdout",
    "print_error",
    "read_body",
    "read_secret",
    "writing",
)

SECRET_LIMIT = 64 * 2**10  # bytes
BODY_LIMIT = 2**30  # bytes; the body is kept in memory, for a second sending after a 401
_CHUNK = 2**16  # bytes
_STDOUT = (None, "-", "/dev/stdout")  # a shell may have more to write to the file behind the last


class Output:
    """Writes an answer to stdout, or to a file.

    A file is written under another name beside it, which becomes its own when the answer is complete:
    what is cut short leaves nothing behind. A device, a pipe, or a file in a directory where no other can
    be made, is written as it is.

    :param name: the file, created or overwritten; None, ``-`` and ``/dev/stdout``: stdout.
    :raises CommandError: the file cannot be opened.
    """

    def __init__(self, name: str | None) -> None:
        self._name = name or "stdout"
        name = None if name in _STDOUT else name
        self._own: BinaryIO | None = None
        self._temporary: Path | None = None
        if name:
            path = Path(name)
            self._target = Path(os.path.realpath(name))  # a link stays one
            beside = self._target.with_name(f".{os.urandom(8).hex()}.part")
            with writing(name):
                if not path.exists() or path.is_file():
                    try:
                        self._own = beside.open("xb")
                        self._temporary = beside
                    except PermissionError:
                        if not path.exists():
                            raise
                # A device, or a file in a directory where none can be added.
                self._own = self._own or path.open("wb")
        self._file = self._own or open_stdout().buffer

    def write(self, data: bytes) -> None:
        """Write, and flush: the reader of a stream wants each event when it comes.

        :raises CommandError: the disk is full, or the reader went away.
        """
        with writing(self._name):
            self._file.write(data)
            self._file.flush()

    def close(self, *, complete: bool = True) -> None:
        """Close the file, and give it its name if it is complete; stdout stays open."""
        if self._own is None:
            return
        try:
            with writing(self._name):
                self._own.close()  # writes what a full disk has left in the buffer
                if complete and (part := self._temporary) is not None:
                    with contextlib.suppress(OSError):
                        part.chmod(self._target.stat().st_mode & 0o7777)
                    try:
                        part.replace(self._target)
                        self._temporary = None
                    except OSError as error:
                        # It is mounted, or another user's in a directory such as /tmp.
                        if error.errno not in (errno.EBUSY, errno.EACCES, errno.EPERM):
                            raise
                        shutil.copyfile(part, self._target)
        finally:
            if self._temporary is not None:
                self._temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(name: str = "stdout") -> Iterator[None]:
    """Turn a failure to write into a `CommandError` that names the file."""
    try:
        yield
    except BrokenPipeError as error:
        raise CommandError(ExitStatus.BROKEN_PIPE) from error
    except OSError as error:
        raise _cannot_write(name, error.strerror) from error


def print_error(text: str) -> None:
    """Print to stderr as far as possible: if it cannot be written, the exit status has to do."""
    if sys.stderr is not None:  # print() would take stdout for None
        with contextlib.suppress(OSError):
            print(text, file=sys.stderr, flush=True)


def drop_unwritten(stream: TextIO | None) -> None:
    """Throw away what is left in the buffer of a stream, if it cannot be written."""
    if stream is not None:
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _cannot_write(name: str, reason: str | None) -> CommandError:
    return CommandError(ExitStatus.NO_OUTPUT, f"cannot write {name}: {reason}")


def open_stdout() -> TextIO:
    """Return stdout.

    :raises CommandError: the process was started with it closed; Python has None for it then.
    """
    if sys.stdout is None:
        raise _cannot_write("stdout", "it is closed")
    return sys.stdout


def check_output(name: str | None) -> None:
    """Check that a file can be created, before a request is sent that cannot be taken back.

    :raises CommandError: it cannot, as far as can be told without creating it.
    """
    if name is None or name in _STDOUT:
        return
    written = name
    with writing(name):
        try:
            is_directory = stat.S_ISDIR(os.stat(name).st_mode)
        except FileNotFoundError:
            written, is_directory = os.path.dirname(os.path.realpath(name)), False
            os.stat(written)
    reason = errno.EISDIR if is_directory else errno.EACCES
    if is_directory or not os.access(written, os.W_OK):
        raise _cannot_write(name, os.strerror(reason))


def read_body(args: argparse.Namespace) -> Callable[[], Any]:
    """Return what gives the body of the request, anew for each run; it can be sent again after a 401.

    A file is sent from the disk. What comes from stdin, or is to be JSON, is read into memory now.

    :raises CommandError: a file cannot be read, is too large, or should be JSON and is not.
    """
    if args.form:
        fields = [(name, _field(value)) for name, value in args.form]

        def form() -> FormData:
            from aiohttp import FormData

            made = FormData(quote_fields=False, default_to_multipart=True)  # names as they are
            for name, (value, filename) in fields:
                content = value() if callable(value) else value
                made.add_field(name, content, filename=filename)
            return made

        return form
    text: str | None = args.data if args.json is None else args.json
    if text is None:
        return lambda: None
    if args.json is None and text.startswith("@") and text != "@-":
        return _file(text[1:])
    body = text.encode(errors="surrogateescape")
    if text.startswith("@") or text == "-":
        body = _read(text.removeprefix("@"), "the body", BODY_LIMIT)
    if args.json is not None:
        try:
            # Numbers stay text: Python refuses to convert long ones.
            json.loads(body, parse_int=str, parse_float=str)
        except (ValueError, RecursionError) as error:
            fault = "is not JSON" if isinstance(error, ValueError) else "is nested too deeply"
            line = f"--json: the body {fault}; to send it anyway, use --data"
            raise CommandError(ExitStatus.USAGE, line) from error
    return lambda: body


def _field(value: str) -> tuple[str | Callable[[], Any], str | None]:
    if not value.startswith("@"):
        return value, None
    return _file(value[1:]), os.fsencode(Path(value[1:]).name).decode(errors="replace")


def _file(name: str) -> Callable[[], Any]:
    """Return what opens a file; one without a size, such as a pipe, is read into memory now."""
    path, size = Path(name), 0
    with contextlib.suppress(OSError):  # reading tells
        if path.is_file():
            path.open("rb").close()
            size = path.stat().st_size
    if not size:  # a file of /proc has none either, and has content
        content = _read(name, "the body", BODY_LIMIT)
        return lambda: content
    return lambda: tracked(name, progress(f"{path.name}, sent", size))


class ClientSecret:
    """The client secret, missed only if a token request needs it: a stored token may do.

    :param value: the secret, or None if there is none yet.
    """

    def __init__(self, value: str | None) -> None:
        self.value = value
        #: Whether a token request has asked for it in vain.
        self.missed: bool = False

    def __call__(self) -> str:
        if self.value is None:
            from ..errors import TokenError

            self.missed = True
            raise TokenError("No client secret")
        return self.value


def read_secret(args: argparse.Namespace) -> str | None:
    """Read the client secret from the file that was named, or from the environment.

    :return: the secret; None if there is neither.
    :raises CommandError: the file cannot be read, or one of them holds something else.
    """
    if args.secret_file is None:
        source = "AIOALF_CLIENT_SECRET"
        secret = os.environ.get(source, "")
        if not secret:  # an empty variable counts as a missing one
            return None
    else:
        source, secret = "--secret-file", ""
        with contextlib.suppress(UnicodeDecodeError):
            secret = _read(args.secret_file, "the secret", SECRET_LIMIT).decode()
    # The line end is an editor's, and no secret ends in one.
    secret = secret.rstrip("\r\n")
    if len(secret.splitlines()) != 1:
        line = f"{source} needs one line of text, the client secret"
        raise CommandError(ExitStatus.USAGE, line)
    return secret


def ask_secret(args: argparse.Namespace) -> str:
    """Ask the person at the terminal for the client secret, without showing it.

    :raises CommandError: there is no terminal, or no secret was typed.
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


def _read(name: str, what: str, limit: int) -> bytes:
    """Read a file or stdin (``-``) into memory, in chunks: it may be a device that never ends."""
    if name == "-" and sys.stdin is None:  # the process was started with it closed
        raise CommandError(ExitStatus.USAGE, f"cannot read {what} from stdin: it is closed")
    content = io.BytesIO()
    try:
        with open(sys.stdin.fileno() if name == "-" else name, "rb", closefd=name != "-") as file:
            while content.tell() <= limit and (chunk := file.read(_CHUNK)):
                content.write(chunk)
    except (OSError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it does not fit into the memory"
        line = f"cannot read {what} from {name}: {reason}"
        raise CommandError(ExitStatus.USAGE, line) from error
    if content.tell() > limit:
        line = f"cannot read {what} from {name}: it holds more than {limit:,} bytes"
        raise CommandError(ExitStatus.USAGE, line)
    return content.getvalue()
