"""The loopback receiver: `aioalf.interactive.receiver` and the modules that only it needs."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import logging.config
import socket
from contextlib import AsyncExitStack, ExitStack, nullcontext, suppress
from typing import Any

import aiohttp
import pytest
from fake_browser import connects, free_ports, post_answer, taken
from hypothesis import given
from hypothesis import strategies as st

from aioalf.errors import AuthorizationError, TokenError
from aioalf.interactive import loopback_server
from aioalf.interactive import port as loopback_port
from aioalf.interactive.page import CALLBACK_PATH, Page, render
from aioalf.interactive.receiver import LoopbackReceiver
from aioalf.protocol.authorization import (
    authorization_endpoint_of,
    authorization_url,
    read_authorization_response,
)

TOKEN = "s3cr3t.token"


def receiver(**options: Any) -> LoopbackReceiver:
    """Make a receiver on a port of its own."""
    return LoopbackReceiver(**{"port_range": free_ports(1), **options})


async def raw(port: int, *lines: str, body: str = "", host: str = "127.0.0.1") -> str:
    """Send a request as it stands and return the whole answer."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return answer


async def status(port: int, *lines: str, body: str = "") -> int:
    """Send a request as it stands and return the status of the answer."""
    return int((await raw(port, *lines, body=body)).split()[1])


# -- the port


async def test_the_first_free_port_of_the_range_is_used_in_order() -> None:
    """Nine of ten ports are taken: the tenth is used."""
    first, last = free_ports(10)
    with ExitStack() as others:
        for port in range(first, last):
            others.enter_context(taken(port))
        async with LoopbackReceiver(port_range=(first, last)) as one:
            assert one.port == last
    async with LoopbackReceiver(port_range=(first, last)) as one:
        assert one.port == first
        async with LoopbackReceiver(port_range=(first, last)) as two:
            assert two.port == first + 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0"])
async def test_a_port_taken_on_one_address_counts_as_taken(host: str) -> None:
    """A browser may prefer either family, and whoever is there would get the answer."""
    first, last = free_ports(2)
    with taken(first, host):
        async with LoopbackReceiver(port_range=(first, last)) as one:
            assert one.port == last


async def test_all_ports_taken_is_an_error_that_names_the_range() -> None:
    """RFC 8252 section 7.3: there is nowhere to receive the answer."""
    first, last = free_ports(2)
    with taken(first), taken(last), pytest.raises(TokenError, match=f"{first} to {last}"):
        async with LoopbackReceiver(port_range=(first, last)):
            pass


async def test_it_listens_on_both_loopback_addresses_and_on_no_other() -> None:
    """RFC 8252 section 8.3: another machine must not reach it."""
    async with receiver() as one:
        assert await connects(one.port, "127.0.0.1")
        assert await connects(one.port, "::1")
        assert not await connects(one.port, "127.0.0.2")


async def test_a_machine_without_ipv6_gets_the_other_address_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not having ::1 is not the same as ::1 being taken."""
    families = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "2001:db8::1"))
    monkeypatch.setattr(loopback_port, "_FAMILIES", families)
    async with receiver() as one:
        assert await connects(one.port, "127.0.0.1")
        assert not await connects(one.port, "::1")


async def test_a_port_can_be_used_again_at_once() -> None:
    """Connections of the sign-in before it are in TIME_WAIT then."""
    ports = free_ports(1)
    for _ in range(3):
        async with LoopbackReceiver(port_range=ports) as one:
            async with post_answer(one.redirect_uri, [["state", one.state]]) as response:
                assert response.status == 200
            await one.receive(1)


def test_a_wildcard_listener_elsewhere_than_on_linux_counts_as_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There SO_REUSEADDR lets us bind below it; whoever answers tells that somebody is there."""
    port = free_ports(1)[0]
    monkeypatch.setattr(loopback_port, "_answers", lambda sock: True)
    with pytest.raises(TokenError):
        loopback_port.bind_first_free((port, port))


