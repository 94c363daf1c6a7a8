"""What npm oidc-provider does, asked by hand: the ground on which the flows are judged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from browser import Chromium, chromium
from form_person import FormPerson
from jwcrypto.jwk import JWK
from oidc_server import OIDCServer
from plain_client import (
    DEVICE_GRANT,
    JWT_BEARER,
    CodeRequest,
    Landing,
    ask,
    assertion,
    basic,
    bearer,
    landing,
    new_key,
    public,
)

__all__ = ("chromium",)

OFFLINE = "openid offline_access read"


async def signed_in(server: OIDCServer, person: FormPerson, place: Landing) -> dict[str, Any]:
    """The token response after a person has approved the native client."""
    request = CodeRequest(server.native_client_id, place.redirect_uri, OFFLINE, prompt="consent")
    await person.approves(request.url(server.authorization_endpoint))
    form = request.exchange(place.received[-1]["code"])
    answer = await ask(server.token_endpoint, form)
    assert answer.status == 200, answer
    return answer.json


async def device_tokens(server: OIDCServer, person: FormPerson) -> dict[str, Any]:
    """The token response after a person has approved a device."""
    client = {"client_id": server.native_client_id}
    codes = (await ask(server.device_authorization_endpoint, {**client, "scope": OFFLINE})).json
    await person.approves(codes["verification_uri_complete"])
    form = {**client, "grant_type": DEVICE_GRANT, "device_code": codes["device_code"]}
    answer = await ask(server.token_endpoint, form)
    assert answer.status == 200, answer
    return answer.json


async def status_of(server: OIDCServer, token: str) -> int:
    """How the resource answers to the token."""
    return (await ask(server.resource, headers=bearer(token))).status


async def refreshed(
    server: OIDCServer, refresh_token: str, **more: str
) -> tuple[int, dict[str, Any]]:
    """What a refresh by the native client leads to."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **more}
    answer = await ask(server.token_endpoint, {**form, "client_id": server.native_client_id})
    return answer.status, answer.json


@pytest.mark.parametrize("path", ["openid-configuration", "oauth-authorization-server"])
async def test_metadata_stands_at_both_paths(oidc_server: OIDCServer, path: str) -> None:
    """With the endpoints that the fixture names."""
    metadata = (await ask(f"{oidc_server.issuer}/.well-known/{path}")).json
    assert metadata["issuer"] == oidc_server.issuer
    assert metadata["authorization_response_iss_parameter_supported"] is True
    for name in (
        "authorization_endpoint",
        "token_endpoint",
        "device_authorization_endpoint",
        "pushed_authorization_request_endpoint",
        "revocation_endpoint",
    ):
        assert metadata[name] == getattr(oidc_server, name)


@pytest.mark.parametrize("mode", ["query", "form_post"])
async def test_a_person_signs_in_at_a_native_client(
    oidc_server: OIDCServer, chromium: Chromium, mode: str
) -> None:
    """Any port of the loopback address; state and iss come back, and a second use of the code ends it."""
    async with chromium.person() as person, landing() as place:
        request = CodeRequest(
            oidc_server.native_client_id,
            place.redirect_uri,
            OFFLINE,
            prompt="consent",
            response_mode=mode,
        )
        await person.approves(request.url(oidc_server.authorization_endpoint), oidc_server)
        (received,) = place.received
        assert received["state"] == request.params["state"]
        assert received["iss"] == oidc_server.issuer
        form = request.exchange(received["code"])
        token = (await ask(oidc_server.token_endpoint, form)).json
        assert {"access_token", "refresh_token", "id_token"} <= set(token)
        seen = (await ask(oidc_server.resource, headers=bearer(token["access_token"]))).json
        assert (seen["user"], seen["client_id"]) == (
            oidc_server.username,
            oidc_server.native_client_id,
        )
        again = await ask(oidc_server.token_endpoint, form)
        assert (again.status, again.json["error"]) == (400, "invalid_grant")
        assert await status_of(oidc_server, token["access_token"]) == 401


