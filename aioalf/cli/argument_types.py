"""What a word on the command line may be: functions for ``type=`` in `argparse`. Pure.

Each takes the word and returns its value, or raises an `ArgumentTypeError` that says what is needed.
"""

from __future__ import annotations

import contextlib
import re
from argparse import ArgumentTypeError

from yarl import URL

__all__ = ("NO_SECRET_HERE", "file", "header", "http_url", "method", "parameter", "seconds")

_INSTEAD = {
    "grant_type": "it is client_credentials",
    "client_id": "use --client-id",
    "scope": "use --scope",
}
NO_SECRET_HERE = (
    "a secret does not belong on the command line: set AIOALF_CLIENT_SECRET, or give --secret-file"
)


def http_url(text: str) -> str:
    """An absolute http or https URL without credentials; returned as it was written."""
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        raise ArgumentTypeError("this is no URL") from None
    if url.scheme not in ("http", "https") or not url.host or not port:
        example = "https://example.com/path"
        raise ArgumentTypeError(f"an absolute http or https URL is needed, like {example}")
    if url.user is not None or url.password is not None:
        raise ArgumentTypeError("take the user name and the password out of the URL")
    return text  # as it was written: it is part of what a stored token is bound to


def method(text: str) -> str:
    """An HTTP method; returned in upper case."""
    if not re.fullmatch("[A-Za-z]+", text):
        raise ArgumentTypeError("a method such as GET is needed")
    return text.upper()


def header(text: str) -> tuple[str, str]:
    """``Name: value``, any header but Authorization; returned as a pair."""
    name, colon, value = text.partition(":")
    if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ArgumentTypeError("'Name: value' is needed")
    if re.search(r"[\r\n\0]", value):
        raise ArgumentTypeError("a header is one line")
    if name.lower() == "authorization":
        raise ArgumentTypeError("Authorization is where the token goes; leave it out")
    return name, value.strip()


def file(text: str) -> str:
    """The name of a file, or ``-``."""
    if not text:  # a variable that is not set, mostly
        raise ArgumentTypeError("the name of a file is needed")
    return text


def parameter(text: str) -> tuple[str, str]:
    """``KEY=VALUE`` for the token request, no secret; returned as a pair."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ArgumentTypeError("KEY=VALUE is needed")
    if key in ("client_secret", "client_assertion", "password"):
        raise ArgumentTypeError(NO_SECRET_HERE)
    if option := _INSTEAD.get(key):
        raise ArgumentTypeError(f"{key} is sent anyway: {option}")
    return key, value


def seconds(text: str) -> float:
    """A positive number of seconds."""
    with contextlib.suppress(ValueError):
        if 0 < (number := float(text)) < 1e9:
            return number
    raise ArgumentTypeError("a positive number of seconds is needed")
