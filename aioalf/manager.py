"""`TokenManager`: always has one valid token, fetched once however many tasks ask.

It speaks client_credentials (RFC 6749 section 4.4). A flow is a `TokenManager` that obtains its token
another way: it overrides `fetch_token`. How a token is kept and renewed is in `aioalf.renewal`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from yarl import URL

from .clock import Clock
from .compat import OverridableSteps
from .endpoint import EndpointClient
from .errors import TokenError, TokenHTTPError
from .protocol.client_auth import ClientAuth, ClientSecret, ClientSecretBasic
from .protocol.token_endpoint import (
    client_credentials_form,
    scope_string,
    token_from,
)
from .redaction import safe_url
from .sessions import refuse_to_be_pickled
from .token import Token

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from .storage.base import TokenStorage

__all__ = ("ClientSecret", "TokenError", "TokenManager")

logger = logging.getLogger("aioalf")

_Self = TypeVar("_Self", bound="TokenManager")


class TokenManager(OverridableSteps):
    """Gets tokens from a token endpoint and has one ready whenever one is asked for.

    Works alone or inside a `Client`. It opens a session for each renewal (its retries included) and closes
    it afterwards, so an idle manager holds no connection. A program that asks for tokens often hands in
    `session`. Any number of tasks of one event loop may share a manager.

    :param token_endpoint: URL of the token endpoint.
    :param client_id: the client identifier.
    :param client_secret: the client secret, or a callable, plain or ``async``, that returns it. It is
        called at each token request, and once more if the answer is ``invalid_client``: so a secret is
        rotated without a restart.
    :param http_options: keywords of ``aiohttp.ClientSession.request`` for the token request (``timeout``,
        ``ssl``, ``proxy``, ``headers``, ...). They cannot replace the credentials, the form or the limits.
    :param scope: the scope to ask for: a string, or a list that is joined with single spaces.
    :param client_auth: how the client authenticates; `ClientSecretBasic` by default.
    :param token_storage: where the token outlives this object and is shared; borrowed, never closed here.
    :param session: a session for the token requests, borrowed. By default each renewal has its own session,
        without cookies.
    :param token_retries: how often a token request is repeated that failed for a transient reason (no
        connection, no answer in time, 429, 502, 503, 504): after 1 s doubling to 30 s, or as
        ``Retry-After`` says; one that asks for more than a minute is not waited for.
    :param token_request_params: further parameters of every token request, such as ``audience`` or
        ``resource`` (RFC 8707). A list as value repeats the parameter, a dict is sent as JSON, and None
        leaves the parameter out.
    :param expiry_margin: seconds before its expiry at which a token is no longer handed out; never more
        than a tenth of its life.
    :param renewal_margin: seconds before that at which it is renewed ahead, in the background; never more
        than a quarter of its life.
    :param clock: the clocks that token life is judged by.
    :raises TypeError: `http_options` holds an unknown keyword, or a parameter is of the wrong kind.
    :raises ValueError: a number is negative, or `token_request_params` holds a reserved name.
    """

    #: Names the flow in the key of a stored token, so that no flow takes another's token for its own.
    grant = "client_credentials"
    #: Seconds to wait for the storage's lock before going on without it.
    lock_timeout: float = 60.0
    #: Seconds to wait for a storage to load, save or clean.
    storage_timeout: float = 10.0
    #: Seconds that a token request may take in all, its retries and their pauses included.
    fetch_timeout: float = 300.0
    #: Seconds for which `close` waits for a renewal that may rotate a refresh token.
    close_timeout: float = 30.0

    # A subclass written for 0.4.0 may not call __init__.
    _token_endpoint: str | URL | None = None
    _client_id: str | None = None
    _client_secret: ClientSecret | None = None
    _scope: str | Sequence[str] | None = None
    _params: Mapping[str, Any] = {}
    _client_auth: ClientAuth = ClientSecretBasic()

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
        from .manager_options import check_options

        check_options(
            http_options=http_options,
            client_auth=client_auth,
            token_storage=token_storage,
            token_request_params=token_request_params,
            token_retries=token_retries,
            expiry_margin=expiry_margin,
            renewal_margin=renewal_margin,
        )
        self._token_endpoint = token_endpoint
        self._client_id = client_id
        secret = client_secret  # a line end is a file's or an editor's, and no part of a secret
        self._client_secret = secret.rstrip("\r\n") if isinstance(secret, str) else secret
        self._http_options = dict(http_options or {})
        self._scope = scope_string(scope)
        self._params = dict(token_request_params or {})
        self._client_auth = client_auth or ClientSecretBasic()
        cache = self._cache
        if clock is not None:  # else one for all: managers that share a storage compare their times
            cache.use_clock(clock)
        cache.expiry_margin, cache.renewal_margin = expiry_margin, renewal_margin
        cache.lock_timeout, cache.fetch_timeout = self.lock_timeout, self.fetch_timeout
        self._endpoint = EndpointClient(session, http_options, token_retries, cache.clock)
        if token_storage is not None:
            self._use_storage(token_storage)

    def _use_storage(self, storage: TokenStorage) -> None:
        # Here, because most programs need none of these.
        from .storage.guarded import GuardedStorage
        from .storage.shared import StoredToken

        cache = self._cache
        guarded = GuardedStorage(storage, self._binding(), self.storage_timeout, cache.clock)
        cache.stored = StoredToken(guarded, cache.clock, cache.lock_timeout, cache.expiry_margin)

    def _binding(self) -> str:
        """Return the key under which a token of this manager is stored."""
        from .storage.record import binding_of

        endpoint = None if self._token_endpoint is None else str(self._token_endpoint)
        scope = scope_string(self._scope)
        return binding_of(self.grant, endpoint, self._client_id, scope, self._params)

    # -- the token

    def peek(self) -> Token | None:
        """Return the token if it is fresh, without waiting; else None.

        :raises RuntimeError: no event loop is running.
        """
        return self._cache.peek()

    async def get(self) -> Token:
        """Return a valid token: the cached one, or a new one if there is none.

        A fresh token costs no lock, no task and no trip through the event loop. Otherwise one token
        request serves all who call; a caller that is cancelled neither stops it nor loses its result.

        :raises TokenError: there is none to be had; the next call tries again.
        :raises RuntimeError: the manager is closed, or is used in two running event loops.
        """
        return self._cache.peek() or await self._cache.get()

    async def renew(self, rejected: Token) -> Token:
        """Return another token than a rejected one: a new one, unless another task has one already.

        However many tasks, or processes with a shared storage, report the same token, it is replaced
        once.

        :param rejected: the token that the API answered with 401.
        :raises TokenError: there is none to be had; or an earlier 401 caused a renewal that did not help,
            and it is too early for the next.
        :raises RuntimeError: the manager is closed, or is used in two running event loops.
        """
        return await self._cache.renew(rejected)

    def renewal_blocked(self, rejected: Token) -> bool:
        """Return whether `renew` would fail at once; it is then better to hand a 401 on as it is."""
        return self._cache.renewal_blocked(rejected)

    def renew_in_background(self, rejected: Token) -> None:
        """Replace a rejected token for the next call; no task waits for it."""
        self._cache.renew_in_background(rejected)

    def report_accepted(self, token: Token, *, resent: bool = False) -> None:
        """Report that the API accepted a token; not needed for one that `peek` returned.

        :param resent: whether the request had been rejected before, with another token.
        """
        self._cache.report_accepted(token, resent=resent)

    def report_rejected(self, token: Token) -> None:
        """Report that the API answered 401 to a token that came in place of a rejected one."""
        self._cache.throttle.log_rejection_once(token)

    # -- the token request

    async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
        """Ask the token endpoint for a token with the client's own credentials; a flow overrides this.

        Called by one task at a time, which no caller's cancellation or timeout reaches. `previous` is not
        used here: RFC 6749 section 4.4.3 gives no refresh token.

        :param previous: the token to be replaced, whose refresh token a flow may use; None at first.
        :return: the parameters of the token response (RFC 6749 section 5.1).
        :raises TokenError: there is no endpoint, there are no credentials, or no token was given.
        """
        return await self.request_token(client_credentials_form(self._scope, self._params))

    async def request_token(self, form: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a form to the token endpoint with the client's credentials; the way of every grant.

        :param form: the parameters of the request, ``grant_type`` among them.
        :return: the parameters of the token response.
        :raises TokenError: there is no endpoint, there are no credentials, or no token was given.
        """
        if not self._token_endpoint:
            raise TokenError("Missing token endpoint")
        secret = self._client_secret
        if not isinstance(secret, str) or not self._client_id or type(self._client_id) is not str:
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
            logger.info("The client secret was refused and has changed; it is tried once more.")
            return await self._fetch(url=url, method="POST", auth=(client_id, rotated), data=form)

    async def _fetch_as_token(self, previous: Token | None) -> Token:
        return token_from(await self.fetch_token(previous), self._cache.clock.time(), previous)

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
        auth = auth or (None, None)
        return await self._endpoint.request_token(url, self._client_auth, auth, data or {})

    async def _secret(self) -> str:
        from .sources import read_secret  # most secrets are strings

        needed = self._client_auth.needs_secret
        return await read_secret(self._client_id, self._client_secret, needed=needed)

    @cached_property
    def _endpoint(self) -> EndpointClient:
        # For a subclass that does not call __init__: 0.4.0's implicit manager did not.
        return EndpointClient(None, self.__dict__.get("_http_options"), 0, self._cache.clock)

    def _can_fetch(self) -> bool:
        return bool(self._token_endpoint)

    async def close(self) -> None:
        """End what runs in the background; a task that still waits gets a `TokenError` that says so.

        A renewal that may rotate a refresh token is let finish, and saved, within `close_timeout` seconds.
        The manager cannot be used any more. May be called again.
        """
        await self._cache.close(self.close_timeout)

    async def __aenter__(self: _Self) -> _Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    __reduce__ = refuse_to_be_pickled

    def __repr__(self) -> str:
        endpoint = None if self._token_endpoint is None else safe_url(self._token_endpoint)
        return f"<{type(self).__name__} client_id={self._client_id!r} token_endpoint={endpoint!r}>"
