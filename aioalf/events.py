"""What happens to a token, for those who count it: what ``on_event=`` is called with.

Each event is what one record of the log says, and is also that record: ``str(event)`` is its text, and
``event.level`` its level. None holds a token or a secret.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Literal, TypeAlias

__all__ = (
    "Event",
    "EventHook",
    "Reason",
    "RejectionKept",
    "RequestResent",
    "SignInBegun",
    "SignInDone",
    "SignInFailed",
    "SignInNeeded",
    "StorageFailed",
    "StorageRecovered",
    "TokenObtained",
    "TokenRequestFailed",
    "check_hook",
    "emit",
)

logger: logging.Logger = logging.getLogger("aioalf")

#: Why there is a new token: there was none, it had expired, it was renewed ahead of its expiry, an API had
#: rejected it, the program has demanded a new one, or that a person signs in.
Reason: TypeAlias = Literal["first", "expired", "ahead", "rejected", "forced", "sign-in"]

_SLOW = 0.1  # seconds
_WHY = {
    "first": "the first one",
    "expired": "the last one has expired",
    "ahead": "ahead of the expiry",
    "rejected": "the last one was rejected",
    "forced": "the program demanded it",
    "sign-in": "the program demanded a sign-in",
}


class Event:
    """Something that happened; the base class of all."""

    @property
    def level(self) -> int:
        """The level of its record in the log."""
        return logging.INFO


@dataclass(frozen=True)
class TokenObtained(Event):
    """There is a new token.

    :param reason: why.
    :param source: where it is from: the token endpoint, or a storage, where another manager has put it.
    :param seconds: how long that took.
    :param lifetime: for how many seconds it lives from now; None if the server does not say.
    :param token: the fingerprint that stands for it in the log.
    """

    reason: Reason
    source: Literal["endpoint", "storage"]
    seconds: float
    lifetime: float | None
    token: str

    def __str__(self) -> str:
        life = "" if self.lifetime is None else f", lives {self.lifetime:.0f} s"
        source = "new" if self.source == "endpoint" else "from the storage"
        return (
            f"Token {self.token}, {source} ({_WHY[self.reason]}): took {self.seconds:.3f} s{life}"
        )


@dataclass(frozen=True)
class TokenRequestFailed(Event):
    """There is no new token.

    :param reason: what it was for.
    :param error: the OAuth error code (RFC 6749 section 5.2), if the server gave one.
    :param status: the HTTP status, if the server answered.
    :param message: what is wrong.
    :param seconds: how long that took.
    :param old_token_serves: for how many seconds the old token goes on serving; 0 if it does not, and
        infinity if the server does not say how long.
    :param pause: for how many seconds nothing is asked; 0 if the next request may ask.
    """

    reason: Reason
    error: str | None
    status: int | None
    message: str
    seconds: float
    old_token_serves: float
    pause: float

    @property
    def level(self) -> int:
        return logging.WARNING

    def __str__(self) -> str:
        end = "" if self.message.endswith("?") else "."
        if not self.old_token_serves:
            return f"No token: {self.message}{end}"
        ahead = " ahead" if self.reason == "ahead" else ""
        left = f"serves for {self.old_token_serves:.0f} s more"
        if self.old_token_serves == inf:
            left = "goes on serving"
        return f"The token was not renewed{ahead}, the old one {left}: {self.message}{end}"


@dataclass(frozen=True)
class RequestResent(Event):
    """A request whose token was rejected was sent again with a new one.

    :param accepted: whether that one was accepted.
    """

    accepted: bool

    def __str__(self) -> str:
        outcome = "accepted" if self.accepted else "rejected again"
        return f"A request whose token was rejected was sent again with a new one, and {outcome}."


@dataclass(frozen=True)
class RejectionKept(Event):
    """A request whose token was rejected was not sent again: its caller got the answer.

    :param reason: why. ``body``: its body can be read only once. ``paused``: new tokens do not help, or
        cannot be had, and the next one is fetched later. ``origin``: a redirect had led to another origin,
        where no token is sent.
    :param method: the HTTP method of the request.
    :param host: where it was sent.
    :param status: the status of the answer.
    """

    reason: Literal["body", "paused", "origin"]
    method: str
    host: str | None
    status: int

    @property
    def level(self) -> int:
        """WARNING if the program can do something about it, else INFO."""
        return logging.WARNING if self.reason == "body" else logging.INFO

    def __str__(self) -> str:
        answered = f"A {self.method} request to {self.host} was answered {self.status}"
        if self.reason == "body":
            return (
                f"{answered} and cannot be sent again: its body can be read only once. The {self.status} is"
                " returned, and the next request has a new token."
            )
        if self.reason == "origin":
            return f"{answered}: it came from a redirect to another origin, where the token is not sent."
        return f"{answered}, which is returned: no new token is fetched for a while."


@dataclass(frozen=True)
class SignInNeeded(Event):
    """A person has to sign in, and is asked only when the program says so.

    :param message: what the program has to do.
    :param awaited: whether a task needs the token now; else it was to be renewed ahead.
    """

    message: str
    awaited: bool

    @property
    def level(self) -> int:
        """WARNING if a task needs the token now."""
        return logging.WARNING if self.awaited else logging.INFO

    def __str__(self) -> str:
        begin = "No token" if self.awaited else "The token was not renewed ahead"
        return f"{begin}: {self.message}."


@dataclass(frozen=True)
class SignInBegun(Event):
    """A person is asked to sign in."""

    def __str__(self) -> str:
        return "A person is asked to sign in."


@dataclass(frozen=True)
class SignInDone(Event):
    """A person has signed in.

    :param seconds: how long that took.
    """

    seconds: float

    def __str__(self) -> str:
        return f"A person has signed in: took {self.seconds:.0f} s."


@dataclass(frozen=True)
class SignInFailed(Event):
    """A sign-in was refused, failed, did not come in time, or was given up as no task waits for it.

    :param error: the OAuth error code, such as ``access_denied``, if there is one.
    :param seconds: how long that took.
    """

    error: str | None
    seconds: float

    def __str__(self) -> str:
        return f"A sign-in has failed after {self.seconds:.0f} s: {self.error or 'no error code'}."


@dataclass(frozen=True)
class StorageFailed(Event):
    """A token storage failed; the manager goes on without it. Not said again until it has worked.

    :param call: what it was asked to do: ``load``, ``save``, ``clean``, ``lock`` or ``unlock``.
    :param message: what is wrong.
    :param at_stake: whether a refresh token could not be saved: it is kept, and saving it is tried again.
    """

    call: str
    message: str
    at_stake: bool

    @property
    def level(self) -> int:
        """ERROR if a refresh token is at stake, else WARNING."""
        return logging.ERROR if self.at_stake else logging.WARNING

    def __str__(self) -> str:
        kept = "; the refresh token is kept in memory and saving it is tried again"
        return (
            f"The token storage failed ({self.call}): {self.message}. Going on without it"
            f"{kept if self.at_stake else ''}."
        )


@dataclass(frozen=True)
class StorageRecovered(Event):
    """A token storage that had failed works again.

    :param call: what it could not do before.
    """

    call: str

    def __str__(self) -> str:
        return f"The token storage works again ({self.call})."


#: Called with each event, in the event loop, in the context of the task that caused it.
EventHook: TypeAlias = Callable[[Event], object]

_faulty: set[str] = set()  # what is wrong with which hooks; each is told once


def check_hook(hook: object) -> None:
    """Check what is given as ``on_event=``.

    :raises TypeError: it cannot be called, or is a coroutine function, which nobody would wait for.
    """
    if not callable(hook):
        raise TypeError(f"on_event takes a function of one event, not a {type(hook).__name__}.")
    if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(type(hook).__call__):
        raise TypeError(
            "on_event takes a plain function: nobody waits for a coroutine. It may put the event into an"
            " asyncio.Queue, which a task of yours reads."
        )


def emit(event: Event, hook: EventHook | None, context: contextvars.Context | None = None) -> None:
    """Log an event and tell it to the hook, which cannot break anything.

    :param context: where to do that; by default in the one that runs.
    """
    if context is not None:
        context.run(emit, event, hook)
        return
    logger.log(event.level, "%s", event)
    if hook is None:
        return
    begun = monotonic()
    try:
        returned = hook(event)
    except (
        Exception,
        asyncio.CancelledError,
    ) as error:  # that one is of a future, not of this task
        _tell_once(hook, f"raised {type(error).__name__}", exc_info=True)
        return
    if inspect.iscoroutine(returned):
        returned.close()
        _tell_once(hook, "returned a coroutine, which nobody waits for")
    if monotonic() - begun > _SLOW:
        _tell_once(hook, f"took more than {_SLOW:g} s, for which every task had to wait")


def _tell_once(hook: EventHook, fault: str, exc_info: bool = False) -> None:
    name = getattr(hook, "__qualname__", type(hook).__name__)
    if (told := f"{name} {fault}") not in _faulty:
        _faulty.add(told)
        logger.error("The on_event= hook %s. This is not told again.", told, exc_info=exc_info)
