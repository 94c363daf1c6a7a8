"""Checks of a `TokenManager`'s keywords: a mistake is named where it is made, not at the first request."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .protocol.client_auth import ClientAuth
from .protocol.token_endpoint import encode_form

__all__ = ("check_options",)

_RESERVED_PARAMS = frozenset({"grant_type", "scope", "client_id", "client_secret"})


def check_options(
    *,
    on_event: object,
    anonymous: bool,
    account: object,
    http_options: object,
    client_auth: object,
    token_storage: object,
    token_request_params: Mapping[str, Any] | None,
    token_retries: object,
    expiry_margin: object,
    renewal_margin: object,
) -> None:
    """Check the keywords of `aioalf.TokenManager`.

    :param anonymous: whether no client is named, as some flows allow.
    :raises TypeError: a value is of the wrong kind.
    :raises ValueError: a number is negative, or a parameter has a keyword of its own.
    """
    if on_event is not None:
        from .events import check_hook

        check_hook(on_event)
    for name, value in (
        ("http_options", http_options),
        ("token_request_params", token_request_params),
    ):
        if value is not None and not isinstance(value, Mapping):
            raise TypeError(f"{name} takes a dict, not a {type(value).__name__}.")
    for name, number in (
        ("token_retries", token_retries),
        ("expiry_margin", expiry_margin),
        ("renewal_margin", renewal_margin),
    ):
        if not isinstance(number, (int, float)):
            raise TypeError(f"{name} takes a number, not a {type(number).__name__}.")
        if number < 0:
            raise ValueError(f"{name} cannot be negative.")
    if token_request_params:
        if reserved := sorted(_RESERVED_PARAMS & token_request_params.keys()):
            raise ValueError(
                f"token_request_params cannot hold {', '.join(reserved)}: see scope=, client_auth=."
            )
        encode_form(token_request_params)
    if client_auth is not None and not isinstance(client_auth, ClientAuth):
        raise TypeError("client_auth takes a ClientAuth such as ClientSecretPost().")
    if client_auth is not None and anonymous and client_auth.needs_client_id:
        raise TypeError(f"{type(client_auth).__name__} as client_auth needs a client_id.")
    if not isinstance(account, (str, type(None))):
        raise TypeError(f"account takes a string, not a {type(account).__name__}.")
    if isinstance(token_storage, (str, os.PathLike, type)):
        raise TypeError(
            "token_storage takes a TokenStorage such as FileTokenStorage('tokens.json')."
        )
