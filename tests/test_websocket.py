"""`Client.ws_connect`: the token on the handshake, and one more handshake after a 401."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp
import pytest
from clients import arrived, bearer, client_of, manager_of
from fakes import FakeClock

from aioalf import Client, TokenHTTPError
from aioalf.testing import AuthorizationServer


async def test_the_handshake_carries_the_token_and_the_caller_s_headers(
    server: AuthorizationServer,
) -> None:
    """In place of any Authorization of theirs; their own object stays as it is."""
    headers = {"authorization": "Bearer mine", "X-Mine": "1"}
    async with client_of(server) as client:
        async with client.ws_connect(server.websocket, headers=headers) as websocket:
            await websocket.send_bytes(b"\x00")
            assert await websocket.receive_bytes() == b"\x00"
        token = await client.token_manager.get_token()
    (handshake,) = arrived(server, "websocket")
    assert bearer(handshake) == [f"Bearer {token}"]
    assert handshake.headers["X-Mine"] == "1"
    assert headers == {"authorization": "Bearer mine", "X-Mine": "1"}


async def test_a_websocket_may_be_awaited(server: AuthorizationServer) -> None:
    """As aiohttp's; an ``http`` URL will do."""
    async with client_of(server) as client:
        websocket = await client.ws_connect(server.url + "/ws", autoping=False, heartbeat=30)
        await websocket.send_str("hello")
        assert await websocket.receive_str() == "hello"
        await websocket.close()


async def _never(response: aiohttp.ClientResponse) -> None:
    if response.status != 101:
        response.raise_for_status()


@pytest.mark.parametrize("options", [{}, {"raise_for_status": True}, {"raise_for_status": _never}])
async def test_a_handshake_answered_401_is_made_once_more(
    options: dict[str, Any], server: AuthorizationServer
) -> None:
    """With the new token; also where the session raises before the handshake is looked at."""
    async with client_of(server, **options) as client:
        await client.get(server.resource)
        server.revoke_all()
        async with client.ws_connect(server.websocket) as websocket:
            await websocket.send_str("hello")
            assert await websocket.receive_str() == "hello"
    rejected, again = (bearer(request) for request in arrived(server, "websocket"))
    assert rejected != again
    assert server.token_requests == 2


async def test_the_second_handshake_answered_401_is_an_error(server: AuthorizationServer) -> None:
    """aiohttp's own, with the status."""
    server.resource_answer_next(401, times=2)
    async with client_of(server) as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await client.ws_connect(server.websocket)
    assert caught.value.status == 401
    assert (server.token_requests, server.resource_requests) == (2, 2)


async def test_another_refusal_renews_nothing(server: AuthorizationServer) -> None:
    """Only a 401 does."""
    server.resource_answer_next(403)
    async with client_of(server) as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await client.ws_connect(server.websocket)
    assert caught.value.status == 403
    assert (server.token_requests, server.resource_requests) == (1, 1)


async def test_a_refusal_by_another_origin_renews_nothing(server: AuthorizationServer) -> None:
    """The handshake was redirected there and left the token behind."""
    async with AuthorizationServer() as elsewhere, client_of(server) as client:
        server.resource_answer_next(302, {"Location": elsewhere.url + "/ws"})
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await client.ws_connect(server.websocket)
        assert caught.value.status == 401
        assert bearer(elsewhere.log[0]) == []
    assert server.token_requests == 1


async def test_an_error_of_the_token_endpoint_is_raised_also_after_a_401(
    server: AuthorizationServer,
) -> None:
    """There is no response to give back where a websocket is asked for."""
    async with client_of(server) as client:
        await client.get(server.resource)
        server.revoke_all()
        server.answer_next(400)
        with pytest.raises(TokenHTTPError):
            await client.ws_connect(server.websocket)


async def test_many_handshakes_answered_401_cost_one_token_request(
    server: AuthorizationServer,
) -> None:
    """They share the renewal with each other and with requests."""

    async with client_of(server) as client:
        await client.get(server.resource)
        server.revoke_all()

        async def talk() -> str:
            async with client.ws_connect(server.websocket) as websocket:
                await websocket.send_str("hello")
                return await websocket.receive_str()

        assert await asyncio.gather(*(talk() for _ in range(10))) == ["hello"] * 10
    assert server.token_requests == 2


async def test_other_origins_are_connected_to_without_the_token(
    server: AuthorizationServer,
) -> None:
    """``origins=`` counts for websockets: ws is http, wss is https."""
    async with AuthorizationServer() as elsewhere:
        async with client_of(server, origins=server.url) as client:
            async with client.ws_connect(server.websocket) as websocket:
                await websocket.close()
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await client.ws_connect(elsewhere.websocket)
        assert bearer(elsewhere.log[0]) == []
    assert server.token_requests == 1


