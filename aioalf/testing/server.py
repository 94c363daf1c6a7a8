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
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from .addresses import Addresses
from .authorization_endpoint import authorization_response
from .grants import Grants
from .listener import Listener
from .more_endpoints import device_response, metadata_of, par_response, revoke
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
from .script import LOST, ScriptedResponses
from .threaded import from_any_loop, from_any_thread
from .token_endpoint import token_response
from .verification_page import verification_page

__all__ = ("AuthorizationServer",)

_Handler = Callable[[web.BaseRequest, ReceivedRequest], Awaitable[web.StreamResponse]]

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # RFC 6749 section 5.1


@dataclass(eq=False, repr=False)
class AuthorizationServer(Addresses, ScriptedResponses):
    """An authorization server and the API it protects, on 127.0.0.1.

    ``with`` runs it in a thread of its own: its methods may then be called from any thread and any loop.
    ``async with`` runs it in the event loop of the caller, which its methods are for; that loop has to run
    as long as anybody asks the server. Clients may be in any loop, thread or process.

    Its parameters are those of `Settings`.

    Where to go (see the properties): `token_endpoint`, `authorization_endpoint` (which is also at
    ``/token/authorize``), `device_authorization_endpoint`, `revocation_endpoint`, the `issuer`, from which
    all of them can be looked up, and the protected `resource`, `websocket`, `stream` and `redirect`.
    """

    #: Requests to the token endpoint, refused ones included.
    token_requests: int = field(default=0, init=False)
    #: Requests to the authorization endpoint, refused ones included.
    authorization_requests: int = field(default=0, init=False)
    #: Requests to protected resources, rejected ones included.
    resource_requests: int = field(default=0, init=False)
    #: Those of them that were answered 401.
    rejections: int = field(default=0, init=False)
    #: How many requests there were of each kind: ``requests["device"]``, ``requests["metadata"]``, ...
    requests: Counter[Endpoint] = field(default_factory=Counter, init=False)
    #: What arrived, in order.
    log: list[ReceivedRequest] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        ScriptedResponses.__init__(self)
        self._grants = Grants()
        self._listener: Listener | None = None
        self._connections = 0
        self._news: asyncio.Event | None = None  # set by the next arrival; None: nobody waits
        self._routes: dict[str, tuple[Endpoint, _Handler]] = {
            "/token": ("token", self._token),
            "/authorize": ("authorize", self._authorize),
            "/token/authorize": ("authorize", self._authorize),
            "/device_authorization": ("device", self._device),
            "/device": ("verification", self._verification),
            "/par": ("par", self._par),
            "/revoke": ("revocation", self._revoke),
            "/resource": ("resource", echo),
            "/ws": ("websocket", echo_messages),
            "/stream": ("stream", send_events),
            "/redirect": ("redirect", redirect),
        }

    def __repr__(self) -> str:
        state = "closed" if self._listener is None else "running"
        return f"<AuthorizationServer port={self.port} {state}>"

    @property
    def connections(self) -> int:
        """The number of TCP connections that were accepted."""
        return self._connections + (self._listener.accepted if self._listener else 0)

    @from_any_loop
    async def start(self) -> None:
        """Listen. After `close` it may be started again: same port, same tokens, same counters.

        :raises RuntimeError: it is running.
        :raises OSError: the port is taken.
        """
        if self._listener is not None:
            raise RuntimeError("The server is running.")
        self._listener = Listener(self._dispatch, self._tell, self.port, self.ssl_context)
        self.port: int = self._listener.port

    @from_any_loop
    async def close(self) -> None:
        """Stop listening and close every connection at once, whatever it is doing."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._connections += listener.accepted
            await listener.end()

    @from_any_loop
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

    @from_any_thread
    def issue(self, lifetime: float | None = None, *, scope: str | None = None) -> str:
        """Return a valid access token, without a token request.

        :param lifetime: seconds; None: as `token_lifetime` says.
        """
        lifetime = self.token_lifetime if lifetime is None else lifetime
        tokens = self._grants.tokens
        return tokens.issue(scope, lifetime, self.time(), single_valid=self.single_valid)

    @from_any_thread
    def issue_refresh_token(self, *, scope: str | None = None) -> str:
        """Return a valid refresh token, without a sign-in."""
        return self._grants.tokens.issue_refresh_token(scope, object())

    @from_any_thread
    def approve(self, user_code: str) -> None:
        """Sign in for the device that shows this code.

        :raises ValueError: no device waits with it.
        """
        self._grants.decide(user_code, True)

    @from_any_thread
    def decline(self, user_code: str) -> None:
        """Decline the sign-in of the device that shows this code.

        :raises ValueError: no device waits with it.
        """
        self._grants.decide(user_code, False)

    @from_any_thread
    def accepts(self, token: str) -> bool:
        """Return whether the protected resources accept this access token now."""
        return self._grants.tokens.accepts(token, self.time())

    @from_any_thread
    def revoke(self, token: str) -> None:
        """Make an access token or a refresh token invalid."""
        self._grants.tokens.revoke(token)

    @from_any_thread
    def revoke_all(self, *, refresh_tokens: bool = False) -> None:
        """Make every access token invalid, and every refresh token where asked."""
        self._grants.tokens.revoke_all(refresh_tokens=refresh_tokens)

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        kind, handler = self._routes.get(
            "/resource" if path.startswith("/resource/") else path, ("other", not_found)
        )
        if kind == "other" and "/.well-known/" in path:
            kind, handler = "metadata", self._metadata
        self.requests[kind] += 1
        if kind in ("resource", "websocket", "stream", "redirect"):
            return await self._protected(request, kind, handler)
        self.token_requests += kind == "token"
        self.authorization_requests += kind == "authorize"
        self._tell()
        received = await self._receive(request, kind)
        respond = self._queues[kind].take()
        if respond is not None and respond is not LOST:
            return await respond(request)
        if kind == "token" and self.latency:
            await asyncio.sleep(self.latency)
        try:
            response = await handler(request, received)
        except OAuthErrorResponse as refusal:
            headers = {**_NO_STORE, **refusal.headers}
            response = json_response(refusal.parameters, refusal.status, headers)
        return response if respond is None else await respond(request)

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
        respond = self._queues["resource"].take()
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
        return json_response(token_response(self, self._grants, received), headers=_NO_STORE)

    async def _device(
        self, request: web.BaseRequest, received: ReceivedRequest
    ) -> web.StreamResponse:
        return json_response(device_response(self, self._grants, received), headers=_NO_STORE)

    async def _verification(
        self, request: web.BaseRequest, received: ReceivedRequest
    ) -> web.StreamResponse:
        page = verification_page(self._grants, received)
        return web.Response(text=page, content_type="text/html", headers=_NO_STORE)

    async def _par(self, request: web.BaseRequest, received: ReceivedRequest) -> web.StreamResponse:
        return json_response(par_response(self, self._grants, received), 201, _NO_STORE)

    async def _revoke(
        self, request: web.BaseRequest, received: ReceivedRequest
    ) -> web.StreamResponse:
        revoke(self, self._grants, received)
        return web.Response()

    async def _metadata(
        self, request: web.BaseRequest, received: ReceivedRequest
    ) -> web.StreamResponse:
        document = metadata_of(self, received.path)
        return web.Response(status=404) if document is None else json_response(document)

    async def _authorize(
        self, request: web.BaseRequest, received: ReceivedRequest
    ) -> web.StreamResponse:
        try:
            location, page = authorization_response(self, self._grants, received)
        except OAuthErrorResponse as refusal:
            # RFC 6749 section 4.2.2.1: a redirect URI that is not right is not redirected to.
            return web.Response(status=400, text=str(refusal), headers=_NO_STORE)
        if page:
            return web.Response(text=page, content_type="text/html", headers=_NO_STORE)
        return web.Response(status=302, headers={**_NO_STORE, "Location": location})