@pytest.mark.parametrize(
    "ports", [(2, 1), (0, 5), (1, 65536), (1,), (1, 2, 3), 32000, "12", ("1", "2"), (1.0, 2)]
)
def test_a_range_that_is_none_is_refused(ports: Any) -> None:
    """It is said at once, not when a sign-in is needed."""
    with pytest.raises(ValueError, match="port_range"):
        LoopbackReceiver(port_range=ports)


@pytest.mark.parametrize(
    "options",
    [
        {"redirect_host": "example.com"},
        {"redirect_host": "0.0.0.0"},
        {"redirect_path": "callback"},
        {"redirect_path": "/a?b"},
        {"redirect_path": "//a"},
        {"redirect_path": "/a b"},
        {"response_mode": "web_message"},
    ],
)
def test_a_redirect_uri_or_a_mode_that_cannot_work_is_refused(options: dict[str, Any]) -> None:
    """RFC 6749 section 3.1.2, and nothing but loopback."""
    with pytest.raises(ValueError, match="must be"):
        LoopbackReceiver(**options)


async def test_host_and_path_of_the_redirect_uri_can_be_chosen() -> None:
    """Servers register one of the three names, some of them with a path."""
    async with receiver(redirect_host="::1", redirect_path="/sign%20in/back") as one:
        assert one.redirect_uri == f"http://[::1]:{one.port}/sign%20in/back"
        async with aiohttp.ClientSession() as session, session.get(one.redirect_uri) as response:
            assert response.status == 200
        assert await status(one.port, "GET / HTTP/1.1", f"Host: localhost:{one.port}") == 404
        async with post_answer(one.redirect_uri, [["state", one.state], ["a", "b"]]):
            assert await one.receive(1) == {"a": "b"}


# -- what is taken, and what is not


async def test_the_answer_of_the_page_is_received_without_its_state() -> None:
    """RFC 6749 section 4.2.2."""
    async with receiver() as one:
        pairs = [["access_token", TOKEN], ["token_type", "Bearer"], ["state", one.state]]
        async with post_answer(one.redirect_uri, pairs) as response:
            assert (await response.json())["title"] == "You are signed in."
        assert await one.receive(1) == {"access_token": TOKEN, "token_type": "Bearer"}


@pytest.mark.parametrize(
    "state", [[], ["wrong"], [""], ["ünï\udc80"], ["right", "right"], ["right", "wrong"]]
)
async def test_a_forged_answer_is_answered_and_changes_nothing(state: list[str]) -> None:
    """RFC 6749 section 10.12: no state, a wrong one, one that is not ASCII, two of them."""
    async with receiver() as one:
        given = [one.state if value == "right" else value for value in state]
        forged = [["access_token", "forged"], *(["state", value] for value in given)]
        for pairs in (forged, [["error", "access_denied"], *forged]):
            async with post_answer(one.redirect_uri, pairs) as response:
                assert (await response.json())["kind"] == "unknown"
        async with post_answer(one.redirect_uri, [["access_token", TOKEN], ["state", one.state]]):
            assert await one.receive(1) == {"access_token": TOKEN}


@pytest.mark.parametrize("path", ["/", CALLBACK_PATH, "/favicon.ico"])
@pytest.mark.parametrize("host", ["example.com", "localhost", "localhost:1", "127.0.0.2:{port}"])
async def test_another_host_is_refused_on_every_path(path: str, host: str) -> None:
    """A name that an attacker points at this machine (DNS rebinding) opens nothing."""
    async with receiver() as one:
        named = f"Host: {host.format(port=one.port)}"
        assert await status(one.port, f"GET {path} HTTP/1.1", named) == 403
        assert await status(one.port, f"POST {path} HTTP/1.1", named, "Content-Length: 0") == 403


