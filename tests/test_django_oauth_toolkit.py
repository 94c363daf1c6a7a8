"""The client against django-oauth-toolkit: a server that this project had no hand in."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from django_server import DjangoServer
from fakes import FakeClock

from aioalf import (
    Client,
    ClientSecretBasic,
    ClientSecretBasicRaw,
    ClientSecretPost,
    TokenHTTPError,
    TokenManager,
)
from aioalf.protocol.client_auth import ClientAuth


def client_of(server: DjangoServer, **options: Any) -> Client:
    """A client with the server's confidential application."""
    return Client(server.client_id, server.client_secret, server.token_endpoint, **options)


async def test_a_token_is_fetched_and_then_reused(django_server: DjangoServer) -> None:
    """Three requests, one token request; RFC 6749 section 4.4."""
    async with client_of(django_server) as client:
        for _ in range(3):
            async with client.get(django_server.resource) as response:
                assert response.status == 200
                assert (await response.json())["client_id"] == django_server.client_id
    assert django_server.token_requests() == 1


@pytest.mark.parametrize("client_auth", [ClientSecretBasic(), ClientSecretPost()], ids=repr)
async def test_a_secret_of_reserved_and_foreign_characters_is_understood(
    django_server: DjangoServer, client_auth: ClientAuth
) -> None:
    """Both ways of RFC 6749 section 2.3.1, with ``+ / = % :``, a space and a letter like é."""
    assert set("+/=%: é") <= set(django_server.client_secret)
    async with client_of(django_server, client_auth=client_auth) as client:
        async with client.get(django_server.resource) as response:
            assert response.status == 200


async def test_raw_basic_credentials_are_refused_by_a_server_that_decodes_them(
    django_server: DjangoServer,
) -> None:
    """The raw variant is for servers that do not decode, and this one does."""
    raw = ClientSecretBasicRaw()
    async with client_of(django_server, client_auth=raw, raise_token_errors=True) as client:
        with pytest.raises(TokenHTTPError) as caught:
            await client.get(django_server.resource)
    assert caught.value.error == "invalid_client"


async def test_a_revoked_token_is_renewed_and_the_request_sent_once_more(
    django_server: DjangoServer,
) -> None:
    """The 401 that a revocation causes never reaches the caller; the body goes out whole."""
    async with client_of(django_server) as client:
        await (await client.get(django_server.resource)).read()
        django_server.revoke_all()
        async with client.post(django_server.resource, data=b"still here") as response:
            assert response.status == 200
            assert (await response.json())["body"] == "still here"
    assert django_server.log().count("POST /resource") == 2
    assert django_server.token_requests() == 2


async def test_a_revocation_under_many_tasks_costs_one_token_request(
    django_server: DjangoServer,
) -> None:
    """Thirty requests find their token revoked: all are answered 200."""
    async with client_of(django_server) as client:
        await (await client.get(django_server.resource)).read()
        django_server.revoke_all()

        async def status() -> int:
            async with client.get(django_server.resource) as response:
                return response.status

        assert set(await asyncio.gather(*(status() for _ in range(30)))) == {200}
    assert django_server.token_requests() == 2


async def test_an_expired_token_is_replaced_before_it_is_sent(
    django_server: DjangoServer, clock: FakeClock
) -> None:
    """The server's ``expires_in`` is what is gone by, and no 401 is needed."""
    django_server.set_lifetime(30)
    async with client_of(django_server, clock=clock) as client:
        await (await client.get(django_server.resource)).read()
        clock.advance(31)
        await (await client.get(django_server.resource)).read()
    assert django_server.token_requests() == 2
    assert django_server.log().count("GET /resource") == 2


async def test_the_scope_asked_for_is_the_scope_granted(django_server: DjangoServer) -> None:
    """A list becomes one string; RFC 6749 section 3.3."""
    async with client_of(django_server, scope=["read", "write"]) as client:
        async with client.get(django_server.resource) as response:
            assert sorted((await response.json())["scope"].split()) == ["read", "write"]


async def test_a_scope_that_the_server_does_not_know_is_an_error_of_its_own(
    django_server: DjangoServer,
) -> None:
    """``invalid_scope``; RFC 6749 section 5.2."""
    async with client_of(django_server, scope="fly", raise_token_errors=True) as client:
        with pytest.raises(TokenHTTPError) as caught:
            await client.get(django_server.resource)
    assert caught.value.error == "invalid_scope"
    assert "GET /resource" not in django_server.log()


async def test_a_wrong_secret_is_invalid_client(django_server: DjangoServer) -> None:
    """The error has the wire's facts and not the secret; RFC 6749 section 5.2."""
    wrong = "wr0ng+secret"
    async with TokenManager(
        django_server.token_endpoint, django_server.client_id, wrong
    ) as token_manager:
        with pytest.raises(TokenHTTPError) as caught:
            await token_manager.get_token()
    assert (caught.value.response_status, caught.value.error) == (401, "invalid_client")
    assert isinstance(caught.value, aiohttp.ClientError)
    assert wrong not in str(caught.value) + repr(caught.value)


async def test_the_error_response_is_returned_and_the_real_request_does_not_happen(
    django_server: DjangoServer,
) -> None:
    """What the first documents promised, for callers who did not ask for an exception."""
    wrong = Client(django_server.client_id, "wrong", django_server.token_endpoint)
    async with wrong as client, client.get(django_server.resource) as response:
        assert response.status == 401
        assert (await response.json(content_type=None))["error"] == "invalid_client"
    assert "GET /resource" not in django_server.log()


async def test_a_secret_rotated_at_the_server_is_read_again(django_server: DjangoServer) -> None:
    """A callable secret is asked again on ``invalid_client``: no restart is needed."""
    secrets = [django_server.client_secret, "the new one"]

    async with TokenManager(
        django_server.token_endpoint, django_server.client_id, lambda: secrets[0]
    ) as token_manager:
        first = await token_manager.get_token()
        django_server.rotate_secret("the new one")
        secrets.pop(0)
        await token_manager.reset_token()
        assert await token_manager.get_token() != first
