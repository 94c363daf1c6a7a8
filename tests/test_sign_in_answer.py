"""What ends a sign-in, what does not, and who must not see it: the answer of the authorization server."""

from __future__ import annotations

import asyncio
import gc
import logging
import logging.config
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from fake_browser import free_ports, post_answer

from aioalf import (
    AuthorizationCodeTokenManager,
    AuthorizationError,
    DeviceTokenManager,
    OAuthImplicitTokenManager,
)
from aioalf.interactive.receiver import LoopbackReceiver
from aioalf.protocol.authorization import read_authorization_response

TOKEN = "s3cr3t.token"
ISSUER = "https://login.example.com"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A browser's connections."""
    async with aiohttp.ClientSession() as one:
        yield one


def receiver(**options: Any) -> LoopbackReceiver:
    """Make a receiver of an authorization code, on a port of its own."""
    return LoopbackReceiver(**{"port_range": free_ports(1), "response_mode": "query", **options})


# -- what ends the wait


@pytest.mark.parametrize("path", ["", "/callback"])
async def test_what_is_no_answer_neither_ends_the_wait_nor_uses_the_code_up(
    path: str, session: aiohttp.ClientSession
) -> None:
    """Rule 14: only a GET or POST on the right path with the right state ends the wait.

    Link scanners and mail filters send HEAD first, browsers ask for /favicon.ico and send OPTIONS, and open
    connections on which nothing comes.
    """
    async with receiver(redirect_path=path) as one:
        root = f"http://localhost:{one.port}"
        answer = f"{one.redirect_uri}?{urlencode({'code': 'c', 'state': one.state})}"
        _, idle = await asyncio.open_connection("127.0.0.1", one.port)
        for method, url, expected in (
            ("HEAD", answer, 405),
            ("OPTIONS", answer, 405),
            ("PUT", answer, 405),
            ("POST", answer, 405),  # the mode is query
            ("GET", f"{root}/favicon.ico", 404),
            ("GET", answer.replace(one.redirect_uri, f"{root}/elsewhere"), 404),
            ("GET", answer.replace(one.state, "guessed"), 200),
            ("GET", one.redirect_uri, 200),
        ):
            async with session.request(method, url) as response:
                assert response.status == expected, (method, url)
                assert '<main data-kind="done"' not in await response.text()
        async with session.get(answer) as response:
            assert '<main data-kind="done"' in await response.text()
        async with session.get(answer) as response:
            assert "You are already signed in." in await response.text()
        async with session.get(answer.replace("code=c", "code=other")) as response:
            assert "You are already signed in." in await response.text()
        async with session.head(answer) as response:
            assert response.status == 405
        assert await one.receive(1) == {"code": "c"}
        idle.close()
        await idle.wait_closed()


async def test_a_form_post_is_not_ended_by_its_forerunners(session: aiohttp.ClientSession) -> None:
    """Rule 14, as the browser sends it in the mode form_post."""
    async with receiver(response_mode="form_post") as one:
        form = {"code": "c", "state": one.state}
        for method in ("HEAD", "OPTIONS"):
            async with session.request(method, one.redirect_uri, data=form) as response:
                assert response.status == 405
        async with session.post(one.redirect_uri, data={**form, "state": "guessed"}) as response:
            assert '<main data-kind="unknown"' in await response.text()
        for title in ("You are signed in.", "You are already signed in."):
            async with session.post(one.redirect_uri, data=form) as response:
                assert title in await response.text()
        assert await one.receive(1) == {"code": "c"}


async def test_two_codes_are_an_error_and_none_is_used(session: aiohttp.ClientSession) -> None:
    """RFC 6749 section 3.1: a parameter must not be there more than once."""
    async with receiver() as one:
        query = [("code", "a"), ("code", "b"), ("state", one.state)]
        async with session.get(one.redirect_uri, params=query) as response:
            assert '<main data-kind="refused"' in await response.text()
        with pytest.raises(AuthorizationError, match="repeats a parameter"):
            await one.receive(1)


# -- whose answer it is (RFC 9207)


def read(*pairs: tuple[str, str], **options: Any) -> dict[str, str] | None:
    """Read an answer in the query, as that of an authorization code comes."""
    return read_authorization_response(pairs, "s", came_in="query", expected_in="query", **options)


STATE = ("state", "s")
CODE = ("code", "c")
DENIED = ("error", "access_denied")