async def test_no_host_and_two_hosts_are_refused() -> None:
    """RFC 9112 section 3.2."""
    async with receiver() as one:
        right = f"Host: localhost:{one.port}"
        assert await status(one.port, "GET / HTTP/1.0") == 403
        assert await status(one.port, "GET / HTTP/1.1", right, right) in (400, 403)
        assert await status(one.port, "GET / HTTP/1.1", right) == 200


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "",
        "http://example.com",
        "https://localhost:{port}",
        "http://localhost:1",
        "http://127.0.0.1:{port}",
        "http://localhost:{port}, http://localhost:{port}",
    ],
)
async def test_another_origin_is_refused(origin: str | None) -> None:
    """Only our own page may post, and the name in Origin must be the one in Host."""
    async with receiver() as one:
        body = json.dumps({"params": [["access_token", "forged"], ["state", one.state]]})
        lines = [
            f"POST {CALLBACK_PATH} HTTP/1.1",
            f"Host: localhost:{one.port}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        if origin is not None:
            lines.append(f"Origin: {origin.format(port=one.port)}")
        assert await status(one.port, *lines, body=body) == 403
        with pytest.raises(AuthorizationError, match="Nobody signed in"):
            await one.receive(0.01)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
async def test_each_of_the_three_loopback_names_is_served(host: str) -> None:
    """Whichever name the redirect URI has, the page posts to it."""
    async with receiver(redirect_host=host) as one:
        async with post_answer(one.redirect_uri, [["state", one.state]]) as response:
            assert response.status == 200


async def test_other_paths_are_404_and_other_methods_405() -> None:
    """A browser asks for /favicon.ico; it hurts nothing."""
    async with receiver() as one:
        host = f"Host: localhost:{one.port}"
        assert await status(one.port, "GET /favicon.ico HTTP/1.1", host) == 404
        assert await status(one.port, "POST / HTTP/1.1", host, "Content-Length: 0") == 405
        for method in ("PUT", "DELETE", "OPTIONS"):
            assert await status(one.port, f"{method} / HTTP/1.1", host) == 405
            assert await status(one.port, f"{method} {CALLBACK_PATH} HTTP/1.1", host) == 405
        assert await status(one.port, f"GET {CALLBACK_PATH} HTTP/1.1", host) == 405


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"params=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b"{}", {"Content-Encoding": "gzip"}, 415),
        (b"x" * (64 * 1024 + 1), {}, 413),
        (b"", {}, 400),
        (b"{}", {}, 400),
        (b"[]", {}, 400),
        (b"\xff", {}, 400),
        (b'{"params": 1}', {}, 400),
        (b'{"params": {"a": "b"}}', {}, 400),
        (b'{"params": [["state"]]}', {}, 400),
        (b'{"params": [["state", 1]]}', {}, 400),
        (b"[" * 60_000, {}, 400),
    ],
)
async def test_a_post_that_the_page_would_not_send_is_refused(
    body: bytes, headers: dict[str, str], expected: int
) -> None:
    """Type, size and shape are checked before anything is looked at."""
    async with receiver() as one, aiohttp.ClientSession() as session:
        given = {"Content-Type": "application/json", "Origin": one.redirect_uri, **headers}
        url = one.redirect_uri + CALLBACK_PATH
        async with session.post(url, data=body, headers=given, auto_decompress=True) as response:
            assert response.status == expected

        async def chunks() -> Any:
            yield body

        if expected == 413:  # nor when its length is not said beforehand
            async with session.post(url, data=chunks(), headers=given) as response:
                assert response.status == expected


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_no_answer_whatever_it_holds_crashes_the_receiver(pairs: list[tuple[str, str]]) -> None:
    """An answer comes from the network: it is taken, refused or ignored."""

    async def take() -> None:
        one = LoopbackReceiver()
        one._answer = asyncio.get_running_loop().create_future()
        page = one._accept_response([*pairs, ("state", one.state)], "fragment")
        assert page.title in render(page)
        one._answer.exception()

    asyncio.run(take())


async def test_a_repeated_parameter_is_an_error() -> None:
    """RFC 6749 section 3.1: parameters must not be included more than once."""
    async with receiver() as one:
        pairs = [["state", one.state], ["access_token", TOKEN], ["access_token", "other"]]
        async with post_answer(one.redirect_uri, pairs) as response:
            assert (await response.json())["kind"] == "refused"
        with pytest.raises(AuthorizationError, match="repeats"):
            await one.receive(1)


