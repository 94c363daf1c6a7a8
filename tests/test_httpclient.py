"""`HTTPRequest`: a request as one value."""

from __future__ import annotations

import copy
import pickle

import pytest
from clients import client_of

from aioalf import Client, HTTPRequest
from aioalf.testing import AuthorizationServer


async def test_keywords_of_the_call_count_for_more_than_those_of_the_value(
    server: AuthorizationServer,
) -> None:
    """A value may be a template."""
    request = HTTPRequest(server.resource, "PUT", headers={"X-A": "1"}, data="a")
    async with client_of(server) as client:
        async with client.request(request, data="b") as response:
            echo = await response.json()
    assert (echo["method"], echo["body"], echo["headers"]["X-A"]) == ("PUT", "b", "1")
    assert dict(request.options) == {"headers": {"X-A": "1"}, "data": "a"}


def test_a_request_is_a_value_or_a_method_and_a_url() -> None:
    """Half of the one and half of the other is a mistake."""
    client = Client("a", "b", "http://127.0.0.1/token")
    with pytest.raises(TypeError, match="not both"):
        client.request(HTTPRequest("http://127.0.0.1/"), "http://127.0.0.1/")
    with pytest.raises(TypeError, match="a method and a URL"):
        client.request("GET")


def test_a_request_value_is_one() -> None:
    """Frozen, equal by what it holds, copied and pickled like any other; no credentials in its repr."""
    request = HTTPRequest("http://a/b?key=hidden", "POST", headers={"X-Key": "hidden"}, data=b"x")
    same = HTTPRequest(
        "http://a/b?key=hidden", method="POST", headers={"X-Key": "hidden"}, data=b"x"
    )
    assert request == same == copy.deepcopy(request) == pickle.loads(pickle.dumps(request))
    assert request != HTTPRequest("http://a/b")
    assert HTTPRequest("http://a/b").method == "GET"
    assert "hidden" not in repr(request)
    assert repr(request) == "<HTTPRequest POST http://a/b ['data', 'headers']>"
    with pytest.raises(AttributeError):
        request.method = "GET"  # type: ignore[misc]
    with pytest.raises(TypeError):
        request.options["a"] = 1  # type: ignore[index]
