"""The options that say which token a command is about. Pure."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from . import argument_types

__all__ = ("add_person", "add_token")


def _variable(environment: Mapping[str, str], name: str) -> str | None:
    # A file that was read into a variable leaves its line end there.
    return environment.get(name, "").rstrip("\r\n") or None


def add_token(group: argparse._ArgumentGroup, environment: Mapping[str, str]) -> None:
    """Add the options that say whose token it is, and where from."""
    group.add_argument(
        "--issuer",
        metavar="URL",
        type=argument_types.http_url,
        default=_variable(environment, "AIOALF_ISSUER"),
        help="the issuer identifier: endpoints are looked up in its metadata [AIOALF_ISSUER]",
    )
    group.add_argument(
        "--discovery-url",
        metavar="URL",
        type=argument_types.http_url,
        help="where the metadata is, if not where the issuer says",
    )
    group.add_argument(
        "--token-endpoint",
        metavar="URL",
        type=argument_types.http_url,
        default=_variable(environment, "AIOALF_TOKEN_ENDPOINT"),
        help="where the server gives out tokens [AIOALF_TOKEN_ENDPOINT]",
    )
    group.add_argument(
        "--client-id",
        metavar="ID",
        default=_variable(environment, "AIOALF_CLIENT_ID"),
        help="the client identifier [AIOALF_CLIENT_ID]",
    )
    group.add_argument(
        "--secret-file",
        metavar="FILE",
        type=argument_types.file,
        help="read the client secret from FILE (-: stdin)",
    )
    group.add_argument(
        "--client-auth",
        choices=("basic", "basic-raw", "post", "none"),
        help="how id and secret are sent: basic (the default), basic-raw (Basic without encoding),"
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
        type=argument_types.parameter,
        help="a further parameter of the token request, such as audience=...; repeatable",
    )
    group.add_argument(
        "--account", metavar="NAME", help="whose token it is, if several people share all the rest"
    )
    group.add_argument(
        "--storage",
        metavar="FILE",
        type=argument_types.file,
        help="keep the token in FILE for the next time (needs the file extra)",
    )
    group.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=argument_types.seconds,
        help="the time limit of a request as a whole, to the token endpoint or to URL",
    )
    group.add_argument(
        "--proxy",
        metavar="URL",
        type=argument_types.proxy,
        help="the proxy for all requests but those to hosts in NO_PROXY [HTTP_PROXY, HTTPS_PROXY]",
    )
    group.add_argument(
        "-v", "--verbose", action="store_true", help="log to stderr; tokens appear as fingerprints"
    )


def add_person(group: argparse._ArgumentGroup) -> None:
    """Add the options that say how a person signs in, or out."""
    group.add_argument(
        "--device", action="store_true", help="sign in on another device, by a code that is shown"
    )
    group.add_argument(
        "--no-browser", action="store_true", help="print the address instead of opening a browser"
    )
    for name in ("authorization", "device-authorization", "revocation"):
        group.add_argument(
            f"--{name}-endpoint",
            metavar="URL",
            type=argument_types.http_url,
            help="that endpoint; not needed with --issuer",
        )
    group.add_argument(
        "--authorization-param",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        type=argument_types.parameter,
        help="a further parameter of the authorization request, such as prompt=consent; repeatable",
    )
    group.add_argument(
        "--port-range",
        metavar="FIRST-LAST",
        type=argument_types.port_range,
        default=(32000, 32009),
        help="the ports of the redirect URI (32000-32009); any: any free port",
    )
    group.add_argument(
        "--redirect-host",
        metavar="HOST",
        choices=("localhost", "127.0.0.1", "[::1]"),
        default="localhost",
        help="the host of the redirect URI: localhost (the default), 127.0.0.1 or [::1]",
    )
    group.add_argument(
        "--redirect-path", metavar="PATH", default="", help="the path of the redirect URI (none)"
    )
    group.add_argument(
        "--wait",
        metavar="SECONDS",
        type=argument_types.seconds,
        default=300.0,
        help="how long to wait for the person (300)",
    )