async def test_auth_is_refused(server: AuthorizationServer) -> None:
    """Both are the Authorization header; no token is asked for."""
    options: Any = {"auth": ("a", "b")}  # whatever it is
    async with client_of(server) as client:
        with pytest.raises(ValueError, match="Leave auth= out"):
            await client.ws_connect(server.websocket, **options)
    assert server.token_requests == 0


@pytest.mark.filterwarnings("ignore:.*auth.*:DeprecationWarning", "ignore:Basic:DeprecationWarning")
async def test_auth_goes_along_where_the_token_does_not(server: AuthorizationServer) -> None:
    """To an origin that is not named the handshake is the caller's own."""
    options: Any = {"auth": aiohttp.BasicAuth("a", "b")}
    async with client_of(server, origins="https://api.example.com") as client:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await client.ws_connect(server.websocket, **options)
    (handshake,) = arrived(server, "websocket")
    assert bearer(handshake) == ["Basic YTpi"]


async def test_a_401_while_new_tokens_are_rejected_is_handed_on_at_once(
    server: AuthorizationServer,
) -> None:
    """aiohttp's error, as at the first time, and no token request."""
    server.resource_answer_next(401, times=3)
    async with client_of(server) as client:
        for _ in range(2):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await client.ws_connect(server.websocket)
            assert caught.value.status == 401
    assert (server.token_requests, server.resource_requests) == (2, 3)


