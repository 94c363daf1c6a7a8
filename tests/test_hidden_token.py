"""No exception that comes of a request shows its token, whatever shows the exception."""

from __future__ import annotations

import asyncio
import gc
import logging
import traceback
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Union

import aiohttp
import pytest
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientResponseError
from clients import client_of, collect, manager_of, scripted_server

from aioalf import Client, OAuth2Middleware
from aioalf.bearer.authorization import BearerCredentials, hide_token
from aioalf.testing import AuthorizationServer

TOKEN = "T0ken.Q7x-R8y_Z9"

Session = Union[Client, aiohttp.ClientSession]
Step = Callable[[Session, str], Awaitable[object]]


def shown(error: BaseException | None, seen: tuple[BaseException, ...] = ()) -> str:
    """All that is shown of an exception, its cause and its context, suppressed or not."""
    if error is None or error in seen:
        return ""
    texts = [str(error), repr(error), repr(error.args), repr(vars(error))]
    texts += traceback.TracebackException.from_exception(error, capture_locals=True).format()
    for other in (error.__cause__, error.__context__):
        texts.append(shown(other, (*seen, error)))
    return "\n".join(texts)


class ErrorOfAnApi(ClientResponseError):
    """An application's own error, which takes what aiohttp's takes."""

    def __init__(self, response: ClientResponse, detail: str) -> None:
        super().__init__(response.request_info, response.history, status=response.status)
        self.detail = detail


class ErrorWithoutBase(ClientResponseError):
    """One whose constructor calls no other."""

    def __init__(self, response: ClientResponse) -> None:
        self.status = response.status

    def __str__(self) -> str:
        return f"status {self.status}"

    __repr__ = __str__


async def raise_own(response: ClientResponse) -> None:
    """Raise the application's own error."""
    if response.status >= 400:
        raise ErrorOfAnApi(response, "no")


async def raise_without_base(response: ClientResponse) -> None:
    """Raise one that knows nothing of its request."""
    if response.status >= 400:
        raise ErrorWithoutBase(response)


async def raise_another(response: ClientResponse) -> None:
    """Raise an error of another class, caused by aiohttp's, with the request among its arguments."""
    try:
        response.raise_for_status()
    except ClientResponseError as error:
        raise LookupError(response.request_info, response.history) from error


async def raise_always(response: ClientResponse) -> None:
    """Refuse whatever came."""
    raise LookupError(response.request_info, repr(response.request_info))


async def get(session: Session, url: str, **options: Any) -> None:
    """A request whose answer is read."""
    async with session.get(url, **options) as response:
        await response.read()


def with_status(how: Any) -> Step:
    """A request that raises for the status 500."""
    return lambda session, url: get(session, url + "/500", raise_for_status=how)


async def many_redirects(session: Session, url: str) -> None:
    """A request that is redirected for ever."""
    await get(session, url + "/redirect", max_redirects=2)


async def ask_the_response(session: Session, url: str) -> None:
    """Raise for status by hand."""
    async with session.get(url + "/500") as response:
        response.raise_for_status()


async def read_a_page_as_json(session: Session, url: str) -> None:
    """Take a page for JSON."""
    async with session.get(url + "/page") as response:
        await response.json()


def websocket(path: str) -> Step:
    """A handshake at that path."""

    async def step(session: Session, url: str) -> None:
        await session.ws_connect(url + path)

    return step


