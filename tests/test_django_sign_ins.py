"""What django-oauth-toolkit does with codes, devices and refresh tokens, asked by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from browser import Chromium, chromium
from django_server import DjangoServer
from form_person import FormPerson
from plain_client import DEVICE_GRANT, Answer, CodeRequest, Landing, ask, basic, bearer, landing

__all__ = ("chromium",)


async def status_of(server: DjangoServer, token: str) -> int:
    """How the resource answers to the token."""
    return (await ask(server.resource, headers=bearer(token))).status


async def signed_in(
    server: DjangoServer, person: FormPerson, place: Landing, client_id: str, **options: Any
) -> Answer:
    """What the exchange leads to after a person has approved."""
    request = CodeRequest(client_id, place.redirect_uri, "read")
    await person.approves(request.url(server.authorization_endpoint))
    received = place.received[-1]
    assert (received["state"], received["iss"]) == (request.params["state"], server.issuer)
    return await ask(server.token_endpoint, request.exchange(received["code"]), **options)


async def device_tokens(server: DjangoServer, person: FormPerson) -> dict[str, Any]:
    """The token response after a person has approved a device."""
    client = {"client_id": server.device_client_id}
    codes = (await ask(server.device_authorization_endpoint, {**client, "scope": "read"})).json
    await person.approves(codes["verification_uri"], codes["user_code"])
    form = {**client, "grant_type": DEVICE_GRANT, "device_code": codes["device_code"]}
    answer = await ask(server.token_endpoint, form)
    assert answer.status == 200, answer
    return answer.json


async def refreshed(server: DjangoServer, refresh_token: str) -> Answer:
    """What a refresh by the device leads to."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return await ask(server.token_endpoint, {**form, "client_id": server.device_client_id})


async def test_metadata_stands_at_the_path_of_rfc_8414(django_server: DjangoServer) -> None:
    """Not at OpenID's, and without the device endpoint."""
    url = f"{django_server.issuer}/.well-known/oauth-authorization-server"
    metadata = (await ask(url)).json
    assert metadata["issuer"] == django_server.issuer
    assert metadata["authorization_response_iss_parameter_supported"] is True
    for name in ("authorization_endpoint", "token_endpoint", "revocation_endpoint"):
        assert metadata[name] == getattr(django_server, name)
    assert "device_authorization_endpoint" not in metadata


async def test_a_person_signs_in_at_a_native_client(
    django_server: DjangoServer, chromium: Chromium
) -> None:
    """In a browser; with any port of 127.0.0.1 and a path that is registered. A code is good once."""
    async with chromium.person() as person, landing(path="") as place:
        request = CodeRequest(django_server.native_client_id, place.redirect_uri, "read")
        url = request.url(django_server.authorization_endpoint)
        assert await person.approves(url, django_server) == "Landed."
        form = request.exchange(place.received[0]["code"])
        answer = await ask(django_server.token_endpoint, form)
        assert "refresh_token" in answer.json
        assert await status_of(django_server, answer.json["access_token"]) == 200
        again = await ask(django_server.token_endpoint, form)
        assert (again.status, again.json["error"]) == (400, "invalid_grant")


async def test_a_confidential_client_needs_its_secret_and_pkce(django_server: DjangoServer) -> None:
    """The secret by client_secret_basic, form-encoded."""
    client_id = django_server.web_client_id
    headers = basic(client_id, django_server.client_secret)
    async with FormPerson(django_server) as person, landing() as place:
        answer = await signed_in(django_server, person, place, client_id, headers=headers)
        assert answer.status == 200
        answer = await signed_in(django_server, person, place, client_id)
        assert (answer.status, answer.json["error"]) == (401, "invalid_client")
        request = CodeRequest(client_id, place.redirect_uri, "read")
        del request.params["code_challenge"]
        await person.approves(request.url(django_server.authorization_endpoint))
        assert place.received[-1]["error"] == "invalid_request"


