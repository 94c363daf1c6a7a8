"""The implicit flow (RFC 6749 section 4.2): a person signs in, in a browser on this machine.

RFC 9700 section 2.1.2 has deprecated it. It is here for servers that offer nothing better to a
program on a person's desk.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from yarl import URL

from ..endpoint_url import is_cleartext
from ..errors import TokenError
from ..manager import ClientSecret
from ..protocol.authorization import authorization_endpoint_of, authorization_url
from ..protocol.token_endpoint import scope_string, token_from
from ..redaction import safe_url
from .browser import BrowserOpener, check_opener, present_url
from .port import check_port_range, check_redirect
from .sign_in import SignInTokenManager

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..options import SignInOptions

__all__ = ("OAuthImplicitTokenManager", "OAuthImplictTokenManager")

logger: logging.Logger = logging.getLogger("aioalf")

_RESERVED_PARAMS = frozenset({"redirect_uri", "response_mode", "response_type", "state"})


class OAuthImplictTokenManager(SignInTokenManager):
    """Gets tokens by having a person sign in; a `TokenManager` in all else.

    The browser is opened if a token is needed and neither memory nor the storage has one: once,
    however many tasks wait, and however many clients share the storage. Nothing is renewed ahead or
    retried; a 401 opens at most one window a minute. A refusal, or a sign-in that did not come in time, is
    remembered for a minute or until `sign_in` or `reset_token`, by all clients that share the storage. If
    no task waits any more, the sign-in is given up and its port closed.

    (The spelling is that of version 0.4.0; `OAuthImplicitTokenManager` is the same class.)

    :param token_endpoint: where the authorization endpoint is derived from; nothing is asked of it.
    :param client_id: the client identifier.
    :param client_secret: not used: the flow has none. May be given, as 0.4.0's examples do.
    :param http_options: not used.
    :param scope: the scope to ask for: a string, or a list that is joined with single spaces.
    :param authorization_endpoint: URL of the authorization endpoint; ``{token_endpoint}/authorize`` by
        default.
    :param port_range: the first and the last port on which the answer may be received. The first one
        that is free is used, and each redirect URI that may result must be registered at the server.
    :param redirect_host: the host in the redirect URI: ``localhost``, ``127.0.0.1`` or ``[::1]``.
    :param redirect_path: the path in the redirect URI: empty, or ``/callback`` say.
    :param response_mode: None leaves the parameter out, and the token comes in the fragment.
        ``form_post`` asks the server to post it instead (OAuth 2.0 Form Post Response Mode), which
        keeps it out of the browser's history, if the server knows that. ``fragment`` asks for the
        fragment in so many words.
    :param authorization_timeout: how long to wait for the person, in seconds.
    :param open_browser: shows the person the address that it is called with: a plain function, called
        in a thread, or an ``async`` one. False or an exception means that it could not; the address is
        then printed on stderr. By default the browser that ``webbrowser`` finds.
    :param options: ``unattended`` (see `AuthorizationCodeTokenManager`) and the other keywords of
        `TokenManager`; `token_request_params` go to the authorization endpoint.
    :raises TypeError: a keyword is unknown.
    :raises ValueError: a value cannot be used; the message says why.
    """

    _warned = False
    grant: str = "implicit"

    def __init__(
        self,
        token_endpoint: str | URL | None = None,
        client_id: str | None = None,
        client_secret: ClientSecret | None = None,
        http_options: Mapping[str, Any] | None = None,
        scope: str | Sequence[str] | None = None,
        *,
        authorization_endpoint: str | URL | None = None,
        port_range: Sequence[int] = (32000, 32009),
        redirect_host: str = "localhost",
        redirect_path: str = "",
        response_mode: Literal["fragment", "form_post"] | None = None,
        authorization_timeout: float = 300.0,
        open_browser: BrowserOpener | None = None,
        **options: Unpack[SignInOptions],
    ) -> None:
        if response_mode not in (None, "fragment", "form_post"):
            raise ValueError(
                f"response_mode is {response_mode!r}; it must be 'fragment', 'form_post' or None"
            )
        if reserved := sorted(_RESERVED_PARAMS & {*(options.get("token_request_params") or ())}):
            raise ValueError(f"token_request_params cannot hold {', '.join(reserved)}")
        self._port_range = check_port_range(port_range)
        self._redirect = check_redirect(redirect_host, redirect_path)
        self._response_mode = response_mode
        self._open_browser = check_opener(open_browser)
        self._authorization_endpoint = authorization_endpoint
        if authorization_endpoint is not None:
            # A stored token is bound to it as well.
            self.grant = f"implicit at {authorization_endpoint}"
        super().__init__(
            token_endpoint,
            client_id,
            client_secret,
            http_options,
            scope,
            authorization_timeout=authorization_timeout,
            **options,
        )

    async def _ask_person(self) -> Mapping[str, Any]:
        """Have the person sign in (RFC 6749 sections 4.2.1 and 4.2.2), and return the answer."""
        from .receiver import LoopbackReceiver  # aiohttp.web: only for those who sign in

        endpoint = self._endpoint_url()
        if not self._warned and is_cleartext(URL(endpoint)):
            self._warned = True
            logger.warning(
                "The authorization endpoint %s is not https: the token comes through it, and can be read on"
                " the way.",
                safe_url(endpoint),
            )
        host, path = self._redirect
        receiver = LoopbackReceiver(
            port_range=self._port_range,
            redirect_host=host,
            redirect_path=path,
            response_mode=self._response_mode or "fragment",
            issuer=None if self._discovery is None else self._discovery.issuer,
            check=_check,
        )
        timeout = self._authorization_timeout
        async with receiver:
            request = {
                "response_type": "token",
                "client_id": self._client_id,
                "redirect_uri": receiver.redirect_uri,
                "scope": scope_string(self._scope),
                "state": receiver.state,
                "response_mode": self._response_mode,
                **self._params,
            }
            url = authorization_url(endpoint, request)
            opener = self._open_browser
            async with present_url(
                url, opener, port=receiver.port, timeout=timeout, take=receiver.take
            ):
                return _with_unknown_life(await receiver.receive(timeout))

    def _tell_of_no_refresh_token(self) -> None:
        """Say nothing: this flow never gives one."""

    def _endpoint_url(self) -> str:
        if self._authorization_endpoint:
            return str(self._authorization_endpoint)
        if not self._token_endpoint:
            raise TokenError("Missing token endpoint")
        return authorization_endpoint_of(str(self._token_endpoint))

    def _can_fetch(self) -> bool:
        return bool(self._authorization_endpoint or self._token_endpoint)


#: `OAuthImplictTokenManager` under a correctly spelled name.
OAuthImplicitTokenManager = OAuthImplictTokenManager


def _with_unknown_life(params: dict[str, str]) -> dict[str, str]:
    params.pop("refresh_token", None)  # there is none in this flow (RFC 6749 section 4.2.2)
    # Some servers say 0 and mean that the token does not expire. Taken at its word, it would open a window
    # for each request.
    with suppress(ValueError):
        if float(params.get("expires_in", "")) <= 0:
            logger.info("The token has an expires_in of 0 or less; it is used until a 401.")
            return {name: value for name, value in params.items() if name != "expires_in"}
    return params


def _check(params: Mapping[str, str]) -> None:
    """Refuse an unusable token while the person can still be told."""
    token_from({name: value for name, value in params.items() if name != "expires_in"}, 0.0)
