"""The one POST to the token endpoint, behind its fences.

A token request has a session of its own, so that the caller's traffic cannot starve a renewal (a pool
whose every slot waits on a 401 would deadlock) and nothing of the caller's session defaults leaks into
it: no cookies, no netrc, no middlewares. It follows no redirect and reads at most 1 MiB.
"""

from __future__ import annotations

import asyncio
import inspect
import ipaddress
import logging
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import (
    ClientConnectionError,
    ClientError,
    ClientHttpProxyError,
    ClientPayloadError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    DummyCookieJar,
    ServerDisconnectedError,
    ServerFingerprintMismatch,
    hdrs,
)
from multidict import CIMultiDict
from yarl import URL

from .backoff import backoff, read_retry_after
from .clock import Clock
from .errors import TokenError
from .redaction import safe_url
from .sessions import OwnedSession

__all__ = ("EndpointClient", "is_cleartext", "validate_url")

logger = logging.getLogger("aioalf")

_BODY_LIMIT = 2**20  # bytes, after decompression
_TIMEOUT = ClientTimeout(total=30)
_TLS_ERRORS = (ClientSSLError, ServerFingerprintMismatch)
_RETRYABLE_STATUSES = frozenset({429, 502, 503, 504})
# What `http_options` may not replace: the credentials, the form and the fences.
_RESERVED_OPTIONS = frozenset(
    "method str_or_url url params data json auth cookies allow_redirects max_redirects"
    " raise_for_status read_until_eof auto_decompress middlewares self".split()
)
_OWN_HEADERS = frozenset(
    "authorization accept accept-encoding content-type content-length cookie".split()
)


class EndpointClient:
    """Sends token requests.

    :param session: a session to send them with, borrowed; None for one of its own.
    :param http_options: keywords of ``ClientSession.request`` for every token request.
    :param retries: how often a request that failed for a passing reason is repeated.
    :param clock: the clocks and the sleep.
    :raises TypeError: `http_options` holds a keyword that aiohttp does not have.
    """

    def __init__(
        self,
        session: ClientSession | None,
        http_options: Mapping[str, Any] | None,
        retries: int,
        clock: Clock,
    ) -> None:
        self._session = session
        self._own = OwnedSession(lambda: ClientSession(cookie_jar=DummyCookieJar()))
        self._options, self._headers = _validate_options(http_options or {})
        self._retries = retries
        self._clock = clock

    async def post(
        self, endpoint: URL, headers: Mapping[str, str], form: Mapping[str, Any]
    ) -> tuple[ClientResponse, bytes]:
        """Send one request, again after a transient failure, and read the answer whole.

        :param endpoint: the URL, as `validate_url` returns it.
        :param headers: header fields of client authentication.
        :param form: the form, credentials included.
        :return: the response, its connection given back, and its body; any status but a redirect.
        :raises TokenError: there is no answer, a redirect, or one that is too long or cut short.
        """
        if self._session is not None:
            return await self._post(self._session, endpoint, headers, form)
        async with self._own.in_use() as session:
            return await self._post(session, endpoint, headers, form)

    async def _post(
        self,
        session: ClientSession,
        endpoint: URL,
        headers: Mapping[str, str],
        form: Mapping[str, Any],
    ) -> tuple[ClientResponse, bytes]:
        failures = 0
        while True:
            retry_after = None
            try:
                response, body = await self._post_once(session, endpoint, headers, form)
            except TokenError:
                raise
            except (ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
                transient = isinstance(error, (ClientConnectionError, ClientPayloadError))
                if failures >= self._retries or not transient or isinstance(error, _TLS_ERRORS):
                    raise _token_error(error, endpoint) from _showable(error)
            else:
                if failures >= self._retries or response.status not in _RETRYABLE_STATUSES:
                    return response, body
                retry_after = read_retry_after(
                    response.headers.get(hdrs.RETRY_AFTER), self._clock.time()
                )
            failures += 1
            wait = backoff(failures, retry_after)
            logger.info("The token request failed and is repeated in %.1f s.", wait)
            await self._clock.sleep(wait)

    async def _post_once(
        self, session: ClientSession, url: URL, headers: Mapping[str, str], form: Mapping[str, Any]
    ) -> tuple[ClientResponse, bytes]:
        sent: CIMultiDict[str] = CIMultiDict(self._headers)
        sent[hdrs.ACCEPT] = "application/json"
        sent[hdrs.ACCEPT_ENCODING] = "gzip, deflate"
        sent[hdrs.CONTENT_TYPE] = "application/x-www-form-urlencoded"
        sent.update(headers)
        async with session.post(
            url,
            **self._options,
            data=dict(form),
            headers=sent,
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=False,  # see _unpacked
            middlewares=(),
        ) as response:
            if 300 <= response.status < 400:
                raise _redirect_error(response, url)
            return response, await _read(response, url)


def _redirect_error(response: ClientResponse, url: URL) -> TokenError:
    location = response.headers.get(hdrs.LOCATION)
    try:
        target = "nowhere" if location is None else safe_url(url.join(URL(location)))
    except ValueError:
        target = "something that is not a URL"
    return TokenError(
        f"The token endpoint {safe_url(url)} answered {response.status} and points to {target[:300]}:"
        " a token request follows no redirect, nothing was sent there. Is it the right URL?"
    )


async def _read(response: ClientResponse, url: URL) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _BODY_LIMIT:
            response.close()
            break
    else:
        body = _unpacked(response.headers.get(hdrs.CONTENT_ENCODING, ""), body)
    if len(body) > _BODY_LIMIT:
        raise TokenError(
            f"The token endpoint {safe_url(url)} answered {response.status} with more than"
            f" {_BODY_LIMIT} bytes: that is no token response."
        )
    return bytes(body)


def _unpacked(encoding: str, body: bytearray) -> bytearray:
    """Undo a Content-Encoding, as far as one byte over the limit.

    Not left to aiohttp, some versions of which unpack whatever has arrived before anybody can look: 250
    KiB of zeros, packed, are then 250 MiB.

    :raises ClientPayloadError: it is not what it says, or cut short.
    """
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate") or not body:
        return body  # servers also name a charset here; what they cannot mean is read as it is
    # Some send "deflate" without the zlib format around it.
    headless = body[0] & 0x0F != 8 and body[0] != 0x1F
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS if headless else zlib.MAX_WBITS | 32)
    try:
        unpacked = unpacking.decompress(body, _BODY_LIMIT + 1)
    except zlib.error:
        raise ClientPayloadError from None
    if len(unpacked) <= _BODY_LIMIT and not unpacking.eof:
        raise ClientPayloadError
    return bytearray(unpacked)


