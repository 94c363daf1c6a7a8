"""`LoopbackReceiver`: the redirect of a sign-in is received on this machine (RFC 8252 section 7.3).

A small server on the loopback interface, open for one authorization. It serves one page, takes one
answer, whose ``state`` must be the right one, and closes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import cast
from urllib.parse import unquote, urlsplit

from aiohttp import web

from ..errors import AuthorizationError, TokenError
from ..protocol.authorization import ResponseMode, error_from, read_authorization_response
from . import page as pages
from .loopback_server import (
    LoopbackServer,
    decoded_pairs,
    method_not_allowed,
    read_limited,
    single_value,
    text_response,
)
from .port import LOOPBACK_HOSTS, bind_first_free, check_port_range, check_redirect

__all__ = ("LoopbackReceiver", "ResponseMode")

logger: logging.Logger = logging.getLogger("aioalf")

_FLUSH = 2.0  # seconds that a page already asked for gets before its connection is cut


class LoopbackReceiver:
    """Waits for the answer to one authorization request; use it with ``async with``.

    Entering binds the port, so `redirect_uri` is known and reachable before a browser is sent
    anywhere. Leaving closes the port, on every path. An instance serves one authorization, and one
    task calls `receive`.

    :param port_range: the first and the last port that may be used; the first free one is. None takes any
        free port of the machine.
    :param redirect_host: the host in the redirect URI: ``localhost`` (as most have registered it),
        ``127.0.0.1`` or ``[::1]``. The receiver listens on both loopback addresses in any case.
    :param redirect_path: the path in the redirect URI: empty, or ``/callback`` say.
    :param response_mode: how the answer comes (OAuth 2.0 Multiple Response Types section 2.1, and
        OAuth 2.0 Form Post Response Mode). An error is understood in the query and the fragment in
        any case, as servers differ. A credential in the query is used only in the mode ``query``.
    :param issuer: the issuer of the server, if it is known; an ``iss`` in the answer must be the same.
    :param iss_required: whether the server has promised an ``iss``.
    :param check: called with the parameters of an answer that has the right state and is not an error;
        it raises `TokenError` if they are of no use, so that the page can say so.
    :raises ValueError: the range, the host, the path or the mode is not valid.
    """

    def __init__(
        self,
        *,
        port_range: Sequence[int] | None = (32000, 32009),
        redirect_host: str = "localhost",
        redirect_path: str = "",
        response_mode: ResponseMode = "fragment",
        issuer: str | None = None,
        iss_required: bool = False,
        check: Callable[[Mapping[str, str]], object] | None = None,
    ) -> None:
        self._port_range = check_port_range(port_range)
        self._redirect_host, self._redirect_path = check_redirect(redirect_host, redirect_path)
        self._path = unquote(self._redirect_path) or "/"
        if response_mode not in ("query", "fragment", "form_post"):
            raise ValueError(
                f"response_mode is {response_mode!r}; it must be query, fragment or form_post"
            )
        self._mode = response_mode
        self._issuer, self._iss_required = issuer, iss_required
        self._check = check
        self._state = secrets.token_urlsafe(32)
        self._port = 0
        self._hosts: frozenset[str] = frozenset()
        self._listeners: list[asyncio.AbstractServer] = []
        self._server: LoopbackServer | None = None
        # Without a result: asyncio's debug mode logs those, and this one holds a token.
        self._answer: asyncio.Future[None] | None = None
        self._params: dict[str, str] = {}
        self._foreign = ""
        self._outcome: pages.Page | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {f'port {self._port}' if self._port else 'not open'}>"

    @property
    def state(self) -> str:
        """The ``state`` that the authorization request must carry (RFC 6749 section 10.12)."""
        return self._state

    @property
    def port(self) -> int:
        """The port that is listened on; 0 before the receiver is entered."""
        return self._port

    @property
    def redirect_uri(self) -> str:
        """The ``redirect_uri`` that the authorization request must carry."""
        return f"http://{self._redirect_host}:{self._port}{self._redirect_path}"

    async def __aenter__(self) -> LoopbackReceiver:
        """Bind the port and listen.

        :raises TokenError: every port of the range is taken.
        :raises RuntimeError: the receiver was entered before.
        """
        if self._server is not None:
            raise RuntimeError("A LoopbackReceiver serves one authorization: make another one.")
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        self._server = LoopbackServer(self._respond)
        self._port, sockets = bind_first_free(self._port_range)
        self._hosts = frozenset(f"{host}:{self._port}" for host in LOOPBACK_HOSTS)
        if self._port == 80:
            self._hosts |= frozenset(LOOPBACK_HOSTS)  # browsers leave the default port out
        try:
            while sockets:
                self._listeners.append(await loop.create_server(self._server, sock=sockets[0]))
                sockets.pop(0)
        except BaseException:
            for sock in sockets:
                sock.close()
            self._stop_listening()
            raise
        logger.info("Waiting for a sign-in on port %d of this machine.", self._port)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the port at once, and the connections as soon as their pages are sent."""
        self._stop_listening()
        if self._answer is not None and not self._answer.cancel() and not self._answer.cancelled():
            self._answer.exception()  # seen, even if nobody called receive()
        if self._server is not None:
            # A caller that is cancelled must be gone soon; a page is then of no interest.
            # (A timeout of 0 would be none at all.)
            await self._server.end(0.01 if exc_type is asyncio.CancelledError else _FLUSH)
        logger.debug("Port %d is closed.", self._port)

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    async def receive(self, timeout: float) -> dict[str, str]:
        """Wait for the answer with the right state.

        :param timeout: how long to wait, in seconds.
        :return: the parameters of the answer, without ``state``. They come from the network: only
            ``check=`` has validated them.
        :raises AuthorizationError: the answer is an error or cannot be used, or none came in time.
        """
        answer = self._answer
        if answer is None:
            raise RuntimeError("The LoopbackReceiver is not open: use it with 'async with'.")
        await asyncio.wait({answer}, timeout=timeout)
        if not answer.done():
            answer.cancel()  # an answer that comes from now on must not be told that it was taken
            raise AuthorizationError(f"Nobody signed in within {timeout:g} seconds{self._foreign}")
        answer.result()
        return self._params

    def take(self, address: str) -> str | None:
        """Take the address at which a browser has ended, on whatever machine that runs.

        :param address: the redirect URI with the answer in its query or its fragment.
        :return: None if it is the answer that is awaited, usable or not; else what is wrong with it.
        """
        parts = urlsplit(address.strip())
        for encoded, came_in in ((parts.query, "query"), (parts.fragment, "fragment")):
            if pairs := decoded_pairs(encoded):
                page = self._accept_response(pairs, cast("ResponseMode", came_in))
                return None if page is not pages.NOT_AWAITED else "It belongs to another sign-in."
        return (
            "It holds no answer: the whole address is needed, with what comes after the '?' or '#'."
        )

    async def _respond(self, request: web.BaseRequest) -> web.Response:
        host = single_value(request.headers.getall("Host", ())).lower()
        if host not in self._hosts:
            # A name that an attacker points at 127.0.0.1 (DNS rebinding) is its page's own origin.
            return text_response(403, "This address is not served here.")
        if request.path == pages.CALLBACK_PATH:
            if request.method != "POST":
                return method_not_allowed("POST")
            return await self._script_post(request, host)
        if request.path != self._path:
            return text_response(404, "There is nothing here.")
        if request.method == "GET":
            return self._navigation(request)
        if request.method == "POST" and self._mode == "form_post":
            return await self._form_post(request)
        return method_not_allowed("GET, POST" if self._mode == "form_post" else "GET")

    def _navigation(self, request: web.BaseRequest) -> web.Response:
        """The browser comes back, the answer in the fragment, which it keeps, or in the query."""
        pairs = decoded_pairs(request.rel_url.raw_query_string)
        if {name for name, _ in pairs} & {"state", "error", "code", "access_token"}:
            return _html(self._accept_response(pairs, "query"))
        return _html(pages.WAITING if self._outcome is None else pages.already(self._outcome))

    async def _script_post(self, request: web.BaseRequest, host: str) -> web.Response:
        """The script of our own page passes on what was in the fragment."""
        if single_value(request.headers.getall("Origin", ())) != f"http://{host}":
            return text_response(403, "Only the page of this receiver may post here.")
        body = await read_limited(request, "application/json")
        if isinstance(body, web.Response):
            return body
        try:
            pairs = [(name, value) for name, value in json.loads(body)["params"]]
        except (ValueError, TypeError, KeyError, RecursionError):
            return text_response(400, "This is not what the page sends.")
        if not all(isinstance(name, str) and isinstance(value, str) for name, value in pairs):
            return text_response(400, "This is not what the page sends.")
        page = self._accept_response(pairs, "fragment")
        return web.Response(text=pages.to_json(page), content_type="application/json")

    async def _form_post(self, request: web.BaseRequest) -> web.Response:
        """The authorization server's page posts the answer; its origin is foreign by nature."""
        body = await read_limited(request, "application/x-www-form-urlencoded")
        if isinstance(body, web.Response):
            return body
        return _html(
            self._accept_response(decoded_pairs(body.decode("utf-8", "replace")), "form_post")
        )

    def _accept_response(
        self, pairs: Sequence[tuple[str, str]], came_in: ResponseMode
    ) -> pages.Page:
        """Take an answer, if it is the one that is awaited, and return the page for the person."""
        answered = self._answer is None or self._answer.done()
        error: TokenError | None = None
        params: dict[str, str] | None = None
        try:
            params = read_authorization_response(
                pairs,
                self._state,
                came_in=came_in,
                expected_in=self._mode,
                issuer=self._issuer,
                iss_required=self._iss_required,
            )
            if params is None:
                self._note_foreign(pairs)
                return pages.NOT_AWAITED
            if self._check is not None and not answered:
                self._check(params)
        except TokenError as caught:
            error = caught
        if self._outcome is not None:
            return pages.already(self._outcome)
        if answered or self._answer is None:
            return pages.GONE
        if error is None:
            self._outcome = pages.DONE
            self._params = params or {}
            self._answer.set_result(None)
        else:
            code = error.error if isinstance(error, AuthorizationError) else None
            description = error.error_description if isinstance(error, AuthorizationError) else None
            self._outcome = pages.refused(code, description) if code else pages.failed(str(error))
            self._answer.set_exception(error)
        return self._outcome

    def _note_foreign(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Log an answer without the right state, once: any page may send them by the thousand."""
        if not self._foreign:
            logger.warning("An answer that does not belong to this sign-in was ignored.")
        error = error_from({name: value for name, value in pairs if name == "error"}).error
        names = f"error={error}" if error else "no error"
        self._foreign = f"; an answer without the right state was ignored ({names})"


def _html(page: pages.Page) -> web.Response:
    return web.Response(text=pages.render(page), content_type="text/html", charset="utf-8")
