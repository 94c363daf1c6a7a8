"""`python -m aioalf login`, `logout`, and `--user`, as a real process against real servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from commands import Result, assert_one_line, finish, start
from fake_browser import connects
from form_person import FormPerson
from oidc_server import OIDCServer

from aioalf import AuthorizationCodeTokenManager, Client, FileTokenStorage
from aioalf.testing import AuthorizationServer

BROWSER = """
import sys, urllib.request
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1]).read()
"""


@pytest.fixture
async def server() -> AsyncIterator[AuthorizationServer]:
    """A server whose client is a public one."""
    async with AuthorizationServer(allow_public=True, device_interval=0.1) as started:
        yield started


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory, with a browser that signs in wherever it is sent."""
    (tmp_path / "browser.py").write_text(BROWSER)
    return tmp_path


def variables(server: AuthorizationServer, home: Path, **more: str) -> dict[str, str]:
    """What somebody has exported."""
    return {
        "AIOALF_ISSUER": server.issuer,
        "AIOALF_CLIENT_ID": server.client_id,
        "BROWSER": f"{sys.executable} {home / 'browser.py'} %s",
        "HOME": str(home),
        "XDG_STATE_HOME": str(home),
        "XDG_CACHE_HOME": str(home),
        **more,
    }


async def run(server: AuthorizationServer, home: Path, *arguments: str, **more: str) -> Result:
    """Run a command to its end."""
    return await finish(await start(*arguments, variables=variables(server, home, **more)))


def storage_of(home: Path) -> FileTokenStorage:
    """Where the commands keep tokens, unless they are told."""
    [place] = list(home.rglob("*token*.json"))
    return FileTokenStorage(place)


# -- in, used, out


async def test_a_person_signs_in_and_the_token_is_used_until_they_sign_out(
    server: AuthorizationServer, home: Path
) -> None:
    """One browser; after the access token is gone the refresh token does it; then nothing is left."""
    scope = ("--scope", "read offline_access")
    signed_in = await run(server, home, "login", *scope, "--port-range", "any")
    assert (signed_in.status, signed_in.out) == (0, b""), signed_in
    assert re.search(
        r"^Signed in\. The token is good until .* UTC, and renewed silently", signed_in.err
    )
    token = await run(server, home, "token", "--user", *scope)
    assert (token.status, token.err) == (0, "")
    assert server.accepts(token.out.decode().strip())
    server.revoke_all()
    answer = await run(server, home, "request", "--user", *scope, "GET", server.resource)
    assert (answer.status, answer.err) == (0, "")
    assert b'"method": "GET"' in answer.out
    assert server.authorization_requests == 1
    signed_out = await run(server, home, "logout", *scope)
    assert (signed_out.status, signed_out.err) == (0, "Signed out.\n")
    assert not server.accepts(token.out.decode().strip())
    after = await run(server, home, "token", "--user", *scope)
    command = f"login --issuer {server.issuer} --client-id client-id --scope 'read offline_access'"
    assert_one_line(after, 1, "a person has to sign in; run: python -m aioalf", command)
    assert server.authorization_requests == 1


async def test_a_program_with_the_same_settings_finds_the_token(
    server: AuthorizationServer, home: Path
) -> None:
    """The same issuer, client, scope and account; however the person signed in."""
    assert (await run(server, home, "login", "--scope", "read", "--port-range", "any")).status == 0
    one = AuthorizationCodeTokenManager(
        issuer=server.issuer,
        client_id=server.client_id,
        scope="read",
        token_storage=storage_of(home),
        unattended=True,
    )
    async with one, Client(token_manager=one) as client:
        assert (await client.get(server.resource)).status == 200


async def test_a_device_makes_the_same_entry(server: AuthorizationServer, home: Path) -> None:
    """Address and code are on stderr; somebody approves elsewhere."""
    process = await start("login", "--device", variables=variables(server, home))
    await server.wait_until(lambda: server.requests["device"] == 1)
    while not server._grants.devices:
        await asyncio.sleep(0.01)
    [device] = server._grants.devices.values()
    server.approve(device.user_code)
    signed_in = await finish(process)
    assert signed_in.status == 0, signed_in
    for text in (f"{server.url}/device\n", device.user_code, "Signed in."):
        assert text in signed_in.err
    token = await run(server, home, "token", "--user")
    assert server.accepts(token.out.decode().strip())


