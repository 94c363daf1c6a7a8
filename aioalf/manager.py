"""`TokenManager`: has a valid token whenever one is asked for, fetched once however many tasks ask.

It speaks client_credentials (RFC 6749 section 4.4). A flow is a `TokenManager` that obtains its token
another way: it overrides `fetch_token`. How a token is kept and renewed is in `aioalf.renewal`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from yarl import URL

from .clock import Clock
from .compat import OverridableSteps
from .endpoint import EndpointClient
from .endpoint_url import TOKEN_ENDPOINT
from .errors import TokenError
from .protocol.client_auth import ClientAuth, ClientSecret, ClientSecretBasic, NoClientAuth
from .protocol.token_endpoint import complete_form, scope_string, token_from
from .redaction import safe_url
from .server_requests import ServerRequests
from .sessions import refuse_to_be_pickled
from .token import Token

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from .storage.base import TokenStorage

__all__ = ("ClientSecret", "TokenError", "TokenManager")

logger = logging.getLogger("aioalf")

_Self = TypeVar("_Self", bound="TokenManager")


class TokenManager(ServerRequests, OverridableSteps):
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
    :param issuer: the issuer identifier of the server: endpoints that are not given are then looked up in
        its metadata (RFC 8414, OpenID Connect Discovery) when they are needed.
    :param discovery_url: where the metadata is, if it is not where `issuer` says.
    :param revocation_endpoint: URL of the revocation endpoint, for `revoke`.
    :param account: whose token this is, if several people, tenants or refresh tokens share one client id
        and one storage: each account then has a stored token of its own.
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
        issuer: str | None = None,
        discovery_url: str | URL | None = None,
        revocation_endpoint: str | URL | None = None,
        account: str | None = None,
    ) -> None:
        from .manager_options import check_options

        check_options(
            account=account,
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
        public = self._may_be_public and client_secret is None
        self._client_auth = client_auth or (NoClientAuth() if public else ClientSecretBasic())
        self._account = account
        self._revocation_endpoint = revocation_endpoint
        cache = self._cache
        if clock is not None:  # else one for all: managers that share a storage compare their times
            cache.use_clock(clock)
        cache.expiry_margin, cache.renewal_margin = expiry_margin, renewal_margin
        cache.lock_timeout, cache.fetch_timeout = self.lock_timeout, self.fetch_timeout
        self._endpoint = EndpointClient(session, http_options, token_retries, cache.clock)
        if issuer is not None or discovery_url is not None:
            from .discovery import Discovery

            self._discovery = Discovery(self._endpoint, issuer, discovery_url)
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

        server = None if self._token_endpoint is None else str(self._token_endpoint)
        if self._discovery is not None:
            server = self._discovery.name
        scope, params = scope_string(self._scope), self._bound_params()
        return binding_of(self.grant, server, self._client_id, scope, params, self._account)

    def _bound_params(self) -> Mapping[str, Any]:
        return self._params

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
        return await self.request_token({"grant_type": "client_credentials"})

    async def request_token(self, form: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a form to the token endpoint with the client's credentials; the way of every grant.

        `scope` and `token_request_params` are added; a field of the form comes before them. A scope is not
        added to a code, which stands for one already, nor to a refresh token, unless a flow has
        ``scope_on_refresh``. A refresh token that the answer does not replace is put into it.

        :param form: the fields of the grant, ``grant_type`` among them.
        :return: the parameters of the token response.
        :raises TokenError: there is no endpoint, there are no credentials, or no token was given.
        """
        scope, grant = scope_string(self._scope), form.get("grant_type")
        form = complete_form(form, scope, self._params, scope_on_refresh=self._scope_on_refresh)
        if grant in ("refresh_token", "authorization_code"):
            self._cache.fetcher.protect()
        response = await self._request(TOKEN_ENDPOINT, form)
        if grant == "refresh_token" and not response.get("refresh_token"):
            response = {**response, "refresh_token": form["refresh_token"]}
        return response

    async def _fetch_as_token(self, previous: Token | None) -> Token:
        return token_from(await self.fetch_token(previous), self._cache.clock.time(), previous)

    def _can_fetch(self) -> bool:
        return bool(self._token_endpoint or self._discovery)

    async def revoke(self) -> None:
        """Revoke the refresh token and the access token (RFC 7009), and forget both.

        They are forgotten here and in the storage, whatever the server says. No renewal runs beside it; the
        next request fetches a new token.

        :raises TokenError: the server could not be asked, or has not revoked them.
        :raises RuntimeError: the manager is closed, or is used in two running event loops.
        """
        from .revocation import revoke_token  # few programs sign out

        await self._cache.revoke(
            lambda token: revoke_token(token, self._request, self._cache.clock)
        )

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
