"""Sign-ins for real: headless Chromium, and somebody else's authorization servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from better_auth_server import BetterAuthServer
from browser import Account, Chromium, Person, chromium
from django_server import DjangoServer
from fake_browser import post_answer
from fakes import FakeClock
from form_person import FormPerson
from oidc_server import OIDCServer
from processes import python

from aioalf import (
    AuthorizationCodeTokenManager,
    AuthorizationError,
    Client,
    DeviceCode,
    DeviceTokenManager,
    FileTokenStorage,
    SignInRequired,
    TokenHTTPError,
    TokenStorage,
)

__all__ = ("chromium",)

SIGNED_IN = "You are signed in."
AT_OIDC = {
    "scope": "openid offline_access",
    "port_range": None,
    "redirect_host": "127.0.0.1",
    "authorization_params": {"prompt": "consent"},
}
AT_DJANGO = {"scope": "read", "port_range": None, "redirect_host": "127.0.0.1"}


def at_oidc(server: OIDCServer, **options: Any) -> AuthorizationCodeTokenManager:
    """Make a manager for oidc-provider, which knows the issuer alone."""
    given = {"issuer": server.issuer, "client_id": server.native_client_id, **AT_OIDC}
    return AuthorizationCodeTokenManager(**{**given, **options})


def at_django(server: DjangoServer, **options: Any) -> AuthorizationCodeTokenManager:
    """Make a manager for django-oauth-toolkit, which knows the issuer alone."""
    given = {"issuer": server.issuer, "client_id": server.native_client_id, **AT_DJANGO}
    return AuthorizationCodeTokenManager(**{**given, **options})


@contextlib.asynccontextmanager
async def signing_in(
    one: AuthorizationCodeTokenManager, person: Person
) -> AsyncIterator[tuple[asyncio.Future[Any], str]]:
    """A manager that waits for somebody, and the address that it wants opened."""
    already = len(person.opened)
    asking = asyncio.ensure_future(one.get())
    try:
        yield asking, await person.asked(already + 1)
    finally:
        asking.cancel()
        await asyncio.wait({asking})


# -- in Chromium


# Refreshes what is stored, silently, and says how the resource answers.
SECOND_PROCESS = """
import asyncio, json
from aioalf import AuthorizationCodeTokenManager, Client, FileTokenStorage

async def main():
    options, path, resource = json.loads(sys.argv[1])
    storage = FileTokenStorage(path)
    one = AuthorizationCodeTokenManager(token_storage=storage, unattended=True, **options)
    async with one, Client(token_manager=one) as client:
        before = await one.get()
        await one.reset_token()
        assert (await one.get()).access_token != before.access_token
        async with client.get(resource) as response:
            print(response.status)