@pytest.mark.parametrize(
    ("iss", "issuer", "required"),
    [
        (ISSUER, ISSUER, True),
        (ISSUER, ISSUER, False),
        (None, ISSUER, False),
        (None, None, False),
        ("https://unknown.example.com", None, False),
    ],
)
def test_an_answer_of_the_issuer_is_used(
    iss: str | None, issuer: str | None, required: bool
) -> None:
    """RFC 9207 section 2.4. A server that promises no ``iss`` may leave it out, or send it."""
    pairs = [STATE, CODE] + ([("iss", iss)] if iss else [])
    assert read(*pairs, issuer=issuer, iss_required=required) == {"code": "c"}


@pytest.mark.parametrize(
    "iss",
    ["https://evil.example.com", f"{ISSUER}/", ISSUER.upper(), "", f" {ISSUER}", f"{ISSUER}/x"],
)
@pytest.mark.parametrize("answer", [CODE, DENIED])
def test_an_answer_of_another_issuer_is_not_used(iss: str, answer: tuple[str, str]) -> None:
    """RFC 9207 section 2.4: compared character by character, on errors too; both are shown."""
    with pytest.raises(AuthorizationError, match="another issuer") as caught:
        read(STATE, answer, ("iss", iss), ("error_description", "forged"), issuer=ISSUER)
    assert repr(iss) in str(caught.value)
    assert repr(ISSUER) in str(caught.value)
    assert caught.value.error is None
    assert "forged" not in str(caught.value)


def test_an_issuer_that_was_promised_must_be_named() -> None:
    """RFC 9207 section 2.4: else an attacker would leave it out."""
    with pytest.raises(AuthorizationError, match="names no issuer") as caught:
        read(STATE, CODE, issuer=ISSUER, iss_required=True)
    assert caught.value.error is None


def test_a_refusal_without_the_issuer_that_was_promised_is_a_refusal() -> None:
    """django-oauth-toolkit leaves it out of errors; nothing that is sent anywhere comes of one."""
    with pytest.raises(AuthorizationError, match="access_denied") as caught:
        read(STATE, DENIED, issuer=ISSUER, iss_required=True)
    assert caught.value.error == "access_denied"


def test_the_state_comes_before_the_issuer() -> None:
    """An answer without the right state is not even an error: anybody can send it."""
    evil = ("iss", "https://evil.example.com")
    for pairs in ([("state", "x"), CODE, evil], [CODE, evil], [STATE, STATE, CODE, evil]):
        assert read(*pairs, issuer=ISSUER, iss_required=True) is None


def test_two_issuers_are_an_error() -> None:
    """RFC 6749 section 3.1."""
    iss = ("iss", ISSUER)
    with pytest.raises(AuthorizationError, match="repeats a parameter"):
        read(STATE, CODE, iss, iss, issuer=ISSUER)


def test_an_issuer_that_is_shown_cannot_write_on_the_terminal_or_show_a_secret() -> None:
    """It comes from the network, and goes into a message."""
    iss = f"https://e.example/?access_token={TOKEN}&x=\x1b[31m" + "x" * 5000
    with pytest.raises(AuthorizationError) as caught:
        read(STATE, CODE, ("iss", iss), issuer=ISSUER)
    assert "\x1b" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("iss", "reason"), [({"iss": "https://evil.example.com"}, "another issuer"), ({}, "no issuer")]
)
async def test_a_receiver_checks_the_issuer_and_tells_the_person(
    iss: dict[str, str], reason: str, session: aiohttp.ClientSession
) -> None:
    """RFC 9207 section 2.4."""
    async with receiver(issuer=ISSUER, iss_required=True) as one:
        query = {"state": one.state, "code": "c", **iss}
        async with session.get(one.redirect_uri, params=query) as response:
            text = await response.text()
        assert '<main data-kind="refused"' in text
        assert reason in text
        with pytest.raises(AuthorizationError, match=reason):
            await one.receive(1)


async def test_the_implicit_flow_checks_the_issuer_if_it_is_known() -> None:
    """RFC 9207 covers every answer of an authorization endpoint."""
    manager = OAuthImplicitTokenManager(
        client_id="c",
        issuer=ISSUER,
        authorization_endpoint=f"{ISSUER}/authorize",
        port_range=free_ports(1),
        open_browser=ends_at(iss="https://evil.example.com"),
    )
    with pytest.raises(AuthorizationError, match="another issuer"):
        await manager.get()
    await manager.close()