async def test_a_handshake_that_was_accepted_resets_the_back_off(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """A later revocation is renewed at once, as often as it comes."""
    server.time = clock.time
    async with manager_of(server, clock=clock) as manager, Client(token_manager=manager) as client:
        for number in range(1, 5):
            async with client.ws_connect(server.websocket) as websocket:
                await websocket.close()
            assert server.token_requests == number
            server.revoke_all()


class Refused(Exception):
    """What an application's own ``raise_for_status`` raises."""


async def refuse(response: aiohttp.ClientResponse) -> None:
    """Raise what an application raises."""
    if response.status >= 400:
        raise Refused(response.status, await response.text())


@pytest.mark.parametrize("borrowed", [False, True])
async def test_a_session_s_own_raise_for_status_gets_the_last_answer(
    borrowed: bool, server: AuthorizationServer
) -> None:
    """With its body, as for a request; a 401 that is made good it does not get."""
    session = aiohttp.ClientSession(raise_for_status=refuse)
    async with session, manager_of(server) as manager:
        options: dict[str, Any] = {"token_manager": manager}
        options |= {"session": session} if borrowed else {"raise_for_status": refuse}
        async with Client(**options) as client:
            await client.get(server.resource)
            for _ in range(3):
                server.revoke_all()
                async with client.ws_connect(server.websocket) as websocket:
                    await websocket.send_str("hello")
                    assert await websocket.receive_str() == "hello"
            assert server.token_requests == 4
            server.resource_answer_next(401, body="first")
            server.resource_answer_next(401, body="second")
            with pytest.raises(Refused) as caught:
                await client.ws_connect(server.websocket)
            assert caught.value.args == (401, "second")
            server.resource_answer_next(403, body="never")
            with pytest.raises(Refused) as caught:
                await client.ws_connect(server.websocket)
            assert caught.value.args == (403, "never")


async def test_a_session_that_raises_for_status_raises_what_it_does_for_a_request(
    server: AuthorizationServer,
) -> None:
    """As in aiohttp: `ClientResponseError`, before the handshake is looked at."""
    server.resource_answer_next(401, times=2)
    async with client_of(server, raise_for_status=True) as client:
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await client.ws_connect(server.websocket)
    assert type(caught.value) is aiohttp.ClientResponseError
    assert caught.value.status == 401
    assert server.token_requests == 2


async def test_the_log_says_once_that_a_handshake_with_a_new_token_was_answered_401_too(
    server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """As for a request."""
    server.resource_answer_next(401, times=5)
    async with client_of(server) as client:
        for _ in range(4):
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await client.ws_connect(server.websocket)
    (record,) = (r for r in caplog.records if "rejects new tokens" in r.getMessage())
    assert record.levelno == logging.WARNING


async def test_a_handshake_is_made_again_over_the_same_connection(
    server: AuthorizationServer,
) -> None:
    """Its 401 is read to the end first."""
    async with client_of(server) as client:
        await client.get(server.resource)
        server.revoke_all()
        async with client.ws_connect(server.websocket) as websocket:
            await websocket.close()
    assert len({request.peer_port for request in arrived(server, "websocket")}) == 1


async def test_other_statuses_may_say_that_a_handshake_s_token_is_not_accepted(
    server: AuthorizationServer,
) -> None:
    """Those of ``unauthorized_statuses=``."""
    server.resource_answer_next(419)
    async with client_of(server, unauthorized_statuses={401, 419}) as client:
        async with client.ws_connect(server.websocket) as websocket:
            await websocket.close()
    assert server.token_requests == 2


async def test_a_handshake_may_have_options_that_a_request_has(
    server: AuthorizationServer,
) -> None:
    """Parameters, protocols, a time limit, compression; both times."""
    async with client_of(server) as client:
        await client.get(server.resource)
        server.revoke_all()
        timeout = aiohttp.ClientWSTimeout(ws_receive=5)
        async with client.ws_connect(
            server.websocket, params={"a": "1"}, protocols=("x",), timeout=timeout, compress=15
        ) as websocket:
            await websocket.send_json({"a": "b" * 1000})
            assert await websocket.receive_json() == {"a": "b" * 1000}
    first, second = arrived(server, "websocket")
    assert first.target == second.target == "/ws?a=1"
    assert first.headers["Sec-WebSocket-Protocol"] == second.headers["Sec-WebSocket-Protocol"]


@pytest.mark.parametrize("at", ["token", "first", "renewal", "second"])
async def test_a_handshake_that_is_cancelled_ends_at_once_and_leaves_nothing_behind(
    at: str, server: AuthorizationServer
) -> None:
    """Wherever it is; the next one opens."""
    async with client_of(server, connector=aiohttp.TCPConnector(limit=1)) as client:
        if at in ("first", "renewal", "second"):
            await client.token_manager.get()
        if at in ("renewal", "second"):
            server.resource_answer_next(401)
        if at in ("token", "renewal"):
            server.latency = 30
        else:
            server.resource_stall_next()
        tokens, handshakes = {
            "token": (1, 0),
            "first": (1, 1),
            "renewal": (2, 1),
            "second": (2, 2),
        }[at]
        opening = asyncio.ensure_future(echo_once(client, server))
        await server.wait_until(
            lambda: (server.token_requests, server.resource_requests) == (tokens, handshakes)
        )
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        server.latency = 0
        if at == "token":
            return  # the token request goes on, for the next one
        server.clear_next()
        if at != "renewal":
            assert await echo_once(client, server) == "hello"


async def echo_once(client: Client, server: AuthorizationServer) -> str:
    """What a websocket says."""
    async with client.ws_connect(server.websocket) as websocket:
        await websocket.send_str("hello")
        return await websocket.receive_str()


async def test_a_client_that_is_closed_while_its_handshake_is_renewed_says_so(
    server: AuthorizationServer,
) -> None:
    """And asks for nothing more."""
    async with manager_of(server) as manager:
        client = Client(token_manager=manager)
        await manager.get()
        server.resource_answer_next(401)
        server.latency = 0.1
        opening = asyncio.ensure_future(echo_once(client, server))
        await server.wait_until(lambda: server.token_requests == 2)
        await client.close()
        with pytest.raises(RuntimeError, match="closed"):
            await opening
        with pytest.raises(RuntimeError, match="closed"):
            await client.ws_connect(server.websocket)
    assert len(arrived(server, "websocket")) == 1


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A tracer's wrapper of aiohttp's method; gives the URLs that it has seen."""
    seen: list[str] = []
    real = aiohttp.ClientSession.ws_connect

    def ws_connect(self: aiohttp.ClientSession, url: Any, **options: Any) -> Any:
        seen.append(str(url))
        return real(self, url, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "ws_connect", ws_connect)
    return seen


async def test_a_wrapper_of_aiohttp_s_ws_connect_is_called(
    server: AuthorizationServer, patched: list[str]
) -> None:
    """Once for each websocket; the handshake carries the token all the same."""
    async with client_of(server) as client:
        assert await echo_once(client, server) == "hello"
    assert patched == [server.websocket]


async def test_what_a_test_puts_in_the_place_of_a_session_s_ws_connect_is_called(
    server: AuthorizationServer,
) -> None:
    """A stand-in of the session has no method of aiohttp's at all."""

    class Session:
        raise_for_status = trust_env = False
        auth = None

        async def request(self, *args: Any, **options: Any) -> Any:
            raise AssertionError

        async def ws_connect(self, url: str, **options: Any) -> Any:
            return url, options

    session: Any = Session()
    async with client_of(server, session=session) as client:
        connected: Any = await client.ws_connect("ws://a", heartbeat=3)
    assert connected == ("ws://a", {"heartbeat": 3})


@pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")
async def test_a_session_may_be_of_a_class_with_methods_of_its_own(
    server: AuthorizationServer,
) -> None:
    """aiohttp advises against it; each of its methods is called all the same, by ``super()`` too."""
    called: list[str] = []

    class Session(aiohttp.ClientSession):
        def ws_connect(self, url: Any, **options: Any) -> Any:
            called.append("ws_connect")
            return super().ws_connect(url, **options)

        def request(self, method: str, url: Any, **options: Any) -> Any:
            called.append(method)
            return super().request(method, url, **options)

    async with Session() as session, client_of(server, session=session) as client:
        assert await echo_once(client, server) == "hello"
        server.revoke_all()
        assert await echo_once(client, server) == "hello"
    assert called == ["ws_connect", "GET", "ws_connect", "GET", "GET"]
