"""The arguments of `python -m aioalf`, and its help.

Pure: it reads arguments and the environment, opens nothing and sends nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from . import argument_types
from .errors import one_line
from .io import print_error, writing
from .token_arguments import add_person, add_token

__all__ = ("read_arguments",)

DESCRIPTION = "An OAuth 2 client: gets a token, its own or a person's, and sends requests\nwith it."

NOTES = """\
There is no option for the client secret, because every user of the machine can
read a command line. It is taken from --secret-file FILE, else from
AIOALF_CLIENT_SECRET, else it is asked for, if there is a terminal. With --user,
and for login and logout, a client without a secret is a public one.

environment:
  AIOALF_ISSUER            used if there is no --issuer
  AIOALF_TOKEN_ENDPOINT    used if there is no --token-endpoint
  AIOALF_CLIENT_ID         used if there is no --client-id
  AIOALF_CLIENT_SECRET     the client secret
  HTTP_PROXY, HTTPS_PROXY  the proxy for http and for https URLs
  NO_PROXY                 hosts, with commas, that are asked without a proxy
  NO_COLOR                 no colours in the demo

exit status:
    0  done
    1  there is no token, or it is not revoked (demo: a count is not as claimed)
    2  the command line is wrong, or names a file that cannot be read
    3  the URL gave no answer, or an incomplete one
   22  --fail was given, and the status of the answer is 400 or above
   23  the output cannot be written
   70  a fault of this program
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
LOGIN_EXAMPLES = """\
examples:
  python -m aioalf login --issuer https://login.example.com --client-id client-id \\
      --scope 'read offline_access'
  python -m aioalf request --user GET https://api.example.com/things \\
      --issuer https://login.example.com --client-id client-id \\
      --scope 'read offline_access'
  python -m aioalf logout --issuer https://login.example.com --client-id client-id \\
      --scope 'read offline_access'

"""
LOGIN = """\
Have a person sign in, and keep the token for "token --user", "request --user" and
for programs with the same issuer (or token endpoint), client id, scope, parameters
and account. In a browser on this machine; with --device on any other device.
"""
LOGOUT = """\
Revoke the token of "login", and delete it. It is deleted whatever the server says.
"""
DEMO = """\
Starts an authorization server on loopback, in this process, and shows the life
of a token: fetched, reused, expired, renewed ahead, revoked, shared by a
thousand tasks and by two processes. The server does the counting; the exit
status is 1 if a count is not as claimed.
"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message and where to read on; exit with 2."""
        self.exit(2, f"aioalf: {one_line(message)} (more: {self.prog} --help)\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse ignores, in some versions, that nothing can be written, and does not flush.
        if message and file is not None and file is sys.stdout:
            with writing():
                print(message, end="", file=file, flush=True)
        elif message:
            print_error(message.removesuffix("\n"))


def read_arguments(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> argparse.Namespace:
    """Read the command line.

    :param arguments: the arguments, without the program's name.
    :param environment: the variables for the defaults; by default those of the process.
    :return: ``command`` and its options, checked as far as possible without opening anything.
    :raises SystemExit: help was asked for (0) or something is wrong (2); that has been printed.
    """
    parser, commands = _parsers(os.environ if environment is None else environment)
    # argparse would repeat an argument that it does not know, and it may be a secret.
    if any(re.match("--?(client[-_]?)?(secret|password)(=|$)", word) for word in arguments):
        parser.error(argument_types.NO_SECRET_HERE)
    args, unknown = parser.parse_known_args(arguments)
    command = commands.get(args.command, parser)
    if unknown:
        matches = (re.match("--[a-z][a-z_-]*|-[a-zA-Z]", word) for word in unknown)
        names = [match[0] for match in matches if match]
        if names and args.command and unknown[0] in arguments[: arguments.index(args.command)]:
            command.error(f"{names[0]} stands before {args.command}: its options go after it")
        command.error(f"unknown option: {' '.join(names)}" if names else "too many arguments")
    if args.command is None:
        parser.error("no command: demo, login, logout, request or token is needed")
    if args.command == "demo":
        return args
    if not args.token_endpoint and not args.issuer and not args.discovery_url:
        command.error(
            "no token endpoint: give --issuer or --token-endpoint, or set AIOALF_ISSUER or"
            " AIOALF_TOKEN_ENDPOINT"
        )
    if not args.client_id:
        command.error("no client id: give --client-id or set AIOALF_CLIENT_ID")
    from_stdin = {"-", "@-"}
    body = {args.data, args.json} if args.command == "request" else set()
    if args.secret_file == "-" and body & from_stdin:
        command.error("the secret and the body cannot both be read from stdin")
    return args


def _parsers(environment: Mapping[str, str]) -> tuple[Parser, dict[str, Parser]]:
    from .. import __version__

    layout: dict[str, Any] = {
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }
    parser = Parser(
        "python -m aioalf", description=DESCRIPTION, epilog=MAIN_EXAMPLES + NOTES, **layout
    )
    parser.add_argument("--version", action="version", version=f"aioalf {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    demo = commands.add_parser(
        "demo",
        help="show the life of a token, against a server on loopback",
        description=DEMO,
        **layout,
    )
    shared, person = Parser(add_help=False), Parser(add_help=False)
    add_token(shared.add_argument_group("the token"), environment)
    add_person(person.add_argument_group("the person"))
    user = Parser(add_help=False)
    user.add_argument(
        "--user", action="store_true", help="a person's token, which login has stored"
    )
    login = commands.add_parser(
        "login",
        parents=[shared, person],
        help="have a person sign in",
        description=LOGIN,
        epilog=LOGIN_EXAMPLES + NOTES,
        **layout,
    )
    logout = commands.add_parser(
        "logout",
        parents=[shared, person],
        help="revoke the token of a person, and delete it",
        description=LOGOUT,
        epilog=LOGIN_EXAMPLES + NOTES,
        **layout,
    )
    request = commands.add_parser(
        "request",
        parents=[shared, user, person],
        help="send a request with a token",
        description="Send a request with a token; the body of the answer goes to stdout.\n"
        "After a 401 it is sent once more, with a new token. Redirects are followed;\n"
        "another origin does not get the token.",
        epilog=REQUEST_EXAMPLES + NOTES,
        **layout,
    )
    _add_request(request)
    token = commands.add_parser(
        "token",
        parents=[shared, user, person],
        help="print an access token",
        description="Print an access token and nothing else; anyone who reads it can use it.",
        epilog=TOKEN_EXAMPLES + NOTES,
        **layout,
    )
    token.add_argument(
        "--json",
        action="store_true",
        help="print access_token, token_type, expires_at (seconds since 1970, or null), scope",
    )
    for command, is_user in ((login, True), (logout, True), (demo, False)):
        command.set_defaults(user=is_user)
    return parser, {
        "demo": demo,
        "login": login,
        "logout": logout,
        "request": request,
        "token": token,
    }


def _add_request(request: argparse.ArgumentParser) -> None:
    request.add_argument(
        "method", metavar="METHOD", type=argument_types.method, help="GET, POST, ..."
    )
    request.add_argument("url", metavar="URL", type=argument_types.http_url, help="the URL")
    message = request.add_argument_group("the request")
    message.add_argument(
        "-H",
        "--header",
        metavar="'NAME: VALUE'",
        action="append",
        default=[],
        type=argument_types.header,
        help="a header; repeatable",
    )
    body = message.add_mutually_exclusive_group()
    body.add_argument(
        "--data",
        metavar="TEXT",
        help="the body: text, @FILE or - (stdin), as application/x-www-form-urlencoded unless -H"
        " says otherwise",
    )
    body.add_argument("--json", metavar="TEXT", help="the same for JSON, as application/json")
    answer = request.add_argument_group("the output")
    answer.add_argument(
        "-f",
        "--fail",
        action="store_true",
        help="exit with 22, and without the body, if the status is 400 or above",
    )
    answer.add_argument(
        "-i", "--include", action="store_true", help="put status and headers before the body"
    )
    answer.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=argument_types.file,
        help="write to FILE, not to stdout",
    )