async def test_an_answer_that_the_check_refuses_is_told_to_the_person() -> None:
    """The page does not say "signed in" when the program will say otherwise."""

    def check(params: Any) -> None:
        raise TokenError("It is of no use.")

    async with receiver(check=check) as one:
        async with post_answer(one.redirect_uri, [["state", one.state]]) as response:
            page = await response.json()
        assert (page["kind"], page["detail"]) == ("refused", "It is of no use.")
        with pytest.raises(TokenError, match="of no use"):
            await one.receive(1)


async def test_an_error_in_the_fragment_is_raised_with_its_parts() -> None:
    """RFC 6749 section 4.2.2.1."""
    async with receiver() as one:
        pairs = [
            ["error", "access_denied"],
            ["error_description", "No,\x1b[31m thanks"],
            ["error_uri", "https://example.com/why"],
            ["state", one.state],
        ]
        async with post_answer(one.redirect_uri, pairs) as response:
            page = await response.json()
        assert page["title"] == "You are not signed in."
        with pytest.raises(AuthorizationError, match="access_denied") as caught:
            await one.receive(1)
    assert caught.value.error == "access_denied"
    assert caught.value.error_uri == "https://example.com/why"
    assert "\x1b" not in str(caught.value), "it may be printed on a terminal"


async def test_an_error_in_the_query_is_raised_and_shown_escaped() -> None:
    """Some servers put the errors of this flow there."""
    async with receiver() as one, aiohttp.ClientSession() as session:
        query = {"error": "server_error", "error_description": "<b>&", "state": one.state}
        async with session.get(one.redirect_uri, params=query) as response:
            text = await response.text()
        assert "&lt;b&gt;&amp; (server_error)" in text
        assert "<b>" not in text
        assert '<main data-kind="refused"' in text
        with pytest.raises(AuthorizationError, match="server_error"):
            await one.receive(1)


async def test_a_token_in_the_query_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    """It has been in a URL that reached a server; the error says what the server did."""
    caplog.set_level(logging.DEBUG)
    async with receiver() as one, aiohttp.ClientSession() as session:
        query = {"access_token": TOKEN, "state": one.state}
        async with session.get(one.redirect_uri, params=query) as response:
            text = await response.text()
        assert '<main data-kind="refused"' in text
        with pytest.raises(AuthorizationError, match="in the query") as caught:
            await one.receive(1)
    assert TOKEN not in text + str(caught.value) + caplog.text


async def test_a_query_is_received_where_it_was_asked_for() -> None:
    """RFC 6749 section 4.1.2: as the authorization code comes."""
    async with receiver(response_mode="query") as one, aiohttp.ClientSession() as session:
        async with session.get(f"{one.redirect_uri}/?state={one.state}&code=a%2Bb+c") as response:
            assert '<main data-kind="done"' in await response.text()
        assert await one.receive(1) == {"code": "a+b c"}


@pytest.mark.parametrize("origin", ["null", "https://login.example.com", None])
async def test_a_form_post_is_received_where_it_was_asked_for(origin: str | None) -> None:
    """OAuth 2.0 Form Post Response Mode section 2: the form comes from the server's page."""
    async with receiver(response_mode="form_post") as one, aiohttp.ClientSession() as session:
        headers = {} if origin is None else {"Origin": origin}
        form = {"access_token": TOKEN, "state": "wrong"}
        async with session.post(one.redirect_uri, data=form, headers=headers) as response:
            assert '<main data-kind="unknown"' in await response.text()
        async with session.post(one.redirect_uri, json=form, headers=headers) as response:
            assert response.status == 415
        form["state"] = one.state
        async with session.post(one.redirect_uri, data=form, headers=headers) as response:
            assert '<main data-kind="done"' in await response.text()
        assert await one.receive(1) == {"access_token": TOKEN}


# -- the page


