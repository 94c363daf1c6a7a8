"""`OAuth2Middleware`: the same authorization in a session of the caller's own."""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, ClientSession
from clients import arrived, bearer, manager_of
from fakes import FakeClock
from managing import until

from aioalf import Client, OAuth2Middleware, TokenError, TokenHTTPError, TokenManager
from aioalf.testing import AuthorizationServer

BODY = bytes(range(256)) * 4 * 4096


@pytest.fixture
async def elsewhere() -> AsyncIterator[AuthorizationServer]:
    """A server of another origin."""
    async with AuthorizationServer() as started:
        yield started


@pytest.fixture
async def manager(server: AuthorizationServer) -> AsyncIterator[TokenManager]:
    """A manager, whose owner is the test."""
    async with manager_of(server) as made:
        yield made


@pytest.fixture
async def session(
    server: AuthorizationServer, manager: TokenManager
) -> AsyncIterator[ClientSession]:
    """A session whose requests to `server` are authorized."""
    middleware = OAuth2Middleware(manager, origins=server.url)
    async with ClientSession(middlewares=(middleware,)) as opened:
        yield opened


async def status_of(session: ClientSession, url: str, **options: Any) -> int:
    """The status that a GET is answered with."""
    async with session.get(url, **options) as response:
        await response.read()
        return response.status


async def test_a_request_carries_the_token(
    server: AuthorizationServer, session: ClientSession, manager: TokenManager
) -> None:
    """In place of any Authorization of the caller's; the caller's headers stay as they are."""
    headers = {"authorization": "Bearer mine", "X-Mine": "1"}
    for _ in range(2):
        assert await status_of(session, server.resource, headers=headers) == 200
    token = await manager.get_token()
    assert [bearer(request) for request in arrived(server)] == [[f"Bearer {token}"]] * 2
    assert headers == {"authorization": "Bearer mine", "X-Mine": "1"}
    assert server.token_requests == 1


def test_the_origins_are_required() -> None:
    """The first request seen must not decide where the token may go."""
    with pytest.raises(TypeError, match="origins"):
        OAuth2Middleware(TokenManager())  # type: ignore[call-arg]


def test_a_client_in_place_of_a_manager_is_refused() -> None:
    """It has a manager, and the error says where."""
    with pytest.raises(TypeError, match=r"client\.token_manager"):
        OAuth2Middleware(Client(), origins="https://a")  # type: ignore[arg-type]


def test_a_class_in_place_of_a_manager_is_refused() -> None:
    """At construction."""
    with pytest.raises(TypeError, match="takes a TokenManager, not a type"):
        OAuth2Middleware(TokenManager, origins="https://api.example.com")  # type: ignore[arg-type]


async def test_its_manager_is_at_hand_and_never_closed(
    server: AuthorizationServer, manager: TokenManager
) -> None:
    """It is borrowed: closing the session leaves it alone."""
    middleware = OAuth2Middleware(manager, origins=server.url)
    assert middleware.token_manager is manager
    async with ClientSession(middlewares=(middleware,)) as session:
        await status_of(session, server.resource)
    assert await manager.get_token()


# Where the token goes: the four, and their like ---------------------------------------------------


async def test_a_redirect_within_the_origin_carries_the_token(
    server: AuthorizationServer, session: ClientSession
) -> None:
    """On every hop."""
    assert await status_of(session, f"{server.redirect}?to=/resource") == 200
    assert len({tuple(bearer(request)) for request in arrived(server, "redirect")}) == 1
    assert bearer(arrived(server)[0]) == bearer(arrived(server, "redirect")[0])


async def test_a_redirect_to_another_origin_does_not(
    server: AuthorizationServer, session: ClientSession, elsewhere: AuthorizationServer
) -> None:
    """A middleware runs again on every hop; this one looks where that hop goes."""
    assert await status_of(session, f"{server.redirect}?to={elsewhere.resource}") == 401
    assert bearer(elsewhere.log[0]) == []
    assert server.token_requests == 1


