"""The implicit flow without a window: `aioalf.implicit_manager` and `aioalf.interactive.browser`.

In a real browser: `test_browser.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import subprocess
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from fake_browser import FakeBrowser, connects, free_ports, post_answer, taken
from fakes import FakeClock
from managing import turns
from storages import OneSlot

import aioalf
from aioalf.client import Client
from aioalf.errors import AuthorizationError, TokenError
from aioalf.flow_switch import FlowSwitch
from aioalf.implicit_manager import (
    OAuthImplicitTokenManager,
    OAuthImplictTokenManager,
    TokenStorage,
    use_implicit_flow,
)
from aioalf.interactive import browser as browser_module
from aioalf.interactive.authorization_code import AuthorizationCodeTokenManager
from aioalf.interactive.browser import open_in_browser
from aioalf.interactive.device import DeviceTokenManager
from aioalf.manager import TokenManager
from aioalf.testing import AuthorizationServer


@pytest.fixture
async def browser() -> AsyncIterator[FakeBrowser]:
    """A person who signs in wherever they are sent."""
    opened = FakeBrowser()
    yield opened
    await opened.done()


@pytest.fixture(autouse=True)
def switch_untouched() -> Iterator[None]:
    """Whatever a test switches on, the next one starts as a program does."""
    before = Client.token_manager_class
    yield
    assert Client.token_manager_class is before, "a handle was not closed"


def manager(server: AuthorizationServer, **options: Any) -> OAuthImplictTokenManager:
    """Make a manager on ports of its own."""
    return OAuthImplictTokenManager(
        **{
            "token_endpoint": server.token_endpoint,
            "client_id": server.client_id,
            "port_range": free_ports(1),
            "authorization_timeout": 10,
            **options,
        }
    )


def asked(url: str) -> dict[str, list[str]]:
    """The parameters of an authorization request."""
    return parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)


# -- what the documents promise

DOCUMENTED = """
await use_implicit_flow(TokenStorage(), (30000, 30009))

async with Client(token_endpoint='https://token.endpoint',
                  client_id='glBQ3nYU/8/kaVi/bIgXGA==',
                  client_secret='') as client:
    response = await client.request('GET', 'http://example.com/resource')
    text = await response.text()
    print(response.status)
"""


async def test_the_documented_example_runs_as_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the two addresses that it names are put in the place of real ones."""
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setenv("BROWSER", "firefox")
    loop, person = asyncio.get_running_loop(), FakeBrowser()
    opened: list[str] = []

    def open_browser(url: str) -> bool:
        opened.append(url)
        asyncio.run_coroutine_threadsafe(person(url), loop)
        return True

    monkeypatch.setattr(webbrowser, "open", open_browser)
    before = Client.token_manager_class
    async with AuthorizationServer(client_id="glBQ3nYU/8/kaVi/bIgXGA==") as server:
        source = DOCUMENTED.replace("https://token.endpoint", server.token_endpoint)
        source = source.replace("http://example.com/resource", server.resource)
        code = compile(source, "documented", "exec", flags=_TOP_LEVEL_AWAIT)
        names = {"use_implicit_flow": use_implicit_flow, "TokenStorage": TokenStorage}
        try:
            await eval(code, {**names, "Client": Client})
        finally:
            Client.token_manager_class = before
        await person.done()
        assert capsys.readouterr().out == "200\n"
        assert len(opened) == 1
        assert opened[0].startswith(f"{server.token_endpoint}/authorize?response_type=token&")
        assert asked(opened[0])["client_id"] == ["glBQ3nYU/8/kaVi/bIgXGA=="]
        port = urlsplit(asked(opened[0])["redirect_uri"][0]).port
        assert port is not None
        assert 30000 <= port <= 30009


_TOP_LEVEL_AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