# -- who must not see it


def ends_at(**more: str) -> Callable[[str], str]:
    """Return an ``open_browser=`` that says at which address the browser has ended, with a token."""

    def open_browser(url: str) -> str:
        asked = parse_qs(urlsplit(url).query)
        # The token comes last, as asyncio shortens what it shows, but shows both ends.
        answer = {**more, "state": asked["state"][0], "token_type": "Bearer", "access_token": TOKEN}
        return f"{asked['redirect_uri'][0]}#{urlencode(answer)}"

    return open_browser


@pytest.mark.parametrize("way", ["posted by the page", "returned", "returned by a coroutine"])
async def test_asyncio_in_debug_mode_shows_no_token(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It logs every handle that takes long, with the arguments, and the futures with their results."""
    ended = ends_at()
    posted: list[asyncio.Task[None]] = []

    async def post(address: str) -> None:
        bare, _, fragment = address.partition("#")
        pairs = [[name, value] for name, (value,) in parse_qs(fragment).items()]
        async with post_answer(bare, pairs):
            pass

    async def open_browser(url: str) -> str | None:
        if way == "returned by a coroutine":
            return ended(url)
        posted.append(asyncio.create_task(post(ended(url))))
        return None

    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    manager = OAuthImplicitTokenManager(
        client_id="c",
        authorization_endpoint=f"{ISSUER}/authorize",
        port_range=free_ports(1),
        open_browser=ended if way == "returned" else open_browser,
    )
    with caplog.at_level(logging.DEBUG):
        loop.slow_callback_duration = 0.0
        token = await manager.get()
        loop.slow_callback_duration = 10.0
    futures = [repr(one) for one in gc.get_objects() if isinstance(one, asyncio.Future)]
    await asyncio.gather(*posted)
    loop.set_debug(False)
    await manager.close()
    assert token.access_token == TOKEN
    assert "Executing <Handle" in caplog.text
    ours = [line for line in [*caplog.messages, *futures] if "fake_browser" not in line]
    assert TOKEN not in "\n".join(ours)


async def test_a_logging_configuration_that_enables_all_loggers_lets_no_request_line_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp's server logs the first line of what it cannot parse, and a token may be there."""
    monkeypatch.setattr("logging.config._clearExistingHandlers", lambda: None)
    names = [name for name in logging.root.manager.loggerDict if name.startswith("aioalf")]
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "loggers": {name: {"level": "DEBUG", "propagate": True} for name in names},
        }
    )
    caplog.set_level(logging.DEBUG)
    async with receiver() as one:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write(f"GET /?access_token={TOKEN} HTTP/1.1\x00\r\n\r\n".encode())
        assert b" 400 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
    assert TOKEN not in caplog.text
    for name in names:
        logging.getLogger(name).setLevel(logging.NOTSET)


# -- settings that all sign-ins have


FLOWS = (OAuthImplicitTokenManager, AuthorizationCodeTokenManager, DeviceTokenManager)


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("300", TypeError),
        (None, TypeError),
        ([300], TypeError),
        (0, ValueError),
        (-1.0, ValueError),
        (float("nan"), ValueError),
    ],
)
def test_a_time_that_is_none_is_refused_when_the_manager_is_built(
    flow: Any, value: object, error: type[Exception]
) -> None:
    """Not at the first sign-in, when a person waits. Without an end is allowed: ``inf``."""
    with pytest.raises(error, match="authorization_timeout"):
        flow(client_id="c", authorization_timeout=value)
    flow(client_id="c", authorization_timeout=float("inf"))


@pytest.mark.parametrize("flow", FLOWS[:2])
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("redirect_host", 5, TypeError),
        ("redirect_host", None, TypeError),
        ("redirect_host", "example.com", ValueError),
        ("redirect_path", None, TypeError),
        ("redirect_path", b"/callback", TypeError),
        ("redirect_path", "callback", ValueError),
        ("open_browser", "firefox", TypeError),
        ("open_browser", False, TypeError),
        ("port_range", "32000", ValueError),
        ("response_mode", "fragments", ValueError),
    ],
)
def test_a_setting_of_the_redirect_that_is_none_is_refused_by_its_name(
    flow: Any, name: str, value: object, error: type[Exception]
) -> None:
    """A wrong kind is a TypeError, a value that cannot be used a ValueError."""
    with pytest.raises(error, match=name):
        flow(client_id="c", **{name: value})
