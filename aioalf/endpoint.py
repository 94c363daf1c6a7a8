"""`EndpointClient`: one request to an endpoint of the authorization server, within its limits.

It has a session of its own, so that the caller's traffic cannot starve a renewal (a pool
whose every slot waits on a 401 would deadlock) and nothing of the caller's session defaults leaks into
it: no cookies, no netrc, no middlewares. It follows no redirect and reads at most 1 MiB.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import (
    ClientConnectionError,
    ClientError,
    ClientHandlerType,
    ClientMiddlewareType,
    ClientPayloadError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    DummyCookieJar,
    ServerFingerprintMismatch,
    hdrs,
)
from multidict import CIMultiDict
from yarl import URL

from .backoff import LONGEST_PAUSE, backoff, read_retry_after
from .clock import Clock
from .errors import TokenError, TokenErrorResponse, TokenHTTPError
from .protocol.client_auth import ClientAuth
from .protocol.token_endpoint import encode_form, read_token_response
from .redaction import safe_url, secrets_of

__all__ = ("EndpointClient", "is_cleartext", "validate_url")

logger = logging.getLogger("aioalf")

_BODY_LIMIT = 2**20  # bytes, after decompression
_TIMEOUT = ClientTimeout(total=30)
_TRANSIENT = (ClientConnectionError, ClientPayloadError, asyncio.TimeoutError)
_TLS_ERRORS = (ClientSSLError, ServerFingerprintMismatch)
_RETRYABLE_STATUSES = frozenset({429, 502, 503, 504})


class EndpointClient:
    """Sends requests to the authorization server.

    :param session: a session to send them with, borrowed; by default one is opened for each request, its
        retries included.
    :param http_options: keywords of ``ClientSession.request`` for every request.
    :param retries: how often a request that failed for a transient reason is repeated.
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
        self._options: dict[str, Any] = {"timeout": _TIMEOUT}
        self._headers: CIMultiDict[str] = CIMultiDict()
        if http_options:
            from .http_limits import validate_options

            self._options, self._headers = validate_options(http_options, _TIMEOUT)
        self._retries = retries
        self._clock = clock
        self._validated: tuple[str | URL, URL] | None = None

    async def request_token(
        self,
        url: str | URL,
        client_auth: ClientAuth,
        credentials: tuple[str | None, str | None],
        params: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        """Send a token request (RFC 6749 section 3.2) and return the parameters of its response.

        :param url: the token endpoint.
        :param client_auth: puts the credentials into the request.
        :param credentials: client id and secret; an id of None for no authentication.
        :param params: the parameters of the request.
        :raises TokenError: the server gave no token, or no answer.
        """
        if self._validated is None or self._validated[0] != url:
            self._validated = (url, validate_url(url))
        endpoint = self._validated[1]
        headers: dict[str, str] = {}
        form: dict[str, Any] = dict(params)
        client_id, client_secret = credentials
        if client_id is not None:
            client_auth.apply(
                client_id=client_id,
                client_secret=client_secret or "",
                token_endpoint=str(url),
                headers=headers,
                form=form,
            )
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("Token request to %s", safe_url(endpoint))

        def secrets() -> list[str]:
            return secrets_of(client_secret, headers, form)

        response, body = await self.post(endpoint, headers, encode_form(form), secrets)
        try:
            return read_token_response(
                response.status,
                response.content_type if hdrs.CONTENT_TYPE in response.headers else "",
                body,
                charset=response.charset,
                secrets=secrets,
            )
        except TokenHTTPError as error:
            error.token_endpoint = safe_url(endpoint)
            error.retry_after = read_retry_after(
                response.headers.get(hdrs.RETRY_AFTER), self._clock.time()
            )
            if response.status >= 400:
                error.response = TokenErrorResponse.from_response(response, body)
            raise

    async def post(
        self,
        endpoint: URL,
        headers: Mapping[str, str],
        form: bytes,
        secrets: Callable[[], list[str]] = list,
    ) -> tuple[ClientResponse, bytes]:
        """Send one request, again after a transient failure, and read the answer whole.

        :param endpoint: the URL, as `validate_url` returns it.
        :param headers: header fields of client authentication.
        :param form: the encoded form, credentials included.
        :param secrets: lists the secrets that an error must not repeat; called if there is one.
        :return: the response, its connection given back, and its body; any status but a redirect.
        :raises TokenError: there is no answer, a redirect, or one that is too long or cut short.
        """
        session = self._session or ClientSession(cookie_jar=DummyCookieJar())
        failures = 0
        try:
            while True:
                retry_after = None
                try:
                    response, body = await self._post_once(
                        session, endpoint, headers, form, secrets
                    )
                except TokenError:
                    raise
                except (ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
                    transient = isinstance(error, _TRANSIENT) and not isinstance(error, _TLS_ERRORS)
                    if failures >= self._retries or not transient:
                        from .endpoint_errors import showable, token_error

                        raise token_error(error, endpoint) from showable(error)
                else:
                    if failures >= self._retries or response.status not in _RETRYABLE_STATUSES:
                        return response, body
                    retry_after = read_retry_after(
                        response.headers.get(hdrs.RETRY_AFTER), self._clock.time()
                    )
                    if retry_after is not None and retry_after > LONGEST_PAUSE:
                        return response, body  # no caller can wait for that
                failures += 1
                wait = backoff(failures, retry_after)
                logger.info("The token request failed and is repeated in %.1f s.", wait)
                await self._clock.sleep(wait)
        finally:
            if session is not self._session:
                await session.close()

    async def _post_once(
        self,
        session: ClientSession,
        url: URL,
        headers: Mapping[str, str],
        form: bytes,
        secrets: Callable[[], list[str]],
    ) -> tuple[ClientResponse, bytes]:
        all_headers: CIMultiDict[str] = CIMultiDict(self._headers)
        all_headers[hdrs.ACCEPT] = "application/json"
        all_headers[hdrs.ACCEPT_ENCODING] = "gzip, deflate"
        all_headers[hdrs.CONTENT_TYPE] = "application/x-www-form-urlencoded"
        all_headers.update(headers)
        middlewares: tuple[ClientMiddlewareType, ...] = ()
        if session.trust_env:  # its .netrc may hold other credentials for this host
            middlewares = (_only_authorization(all_headers.popall(hdrs.AUTHORIZATION, [])),)
        async with session.post(
            url,
            **self._options,
            data=form,
            headers=all_headers,
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=False,  # see unpacked
            middlewares=middlewares,
        ) as response:
            if 300 <= response.status < 400:
                from .endpoint_errors import redirect_error

                raise redirect_error(response, url, secrets())
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _BODY_LIMIT:
                    response.close()
                    break
            else:
                if encoding := response.headers.get(hdrs.CONTENT_ENCODING):
                    from .http_limits import unpacked

                    body = unpacked(encoding, body, _BODY_LIMIT)
            if len(body) > _BODY_LIMIT:
                raise TokenError(
                    f"The token endpoint {safe_url(url)} answered {response.status} with more than"
                    f" {_BODY_LIMIT} bytes: that is not a token response."
                )
            return response, bytes(body)


def _only_authorization(values: list[str]) -> ClientMiddlewareType:
    async def middleware(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        request.headers.popall(hdrs.AUTHORIZATION, None)
        request.headers.extend((hdrs.AUTHORIZATION, value) for value in values)
        return await handler(request)

    return middleware


def validate_url(url: object) -> URL:
    """Return the URL of a token endpoint (RFC 6749 section 3.2); warn of one that is not https.

    :param url: a string, a `yarl.URL`, or another object whose string it is.
    :raises TokenError: it is not an absolute http or https URL, or holds credentials.
    """
    try:
        endpoint = url if isinstance(url, URL) else URL(str(url))
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
    if is_cleartext(endpoint):
        logger.warning(
            "The token endpoint %s is not https: the client's secret and its tokens can be read on the way"
            " (RFC 6749 section 3.2).",
            safe_url(endpoint),
        )
    return endpoint


def is_cleartext(url: URL) -> bool:
    """Return whether a request to a URL can be read on its way: it is http, and leaves this machine."""
    host = url.host or ""
    if url.scheme != "http" or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