STEPS: dict[str, Step] = {
    "raise_for_status": with_status(True),
    "raise_for_status with an error of its own": with_status(raise_own),
    "raise_for_status with an error without base": with_status(raise_without_base),
    "raise_for_status with another error": with_status(raise_another),
    "raise_for_status of an answer that is fine": lambda s, url: get(
        s, url, raise_for_status=raise_always
    ),
    "raise_for_status of a second 401": lambda s, url: get(s, url + "/401", raise_for_status=True),
    "the response's raise_for_status": ask_the_response,
    "the response's json": read_a_page_as_json,
    "no status": lambda s, url: get(s, url + "/malformed"),
    "half an answer": lambda s, url: get(s, url + "/half"),
    "no answer": lambda s, url: get(s, url + "/dropped"),
    "too late": lambda s, url: get(s, url + "/late", timeout=aiohttp.ClientTimeout(total=0.05)),
    "too many redirects": many_redirects,
    "a redirect to what is not a URL": lambda s, url: get(s, url + "/redirect-to-nothing"),
    "a redirect to another scheme": lambda s, url: get(s, url + "/redirect-to-ftp"),
    "nobody listens": lambda s, url: get(s, "http://127.0.0.1:1"),
    "not a URL": lambda s, url: get(s, "http://"),
    "a handshake with another status": websocket("/"),
    "a handshake that is refused": websocket("/500"),
    "a handshake that is answered 401 twice": websocket("/401"),
    "a handshake with a wrong key": websocket("/wrong-key"),
    "a malformed handshake": websocket("/malformed"),
    "a handshake with too many redirects": websocket("/redirect"),
}

ANSWERS = {
    b"/": "200 OK\r\nContent-Length: 0",
    b"/page": "200 OK\r\nContent-Type: text/html\r\nContent-Length: 0",
    b"/500": "500 Oh\r\nContent-Length: 0",
    b"/401": "401 No\r\nContent-Length: 0",
    b"/malformed": "200 OK\r\nContent-Length: many",
    b"/half": "200 OK\r\nContent-Length: 10\r\nConnection: close",
    b"/redirect": "302 Found\r\nLocation: /redirect\r\nContent-Length: 0",
    b"/redirect-to-nothing": "302 Found\r\nLocation: http://\r\nContent-Length: 0",
    b"/redirect-to-ftp": "302 Found\r\nLocation: ftp://127.0.0.1/\r\nContent-Length: 0",
    b"/wrong-key": "101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
    "Sec-WebSocket-Accept: x",
}


