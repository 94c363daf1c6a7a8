"""`aioalf.testing` signs devices in as a strict authorization server would (RFC 8628)."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from fakes import FakeClock

from aioalf.testing import AuthorizationServer

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
async def server(clock: FakeClock) -> AsyncIterator[AuthorizationServer]:
    """A server whose time the test moves, for a public client."""
    async with AuthorizationServer(allow_public=True, time=clock.time) as started:
        yield started


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A bare session that gives up soon."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as started:
        yield started


async def post(session: aiohttp.ClientSession, url: str, **form: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the answer, which must not be cached."""
    async with session.post(url, data=form) as response:
        assert response.headers["Cache-Control"] == "no-store"
        return response.status, await response.json()


async def begin(
    session: aiohttp.ClientSession, server: AuthorizationServer, **form: str
) -> dict[str, Any]:
    """A device authorization response."""
    url = server.device_authorization_endpoint
    status, response = await post(session, url, client_id="client-id", **form)
    assert status == 200
    return response


async def poll(
    session: aiohttp.ClientSession, server: AuthorizationServer, code: str, **form: str
) -> str:
    """The error of a poll, or nothing once there is a token."""
    form = {"client_id": "client-id", "grant_type": DEVICE_CODE, "device_code": code} | form
    sent = {name: value for name, value in form.items() if value}
    status, response = await post(session, server.token_endpoint, **sent)
    assert (status == 200) == ("access_token" in response)
    return str(response.get("error", ""))


async def test_a_device_is_told_where_a_person_should_go(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 8628 section 3.2; seconds are whole numbers."""
    begun = await begin(session, server)
    assert begun == {
        "device_code": begun["device_code"],
        "user_code": begun["user_code"],
        "verification_uri": server.url + "/device",
        "verification_uri_complete": f"{server.url}/device?user_code={begun['user_code']}",
        "expires_in": 600,
        "interval": 5,
    }
    assert type(begun["expires_in"]) is type(begun["interval"]) is int
    assert server.requests["device"] == 1
    assert server.log[0].kind == "device"


async def test_a_device_gets_its_token_once_a_person_has_approved(
    server: AuthorizationServer, session: aiohttp.ClientSession, clock: FakeClock
) -> None:
    """RFC 8628 sections 3.4 and 3.5; the code is good once."""
    begun = await begin(session, server, scope="a offline_access")
    assert await poll(session, server, begun["device_code"]) == "authorization_pending"
    clock.advance(5)
    server.approve(begun["user_code"].lower() + " ")
    form = {"client_id": "client-id", "grant_type": DEVICE_CODE}
    form |= {"device_code": begun["device_code"]}
    status, tokens = await post(session, server.token_endpoint, **form)
    assert (status, tokens["scope"]) == (200, "a offline_access")
    assert server.accepts(tokens["access_token"])
    assert tokens["refresh_token"]
    assert await poll(session, server, begun["device_code"]) == "invalid_grant"


async def test_a_device_that_polls_too_fast_has_to_wait_longer(
    server: AuthorizationServer, session: aiohttp.ClientSession, clock: FakeClock
) -> None:
    """RFC 8628 section 3.5: five seconds more each time, for all that follow."""
    code = (await begin(session, server))["device_code"]
    seen = []
    for seconds in (0, 5, 4.9, 9.9, 14.9, 20, 19.9):
        clock.advance(seconds)
        seen.append(await poll(session, server, code))
    pending, slow = "authorization_pending", "slow_down"
    assert seen == [pending, pending, slow, slow, slow, pending, slow]


async def test_a_device_that_was_declined_is_told_so(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 8628 section 3.5."""
    begun = await begin(session, server)
    server.decline(begun["user_code"])
    assert await poll(session, server, begun["device_code"]) == "access_denied"


async def test_a_device_code_expires(
    server: AuthorizationServer, session: aiohttp.ClientSession, clock: FakeClock
) -> None:
    """RFC 8628 section 3.5: approved or not."""
    server.device_lifetime = 60
    begun = await begin(session, server)
    server.approve(begun["user_code"])
    clock.advance(60)
    assert await poll(session, server, begun["device_code"]) == "expired_token"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_id": ""}, "invalid_client"),
        ({"client_id": "other"}, "invalid_client"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"device_code": "other"}, "invalid_grant"),
        ({"device_code": ""}, "invalid_request"),
    ],
)
async def test_a_poll_says_who_asks_and_for_what(
    server: AuthorizationServer,
    session: aiohttp.ClientSession,
    changes: dict[str, str],
    error: str,
) -> None:
    """RFC 8628 section 3.4."""
    begun = await begin(session, server)
    assert await poll(session, server, begun["device_code"], **changes) == error


async def test_a_poll_names_the_client_in_the_form_beside_other_credentials(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """As the strict read RFC 8628 section 3.4."""
    begun = await begin(session, server)
    form = {"grant_type": DEVICE_CODE, "device_code": begun["device_code"]}
    headers = {"Authorization": "Basic " + base64.b64encode(b"client-id:secret").decode()}
    async with session.post(server.token_endpoint, data=form, headers=headers) as response:
        assert (await response.json())["error"] == "invalid_request"


async def test_a_device_begins_as_strictly_as_a_token_request(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """RFC 8628 section 3.1: the rules of the token endpoint for authentication, and for the scope."""
    server.allowed_scopes = ["a"]
    url = server.device_authorization_endpoint
    for form, expected in (
        ({"client_id": "other"}, (401, "invalid_client")),
        ({}, (401, "invalid_client")),
        ({"client_id": "client-id", "scope": "b"}, (400, "invalid_scope")),
    ):
        status, refused = await post(session, url, **form)
        assert (status, refused["error"]) == expected
    server.allow_public = False
    assert (await post(session, url, client_id="client-id"))[0] == 401
    assert (await post(session, url, client_id="client-id", client_secret="secret"))[0] == 200
    async with session.get(url) as response:
        assert response.status == 405


async def test_the_answer_to_a_device_can_be_bent(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """A member missing, another name, something that is no number of seconds."""
    server.device_parameters = {
        "interval": None,
        "verification_uri": None,
        "verification_url": "javascript:alert(1)",
        "expires_in": "0",
    }
    begun = await begin(session, server)
    assert "interval" not in begun
    assert "verification_uri" not in begun
    assert (begun["verification_url"], begun["expires_in"]) == ("javascript:alert(1)", "0")


async def test_a_person_decides_on_a_page(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """It has the code that was in the address, and does nothing before it is sent."""
    for verdict, outcome in (("approve", ""), ("decline", "access_denied")):
        begun = await begin(session, server)
        async with session.get(begun["verification_uri_complete"]) as response:
            assert response.content_type == "text/html"
            assert f'value="{begun["user_code"]}"' in await response.text()
        server.device_interval = 0
        form = {"user_code": begun["user_code"], "verdict": verdict}
        async with session.post(begun["verification_uri"], data=form) as response:
            assert "Done" in await response.text()
        assert await poll(session, server, begun["device_code"]) == outcome
    assert server.requests["verification"] == 4


async def test_a_code_that_no_device_shows_is_named(
    server: AuthorizationServer, session: aiohttp.ClientSession
) -> None:
    """By the methods, and on the page, where it is escaped."""
    for decide in (server.approve, server.decline):
        with pytest.raises(ValueError, match="No device waits with the user code AB"):
            decide("AB")
    form = {"user_code": "<b>", "verdict": "approve"}
    async with session.post(server.url + "/device", data=form) as response:
        page = await response.text()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