async def test_a_confidential_client_exchanges_its_code_with_its_secret(
    oidc_server: OIDCServer,
) -> None:
    """By client_secret_basic, with PKCE; without the secret it is refused."""
    async with FormPerson(oidc_server) as person, landing("localhost", "") as place:
        request = CodeRequest(oidc_server.client_id, place.redirect_uri, "openid read")
        await person.approves(request.url(oidc_server.authorization_endpoint))
        form = request.exchange(place.received[0]["code"])
        refused = await ask(oidc_server.token_endpoint, form)
        assert (refused.status, refused.json["error"]) == (401, "invalid_client")
        headers = basic(oidc_server.client_id, oidc_server.client_secret)
        answer = await ask(oidc_server.token_endpoint, form, headers=headers)
        assert answer.status == 200
        assert "refresh_token" not in answer.json


async def test_a_refusal_comes_back_with_state_and_iss(oidc_server: OIDCServer) -> None:
    """RFC 6749 section 4.1.2.1 and RFC 9207."""
    async with FormPerson(oidc_server) as person, landing() as place:
        request = CodeRequest(oidc_server.native_client_id, place.redirect_uri, "openid")
        await person.denies(request.url(oidc_server.authorization_endpoint))
        assert place.received[0]["error"] == "access_denied"
        assert place.received[0]["state"] == request.params["state"]
        assert place.received[0]["iss"] == oidc_server.issuer


async def test_an_old_refresh_token_ends_the_family(oidc_server: OIDCServer) -> None:
    """Each refresh rotates it; a narrower scope is granted; the second use kills the new one."""
    async with FormPerson(oidc_server) as person, landing() as place:
        first = await signed_in(oidc_server, person, place)
    status, second = await refreshed(oidc_server, first["refresh_token"], scope="openid read")
    assert status == 200
    assert second["refresh_token"] != first["refresh_token"]
    assert await status_of(oidc_server, second["access_token"]) == 200
    status, error = await refreshed(oidc_server, first["refresh_token"])
    assert (status, error["error"]) == (400, "invalid_grant")
    status, error = await refreshed(oidc_server, second["refresh_token"])
    assert (status, error["error"]) == (400, "invalid_grant")
    assert await status_of(oidc_server, second["access_token"]) == 401


async def test_a_device_waits_until_its_code_is_approved(
    oidc_server: OIDCServer, chromium: Chromium
) -> None:
    """No interval is named, and no poll is too early; RFC 8628."""
    client = {"client_id": oidc_server.native_client_id}
    asked = await ask(oidc_server.device_authorization_endpoint, {**client, "scope": OFFLINE})
    codes = asked.json
    assert "interval" not in codes
    form = {**client, "grant_type": DEVICE_GRANT, "device_code": codes["device_code"]}
    for _ in range(2):
        pending = await ask(oidc_server.token_endpoint, form)
        assert (pending.status, pending.json["error"]) == (400, "authorization_pending")
    async with chromium.person() as person:
        await person.approves(codes["verification_uri"], oidc_server, codes["user_code"])
    token = await ask(oidc_server.token_endpoint, form)
    assert token.status == 200
    assert "refresh_token" in token.json


async def test_a_device_is_told_that_the_person_declined(oidc_server: OIDCServer) -> None:
    """By the complete address, which has the code in it."""
    client = {"client_id": oidc_server.native_client_id}
    codes = (await ask(oidc_server.device_authorization_endpoint, client)).json
    async with FormPerson(oidc_server) as person:
        await person.denies(codes["verification_uri_complete"])
    form = {**client, "grant_type": DEVICE_GRANT, "device_code": codes["device_code"]}
    declined = await ask(oidc_server.token_endpoint, form)
    assert (declined.status, declined.json["error"]) == (400, "access_denied")


async def test_a_device_code_expires(oidc_server: OIDCServer) -> None:
    """The lifetime of each kind of token is the test's choice."""
    oidc_server.set_lifetime(1, "device_code")
    client = {"client_id": oidc_server.native_client_id}
    codes = (await ask(oidc_server.device_authorization_endpoint, client)).json
    assert codes["expires_in"] == 1
    form = {**client, "grant_type": DEVICE_GRANT, "device_code": codes["device_code"]}
    while (answer := await ask(oidc_server.token_endpoint, form)).json[
        "error"
    ] == "authorization_pending":
        await asyncio.sleep(0.1)
    assert answer.json["error"] in ("expired_token", "invalid_grant")


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_a_signed_assertion_is_taken_once(oidc_server: OIDCServer, algorithm: str) -> None:
    """The same ``jti`` again is 401; RFC 7523 section 3."""
    key = new_key(algorithm)
    client_id = oidc_server.register_key(public(key))
    signed = assertion(client_id, oidc_server.issuer, key, algorithm)
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": JWT_BEARER,
        "client_assertion": signed,
    }
    answer = await ask(oidc_server.token_endpoint, form)
    assert answer.status == 200
    assert await status_of(oidc_server, answer.json["access_token"]) == 200
    again = await ask(oidc_server.token_endpoint, form)
    assert (again.status, again.json["error"]) == (401, "invalid_client")


