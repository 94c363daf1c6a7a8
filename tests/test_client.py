"""`Client` itself: how it is made, what it takes, what it closes; headers, streaming."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp
import pytest
from clients import arrived, bearer, client_of, collect, manager_of, status_of
from fakes import FakeClock
from multidict import CIMultiDict, CIMultiDictProxy

from aioalf import (
    Client,
    ClientSecretPost,
    HTTPRequest,
    TokenError,
    TokenErrorResponse,
    TokenManager,
    TokenStorage,
)
from aioalf.testing import AuthorizationServer

# Construction --------------------------------------------------------------------------------------


async def test_keywords_of_the_manager_reach_the_manager(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Those that `Client` names and those that it does not."""
    storage = TokenStorage()
    async with client_of(
        server,
        client_auth=ClientSecretPost(),
        token_storage=storage,
        token_retries=1,
        token_request_params={"audience": "api"},
        clock=clock,
        expiry_margin=1.0,
    ) as client:
        server.answer_next(503)
        assert await status_of(client, server.resource) == 200
    assert len(clock.sleeps) == 1
    form = arrived(server, "token")[1].form
    assert (form["client_secret"], form["audience"]) == ("secret", "api")
    assert storage.load() is not None


async def test_keywords_of_a_session_reach_the_session(server: AuthorizationServer) -> None:
    """``timeout``, ``connector``, ``headers``, ``cookies``, ``trace_configs``, ..."""
    started: list[str] = []

    async def note(session: object, context: object, params: Any) -> None:
        started.append(str(params.url))

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(note)
    timeout, connector = aiohttp.ClientTimeout(total=7), aiohttp.TCPConnector(limit=3)
    async with client_of(
        server,
        base_url=server.url,
        timeout=timeout,
        connector=connector,
        headers={"X-Default": "1"},
        trace_configs=[trace],
        raise_for_status=True,
    ) as client:
        assert await status_of(client, "/resource") == 200
        assert client.session.timeout is timeout
        assert client.session.connector is connector
    assert arrived(server)[0].headers["X-Default"] == "1"
    assert started == [server.resource]  # the token request is not the caller's


@pytest.mark.parametrize("name", ["timout", "loop", "sesion", "method"])
def test_a_keyword_that_neither_knows_is_an_error(name: str) -> None:
    """At construction, and by its name."""
    options: dict[str, Any] = {name: 1}
    with pytest.raises(TypeError, match=repr(name)):
        Client("a", "b", "http://127.0.0.1/token", **options)


def test_auth_is_refused_at_construction() -> None:
    """Both are the Authorization header; the error says what to use."""
    with pytest.raises(TypeError, match=r"Leave auth= out, or use a plain aiohttp\.ClientSession"):
        Client("a", "b", "http://127.0.0.1/token", auth="x")  # type: ignore[call-arg]


def test_what_would_not_be_used_is_refused() -> None:
    """Beside a ready manager, or a ready session."""
    manager = TokenManager("http://127.0.0.1/token", "a", "b")
    with pytest.raises(TypeError, match="client_id, token_retries would not be used"):
        Client("a", token_manager=manager, token_retries=2)
    with pytest.raises(TypeError, match="expiry_margin would not be used"):
        Client(token_manager=manager, expiry_margin=2)


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"token_manager": TokenManager}, r"not a class: TokenManager\(\.\.\.\)"),
        ({"token_manager": "https://login.example.com"}, "takes a TokenManager, not a str"),
        ({"token_storage": "tokens.json"}, r"FileTokenStorage\('tokens\.json'\)"),
        ({"token_storage": Path("tokens.json")}, "FileTokenStorage"),
        ({"token_storage": TokenStorage}, "takes a TokenStorage such as"),
    ],
)
def test_what_is_taken_for_a_manager_or_a_storage_is_refused(
    options: dict[str, Any], remedy: str
) -> None:
    """At construction: a path in place of a storage would be a token that is never kept."""
    with pytest.raises(TypeError, match=remedy):
        Client(**options)