def _validate_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], CIMultiDict[str]]:
    known: Callable[..., Any] = ClientSession._request
    parameters = inspect.signature(known).parameters if options else {}
    for name in options:
        if name not in parameters and name not in _RESERVED_OPTIONS:
            raise TypeError(
                f"http_options: {name!r} is no keyword of aiohttp.ClientSession.request."
            )
    fenced = sorted(_RESERVED_OPTIONS & options.keys())
    own: CIMultiDict[str] = CIMultiDict(options.get("headers") or ())
    fenced += sorted({name for name in own if name.lower() in _OWN_HEADERS})
    if fenced:
        logger.warning(
            "http_options cannot replace what a token request is made of; left out: %s.",
            ", ".join(fenced),
        )
    for name in _OWN_HEADERS:
        own.popall(name, None)
    kept = {k: v for k, v in options.items() if k not in _RESERVED_OPTIONS and k != "headers"}
    if kept.get("timeout") is None:  # to aiohttp that is the session's
        kept["timeout"] = _TIMEOUT
    return kept, own


def _token_error(error: BaseException, url: URL) -> TokenError:
    where = f"the token endpoint {safe_url(url)}"
    if isinstance(error, asyncio.TimeoutError):
        return TokenError(f"No answer in time from {where}.")
    if isinstance(error, ServerFingerprintMismatch):
        return TokenError(f"No TLS connection to {where}: its certificate is not the one expected.")
    if isinstance(error, ClientSSLError):
        return TokenError(
            f"No TLS connection to {where}: {error}. (Token requests have a session of their own: what"
            " `ssl` is to them stands in http_options.)"
        )
    if isinstance(error, ServerDisconnectedError):
        return TokenError(f"No answer from {where}: it closed the connection.")
    if isinstance(error, OSError):
        return TokenError(f"No connection to {where}: {error}")
    if isinstance(error, ClientHttpProxyError):
        return TokenError(f"No connection to {where}: the proxy answered {error.status}.")
    if isinstance(error, (ClientPayloadError, ClientResponseError)):
        return TokenError(f"The answer of {where} is cut short or unreadable.")
    return TokenError(f"The token request to {where} failed ({type(error).__name__}).")


def _showable(error: BaseException) -> BaseException | None:
    """What of an error may stand in a traceback: not what quotes the answer, or the request."""
    return error if isinstance(error, (OSError, asyncio.TimeoutError)) else None


def validate_url(url: str | URL) -> URL:
    """The URL of a token endpoint (RFC 6749 section 3.2).

    :raises TokenError: it is no absolute http or https URL, or holds credentials.
    """
    try:
        endpoint = URL(url)
    except (TypeError, ValueError):
        endpoint = URL()
    if endpoint.scheme not in ("http", "https") or not endpoint.host:
        # Not shown: with the arguments in the wrong order, it is a client secret.
        raise TokenError(
            "The token endpoint is not an absolute http or https URL. Are the arguments in order?"
            " Client(client_id, client_secret, token_endpoint), but"
            " TokenManager(token_endpoint, client_id, client_secret)."
        )
    if endpoint.user is not None or endpoint.password is not None:
        raise TokenError(
            f"The token endpoint {safe_url(endpoint)} holds credentials in its URL: pass them as"
            " client_id and client_secret."
        )
    return endpoint


def is_cleartext(url: URL) -> bool:
    """Whether what is sent to a URL can be read on its way: it is http, and leaves this machine."""
    host = url.host or ""
    if url.scheme != "http" or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
