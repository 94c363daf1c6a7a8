"""`ServerRequests`: how a manager's forms reach the endpoints of its authorization server.

The part of `TokenManager` that knows where the endpoints are, who the client is, and how it says so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from yarl import URL

from .endpoint import EndpointClient
from .endpoint_url import TOKEN_ENDPOINT
from .errors import TokenError, TokenHTTPError
from .protocol.client_auth import ClientAuth, ClientSecret, ClientSecretBasic

if TYPE_CHECKING:
    from .discovery import Discovery
    from .renewal.cache import TokenCache

__all__ = ("ServerRequests",)

logger = logging.getLogger("aioalf")


class ServerRequests:
    """Sends forms to the endpoints of an authorization server, with the client's credentials."""

    # A subclass written for 0.4.0 may not call __init__.
    _token_endpoint: str | URL | None = None
    _client_id: str | None = None
    _client_secret: ClientSecret | None = None
    _scope: str | Sequence[str] | None = None
    _params: Mapping[str, Any] = {}
    _client_auth: ClientAuth = ClientSecretBasic()
    _discovery: Discovery | None = None
    _account: str | None = None
    _scope_on_refresh = False
    # What a flow may be.
    _needs_client = True  # whether it says which client asks
    _may_be_public = False  # whether a client without a secret is a public one

    if TYPE_CHECKING:
        _cache: TokenCache

    async def _request(self, name: str, form: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a form to an endpoint with the client's credentials, and read the answer.

        :param name: which endpoint, such as ``"token endpoint"``.
        """
        url = await self._url_of(name)
        if not url:
            raise TokenError(f"Missing {name}")
        auth = await self._credentials()
        try:
            try:
                return await self._send(name, url, auth, form)
            except TokenHTTPError as error:
                if error.error != "invalid_client" or not callable(self._client_secret):
                    raise
                rotated = await self._credentials()
                if rotated == auth:
                    raise
                logger.info("The client secret was refused and has changed; it is tried once more.")
                return await self._send(name, url, rotated, form)
        except TokenError as error:
            if self._discovery is not None and getattr(error, "response_status", 404) in (404, 410):
                self._discovery.forget()  # the endpoint has moved, or does not answer
            raise

    async def _url_of(self, name: str) -> str | URL | None:
        """Return the URL of an endpoint: the one that was given, or the one that the server names."""
        url: str | URL | None = getattr(self, "_" + name.replace(" ", "_"), None)
        if url or self._discovery is None:
            return url
        return await self._discovery.find(name, mtls=self._client_auth.uses_certificate)

    async def _credentials(self) -> tuple[str | None, str | None]:
        secret, client_id = self._client_secret, self._client_id
        if not client_id and not self._needs_client:
            return None, None
        if not isinstance(secret, str) or not client_id or type(client_id) is not str:
            from .sources import read_secret  # most secrets are strings

            secret = await read_secret(client_id, secret, needed=self._client_auth.needs_secret)
        return client_id, secret

    async def _send(
        self,
        name: str,
        url: str | URL,
        auth: tuple[str | None, str | None],
        form: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        if name == TOKEN_ENDPOINT:
            return await self._fetch(url=url, method="POST", auth=auth, data=form)
        issuer = None if self._discovery is None else self._discovery.issuer
        return await self._endpoint.request(
            url, self._client_auth, auth, form, name=name, issuer=issuer
        )

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
        issuer = None if self._discovery is None else self._discovery.issuer
        return await self._endpoint.request(url, self._client_auth, auth, data or {}, issuer=issuer)

    @cached_property
    def _endpoint(self) -> EndpointClient:
        # For a subclass that does not call __init__: 0.4.0's implicit manager did not.
        return EndpointClient(None, self.__dict__.get("_http_options"), 0, self._cache.clock)