async def test_the_range_of_ports_is_32000_to_32009_by_default(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """Both ends included; the redirect URI is a bare http://localhost:PORT."""
    one = OAuthImplictTokenManager(
        server.token_endpoint, server.client_id, "", open_browser=browser
    )
    await one.get_token()
    (redirect_uri,) = asked(browser.opened[0])["redirect_uri"]
    assert redirect_uri in [f"http://localhost:{port}" for port in range(32000, 32010)]


def test_both_spellings_name_the_same_class() -> None:
    """The one of 0.4.0 stays; the storage can be imported from the same place."""
    assert OAuthImplicitTokenManager is OAuthImplictTokenManager
    assert issubclass(OAuthImplictTokenManager, TokenManager)
    assert TokenStorage is aioalf.TokenStorage


async def test_a_manager_works_on_its_own_and_inside_a_client(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """The main door beside the switch."""
    one = manager(server, open_browser=browser)
    async with Client(token_manager=one) as client, client.get(server.resource) as response:
        assert response.status == 200
    assert (await one.get()).access_token == await one.get_token()
    await browser.done()
    assert browser.titles == ["Finishing the sign-in…", "You are signed in."]
    assert len(browser.opened) == 1


# -- the address


async def test_the_address_holds_what_the_rfc_asks_for(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """RFC 6749 section 4.2.1."""
    one = manager(
        server,
        scope=["read", "write/all"],
        open_browser=browser,
        redirect_path="/back",
        redirect_host="127.0.0.1",
        response_mode="fragment",
        token_request_params={"audience": "a b"},
    )
    await one.get_token()
    parameters = asked(browser.opened[0])
    state = parameters.pop("state")[0]
    redirect_uri = parameters.pop("redirect_uri")[0]
    assert redirect_uri == f"http://127.0.0.1:{one._port_range[0]}/back"
    assert len(state) >= 32
    assert parameters == {
        "response_type": ["token"],
        "client_id": [server.client_id],
        "scope": ["read write/all"],
        "response_mode": ["fragment"],
        "audience": ["a b"],
    }
    assert "scope=read%20write%2Fall&" in browser.opened[0]


async def test_what_was_not_asked_for_is_not_in_the_address(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """0.4.0's parameters, and the state; and the state is another one each time."""
    one = manager(server, open_browser=browser)
    await one.get_token()
    await one.reset_token()
    first, second = map(asked, browser.opened)
    assert list(first) == ["response_type", "client_id", "redirect_uri", "state"]
    assert first["state"] != second["state"]


async def test_the_authorization_endpoint_can_be_elsewhere(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """Most servers have it elsewhere; then no token endpoint is needed."""
    endpoint = server.authorization_endpoint
    one = manager(
        server, token_endpoint=None, authorization_endpoint=endpoint, open_browser=browser
    )
    await one.get_token()
    assert browser.opened[0].startswith(f"{endpoint}?response_type=token&")


async def test_what_is_missing_is_said_at_first_use() -> None:
    """In the words of version 0.4.0."""
    with pytest.raises(TokenError, match="Missing token endpoint"):
        await OAuthImplictTokenManager(client_id="x").get_token()
    for client_id in (None, ""):
        with pytest.raises(TokenError, match=r"Missing credentials \(client_id:client_secret\)"):
            await OAuthImplictTokenManager("https://a.example", client_id).get_token()


@pytest.mark.parametrize(
    "options",
    [
        {"port_range": (2, 1)},
        {"redirect_host": "example.com"},
        {"redirect_path": "x"},
        {"response_mode": "query"},
        {"authorization_timeout": 0},
        {"token_request_params": {"state": "mine"}},
        {"token_request_params": {"redirect_uri": "https://evil.example"}},
    ],
)
async def test_a_setting_that_cannot_work_is_refused_at_once(options: dict[str, Any]) -> None:
    """By the manager, and by the switch before anything is switched."""
    with pytest.raises(ValueError, match="_"):
        OAuthImplictTokenManager("https://a.example", "x", **options)
    with pytest.raises(ValueError, match="_"):
        await use_implicit_flow(TokenStorage(), **options)
    with pytest.raises(TypeError, match="colour"):
        await use_implicit_flow(TokenStorage(), colour="red")  # type: ignore[call-arg]


async def test_the_answer_can_come_as_a_form_post(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """OAuth 2.0 Form Post Response Mode: then no history keeps the token."""
    one = manager(server, open_browser=browser, response_mode="form_post")
    token = await one.get_token()
    await browser.done()
    assert asked(browser.opened[0])["response_mode"] == ["form_post"]
    assert browser.titles == ["You are signed in."]
    assert all(token not in url for url in browser.visited)


async def test_another_kind_of_token_is_told_to_the_person_and_to_the_program(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """RFC 6749 section 7.1: a client must not use a token type it does not know."""
    server.token_parameters = {"token_type": "mac"}
    with pytest.raises(TokenError, match="'mac', not Bearer"):
        await manager(server, open_browser=browser).get_token()
    await browser.done()
    assert browser.titles[-1] == "The sign-in did not work."


# -- one window


async def test_a_hundred_tasks_that_wait_open_one_window(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """And all of them get their answer."""
    one = manager(server, open_browser=browser)
    async with Client(token_manager=one) as client:
        responses = await asyncio.gather(*(client.get(server.resource) for _ in range(100)))
        assert {response.status for response in responses} == {200}
    assert len(browser.opened) == 1


async def test_clients_that_share_a_storage_open_one_window(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """However many, and at the same time."""
    storage = TokenStorage()
    managers = [manager(server, open_browser=browser, token_storage=storage) for _ in range(10)]
    tokens = await asyncio.gather(*(one.get_token() for one in managers))
    assert len(set(tokens)) == 1
    assert len(browser.opened) == 1


async def test_a_401_opens_a_window_again_once_for_everybody(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """In the same process; the receiver is a new one."""
    one = manager(server, open_browser=browser)
    async with Client(token_manager=one) as client:
        for _ in range(2):
            responses = await asyncio.gather(*(client.get(server.resource) for _ in range(20)))
            assert {response.status for response in responses} == {200}
            server.revoke_all()
    assert len(browser.opened) == 2


async def test_nothing_is_renewed_ahead_and_an_expired_token_asks_again(
    server: AuthorizationServer, browser: FakeBrowser, clock: FakeClock
) -> None:
    """A window that nobody has asked for does not open."""
    server.token_lifetime, server.time = 100, clock.time
    one = manager(server, open_browser=browser, clock=clock)
    first = await one.get_token()
    clock.advance(85)
    assert await one.get_token() == first
    await asyncio.sleep(0)
    assert len(browser.opened) == 1
    clock.advance(10)
    assert await one.get_token() != first
    assert len(browser.opened) == 2


async def test_a_stored_token_opens_no_window(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """Tomorrow too; but not a token of another flow, client or authorization endpoint."""
    storage = TokenStorage()
    token = await manager(server, open_browser=browser, token_storage=storage).get_token()
    assert await manager(server, open_browser=browser, token_storage=storage).get_token() == token
    assert len(browser.opened) == 1
    others: list[dict[str, Any]] = [
        {"authorization_endpoint": server.authorization_endpoint},
        {"scope": "other"},
        {"token_request_params": {"audience": "other"}},
    ]
    for number, options in enumerate(others, 2):
        one = manager(server, open_browser=browser, token_storage=storage, **options)
        assert await one.get_token() != token
        assert len(browser.opened) == number


async def test_a_bare_token_that_0_4_0_stored_is_used(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """A storage written for 0.4.0 goes on working."""
    storage = TokenStorage()
    storage.token = server.issue()
    one = manager(server, open_browser=browser, token_storage=storage)
    assert await one.get_token() == storage.token
    assert not browser.opened


# -- refusals, and nobody there


async def test_a_denial_is_a_typed_error_at_once_and_the_page_says_so(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """RFC 6749 section 4.2.2.1."""
    server.deny = True
    with pytest.raises(AuthorizationError) as caught:
        await manager(server, open_browser=browser).get_token()
    assert caught.value.error == "access_denied"
    assert caught.value.error_description == "the request was denied"
    await browser.done()
    assert browser.titles[-1] == "You are not signed in."


async def test_a_denial_is_remembered_for_a_minute_by_all_that_share_the_storage(
    server: AuthorizationServer, browser: FakeBrowser, clock: FakeClock
) -> None:
    """A busy service, even one that builds a client per request, opens no window per request."""
    server.deny = True
    storage = TokenStorage()

    def client() -> OAuthImplictTokenManager:
        return manager(server, open_browser=browser, token_storage=storage, clock=clock)

    waiting = [client() for _ in range(5)]
    results = await asyncio.gather(*(one.get_token() for one in waiting), return_exceptions=True)
    assert {type(result) for result in results} == {AuthorizationError}
    clock.advance(59)
    for one in (*waiting, client()):
        with pytest.raises(AuthorizationError, match="access_denied"):
            await one.get_token()
    assert len(browser.opened) == 1
    clock.advance(2)
    server.deny = False
    token = await waiting[3].get_token()
    assert [await one.get_token() for one in waiting] == [token] * 5
    assert len(browser.opened) == 2


async def test_a_denial_is_remembered_by_clients_that_were_given_no_clock(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """As all are, outside these tests."""
    server.deny = True
    storage = TokenStorage()
    for _ in range(3):
        with pytest.raises(AuthorizationError, match="access_denied"):
            await manager(server, open_browser=browser, token_storage=storage).get_token()
    assert len(browser.opened) == 1


async def test_a_denial_is_remembered_until_reset_token(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """Somebody has asked for a new token in so many words."""
    server.deny = True
    one = manager(server, open_browser=browser, token_storage=TokenStorage())
    for _ in range(3):
        with pytest.raises(AuthorizationError):
            await one.get_token()
    assert len(browser.opened) == 1
    server.deny = False
    await one.reset_token()
    await one.get_token()
    assert len(browser.opened) == 2


async def test_nobody_signing_in_is_an_error_in_time(
    server: AuthorizationServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The port is closed then."""
    one = manager(server, open_browser=lambda url: False, authorization_timeout=0.05)
    assert one.lock_timeout > 0.05
    with pytest.raises(AuthorizationError, match=r"Nobody signed in within 0\.05 seconds"):
        await one.get_token()
    assert not await connects(one._port_range[0])


async def test_a_cancelled_caller_leaves_nothing_behind(server: AuthorizationServer) -> None:
    """Nobody waits any more: the sign-in is given up, and the next call starts another."""
    quiet, busy = FakeBrowser(), FakeBrowser()
    quiet.works = False
    one = manager(server, open_browser=quiet, token_storage=TokenStorage())
    callers = [asyncio.create_task(one.get_token()) for _ in range(3)]
    while not quiet.opened:
        await asyncio.sleep(0)
    assert await connects(one._port_range[0])
    callers[0].cancel()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(callers[1]), 0.01)
    assert await connects(one._port_range[0]), "others still wait"
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    one._open_browser = busy
    await one.get_token()
    await busy.done()
    assert not await connects(one._port_range[0])


async def test_closing_the_client_ends_a_sign_in(server: AuthorizationServer) -> None:
    """Who waits is told so."""
    person = FakeBrowser(works=False)
    ports = free_ports(1)
    async with await use_implicit_flow(TokenStorage(), ports, open_browser=person):
        client = Client(server.client_id, "", server.token_endpoint)
    waiting = asyncio.ensure_future(client.get(server.resource))
    while not person.opened:
        await asyncio.sleep(0)
    await client.close()
    with pytest.raises(TokenError, match="closed"):
        await waiting
    assert not await connects(ports[0])


async def test_all_ports_taken_names_the_range(server: AuthorizationServer) -> None:
    """And no browser is opened."""
    person = FakeBrowser()
    one = manager(server, open_browser=person)
    port = one._port_range[0]
    with taken(port), pytest.raises(TokenError, match=f"{port} to {port}"):
        await one.get_token()
    assert not person.opened


async def test_a_forged_callback_during_a_sign_in_changes_nothing(
    server: AuthorizationServer,
) -> None:
    """It is answered and ignored, and the person signs in after it."""
    person = FakeBrowser()
    person.works = False
    one = manager(server, open_browser=person)
    caller = asyncio.create_task(one.get_token())
    while not person.opened:
        await asyncio.sleep(0)
    (redirect_uri,) = asked(person.opened[0])["redirect_uri"]
    forged = [["access_token", "forged"], ["token_type", "Bearer"], ["state", "guessed"]]
    for pairs in (forged, forged[:2], [["error", "access_denied"]]):
        async with post_answer(redirect_uri, pairs) as response:
            assert (await response.json())["kind"] == "unknown"
    assert not caller.done()
    person.works = True
    await person(person.opened[0])
    assert server.accepts(await caller)
    await person.done()


async def test_no_token_is_logged_or_printed_or_in_a_url(
    server: AuthorizationServer,
    browser: FakeBrowser,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not at the most talkative level either."""
    caplog.set_level(logging.DEBUG)
    one = manager(server, open_browser=browser, token_storage=TokenStorage())
    token = await one.get_token()
    await browser.done()
    shown = caplog.text + "".join(capfd.readouterr()) + repr(one) + str(browser.visited)
    assert token not in shown
    assert asked(browser.opened[0])["state"][0] not in caplog.text


# -- the switch


async def test_the_switch_is_put_back_by_its_handle(server: AuthorizationServer) -> None:
    """By ``close()``, awaited or not, and at the end of ``async with``; more than once is once."""
    assert Client.token_manager_class is TokenManager
    handle = await use_implicit_flow(TokenStorage())
    assert issubclass(handle.manager_class, OAuthImplictTokenManager)
    assert Client.token_manager_class is handle.manager_class
    handle.close()
    assert Client.token_manager_class is TokenManager
    await handle.close()
    async with await use_implicit_flow(TokenStorage()) as handle:
        assert Client.token_manager_class is handle.manager_class
        assert isinstance(Client("a", "").token_manager, OAuthImplictTokenManager)
    assert type(Client("a", "").token_manager) is TokenManager
    assert "closed" in repr(handle)


async def test_handles_may_be_closed_in_any_order() -> None:
    """What is put back is what was there before, less what was closed meanwhile."""
    outer = await use_implicit_flow(TokenStorage())
    middle = await use_implicit_flow(TokenStorage())
    inner = await use_implicit_flow(TokenStorage())
    middle.close()
    assert Client.token_manager_class is inner.manager_class
    inner.close()
    assert Client.token_manager_class is outer.manager_class
    outer.close()
    assert Client.token_manager_class is TokenManager


@pytest.mark.parametrize("flow", [AuthorizationCodeTokenManager, DeviceTokenManager])
async def test_a_switch_serves_any_flow(flow: type[TokenManager]) -> None:
    """A client's keyword comes before the switch's; a mistake is told before anything is switched."""
    with pytest.raises(TypeError, match="colour"):
        FlowSwitch(flow, {"colour": "red"})
    with pytest.raises(ValueError, match="authorization_timeout"):
        FlowSwitch(flow, {"authorization_timeout": 0})
    assert Client.token_manager_class is TokenManager
    async with FlowSwitch(flow, {"authorization_timeout": 5, "unattended": True}) as switch:
        client = Client("a", "", authorization_timeout=7)
        assert isinstance(client.token_manager, flow)
        assert type(client.token_manager) is switch.manager_class
        assert client.token_manager.fetch_timeout == 7 + 10
        with pytest.raises(TypeError, match="colour"):
            Client("a", "", colour="red")  # type: ignore[call-arg]
    assert Client.token_manager_class is TokenManager


async def test_what_somebody_else_has_put_there_is_not_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The handle undoes its own work only."""

    class Mine(TokenManager):
        pass

    handle = await use_implicit_flow(TokenStorage())
    with monkeypatch.context() as patch:
        patch.setattr(Client, "token_manager_class", Mine)
        handle.close()
        assert Client.token_manager_class is Mine
    handle.close()


async def test_a_subclass_with_a_manager_class_of_its_own_is_not_touched() -> None:
    """The switch is for `Client` and for those that say nothing."""

    class Silent(Client):
        pass

    class Own(Client):
        token_manager_class = TokenManager

    async with await use_implicit_flow(TokenStorage()):
        assert isinstance(Silent("a", "").token_manager, OAuthImplictTokenManager)
        assert type(Own("a", "").token_manager) is TokenManager


async def test_a_keyword_of_a_client_comes_before_those_of_the_switch(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """The manager's keywords are the client's too."""
    storage = TokenStorage()
    ports = free_ports(2)
    async with await use_implicit_flow(TokenStorage(), ports, open_browser=browser):
        client = Client(
            server.client_id,
            "",
            authorization_endpoint=server.authorization_endpoint,
            token_storage=storage,
            port_range=(ports[1], ports[1]),
            timeout=aiohttp.ClientTimeout(5),
        )
        async with client, client.get(server.resource) as response:
            assert response.status == 200
    assert storage.token
    assert asked(browser.opened[0])["redirect_uri"] == [f"http://localhost:{ports[1]}"]


# -- opening a browser


async def test_the_loop_goes_on_while_the_browser_comes_up(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """A plain opener may block; it runs in a thread that the end of the program does not wait for."""
    loop, release, ran_in = asyncio.get_running_loop(), threading.Event(), list[Any]()

    def open_browser(url: str) -> None:
        ran_in.append(threading.current_thread())
        asyncio.run_coroutine_threadsafe(browser(url), loop)
        release.wait(30)

    await manager(server, open_browser=open_browser).get_token()
    assert ran_in[0] is not threading.main_thread()
    assert ran_in[0].daemon
    release.set()
    ran_in[0].join()


@pytest.mark.parametrize("how", ["says no", "raises", "says no, async", "raises, async"])
async def test_where_no_browser_opens_the_address_is_printed_and_awaited(
    how: str, server: AuthorizationServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, with what to do; and whoever opens it by hand signs in."""

    def plain(url: str) -> bool:
        if "raises" in how:
            raise OSError("no display")
        return False

    async def asynchronous(url: str) -> bool:
        return plain(url)

    opener = asynchronous if "async" in how else plain
    one = manager(server, open_browser=opener)
    caller = asyncio.create_task(one.get_token())
    printed = ""
    while "ssh -L" not in printed:
        await asyncio.sleep(0)
        printed += capsys.readouterr().err
    (url,) = [line.strip() for line in printed.splitlines() if "://" in line]
    port = one._port_range[0]
    assert f"ssh -L {port}:localhost:{port} " in printed
    assert "10 seconds" in printed
    person = FakeBrowser()
    await person(url)
    token = await caller
    await person.done()
    assert token not in printed


async def test_a_stderr_that_is_not_there_is_no_obstacle(
    server: AuthorizationServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A program without a console, or whose stderr is closed."""
    closed = io.StringIO()
    closed.close()
    for stderr in (None, closed):
        monkeypatch.setattr(sys, "stderr", stderr)
        one = manager(server, open_browser=lambda url: False, authorization_timeout=0.05)
        with pytest.raises(AuthorizationError):
            await one.get_token()
    monkeypatch.undo()
    assert "Nobody can be told" in caplog.text


def test_the_default_is_the_browser_that_webbrowser_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """But a console browser would take over the terminal, and over ssh it is the wrong machine."""
    opened: list[str] = []

    def open_browser(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", open_browser)
    for name in ("SSH_CONNECTION", "SSH_TTY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    found: list[webbrowser.BaseBrowser] = [webbrowser.BackgroundBrowser("firefox")]
    monkeypatch.setattr(webbrowser, "get", lambda: found[0])
    assert open_in_browser("http://1")
    for console in ("w3m", "/usr/bin/www-browser", "lynx"):
        found[0] = webbrowser.GenericBrowser(console)
        assert not open_in_browser("http://2")
    found[0] = webbrowser.GenericBrowser("/home/me/open-on-my-laptop")
    monkeypatch.setenv("SSH_CONNECTION", "1 2 3 4")
    assert not open_in_browser("http://3")
    monkeypatch.setenv("BROWSER", "/home/me/open-on-my-laptop")
    assert open_in_browser("http://4")
    assert opened == ["http://1", "http://4"]


def test_without_any_browser_the_default_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container."""

    def get() -> webbrowser.BaseBrowser:
        raise webbrowser.Error("none")

    monkeypatch.setattr(webbrowser, "get", get)
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    assert not open_in_browser("http://1")


async def test_a_browser_that_comes_up_after_the_loop_is_gone_hurts_nothing() -> None:
    """The program has ended meanwhile, or started another loop."""
    release, returned = threading.Event(), threading.Event()

    def slow(url: str) -> bool:
        release.wait(30)
        returned.set()
        return True

    def elsewhere() -> None:
        async def give_up() -> None:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(browser_module._call(slow, "http://1"), 0.01)

        asyncio.run(give_up())

    await asyncio.to_thread(elsewhere)
    release.set()
    assert await asyncio.to_thread(returned.wait, 30)


def test_importing_the_flow_imports_neither_a_server_nor_a_browser() -> None:
    """Only who signs in pays for that."""
    program = (
        "import sys, aioalf.implicit_manager as m; m.OAuthImplictTokenManager('https://a', 'b');"
        "print(sorted({'aiohttp.web', 'webbrowser', 'aioalf.interactive.receiver'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == "[]\n"


async def test_a_denial_counts_for_the_same_request_only(
    server: AuthorizationServer, browser: FakeBrowser, clock: FakeClock
) -> None:
    """Another scope, or another audience, is another question to the person; and a clock of its own
    is another minute."""
    server.deny = True
    storage = TokenStorage()
    others: list[dict[str, Any]] = [
        {},
        {"scope": "other"},
        {"token_request_params": {"audience": "other"}},
        {"authorization_endpoint": server.authorization_endpoint},
        {"clock": FakeClock()},
    ]
    for number, options in enumerate(others, 1):
        for _ in range(2):
            settings = {"clock": clock, **options}
            one = manager(server, open_browser=browser, token_storage=storage, **settings)
            with pytest.raises(AuthorizationError):
                await one.get_token()
        assert len(browser.opened) == number


async def test_a_denial_counts_as_one_failure(
    server: AuthorizationServer, browser: FakeBrowser, clock: FakeClock
) -> None:
    """It is told by the flow and by the renewal: with another failure these are two, not three."""
    server.deny = True
    one = manager(server, open_browser=browser, token_storage=TokenStorage(), clock=clock)
    with pytest.raises(AuthorizationError, match="access_denied"):
        await one.get_token()
    await browser.done()
    clock.advance(61)
    server.deny = False
    port = one._port_range[0]
    with taken(port), pytest.raises(TokenError, match=f"{port} to {port}"):
        await one.get_token()
    assert server.accepts(await one.get_token())


async def test_a_denial_is_known_to_the_next_in_line_before_the_storage_is_unlocked(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """However long the one who was refused takes to hear that its lock is given back."""

    class Late(OneSlot):
        @contextlib.asynccontextmanager
        async def lock(self) -> AsyncIterator[None]:
            async with super().lock():
                yield
            await turns(500)

    server.deny = True
    storage = Late()
    waiting = [manager(server, open_browser=browser, token_storage=storage) for _ in range(3)]
    results = await asyncio.gather(*(one.get_token() for one in waiting), return_exceptions=True)
    assert {type(result) for result in results} == {AuthorizationError}
    assert len(browser.opened) == 1


async def test_a_storage_that_cannot_be_told_from_others_is_used_all_the_same(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """One that compares by what it holds has no hash: each manager then remembers for itself."""

    class Comparing(OneSlot):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Comparing) and other.line == self.line

    storage = Comparing()
    token = await manager(server, open_browser=browser, token_storage=storage).get_token()
    assert await manager(server, open_browser=browser, token_storage=storage).get_token() == token
    assert len(browser.opened) == 1


async def test_a_subclass_of_the_switch_s_manager_is_not_put_back_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody else has made it and put it there."""
    handle = await use_implicit_flow(TokenStorage())

    class Mine(handle.manager_class):  # type: ignore[name-defined, misc]
        pass

    with monkeypatch.context() as patch:
        patch.setattr(Client, "token_manager_class", Mine)
        handle.close()
        assert Client.token_manager_class is Mine
    handle.close()


@pytest.mark.parametrize("name", ["redirect_uri", "response_mode", "response_type", "state"])
def test_a_parameter_that_the_flow_sets_itself_is_refused(name: str) -> None:
    """It would be in the address in place of the flow's own."""
    with pytest.raises(ValueError, match=f"cannot hold {name}"):
        OAuthImplictTokenManager("https://a.example", "x", token_request_params={name: "mine"})


async def test_an_expiry_that_cannot_be_read_is_told_once(
    server: AuthorizationServer, browser: FakeBrowser, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is checked for the person, and read for the program."""
    server.token_parameters = {"expires_in": "soon"}
    await manager(server, open_browser=browser).get_token()
    assert [r.message for r in caplog.records if "expires_in" in r.message][1:] == []
    assert "expires_in that cannot be read" in caplog.text


async def test_an_overridden_get_token_is_renewed_also_where_only_the_authorization_endpoint_is_known(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """The person is asked again after a 401."""

    class Old(OAuthImplictTokenManager):
        async def get_token(self) -> str:
            return await super().get_token()

    one = Old(
        client_id=server.client_id,
        authorization_endpoint=server.authorization_endpoint,
        port_range=free_ports(1),
        open_browser=browser,
    )
    first = await one.get()
    one.report_accepted(first)
    server.revoke_all()
    assert server.accepts((await one.renew(first)).access_token)
    assert len(browser.opened) == 2


async def test_a_token_that_expires_in_no_time_opens_one_window(
    server: AuthorizationServer, browser: FakeBrowser
) -> None:
    """Some servers say 0 and mean that it does not expire; it is used until a 401."""
    server.token_parameters = {"expires_in": 0}
    async with Client(token_manager=manager(server, open_browser=browser)) as client:
        for _ in range(5):
            assert (await client.get(server.resource)).status == 200
    assert len(browser.opened) == 1


async def test_a_resource_that_always_answers_401_opens_no_further_window(
    server: AuthorizationServer, browser: FakeBrowser, clock: FakeClock
) -> None:
    """It means 403; and what another resource accepts says nothing about it."""
    server.time = clock.time
    one = manager(server, open_browser=browser, clock=clock)
    async with Client(token_manager=one) as client:
        for _ in range(5):
            server.resource_answer_next(401, times=2)
            for _ in range(2):
                assert (await client.get(server.resource)).status == 401
            server.clear_next()
        assert len(browser.opened) == 1
        for number in range(30):  # a minute, every two seconds
            assert (await client.get(server.resource)).status == 200
            server.resource_answer_next(401, times=2)
            assert (await client.get(server.resource)).status == 401
            server.clear_next()
            clock.advance(2)
            assert len(browser.opened) <= 2, number


@pytest.mark.parametrize("endpoint", ["ftp://u:S3cr3t@h/", "S3cr3t", "https://u:S3cr3t@h.example/"])
async def test_an_authorization_endpoint_that_is_none_is_not_shown(
    endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be a secret in the wrong place, or hold one."""
    one = OAuthImplictTokenManager(client_id="c", authorization_endpoint=endpoint)
    with pytest.raises(TokenError, match="authorization endpoint") as caught:
        await one.get()
    assert "S3cr3t" not in f"{caught.value}{caplog.text}{one!r}"


async def test_an_authorization_endpoint_in_the_clear_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The token comes through it."""

    def opener(url: str) -> bool:
        raise AuthorizationError("enough")

    one = OAuthImplictTokenManager(
        client_id="c",
        authorization_endpoint="http://login.example.com/authorize",
        port_range=free_ports(1),
        open_browser=opener,
        authorization_timeout=0.01,
    )
    for _ in range(2):
        with pytest.raises(AuthorizationError):
            await one.reset_token()
    assert len([r for r in caplog.records if "is not https" in r.getMessage()]) == 1