async def test_keywords_of_a_session_do_not_go_with_a_borrowed_one() -> None:
    """They would not be used either."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(TypeError, match="headers, timeout would not be used"):
            Client("a", "b", session=session, timeout=aiohttp.ClientTimeout(), headers={})


@pytest.mark.filterwarnings("ignore:.*auth.*:DeprecationWarning", "ignore:Basic:DeprecationWarning")
async def test_a_borrowed_session_with_auth_is_refused() -> None:
    """aiohttp would refuse each request otherwise."""
    async with aiohttp.ClientSession(auth=aiohttp.BasicAuth("a", "b")) as session:
        with pytest.raises(ValueError, match="auth="):
            Client("a", "b", session=session)


async def test_auth_is_refused_at_a_request(server: AuthorizationServer) -> None:
    """And neither a token nor the request is sent."""
    auth: Any = ("a", "b")
    async with client_of(server) as client:
        with pytest.raises(ValueError, match=r"Leave auth= out"):
            await client.get(server.resource, auth=auth)  # type: ignore[call-arg]
    assert server.log == []


# What belongs to whom -----------------------------------------------------------------------------


async def test_its_properties_tell_what_it_has(server: AuthorizationServer) -> None:
    """``token_manager``, ``session``, ``closed``; its ``repr`` tells no secret."""
    async with client_of(server) as client:
        assert isinstance(client.token_manager, TokenManager)
        assert isinstance(client.session, aiohttp.ClientSession)
        assert client.session is client.session
        assert not client.closed
        assert "open" in repr(client)
    assert client.closed
    assert "closed" in repr(client)
    assert server.client_secret not in repr(client)


async def test_what_people_look_for_on_a_session_is_there_and_is_the_session_s(
    server: AuthorizationServer,
) -> None:
    """Read-only: what can be set is set at construction. A closed client says that it is closed."""
    names = ["headers", "cookie_jar", "connector", "timeout"]
    timeout = aiohttp.ClientTimeout(total=7)
    async with client_of(server, headers={"X-Mine": "1"}, timeout=timeout) as client:
        for name in names:
            assert getattr(client, name) is getattr(client.session, name)
            with pytest.raises(AttributeError, match=name):
                setattr(client, name, None)
        assert client.timeout is timeout
        client.headers["X-Mine"] = "2"
        assert await status_of(client, server.resource) == 200
    assert arrived(server)[0].headers["X-Mine"] == "2"
    for name in names:
        with pytest.raises(RuntimeError, match="This Client is closed"):
            getattr(client, name)


@pytest.mark.parametrize("borrowed", [True, False])
async def test_a_client_whose_session_was_closed_directly_is_closed(
    borrowed: bool, server: AuthorizationServer
) -> None:
    """It can send nothing any more, and is not entered either."""
    async with aiohttp.ClientSession() as session, manager_of(server) as manager:
        client = Client(token_manager=manager, session=session if borrowed else None)
        assert not client.closed
        assert await status_of(client, server.resource) == 200
        assert not client.closed
        await client.session.close()
        assert client.closed
        assert "closed" in repr(client)
        with pytest.raises(RuntimeError, match="This Client is closed"):
            await client.__aenter__()
        with pytest.raises(RuntimeError, match="closed"):
            await client.get(server.resource)
        await client.close()


async def test_what_is_sent_with_its_session_carries_no_token(server: AuthorizationServer) -> None:
    """It is a plain session."""
    async with client_of(server) as client:
        async with client.session.get(server.resource) as response:
            assert response.status == 401


async def test_what_the_client_made_is_closed_with_it(server: AuthorizationServer) -> None:
    """Session and manager; closing again is no error."""
    client = client_of(server)
    await client.get(server.resource)
    session = client.session
    await client.close()
    await client.close()
    assert session.closed
    with pytest.raises(RuntimeError, match="closed"):
        await client.token_manager.get()
    collect()  # what is not closed complains now


async def test_what_was_borrowed_is_never_closed(server: AuthorizationServer) -> None:
    """Whoever made a thing closes it."""
    async with aiohttp.ClientSession() as session, manager_of(server) as manager:
        for _ in range(2):
            async with Client(token_manager=manager, session=session) as client:
                assert client.session is session
                assert client.token_manager is manager
                assert await status_of(client, server.resource) == 200
        assert not session.closed
        assert await manager.get_token()
    assert server.token_requests == 1


@pytest.mark.parametrize(
    "use",
    [
        lambda client, url: client.get(url),
        lambda client, url: client.request(HTTPRequest(url)),
        lambda client, url: client.ws_connect(url),
        lambda client, url: client.__aenter__(),
        lambda client, url: client.session,
    ],
    ids=["get", "request", "ws_connect", "enter", "session"],
)
async def test_use_after_close_is_a_runtime_error_and_asks_for_no_token(
    use: Any, server: AuthorizationServer
) -> None:
    """Whether its parts are its own or borrowed."""
    async with aiohttp.ClientSession() as session, manager_of(server) as manager:
        for client in (client_of(server), Client(token_manager=manager, session=session)):
            await client.close()
            with pytest.raises(RuntimeError, match="This Client is closed"):
                await use(client, server.resource)
    assert server.log == []


async def test_a_client_that_was_never_used_has_nothing_to_close() -> None:
    """No session is opened before the first request."""
    Client("a", "b", "http://127.0.0.1/token")
    async with Client("a", "b", "http://127.0.0.1/token"):
        pass
    await Client("a", "b", "http://127.0.0.1/token").close()
    collect()


async def test_who_waits_for_a_token_when_the_client_closes_is_told_so(
    server: AuthorizationServer,
) -> None:
    """A `TokenError` that says so, and nothing is left pending."""
    server.stall_next()
    client = client_of(server)
    waiting = [asyncio.ensure_future(status_of(client, server.resource)) for _ in range(3)]
    await server.wait_until(lambda: server.token_requests == 1)
    await client.close()
    for error in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(error, TokenError)
        assert "closed" in str(error)
    collect()


def test_a_client_lives_on_in_a_second_event_loop() -> None:
    """The token survives, sessions do not; what the first loop left open is closed with it."""
    clients: list[Client] = []

    async def use(server: AuthorizationServer) -> int:
        async with server:
            if not clients:
                clients.append(client_of(server))
            assert not clients[0].closed
            return await status_of(clients[0], server.resource)

    server = AuthorizationServer()
    assert asyncio.run(use(server)) == 200
    assert asyncio.run(use(server)) == 200
    assert server.token_requests == 1
    assert not clients[0].closed
    asyncio.run(clients[0].close())
    assert clients[0].closed
    collect()


async def test_a_client_used_in_two_running_loops_says_so(server: AuthorizationServer) -> None:
    """A loop in another thread has no business with its sockets."""
    found: list[BaseException] = []

    def elsewhere() -> None:
        try:
            asyncio.run(status_of(client, server.resource))
        except RuntimeError as error:
            found.append(error)

    async with client_of(server) as client:
        await client.get(server.resource)
        thread = threading.Thread(target=elsewhere)
        thread.start()
        await asyncio.get_running_loop().run_in_executor(None, thread.join)
        assert await status_of(client, server.resource) == 200
    assert len(found) == 1
    assert "two event loops that both run" in str(found[0])
    assert server.token_requests == 1


# Headers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["Authorization", "authorization", "AUTHORIZATION", "aUtHoRiZaTiOn"]
)
@pytest.mark.parametrize("where", ["request", "session"])
async def test_one_authorization_header_goes_on_the_wire(
    name: str, where: str, server: AuthorizationServer
) -> None:
    """ "The Bearer header replaces any Authorization header the caller passed, whatever its case"."""
    mine = {"headers": {name: "Bearer mine", "X-Mine": "1"}}
    for_session, for_request = (mine, {}) if where == "session" else ({}, mine)
    async with client_of(server, **for_session) as client:
        assert await status_of(client, server.resource, **for_request) == 200
        server.revoke_all()
        assert await status_of(client, server.resource, **for_request) == 200
    for request in arrived(server):
        assert len(bearer(request)) == 1
        assert bearer(request) != ["Bearer mine"]
        assert request.headers["X-Mine"] == "1"


@pytest.mark.parametrize(
    "make",
    [
        dict,
        CIMultiDict,
        lambda pairs: CIMultiDictProxy(CIMultiDict(pairs)),
        list,
        tuple,
    ],
)
async def test_the_caller_s_headers_are_never_touched(
    make: Any, server: AuthorizationServer
) -> None:
    """Not by the first request, and not by the second."""
    pairs = [("X-Mine", "1"), ("Authorization", "Bearer mine")]
    headers = make(pairs)
    async with client_of(server) as client:
        for _ in range(2):
            assert await status_of(client, server.resource, headers=headers) == 200
            server.revoke_all()
        assert headers == make(pairs)
        options = {"headers": headers, "data": "x"}
        await client.post(server.resource, **options)
    assert options == {"headers": make(pairs), "data": "x"}


@pytest.mark.parametrize("options", [{}, {"headers": {}}, {"headers": {"X-Mine": "1"}}])
async def test_what_is_put_round_aiohttp_may_add_a_header_to_one_request(
    options: dict[str, Any], server: AuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As agents that trace requests do, in place: it goes out with this request and with no other."""
    request, tenants = aiohttp.ClientSession._request, iter(["alice", None, None])

    async def wrapped(self: Any, method: str, url: Any, **options: Any) -> Any:
        if method == "GET" and (tenant := next(tenants)):
            options["headers"]["X-Tenant"] = tenant
        return await request(self, method, url, **options)

    async with client_of(server) as client:
        await client.post(server.resource)
        monkeypatch.setattr(aiohttp.ClientSession, "_request", wrapped)
        for _ in range(3):
            assert await status_of(client, server.resource, **options) == 200
    sent = [request.headers.get("X-Tenant") for request in arrived(server)]
    assert sent == [None, "alice", None, None]


