"""`LoopbackReceiver`: the redirect of a sign-in is received on this machine (RFC 8252 section 7.3).

A small server on the loopback interface, open for one authorization. It serves one page, takes one
answer, whose ``state`` must be the right one, and closes.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Literal
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from ..errors import AuthorizationError, TokenError
from ..protocol.authorization import error_from
from . import page as pages
from .port import LOOPBACK_HOSTS, bind_first_free, check_port_range, check_redirect

__all__ = ("LoopbackReceiver", "ResponseMode")

logger = logging.getLogger("aioalf")

ResponseMode = Literal["query", "fragment", "form_post"]

_FLUSH = 2.0  # seconds that a page already asked for gets before its connection is cut

_MAX_BODY = 64 * 1024  # bytes; a token is a few kilobytes

# aiohttp's server logs the request line of what it cannot parse, and a broken server may have put a
# token there. What goes wrong in our own handler is logged by `_handle`.
_silent = logging.getLogger("aioalf.receiver.http")
_silent.disabled = True


class LoopbackReceiver:
    """Waits for the answer to one authorization request; use it with ``async with``.

    Entering binds the port, so `redirect_uri` is known and reachable before a browser is sent
    anywhere. Leaving closes the port, on every path. An instance serves one authorization, and one
    task calls `receive`.

    :param port_range: the first and the last port that may be used; the first free one is.
    :param redirect_host: the host in the redirect URI: ``localhost`` (as most have registered it),
        ``127.0.0.1`` or ``[::1]``. The receiver listens on both loopback addresses in any case.
    :param redirect_path: the path in the redirect URI: empty, or ``/callback`` say.
    :param response_mode: how the answer comes (OAuth 2.0 Multiple Response Types section 2.1, and
        OAuth 2.0 Form Post Response Mode). An error is understood in the query and the fragment in
        any case, as servers differ. A credential in the query is used only in the mode ``query``.
    :param check: called with the parameters of an answer that has the right state and is no error;
        it raises `TokenError` where they are of no use, so that the page can say so.
    :raises ValueError: the range, the host, the path or the mode is no such thing.
    """

    def __init__(
        self,
        *,
        port_range: Sequence[int] = (32000, 32009),
        redirect_host: str = "localhost",
        redirect_path: str = "",
        response_mode: ResponseMode = "fragment",
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
        self._check = check
        self._state = secrets.token_urlsafe(32)
        self._port = 0
        self._hosts: frozenset[str] = frozenset()
        self._listeners: list[asyncio.AbstractServer] = []
        self._server: web.Server | None = None
        self._answer: asyncio.Future[dict[str, str]] | None = None
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
        self._server = web.Server(self._handle, access_log=None, logger=_silent)
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
        """Close the port at once, and the connections as soon as what they asked for is sent."""
        self._stop_listening()
        if self._answer is not None and not self._answer.cancel() and not self._answer.cancelled():
            self._answer.exception()  # seen, even if nobody called receive()
        if self._server is not None:
            self._server.pre_shutdown()
            try:
                # Who is cancelled must be gone soon; a page is then of no interest.
                # (A timeout of 0 would be none at all.)
                hurry = exc_type is asyncio.CancelledError
                await self._server.shutdown(0.01 if hurry else _FLUSH)
            finally:
                for connection in self._server.connections:  # cancelled while it was flushing
                    connection.force_close()
                await asyncio.sleep(0)  # transports say goodbye in the next turn of the loop
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
            raise AuthorizationError(f"Nobody signed in within {timeout:g} seconds")
        return answer.result()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            response = await self._respond(request)
        except Exception as error:
            # Its message and its traceback may quote what was sent.
            logger.error("A request to the receiver failed (%s).", type(error).__name__)
            response = text_response(500, "Something went wrong here.")
        response.headers.update(pages.HEADERS)
        # One request per connection: then a closing port has no idle connections to break.
        response.force_close()
        return response

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
        """Take an answer, if it is the one awaited, and return what to tell the person."""
        states = [value for name, value in pairs if name == "state"]
        if not _same(single_value(states), self._state):
            logger.warning("An answer that does not belong to this sign-in was ignored.")
            return pages.NOT_AWAITED
        if self._outcome is not None:
            return pages.already(self._outcome)
        if self._answer is None or self._answer.done():
            return pages.GONE
        params = dict(pairs)
        del params["state"]
        try:
            if len(params) + 1 != len(pairs):  # RFC 6749 section 3.1
                raise AuthorizationError(
                    "The answer of the authorization server repeats a parameter"
                )
            if params.get("error"):
                raise error_from(params)
            if came_in == "query" and self._mode != "query":
                raise AuthorizationError(
                    "The authorization server answered in the query of the redirect URI, where"
                    " servers and browsers log it; what came in it is not used"
                )
            if self._check is not None:
                self._check(params)
        except TokenError as error:
            if isinstance(error, AuthorizationError) and error.error:
                self._outcome = pages.refused(error.error, error.error_description)
            else:
                self._outcome = pages.failed(str(error))
            self._answer.set_exception(error)
        else:
            self._outcome = pages.DONE
            self._answer.set_result(params)
        return self._outcome


def _same(given: str, expected: str) -> bool:
    # Bytes, as compare_digest refuses text that is not ASCII; and lone surrogates are text too.
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def _html(page: pages.Page) -> web.Response:
    return web.Response(text=pages.render(page), content_type="text/html", charset="utf-8")


def single_value(values: Iterable[str]) -> str:
    """Return the one value; empty where there is none, or more than one."""
    given = list(values)
    return given[0] if len(given) == 1 else ""


def decoded_pairs(encoded: str) -> list[tuple[str, str]]:
    """Decode a query or a form; empty where it cannot be one."""
    try:
        return parse_qsl(encoded, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return []


async def read_limited(request: web.BaseRequest, content_type: str) -> bytes | web.Response:
    """Read a small body of that type, or return the response that refuses it."""
    if request.content_type != content_type or "Content-Encoding" in request.headers:
        return text_response(415, f"Only {content_type} is accepted here.")
    body = bytearray()
    if (request.content_length or 0) <= _MAX_BODY:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > _MAX_BODY:
                break
        else:
            return bytes(body)
    return text_response(413, "This is more than an answer can be.")


def text_response(status: int, text: str) -> web.Response:
    """Answer in plain text: no person is meant to read it."""
    return web.Response(status=status, text=text + "\n")


def method_not_allowed(allowed: str) -> web.Response:
    """Answer 405, and which methods there are (RFC 9110 section 15.5.6)."""
    response = text_response(405, "This method is not served here.")
    response.headers["Allow"] = allowed
    return response