asyncio.run(main())
"""


@pytest.mark.parametrize("at", ["oidc-provider", "django-oauth-toolkit"])
async def test_a_person_signs_in_and_out_in_a_browser(
    oidc_server: OIDCServer,
    django_server: DjangoServer,
    chromium: Chromium,
    at: str,
    tmp_path: Path,
) -> None:
    """A second process refreshes silently; after a revocation they sign in again; then they sign out."""
    server: Any = oidc_server if at == "oidc-provider" else django_server
    options: dict[str, Any] = AT_OIDC if at == "oidc-provider" else AT_DJANGO
    options = {"issuer": server.issuer, "client_id": server.native_client_id, **options}
    storage = FileTokenStorage(tmp_path / "token")
    async with chromium.person() as person:
        one = AuthorizationCodeTokenManager(
            open_browser=person.open, token_storage=storage, **options
        )
        async with one, Client(token_manager=one) as client:
            async with signing_in(one, person) as (asking, url):
                assert await person.approves(url, server) == SIGNED_IN
                await asking
            assert (await client.get(server.resource)).status == 200
            assert "code=" not in "".join(await person.back_list())

            order = json.dumps([options, str(tmp_path / "token"), server.resource])
            process = python(SECOND_PROCESS, order)
            said, _ = await asyncio.to_thread(process.communicate)
            assert said == "200\n"
            assert len(person.opened) == 1

            server.revoke_refresh_tokens()
            server.revoke_all()
            asking = asyncio.ensure_future(one.reset_token())
            assert await person.approves(await person.asked(2), server) == SIGNED_IN
            await asking
            assert (await client.get(server.resource)).status == 200
            token = await one.get()

            await one.revoke()
            headers = {"Authorization": f"Bearer {token.access_token}"}
            async with client.session.get(server.resource, headers=headers) as response:
                assert response.status == 401
    async with AuthorizationCodeTokenManager(
        token_storage=storage, unattended=True, **options
    ) as two:
        with pytest.raises(SignInRequired):
            await two.get()


async def test_the_code_can_be_posted_at_oidc_provider(
    oidc_server: OIDCServer, chromium: Chromium
) -> None:
    """``form_post`` keeps it out of the browser's history."""
    async with chromium.person() as person:
        async with (
            at_oidc(oidc_server, open_browser=person.open, response_mode="form_post") as one,
            signing_in(one, person) as (asking, url),
        ):
            assert await person.approves(url, oidc_server) == SIGNED_IN
            await asking
            assert "code=" not in "".join(await person.back_list())


@pytest.mark.parametrize("at", [at_oidc, at_django])
async def test_a_person_denies(
    oidc_server: OIDCServer, django_server: DjangoServer, chromium: Chromium, at: Any
) -> None:
    """Django's error carries no iss though it promises one: a refusal all the same."""
    server: Account = oidc_server if at is at_oidc else django_server
    async with chromium.person() as person:
        async with (
            at(server, open_browser=person.open) as one,
            signing_in(one, person) as (asking, url),
        ):
            assert await person.denies(url, server) == "You are not signed in."
            with pytest.raises(AuthorizationError, match=r"refused \(access_denied\)"):
                await asking


@pytest.mark.parametrize("at", [at_oidc, at_django])
async def test_a_forged_answer_does_not_end_a_sign_in(
    oidc_server: OIDCServer, django_server: DjangoServer, chromium: Chromium, at: Any
) -> None:
    """Rules 14 and 15: another page of the browser tries, and the person signs in afterwards."""
    server: Account = oidc_server if at is at_oidc else django_server
    async with chromium.person() as person:
        async with (
            at(server, open_browser=person.open) as one,
            signing_in(one, person) as (asking, url),
        ):
            redirect = url.partition("redirect_uri=")[2].partition("&")[0]
            redirect = redirect.replace("%3A", ":").replace("%2F", "/")
            forged = f"{redirect}/?code=stolen&state=guessed"
            assert "not the sign-in" in await person.visits(forged)
            async with post_answer(redirect, [["error", "x"], ["state", "guessed"]]):
                pass
            assert not asking.done()
            assert await person.approves(url, server) == SIGNED_IN
            await asking


# -- at real servers, without a window


async def test_a_refresh_token_that_was_revoked_leads_to_a_new_sign_in(
    oidc_server: OIDCServer,
) -> None:
    """Nobody is asked before that."""
    async with FormPerson(oidc_server) as person:
        async with at_oidc(oidc_server, open_browser=person.open) as one:
            first = await one.get()
            oidc_server.revoke_refresh_tokens()
            await one.reset_token()
            assert (await one.get()).access_token != first.access_token
        assert len(person.opened) == 2


async def test_a_client_that_must_push_its_requests_does(oidc_server: OIDCServer) -> None:
    """RFC 9126, at a server that is strict."""
    async with FormPerson(oidc_server) as person:
        options = {
            "client_id": oidc_server.par_client_id,
            "client_secret": oidc_server.client_secret,
        }
        async with at_oidc(oidc_server, open_browser=person.open, par=True, **options) as one:
            await one.get()
        assert "request_uri=" in person.opened[0]
        assert "code_challenge" not in person.opened[0]