async def test_every_answer_carries_the_headers_that_keep_it_to_itself() -> None:
    """Not stored, not framed, not sniffed, no referrer, and no script but its own."""
    async with receiver() as one, aiohttp.ClientSession() as session:
        for path in ("/", "/?error=x", "/nothing", CALLBACK_PATH):
            async with session.get(one.redirect_uri + path) as response:
                headers = response.headers
            assert headers["Cache-Control"] == "no-store"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            policy = dict(
                part.split(None, 1) for part in headers["Content-Security-Policy"].split(";")
            )
            scripts, styles = policy.pop("script-src"), policy.pop("style-src")
            assert scripts.startswith("'sha256-")
            assert styles.startswith("'sha256-")
            assert policy == {
                "default-src": "'none'",
                "connect-src": "'self'",
                "frame-ancestors": "'none'",
                "base-uri": "'none'",
                "form-action": "'none'",
            }


async def test_the_page_cleans_the_address_before_anything_else() -> None:
    """The first thing in the page is the script, and the first thing it does is that."""
    text = render(Page("waiting", "t", "t"))
    script = text.index("<script>")
    assert text.index("<title>") > script
    assert text.index("history.replaceState") < text.index("fetch(")
    assert "http:" not in text, "nothing is loaded from anywhere"
    assert "https:" not in text, "nothing is loaded from anywhere"
    assert "<noscript>" in text


async def test_a_page_loaded_again_says_that_the_person_is_signed_in_already() -> None:
    """A reload, or a browser that navigates twice."""
    async with receiver() as one, aiohttp.ClientSession() as session:
        for title in ("You are signed in.", "You are already signed in."):
            async with post_answer(one.redirect_uri, [["state", one.state]]) as response:
                assert (await response.json())["title"] == title
        async with session.get(one.redirect_uri) as response:
            assert "<title>You are already signed in.</title>" in await response.text()
        assert await one.receive(1) == {}


async def test_an_answer_that_comes_too_late_is_not_told_that_it_was_taken() -> None:
    """The program has said that nobody signed in."""
    async with receiver() as one:
        with pytest.raises(AuthorizationError, match=r"within 0\.01 seconds"):
            await one.receive(0.01)
        async with post_answer(one.redirect_uri, [["state", one.state]]) as response:
            assert (await response.json())["title"] == "The program is no longer waiting."


# -- the end


