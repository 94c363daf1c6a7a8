"""The manager and the storage of a command line."""

from __future__ import annotations

import argparse
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from ..manager import TokenManager
from ..protocol.client_auth import (
    ClientAuth,
    ClientSecretBasic,
    ClientSecretBasicRaw,
    ClientSecretPost,
    NoClientAuth,
)
from ..storage.base import TokenStorage
from .errors import CONNECT_TIMEOUT, CommandError, ExitStatus
from .io import ClientSecret
from .proxy import Proxies

__all__ = ("manager_of", "storage_of")

CLIENT_AUTH: dict[str, Callable[[], ClientAuth]] = {
    "basic": ClientSecretBasic,
    "basic-raw": ClientSecretBasicRaw,
    "post": ClientSecretPost,
    "none": NoClientAuth,
}


def storage_of(args: argparse.Namespace) -> TokenStorage | None:
    """Return where the token is kept: for a person in a file of its own, else as --storage says.

    :raises CommandError: there is no such place.
    """
    if args.storage is None and not args.user:
        return None
    from ..storage.file import FileTokenStorage

    if args.storage is None:
        return FileTokenStorage()
    try:
        path = Path(args.storage).expanduser()
    except RuntimeError as error:  # a user that does not exist
        line = f"--storage: there is no home directory for {args.storage}"
        raise CommandError(ExitStatus.USAGE, line) from error
    return FileTokenStorage(path)


def manager_of(
    args: argparse.Namespace,
    secret: ClientSecret | None,
    proxies: Proxies,
    storage: TokenStorage | None,
    tls: ssl.SSLContext | None,
) -> TokenManager:
    """Return the manager that a program with the same settings would make.

    :param secret: the client secret; None for a public client.
    :param tls: what TLS connections are made with; None: as usual.
    """
    http: dict[str, Any] = {
        "proxy": proxies.for_url(args.token_endpoint or args.issuer or args.discovery_url)
    }
    if tls is not None:
        http["ssl"] = tls
    if args.timeout:
        http["timeout"] = aiohttp.ClientTimeout(total=args.timeout, connect=CONNECT_TIMEOUT)
    options: dict[str, Any] = {
        "issuer": args.issuer,
        "discovery_url": args.discovery_url,
        "account": args.account,
        "token_storage": storage,
        "token_request_params": _params(args.param),
    }
    if args.client_auth is not None:
        options["client_auth"] = CLIENT_AUTH[args.client_auth]()
    given = None if args.client_auth == "none" else secret
    named = (args.token_endpoint, args.client_id, given, http, args.scope)
    if not args.user:
        return TokenManager(*named, **options)
    options["revocation_endpoint"] = args.revocation_endpoint
    options["authorization_timeout"] = args.wait
    options["unattended"] = True  # login asks by itself
    if args.device:
        from ..interactive.device import DeviceTokenManager

        endpoint = args.device_authorization_endpoint
        return DeviceTokenManager(*named, device_authorization_endpoint=endpoint, **options)
    from ..interactive.authorization_code import AuthorizationCodeTokenManager

    return AuthorizationCodeTokenManager(
        *named,
        authorization_endpoint=args.authorization_endpoint,
        authorization_params=_params(args.authorization_param),
        port_range=args.port_range,
        redirect_host=args.redirect_host,
        redirect_path=args.redirect_path,
        open_browser=_no_browser if args.no_browser else None,
        **options,
    )


def _no_browser(url: str) -> bool:
    return False


def _params(pairs: list[tuple[str, str]]) -> dict[str, str | list[str]]:
    values: dict[str, list[str]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    # One value is not a list: a program with the same parameters then shares the stored token.
    return {key: several if len(several) > 1 else several[0] for key, several in values.items()}
