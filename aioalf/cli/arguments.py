"""The arguments of `python -m aioalf`, and its help.

Pure: it reads arguments and the environment, opens nothing and sends nothing.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from . import argument_types
from .errors import one_line
from .io import print_error, writing
from .texts import (
    DEMO,
    DESCRIPTION,
    LOGIN,
    LOGIN_EXAMPLES,
    LOGOUT,
    MAIN_EXAMPLES,
    NOTES,
    REQUEST_EXAMPLES,
    TOKEN_EXAMPLES,
)
from .token_arguments import add_person, add_token

__all__ = ("read_arguments",)

# What curl's users try.
_CURL = {
    "-k": "the certificate is always checked; --cacert FILE names the authority",
    "--insecure": "the certificate is always checked; --cacert FILE names the authority",
    "-u": "the token is the credential; --client-id and --secret-file say whose",
    "-A": "use -H 'User-Agent: ...'",
    "-b": "use -H 'Cookie: ...'",
    "-x": "use --proxy",
    "-s": "it is silent",
    "-O": "use -o FILE",
    "-G": "put the parameters into the URL",
    "-I": "use -X HEAD -i",
}


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
        if not names:
            command.error("too many arguments")
        command.error(f"unknown option: {' '.join(names)}{_remedy(names[0], command)}")
    if args.print_completion is not None:
        args.completion, args.command = _completion(parser, args.print_completion), "completion"
        return args
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
    if args.key is not None and args.cert is None:
        command.error("--key goes with --cert")
    if args.command == "request":
        _read_target(args, command)
        if (
            args.data
            and len(args.data) > 1
            and any(text[:1] == "@" or text == "-" for text in args.data)
        ):
            command.error("argument -d/--data: @FILE and - are the whole body; give them once")
        args.data = "&".join(args.data) if args.data else None  # as curl does
        files = [value for _, value in args.form if value != "-"]
        from_stdin = [each in ("-", "@-") for each in (args.data, args.json, *files)]
        if sum(from_stdin) + (args.secret_file == "-") > 1:
            command.error("stdin can be read only once: for the secret, the body or one field")
    return args


def _completion(parser: Parser, shell: str) -> str:
    try:
        import shtab
    except ImportError:
        parser.error('--print-completion needs more: pip install "aio-alf[cli]"')
    parser.prog = "aioalf"  # not "python", whose completion it would replace
    script: str = shtab.complete(parser, shell)
    return script


def _read_target(args: argparse.Namespace, command: Parser) -> None:
    """Read ``[METHOD] URL``, as curl and httpie users write it: without a method it is GET, or POST."""
    *methods, url = args.target
    if len(methods) > 1:
        command.error("too many arguments: METHOD and URL, or URL alone")
    if methods and args.request is not None:
        command.error("the method is given twice")
    has_body = bool(args.form) or args.data is not None or args.json is not None
    try:
        args.method = args.request or (
            argument_types.method(methods[0]) if methods else "POST" if has_body else "GET"
        )
        args.url = argument_types.http_url(url)
    except argparse.ArgumentTypeError as error:
        command.error(f"argument {'METHOD' if not hasattr(args, 'method') else 'URL'}: {error}")
    if args.form and (args.data is not None or args.json is not None):
        command.error("--form does not go with --data or --json")


def _remedy(name: str, command: Parser) -> str:
    """Return what to write in place of an option that there is not."""
    if (remedy := _CURL.get(name)) is not None:
        return f" ({remedy})"
    known = [option for option in command._option_string_actions if option.startswith("--")]
    near = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {near[0]}?)" if near else ""


def _parsers(environment: Mapping[str, str]) -> tuple[Parser, dict[str, Parser]]:
    from .. import __version__

    layout: dict[str, Any] = {
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }
    # As a console script it is called by its name.
    prog = "aioalf" if Path(sys.argv[0]).stem == "aioalf" else "python -m aioalf"
    layout["epilog"] = None

    def notes(examples: str) -> dict[str, Any]:
        return {**layout, "epilog": (examples + NOTES).replace("python -m aioalf", prog)}

    parser = Parser(prog, description=DESCRIPTION, **notes(MAIN_EXAMPLES))
    parser.add_argument("--version", action="version", version=f"aioalf {__version__}")
    parser.add_argument(
        "--print-completion",
        metavar="SHELL",
        choices=("bash", "zsh", "tcsh"),
        help="print a completion script for bash, zsh or tcsh (needs the cli extra)",
    )
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
        **notes(LOGIN_EXAMPLES),
    )
    logout = commands.add_parser(
        "logout",
        parents=[shared, person],
        help="revoke the token of a person, and delete it",
        description=LOGOUT,
        **notes(LOGIN_EXAMPLES),
    )
    request = commands.add_parser(
        "request",
        parents=[shared, user, person],
        help="send a request with a token",
        description="Send a request with a token; the body of the answer goes to stdout.\n"
        "After a 401 it is sent once more, with a new token. Redirects are followed;\n"
        "another origin does not get the token.",
        **notes(REQUEST_EXAMPLES),
    )
    _add_request(request)
    token = commands.add_parser(
        "token",
        parents=[shared, user, person],
        help="print an access token",
        description="Print an access token and nothing else; anyone who reads it can use it.",
        **notes(TOKEN_EXAMPLES),
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
        "target",
        metavar="[METHOD] URL",
        nargs="+",
        help="the method (GET, or POST if there is a body) and the URL",
    )
    message = request.add_argument_group("the request")
    message.add_argument(
        "-X", "--request", metavar="METHOD", type=argument_types.method, help="the method"
    )
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
        "-d",
        "--data",
        metavar="TEXT",
        action="append",
        help="the body: text, @FILE or - (stdin), as application/x-www-form-urlencoded unless -H"
        " says otherwise; repeatable, and joined with & then",
    )
    body.add_argument("--json", metavar="TEXT", help="the same for JSON, as application/json")
    message.add_argument(
        "-F",
        "--form",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        type=argument_types.form_field,
        help="a field of a multipart form, or NAME=@FILE; repeatable",
    )
    message.add_argument(
        "-L", "--location", action="store_true", help="nothing: redirects are followed anyway"
    )
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