@pytest.mark.parametrize("opened_before", [True, False])
async def test_a_test_may_put_its_own_in_the_place_of_the_session_s_request(
    opened_before: bool, server: AuthorizationServer
) -> None:
    """At any time; nothing goes out then."""
    async with client_of(server) as client:
        await client.token_manager.get()
        if opened_before:
            await client.get(server.resource)
        sent = server.resource_requests
        with mock.patch.object(aiohttp.ClientSession, "request", mock.AsyncMock()) as patched:
            await client.get(server.resource)
        patched.assert_called_once()
    assert server.resource_requests == sent


async def test_headers_that_can_be_read_only_once_go_out_both_times(
    server: AuthorizationServer,
) -> None:
    """aiohttp takes an iterator of pairs."""
    pairs: Any = iter([("X-Mine", "1")])
    server.resource_answer_next(401)
    async with client_of(server) as client:
        assert await status_of(client, server.resource, headers=pairs) == 200
    assert [request.headers["X-Mine"] for request in arrived(server)] == ["1", "1"]


async def test_a_header_given_twice_goes_out_twice(server: AuthorizationServer) -> None:
    """As with aiohttp, but for Authorization."""
    pairs = [("X-Many", "1"), ("X-Many", "2"), ("Authorization", "a"), ("authorization", "b")]
    async with client_of(server) as client:
        assert await status_of(client, server.resource, headers=CIMultiDict(pairs)) == 200
    (request,) = arrived(server)
    assert request.headers.getall("X-Many") == ["1", "2"]
    assert len(bearer(request)) == 1


