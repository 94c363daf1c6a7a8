"""What npm better-auth does, asked by hand: the ground on which the flows are judged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from better_auth_server import BetterAuthServer
from browser import Chromium, chromium
from plain_client import DEVICE_GRANT, Answer, CodeRequest, ask, bearer, landing

__all__ = ("chromium",)

OFFLINE = "openid offline_access read"


class Device:
    """Something without a browser, that asks by hand."""

    def __init__(self, server: BetterAuthServer) -> None:
        self.server = server
        self.client = {"client_id": server.native_client_id}
        self.codes: dict[str, Any] = {}

    async def begin(self) -> dict[str, Any]:
        """Ask for the codes."""
        form = {**self.client, "scope": OFFLINE}
        answer = await ask(self.server.device_authorization_endpoint, form)
        assert answer.status == 200, answer
        self.codes = answer.json
        return self.codes

    async def poll(self) -> Answer:
        """Ask for the token once."""
        device_code = self.codes["device_code"]
        form = {**self.client, "grant_type": DEVICE_GRANT, "device_code": device_code}
        return await ask(self.server.token_endpoint, form)

    async def tokens(self) -> dict[str, Any]:
        """The token response after the person has approved."""
        codes = await self.begin()
        await asyncio.to_thread(self.server.approve, codes["user_code"])
        answer = await self.poll()
        assert answer.status == 200, answer
        return answer.json

    async def refresh(self, refresh_token: str) -> Answer:
        """What a refresh leads to."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await ask(self.server.token_endpoint, {**self.client, **form})


async def status_of(server: BetterAuthServer, token: str) -> int:
    """How the resource answers to the token."""
    return (await ask(server.resource, headers=bearer(token))).status


@pytest.mark.parametrize(
    "path",
    [
        "/api/auth/.well-known/openid-configuration",
        "/api/auth/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/api/auth",
    ],
)
async def test_metadata_stands_before_and_after_the_path(
    better_auth_server: BetterAuthServer, path: str
) -> None:
    """With the endpoints that the fixture names, and an issuer that has a path."""
    metadata = (await ask(f"{better_auth_server.url}{path}")).json
    for name in (
        "issuer",
        "authorization_endpoint",
        "token_endpoint",
        "device_authorization_endpoint",
        "revocation_endpoint",
    ):
        assert metadata[name] == getattr(better_auth_server, name)


async def test_openid_metadata_is_not_inserted(better_auth_server: BetterAuthServer) -> None:
    """OpenID's path is only appended; a client that looks there first gets 404."""
    url = f"{better_auth_server.url}/.well-known/openid-configuration/api/auth"
    assert (await ask(url)).status == 404


async def test_a_second_poll_at_once_is_too_early(better_auth_server: BetterAuthServer) -> None:
    """Until the interval is over; then the person's yes is seen, once. RFC 8628 section 3.5."""
    better_auth_server.set_interval(1)
    device = Device(better_auth_server)
    codes = await device.begin()
    assert codes["interval"] == 1
    assert codes["verification_uri"] == f"{better_auth_server.url}/device"
    pending = await device.poll()
    assert (pending.status, pending.json["error"]) == (400, "authorization_pending")
    early = await device.poll()
    assert (early.status, early.json["error"]) == (400, "slow_down")
    await asyncio.to_thread(better_auth_server.approve, codes["user_code"])
    while (answer := await device.poll()).status != 200:
        assert answer.json["error"] == "slow_down"
        await asyncio.sleep(0.1)
    assert "refresh_token" in answer.json
    assert (await device.poll()).json["error"] == "invalid_grant"


async def test_the_usual_interval_is_five_seconds(better_auth_server: BetterAuthServer) -> None:
    """A test that changed it has not changed it for the next."""
    assert (await Device(better_auth_server).begin())["interval"] == 5


async def test_a_device_is_told_that_the_person_declined(
    better_auth_server: BetterAuthServer,
) -> None:
    """RFC 8628 section 3.5, access_denied."""
    device = Device(better_auth_server)
    codes = await device.begin()
    await asyncio.to_thread(better_auth_server.decline, codes["user_code"])
    declined = await device.poll()
    assert (declined.status, declined.json["error"]) == (400, "access_denied")


