"""The limits of a request to the authorization server: of its options, its time and its size."""

from __future__ import annotations

import inspect
import logging
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import ClientPayloadError, ClientSession, ClientTimeout
from multidict import CIMultiDict

__all__ = ("unpacked", "validate_options")

logger: logging.Logger = logging.getLogger("aioalf")

# `http_options` may not replace the credentials, the form and the limits.
_RESERVED_OPTIONS = frozenset(
    "method str_or_url url params data json auth cookies allow_redirects max_redirects"
    " raise_for_status read_until_eof auto_decompress middlewares self".split()
)
_OWN_HEADERS = frozenset(
    "authorization accept accept-encoding content-type content-length cookie".split()
)


def validate_options(
    options: Mapping[str, Any], default_timeout: ClientTimeout
) -> tuple[dict[str, Any], CIMultiDict[str]]:
    """Return ``http_options=`` without what they may not replace, and their headers.

    :raises TypeError: a keyword is not one of aiohttp's.
    """
    known: Callable[..., Any] = ClientSession._request
    parameters = inspect.signature(known).parameters if options else {}
    for name in options:
        if name not in parameters and name not in _RESERVED_OPTIONS:
            raise TypeError(
                f"http_options: {name!r} is not a keyword of aiohttp.ClientSession.request."
            )
    reserved = sorted(_RESERVED_OPTIONS & options.keys())
    own: CIMultiDict[str] = CIMultiDict(options.get("headers") or ())
    reserved += sorted({name for name in own if name.lower() in _OWN_HEADERS})
    if reserved:
        logger.warning(
            "http_options cannot replace the credentials, the form or the limits of a token request; left"
            " out: %s.",
            ", ".join(reserved),
        )
    for name in _OWN_HEADERS:
        own.popall(name, None)
    kept = {k: v for k, v in options.items() if k not in _RESERVED_OPTIONS and k != "headers"}
    kept["timeout"] = _limited(kept.get("timeout"), default_timeout)
    return kept, own


def _limited(timeout: Any, default: ClientTimeout) -> ClientTimeout:
    """Return a timeout with a limit to the whole: everything that needs a token waits for this request."""
    if timeout is None:  # to aiohttp that is the session's
        return default
    if not isinstance(timeout, ClientTimeout):
        return ClientTimeout(total=timeout or default.total)
    if timeout.total:
        return timeout
    names = ("connect", "sock_read", "sock_connect", "ceil_threshold")
    return ClientTimeout(default.total, **{name: getattr(timeout, name) for name in names})


def unpacked(encoding: str, body: bytearray, limit: int) -> bytearray:
    """Undo a Content-Encoding, as far as one byte over the limit.

    Not left to aiohttp, some versions of which unpack whatever has arrived before anybody can look: 250
    KiB of zeros, packed, are then 250 MiB.

    :raises ClientPayloadError: it is not what it says, or cut short.
    """
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate") or not body:
        return body  # servers also name a charset here; what they cannot mean is read as it is
    # Some send "deflate" without the zlib format around it.
    headless = body[0] & 0x0F != 8 and body[0] != 0x1F
    unpacked, rest = bytearray(), bytes(body)
    while len(unpacked) <= limit:
        unpacking = zlib.decompressobj(-zlib.MAX_WBITS if headless else zlib.MAX_WBITS | 32)
        try:
            unpacked += unpacking.decompress(rest, limit + 1 - len(unpacked))
        except zlib.error:
            raise ClientPayloadError from None
        rest = unpacking.unused_data
        if not rest.startswith(b"\x1f\x8b"):  # no further member (RFC 1952 section 2.2)
            if len(unpacked) <= limit and not unpacking.eof:
                raise ClientPayloadError
            break
    return unpacked