async def test_a_confidential_client_signs_in_with_odd_characters(
    oidc_server: OIDCServer,
) -> None:
    """Id and secret are full of what a sloppy encoder ruins."""
    async with FormPerson(oidc_server) as person:
        options = {"client_id": oidc_server.client_id, "client_secret": oidc_server.client_secret}
        async with at_oidc(oidc_server, open_browser=person.open, **options) as one:
            await one.get()
            await one.reset_token()


async def test_an_old_refresh_token_ends_all_and_the_person_signs_in_again(
    oidc_server: OIDCServer,
) -> None:
    """Rule 28: whoever has it, the server lets nobody go on."""
    storage = TokenStorage()
    async with FormPerson(oidc_server) as person:
        options = {"open_browser": person.open, "token_storage": storage}
        async with at_oidc(oidc_server, **options) as one:
            await one.get()
            stolen = storage.token
            await one.reset_token()
            storage.token = stolen
        async with at_oidc(oidc_server, **options) as two:
            await two.reset_token()  # the old one is tried, and refused
        assert len(person.opened) == 2


async def test_a_token_is_exchanged_for_nothing_once_it_was_used(
    oidc_server: OIDCServer,
) -> None:
    """Rule 23: a code that arrives twice revokes what it gave; so it is sent once."""
    sent: list[Any] = []

    class Watching(AuthorizationCodeTokenManager):
        async def request_token(self, form: Any) -> Any:
            sent.append(form)
            return await super().request_token(form)

    async with FormPerson(oidc_server) as person:
        given: dict[str, Any] = {"issuer": oidc_server.issuer, **AT_OIDC}
        given |= {"client_id": oidc_server.native_client_id, "open_browser": person.open}
        async with Watching(**given) as one:
            await one.get()
            with pytest.raises(TokenHTTPError, match="invalid_grant"):
                await one.request_token(sent[0])
            async with Client(token_manager=one) as client:
                response = await client.session.get(
                    oidc_server.resource,
                    headers={"Authorization": f"Bearer {(await one.get()).access_token}"},
                )
                assert response.status == 401


# -- a device


async def test_a_device_signs_in_at_better_auth_which_says_slow_down(
    better_auth_server: BetterAuthServer,
) -> None:
    """Rules 1 and 2: a real server slows a device down that asks too soon; its clock tells."""
    shown: list[DeviceCode] = []
    clock = FakeClock()  # its sleeps take no time: to the server each poll comes too soon

    async def approve_later(code: DeviceCode) -> None:
        shown.append(code)

    one = DeviceTokenManager(
        client_id=better_auth_server.native_client_id,
        issuer=better_auth_server.issuer,
        scope="openid",
        prompt=approve_later,
        clock=clock,
        authorization_timeout=120,
    )
    async with one:
        asking = asyncio.ensure_future(one.get())
        while len(clock.sleeps) < 4:
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.wait({asking})
    assert shown[0].user_code
    assert clock.sleeps[0] == 6
    assert sorted(clock.sleeps) == clock.sleeps  # slower and slower
    assert clock.sleeps[-1] >= 11


@pytest.mark.parametrize("verdict", ["approve", "decline"])
async def test_a_person_decides_on_a_device_at_better_auth(
    better_auth_server: BetterAuthServer, verdict: str
) -> None:
    """Its issuer has a path; the addresses of its pages do not."""
    better_auth_server.set_interval(1)

    async def decide(code: DeviceCode) -> None:
        await asyncio.to_thread(getattr(better_auth_server, verdict), code.user_code)

    one = DeviceTokenManager(
        client_id=better_auth_server.native_client_id,
        issuer=better_auth_server.issuer,
        scope="openid",
        prompt=decide,
        clock=FakeClock(),
    )
    async with one:
        if verdict == "decline":
            with pytest.raises(AuthorizationError, match=r"refused \(access_denied\)"):
                await one.get()
            return
        async with Client(token_manager=one) as client:
            assert (await client.get(better_auth_server.resource)).status == 200


