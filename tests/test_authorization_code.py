"""The authorization code flow with PKCE: `aioalf.interactive.authorization_code`.

In a real browser, and against real servers: `test_sign_ins.py`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import os
import pty
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from fake_browser import FakeBrowser, connects, free_ports
from fakes import FakeClock
from managing import turns
from storages import OneSlot

from aioalf import (
    AuthorizationCodeTokenManager,
    AuthorizationError,
    Client,
    ClientSecretPost,
    SignInRequired,
    Token,
    TokenError,
    TokenHTTPError,
    TokenStorage,
    use_authorization_code_flow,
)
from aioalf.interactive import browser as browser_module
from aioalf.interactive.receiver import LoopbackReceiver
from aioalf.testing import AuthorizationServer


@pytest.fixture
async def browser() -> AsyncIterator[FakeBrowser]:
    """A person who signs in wherever they are sent."""
    opened = FakeBrowser()
    yield opened
    await opened.done()


@pytest.fixture
async def server() -> AsyncIterator[AuthorizationServer]:
    """A server whose client is a public one, and which gives refresh tokens."""
    async with AuthorizationServer(allow_public=True, issue_refresh_tokens=True) as started:
        yield started


def manager(server: AuthorizationServer, **options: Any) -> AuthorizationCodeTokenManager:
    """Make a manager that knows the issuer alone, on any free port."""
    return AuthorizationCodeTokenManager(
        **{
            "issuer": server.issuer,
            "client_id": server.client_id,
            "port_range": None,
            "authorization_timeout": 10,
            **options,
        }
    )


class Absent:
    """Hand it in as ``open_browser=``: a browser at which nobody sits."""

    def __init__(self) -> None:
        self._opened: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, url: str) -> None:
        self._opened.put_nowait(url)

    async def request(self) -> dict[str, str]:
        """What a program asks for next: ``state`` and ``redirect_uri``."""
        parameters = asked(await self._opened.get())
        return {name: parameters[name] for name in ("state", "redirect_uri")}


def asked(url: str) -> dict[str, str]:
    """The parameters of an authorization request, each there once."""
    query = parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in query.values())
    return {name: values[0] for name, values in query.items()}


def exchanges(server: AuthorizationServer) -> list[dict[str, str]]:
    """The forms of the token requests so far."""
    return [dict(request.form) for request in server.log if request.kind == "token"]


# -- the way of a code


async def test_a_person_signs_in_once_and_the_token_is_renewed_silently_from_then_on(
    server: AuthorizationServer, browser: FakeBrowser, clock: FakeClock
) -> None:
    """The browser comes back with a code, which is exchanged; later the refresh token does it."""
    server.time = clock.time
    options = {"open_browser": browser, "clock": clock, "scope": "read offline_access"}
    async with manager(server, **options) as one, Client(token_manager=one) as client:
        for _ in range(3):
            assert (await client.get(server.resource)).status == 200
            clock.advance(7200)
    assert len(browser.opened) == 1
    assert browser.titles == ["You are signed in."]
    first, *others = exchanges(server)
    assert first["grant_type"] == "authorization_code"
    assert [form["grant_type"] for form in others] == ["refresh_token"] * 2


async def test_a_request_for_a_code_says_all_that_it_must(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """Rule 25: PKCE by S256, always; and what is exchanged fits to it."""
    params = {"prompt": "consent", "access_type": "offline"}
    one = manager(server, open_browser=browser, scope="read", authorization_params=params)
    async with one:
        await one.get()
    request, form = asked(browser.opened[0]), exchanges(server)[0]
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert request == {
        "response_type": "code",
        "client_id": server.client_id,
        "redirect_uri": form["redirect_uri"],
        "scope": "read",
        "state": request["state"],
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
        **params,
    }
    assert form == {
        "grant_type": "authorization_code",
        "client_id": server.client_id,
        "code": form["code"],
        "redirect_uri": form["redirect_uri"],
        "code_verifier": form["code_verifier"],
    }
    assert len(request["state"]) >= 43
    assert 43 <= len(form["code_verifier"]) <= 128


async def test_each_sign_in_has_a_state_and_a_verifier_of_its_own(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """Else one that leaked would be good for the next."""
    async with manager(server, open_browser=browser) as one:
        await one.sign_in()
        await one.sign_in()
    first, second = map(asked, browser.opened)
    assert first["state"] != second["state"]
    assert first["code_challenge"] != second["code_challenge"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
@pytest.mark.parametrize("path", ["", "/", "/callback", "/a/b"])
async def test_the_redirect_uri_is_sent_as_it_was_configured(
    server: AuthorizationServer, browser: FakeBrowser, host: str, path: str
) -> None:
    """Rules 11 to 13: no slash is added, and the exchange names the same one."""
    port = free_ports(1)[0]
    server.redirect_uris = [f"http://{host}:{port}{path}"]
    options = {"redirect_host": host, "redirect_path": path, "port_range": (port, port)}
    async with manager(server, open_browser=browser, **options) as one:
        await one.get()
    assert asked(browser.opened[0])["redirect_uri"] == server.redirect_uris[0]
    assert exchanges(server)[0]["redirect_uri"] == server.redirect_uris[0]


@pytest.mark.parametrize("mode", ["query", "form_post"])
async def test_the_code_can_come_in_the_query_or_by_post(
    server: AuthorizationServer, browser: FakeBrowser, mode: Any
) -> None:
    """Rule 19: a post keeps it out of the browser's history."""
    async with manager(server, open_browser=browser, response_mode=mode) as one:
        await one.get()
    assert asked(browser.opened[0])["response_mode"] == mode
    assert ("code=" in browser.visited[0]) == (mode == "query")


