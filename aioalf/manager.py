"""`TokenManager`: has a valid token whenever one is asked for, fetched once however many tasks ask.

It speaks client_credentials (RFC 6749 section 4.4). A flow overrides `fetch_token`. How a token is kept
and renewed is in `aioalf.renewal`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeAlias

from yarl import URL

from .clock import Clock
from .compat import OverridableSteps
from .endpoint import EndpointClient
from .errors import TokenError, TokenHTTPError
from .manager_verbs import ManagerVerbs
from .protocol.client_auth import ClientAuth, ClientSecret, ClientSecretBasic, NoClientAuth
from .protocol.token_endpoint import TOKEN_ENDPOINT, complete_form, scope_string, token_from
from .redaction import safe_url
from .token import Token

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from .discovery import Discovery
    from .events import EventHook
    from .storage.base import TokenStorage

__all__ = ("ClientSecret", "TokenError", "TokenManager")

logger: logging.Logger = logging.getLogger("aioalf")

_BASIC = ClientSecretBasic()
Credentials: TypeAlias = "tuple[str | None, str | None]"  # client id and secret


class TokenManager(ManagerVerbs, OverridableSteps):
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
        ``ssl``, ``proxy``, ``headers``, ...), or ``trace_configs`` for it. They cannot replace the
        credentials, the form or the limits.
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
    :param on_event: called with an `aioalf.events.Event` for each thing that an operator counts: a token
        obtained, a token request failed, a 401. What it raises is logged.
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
    # A subclass written for 0.4.0 may not call __init__.
    _token_endpoint: str | URL | None = None
    _client_id: str | None = None
    _client_secret: ClientSecret | None = None
    _scope: str | Sequence[str] | None = None
    _params: Mapping[str, Any] = {}
    _client_auth: ClientAuth = _BASIC
    _discovery: Discovery | None = None
    _account: str | None = None
    _revocation_endpoint: str | URL | None = None
    _scope_on_refresh = False
    # What a flow may be.
    _needs_client = True  # whether it says which client asks
    _may_be_public = False  # whether a client without a secret is a public one

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
        on_event: EventHook | None = None,
    ) -> None:
        from .manager_options import check_options

        check_options(
            on_event=on_event,
            anonymous=not client_id and not self._needs_client,
            account=account,
            http_options=http_options,
            client_auth=client_auth,
            token_storage=token_storage,
            token_request_params=token_request_params,
            token_retries=token_retries,
            expiry_margin=expiry_margin,
            renewal_margin=renewal_margin,
        )
        public = self._may_be_public and client_secret is None
        self.__dict__.update(  # at once: `__setattr__` would look at each
            _token_endpoint=token_endpoint,
            _client_id=client_id,
            _client_secret=client_secret,
            _http_options=dict(http_options or {}),
            _scope=scope_string(scope),
            _params=dict(token_request_params or {}),
            _client_auth=client_auth or (NoClientAuth() if public else _BASIC),
        )
        if account is not None:
            self._account = account
        if revocation_endpoint is not None:
            self._revocation_endpoint = revocation_endpoint
        cache = self._cache
        cache.on_event = on_event
        if clock is not None:  # else one for all: managers that share a storage compare their times
            cache.use_clock(clock)
        cache.expiry_margin, cache.renewal_margin = expiry_margin, renewal_margin
        cache.lock_timeout, cache.fetch_timeout = self.lock_timeout, self.fetch_timeout
        endpoint = self.__dict__["_endpoint"] = EndpointClient(
            session, http_options, token_retries, cache.clock, cache.flights.tell
        )
        if issuer is not None or discovery_url is not None:
            from .discovery import Discovery

            self._discovery = Discovery(endpoint, issuer, discovery_url)
        if token_storage is not None:
            self._use_storage(token_storage)

    def _use_storage(self, storage: TokenStorage) -> None:
        # Here, because most programs need none of these.
        from .storage.guarded import GuardedStorage
        from .storage.shared import StoredToken

        cache = self._cache
        guarded = GuardedStorage(
            storage,
            self._binding(),
            self.storage_timeout,
            cache.clock,
            cache.on_event,
            cache.flights.context,
        )
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
        scope, grant = self._scope, form.get("grant_type")
        if not isinstance(scope, (str, type(None))):
            scope = scope_string(scope)  # a subclass may have set it
        form = complete_form(form, scope, self._params, scope_on_refresh=self._scope_on_refresh)
        if grant in ("refresh_token", "authorization_code"):
            self._cache.fetcher.protect()
        response = await self._request(TOKEN_ENDPOINT, form)
        if grant == "refresh_token" and not response.get("refresh_token"):
            response = {**response, "refresh_token": form["refresh_token"]}
        return response

    async def _request(self, name: str, form: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a form to an endpoint with the client's credentials, and read the answer.

        :param name: which endpoint, such as ``"token endpoint"``.
        """
        given: str | URL | None = getattr(self, "_" + name.replace(" ", "_"), None)
        if not (url := given or await self._url_of(name)):
            raise TokenError(f"Missing {name}")
        send = self._fetch if name == TOKEN_ENDPOINT else partial(self._post, name)
        client_id, secret = self._client_id, self._client_secret
        plain = type(client_id) is str and client_id and isinstance(secret, str)
        auth = (client_id, str(secret).rstrip("\r\n")) if plain else await self._credentials()
        try:
            try:
                return await send(url=url, method="POST", auth=auth, data=form)
            except TokenHTTPError as error:
                if error.error != "invalid_client" or not callable(self._client_secret):
                    raise
                rotated = await self._credentials()
                if rotated == auth:
                    raise
                rotation = "The client secret was refused and has changed; it is tried once more."
                self._cache.flights.tell(logger.info, rotation)
                return await send(url=url, method="POST", auth=rotated, data=form)
        except TokenError as error:
            if self._discovery is not None and getattr(error, "response_status", 404) in (404, 410):
                self._discovery.forget()  # the endpoint has moved, or does not answer
            raise

    async def _url_of(self, name: str) -> str | URL | None:
        """Return the URL of an endpoint: the one that was given, or the one that the server names."""
        url: str | URL | None = getattr(self, "_" + name.replace(" ", "_"), None)
        if url or self._discovery is None:
            return url or None
        return await self._discovery.find(name, mtls=self._client_auth.uses_certificate)

    async def _credentials(self) -> Credentials:
        named = self._client_auth.needs_client_id  # else an assertion says who asks
        if not self._client_id and not (self._needs_client and named):
            return (None, None) if named else ("", "")
        from .sources import read_secret  # most secrets are strings

        needed, client_id = self._client_auth.needs_secret, self._client_id
        return client_id, await read_secret(client_id, self._client_secret, needed=needed)

    async def _fetch(
        self,
        url: str | URL,
        method: str = "POST",
        auth: Credentials | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        """Send a token request and read the answer.

        :param auth: client id and secret, to which `client_auth` is applied; None for no authentication.
        """
        issuer = None if self._discovery is None else self._discovery.issuer
        return await self._endpoint.request(
            url, self._client_auth, auth or (None, None), data or {}, issuer=issuer
        )

    async def _post(
        self, name: str, *, url: str | URL, method: str, auth: Credentials, data: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        issuer = None if self._discovery is None else self._discovery.issuer
        return await self._endpoint.request(
            url, self._client_auth, auth, data, name=name, issuer=issuer
        )

    @cached_property
    def _endpoint(self) -> EndpointClient:
        # For a subclass that does not call __init__: 0.4.0's implicit manager did not.
        options, cache = self.__dict__.get("_http_options"), self._cache
        return EndpointClient(None, options, 0, cache.clock, cache.flights.tell)

    async def _fetch_as_token(self, previous: Token | None) -> Token:
        return token_from(await self.fetch_token(previous), self._cache.clock.time(), previous)

    def _can_fetch(self) -> bool:
        return bool(self._token_endpoint or self._discovery)

    def __repr__(self) -> str:
        endpoint = None if self._token_endpoint is None else safe_url(self._token_endpoint)
        return f"<{type(self).__name__} client_id={self._client_id!r} token_endpoint={endpoint!r}>"