async def test_a_redirect_to_a_declared_origin_does(
    server: AuthorizationServer, manager: TokenManager, elsewhere: AuthorizationServer
) -> None:
    """It was named; also by way of an origin that was not."""
    middleware = OAuth2Middleware(manager, origins=[server.url, elsewhere.url])
    elsewhere.resource_answer_next(200)
    async with ClientSession(middlewares=(middleware,)) as session:
        assert await status_of(session, f"{server.redirect}?to={elsewhere.resource}") == 200
    assert bearer(elsewhere.log[0]) == bearer(server.log[-1])


async def test_from_https_to_http_it_is_never_carried() -> None:
    """The same host and another scheme is another origin (RFC 6454 section 4)."""
    authority = trustme.CA()
    for_server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(for_server)
    for_client = ssl.create_default_context()
    authority.configure_trust(for_client)
    async with AuthorizationServer() as plain, AuthorizationServer(ssl_context=for_server) as safe:
        async with manager_of(safe, http_options={"ssl": for_client}) as manager:
            middleware = OAuth2Middleware(manager, origins=safe.url)
            async with ClientSession(middlewares=(middleware,)) as session:
                url = f"{safe.redirect}?to={plain.resource}"
                assert await status_of(session, url, ssl=for_client) == 401
                same = safe.url.replace("https:", "http:")
                with pytest.raises(aiohttp.ClientError):
                    await session.get(same + "/resource")
        assert bearer(plain.log[0]) == []
        assert bearer(safe.log[-1])[0].startswith("Bearer ")
        assert safe.token_requests == 1


async def test_other_origins_pass_through_untouched(
    server: AuthorizationServer, session: ClientSession, elsewhere: AuthorizationServer
) -> None:
    """No token is asked for, and a header of the caller's own goes out as it is."""
    headers = {"Authorization": "Bearer mine"}
    assert await status_of(session, elsewhere.resource, headers=headers) == 401
    assert bearer(elsewhere.log[0]) == ["Bearer mine"]
    assert server.token_requests == 0


# A 401 ---------------------------------------------------------------------------------------------


async def test_a_401_is_renewed_and_the_request_sent_once_more(
    server: AuthorizationServer, session: ClientSession
) -> None:
    """A second one is returned, and the first has given its connection back."""
    server.rejection_body = b"x" * 100_000
    await status_of(session, server.resource)
    server.revoke_all()
    assert await status_of(session, server.resource) == 200
    assert len({request.peer_port for request in arrived(server)}) == 1
    server.resource_answer_next(401, body="first")
    server.resource_answer_next(401, body="second")
    async with session.get(server.resource) as response:
        assert (response.status, await response.text()) == (401, "second")
    assert server.token_requests == 3


@pytest.mark.parametrize("single_valid", [False, True])
async def test_many_401s_cost_one_token_request(
    single_valid: bool, server: AuthorizationServer, manager: TokenManager
) -> None:
    """Through a pool of one connection, too."""
    server.single_valid = single_valid
    middleware = OAuth2Middleware(manager, origins=server.url)
    connector = aiohttp.TCPConnector(limit=1)
    async with ClientSession(middlewares=(middleware,), connector=connector) as session:
        await status_of(session, server.resource)
        server.revoke_all()
        statuses = await asyncio.gather(*(status_of(session, server.resource) for _ in range(50)))
    assert statuses == [200] * 50
    assert server.token_requests == 2


