"""Which of a `Client`'s keywords are for its manager and which for its session."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from aiohttp import ClientSession

from .bearer.sender import AUTH_REFUSED
from .manager import TokenManager

__all__ = ("split_options",)


def split_options(
    manager_class: Callable[..., TokenManager], options: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell the keywords of a manager class from those of a `ClientSession`."""
    if not options:
        return {}, {}
    for_session = inspect.signature(ClientSession.__init__).parameters
    for_manager = dict(inspect.signature(manager_class).parameters)
    if any(p.kind is p.VAR_KEYWORD for p in for_manager.values()):
        for_manager.update(inspect.signature(TokenManager).parameters)
    if "auth" in options:
        raise TypeError(AUTH_REFUSED)
    mine: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in options.items():
        if name in for_manager:
            mine[name] = value
        elif name in for_session and name not in ("self", "loop"):
            others[name] = value
        else:
            raise TypeError(
                f"Client() got an unexpected keyword {name!r}: neither the token manager nor"
                " aiohttp.ClientSession knows it."
            )
    return mine, others
