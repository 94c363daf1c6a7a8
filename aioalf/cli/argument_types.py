"""Functions for ``type=`` in `argparse`. Pure.

Each takes a word of the command line and returns its value, or raises an `ArgumentTypeError` that
says what is needed.
"""

from __future__ import annotations

import contextlib
import re
from argparse import ArgumentTypeError

from yarl import URL

__all__ = (
    "NO_SECRET_HERE",
    "file",
    "form_field",
    "header",
    "http_url",
    "method",
    "parameter",
    "port_range",
    "proxy",
    "proxy_url",
    "seconds",
)

_OWN_PARAMETERS = {
    "grant_type": "it goes with the command",
    "client_id": "use --client-id",
    "scope": "use --scope",
}
# With one of the last three a server, or aiohttp, waits for something that never comes.
_OWN_HEADERS = {
    "authorization": "is where the token goes",
    "content-length": "follows from the body",
    "transfer-encoding": "follows from the body",
    "expect": "would hold the body back",
}
NO_SECRET_HERE = (
    "a secret does not belong on the command line: set AIOALF_CLIENT_SECRET, or give --secret-file"
)


def _check_text(text: str) -> None:
    # aiohttp leaves out what is not, and so asks for something else.
    if not text.isascii() and re.search("[\ud800-\udfff]", text):
        raise ArgumentTypeError("this is not text in the encoding of the terminal")


def http_url(text: str) -> str:
    """Return an absolute http or https URL without credentials, as it was written."""
    _check_text(text)
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        raise ArgumentTypeError("this is not a URL") from None
    if url.scheme not in ("http", "https") or not url.host or not port:
        example = "https://example.com/path"
        raise ArgumentTypeError(f"an absolute http or https URL is needed, like {example}")
    if url.user is not None or url.password is not None:
        raise ArgumentTypeError("take the user name and the password out of the URL")
    return text  # as it was written: it is part of what a stored token is bound to


def method(text: str) -> str:
    """Return an HTTP method in upper case."""
    if not re.fullmatch("[A-Za-z]+", text):
        raise ArgumentTypeError("a method such as GET is needed")
    return text.upper()


def header(text: str) -> tuple[str, str]:
    """``Name: value``, any header that the program does not set itself; returned as a pair."""
    _check_text(text)
    name, colon, value = text.partition(":")
    if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ArgumentTypeError("'Name: value' is needed")
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        raise ArgumentTypeError("a header is one line without control characters")
    if reason := _OWN_HEADERS.get(name.lower()):
        raise ArgumentTypeError(f"{name} {reason}; leave it out")
    return name, value.strip()


def file(text: str) -> str:
    """Return the name of a file, or ``-``."""
    if not text:  # a variable that is not set, mostly
        raise ArgumentTypeError("the name of a file is needed")
    return text


def form_field(text: str) -> tuple[str, str]:
    """``NAME=VALUE`` or ``NAME=@FILE``; returned as a pair."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ArgumentTypeError("NAME=VALUE or NAME=@FILE is needed")
    _check_text(name if value.startswith("@") else text)
    return name, value


def parameter(text: str) -> tuple[str, str]:
    """``KEY=VALUE`` for the token request, not a secret; returned as a pair."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ArgumentTypeError("KEY=VALUE is needed")
    if key in ("client_secret", "client_assertion", "password"):
        raise ArgumentTypeError(NO_SECRET_HERE)
    if option := _OWN_PARAMETERS.get(key):
        raise ArgumentTypeError(f"{key} is sent anyway: {option}")
    return key, value


def port_range(text: str) -> tuple[int, int] | None:
    """``FIRST-LAST``, or ``any`` for any free port."""
    if text == "any":
        return None
    first, _, last = text.partition("-")
    with contextlib.suppress(ValueError):
        if 1 <= int(first) <= int(last or first) <= 65535:
            return int(first), int(last or first)
    raise ArgumentTypeError("two ports are needed, like 32000-32009, or: any")


def proxy_url(text: str) -> URL:
    """``http://host:port`` or ``host:port``, with or without credentials; returned as a URL."""
    try:
        url = URL(text if "://" in text else f"http://{text}")
        usable = url.scheme == "http" and bool(url.host) and bool(url.port)
    except ValueError:
        usable = False
    if not usable:
        example = "http://proxy.example.com:3128"
        raise ArgumentTypeError(f"the http URL of a proxy is needed, like {example}")
    return url


def proxy(text: str) -> URL:
    """As `proxy_url`, without credentials."""
    url = proxy_url(text)
    if url.user is not None or url.password is not None:
        raise ArgumentTypeError(
            "the password of a proxy does not belong on the command line: set HTTP_PROXY and"
            " HTTPS_PROXY"
        )
    return url


def seconds(text: str) -> float:
    """Return a positive number of seconds."""
    with contextlib.suppress(ValueError):
        if 0 < (number := float(text)) < 1e9:
            return number
    raise ArgumentTypeError("a positive number of seconds is needed")
