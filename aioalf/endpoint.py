"""`EndpointClient`: one request to an endpoint of the authorization server, within its limits.

It has a session of its own, so that the caller's traffic cannot starve a renewal (a pool
whose every slot waits on a 401 would deadlock) and nothing of the caller's session defaults leaks into
it: no cookies, no netrc, no middlewares. It follows no redirect and reads at most 1 MiB.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientHandlerType,
    ClientMiddlewareType,
    ClientPayloadError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    ServerFingerprintMismatch,
    TraceConfig,
    hdrs,
)
from multidict import CIMultiDict
from yarl import URL

from .backoff import LONGEST_PAUSE, backoff, read_retry_after
from .clock import Clock
from .errors import TokenError, TokenErrorResponse, TokenHTTPError
from .protocol.client_auth import ClientAuth, ClientAuthContext
from .protocol.token_endpoint import (
    DEVICE_CODE,
    TOKEN_ENDPOINT,
    encode_form,
    read_token_response,
)
from .redaction import safe_url, secrets_of

__all__ = ("REVOCATION_ENDPOINT", "EndpointClient")

logger: logging.Logger = logging.getLogger("aioalf")

REVOCATION_ENDPOINT = "revocation endpoint"

_BODY_LIMIT = 2**20  # bytes, after decompression
_TIMEOUT = ClientTimeout(total=30)
_TRANSIENT = (ClientConnectionError, ClientPayloadError, asyncio.TimeoutError)
_TLS_ERRORS = (ClientSSLError, ServerFingerprintMismatch)
# No connection was made, so nothing has arrived.
_NEVER_SENT = (ClientConnectorError, ConnectionTimeoutError)
# A code counts once. Who polls for a device has a rhythm of its own.
_SENT_ONCE = frozenset({"authorization_code", DEVICE_CODE})
_RETRYABLE_STATUSES = frozenset({429, 502, 503, 504})


class EndpointClient:
    """Sends requests to the authorization server.

    :param session: a session to send them with, borrowed; by default one is opened for each request, its
        retries included.
    :param http_options: keywords of ``ClientSession.request`` for every request; also the session's
        ``trace_configs``.
    :param retries: how often a request that failed for a transient reason is repeated.
    :param clock: the clocks and the sleep.
    :param tell: calls a method of the logger in the context that its records belong to.
    :raises TypeError: `http_options` holds a keyword that aiohttp does not have.
    """

    def __init__(
        self,
        session: ClientSession | None,
        http_options: Mapping[str, Any] | None,
        retries: int,
        clock: Clock,
        tell: Callable[..., None],
    ) -> None:
        self._session = session
        self._tell = tell
        self._options: dict[str, Any] = {"timeout": _TIMEOUT}
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._trace_configs: list[TraceConfig] | None = None
        if http_options:
            from .http_limits import validate_options

            http_options = dict(http_options)
            self._trace_configs = http_options.pop("trace_configs", None)
            if self._trace_configs is not None and session is not None:
                raise TypeError(
                    "http_options: trace_configs go to a session that is opened here; yours has its own."
                )
            self._options, self._headers = validate_options(http_options, _TIMEOUT)
        self._retries = retries
        self._clock = clock

    async def request(
        self,
        url: str | URL,
        client_auth: ClientAuth,
        credentials: tuple[str | None, str | None],
        params: Mapping[str, Any],
        *,
        name: str = TOKEN_ENDPOINT,
        issuer: str | None = None,
    ) -> Mapping[str, Any]:
        """Send a form to an endpoint (RFC 6749 section 3.2) and return the parameters of its response.

        :param url: the endpoint.
        :param client_auth: puts the credentials into the request, anew for each sending.
        :param credentials: client id and secret; an id of None for no authentication.
        :param params: the parameters of the request.
        :param name: what kind of endpoint it is, for messages.
        :param issuer: the issuer identifier of the server, if it is known.
        :raises TokenError: the server gave an error, or no answer.
        """
        from .endpoint_url import validate_url

        endpoint = validate_url(url if isinstance(url, URL) else str(url), name)
        client_id, client_secret = credentials
        context = ClientAuthContext(
            client_id=client_id or "",
            client_secret=client_secret or "",
            endpoint=str(url),
            issuer=issuer,
            clock=self._clock,
        )

        if logger.isEnabledFor(logging.DEBUG):
            self._tell(logger.debug, "Request to the %s %s", name, safe_url(endpoint))
        auth = None if client_id is None else client_auth
        response, body = await self._send(name, endpoint, context, auth, params)
        if name == REVOCATION_ENDPOINT and response.status < 300:
            return {}  # RFC 7009 section 2.2: the body means nothing
        try:
            return read_token_response(
                response.status,
                response.content_type if hdrs.CONTENT_TYPE in response.headers else "",
                body,
                charset=response.charset,
                secrets=lambda: _secrets_in(context),
                endpoint=name,
            )
        except TokenHTTPError as error:
            error.token_endpoint = safe_url(endpoint)
            error.retry_after = read_retry_after(
                response.headers.get(hdrs.RETRY_AFTER), self._clock.time()
            )
            if response.status >= 400:
                error.response = TokenErrorResponse.from_response(response, body)
            raise

    async def get(self, url: str, name: str) -> tuple[int, bytes]:
        """Read a public document of the server.

        :param url: where it is.
        :param name: what it is, for messages.
        :return: the status and the body.
        :raises TokenError: there is no answer, a redirect, or one that is too long or cut short.
        """
        from .endpoint_url import validate_url

        response, body = await self._send(name, validate_url(url, name), None, None, {})
        return response.status, body

    async def _send(
        self,
        name: str,
        url: URL,
        context: ClientAuthContext | None,
        client_auth: ClientAuth | None,
        params: Mapping[str, Any],
    ) -> tuple[ClientResponse, bytes]:
        """Send one request, again after a transient failure, and read the answer whole.

        A refresh whose answer was lost is sent once more at once: within a grace period the server gives
        the same answer again, and later it is too late. A code is not sent again once it may have arrived.

        :param name: what kind of endpoint it is, for messages.
        :param url: the URL, as `validate_url` returns it.
        :param context: gets the header fields and the form of each sending; None for a GET.
        :param client_auth: sets the credentials in them; None for no authentication.
        :param params: the form without them.
        :return: the response, its connection given back, and its body; any status but a redirect.
        :raises TokenError: there is no answer, a redirect, or one that is too long or cut short.
        """
        grant = params.get("grant_type")
        failures, at_once, once = 0, grant == "refresh_token", grant in _SENT_ONCE
        session = self._session or ClientSession(
            cookie_jar=DummyCookieJar(), trace_configs=self._trace_configs
        )
        try:
            while True:
                retry_after = None
                if context is not None:
                    context.headers, context.form = {}, dict(params)
                    if client_auth is not None:
                        await client_auth.authenticate(context)
                try:
                    response, body = await self._send_once(session, name, url, context)
                except TokenError:
                    raise
                except (ClientError, asyncio.TimeoutError, OSError, ValueError) as error:
                    transient = isinstance(error, _TRANSIENT) and not isinstance(error, _TLS_ERRORS)
                    arrived = not isinstance(error, _NEVER_SENT)
                    if at_once and transient and arrived:
                        at_once = False
                        continue
                    if failures >= self._retries or not transient or (once and arrived):
                        from .endpoint_errors import showable, token_error

                        failure = token_error(error, url, name)
                        failure.transient = transient
                        raise failure from showable(error)
                else:
                    retryable = response.status in _RETRYABLE_STATUSES and not once
                    if failures >= self._retries or not retryable:
                        return response, body
                    retry_after = read_retry_after(
                        response.headers.get(hdrs.RETRY_AFTER), self._clock.time()
                    )
                    if retry_after is not None and retry_after > LONGEST_PAUSE:
                        return response, body  # no caller can wait for that
                failures += 1
                wait = backoff(failures, retry_after)
                repeated = "The token request failed and is repeated in %.1f s."
                self._tell(logger.info, repeated, wait)
                await self._clock.sleep(wait)
        finally:
            if session is not self._session:
                await session.close()

    async def _send_once(
        self, session: ClientSession, name: str, url: URL, context: ClientAuthContext | None
    ) -> tuple[ClientResponse, bytes]:
        form = None if context is None else encode_form(context.form)
        headers: CIMultiDict[str] = CIMultiDict(self._headers)
        headers[hdrs.ACCEPT] = "application/json"
        headers[hdrs.ACCEPT_ENCODING] = "gzip, deflate"
        if context is not None:
            headers[hdrs.CONTENT_TYPE] = "application/x-www-form-urlencoded"
            headers.update(context.headers)
        middlewares: tuple[ClientMiddlewareType, ...] = ()
        if session.trust_env:  # its .netrc may hold other credentials for this host
            middlewares = (_only_authorization(headers.popall(hdrs.AUTHORIZATION, [])),)
        async with session.request(
            hdrs.METH_GET if form is None else hdrs.METH_POST,
            url,
            **self._options,
            data=form,
            headers=headers,
            allow_redirects=False,
            raise_for_status=False,
            auto_decompress=False,  # see unpacked
            middlewares=middlewares,
        ) as response:
            if 300 <= response.status < 400:
                from .endpoint_errors import redirect_error

                secrets = [] if context is None else _secrets_in(context)
                raise redirect_error(response, url, secrets, name)
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
                    f"The {name} {safe_url(url)} answered {response.status} with more than"
                    f" {_BODY_LIMIT} bytes: that is not a response of it."
                )
            return response, bytes(body)


def _secrets_in(context: ClientAuthContext) -> list[str]:
    """List what a request holds that no error may repeat."""
    return secrets_of(context.client_secret, context.headers, context.form)


def _only_authorization(values: list[str]) -> ClientMiddlewareType:
    async def middleware(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        request.headers.popall(hdrs.AUTHORIZATION, None)
        request.headers.extend((hdrs.AUTHORIZATION, value) for value in values)
        return await handler(request)

    return middleware
