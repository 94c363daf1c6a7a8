"""`TokenManager`: always has one valid token, fetched once however many ask.

It speaks client_credentials (RFC 6749 section 4.4). A flow is a `TokenManager` that obtains its token
another way: it overrides `fetch_token`. How a token is kept and renewed is in `aioalf.renewal.cache`.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Union

from aiohttp import hdrs
from yarl import URL

from .backoff import read_retry_after
from .clock import Clock
from .endpoint import TokenEndpointClient, is_cleartext, validate_url
from .errors import TokenError, TokenErrorResponse, TokenHTTPError
from .protocol import token_endpoint as protocol
from .protocol.client_auth import ClientAuth, ClientSecretBasic
from .redaction import safe_url, secrets_of
from .renewal.cache import Renewal
from .token import Token

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from .storage.base import TokenStorage

__all__ = ("ClientSecret", "TokenError", "TokenManager")

logger = logging.getLogger("aioalf")

#: A client secret, or what gives it at each token request.
ClientSecret = Union[str, Callable[[], Union[str, Awaitable[str]]]]

_NO_CREDENTIALS = "Missing credentials (client_id:client_secret)"  # as in 0.4.0
_RESERVED_PARAMS = frozenset({"grant_type", "scope", "client_id", "client_secret"})


class TokenManager(Renewal):
    """Gets tokens from a token endpoint and has one ready whenever one is asked for.

    Works on its own, or inside a `Client`. Used bare, never entered (``async with``) nor closed, it opens
    a connection for each token request; entered, or owned by a client, it keeps one open.

    :param token_endpoint: URL of the token endpoint.
    :param client_id: the client identifier.
    :param client_secret: the client secret, or a callable, plain or ``async``, that gives it. It is called
        at each token request, and once more when the answer is ``invalid_client``: so a secret is
        rotated without a restart.
    :param http_options: keywords of ``aiohttp.ClientSession.request`` for the token request (``timeout``,
        ``ssl``, ``proxy``, ``headers``, ...). They cannot replace the credentials, the form or the fences.
    :param scope: the scope to ask for: a string, or a list that is joined with single spaces.
    :param client_auth: how the client authenticates; `ClientSecretBasic` by default.
    :param token_storage: where the token outlives this object and is shared; borrowed, never closed here.
    :param session: a session for the token requests, borrowed; by default one of its own, without cookies.
    :param token_retries: how often a token request is repeated that failed for a passing reason (no
        connection, 429, 502, 503, 504), waiting 1 s doubling to 30 s, or as
        ``Retry-After`` says, up to 60 s.
    :param token_request_params: further parameters of every token request, such as ``audience`` or
        ``resource`` (RFC 8707); a list as value repeats the parameter.
    :param expiry_margin: seconds before its expiry at which a token is no longer handed out; never more
        than a tenth of its life.
    :param renewal_margin: seconds before that at which it is renewed ahead, in the background; never more
        than a quarter of its life.
    :param clock: the clocks that token life is judged by.
    :raises TypeError: `http_options` holds an unknown keyword, or a parameter is of the wrong kind.
    :raises ValueError: a number is negative, or `token_request_params` holds a reserved name.
    """

    _token_endpoint: str | URL | None = None
    _client_id: str | None = None
    _client_secret: ClientSecret | None = None
    _scope: str | Sequence[str] | None = None
    _params: Mapping[str, Any] = {}
    _client_auth: ClientAuth = ClientSecretBasic()
    _warned = False

    def __init__(
        self,
        token_endpoint: str | URL | None = None,
        client_id: str | None = None,
        client_secret: ClientSecret | None = None,
        http_options: Mapping[str, Any] | None = None,
        scope: str | Sequence[str] | None = None,
        *,
        client_auth: ClientAuth | None = None,
        token_storage: TokenStorage | None = None,
        session: ClientSession | None = None,
        token_retries: int = 0,
        token_request_params: Mapping[str, Any] | None = None,
        expiry_margin: float = 10.0,
        renewal_margin: float = 60.0,
        clock: Clock | None = None,
    ) -> None:
        for name, options in (
            ("http_options", http_options),
            ("token_request_params", token_request_params),
        ):
            if not isinstance(options, (Mapping, type(None))):
                raise TypeError(f"{name} takes a dict, not a {type(options).__name__}.")
        for name, number in (
            ("token_retries", token_retries),
            ("expiry_margin", expiry_margin),
            ("renewal_margin", renewal_margin),
        ):
            if not isinstance(number, (int, float)):
                raise TypeError(f"{name} takes a number, not a {type(number).__name__}.")
        if not isinstance(scope, (str, Iterable, type(None))):
            raise TypeError(
                f"scope takes a string or a list of strings, not a {type(scope).__name__}."
            )
        params = dict(token_request_params or {})
        if reserved := sorted(_RESERVED_PARAMS & params.keys()):
            raise ValueError(
                f"token_request_params cannot hold {', '.join(reserved)}: see scope=, client_auth=."
            )
        if token_retries < 0 or expiry_margin < 0 or renewal_margin < 0:
            raise ValueError("token_retries, expiry_margin and renewal_margin cannot be negative.")
        if client_auth is not None and not isinstance(client_auth, ClientAuth):
            raise TypeError("client_auth takes a ClientAuth such as ClientSecretPost().")
        if isinstance(token_storage, (str, os.PathLike, type)):
            raise TypeError(
                "token_storage takes a TokenStorage such as FileTokenStorage('tokens.json')."
            )
        self._token_endpoint = token_endpoint
        self._client_id = client_id
        self._client_secret = client_secret
        self._http_options = dict(http_options or {})
        self._scope = scope
        self._params = params
        self._client_auth = client_auth or ClientSecretBasic()
        if clock is not None:  # else one for all: managers that share a storage compare theirs
            self._clock = clock
        self._expiry_margin = expiry_margin
        self._renewal_margin = renewal_margin
        self._endpoint = TokenEndpointClient(session, http_options, token_retries, self._clock)
        if token_storage is not None:
            self._use_storage(token_storage)

    #: Names the flow in the binding of a stored token, so that no flow takes another's token for its own.
    grant = "client_credentials"

    def _use_storage(self, storage: TokenStorage) -> None:
        # Here, because most programs need none of these.
        from .storage.guarded import GuardedStorage
        from .storage.record import binding_of
        from .storage.shared import StoredToken

        endpoint = None if self._token_endpoint is None else str(self._token_endpoint)
        scope = protocol.scope_string(self._scope)
        binding = binding_of(self.grant, endpoint, self._client_id, scope, self._params)
        self._shared = StoredToken(
            GuardedStorage(storage, binding, self.storage_timeout), self._clock
        )

    async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
        """Ask the token endpoint for a token with the client's own credentials.

        What a flow overrides. Here `previous` is not used: RFC 6749 section 4.4.3 gives no refresh token.

        :param previous: the token to be replaced, or None.
        :return: the parameters of the token response.
        :raises TokenError: there is no endpoint, there are no credentials, or no token was given.
        """
        return await self._get_token_data()

    # The steps of 0.4.0, each of which calls the next and may be overridden.

    async def _get_token_data(self) -> Mapping[str, Any]:
        return await self._request_token()

    async def _request_token(self) -> Mapping[str, Any]:
        return await self.request_token(protocol.client_credentials_form(self._scope, self._params))

    async def _fetch(
        self,
        url: str | URL,
        method: str = "POST",
        auth: tuple[str | None, str | None] | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        """Send a token request and read the answer.

        :param url: the token endpoint.
        :param method: always POST (RFC 6749 section 3.2).
        :param auth: client id and secret, to which `client_auth` is applied; None for no authentication.
        :param data: the form.
        :return: the parameters of the token response.
        """
        endpoint = validate_url(url)
        headers: dict[str, str] = {}
        form: dict[str, Any] = dict(data or {})
        client_id, client_secret = auth or (None, None)
        if client_id is not None:
            self._client_auth.apply(
                client_id=client_id,
                client_secret=client_secret or "",
                token_endpoint=str(url),
                headers=headers,
                form=form,
            )
        self._warn_of_plain_http(endpoint)
        logger.debug("Token request to %s", safe_url(endpoint))
        response, body = await self._endpoint.post(endpoint, headers, form)
        try:
            return protocol.read_token_response(
                response.status,
                response.content_type if hdrs.CONTENT_TYPE in response.headers else "",
                body,
                secrets=secrets_of(client_secret, headers, form),
            )
        except TokenHTTPError as error:
            error.token_endpoint = safe_url(url)
            error.retry_after = read_retry_after(
                response.headers.get(hdrs.RETRY_AFTER), self._clock.time()
            )
            if response.status >= 400:
                error.response = TokenErrorResponse.of(response, body)
            raise

    async def request_token(self, form: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a form with the client's credentials; whatever the grant, this is the way."""
        if not self._token_endpoint:
            raise TokenError("Missing token endpoint")
        secret = await self._secret()
        url, client_id = self._token_endpoint, self._client_id
        try:
            return await self._fetch(url=url, method="POST", auth=(client_id, secret), data=form)
        except TokenHTTPError as error:
            if error.error != "invalid_client" or not callable(self._client_secret):
                raise
            rotated = await self._secret()
            if rotated == secret:
                raise
            logger.info(
                "The client secret was refused and has changed: asking again with the new one."
            )
            return await self._fetch(url=url, method="POST", auth=(client_id, rotated), data=form)

    async def _secret(self) -> str:
        secret = self._client_secret
        if not self._client_id:
            raise TokenError(_NO_CREDENTIALS)
        if callable(secret):
            try:
                given = secret()
                secret = await given if inspect.isawaitable(given) else given
            except Exception as error:
                raise TokenError(
                    f"The callable given as client_secret failed ({type(error).__name__})."
                ) from error
        if secret is None and self._client_auth.needs_secret:
            raise TokenError(_NO_CREDENTIALS)
        for name, value in (("client_id", self._client_id), ("client_secret", secret or "")):
            if not isinstance(value, str):
                raise TokenError(
                    f"{_NO_CREDENTIALS}: the {name} is a {type(value).__name__}, not a string"
                )
        return secret or ""

    def _warn_of_plain_http(self, url: URL) -> None:
        if not self._warned and is_cleartext(url):
            self._warned = True
            logger.warning(
                "The token endpoint %s is not https: the client's secret and its tokens can be read on the"
                " way (RFC 6749 section 3.2).",
                safe_url(url),
            )

    @cached_property
    def _endpoint(self) -> TokenEndpointClient:
        # Where __init__ has not been called: 0.4.0's implicit manager did not call its base's.
        return TokenEndpointClient(None, self.__dict__.get("_http_options"), 0, self._clock)

    def _can_fetch(self) -> bool:
        return bool(self._token_endpoint)

    def keep_connection(self) -> None:
        """Keep the connection to the token endpoint open from now on; `close` must then be called."""
        self._endpoint.keep_open = True

    async def __aenter__(self) -> TokenManager:
        self.keep_connection()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        try:
            await super().close()
        finally:
            await self._endpoint.close()

    close.__doc__ = Renewal.close.__doc__

    def __repr__(self) -> str:
        endpoint = None if self._token_endpoint is None else safe_url(self._token_endpoint)
        return f"<{type(self).__name__} client_id={self._client_id!r} token_endpoint={endpoint!r}>"
