"""The authorization code flow with PKCE (RFC 6749 section 4.1, RFC 7636): a sign-in in a browser."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from yarl import URL

from ..endpoint_url import is_cleartext
from ..errors import AuthorizationError, TokenError
from ..manager import ClientSecret
from ..protocol.authorization import authorization_url
from ..protocol.pkce import challenge_of, new_verifier
from ..protocol.token_endpoint import scope_string
from ..redaction import safe_url
from .browser import BrowserOpener, check_opener, present_url
from .port import check_port_range, check_redirect
from .sign_in import SignInTokenManager

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..options import ManagerOptions

__all__ = ("AuthorizationCodeTokenManager",)

logger: logging.Logger = logging.getLogger("aioalf")

_AUTHORIZATION_ENDPOINT = "authorization endpoint"
_PAR_ENDPOINT = "pushed authorization request endpoint"
_RESERVED = frozenset(
    "client_id client_secret code_challenge code_challenge_method redirect_uri request request_uri"
    " response_mode response_type scope state".split()
)
# What only changes how a person is asked: the token is the same.
_HOW_TO_ASK = frozenset({"display", "login_hint", "max_age", "prompt", "ui_locales"})


class AuthorizationCodeTokenManager(SignInTokenManager):
    """Gets tokens by having a person sign in in a browser once; then by the refresh token, silently.

    The browser comes back to a port on this machine (RFC 8252) with a code, which is exchanged for the
    token. The code is of no use to anybody who sees it, because of PKCE, by the method S256. The browser is
    opened once, however many tasks wait, and however many managers share the storage. If nobody waits any
    more, the sign-in is given up and its port closed; once the code has come, it is exchanged in any case.

    :param token_endpoint: URL of the token endpoint; not needed with `issuer`.
    :param client_id: the client identifier.
    :param client_secret: the client secret, if the client has one: `ClientSecretBasic` is then the default
        of `client_auth`, else `NoClientAuth`.
    :param http_options: as of `TokenManager`.
    :param scope: the scope to ask for: a string, or a list that is joined with single spaces. Servers give
        a refresh token for ``offline_access``; it is not added by itself.
    :param authorization_endpoint: URL of the authorization endpoint; not needed with `issuer`.
    :param authorization_params: further parameters of the authorization request, such as ``prompt`` or
        ``access_type``. A list as value repeats the parameter.
    :param port_range: the first and the last port on which the answer may be received. The first one that
        is free is used, and each redirect URI that may result must be registered at the server. None takes
        any free port, for a server that follows RFC 8252 section 7.3.
    :param redirect_host: the host in the redirect URI: ``localhost``, ``127.0.0.1`` or ``[::1]``.
    :param redirect_path: the path in the redirect URI: empty, or ``/callback`` say.
    :param response_mode: None leaves the parameter out, and the code comes in the query. ``form_post``
        asks the server to post it instead (OAuth 2.0 Form Post Response Mode).
    :param authorization_timeout: how long to wait for the person, in seconds.
    :param open_browser: shows the person the address that it is called with: a plain function, called in a
        thread, or an ``async`` one. It may return the address at which the browser has ended, as a string.
        False or an exception means that it could not; the address is then printed on stderr, and on a
        terminal the address at the end can be pasted there. By default the browser that ``webbrowser``
        finds.
    :param par: push the authorization request first (RFC 9126); None does so if the metadata requires it.
    :param pushed_authorization_request_endpoint: where to; not needed with `issuer`.
    :param scope_on_refresh: send the scope with a refresh token too.
    :param unattended: ask a person only when the program calls `sign_in`; a request that would need one
        raises `SignInRequired`.
    :param options: the other keywords of `TokenManager` (``issuer``, ``token_storage``, ``account``, ...).
    :raises TypeError: a keyword is unknown, or a value is of the wrong kind.
    :raises ValueError: a value cannot be used; the message says why.
    """

    def __init__(
        self,
        token_endpoint: str | URL | None = None,
        client_id: str | None = None,
        client_secret: ClientSecret | None = None,
        http_options: Mapping[str, Any] | None = None,
        scope: str | Sequence[str] | None = None,
        *,
        authorization_endpoint: str | URL | None = None,
        authorization_params: Mapping[str, Any] | None = None,
        port_range: Sequence[int] | None = (32000, 32009),
        redirect_host: str = "localhost",
        redirect_path: str = "",
        response_mode: Literal["query", "form_post"] | None = None,
        authorization_timeout: float = 300.0,
        open_browser: BrowserOpener | None = None,
        par: bool | None = None,
        pushed_authorization_request_endpoint: str | URL | None = None,
        scope_on_refresh: bool = False,
        unattended: bool = False,
        **options: Unpack[ManagerOptions],
    ) -> None:
        if response_mode not in (None, "query", "form_post"):
            raise ValueError(
                f"response_mode is {response_mode!r}; it must be 'query', 'form_post' or None"
            )
        if not isinstance(authorization_params, (Mapping, type(None))):
            kind = type(authorization_params).__name__
            raise TypeError(f"authorization_params takes a dict, not a {kind}.")
        if reserved := sorted(_RESERVED & {*(authorization_params or ())}):
            raise ValueError(f"authorization_params cannot hold {', '.join(reserved)}")
        self._authorization_params = dict(authorization_params or {})
        self._port_range = port_range
        check_port_range(port_range)
        self._redirect = check_redirect(redirect_host, redirect_path)
        self._response_mode: Literal["query", "form_post"] | None = response_mode
        self._open_browser = check_opener(open_browser)
        self._authorization_endpoint = authorization_endpoint
        self._par = par
        self._pushed_authorization_request_endpoint = pushed_authorization_request_endpoint
        super().__init__(
            token_endpoint,
            client_id,
            client_secret,
            http_options,
            scope,
            authorization_timeout=authorization_timeout,
            scope_on_refresh=scope_on_refresh,
            unattended=unattended,
            **options,
        )

    def _bound_params(self) -> Mapping[str, Any]:
        asked = self._authorization_params.items()
        return {**{name: v for name, v in asked if name not in _HOW_TO_ASK}, **self._params}

    async def _ask_person(self) -> Mapping[str, Any]:
        """Get a code (RFC 6749 section 4.1.1), and exchange it (section 4.1.3)."""
        from .receiver import LoopbackReceiver  # aiohttp.web: only for those who sign in

        endpoint = await self._url_of(_AUTHORIZATION_ENDPOINT)
        if not endpoint:
            raise TokenError(f"Missing {_AUTHORIZATION_ENDPOINT}: give it, or issuer=.")
        if is_cleartext(URL(endpoint)):
            logger.warning(
                "The authorization endpoint %s is not https: what the person types there can be read on the"
                " way.",
                safe_url(endpoint),
            )
        await self._check_exchange()
        given = self._discovery is None or (self._authorization_endpoint and self._token_endpoint)
        metadata = {} if given or self._discovery is None else await self._discovery.metadata()
        host, path = self._redirect
        verifier, timeout = new_verifier(), self._authorization_timeout
        receiver = LoopbackReceiver(
            port_range=self._port_range,
            redirect_host=host,
            redirect_path=path,
            response_mode=self._response_mode or "query",
            issuer=None if self._discovery is None else self._discovery.issuer,
            iss_required=metadata.get("authorization_response_iss_parameter_supported") is True,
            check=_check,
        )
        async with receiver:
            request = {
                "response_type": "code",
                "client_id": self._client_id,
                "redirect_uri": receiver.redirect_uri,
                "scope": scope_string(self._scope),
                "state": receiver.state,
                "code_challenge": challenge_of(verifier),
                "code_challenge_method": "S256",
                "response_mode": self._response_mode,
                **self._authorization_params,
            }
            if self._par or (
                self._par is None and metadata.get("require_pushed_authorization_requests") is True
            ):
                request = await self._pushed(request)
            url = authorization_url(str(endpoint), request)
            async with present_url(
                url, self._open_browser, port=receiver.port, timeout=timeout, take=receiver.take
            ):
                answer = await receiver.receive(timeout)
        self._cache.fetcher.stop_asking()
        return await self.request_token(
            {
                "grant_type": "authorization_code",
                "code": answer["code"],
                "redirect_uri": receiver.redirect_uri,
                "code_verifier": verifier,
            }
        )

    async def _pushed(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Push an authorization request, and return what stands for it in the browser (RFC 9126)."""
        form = {name: value for name, value in request.items() if value is not None}
        response = await self._request(_PAR_ENDPOINT, form)
        request_uri = response.get("request_uri")
        if not isinstance(request_uri, str) or not request_uri:
            raise TokenError(f"The {_PAR_ENDPOINT} gave no request_uri.")
        return {"client_id": self._client_id, "request_uri": request_uri}


def _check(params: Mapping[str, str]) -> None:
    """Refuse an answer without a code while the person can still be told."""
    if not params.get("code"):
        raise AuthorizationError("The answer of the authorization server holds no code")