async def test_a_code_needs_no_script_and_no_second_request(
    server: AuthorizationServer, browser: FakeBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 18: a plain navigation. Browsers ask a person before a page may fetch from loopback."""
    asked_for: list[str] = []
    respond = LoopbackReceiver._respond

    async def spy(self: LoopbackReceiver, request: Any) -> Any:
        asked_for.append(f"{request.method} {request.path}")
        return await respond(self, request)

    monkeypatch.setattr(LoopbackReceiver, "_respond", spy)
    async with manager(server, open_browser=browser) as one:
        await one.get()
        await browser.done()
    assert asked_for == ["GET /"]


@pytest.mark.parametrize("host", ["app.example.com", "https://localhost", "0.0.0.0", ""])
def test_a_redirect_goes_to_this_machine_and_nowhere_else(host: str) -> None:
    """Rule 20: no https on loopback, whose certificate nobody would trust."""
    with pytest.raises(ValueError, match=r"redirect_host is .* no other interface"):
        AuthorizationCodeTokenManager("https://a.example/token", "id", redirect_host=host)


async def test_a_confidential_client_proves_itself_and_uses_pkce_too(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """RFC 9700 section 2.1.1: a stolen code is of no use even to another instance of the client."""
    server.allow_public = False
    async with manager(server, client_secret=server.client_secret, open_browser=browser) as one:
        await one.get()
    request = next(request for request in server.log if request.kind == "token")
    assert request.headers["Authorization"].startswith("Basic ")
    assert "code_verifier" in request.form
    assert "client_secret" not in request.form


async def test_endpoints_that_are_given_come_before_those_that_are_found(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """Without an issuer nothing is looked up at all."""
    one = AuthorizationCodeTokenManager(
        server.token_endpoint,
        server.client_id,
        authorization_endpoint=server.authorization_endpoint,
        port_range=None,
        open_browser=browser,
    )
    async with one:
        await one.get()
    assert server.requests["metadata"] == 0
    server.metadata = {"authorization_endpoint": "https://elsewhere.example.com/authorize"}
    options = {"authorization_endpoint": server.authorization_endpoint, "open_browser": browser}
    async with manager(server, **options) as two:
        await two.get()
    assert server.requests["metadata"] == 1


async def test_without_an_authorization_endpoint_the_error_names_the_remedy() -> None:
    """It is not derived from the token endpoint, as 0.4.0 did for the implicit flow."""
    one = AuthorizationCodeTokenManager("https://login.example.com/token", "id")
    async with one:
        with pytest.raises(TokenError, match=r"Missing authorization endpoint.*issuer="):
            await one.get()


async def test_nobody_signs_in_for_nothing(browser: FakeBrowser) -> None:
    """What is needed after it is looked for before."""
    given: dict[str, Any] = {"client_id": "id", "port_range": None, "open_browser": browser}
    given["authorization_endpoint"] = "https://login.example.com/authorize"
    async with AuthorizationCodeTokenManager(**given) as one:
        with pytest.raises(TokenError, match="Missing token endpoint"):
            await one.get()
    given |= {
        "token_endpoint": "https://login.example.com/token",
        "client_auth": ClientSecretPost(),
    }
    async with AuthorizationCodeTokenManager(**given) as two:
        with pytest.raises(TokenError, match="Missing credentials"):
            await two.get()
    assert not browser.opened


async def test_endpoints_that_are_all_given_need_no_metadata(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """The issuer is then there for the ``iss`` of the answer alone."""
    server.answer_next(404, times=9, at="metadata")
    options = {
        "token_endpoint": server.token_endpoint,
        "authorization_endpoint": server.authorization_endpoint,
        "open_browser": browser,
    }
    async with manager(server, **options) as one:
        await one.get()
        server.authorization_parameters = {"iss": "https://evil.example.com"}
        with pytest.raises(AuthorizationError, match="another issuer"):
            await one.sign_in()


# -- an answer that is not used


@pytest.mark.parametrize("name", ["state", "iss", "code"])
async def test_an_answer_that_repeats_a_parameter_is_not_used(
    server: AuthorizationServer, name: str
) -> None:
    """RFC 6749 section 3.1: two codes, and which one is ours?"""
    absent = Absent()
    async with manager(server, open_browser=absent) as one:
        signing_in = asyncio.ensure_future(one.get())
        request = await absent.request()
        pairs = [("code", "a"), ("state", request["state"]), ("iss", server.issuer), (name, "b")]
        page = await visited(f"{request['redirect_uri']}?{urlencode(pairs)}")
        if name == "state":
            assert "not the sign-in the program is waiting for" in page
            signing_in.cancel()
            await asyncio.wait({signing_in})
        else:
            with pytest.raises(AuthorizationError, match="repeats a parameter"):
                await signing_in
    assert server.token_requests == 0


async def visited(url: str) -> str:
    """The page that a browser is shown there."""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iss": "https://evil.example.com"}, "another issuer"),
        ({"iss": None}, "names no issuer"),
        ({"code": None}, "holds no code"),
        ({"code": ""}, "holds no code"),
    ],
)
async def test_an_answer_of_another_server_or_without_a_code_is_not_used(
    server: AuthorizationServer, browser: FakeBrowser, changes: dict[str, Any], message: str
) -> None:
    """Rule 24: an iss must be right, and must be there if it was promised (mix-up, RFC 9207)."""
    server.authorization_parameters = changes
    async with manager(server, open_browser=browser) as one:
        with pytest.raises(AuthorizationError, match=message):
            await one.get()
        await browser.done()
    assert browser.titles == ["The sign-in did not work."]
    assert server.token_requests == 0


async def test_an_iss_is_not_needed_if_it_was_not_promised(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """Rule 24: most servers send none."""
    server.authorization_parameters = {"iss": None}
    server.metadata = {"authorization_response_iss_parameter_supported": None}
    async with manager(server, open_browser=browser) as one:
        await one.get()


async def test_an_error_of_another_issuer_is_told_as_that(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """Rule 24: errors are checked as well; one without an iss is a refusal all the same."""
    server.deny = True
    server.authorization_parameters = {"iss": "https://evil.example.com"}
    async with manager(server, open_browser=browser) as one:
        with pytest.raises(AuthorizationError, match="another issuer"):
            await one.get()
        server.authorization_parameters = {"iss": None}
        with pytest.raises(AuthorizationError, match=r"refused \(access_denied\)"):
            await one.sign_in()


async def test_a_forged_state_is_ignored_and_the_wait_goes_on(
    server: AuthorizationServer,
) -> None:
    """Rules 14 and 15: nobody else on this machine can end a sign-in, with an error neither."""
    absent = Absent()
    async with manager(server, open_browser=absent) as one:
        signing_in = asyncio.ensure_future(one.get())
        request = await absent.request()
        for query in (
            "?error=access_denied",
            "?error=x&state=y",
            "?code=stolen&state=y",
            "",
            "?a=b",
        ):
            await visited(request["redirect_uri"] + query)
        assert not signing_in.done()
        async with aiohttp.ClientSession() as session:
            for method in ("HEAD", "OPTIONS", "PUT"):
                await session.request(method, f"{request['redirect_uri']}?state={request['state']}")
            await session.get(f"{request['redirect_uri']}/favicon.ico")
        assert not signing_in.done()
        parameters = {"client_id": server.client_id, "response_type": "code", **request}
        server.require_pkce = False
        await visited(f"{server.authorization_endpoint}?{urlencode(parameters)}")
        with pytest.raises(
            TokenHTTPError, match="invalid_grant"
        ):  # this browser knows no challenge
            await signing_in


async def test_a_refusal_is_an_error_at_once_and_is_remembered(
    server: AuthorizationServer, browser: FakeBrowser, clock: FakeClock
) -> None:
    """A busy service would else open a window for each request."""
    server.deny = True
    async with manager(server, open_browser=browser, clock=clock) as one:
        for _ in range(3):
            with pytest.raises(AuthorizationError, match=r"refused \(access_denied\)"):
                await one.get()
        assert len(browser.opened) == 1
        server.deny = False
        await one.sign_in()
    assert len(browser.opened) == 2


# -- the exchange


async def test_a_code_is_sent_once(server: AuthorizationServer, browser: FakeBrowser) -> None:
    """Rule 23: its answer was lost, and a second use would revoke what it gave."""
    server.lose_answer_next()
    async with manager(server, open_browser=browser, token_retries=3, clock=FakeClock()) as one:
        with pytest.raises(TokenError, match="it closed the connection"):
            await one.get()
    assert server.token_requests == 1


async def test_a_server_in_trouble_gets_a_code_no_second_time(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """Rule 23: whether it has used the code up, nobody knows."""
    server.answer_next(503, times=5)
    async with manager(server, open_browser=browser, token_retries=3, clock=FakeClock()) as one:
        with pytest.raises(TokenHTTPError):
            await one.get()
    assert server.token_requests == 1


async def test_an_exchange_goes_on_though_nobody_waits_for_it_any_more(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """The person has done their part; the next request has the token."""
    server.latency = 0.05
    async with manager(server, open_browser=browser) as one:
        asking = asyncio.ensure_future(one.get())
        await server.wait_until(lambda: server.token_requests == 1)
        asking.cancel()
        await asyncio.wait({asking})
        await one.get()
    assert len(browser.opened) == 1
    assert server.token_requests == 1


async def test_a_sign_in_that_nobody_waits_for_is_given_up_and_its_port_closed(
    server: AuthorizationServer,
) -> None:
    """And the next one begins anew."""
    absent = Absent()
    async with manager(server, open_browser=absent) as one:
        asking = asyncio.ensure_future(one.get())
        port = urlsplit((await absent.request())["redirect_uri"]).port or 0
        assert await connects(port)
        asking.cancel()
        await asyncio.wait({asking})
        await turns(20)
        assert not await connects(port)


# -- who is asked, and when


async def test_an_unattended_program_asks_a_person_only_when_it_says_so(
    server: AuthorizationServer, browser: FakeBrowser, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule 22: no window opens by itself at night."""
    async with manager(server, open_browser=browser, unattended=True) as one:
        with pytest.raises(SignInRequired, match=r"call sign_in\(\)"):
            await one.get()
        assert not browser.opened
        token = await one.sign_in()
        assert await one.get() is token
    assert len(browser.opened) == 1


async def test_all_that_call_sign_in_wait_for_the_same_one(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """And so do requests that come meanwhile."""
    async with manager(server, open_browser=browser) as one:
        tokens = await asyncio.gather(one.sign_in(), one.sign_in(), one.get())
    assert len({token.access_token for token in tokens}) == 1
    assert len(browser.opened) == 1


async def test_a_revoked_refresh_token_leads_to_a_new_sign_in(
    server: AuthorizationServer, browser: FakeBrowser, clock: FakeClock
) -> None:
    """It is not kept, nor tried again."""
    server.time = clock.time
    storage = TokenStorage()
    options = {"open_browser": browser, "clock": clock, "token_storage": storage}
    async with manager(server, **options) as one:
        first = await one.get()
        server.revoke_all(refresh_tokens=True)
        clock.advance(7200)
        second = await one.get()
    assert len(browser.opened) == 2
    assert second.refresh_token not in (None, first.refresh_token)
    grants = [form["grant_type"] for form in exchanges(server)]
    assert grants == ["authorization_code", "refresh_token", "authorization_code"]


async def test_a_sign_in_without_a_refresh_token_is_told_once(
    server: AuthorizationServer, browser: FakeBrowser, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule 32: Google wants access_type=offline and prompt=consent, others a scope."""
    caplog.set_level(logging.INFO)
    server.issue_refresh_tokens = False
    async with manager(server, open_browser=browser) as one:
        await one.sign_in()
        await one.sign_in()
    assert caplog.text.count("gave no refresh token") == 1
    assert "access_type=offline" in caplog.text


async def test_a_second_program_finds_what_the_first_has_stored(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """Also after the access token has expired: by the refresh token."""
    storage = OneSlot()
    async with manager(server, open_browser=browser, token_storage=storage) as one:
        first = await one.get()
    asking_differs = {"authorization_params": {"prompt": "login", "login_hint": "me"}}
    async with manager(server, token_storage=storage, unattended=True, **asking_differs) as two:
        assert (await two.get()).access_token == first.access_token
    assert len(browser.opened) == 1


async def test_accounts_do_not_share_a_stored_token(
    server: AuthorizationServer, browser: FakeBrowser, tmp_path: Any
) -> None:
    """Two people, one client id, one file."""
    from aioalf import FileTokenStorage

    storage = FileTokenStorage(tmp_path / "tokens.json")
    tokens = []
    for account in ("anna", "bert", "anna"):
        options = {"account": account, "token_storage": storage, "open_browser": browser}
        async with manager(server, **options) as one:
            tokens.append((await one.get()).access_token)
    assert tokens[0] == tokens[2] != tokens[1]
    assert len(browser.opened) == 2


async def test_a_sign_in_that_a_request_has_begun_is_enough_for_sign_in(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """One window, not two."""
    async with manager(server, open_browser=browser) as one:
        first, second = await asyncio.gather(one.get(), one.sign_in())
    assert first is second
    assert len(browser.opened) == 1


# -- PAR


async def test_a_request_is_pushed_if_the_server_requires_it(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """RFC 9126: the browser carries nothing but a reference."""
    server.require_par = True
    async with manager(server, open_browser=browser, scope="read") as one:
        await one.get()
    assert asked(browser.opened[0]).keys() == {"client_id", "request_uri"}
    pushed = next(request for request in server.log if request.kind == "par")
    assert pushed.form["code_challenge_method"] == "S256"
    assert pushed.form["scope"] == "read"


async def test_a_push_that_fails_is_an_error_and_nothing_is_sent_in_clear(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """Never dropped silently: the server may have promised more than it knows."""
    server.answer_next(500, at="par")
    async with manager(server, open_browser=browser, par=True) as one:
        with pytest.raises(TokenHTTPError, match="pushed authorization request endpoint"):
            await one.get()
        server.answer_next(200, {"Content-Type": "application/json"}, "{}", at="par")
        with pytest.raises(TokenError, match="gave no request_uri"):
            await one.sign_in()
    assert not browser.opened


# -- a browser somewhere else


async def test_open_browser_may_return_the_address_at_the_end(
    server: AuthorizationServer,
) -> None:
    """Rule 17: JupyterHub, a container, a cloud shell: no port of this machine is reached."""

    async def elsewhere(url: str) -> str:
        async with aiohttp.ClientSession() as session:
            async with session.get(url, allow_redirects=False) as response:
                return response.headers["Location"]

    async with manager(server, open_browser=elsewhere) as one:
        assert server.accepts((await one.get()).access_token)


async def test_a_wrong_address_that_is_returned_is_ignored_with_a_warning(
    server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be that of another sign-in."""
    wrong = "http://localhost/?code=x&state=y"
    options = {"open_browser": lambda url: wrong, "authorization_timeout": 0.2}
    async with manager(server, **options) as one:
        with pytest.raises(AuthorizationError, match="Nobody signed in"):
            await one.get()
    assert "that open_browser returned was ignored. It belongs to another sign-in" in caplog.text


async def test_the_address_can_be_pasted_on_a_terminal(
    server: AuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 17: over ssh, with the browser on another machine; nonsense is told, and asked again."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r") as stdin, os.fdopen(os.dup(theirs), "w") as stderr:
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.setattr("sys.stderr", stderr)
        os.set_blocking(ours, False)
        os.set_blocking(theirs, False)
        shown: list[bytes] = []
        asyncio.get_running_loop().add_reader(ours, lambda: shown.append(os.read(ours, 4096)))
        try:
            async with manager(server, open_browser=lambda url: False) as one:
                asking = asyncio.ensure_future(one.get())
                while b"paste here" not in b"".join(shown):
                    await asyncio.sleep(0.005)
                url = next(word for word in b"".join(shown).split() if b"/authorize?" in word)
                async with aiohttp.ClientSession() as session:
                    async with session.get(url.decode(), allow_redirects=False) as response:
                        end = response.headers["Location"]
                os.write(ours, b"nonsense\n")
                while b"That is not the address" not in b"".join(shown):
                    await asyncio.sleep(0.005)
                os.write(ours, end.encode() + b"\n")
                assert server.accepts((await asking).access_token)
        finally:
            asyncio.get_running_loop().remove_reader(ours)
            os.close(ours)


def test_a_process_without_a_terminal_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service, a pipe, a console that is closed."""
    monkeypatch.setattr("sys.stdin", None)
    assert browser_module._terminal() is None
    with Path(os.devnull).open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert browser_module._terminal() is None
    assert browser_module._terminal() is None  # closed


# -- the one-line switch


async def test_every_client_can_be_switched_to_it(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """As `use_implicit_flow` does, by the same code."""
    switch = await use_authorization_code_flow(
        TokenStorage(), None, issuer=server.issuer, open_browser=browser
    )
    async with switch, Client(server.client_id, unattended=False) as client:
        assert (await client.get(server.resource)).status == 200
        assert isinstance(client.token_manager, AuthorizationCodeTokenManager)
    assert len(browser.opened) == 1


# -- bad input


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"response_mode": "fragment"}, ValueError, "response_mode is 'fragment'"),
        ({"authorization_params": "prompt=login"}, TypeError, "authorization_params takes a dict"),
        ({"authorization_params": {"state": "x"}}, ValueError, "cannot hold state"),
        ({"port_range": (2, 1)}, ValueError, "port_range"),
        ({"redirect_host": "example.com"}, ValueError, "redirect_host"),
        ({"redirect_path": "callback"}, ValueError, "redirect_path"),
        ({"authorization_timeout": 0}, ValueError, "authorization_timeout"),
        ({"authorization_timeout": "300"}, TypeError, "authorization_timeout"),
        ({"open_browser": "firefox"}, TypeError, "open_browser takes a function"),
        ({"issuer": "login.example.com"}, ValueError, "issuer is"),
        ({"account": 5}, TypeError, "account takes a string"),
        ({"scopes": "read"}, TypeError, "scopes"),
    ],
)
def test_a_mistake_is_told_where_it_is_made(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """At construction, with the name of the keyword."""
    with pytest.raises(error, match=message):
        AuthorizationCodeTokenManager(**{"issuer": "https://login.example.com", **options})


async def test_no_secret_of_a_sign_in_is_logged_or_shown(
    server: AuthorizationServer, browser: FakeBrowser, caplog: pytest.LogCaptureFixture
) -> None:
    """The code, the verifier, the tokens: not in the log, not in a repr."""
    caplog.set_level(logging.DEBUG)
    async with manager(server, open_browser=browser) as one:
        token: Token = await one.get()
        shown = caplog.text + repr(one) + repr(token) + repr(vars(one))
    form = exchanges(server)[0]
    for secret in (form["code"], form["code_verifier"], token.access_token, token.refresh_token):
        assert str(secret) not in shown