async def test_accounts_are_kept_apart(server: AuthorizationServer, home: Path) -> None:
    """Two people at one machine."""
    tokens = []
    for account in ("anna", "bert"):
        given = ("--account", account)
        assert (await run(server, home, "login", *given, "--port-range", "any")).status == 0
        tokens.append((await run(server, home, "token", "--user", *given)).out)
    assert tokens[0] != tokens[1]
    assert (await run(server, home, "token", "--user")).status == 1


async def test_a_client_with_a_secret_proves_itself(
    server: AuthorizationServer, home: Path
) -> None:
    """A secret in the environment is used; without one nobody is asked for it."""
    server.allow_public = False
    given = {"AIOALF_CLIENT_SECRET": server.client_secret}
    assert (await run(server, home, "login", "--port-range", "any", **given)).status == 0
    request = next(request for request in server.log if request.kind == "token")
    assert request.headers["Authorization"].startswith("Basic ")
    without = await run(server, home, "login", "--port-range", "any")
    assert_one_line(without, 1, "invalid_client")


async def test_an_address_that_is_printed_can_be_opened_by_hand(
    server: AuthorizationServer, home: Path
) -> None:
    """``--no-browser``; as over ssh."""
    words = ("login", "--no-browser", "--port-range", "any", "--wait", "30")
    process = await start(*words, variables=variables(server, home))
    assert process.stderr is not None
    text = ""
    while "/authorize?" not in text:
        text += (await process.stderr.readline()).decode()
    async with aiohttp.ClientSession() as session:
        await session.get(text.split()[-1])
    assert (await finish(process)).status == 0


async def test_somebody_signs_in_at_oidc_provider(oidc_server: OIDCServer, home: Path) -> None:
    """A certified server: in, refreshed, out."""
    known = {
        "AIOALF_ISSUER": oidc_server.issuer,
        "AIOALF_CLIENT_ID": oidc_server.native_client_id,
        "HOME": str(home),
        "XDG_STATE_HOME": str(home),
    }
    same = ("--scope", "openid offline_access", "--authorization-param", "prompt=consent")
    words = ("login", *same, "--no-browser", "--port-range", "any", "--redirect-host", "127.0.0.1")
    process = await start(*words, variables=known)
    assert process.stderr is not None
    text = ""
    while "/auth?" not in text:
        text += (await process.stderr.readline()).decode()
    async with FormPerson(oidc_server) as person:
        await person.approves(text.split()[-1])
    assert (await finish(process)).status == 0
    oidc_server.revoke_all()
    sent = ("request", "--user", "--fail", "GET", oidc_server.resource)
    answer = await finish(await start(*sent, *same, variables=known))
    assert (answer.status, answer.err) == (0, ""), answer
    assert (await finish(await start("logout", *same, variables=known))).status == 0


# -- a client's own token, by the issuer


async def test_the_issuer_is_enough_for_a_client_too(
    server: AuthorizationServer, home: Path
) -> None:
    """client_credentials; nothing is stored."""
    given = {"AIOALF_CLIENT_SECRET": server.client_secret}
    token = await run(server, home, "token", **given)
    assert (token.status, token.err) == (0, "")
    assert server.accepts(token.out.decode().strip())


# -- bad days


async def test_a_person_who_declines_ends_it_with_1(
    server: AuthorizationServer, home: Path
) -> None:
    """One line."""
    server.deny = True
    declined = await run(server, home, "login", "--port-range", "any")
    assert_one_line(declined, 1, "no token: The sign-in was refused (access_denied)")


async def test_nobody_comes_in_time(server: AuthorizationServer, home: Path) -> None:
    """``--wait``; the address has been printed."""
    words = ("login", "--no-browser", "--wait", "0.5", "--port-range", "any")
    late = await run(server, home, *words)
    assert late.status == 1
    assert late.err.endswith("aioalf: no token: Nobody signed in within 0.5 seconds\n")


