"""Which of a `Client`'s keywords are for its manager and which for its session, and which go together."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import ClientSession, ClientTimeout
from aiohttp.helpers import sentinel
from yarl import URL

from .bearer.authorization import AUTH_REFUSED
from .bearer.origins import origins_of
from .manager import TokenManager
from .redaction import safe_url

__all__ = ("check_borrowed", "split_options")


def check_borrowed(
    manager: TokenManager | None,
    for_manager: Mapping[str, Any],
    session: ClientSession | None,
    for_session: Mapping[str, Any],
) -> None:
    """Check a manager and a session that a client borrows, and that nothing is said of them besides.

    :raises TypeError: the manager is none, or a keyword would not be used.
    :raises ValueError: the session has ``auth=`` set.
    """
    if isinstance(manager, type):
        raise TypeError("token_manager takes a manager, not a class: TokenManager(...).")
    if manager is not None and not hasattr(manager, "peek"):
        raise TypeError(f"token_manager takes a TokenManager, not a {type(manager).__name__}.")
    said = [name for name, value in for_manager.items() if value is not None]
    for keyword, borrowed, surplus in (
        ("token_manager", manager, said),
        ("session", session, for_session),
    ):
        if surplus and borrowed is not None:
            unused = ", ".join(sorted(surplus))
            raise TypeError(f"{keyword}= is given: {unused} would not be used; set them there.")
    if session is not None and session.auth is not None:
        raise ValueError(f"The session given as session= has auth= set: {AUTH_REFUSED}")


def split_options(
    manager_class: Callable[..., TokenManager], options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keywords for the manager class, and those for the `ClientSession`.

    :raises TypeError: neither of them knows a keyword, or a value is of the wrong kind.
    :raises ValueError: ``base_url`` is not a URL that paths can be joined to.
    """
    for_manager = dict(inspect.signature(manager_class).parameters)
    if any(p.kind is p.VAR_KEYWORD for p in for_manager.values()):  # passed on to a class above
        for above in (*getattr(manager_class, "__mro__", ()), TokenManager):
            if issubclass(above, TokenManager):
                for_manager.update(inspect.signature(above).parameters)
    for_session = inspect.signature(ClientSession.__init__).parameters
    # A tracer may have wrapped the constructor: the session then says itself what it does not know.
    wrapped = any(p.kind is p.VAR_KEYWORD for p in for_session.values())
    managers: dict[str, Any] = {}
    sessions: dict[str, Any] = {}
    for name, value in options.items():
        if name == "auth":
            raise TypeError(AUTH_REFUSED)
        if name in for_manager:
            managers[name] = value
        elif (name in for_session or wrapped) and name not in ("self", "loop"):
            sessions[name] = value
        else:
            raise TypeError(
                f"Client() got an unexpected keyword {name!r}: neither the token manager nor"
                " aiohttp.ClientSession knows it."
            )
    _check(sessions)
    return managers, sessions


def _check(options: Mapping[str, Any]) -> None:
    """Refuse at construction what aiohttp refuses only when the session is opened."""
    timeout = options.get("timeout", sentinel)
    if timeout is not None and timeout is not sentinel and not isinstance(timeout, ClientTimeout):
        raise TypeError(
            "timeout takes an aiohttp.ClientTimeout such as ClientTimeout(total=10), not a value of type"
            f" {type(timeout).__name__}."
        )
    base_url = options.get("base_url")
    if base_url is None:
        return
    origins_of(base_url, "base_url")
    if not URL(base_url).path.endswith("/"):
        raise ValueError(
            f"base_url is {safe_url(base_url)!r}; its path must end with a slash, or the last part of it"
            " would be lost when a path is joined to it."
        )
