"""A real authorization server on loopback, for the tests of programs that use aio-alf, and for its own::

    async with AuthorizationServer() as server:
        async with Client(server.client_id, server.client_secret, server.token_endpoint) as client:
            await client.get(server.resource)
        assert server.token_requests == 1

It speaks HTTP over sockets: nothing is mocked, and nothing breaks when aiohttp changes inside. It
checks what it is sent as a strict server would (RFC 6749, RFC 6750), counts and keeps what arrives,
and misbehaves on demand. It is not made for production: it keeps everything in memory, and the client
secret in clear.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from .authorization_endpoint import authorization_response
from .listener import Listener
from .received import Endpoint, ReceivedRequest, receive
from .refusal import OAuthErrorResponse
from .resources import (
    echo,
    echo_messages,
    json_response,
    not_found,
    redirect,
    send_events,
)
from .script import ScriptedResponses
from .settings import Settings
from .token_endpoint import token_response
from .tokens import TokenRegistry

__all__ = ("AuthorizationServer",)

_Handler = Callable[[web.BaseRequest, ReceivedRequest], Awaitable[web.StreamResponse]]

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # RFC 6749 section 5.1


@dataclass(eq=False, repr=False)
class AuthorizationServer(Settings, ScriptedResponses):
    """An authorization server and the API it protects, on 127.0.0.1; ``async with`` runs it.

    Its parameters are those of `Settings`. Its methods are for the event loop that started it; clients may
    be in any loop, thread or process.

    Where to go (see the properties): `token_endpoint`, `authorization_endpoint` (which is also at
    ``/token/authorize``), and the protected `resource`, `websocket`, `stream` and `redirect`.
    """

    #: Requests to the token endpoint, refused ones included.
    token_requests: int = field(default=0, init=False)
    #: Requests to the authorization endpoint, refused ones included.
    authorization_requests: int = field(default=0, init=False)
    #: Requests to protected resources, rejected ones included.
    resource_requests: int = field(default=0, init=False)
    #: Those of them that were answered 401.
    rejections: int = field(default=0, init=False)
    #: What arrived, in order.
    log: list[ReceivedRequest] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        ScriptedResponses.__init__(self)
        self._tokens = TokenRegistry()
        self._listener: Listener | None = None
        self._connections = 0
        self._news: asyncio.Event | None = None  # set by the next arrival; None: nobody waits
        self._routes: dict[str, tuple[Endpoint, _Handler]] = {
            "/token": ("token", self._token),
            "/authorize": ("authorize", self._authorize),
            "/token/authorize": ("authorize", self._authorize),
            "/resource": ("resource", echo),
            "/ws": ("websocket", echo_messages),
            "/stream": ("stream", send_events),
            "/redirect": ("redirect", redirect),
        }

    def __repr__(self) -> str:
        state = "closed" if self._listener is None else "running"
        return f"<AuthorizationServer port={self.port} {state}>"

    # Where it is -------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The origin, without a slash at the end; it stays what it was when the server closes.

        :raises RuntimeError: the server has not been started yet, so that its port is not known.
        """
        if self.port == 0:
            raise RuntimeError("The server has not been started.")
        return f"{'https' if self.ssl_context else 'http'}://127.0.0.1:{self.port}"

    @property
    def token_endpoint(self) -> str:
        """Answers grants of type ``client_credentials`` and ``refresh_token``."""
        return self.url + "/token"

    @property
    def authorization_endpoint(self) -> str:
        """Answers ``response_type=token`` (RFC 6749 section 4.2) as if somebody had just signed in.

        In the fragment of a redirect; with ``response_mode=form_post`` in a form that sends itself.
        """
        return self.url + "/authorize"

    @property
    def resource(self) -> str:
        """Echoes, at this path and below it, for any method.

        The answer is a JSON object of ``method``, ``path``, ``query`` and ``headers`` (names to
        values), ``body`` (the first MiB as text), ``body_sha256`` and ``body_length`` (in bytes).
        """
        return self.url + "/resource"

    @property
    def websocket(self) -> str:
        """Echoes messages; the token is checked at the handshake."""
        return f"{self.url.replace('http', 'ws', 1)}/ws"

    @property
    def stream(self) -> str:
        """Sends server-sent events: ``?count=3`` of them, ``&interval=0`` seconds apart."""
        return self.url + "/stream"

    @property
    def redirect(self) -> str:
        """Redirects: ``?to=URL&status=302``."""
        return self.url + "/redirect"

    @property
    def connections(self) -> int:
        """The number of TCP connections that were accepted."""
        return self._connections + (self._listener.accepted if self._listener else 0)

    # Its life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen. After `close` it may be started again: same port, same tokens, same counters.

        :raises RuntimeError: it is running.
        :raises OSError: the port is taken.
        """
        if self._listener is not None:
            raise RuntimeError("The server is running.")
        self._listener = Listener(self._dispatch, self._tell, self.port, self.ssl_context)
        self.port = self._listener.port

    async def close(self) -> None:
        """Stop listening and close every connection at once, whatever it is doing."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._connections += listener.accepted
            await listener.end()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that depends on what has arrived is true.

            await server.wait_until(lambda: server.token_requests == 1)

        :param condition: asked at once and after every arrival: a connection, the head of a request,
            a whole request.
        """
        while not condition():
            if self._news is None:
                self._news = asyncio.Event()
            await self._news.wait()

    async def __aenter__(self) -> AuthorizationServer:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    # Tokens ------------------------------------------------------------------------------------

    def issue(self, lifetime: float | None = None, *, scope: str | None = None) -> str:
        """Return a valid access token, without a token request.

        :param lifetime: seconds; None: as `token_lifetime` says.
        """
        lifetime = self.token_lifetime if lifetime is None else lifetime
        return self._tokens.issue(scope, lifetime, self.time(), single_valid=self.single_valid)

    def accepts(self, token: str) -> bool:
        """Return whether the protected resources accept this access token now."""
        return self._tokens.accepts(token, self.time())

    def revoke(self, token: str) -> None:
        """Make an access token or a refresh token invalid."""
        self._tokens.revoke(token)

    def revoke_all(self, *, refresh_tokens: bool = False) -> None:
        """Make every access token invalid, and every refresh token where asked."""
        self._tokens.revoke_all(refresh_tokens=refresh_tokens)

    # Requests ----------------------------------------------------------------------------------

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        kind, handler = self._routes.get(
            "/resource" if path.startswith("/resource/") else path, ("other", not_found)
        )
        if kind in ("resource", "websocket", "stream", "redirect"):
            return await self._protected(request, kind, handler)
        self.token_requests += kind == "token"
        self.authorization_requests += kind == "authorize"
        self._tell()
        received = await self._receive(request, kind)
        return await handler(request, received)

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()
            self._news = None

    async def _receive(
        self, request: web.BaseRequest, kind: Endpoint, read_body: bool = True
    ) -> ReceivedRequest:
        received = await receive(request, kind, read_body=read_body)
        if self.keep_log:
            self.log.append(received)
        self._tell()
        return received

    async def _protected(
        self, request: web.BaseRequest, kind: Endpoint, handler: _Handler
    ) -> web.StreamResponse:
        self.resource_requests += 1
        self._tell()
        respond = self._resource_queue.take()
        accepted = respond is None and self._authorized(request)
        received = await self._receive(request, kind, accepted or self.read_rejected)
        if respond is None and self.resource_latency:
            await asyncio.sleep(self.resource_latency)
        if respond is not None:
            response = await respond(request)
        elif accepted:
            return await handler(request, received)
        else:
            # RFC 6750 section 3.1: no error code for a request that tried no token.
            tried = "Authorization" in request.headers
            response = web.Response(
                status=401,
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"' if tried else "Bearer"},
                body=self.rejection_body,
            )
        self.rejections += response.status == 401
        return response

    def _authorized(self, request: web.BaseRequest) -> bool:
        # RFC 6750 section 2.1: one header, of scheme Bearer (in any case, RFC 9110 section 11.1).
        values = request.headers.getall("Authorization", [])
        scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
        return scheme.lower() == "bearer" and self.accepts(token)

    async def _token(
        self, request: web.BaseRequest, received: ReceivedRequest
    ) -> web.StreamResponse:
        respond = self._token_queue.take()
        if respond is not None:
            return await respond(request)
        if self.latency:
            await asyncio.sleep(self.latency)
        try:
            return json_response(token_response(self, self._tokens, received), headers=_NO_STORE)
        except OAuthErrorResponse as refusal:
            headers = {**_NO_STORE, **refusal.headers}
            return json_response(refusal.parameters, refusal.status, headers)

    async def _authorize(
        self, request: web.BaseRequest, received: ReceivedRequest
    ) -> web.StreamResponse:
        try:
            location, page = authorization_response(self, self._tokens, received)
        except OAuthErrorResponse as refusal:
            # RFC 6749 section 4.2.2.1: a redirect URI that is not right is not redirected to.
            return web.Response(status=400, text=str(refusal), headers=_NO_STORE)
        if page:
            return web.Response(text=page, content_type="text/html", headers=_NO_STORE)
        return web.Response(status=302, headers={**_NO_STORE, "Location": location})