async def test_a_refusal_comes_back_with_state_and_without_iss(django_server: DjangoServer) -> None:
    """RFC 6749 section 4.1.2.1. RFC 9207 asks for ``iss`` here too, and the metadata promises it."""
    async with FormPerson(django_server) as person, landing() as place:
        request = CodeRequest(django_server.native_client_id, place.redirect_uri, "read")
        await person.denies(request.url(django_server.authorization_endpoint))
        assert place.received[0]["error"] == "access_denied"
        assert place.received[0]["state"] == request.params["state"]
        assert "iss" not in place.received[0]


async def test_an_old_refresh_token_ends_the_family_after_its_grace_period(
    django_server: DjangoServer,
) -> None:
    """Inside it the same answer comes once more: what a client needs that lost the first."""
    async with FormPerson(django_server) as person:
        first = await device_tokens(django_server, person)
    django_server.set_grace_period(600)
    second = (await refreshed(django_server, first["refresh_token"])).json
    again = await refreshed(django_server, first["refresh_token"])
    assert again.status == 200
    assert again.json["refresh_token"] == second["refresh_token"]
    django_server.set_grace_period(0)
    for old in (first["refresh_token"], second["refresh_token"]):
        refused = await refreshed(django_server, old)
        assert (refused.status, refused.json["error"]) == (400, "invalid_grant")


async def test_a_device_waits_until_its_code_is_approved(
    django_server: DjangoServer, chromium: Chromium
) -> None:
    """An interval of 5 s is named, and no poll is too early; RFC 8628."""
    client = {"client_id": django_server.device_client_id}
    codes = (await ask(django_server.device_authorization_endpoint, client)).json
    assert codes["interval"] == 5
    form = {**client, "grant_type": DEVICE_GRANT, "device_code": codes["device_code"]}
    for _ in range(2):
        pending = await ask(django_server.token_endpoint, form)
        assert (pending.status, pending.json["error"]) == (400, "authorization_pending")
    async with chromium.person() as person:
        await person.denies(codes["verification_uri"], django_server, codes["user_code"])
        declined = await ask(django_server.token_endpoint, form)
        assert (declined.status, declined.json["error"]) == (400, "access_denied")
        codes = (await ask(django_server.device_authorization_endpoint, client)).json
        await person.approves(codes["verification_uri"], django_server, codes["user_code"])
    form["device_code"] = codes["device_code"]
    assert (await ask(django_server.token_endpoint, form)).status == 200


@pytest.mark.parametrize("hint", ["refresh_token", "access_token"])
async def test_a_revoked_token_is_worth_nothing(django_server: DjangoServer, hint: str) -> None:
    """RFC 7009; with one of the two tokens goes the other, whichever it is."""
    async with FormPerson(django_server) as person:
        token = await device_tokens(django_server, person)
    form = {"client_id": django_server.device_client_id, "token_type_hint": hint}
    revoked = await ask(django_server.revocation_endpoint, {**form, "token": token[hint]})
    assert revoked.status == 200
    assert await status_of(django_server, token["access_token"]) == 401
    assert (await refreshed(django_server, token["refresh_token"])).status == 400


async def test_tokens_die_behind_the_back_of_the_client(django_server: DjangoServer) -> None:
    """Access tokens by age or all at once, then the refresh token; it goes with a revoked one."""
    async with FormPerson(django_server) as person:
        first = await device_tokens(django_server, person)
    django_server.expire_all()
    assert await status_of(django_server, first["access_token"]) == 401
    django_server.set_lifetime(1)
    second = (await refreshed(django_server, first["refresh_token"])).json
    assert second["expires_in"] == 1
    while await status_of(django_server, second["access_token"]) == 200:
        await asyncio.sleep(0.1)
    third = (await refreshed(django_server, second["refresh_token"])).json
    django_server.revoke_all()
    refused = await refreshed(django_server, third["refresh_token"])
    assert (refused.status, refused.json["error"]) == (400, "invalid_grant")
    assert django_server.token_requests() == 4


async def test_a_refresh_token_ends_alone(django_server: DjangoServer) -> None:
    """And its access token lives on."""
    async with FormPerson(django_server) as person:
        token = await device_tokens(django_server, person)
    django_server.revoke_refresh_tokens()
    assert await status_of(django_server, token["access_token"]) == 200
    refused = await refreshed(django_server, token["refresh_token"])
    assert (refused.status, refused.json["error"]) == (400, "invalid_grant")