@pytest.mark.parametrize("early", [False, True], ids=["late", "early"])
@pytest.mark.parametrize("kind", ["bytes", "BytesIO", "file", "FormData"])
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
async def test_a_body_is_sent_again_whole(
    kind: str, early: bool, server: AuthorizationServer, session: ClientSession, tmp_path: Path
) -> None:
    """The same rule as for `Client`; the last hop only, since that is what a middleware sees."""
    path = tmp_path / "body.bin"
    path.write_bytes(BODY)
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(BODY))
    make: dict[str, Callable[[], Any]] = {
        "bytes": lambda: BODY,
        "BytesIO": lambda: io.BytesIO(BODY),
        "file": lambda: path.open("rb"),
        "FormData": lambda: form,
    }
    await status_of(session, server.resource)
    server.revoke_all()
    server.read_rejected = not early
    async with session.post(server.resource, data=make[kind]()) as response:
        assert response.status == 200
    sent = arrived(server)[-1]
    assert sent.complete
    if kind == "FormData":
        assert BODY in sent.body
    else:
        assert hashlib.sha256(sent.body).digest() == hashlib.sha256(BODY).digest()


@pytest.mark.parametrize("early", [False, True], ids=["late", "early"])
async def test_a_100_is_waited_for_each_time(
    early: bool, server: AuthorizationServer, session: ClientSession
) -> None:
    """Also where the first request was rejected by its head, with no 100."""
    await status_of(session, server.resource)
    server.revoke_all()
    server.read_rejected = not early
    async with session.post(server.resource, data=io.BytesIO(BODY), expect100=True) as response:
        assert response.status == 200
    assert arrived(server)[-1].body == BODY