async def test_each_way_to_use_a_secret_has_its_client(oidc_server: OIDCServer) -> None:
    """client_secret_basic, client_secret_post and client_secret_jwt; another way is refused."""
    server, grant = oidc_server, {"grant_type": "client_credentials", "scope": "read"}
    headers = basic(server.client_id, server.client_secret)
    posted = {"client_id": server.post_client_id, "client_secret": server.client_secret}
    key = JWK.from_password(server.client_secret)
    signed = assertion(server.jwt_client_id, server.token_endpoint, key, "HS256")
    asserted = {"client_assertion_type": JWT_BEARER, "client_assertion": signed}
    assert (await ask(server.token_endpoint, grant, headers=headers)).status == 200
    assert (await ask(server.token_endpoint, {**grant, **posted})).status == 200
    assert (await ask(server.token_endpoint, {**grant, **asserted})).status == 200
    posted["client_id"] = server.jwt_client_id
    assert (await ask(server.token_endpoint, {**grant, **posted})).status == 401


async def test_a_pushed_request_stands_for_its_parameters(oidc_server: OIDCServer) -> None:
    """RFC 9126; a client that must push is refused without."""
    headers = basic(oidc_server.par_client_id, oidc_server.client_secret)
    async with FormPerson(oidc_server) as person, landing() as place:
        request = CodeRequest(oidc_server.par_client_id, place.redirect_uri, "openid")
        endpoint = oidc_server.pushed_authorization_request_endpoint
        pushed = await ask(endpoint, request.params, headers=headers)
        assert (pushed.status, pushed.json["expires_in"]) == (201, 60)
        await person.approves(request.url(oidc_server.authorization_endpoint))
        assert place.received[0]["error"] == "invalid_request"
        form = request.exchange("")
        request.params = {
            "client_id": oidc_server.par_client_id,
            "request_uri": pushed.json["request_uri"],
        }
        await person.approves(request.url(oidc_server.authorization_endpoint))
        form["code"] = place.received[1]["code"]
        assert (await ask(oidc_server.token_endpoint, form, headers=headers)).status == 200


async def test_a_revoked_token_is_worth_nothing(oidc_server: OIDCServer) -> None:
    """RFC 7009: with a refresh token goes its grant; an unknown token is 200 as well."""
    async with FormPerson(oidc_server) as person:
        token = await device_tokens(oidc_server, person)
    client = {"client_id": oidc_server.native_client_id}
    for revoked in (token["refresh_token"], "unknown"):
        answer = await ask(oidc_server.revocation_endpoint, {**client, "token": revoked})
        assert (answer.status, answer.json) == (200, {})
    assert await status_of(oidc_server, token["access_token"]) == 401
    assert (await refreshed(oidc_server, token["refresh_token"]))[0] == 400


async def test_tokens_die_behind_the_back_of_the_client(oidc_server: OIDCServer) -> None:
    """Access tokens by age or all at once, then the refresh token."""
    async with FormPerson(oidc_server) as person:
        first = await device_tokens(oidc_server, person)
    oidc_server.revoke_all()
    assert await status_of(oidc_server, first["access_token"]) == 401
    oidc_server.set_lifetime(2)
    status, second = await refreshed(oidc_server, first["refresh_token"])
    assert (status, second["expires_in"]) == (200, 2)
    while await status_of(oidc_server, second["access_token"]) == 200:
        await asyncio.sleep(0.1)
    oidc_server.revoke_refresh_tokens()
    status, error = await refreshed(oidc_server, second["refresh_token"])
    assert (status, error["error"]) == (400, "invalid_grant")
    assert oidc_server.token_requests() == 3
