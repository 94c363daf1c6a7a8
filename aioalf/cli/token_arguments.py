"""The options that say which token a command is about. Pure."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from . import argument_types
from .errors import CommandError, ExitStatus

__all__ = ("add_person", "add_token")


def _variable(environment: Mapping[str, str], name: str) -> str | None:
    # A file that was read into a variable leaves its line end there.
    return environment.get(name, "").rstrip("\r\n") or None


def _choice(environment: Mapping[str, str]) -> str | None:
    given = _variable(environment, "AIOALF_CLIENT_AUTH")
    if given not in (None, "basic", "basic-raw", "post", "none"):
        raise CommandError(
            ExitStatus.USAGE, "AIOALF_CLIENT_AUTH is one of: basic, basic-raw, post, none"
        )
    return given


def _parameters(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    words = (_variable(environment, "AIOALF_PARAM") or "").split()
    try:
        return [argument_types.parameter(word) for word in words]
    except argparse.ArgumentTypeError as error:
        raise CommandError(ExitStatus.USAGE, f"AIOALF_PARAM: {error}") from None


class _Instead(argparse.Action):
    """Collects the values of a repeatable option, in place of those of the environment."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        had = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [values] if had is self.default else [*had, values])


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
        default=_choice(environment),
        help="how id and secret are sent: basic (the default), basic-raw (Basic without encoding),"
        " post (in the form), none (a public client) [AIOALF_CLIENT_AUTH]",
    )
    scope = _variable(environment, "AIOALF_SCOPE")
    group.add_argument(
        "--scope",
        action=_Instead,
        default=[scope] if scope else [],
        help="a scope, or several with spaces; repeatable [AIOALF_SCOPE]",
    )
    group.add_argument(
        "--param",
        metavar="KEY=VALUE",
        action=_Instead,
        default=_parameters(environment),
        type=argument_types.parameter,
        help="a further parameter of the token request, such as audience=...; repeatable"
        " [AIOALF_PARAM]",
    )
    group.add_argument(
        "--account", metavar="NAME", help="whose token it is, if several people share all the rest"
    )
    group.add_argument(
        "--storage",
        metavar="FILE",
        type=argument_types.file,
        default=_variable(environment, "AIOALF_STORAGE"),
        help="keep the token in FILE for the next time (needs the file extra) [AIOALF_STORAGE]",
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
        "--cacert",
        metavar="FILE",
        type=argument_types.file,
        help="trust the certificates in FILE (PEM), in place of the system's",
    )
    group.add_argument(
        "--cert",
        metavar="FILE",
        type=argument_types.file,
        help="the client's certificate (PEM), with its key or with --key",
    )
    group.add_argument(
        "--key", metavar="FILE", type=argument_types.file, help="the key of --cert (PEM)"
    )
    group.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="log to stderr, with the heads of request and answer; tokens appear as fingerprints",
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
