"""A source: a secret as a string, or a callable that returns it, asked at each token request."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Union

from .errors import TokenError

__all__ = ("Source", "read_source")

#: A secret, or a callable, plain or ``async``, that returns it.
Source = Union[str, Callable[[], Union[str, Awaitable[str]]]]


async def read_source(source: Source | None, name: str) -> str | None:
    """Return the secret as it is now.

    :param source: the secret, the callable, or None.
    :param name: the parameter that it was given as, for messages.
    :raises TokenError: the callable failed, or the value is not a string.
    """
    value: object = source
    if callable(source):
        try:
            returned = source()
            value = await returned if inspect.isawaitable(returned) else returned
        except Exception as error:
            raise TokenError(
                f"The callable given as {name} failed ({type(error).__name__})."
            ) from error
    if value is not None and not isinstance(value, str):
        raise TokenError(
            "Missing credentials (client_id:client_secret): the"
            f" {name} is a {type(value).__name__}, not a string"
        )
    return value
