"""`Client.ws_connect`: the token on the handshake, and one more handshake after a 401."""

from __future__ import annotations

import asyncio
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
    auth: Any = ("a", "b")  # whatever it is
    async with client_of(server) as client:
        with pytest.raises(ValueError, match="Leave auth= out"):
            await client.ws_connect(server.websocket, auth=auth)
    assert server.token_requests == 0


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
