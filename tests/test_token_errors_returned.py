"""How "the error response will be returned" reads: when it is, when a `TokenError` is raised.

The docstrings quote the contract.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import aiohttp
import pytest
from clients import arrived, client_of, manager_of
from fakes import FakeClock

from aioalf import Client, TokenError, TokenHTTPError
from aioalf.errors import TokenErrorResponse
from aioalf.testing import AuthorizationServer

REFUSED = b'{"error": "unauthorized_client", "error_description": "no"}'


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
async def test_the_error_response_is_returned_and_the_real_request_does_not_happen(
    status: int, server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """ "In case of an error retrieving a token, the error response will be returned"; one WARNING."""
    caplog.set_level(logging.INFO, "aioalf")
    server.answer_next(status, {"Content-Type": "application/json"}, REFUSED)
    async with client_of(server) as client, client.get(server.resource) as response:
        assert isinstance(response, TokenErrorResponse)
        assert isinstance(response, aiohttp.ClientResponse)
        assert response.status == status
        assert str(response.url) == server.token_endpoint
        assert await response.read() == REFUSED
        assert await response.text() == REFUSED.decode()
        assert (await response.json())["error"] == "unauthorized_client"
    assert await response.read() == REFUSED  # closed and released, and readable all the same
    assert (server.token_requests, server.resource_requests) == (1, 0)
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert warning.levelname == "WARNING"
    assert str(status) in warning.getMessage()
    assert "unauthorized_client" in warning.getMessage()


async def _never(response: aiohttp.ClientResponse) -> None:
    raise AssertionError("not asked about an answer of the token endpoint")


@pytest.mark.parametrize("on", ["session", "request", "client"])
@pytest.mark.parametrize("how", [True, _never])
async def test_an_error_is_raised_where_the_caller_asked_to_raise(
    on: str, how: Any, server: AuthorizationServer
) -> None:
    """ "(on the session or on this request, `True` or a callable), or [...] `raise_token_errors=True`"."""
    server.answer_next(400, {"Content-Type": "application/json"}, REFUSED)
    for_client: dict[str, Any] = {
        "session": {"raise_for_status": how},
        "request": {},
        "client": {"raise_token_errors": True},
    }[on]
    async with client_of(server, **for_client) as client:
        with pytest.raises(TokenHTTPError) as caught:
            await client.get(
                server.resource, **({"raise_for_status": how} if on == "request" else {})
            )
    assert caught.value.response_status == 400
    assert caught.value.error == "unauthorized_client"
    assert caught.value.error_description == "no"
    assert server.resource_requests == 0


async def test_a_request_can_be_let_off_what_its_session_raises(
    server: AuthorizationServer,
) -> None:
    """ "on the session or on this request": the request has the last word, as in aiohttp."""
    server.answer_next(400, body=REFUSED)
    async with client_of(server, raise_for_status=True) as client:
        response = await client.get(server.resource, raise_for_status=False)
        assert isinstance(response, TokenErrorResponse)


@pytest.mark.parametrize(
    "prepare",
    [
        lambda server: server.drop_next(),
        lambda server: server.stall_next(),
        lambda server: server.answer_next(302, {"Location": "/elsewhere"}),
        lambda server: server.answer_next(400, body=b" " * (2**20 + 1)),
        lambda server: server.answer_next(200, body=b"<html>"),
        lambda server: server.answer_next(200, body=b'{"error": "invalid_client"}'),
    ],
    ids=["no connection", "timeout", "redirect", "over the cap", "no token", "error with 200"],
)
async def test_a_token_error_is_raised_where_there_is_no_response_to_hand_back(
    prepare: Any, server: AuthorizationServer
) -> None:
    """ "There is no such response to hand back (...): a `TokenError` is raised"."""
    prepare(server)
    async with client_of(server, http_options={"timeout": aiohttp.ClientTimeout(0.2)}) as client:
        with pytest.raises(TokenError):
            await client.get(server.resource)
    assert (server.token_requests, server.resource_requests) == (1, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"client_id": "a", "client_secret": "b"}, "Missing token endpoint"),
        (
            {"token_endpoint": "http://127.0.0.1:1/token"},
            "Missing credentials (client_id:client_secret)",
        ),
    ],
)
async def test_what_is_missing_is_raised_at_first_use(
    options: dict[str, Any], message: str, server: AuthorizationServer
) -> None:
    """ "missing endpoint or credentials": a `TokenError`, at first use and not at construction."""
    async with Client(**options) as client:
        with pytest.raises(TokenError) as caught:
            await client.get(server.resource)
    assert str(caught.value) == message


async def test_a_manager_asked_directly_raises(server: AuthorizationServer) -> None:
    """ "`TokenManager.get_token()`, called directly, always raises"."""
    server.answer_next(400, body=REFUSED)
    with pytest.raises(TokenHTTPError):
        await manager_of(server).get_token()


async def test_ws_connect_raises(server: AuthorizationServer) -> None:
    """ "So do `ws_connect` and the middleware" (which has a test of its own)."""
    server.answer_next(400, body=REFUSED)
    async with client_of(server) as client:
        with pytest.raises(TokenHTTPError):
            await client.ws_connect(server.websocket)
    assert server.resource_requests == 0


# What the returned response is like ---------------------------------------------------------------


async def test_all_who_waited_share_one_response_and_all_can_read_it(
    server: AuthorizationServer,
) -> None:
    """It is read already: reading, releasing and closing it does not take it from the others."""
    server.latency = 0.05
    server.answer_next(403, {"Content-Type": "application/json"}, REFUSED, delay=0.05)
    async with client_of(server) as client:

        async def one() -> tuple[int, Any, aiohttp.ClientResponse]:
            async with client.get(server.resource) as response:
                return response.status, await response.json(), response

        answers = await asyncio.gather(*(one() for _ in range(20)))
    assert {status for status, _, _ in answers} == {403}
    assert all(body == json.loads(REFUSED) for _, body, _ in answers)
    assert len({id(response) for _, _, response in answers}) == 1
    assert server.token_requests == 1


async def test_its_request_info_holds_no_credentials(server: AuthorizationServer) -> None:
    """Nor has the exception that `raise_for_status` makes of it."""
    server.answer_next(400, body=REFUSED)
    async with client_of(server) as client:
        response = await client.get(server.resource)
    assert response.request_info.method == "POST"
    assert str(response.request_info.url) == server.token_endpoint
    assert "Authorization" not in response.request_info.headers
    with pytest.raises(aiohttp.ClientResponseError) as caught:
        response.raise_for_status()
    basic = arrived(server, "token")[0].headers["Authorization"].removeprefix("Basic ")
    assert basic not in repr(caught.value) + repr(response)


async def test_the_answer_to_a_renewal_after_a_401_is_returned_too(
    server: AuthorizationServer,
) -> None:
    """The 401 of the resource is done with by then; the request is not sent again."""
    async with client_of(server) as client:
        await client.get(server.resource)
        server.revoke_all()
        server.answer_next(400, body=REFUSED)
        response = await client.get(server.resource)
        assert isinstance(response, TokenErrorResponse)
        assert await response.read() == REFUSED
        assert (await client.get(server.resource)).status == 200  # the next call tries afresh
    assert server.token_requests == 3


async def test_after_the_third_failure_in_a_row_the_last_answer_is_given_at_once(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """What does not help backs off; where it is raised, the error says until when."""
    server.answer_next(503, body=REFUSED, times=9)
    async with client_of(server, clock=clock) as client:
        for _ in range(5):
            assert isinstance(await client.get(server.resource), TokenErrorResponse)
        assert server.token_requests == 3
        with pytest.raises(TokenHTTPError, match=r"not before .* UTC"):
            await client.get(server.resource, raise_for_status=True)
        server.clear_next()
        clock.advance(1)
        assert (await client.get(server.resource)).status == 200


async def test_the_error_response_shows_no_credentials_for_a_proxy(
    server: AuthorizationServer,
) -> None:
    """They may be among the headers of ``http_options``."""
    server.answer_next(400, {"Content-Type": "application/json"}, REFUSED)
    headers = {"Proxy-Authorization": "Basic s3cr3t", "X-Mine": "1"}
    async with client_of(server, http_options={"headers": headers}) as client:
        async with client.get(server.resource) as response:
            assert isinstance(response, TokenErrorResponse)
            assert response.request_info.headers["X-Mine"] == "1"
            assert "s3cr3t" not in str(response.request_info)
