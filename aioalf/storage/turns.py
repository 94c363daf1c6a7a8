"""Which manager of a process asks for the lock of a storage, and what the others get from it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from weakref import WeakValueDictionary

from ..token import Token

__all__ = ("Look", "TokenFound", "Turn", "turn_of")

#: Returns the token that a lock is waited for, if another has stored it; the argument is one that is known
#: to be stored.
Look: TypeAlias = "Callable[[Token | None], Awaitable[Token | None]]"


class Turn(asyncio.Lock):
    """Whose turn it is, of all managers of one process and one slot, to ask for the storage's lock."""

    #: The token that the last of them has found or stored.
    token: Token | None = None


_turns: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, int, str], Turn] = (
    WeakValueDictionary()
)


def turn_of(storage: object, binding: str) -> Turn:
    """Return that of all managers in the running loop that share a slot; it lives as long as one waits."""
    key = asyncio.get_running_loop(), id(storage), binding
    return _turns.setdefault(key, Turn())


class TokenFound(Exception):
    """Another has stored the token that a lock was waited for.

    :param token: that one.
    """

    def __init__(self, token: Token) -> None:
        super().__init__()
        self.token = token
