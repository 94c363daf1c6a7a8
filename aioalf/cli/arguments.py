"""What `python -m aioalf` takes from the command line, and the help it gives.

Pure: it reads arguments and the environment, opens nothing and sends nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from . import argument_types as command_types
from .io import one_line

__all__ = ("read_arguments",)

DESCRIPTION = "An OAuth 2 client: gets a token (client_credentials) and sends requests with it."

NOTES = """\
The client secret is no option, because every user of the machine can read a
command line. It is looked for in this order: --secret-file FILE,
AIOALF_CLIENT_SECRET, a prompt (on a terminal, and only once it is needed).

environment:
  AIOALF_TOKEN_ENDPOINT   stands in for --token-endpoint
  AIOALF_CLIENT_ID        stands in for --client-id
  AIOALF_CLIENT_SECRET    the client secret
  NO_COLOR                no colours in the demo

exit status:
    0  done
    1  no token could be had (demo: something was not as claimed)
    2  the command line is wrong, or names a file that cannot be read
    3  no answer from the URL asked, or half of one
   22  --fail was given, and the status of the answer is 400 or above
   23  the output cannot be written
  130  interrupted
  141  the reader of the output went away
"""
MAIN_EXAMPLES = """\
examples:
  python -m aioalf demo
  export AIOALF_TOKEN_ENDPOINT=https://login.example.com/token
  export AIOALF_CLIENT_ID=client-id
  python -m aioalf request GET https://api.example.com/things
  python -m aioalf token --help

"""
REQUEST_EXAMPLES = """\
examples, with the token endpoint and the client id in the environment:
  python -m aioalf request GET https://api.example.com/things
  python -m aioalf request POST https://api.example.com/things \\
      --json '{"name": "alf"}' --fail
  python -m aioalf request PUT https://api.example.com/things/1 \\
      --data @thing.csv -H 'Content-Type: text/csv'

"""
TOKEN_EXAMPLES = """\
examples, with the token endpoint and the client id in the environment:
  python -m aioalf token --scope 'read write'
  python -m aioalf token --json | jq .expires_at
  python -m aioalf token | sed 's/^/Authorization: Bearer /' |
      curl -H @- https://api.example.com/things

