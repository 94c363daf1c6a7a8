"""`Client`: a `ClientSession` whose every request carries a valid Bearer token (RFC 6750 section 2.1)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, overload

from aiohttp import ClientResponse, ClientSession, hdrs
from aiohttp.client import _BaseRequestContextManager, _WSRequestContextManager
from yarl import URL

from .bearer.sender import Sender
from .bearer.unauthorized import UNAUTHORIZED, check_statuses
from .compat import warn_of_lost_overrides
from .manager import ClientSecret, TokenManager
from .sessions import OwnedSession, SessionAttributes, refuse_to_be_pickled

if TYPE_CHECKING:
    from aiohttp import ClientWebSocketResponse
    from aiohttp.client import _RequestContextManager
    from typing_extensions import Self, Unpack

    from .httpclient import HTTPRequest
    from .options import ClientOptions, RequestOptions, WebSocketOptions
    from .protocol.client_auth import ClientAuth
    from .storage.base import TokenStorage

__all__ = ("Client",)


class Client(SessionAttributes):
    """An aiohttp client that gets, sends, keeps and renews OAuth 2 tokens.

    Used as a `ClientSession` is. It may be built before an event loop runs; its session is opened at the
    first request. Any number of tasks of one event loop may share it.

    :param client_id: the client identifier.
    :param client_secret: the client secret, or a callable, plain or ``async``, that returns it.
    :param token_endpoint: URL of the token endpoint.
    :param http_options: keywords of ``ClientSession.request`` for the token requests.
    :param scope: the scope to ask for: a string, or a list that is joined with single spaces.
    :param token_manager: a ready manager instead of all the above; borrowed, never closed here.
    :param session: a session to send the requests with, borrowed, never closed here.
    :param raise_token_errors: raise `TokenHTTPError`; by default the token endpoint's error response is
        returned in place of the resource's.
    :param origins: where the token may go, such as ``"https://api.example.com"`` or a list of such; a
        request to any other origin goes out without it. By default the origin of `base_url`, and without
        that **any origin the caller asks for**: if URLs come from users, name the origins.
    :param unauthorized_statuses: the statuses that say that the token is not accepted, for an API that
        says so with a different status than 401.
    :param client_auth: how the client authenticates; see `TokenManager`.
    :param token_storage: where the token outlives this object and is shared; borrowed.
    :param token_retries: how often a token request that failed for a transient reason is repeated.
    :param token_request_params: further parameters of every token request.
    :param options: further keywords of `token_manager_class`; all others are keywords of the
        `ClientSession` it owns (``timeout``, ``connector``, ``headers``, ``base_url``,
        ``raise_for_status``, ``trace_configs``, ...). `aioalf.options` has their types.
    :raises TypeError: a keyword that neither knows, one that cannot go with another, or a value of the
        wrong kind.
    :raises ValueError: `origins` names no origin, or a value cannot be used.
    """

    #: What makes the manager; a subclass may name its own. If that takes keywords which a type checker does
    #: not know, the subclass needs an ``__init__`` that names them.
    token_manager_class: ClassVar[Callable[..., TokenManager]] = TokenManager

    def __init__(
        self,
        client_id: str | None = None,
        client_secret: ClientSecret | None = None,
        token_endpoint: str | URL | None = None,
        http_options: Mapping[str, Any] | None = None,
        scope: str | Sequence[str] | None = None,
        *,
        token_manager: TokenManager | None = None,
        session: ClientSession | None = None,
        raise_token_errors: bool = False,
        origins: str | URL | Iterable[str | URL] | None = None,
        unauthorized_statuses: Iterable[int] = UNAUTHORIZED,
        client_auth: ClientAuth | None = None,
        token_storage: TokenStorage | None = None,
        token_retries: int | None = None,
        token_request_params: Mapping[str, Any] | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        warn_of_lost_overrides(type(self))
        for_manager: dict[str, Any] = {}
        for_session: dict[str, Any] = {}
        if options:
            from .client_options import split_options

            for_manager, for_session = split_options(self.token_manager_class, options)
        passed = {
            "client_auth": client_auth,
            "token_storage": token_storage,
            "token_retries": token_retries,
            "token_request_params": token_request_params,
        }
        for_manager.update((name, value) for name, value in passed.items() if value is not None)
        named = {
            "token_endpoint": token_endpoint,
            "client_id": client_id,
            "client_secret": client_secret,
            "http_options": http_options,
            "scope": scope,
        }
        if token_manager is not None or session is not None:
            from .client_options import check_borrowed

            check_borrowed(token_manager, {**named, **for_manager}, session, for_session)
        self._owns_manager = token_manager is None
        if token_manager is None:
            # In 0.4.0 the options were always a dict; its subclasses may rely on that.
            named["http_options"] = http_options if http_options is not None else {}
            token_manager = self.token_manager_class(**named, **for_manager)
        self._token_manager: TokenManager = token_manager
        base_url = for_session.get("base_url", getattr(session, "_base_url", None))
        self._sender = Sender(
            token_manager,
            session if session is not None else OwnedSession(lambda: ClientSession(**for_session)),
            origins,
            base_url,
            raise_token_errors,
            check_statuses(unauthorized_statuses),
        )
        self._send: Callable[[str, str | URL, Any], Coroutine[Any, Any, ClientResponse]]
        self._send = self._sender.send

    @property
    def token_manager(self) -> TokenManager:
        """The manager that has the token."""
        return self._token_manager

    @property
    def session(self) -> ClientSession:
        """The session that sends the requests; opened here if it is not open yet.

        What is sent with it directly carries no token. What else it has is read and set here, such as
        ``session.trace_configs``.

        :raises RuntimeError: no event loop is running, or the client is closed.
        """
        return self._sender.open_session()

    @property
    def closed(self) -> bool:
        """Whether `close` has been called, or the session has been closed directly."""
        # What stands in for a session in a test may not tell.
        return self._sender.closed or bool(getattr(self._sender.source, "closed", False))

    # -- requests, as aiohttp has them

    def request(
        self,
        method: str | HTTPRequest,
        url: str | URL | None = None,
        **options: Unpack[RequestOptions],
    ) -> _RequestContextManager:
        """Send a request with a valid token; on a 401 renew the token and send it once more.

        :param method: the HTTP method, or an `HTTPRequest` that says all.
        :param url: the URL, relative to `base_url` if there is one.
        :param options: every keyword of ``ClientSession.request`` but ``auth``. A ``timeout`` counts for
            each sending by itself, not for the token request, which has its own.
        :return: the response, to be awaited or used with ``async with``. If the token endpoint answered
            with an error, and `raise_token_errors` and ``raise_for_status`` are both off, that answer: a
            `TokenErrorResponse`; nothing was then sent to `url`.
        :raises TokenError: there is no token to be had.
        :raises aiohttp.ClientError: as aiohttp does.
        :raises RuntimeError: the client is closed.
        """
        if isinstance(method, str):
            if url is None:
                raise TypeError("request() takes a method and a URL, or an HTTPRequest.")
            return _BaseRequestContextManager(self._send(method, url, options))
        from .httpclient import HTTPRequest  # few use it, and it takes a while to import

        if url is not None or not isinstance(method, HTTPRequest):
            raise TypeError("request() takes an HTTPRequest, or a method and a URL, not both.")
        given = {**method.options, **options}
        return _BaseRequestContextManager(self._send(method.method, method.url, given))

    def get(self, url: str | URL, **options: Unpack[RequestOptions]) -> _RequestContextManager:
        """Send a GET request; see `request`."""
        return _BaseRequestContextManager(self._send(hdrs.METH_GET, url, options))

    def options(self, url: str | URL, **options: Unpack[RequestOptions]) -> _RequestContextManager:
        """Send an OPTIONS request; see `request`."""
        return _BaseRequestContextManager(self._send(hdrs.METH_OPTIONS, url, options))

    def head(self, url: str | URL, **options: Unpack[RequestOptions]) -> _RequestContextManager:
        """Send a HEAD request; see `request`. Redirects are not followed by default, as in aiohttp."""
        options.setdefault("allow_redirects", False)
        return _BaseRequestContextManager(self._send(hdrs.METH_HEAD, url, options))

    def post(self, url: str | URL, **options: Unpack[RequestOptions]) -> _RequestContextManager:
        """Send a POST request; see `request`."""
        return _BaseRequestContextManager(self._send(hdrs.METH_POST, url, options))

    def put(self, url: str | URL, **options: Unpack[RequestOptions]) -> _RequestContextManager:
        """Send a PUT request; see `request`."""
        return _BaseRequestContextManager(self._send(hdrs.METH_PUT, url, options))

    def patch(self, url: str | URL, **options: Unpack[RequestOptions]) -> _RequestContextManager:
        """Send a PATCH request; see `request`."""
        return _BaseRequestContextManager(self._send(hdrs.METH_PATCH, url, options))

    def delete(self, url: str | URL, **options: Unpack[RequestOptions]) -> _RequestContextManager:
        """Send a DELETE request; see `request`."""
        return _BaseRequestContextManager(self._send(hdrs.METH_DELETE, url, options))

    if TYPE_CHECKING:

        @overload
        def ws_connect(
            self,
            url: str | URL,
            *,
            decode_text: Literal[True] = ...,
            **options: Unpack[WebSocketOptions],
        ) -> _BaseRequestContextManager[ClientWebSocketResponse[Literal[True]]]: ...

        @overload
        def ws_connect(
            self,
            url: str | URL,
            *,
            decode_text: Literal[False],
            **options: Unpack[WebSocketOptions],
        ) -> _BaseRequestContextManager[ClientWebSocketResponse[Literal[False]]]: ...

        @overload
        def ws_connect(
            self, url: str | URL, *, decode_text: bool, **options: Unpack[WebSocketOptions]
        ) -> _BaseRequestContextManager[ClientWebSocketResponse[bool]]: ...

    def ws_connect(self, url: str | URL, **options: Any) -> _WSRequestContextManager:
        """Open a websocket, the token on its handshake; a handshake answered 401 is made once more.

        :param url: the URL, ``ws``, ``wss``, ``http`` or ``https``.
        :param options: every keyword of ``ClientSession.ws_connect`` but ``auth``.
        :raises TokenError: there is no token to be had; always raised, never returned.
        :raises aiohttp.WSServerHandshakeError: as aiohttp does; with status 401 after the second one.
        """
        from .bearer.handshake import connect  # most programs open no websocket

        return _WSRequestContextManager(connect(self._sender, url, options))

    # -- its end

    async def close(self) -> None:
        """Close what the client made: its manager, unless one was given, and its session, likewise.

        Who still waits for a token gets a `TokenError` that says so. May be called again.
        """
        self._sender.mark_closed()
        try:
            if self._owns_manager:
                await self._token_manager.close()
        finally:
            await self._sender.close()

    async def __aenter__(self) -> Self:
        if self.closed:
            raise RuntimeError("This Client is closed.")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __enter__(self) -> None:
        raise TypeError("Use async with instead.")

    def __exit__(self, *exc_info: object) -> None:
        """Never reached; ``with`` looks for it before it calls `__enter__`."""

    def __reduce__(self) -> NoReturn:
        refuse_to_be_pickled(self)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {'closed' if self.closed else 'open'} {self._token_manager!r}>"
        )