@pytest.fixture
async def api(server: AuthorizationServer) -> AsyncIterator[str]:
    """A server whose answers go wrong in every way, by path."""
    server.token_parameters = {"access_token": TOKEN}

    async def handle(
        head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert f"Authorization: Bearer {TOKEN}".encode() in head
        path = head.split()[1]
        if path == b"/late":
            await reader.read()
        if path != b"/dropped":
            writer.write(f"HTTP/1.1 {ANSWERS[path]}\r\n\r\n".encode())
        if path in (b"/half", b"/dropped"):
            writer.close()

    async with scripted_server(handle) as url:
        yield url


@asynccontextmanager
async def session_by(
    way: str, server: AuthorizationServer, api: str, **options: Any
) -> AsyncIterator[Session]:
    """A client, or a session with the middleware."""
    async with AsyncExitStack() as stack:
        if way == "client":
            yield await stack.enter_async_context(client_of(server, **options))
        else:
            manager = await stack.enter_async_context(manager_of(server))
            middlewares = (OAuth2Middleware(manager, origins=api),)
            yield await stack.enter_async_context(
                aiohttp.ClientSession(middlewares=middlewares, **options)
            )


@pytest.mark.parametrize("way", ["client", "middleware"])
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_no_exception_of_a_request_shows_its_token(
    step: Step, way: str, server: AuthorizationServer, api: str
) -> None:
    """Message, ``repr``, ``args``, attributes, causes; and none that a request raises holds it."""
    async with session_by(way, server, api) as session:
        errors = [
            *await asyncio.gather(step(session, api), return_exceptions=True),
            *await asyncio.gather(step(session, api), return_exceptions=True),
        ]
    for error in errors:
        assert isinstance(error, Exception)
        assert TOKEN not in shown(error)
        info = getattr(error, "request_info", None)
        if info is not None and step is not read_a_page_as_json:
            assert "Authorization" not in info.headers
            assert info in error.args
        for hop in getattr(error, "history", ()):
            assert "Authorization" not in hop.request_info.headers
    collect()


@pytest.mark.parametrize("way", ["client", "middleware"])
@pytest.mark.parametrize("step", ["the response's json", "no status", "raise_for_status"])
async def test_what_asyncio_logs_of_an_exception_that_nobody_saw_shows_no_token(
    step: str, way: str, server: AuthorizationServer, api: str, caplog: pytest.LogCaptureFixture
) -> None:
    """``Task exception was never retrieved``, with the ``repr`` of the exception."""
    async with session_by(way, server, api) as session:
        task = asyncio.ensure_future(STEPS[step](session, api))
        await asyncio.wait({task})
        del task
        collect()
    (record,) = (r for r in caplog.records if r.name == "asyncio" and r.levelno == logging.ERROR)
    assert "never retrieved" in record.getMessage()
    assert "request_info" in record.getMessage() or "RequestInfo" in record.getMessage()
    assert TOKEN not in logging.Formatter().format(record)
    caplog.clear()


async def test_a_session_may_raise_for_status_as_a_request_may(
    server: AuthorizationServer, api: str
) -> None:
    """The same where the keyword is the client's."""
    for how in (True, raise_own, raise_another, raise_without_base):
        async with client_of(server, raise_for_status=how) as client:
            for step in (with_status(None), websocket("/500"), websocket("/401")):
                with pytest.raises((ClientResponseError, LookupError)) as caught:
                    await step(client, api)
                assert TOKEN not in shown(caught.value)


async def test_a_response_shows_no_token(server: AuthorizationServer, api: str) -> None:
    """Nor does what a trace gets; the header itself is there for those who ask for it."""
    started: list[aiohttp.TraceRequestStartParams] = []

    async def note(_: object, __: object, params: aiohttp.TraceRequestStartParams) -> None:
        started.append(params)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(note)
    async with client_of(server, trace_configs=[trace]) as client:
        async with client.get(api) as response:
            assert TOKEN not in repr(response.request_info)
            assert response.request_info.headers["Authorization"] == f"Bearer {TOKEN}"
    (params,) = started
    assert TOKEN not in repr(params)


async def test_a_handler_after_the_middleware_raises_no_token_either(
    server: AuthorizationServer, api: str
) -> None:
    """Another middleware that raises for status, say."""

    async def strict(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        response = await handler(request)
        response.raise_for_status()
        return response

    async with manager_of(server) as manager:
        middlewares = (OAuth2Middleware(manager, origins=api), strict)
        async with aiohttp.ClientSession(middlewares=middlewares) as session:
            with pytest.raises(ClientResponseError) as caught:
                await get(session, api + "/500")
    assert TOKEN not in shown(caught.value)
    assert "Authorization" not in caught.value.request_info.headers


def test_credentials_are_text_in_everything_but_their_repr() -> None:
    """Equal, with the same hash, and written whole."""
    credentials = BearerCredentials("Bearer x")
    assert repr(credentials) == "'Bearer ***'"
    assert credentials == "Bearer x"
    assert hash(credentials) == hash("Bearer x")
    assert f"{credentials}" == "Bearer x"
    assert str(credentials) == "Bearer x"


def test_an_error_that_is_not_of_a_response_is_left_alone() -> None:
    """Whatever its attributes hold."""
    for error in (ValueError("x"), OSError(1, "x")):
        hide_token(error)
        assert error.args in (("x",), (1, "x"))


@pytest.mark.parametrize("way", ["client", "middleware"])
@pytest.mark.parametrize("step", ["raise_for_status", "no status", "too many redirects"])
async def test_an_exception_is_freed_as_soon_as_nobody_holds_it(
    step: str, way: str, server: AuthorizationServer, api: str
) -> None:
    """It is in no circle with its traceback, which holds the request, its body and its answer."""
    async with session_by(way, server, api) as session:
        await get(session, api)
        gc.disable()
        try:
            reference = await _failed(STEPS[step], session, api)
            assert reference() is None
        finally:
            gc.enable()


async def _failed(step: Step, session: Session, api: str) -> weakref.ref[BaseException]:
    try:
        await step(session, api)
    except ClientResponseError as error:
        return weakref.ref(error)
    raise AssertionError("it did not fail")