async def test_ctrl_c_ends_the_wait_with_130_and_closes_the_port(
    server: AuthorizationServer, home: Path
) -> None:
    """Nothing is left."""

    def listen_to_ctrl_c() -> None:
        # Where the tests run in the background of a shell, it is ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)

    words = ("login", "--no-browser", "--port-range", "any")
    known = variables(server, home)
    process = await start(*words, variables=known, preexec_fn=listen_to_ctrl_c)
    assert process.stderr is not None
    text = ""
    while "/authorize?" not in text:
        text += (await process.stderr.readline()).decode()
    [redirect] = parse_qs(urlsplit(text.split()[-1]).query)["redirect_uri"]
    port = urlsplit(redirect).port or 0
    assert await connects(port)
    process.send_signal(signal.SIGINT)
    assert (await finish(process)).status == 130
    assert not await connects(port)


async def test_on_a_terminal_the_time_left_is_told(server: AuthorizationServer, home: Path) -> None:
    """And the line is gone afterwards."""
    ours, theirs = pty.openpty()
    seen, shown = home / "seen", ""
    wait = f"import os, time\nwhile not os.path.exists({str(seen)!r}): time.sleep(0.01)\n"
    (home / "browser.py").write_text(wait + BROWSER)
    known = variables(server, home, TERM="xterm")
    process = await start("login", "--port-range", "any", variables=known, stderr=theirs)
    os.close(theirs)
    while " left" not in shown:
        shown += (await asyncio.to_thread(os.read, ours, 65_536)).decode()
    seen.touch()
    assert (await finish(process)).status == 0
    with contextlib.suppress(OSError):  # the end of a terminal
        while rest := os.read(ours, 65_536):
            shown += rest.decode()
    os.close(ours)
    assert re.search(r"\r\x1b\[KWaiting for the sign-in, [45]:\d\d left", shown)
    assert re.search(r"\r\x1b\[KSigned in\. The token", shown)


@pytest.mark.parametrize("away", [True, False])
async def test_signing_out_deletes_the_token_even_if_the_server_is_away(
    server: AuthorizationServer, home: Path, away: bool
) -> None:
    """It says so, and ends with 1."""
    assert (await run(server, home, "login", "--port-range", "any")).status == 0
    if away:
        server.drop_next(9, at="revocation")
    else:
        server.answer_next(500, times=9, at="revocation")
    out = await run(server, home, "logout")
    assert_one_line(out, 1, "signed out here, but the token is not revoked")
    assert (await run(server, home, "token", "--user")).status == 1


async def test_a_server_that_cannot_revoke_is_told(server: AuthorizationServer, home: Path) -> None:
    """The token is forgotten here: more cannot be done."""
    server.metadata = {"revocation_endpoint": None}
    assert (await run(server, home, "login", "--port-range", "any")).status == 0
    out = await run(server, home, "logout")
    assert (out.status, out.out) == (0, b"")
    assert "no endpoint to revoke the token at" in out.err


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("login", "--issuer", "http://login.example.com"), 2, "issuer is"),
        (("login", "--issuer", "login.example.com"), 2, "--issuer"),
        (("login", "--port-range", "5-1"), 2, "--port-range"),
        (("login", "--redirect-path", "callback"), 2, "redirect_path"),
        (("login", "--wait", "-1"), 2, "--wait"),
        (("login", "--authorization-param", "state=x"), 2, "cannot hold state"),
    ],
)
async def test_a_mistake_is_one_line_that_names_it(
    server: AuthorizationServer, home: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    """At once, where that is possible."""
    assert_one_line(await run(server, home, *arguments), status, words)


async def test_metadata_that_is_a_page_for_people_is_named(
    server: AuthorizationServer, home: Path
) -> None:
    """And nothing is opened."""
    server.answer_next(200, body="<html>", at="metadata")
    assert_one_line(await run(server, home, "login"), 1, "is not a JSON object")
    assert server.authorization_requests == 0


async def test_without_an_issuer_the_command_says_what_is_needed(home: Path) -> None:
    """Both ways to give it."""
    known = {"AIOALF_CLIENT_ID": "id", "HOME": str(home)}
    result = await finish(await start("login", variables=known))
    assert_one_line(result, 2, "--issuer", "AIOALF_ISSUER")
