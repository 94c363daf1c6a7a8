"""A source: a secret as a string, or a callable that returns it, asked at each token request.

A client secret is one; so is a key, an assertion, a refresh token, or somebody else's token.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import os
from typing import TypeAlias

from ._tasks import wait_bounded
from .errors import TokenError
from .protocol.client_auth import ClientSecret

__all__ = ("Source", "account_of", "check_source", "read_needed", "read_secret", "read_source")

#: A string, or a callable, plain or ``async``, that returns it. A client secret was the first one.
Source: TypeAlias = ClientSecret

_NO_CREDENTIALS = "Missing credentials (client_id:client_secret)"  # as in 0.4.0
_TIMEOUT = 30.0  # seconds that a callable may take


async def read_secret(
    client_id: object, client_secret: ClientSecret | None, *, needed: bool
) -> str:
    """Return the client secret as it is now; empty if none is needed.

    :param client_id: the client identifier, which must be there in any case.
    :raises TokenError: there are no credentials, or `read_source` raised it.
    """
    if not client_id:
        raise TokenError(_NO_CREDENTIALS)
    if not isinstance(client_id, str):
        kind = type(client_id).__name__
        raise TokenError(f"{_NO_CREDENTIALS}: the client_id is a {kind}, not a string")
    secret = await read_source(client_secret, "client_secret")
    if secret is None and needed:
        raise TokenError(_NO_CREDENTIALS)
    return secret or ""


async def read_source(source: Source | None, name: str) -> str | None:
    """Return what a source gives now.

    :param source: the secret, the callable, or None.
    :param name: the parameter that it was given as, for messages.
    :return: its value, without a line end at its end.
    :raises TokenError: the callable failed or did not answer in time, or the value is not a string.
    """
    value: object = source
    if callable(source):
        try:
            returned = source()
            if inspect.isawaitable(returned):
                returned = await wait_bounded(returned, _TIMEOUT)
            value = returned
        except asyncio.TimeoutError as error:
            raise TokenError(
                f"The callable given as {name} gave no answer within {_TIMEOUT:g} s."
            ) from error
        except TokenError:
            raise  # it says itself what is wrong
        except Exception as error:
            raise TokenError(
                f"The callable given as {name} failed ({type(error).__name__})."
            ) from error
    if value is not None and not isinstance(value, str):
        missing = f"{_NO_CREDENTIALS}: the" if name == "client_secret" else "The"
        raise TokenError(f"{missing} {name} is a {type(value).__name__}, not a string")
    # A line end is a file's or an editor's: no secret ends in one (RFC 6749 appendix A.2).
    return None if value is None else value.rstrip("\r\n")


async def read_needed(source: Source | None, name: str) -> str:
    """Return what a source gives now; see `read_source`.

    :raises TokenError: it gives nothing.
    """
    value = await read_source(source, name)
    if not value:
        raise TokenError(f"Missing {name}: it is empty, or None.")
    return value


def account_of(account: str | None, *sources: Source | None) -> str | None:
    """Return whose token it is, for the key under which it is stored.

    :param account: as it was given; it comes first.
    :param sources: what tells one from another. Strings count, hashed; callables cannot be told apart.
    """
    known = [source for source in sources if isinstance(source, str)]
    if account is not None or not known:
        return account
    return hashlib.sha256("\0".join(known).encode("utf-8", "surrogatepass")).hexdigest()


def check_source(source: object, name: str) -> None:
    """Check that something is a source.

    :raises TypeError: it is neither a string nor callable.
    """
    if not isinstance(source, (str, type(None))) and not callable(source):
        remedy = " SecretFile(path) reads a file." if isinstance(source, os.PathLike) else ""
        raise TypeError(
            f"{name} takes a string, or a callable that returns one, not a {type(source).__name__}."
            + remedy
        )