async def test_a_page_that_is_being_sent_arrives_whole_before_the_end() -> None:
    """A slow machine: the program has its answer, and the browser has not read the page."""
    async with AsyncExitStack() as open_receiver:
        one = await open_receiver.enter_async_context(receiver())
        body = json.dumps({"params": [["state", one.state]]})
        request = (
            f"POST {CALLBACK_PATH} HTTP/1.1\r\nHost: localhost:{one.port}\r\n"
            f"Origin: http://localhost:{one.port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write(request.encode())
        await one.receive(1)
        await open_receiver.aclose()
        assert not await connects(one.port)
        assert "You are signed in." in (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("error", [None, KeyError, asyncio.CancelledError])
async def test_the_port_is_closed_however_the_body_ends(error: type[BaseException] | None) -> None:
    """Whoever has connected and sent nothing, or half a request, does not hold that up."""
    one = receiver()
    with nullcontext() if error is None else pytest.raises(error):
        async with one:
            idle = await asyncio.open_connection("127.0.0.1", one.port)
            if error is not None:
                raise error
    assert not await connects(one.port, "127.0.0.1")
    assert not await connects(one.port, "::1")
    assert await idle[0].read() == b""
    idle[1].close()
    await idle[1].wait_closed()


async def test_a_task_that_is_cancelled_closes_the_port_at_once() -> None:
    """The program does not wait for a page that is of no interest any more."""
    one = receiver()

    async def sign_in() -> None:
        async with one:
            await one.receive(60)

    task = asyncio.create_task(sign_in())
    while not one.port or not await connects(one.port):
        await asyncio.sleep(0)
    reader, writer = await asyncio.open_connection("::1", one.port)
    half = ("Content-Type: application/json", "Content-Length: 9", "", "")
    head = (f"POST {CALLBACK_PATH} HTTP/1.1", f"Host: localhost:{one.port}")
    writer.write("\r\n".join([*head, f"Origin: http://localhost:{one.port}", *half]).encode())
    assert one._server is not None
    while not one._server.requests_count:
        await asyncio.sleep(0)
    task.cancel()
    started = asyncio.get_running_loop().time()
    await asyncio.wait({task})
    assert task.cancelled()
    assert asyncio.get_running_loop().time() - started < 1
    assert not await connects(one.port, "127.0.0.1")
    assert not await connects(one.port, "::1")
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_an_instance_serves_one_authorization() -> None:
    """A state that was used is used up."""
    one = receiver()
    with pytest.raises(RuntimeError, match="async with"):
        await one.receive(1)
    async with one:
        assert str(one.port) in repr(one)
        assert one.state not in repr(one)
    with pytest.raises(RuntimeError, match="another one"):
        async with one:
            pass
    assert receiver().state != one.state


async def test_a_request_that_cannot_be_parsed_is_not_logged(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """aiohttp's server logs request lines, and a token may be in one."""
    caplog.set_level(logging.DEBUG)
    async with receiver() as one:
        host = f"Host: localhost:{one.port}"
        line = f"GET /?access_token={TOKEN}{'x' * 20_000} HTTP/1.1"
        assert await status(one.port, line, host) == 400
        assert await status(one.port, f"GET /?access_token={TOKEN} HTTP/9.x", host) == 400
        assert await status(one.port, f"GET /?access_token={TOKEN} HTTP/1.1", host) == 200
    assert TOKEN not in caplog.text + "".join(capfd.readouterr())


# -- the address that a browser is sent to


@pytest.mark.parametrize(
    ("token_endpoint", "expected"),
    [
        ("https://a.example/token", "https://a.example/token/authorize"),
        ("https://a.example/token/", "https://a.example/token/authorize"),
        ("https://a.example", "https://a.example/authorize"),
        ("https://a.example/token?tenant=1", "https://a.example/token/authorize?tenant=1"),
    ],
)
def test_the_authorization_endpoint_is_below_the_token_endpoint(
    token_endpoint: str, expected: str
) -> None:
    """As version 0.4.0 had it."""
    assert authorization_endpoint_of(token_endpoint) == expected


def test_a_query_of_the_endpoint_is_kept_and_a_fragment_is_not() -> None:
    """RFC 6749 section 3.1."""
    url = authorization_url("https://a.example/auth?p=a%20b#x", {"scope": "a b/c+d", "none": None})
    assert url == "https://a.example/auth?p=a%20b&scope=a%20b%2Fc%2Bd"


def test_a_list_as_value_repeats_the_parameter() -> None:
    """RFC 8707 section 2: several resources."""
    url = authorization_url("https://a.example", {"resource": ["x:1", "é"]})
    assert url == "https://a.example?resource=x%3A1&resource=%C3%A9"


@pytest.mark.parametrize(
    "endpoint",
    ["", "a.example", "file:///etc/passwd", "javascript:1", "--x", "https://[", "https://"],
)
def test_what_is_no_web_address_is_not_given_to_a_browser(endpoint: str) -> None:
    """A browser may do more with an address than visit it."""
    with pytest.raises(TokenError, match="not an absolute http or https URL"):
        authorization_url(endpoint, {})


@pytest.mark.parametrize(
    "query", ["error=access_denied", "error=x&state=wrong", "state=", "code=1", "access_token=1"]
)
async def test_a_forged_error_in_the_query_changes_nothing(query: str) -> None:
    """RFC 6749 section 10.12, on errors too."""
    async with receiver() as one, aiohttp.ClientSession() as session:
        async with session.get(f"{one.redirect_uri}/?{query}") as response:
            assert '<main data-kind="unknown"' in await response.text()
        with pytest.raises(AuthorizationError, match="Nobody signed in"):
            await one.receive(0.01)


async def test_an_answer_that_cannot_be_used_is_told_with_its_reason() -> None:
    """It is an error of the server's, and none that the person has caused."""
    async with receiver() as one:
        pairs = [["state", one.state], ["access_token", TOKEN], ["access_token", "other"]]
        async with post_answer(one.redirect_uri, pairs) as response:
            page = await response.json()
        assert page["title"] == "The sign-in did not work."
        assert "repeats a parameter" in page["detail"]
        with pytest.raises(AuthorizationError, match="repeats"):
            await one.receive(1)


async def test_a_port_that_cannot_be_listened_on_is_given_back_on_both_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Entering failed, and nobody will leave."""
    loop = asyncio.get_running_loop()
    create_server, made = loop.create_server, 0

    async def one_only(*args: Any, **options: Any) -> Any:
        nonlocal made
        made += 1
        if made > 1:
            raise OSError("no more")
        return await create_server(*args, **options)

    monkeypatch.setattr(loop, "create_server", one_only)
    one = receiver()
    with pytest.raises(OSError, match="no more"):
        await one.__aenter__()
    assert made == 2
    assert not await connects(one.port, "127.0.0.1")
    assert not await connects(one.port, "::1")


async def test_the_name_of_the_host_is_served_in_any_case() -> None:
    """RFC 9110 section 4.2.3: host names are case-insensitive."""
    async with receiver() as one:
        assert await status(one.port, "GET / HTTP/1.1", f"Host: LocalHost:{one.port}") == 200


async def test_an_error_parameter_that_is_empty_is_none() -> None:
    """Some servers fill in every field of their template."""
    async with receiver() as one:
        pairs = [["state", one.state], ["access_token", TOKEN], ["error", ""]]
        async with post_answer(one.redirect_uri, pairs) as response:
            assert (await response.json())["title"] == "You are signed in."
        assert (await one.receive(1))["access_token"] == TOKEN


async def test_leaving_that_is_cancelled_cuts_off_what_is_still_connected() -> None:
    """An answer that its browser does not take does not stay behind, nor does its connection."""
    async with receiver() as one:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        half = ("Content-Type: application/json", "Content-Length: 9", "", "")
        head = (f"POST {CALLBACK_PATH} HTTP/1.1", f"Host: localhost:{one.port}")
        writer.write("\r\n".join([*head, f"Origin: http://localhost:{one.port}", *half]).encode())
        assert one._server is not None
        while not one._server.requests_count:
            await asyncio.sleep(0)
        one._server._answering.update(one._server.connections)
        leaving = asyncio.create_task(one.__aexit__(None, None, None))
        await asyncio.wait({leaving}, timeout=0.01)
        leaving.cancel()
        await asyncio.wait({leaving})
        assert leaving.cancelled()
        assert await asyncio.wait_for(reader.read(), 1) == b""
        writer.close()
        await writer.wait_closed()


# -- hostile neighbours on the same machine


async def test_idle_connections_do_not_use_up_the_programs_files() -> None:
    """Of more than 32 the oldest is closed; the person's browser still gets its page."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(receiver())
        writers = []
        for _ in range(100):
            _, writer = await asyncio.open_connection("127.0.0.1", one.port)
            writers.append(writer)
            stack.push_async_callback(closed, writer)
        assert one._server is not None
        while any(transport.is_closing() for transport in one._server._transports.values()):
            await asyncio.sleep(0)
        assert len(one._server._transports) <= 32
        assert await status(one.port, "GET / HTTP/1.1", f"Host: localhost:{one.port}") == 200


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection that the other side may have closed already."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_request_that_does_not_arrive_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds are enough for a page on the same machine."""
    monkeypatch.setattr(loopback_server, "_MAX_TIME", 0.01)
    async with receiver() as one:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\n")
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 10) == b""
        await closed(writer)


async def test_a_half_sent_post_does_not_delay_the_end_of_a_sign_in() -> None:
    """Its connection is closed at once; only answers that are being sent are waited for."""
    one = receiver(response_mode="form_post")
    async with one:
        _, writer = await asyncio.open_connection("127.0.0.1", one.port)
        head = f"POST / HTTP/1.1\r\nHost: localhost:{one.port}\r\nContent-Length: 9\r\n"
        writer.write(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\nhalf".encode())
        while one._server is None or not one._server.connections:
            await asyncio.sleep(0)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 1.0  # not the two of an answer
    await closed(writer)


@pytest.mark.parametrize(
    ("pairs", "outcome"),
    [
        ([("state", "s"), ("access_token", "t")], {"access_token": "t"}),
        ([("access_token", "t")], None),
        ([("state", "x"), ("access_token", "t")], None),
        ([("state", "s"), ("state", "s"), ("access_token", "t")], None),
        ([("state", "x"), ("error", "access_denied")], None),
        ([("state", "\udcff"), ("access_token", "t")], None),
    ],
)
def test_a_response_belongs_to_the_request_of_its_state(
    pairs: list[tuple[str, str]], outcome: dict[str, str] | None
) -> None:
    """RFC 6749 section 10.12: looked at before anything else, errors too."""
    params = read_authorization_response(pairs, "s", came_in="fragment", expected_in="fragment")
    assert params == outcome


@pytest.mark.parametrize(
    ("pairs", "came_in", "message"),
    [
        ([("access_token", "t"), ("access_token", "u")], "fragment", "repeats a parameter"),
        ([("error", "access_denied")], "query", r"refused \(access_denied\)"),
        ([("access_token", "t")], "query", "answered in the query"),
    ],
)
def test_a_response_that_cannot_be_used_is_an_error(
    pairs: list[tuple[str, str]], came_in: Any, message: str
) -> None:
    """RFC 6749 sections 3.1 and 4.2.2.1; no socket is needed to find that out."""
    with pytest.raises(AuthorizationError, match=message):
        read_authorization_response(
            [("state", "s"), *pairs], "s", came_in=came_in, expected_in="fragment"
        )


# -- what is not told to anybody else


async def test_no_logging_configuration_lets_a_request_line_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A request that cannot be parsed may hold a token, and aiohttp logs its first line."""
    logging.config.dictConfig(
        {"version": 1, "disable_existing_loggers": False, "incremental": True, "loggers": {}}
    )
    assert not [name for name in logging.root.manager.loggerDict if "receiver" in name]
    with caplog.at_level(logging.DEBUG):
        async with receiver() as one:
            await raw(one.port, f"GET /?access_token={TOKEN} HTTP/1.1\x00", "Host: localhost")
    assert TOKEN not in caplog.text


async def test_the_answer_is_the_result_of_no_future() -> None:
    """asyncio shows the results of futures in its debug log."""
    async with receiver() as one:
        pairs = [["access_token", TOKEN], ["state", one.state]]
        async with post_answer(one.redirect_uri, pairs):
            pass
        assert TOKEN not in repr(vars(one)["_answer"])
        assert (await one.receive(1))["access_token"] == TOKEN


async def test_forged_answers_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Any page in the browser can send them by the thousand."""
    async with receiver() as one:
        for _ in range(5):
            async with post_answer(one.redirect_uri, [["state", "x"], ["error", "access_denied"]]):
                pass
    assert caplog.text.count("does not belong to this sign-in") == 1


async def test_an_error_without_the_state_is_named_when_the_time_is_over() -> None:
    """Rule 16: some servers send a refusal without the state. It cannot be trusted, but it can be told."""
    async with receiver() as one:
        async with post_answer(one.redirect_uri, [["error", "access_denied"]]):
            pass
        with pytest.raises(AuthorizationError, match=r"error=access_denied"):
            await one.receive(0.01)


async def test_without_a_range_any_free_port_is_taken() -> None:
    """Servers that follow RFC 8252 section 7.3 leave the port out when they compare."""
    async with LoopbackReceiver(port_range=None) as one, LoopbackReceiver(port_range=None) as two:
        assert one.port != two.port
        assert await connects(one.port)
        assert await connects(one.port, "::1")


def test_a_port_that_is_not_taken_but_forbidden_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else one looks for a program that holds it."""

    def forbidden(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(loopback_port, "_bound", forbidden)
    with pytest.raises(TokenError, match=r"from 80 to 81 is free to .* on: Permission denied\."):
        loopback_port.bind_first_free((80, 81))