async def test_a_body_that_can_be_read_only_once_is_not_sent_again(
    server: AuthorizationServer, session: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """The 401 is returned intact, the token renewed behind it, and the log says why."""

    async def body() -> AsyncIterator[bytes]:
        yield b"x"

    server.rejection_body = b"why not"
    await status_of(session, server.resource)
    server.revoke_all()
    async with session.post(server.resource, data=body()) as response:
        assert (response.status, await response.text()) == (401, "why not")
    async with session.post(server.resource, data=body()) as response:
        assert response.status == 200
    assert (server.token_requests, server.resource_requests) == (2, 3)
    assert "cannot be sent again" in caplog.text


async def test_a_post_that_was_answered_303_is_never_repeated(
    server: AuthorizationServer, session: ClientSession
) -> None:
    """Only the hop that was rejected is sent again."""
    server.resource_answer_next(303, {"Location": server.resource})
    server.resource_answer_next(401)
    async with session.post(server.resource, data=b"x") as response:
        assert response.status == 200
    assert [request.method for request in arrived(server)] == ["POST", "GET", "GET"]


async def test_an_api_that_rejects_new_tokens_gets_no_more_of_them_for_a_while(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The 401 is handed on at once, intact."""
    server.resource_answer_next(401, body="no", times=100)
    async with manager_of(server, clock=clock) as manager:
        middleware = OAuth2Middleware(manager, origins=server.url)
        async with ClientSession(middlewares=(middleware,)) as session:
            for _ in range(5):
                async with session.get(server.resource) as response:
                    assert (response.status, await response.text()) == (401, "no")
    assert server.token_requests == 2


@pytest.mark.parametrize("how", [True, "callable"])
async def test_raise_for_status_does_not_get_in_the_way_of_the_retry(
    how: Any, server: AuthorizationServer, session: ClientSession
) -> None:
    """It is asked after the middlewares."""
    asked: list[int] = []

    async def check(response: ClientResponse) -> None:
        asked.append(response.status)

    value = check if how == "callable" else how
    await status_of(session, server.resource)
    server.revoke_all()
    assert await status_of(session, server.resource, raise_for_status=value) == 200
    assert asked in ([], [200])


# Errors, company, time ----------------------------------------------------------------------------


@pytest.mark.parametrize("after_401", [False, True])
async def test_a_token_error_is_raised(
    after_401: bool, server: AuthorizationServer, session: ClientSession
) -> None:
    """A response that a middleware returned would be followed if it were a redirect."""
    if after_401:
        await status_of(session, server.resource)
        server.revoke_all()
    server.answer_next(400, {"Content-Type": "application/json"}, b'{"error": "invalid_scope"}')
    server.answer_next(302, {"Location": server.resource})
    with pytest.raises(TokenHTTPError) as caught:
        await session.get(server.resource)
    assert caught.value.error == "invalid_scope"
    with pytest.raises(TokenError, match="follows no redirect"):
        await session.get(server.resource)
    assert await status_of(session, server.resource) == 200


async def test_websockets_have_the_token_and_the_retry(
    server: AuthorizationServer, session: ClientSession
) -> None:
    """Their handshake is a request like any other."""
    async with session.ws_connect(server.websocket) as websocket:
        await websocket.send_str("hello")
        assert await websocket.receive_str() == "hello"
    server.revoke_all()
    async with session.ws_connect(server.websocket) as websocket:
        await websocket.send_str("again")
        assert await websocket.receive_str() == "again"
    assert server.token_requests == 2


async def test_streaming_responses_stream(
    server: AuthorizationServer, session: ClientSession
) -> None:
    """An event is there when it has been sent."""
    async with session.get(f"{server.stream}?count=2&interval=3600") as response:
        assert await response.content.readline() == b"data: 0\n"


async def test_it_goes_with_other_middlewares_before_and_after_it(
    server: AuthorizationServer, manager: TokenManager
) -> None:
    """The outer one sees one request; the inner one both sendings, the token on each."""
    seen: list[str] = []

    async def outer(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        seen.append(f"outer {'Authorization' in request.headers}")
        return await handler(request)

    async def inner(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        seen.append(f"inner {'Authorization' in request.headers}")
        await request.update_body(b"changed")
        return await handler(request)

    middleware = OAuth2Middleware(manager, origins=server.url)
    async with ClientSession(middlewares=(outer, middleware, inner)) as session:
        server.resource_answer_next(401)
        async with session.post(server.resource, data=b"given") as response:
            assert (await response.json())["body"] == "changed"
    assert seen == ["outer False", "inner True", "inner True"]


@pytest.mark.parametrize("given", [b"given", None])
async def test_a_middleware_after_it_gets_for_the_second_sending_what_it_got_for_the_first(
    given: bytes | None, server: AuthorizationServer, manager: TokenManager
) -> None:
    """And not what it made of that: a body would be packed twice, and signed twice."""

    async def packing(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        await request.update_body(
            b"<" + (await request.body.as_bytes() if request.body else b"") + b">"
        )
        request.headers.add("Signature", "1")
        return await handler(request)

    middleware = OAuth2Middleware(manager, origins=server.url)
    async with ClientSession(middlewares=(middleware, packing)) as session:
        server.resource_answer_next(401)
        async with session.post(server.resource, data=given, headers={"X-Mine": "1"}) as response:
            body = f"<{given.decode() if given else ''}>"
            assert (await response.json())["body"] == body
    for request in arrived(server):
        assert request.headers.getall("Signature") == ["1"]
        assert request.headers.getall("X-Mine") == ["1"]
        assert request.headers["Content-Length"] == str(len(body))
        assert len(bearer(request)) == 1


async def test_a_middleware_after_it_may_stream_the_first_sending_and_not_the_second(
    server: AuthorizationServer, manager: TokenManager
) -> None:
    """How a body goes out, in chunks or by its length, is what it was."""
    calls: list[ClientRequest] = []

    async def chunks() -> AsyncIterator[bytes]:
        yield b"chunk"

    async def streaming(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        calls.append(request)
        if len(calls) == 1:
            await request.update_body(chunks())
        return await handler(request)

    middleware = OAuth2Middleware(manager, origins=server.url)
    async with ClientSession(middlewares=(middleware, streaming)) as session:
        server.resource_answer_next(401)
        async with session.post(server.resource, data=b"given") as response:
            assert (await response.json())["body"] == "given"
    first, second = arrived(server)
    assert first.body == b"chunk"
    assert second.headers["Content-Length"] == "5"
    assert "Transfer-Encoding" not in second.headers


async def test_a_body_that_another_middleware_replaces_is_closed(
    server: AuthorizationServer, manager: TokenManager, tmp_path: Path
) -> None:
    """As aiohttp does by itself; what is sent, and sent again, is the other one."""

    async def other(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        await request.update_body(b"other")
        return await handler(request)

    path = tmp_path / "body"
    path.write_bytes(b"one")
    middlewares = (OAuth2Middleware(manager, origins=server.url), other)
    async with ClientSession(middlewares=middlewares) as session:
        for _ in range(2):
            file = path.open("rb")
            async with session.post(server.resource, data=file) as response:
                assert (await response.json())["body"] == "other"
            for _ in range(200):
                if file.closed:
                    break
                await asyncio.sleep(0.001)
            assert file.closed
            server.revoke_all()


async def test_it_never_recurses_into_its_own_token_request(server: AuthorizationServer) -> None:
    """A manager may send its token requests with the very session that the middleware is in."""
    async with ClientSession() as plain:
        manager = manager_of(server, session=plain)
        middleware = OAuth2Middleware(manager, origins=server.url)
        async with ClientSession(middlewares=(middleware,)) as session:
            inside = manager_of(server, session=session)
            looped = OAuth2Middleware(inside, origins=server.url)
            async with ClientSession(middlewares=(looped,)) as outer:
                assert await status_of(outer, server.resource) == 200
    assert server.token_requests == 1
    assert bearer(arrived(server, "token")[0])[0].startswith("Basic ")


async def test_a_renewal_does_not_die_with_the_first_caller_s_timeout(
    server: AuthorizationServer, session: ClientSession
) -> None:
    """The request that began it gives up; the next one has the token."""
    server.latency = 0.1
    with pytest.raises(asyncio.TimeoutError):
        await session.get(server.resource, timeout=aiohttp.ClientTimeout(total=0.02))
    assert await status_of(session, server.resource) == 200
    assert server.token_requests == 1


async def test_no_log_names_a_token(
    server: AuthorizationServer, session: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """At level DEBUG."""
    caplog.set_level(logging.DEBUG)
    await status_of(session, server.resource)
    server.revoke_all()
    await status_of(session, server.resource)
    tokens = {header.removeprefix("Bearer ") for r in arrived(server) for header in bearer(r)}
    assert len(tokens) == 2
    assert not any(token in caplog.text for token in tokens)


async def test_a_long_401_is_read_before_the_request_is_sent_again(
    server: AuthorizationServer, manager: TokenManager
) -> None:
    """It holds a place in the pool until then, and there may be no other."""
    server.rejection_body = b"x" * 2**20
    middleware = OAuth2Middleware(manager, origins=server.url)
    connector = aiohttp.TCPConnector(limit=1)
    timeout = aiohttp.ClientTimeout(10)
    async with ClientSession(
        middlewares=(middleware,), connector=connector, timeout=timeout
    ) as session:
        await status_of(session, server.resource)
        server.revoke_all()
        assert await status_of(session, server.resource) == 200
    assert len({request.peer_port for request in arrived(server)}) == 1


async def test_a_token_renewed_in_the_background_is_replaced_after_a_second_at_the_earliest(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Any request may be the first to carry it, so its success proves little: a second is enough."""

    async def once() -> AsyncIterator[bytes]:
        yield b"there only once"

    server.time = clock.time
    async with manager_of(server, clock=clock) as manager:
        middleware = OAuth2Middleware(manager, origins=server.url)
        async with ClientSession(middlewares=(middleware,)) as session:
            assert await status_of(session, server.resource) == 200
            server.revoke_all()
            async with session.post(server.resource, data=once()) as response:
                assert response.status == 401
            await until(lambda: manager._cache.flights.current is None)
            assert await status_of(session, server.resource) == 200
            server.revoke_all()
            assert await status_of(session, server.resource) == 401
            clock.advance(1)
            assert await status_of(session, server.resource) == 200
            assert server.token_requests == 3
