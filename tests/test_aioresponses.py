"""With aioresponses, which replaces ``ClientSession._request``; needs the oldest aiohttp."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses
from yarl import URL

from aioalf import Client, TokenError, TokenErrorResponse, TokenHTTPError

TOKEN = "http://login.example.com/token"
RESOURCE = "http://api.example.com/resource"


@pytest.fixture
def mocked() -> Iterator[Any]:
    """Nothing goes on the wire."""
    with aioresponses() as mock:
        yield mock


def client() -> Client:
    """A client of servers that do not exist."""
    return Client("client-id", "secret", TOKEN)


def grant(mocked: Any, token: str, **more: Any) -> None:
    """The token endpoint gives this."""
    mocked.post(TOKEN, payload={"access_token": token, "expires_in": 3600, **more})


def sent(mocked: Any, method: str, url: str) -> list[dict[str, Any]]:
    """The keywords of every request to a URL."""
    return [call.kwargs for call in mocked.requests.get((method, URL(url)), [])]


async def test_a_request_gets_its_token_and_its_answer(mocked: Any) -> None:
    """As users of 0.4.0 have it in their tests."""
    grant(mocked, "token-1")
    mocked.post(RESOURCE, payload={"ok": True}, status=201)
    async with client() as alf:
        async with alf.post(RESOURCE, json={"a": 1}, headers={"X-Mine": "1"}) as response:
            assert response.status == 201
            assert await response.json() == {"ok": True}
    (asked,) = sent(mocked, "POST", TOKEN)
    assert asked["headers"]["Authorization"] == "Basic Y2xpZW50LWlkOnNlY3JldA=="
    assert asked["data"] == b"grant_type=client_credentials"
    (got,) = sent(mocked, "POST", RESOURCE)
    assert got["headers"]["Authorization"] == "Bearer token-1"
    assert got["headers"]["X-Mine"] == "1"
    assert got["json"] == {"a": 1}


async def test_a_token_is_kept(mocked: Any) -> None:
    """One token request for two requests."""
    grant(mocked, "token-1")
    mocked.get(RESOURCE, repeat=True)
    async with client() as alf:
        await alf.get(RESOURCE)
        await alf.request("GET", RESOURCE)
    assert len(sent(mocked, "POST", TOKEN)) == 1
    assert len(sent(mocked, "GET", RESOURCE)) == 2


async def test_a_401_is_sent_again_with_a_new_token(mocked: Any) -> None:
    """No middleware runs under aioresponses: the retry does not depend on one."""
    grant(mocked, "token-1")
    grant(mocked, "token-2")
    mocked.put(RESOURCE, status=401, body="who?")
    mocked.put(RESOURCE, body="ok")
    async with client() as alf:
        response = await alf.put(RESOURCE, data=b"body")
        assert await response.text() == "ok"
    calls = sent(mocked, "PUT", RESOURCE)
    assert [call["headers"]["Authorization"] for call in calls] == [
        "Bearer token-1",
        "Bearer token-2",
    ]
    assert [call["data"] for call in calls] == [b"body", b"body"]


async def test_a_second_401_is_returned(mocked: Any) -> None:
    """With its body."""
    grant(mocked, "token-1")
    grant(mocked, "token-2")
    mocked.get(RESOURCE, status=401, body="first")
    mocked.get(RESOURCE, status=401, body="second")
    async with client() as alf:
        response = await alf.get(RESOURCE)
        assert (response.status, await response.text()) == (401, "second")


async def test_an_error_of_the_token_endpoint_is_returned_or_raised(mocked: Any) -> None:
    """Of a class of its own, read and readable."""
    refused = {"error": "invalid_client"}
    mocked.post(TOKEN, status=401, payload=refused)
    mocked.post(TOKEN, status=401, payload=refused)
    async with client() as alf:
        response = await alf.get(RESOURCE)
        assert isinstance(response, TokenErrorResponse)
        assert response.status == 401
        assert await response.json() == refused
        with pytest.raises(TokenHTTPError) as caught:
            await alf.get(RESOURCE, raise_for_status=True)
        assert caught.value.error == "invalid_client"
    assert sent(mocked, "GET", RESOURCE) == []


async def test_a_connection_that_fails_is_a_token_error(mocked: Any) -> None:
    """The mock raises what aiohttp would."""
    mocked.post(TOKEN, exception=aiohttp.ClientConnectionError("refused"))
    async with client() as alf:
        with pytest.raises(TokenError):
            await alf.get(RESOURCE)


async def test_a_manager_works_on_its_own(mocked: Any) -> None:
    """`get_token` and `reset_token`."""
    grant(mocked, "token-1")
    grant(mocked, "token-2")
    async with client() as alf:
        assert await alf.token_manager.get_token() == "token-1"
        await alf.token_manager.reset_token()
        assert await alf.token_manager.get_token() == "token-2"
