"""How a command ends when it fails: an exit status, and one line on stderr.

Help comes at once: what takes long to import, aiohttp above all, is imported where it is needed.

No line quotes the answer of an API: it may repeat the token. Errors of the token endpoint are redacted
when they are raised.
"""

from __future__ import annotations

import os
import re
import shlex
import traceback
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..redaction import redact, safe_url

if TYPE_CHECKING:
    from ..errors import TokenError

__all__ = ("CommandError", "ExitStatus", "command_error", "no_answer", "one_line")

CONNECT_TIMEOUT = 30.0  # seconds for a connection, including the proxy's part in it
IDLE_TIMEOUT = 300.0  # seconds without a byte, if there is no --timeout

_REMEDIES = {
    "invalid_client": "check the client id and the secret; some servers want --client-auth post",
    "invalid_scope": "check --scope",
    "unauthorized_client": "the server does not let this client use this grant",
    "unsupported_grant_type": "the server does not offer this grant",
}


class ExitStatus:
    """Exit statuses: curl's if curl has one, the shell's for a signal, and one of sysexits.h."""

    NO_TOKEN = 1
    USAGE = 2
    NO_ANSWER = 3
    HTTP_ERROR = 22
    NO_OUTPUT = 23
    UNEXPECTED = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class CommandError(Exception):
    """Ends the program.

    :param status: the exit status.
    :param line: the line that says why; empty if there is nothing to say.
    """

    def __init__(self, status: int, line: str = "") -> None:
        super().__init__(line)
        self.status = status
        self.line = line


def one_line(text: str) -> str:
    """Make one short printable line of any text, without secrets, tokens and queries of URLs."""
    # A query may hold a key of the caller's or a code of the server's.
    text = re.sub(r"\?[^\s'\")]+", "?...", redact(" ".join(text.split())))
    text = re.sub(r"//[^\s/'\"]*@", "//***@", text)
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= 400 else text[:400] + "..."


def command_error(error: BaseException, args: Namespace | None) -> CommandError:
    """Return the exit status and the line for an exception that ended a command.

    :param args: the command line, if it was read that far.
    """
    if isinstance(error, CommandError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return CommandError(ExitStatus.INTERRUPTED)
    from ..errors import SignInRequired, TokenError

    if isinstance(error, SignInRequired) and args is not None:
        line = f"no token: a person has to sign in; run: {_login_command(args)}"
        return CommandError(ExitStatus.NO_TOKEN, line)
    if isinstance(error, TokenError):
        reason = _token_reason(error, getattr(args, "token_endpoint", "") or "")
        return CommandError(ExitStatus.NO_TOKEN, f"no token: {reason}")
    if isinstance(error, ValueError):  # the library refuses an argument that looked right so far
        return CommandError(ExitStatus.USAGE, str(error))
    # Neither its message nor a traceback is shown: they may quote a request, and so the token.
    name = type(error).__name__
    if isinstance(error, OSError) and error.errno:
        name += f" ({os.strerror(error.errno)})"
    *_, (frame, number) = traceback.walk_tb(error.__traceback__)
    where = "/".join(Path(frame.f_code.co_filename).parts[-3:])
    line = f"unexpected {name} in {where}, line {number}; please report this"
    return CommandError(ExitStatus.UNEXPECTED, line)


def no_answer(error: Exception, args: Namespace) -> CommandError:
    """Return the error for a request that failed without a complete answer.

    :param error: an error of aiohttp's, a timeout, an `OSError` or a `UnicodeError`.
    """
    line = f"{args.method} {safe_url(args.url)}: {_request_reason(error, args)}"
    return CommandError(ExitStatus.NO_ANSWER, line)


def _request_reason(error: Exception, args: Namespace) -> str:
    import asyncio

    import aiohttp
    from yarl import URL

    if isinstance(error, UnicodeError):  # of the codec for host names
        return "its host, or that of a redirect, has a part that is empty or too long"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"no connection after {CONNECT_TIMEOUT:g} s"
    if isinstance(error, aiohttp.SocketTimeoutError):
        return f"nothing came for {IDLE_TIMEOUT:g} s; --timeout sets another limit"
    if isinstance(error, asyncio.TimeoutError):
        return f"not done after {args.timeout:g} s" if args.timeout else "not done in time"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered {error.status}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"no connection to the proxy {error.host}:{error.port}"
    if isinstance(error, aiohttp.ClientConnectorError) and error.host != URL(args.url).host:
        return "no connection to the host that it redirects to"
    if isinstance(error, aiohttp.TooManyRedirects):
        return "too many redirects"
    if isinstance(error, aiohttp.RedirectClientError):
        return "it redirects to something that is not an http or https URL"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection"
    if isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ClientResponseError)):
        return "the answer is cut short or unreadable"
    return str(error) or type(error).__name__


def _token_reason(error: TokenError, endpoint: str) -> str:
    from ..errors import TokenHTTPError

    if not isinstance(error, TokenHTTPError):
        return str(error) or type(error).__name__
    status = error.response_status or 0
    if not error.error:  # a page for people, often
        guess = "server trouble" if status >= 500 else "is it the right URL?"
        if status == 407:
            guess = "the proxy wants a user name and a password in its URL"
        return (
            f"the {error.endpoint_name} {error.token_endpoint or safe_url(endpoint)} answered {status}"
            f" and no OAuth error code ({guess})"
        )
    reason = f"the {error.endpoint_name} answered {status} {error.error}"
    if error.error_description:
        reason += f", {error.error_description!r}"
    remedy = _REMEDIES.get(error.error)
    return f"{reason} ({remedy})" if remedy else reason


def _login_command(args: Namespace) -> str:
    """Return the command that signs in for the same token. It holds no secret: none can be an option."""
    words = ["python", "-m", "aioalf", "login"]
    for name in ("issuer", "discovery_url", "token_endpoint", "client_id", "account", "storage"):
        if (value := getattr(args, name)) is not None:
            words += ["--" + name.replace("_", "-"), value]
    for scope in args.scope:
        words += ["--scope", scope]
    for option, pairs in (("param", args.param), ("authorization-param", args.authorization_param)):
        for key, value in pairs:
            words += [f"--{option}", f"{key}={value}"]
    if args.device:
        words.append("--device")
    return shlex.join(words)