"""
DEMO = """\
Starts an authorization server on loopback, in this process, and shows the life
of a token: fetched, reused, expired, renewed ahead, revoked, shared by a
thousand tasks and by two processes. What is counted, the server counted; the
exit status is 1 where that is not what is claimed.
"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where to read on; exit with 2."""
        self.exit(2, f"aioalf: {one_line(message)} (more: {self.prog} --help)\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse's own ignores, in some versions, that nothing can be written, and flushes nothing.
        file = file or sys.stderr
        if message and file is not None:  # print() would take stdout for None
            print(message, end="", file=file, flush=True)


def read_arguments(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> argparse.Namespace:
    """Read the command line.

    :param arguments: the arguments, without the program's name.
    :param environment: what to look the defaults up in; by default the process's environment.
    :return: ``command`` and what belongs to it, checked as far as that opens nothing.
    :raises SystemExit: help was asked for (0) or something is wrong (2); that has been printed.
    """
    whole, commands = _parsers(os.environ if environment is None else environment)
    # argparse would repeat what it does not know, and this is where a secret may stand.
    if any(re.match("--?(client[-_]?)?(secret|password)(=|$)", each) for each in arguments):
        whole.error(command_types.NO_SECRET_HERE)
    args, unknown = whole.parse_known_args(arguments)
    command = commands.get(args.command, whole)
    if unknown:
        named = (re.match("--[a-z][a-z_-]*|-[a-zA-Z]", each) for each in unknown)
        names = [match[0] for match in named if match]
        if names and args.command and unknown[0] in arguments[: arguments.index(args.command)]:
            command.error(f"{names[0]} stands before {args.command}: its options go after it")
        command.error(f"unknown option: {' '.join(names)}" if names else "too many arguments")
    if args.command is None:
        whole.error("say what to do: demo, request or token")
    if args.command == "demo":
        return args
    for name in ("token_endpoint", "client_id"):
        if not getattr(args, name):
            option = "--" + name.replace("_", "-")
            command.error(
                f"no {name.replace('_', ' ')}: give {option} or set AIOALF_{name.upper()}"
            )
    from_stdin = {"-", "@-"}
    body = {args.data, args.json} if args.command == "request" else set()
    if args.secret_file == "-" and body & from_stdin:
        command.error("the secret and the body cannot both be read from stdin")
    return args


def _parsers(environment: Mapping[str, str]) -> tuple[Parser, dict[str, Parser]]:
    from .. import __version__

    raw = argparse.RawDescriptionHelpFormatter
    whole = Parser(
        "python -m aioalf",
        description=DESCRIPTION,
        epilog=MAIN_EXAMPLES + NOTES,
        formatter_class=raw,
        allow_abbrev=False,
    )
    whole.add_argument("--version", action="version", version=f"aioalf {__version__}")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    demo = commands.add_parser(
        "demo",
        help="show the life of a token, against a server of its own",
        description=DEMO,
        formatter_class=raw,
        allow_abbrev=False,
    )

    shared = Parser(add_help=False)
    _add_shared(shared.add_argument_group("whose token"), environment)

    request = commands.add_parser(
        "request",
        parents=[shared],
        help="send a request with a token",
        description="Send a request with a token; the body of the answer goes to stdout.\n"
        "After a 401 it is sent once more, with a new token. Redirects are followed;\n"
        "another origin does not get the token.",
        epilog=REQUEST_EXAMPLES + NOTES,
        formatter_class=raw,
        allow_abbrev=False,
    )
    _add_request(request)

    token = commands.add_parser(
        "token",
        parents=[shared],
        help="print an access token",
        description="Print an access token and nothing else; whoever reads it may use it.",
        epilog=TOKEN_EXAMPLES + NOTES,
        formatter_class=raw,
        allow_abbrev=False,
    )
    token.add_argument(
        "--json",
        action="store_true",
        help="print access_token, token_type, expires_at (seconds since 1970, or null), scope",
    )
    return whole, {"demo": demo, "request": request, "token": token}


def _add_shared(group: argparse._ArgumentGroup, environment: Mapping[str, str]) -> None:
    group.add_argument(
        "--token-endpoint",
        metavar="URL",
        type=command_types.http_url,
        default=environment.get("AIOALF_TOKEN_ENDPOINT") or None,
        help="where tokens are given out [AIOALF_TOKEN_ENDPOINT]",
    )
    group.add_argument(
        "--client-id",
        metavar="ID",
        default=environment.get("AIOALF_CLIENT_ID") or None,
        help="the client identifier [AIOALF_CLIENT_ID]",
    )
    group.add_argument(
        "--secret-file",
        metavar="FILE",
        type=command_types.file,
        help="read the client secret from FILE (-: stdin)",
    )
    group.add_argument(
        "--client-auth",
        choices=("basic", "basic-raw", "post", "none"),
        default="basic",
        help="how id and secret are sent: basic (the default), basic-raw (Basic, nothing encoded),"
        " post (in the form), none (a public client)",
    )
    group.add_argument(
        "--scope", action="append", default=[], help="a scope, or several with spaces; repeatable"
    )
    group.add_argument(
        "--param",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        type=command_types.parameter,
        help="a further parameter of the token request, such as audience=...; repeatable",
    )
    group.add_argument(
        "--storage",
        metavar="FILE",
        type=command_types.file,
        help="keep the token in FILE, for the next time (the file extra is needed)",
    )
    group.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=command_types.seconds,
        help="the time a request may take in all, to the token endpoint or the URL",
    )
    group.add_argument(
        "-v", "--verbose", action="store_true", help="log to stderr; tokens appear as fingerprints"
    )


def _add_request(request: argparse.ArgumentParser) -> None:
    request.add_argument(
        "method", metavar="METHOD", type=command_types.method, help="GET, POST, ..."
    )
    request.add_argument("url", metavar="URL", type=command_types.http_url, help="what to ask")
    sent = request.add_argument_group("what is sent")
    sent.add_argument(
        "-H",
        "--header",
        metavar="'NAME: VALUE'",
        action="append",
        default=[],
        type=command_types.header,
        help="a header; repeatable",
    )
    body = sent.add_mutually_exclusive_group()
    body.add_argument(
        "--data",
        metavar="TEXT",
        help="the body: text, @FILE or - (stdin), as application/x-www-form-urlencoded unless -H"
        " says otherwise",
    )
    body.add_argument("--json", metavar="TEXT", help="the same for JSON, as application/json")
    answer = request.add_argument_group("what is shown")
    answer.add_argument(
        "-f",
        "--fail",
        action="store_true",
        help="exit with 22 and without the body where the status is 400 or above",
    )
    answer.add_argument(
        "-i", "--include", action="store_true", help="put status and headers before the body"
    )
    answer.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=command_types.file,
        help="write to FILE, not to stdout",
    )