# Streaming -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("after_401", [False, True])
async def test_a_streaming_response_streams(after_401: bool, server: AuthorizationServer) -> None:
    """An event is there when it has been sent, not when the last one has."""
    async with client_of(server) as client:
        await client.get(server.resource)
        if after_401:
            server.revoke_all()
        async with client.get(f"{server.stream}?count=2&interval=3600") as response:
            assert response.content_type == "text/event-stream"
            assert await response.content.readline() == b"data: 0\n"


async def test_a_response_with_nobody_to_read_it_is_released_as_with_aiohttp(
    server: AuthorizationServer,
) -> None:
    """``async with`` gives the connection back."""
    server.resource_answer_next(200, body=b"x" * 1000, times=5)
    async with client_of(server, connector=aiohttp.TCPConnector(limit=1)) as client:
        for _ in range(5):
            async with client.get(server.resource):
                pass


# The surface ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["request", "get", "options", "head", "post", "put", "patch", "delete", "ws_connect"]
)
def test_a_method_is_named_and_called_as_the_session_s(name: str) -> None:
    """Same name, and what it returns can be awaited and entered."""
    assert inspect.isfunction(getattr(aiohttp.ClientSession, name))
    assert "url" in inspect.signature(getattr(Client, name)).parameters


async def test_a_subclass_that_wraps_request_goes_on_working(server: AuthorizationServer) -> None:
    """As code written for 0.4.0, where `request` was a coroutine."""

    class Logged(Client):
        async def request(self, method: Any, url: Any = None, **options: Any) -> Any:  # type: ignore[override]
            return await super().request(method, url, **options)

    async with Logged(server.client_id, server.client_secret, server.token_endpoint) as client:
        response = await client.request("GET", server.resource)
        assert response.status == 200


async def test_plain_http_beyond_loopback_is_warned_of_once(
    server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """RFC 6749 section 3.2; loopback is nobody's way."""
    async with client_of(server) as client:
        await client.get(server.resource)
    assert caplog.records == []
    proxy = server.url
    async with Client(
        "a", "b", "http://login.example/token", http_options={"proxy": proxy}
    ) as client:
        for _ in range(2):
            answer = await client.get(server.resource)
            assert isinstance(answer, TokenErrorResponse)  # the 404 of what is no proxy
    warnings = [r for r in caplog.records if "is not https" in r.getMessage()]
    assert len(warnings) == 1
    assert warnings[0].levelno == logging.WARNING


async def test_a_response_that_raise_for_status_refuses_is_closed(
    server: AuthorizationServer,
) -> None:
    """Nobody gets it: its connection is not left to the garbage collector."""
    refused: list[aiohttp.ClientResponse] = []

    async def refuse(response: aiohttp.ClientResponse) -> None:
        refused.append(response)
        raise ZeroDivisionError

    server.resource_answer_next(403, body="x" * 2**20)
    async with Client(server.client_id, server.client_secret, server.token_endpoint) as client:
        with pytest.raises(ZeroDivisionError):
            await client.get(server.resource, raise_for_status=refuse)
        assert refused[0].closed
        assert refused[0].connection is None