async def test_a_device_code_expires(better_auth_server: BetterAuthServer) -> None:
    """RFC 8628 section 3.5, expired_token."""
    better_auth_server.set_lifetime(1, "device_code")
    device = Device(better_auth_server)
    assert (await device.begin())["expires_in"] == 1
    await asyncio.sleep(1.1)
    expired = await device.poll()
    assert (expired.status, expired.json["error"]) == (400, "expired_token")


async def test_a_person_enters_the_code_in_a_browser(
    better_auth_server: BetterAuthServer, chromium: Chromium
) -> None:
    """By the plain address and by the complete one; yes and no."""
    server = better_auth_server
    async with chromium.person() as person:
        device = Device(server)
        codes = await device.begin()
        await person.approves(codes["verification_uri"], server, codes["user_code"])
        assert (await device.poll()).status == 200
        await person.denies((await device.begin())["verification_uri_complete"], server)
        assert (await device.poll()).json["error"] == "access_denied"


async def test_a_person_signs_in_at_a_native_client(
    better_auth_server: BetterAuthServer, chromium: Chromium
) -> None:
    """State and iss come back; the second use of a code is refused and ends what it gave."""
    server = better_auth_server
    async with chromium.person() as person, landing() as place:
        request = CodeRequest(server.native_client_id, place.redirect_uri, OFFLINE)
        await person.approves(request.url(server.authorization_endpoint), server)
        (received,) = place.received
        assert (received["state"], received["iss"]) == (request.params["state"], server.issuer)
        form = request.exchange(received["code"])
        token = (await ask(server.token_endpoint, form)).json
        assert await status_of(server, token["access_token"]) == 200
        again = await ask(server.token_endpoint, form)
        assert again.json["error"] == "invalid_grant"
        request = CodeRequest(server.native_client_id, place.redirect_uri, "openid write")
        await person.denies(request.url(server.authorization_endpoint), server)
        assert place.received[1]["error"] == "access_denied"
        assert place.received[1]["iss"] == server.issuer


async def test_an_old_refresh_token_ends_the_family(better_auth_server: BetterAuthServer) -> None:
    """Each refresh rotates it; the second use kills the new one."""
    device = Device(better_auth_server)
    first = await device.tokens()
    second = await device.refresh(first["refresh_token"])
    assert second.status == 200
    assert second.json["refresh_token"] != first["refresh_token"]
    for old in (first["refresh_token"], second.json["refresh_token"]):
        refused = await device.refresh(old)
        assert (refused.status, refused.json["error"]) == (400, "invalid_grant")
    assert await status_of(better_auth_server, second.json["access_token"]) == 401


async def test_a_revoked_token_is_worth_nothing(better_auth_server: BetterAuthServer) -> None:
    """RFC 7009, by a public client."""
    device = Device(better_auth_server)
    token = await device.tokens()
    form = {**device.client, "token": token["refresh_token"], "token_type_hint": "refresh_token"}
    assert (await ask(better_auth_server.revocation_endpoint, form)).status == 200
    assert (await device.refresh(token["refresh_token"])).json["error"] == "invalid_grant"


async def test_tokens_die_behind_the_back_of_the_client(
    better_auth_server: BetterAuthServer,
) -> None:
    """Access tokens by age or all at once, then the refresh token."""
    device = Device(better_auth_server)
    first = await device.tokens()
    better_auth_server.revoke_all()
    assert await status_of(better_auth_server, first["access_token"]) == 401
    better_auth_server.set_lifetime(1)
    second = (await device.refresh(first["refresh_token"])).json
    assert second["expires_in"] == 1
    while await status_of(better_auth_server, second["access_token"]) == 200:
        await asyncio.sleep(0.1)
    better_auth_server.revoke_refresh_tokens()
    refused = await device.refresh(second["refresh_token"])
    assert refused.json["error"] == "invalid_grant"
    assert better_auth_server.token_requests() == 3
