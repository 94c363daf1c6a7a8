"""Revocation: the server is told that tokens are not needed any more (RFC 7009)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from .backoff import LONGEST_PAUSE
from .clock import Clock
from .endpoint import REVOCATION_ENDPOINT
from .errors import TokenError, TokenHTTPError
from .token import Token

__all__ = ("revoke_token",)

Request = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


async def revoke_token(token: Token, request: Request, clock: Clock) -> None:
    """Revoke a token: its refresh token first, which most servers let end the access token too.

    :param request: sends a form to an endpoint with the client's credentials.
    :param clock: the sleep, for a server that asks to wait up to a minute (RFC 7009 section 2.2.1).
    :raises TokenError: one of them is not revoked; both have been tried.
    """
    failure: TokenError | None = None
    for kind, value in (
        ("refresh_token", token.refresh_token),
        ("access_token", token.access_token),
    ):
        if not value:
            continue
        form = {"token": value, "token_type_hint": kind}
        try:
            try:
                await request(REVOCATION_ENDPOINT, form)
            except TokenHTTPError as error:
                wait = error.retry_after
                if error.response_status != 503 or wait is None or wait > LONGEST_PAUSE:
                    raise
                await clock.sleep(wait)
                await request(REVOCATION_ENDPOINT, form)
        except TokenError as error:
            # Not every server revokes access tokens (RFC 7009 section 2): they run out by themselves.
            unsupported = (
                isinstance(error, TokenHTTPError) and error.error == "unsupported_token_type"
            )
            if not unsupported:
                failure = failure or error
    if failure is not None:
        raise failure