async def test_a_device_signs_in_at_oidc_provider_in_a_browser(
    oidc_server: OIDCServer, chromium: Chromium
) -> None:
    """The complete address, in Chromium; then the refresh token does it."""
    async with chromium.person() as person:

        async def show(code: DeviceCode) -> None:
            url = code.verification_uri_complete or code.verification_uri
            await person.approves(url, oidc_server, code.user_code)

        one = DeviceTokenManager(
            issuer=oidc_server.issuer,
            client_id=oidc_server.native_client_id,
            scope="openid offline_access",
            prompt=show,
            clock=FakeClock(),
        )
        async with one, Client(token_manager=one) as client:
            assert (await client.get(oidc_server.resource)).status == 200
            await one.reset_token()
            assert (await client.get(oidc_server.resource)).status == 200


async def test_a_device_signs_in_at_django_oauth_toolkit(django_server: DjangoServer) -> None:
    """Its metadata names no such endpoint: it is given."""
    async with FormPerson(django_server) as person:

        async def show(code: DeviceCode) -> None:
            await person.approves(code.verification_uri, code.user_code)

        one = DeviceTokenManager(
            issuer=django_server.issuer,
            client_id=django_server.device_client_id,
            device_authorization_endpoint=django_server.device_authorization_endpoint,
            scope="read",
            prompt=show,
            clock=FakeClock(),
        )
        async with one, Client(token_manager=one) as client:
            assert (await client.get(django_server.resource)).status == 200
            await one.reset_token()
            assert (await client.get(django_server.resource)).status == 200


@pytest.mark.parametrize("at", ["better-auth", "oidc-provider"])
async def test_a_device_code_runs_out(
    better_auth_server: BetterAuthServer, oidc_server: OIDCServer, at: str
) -> None:
    """After the time that the server has said; nobody came."""
    server: BetterAuthServer | OIDCServer
    server = better_auth_server if at == "better-auth" else oidc_server
    server.set_lifetime(120, "device_code")
    one = DeviceTokenManager(
        issuer=server.issuer,
        client_id=server.native_client_id,
        scope="openid",
        prompt=lambda code: None,
        clock=FakeClock(),
    )
    async with one:
        with pytest.raises(AuthorizationError, match="Nobody signed in within 120 seconds"):
            await one.get()


# -- more of what real servers do


async def test_a_person_signs_in_at_better_auth_whose_issuer_has_a_path(
    better_auth_server: BetterAuthServer, chromium: Chromium
) -> None:
    """Code and PKCE, and a silent refresh afterwards."""
    async with chromium.person() as person:
        one = AuthorizationCodeTokenManager(
            issuer=better_auth_server.issuer,
            client_id=better_auth_server.native_client_id,
            scope="openid offline_access",
            port_range=None,
            redirect_host="127.0.0.1",
            open_browser=person.open,
        )
        async with one, Client(token_manager=one) as client:
            async with signing_in(one, person) as (asking, url):
                assert await person.approves(url, better_auth_server) == SIGNED_IN
                await asking
            assert (await client.get(better_auth_server.resource)).status == 200
            await one.reset_token()
            assert (await client.get(better_auth_server.resource)).status == 200


async def test_within_its_grace_period_django_answers_an_old_refresh_token_again(
    django_server: DjangoServer,
) -> None:
    """Rule 29: the answer was lost, and nobody has to sign in."""
    django_server.set_grace_period(60)
    storage = TokenStorage()
    async with FormPerson(django_server) as person:
        options = {"open_browser": person.open, "token_storage": storage}
        async with at_django(django_server, **options) as one:
            await one.get()
            before = storage.token
            await one.reset_token()
            storage.token = before
        async with at_django(django_server, **options) as two:
            await two.reset_token()
        assert len(person.opened) == 1
