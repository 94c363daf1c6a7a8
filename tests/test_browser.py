"""Signing in for real: headless Chromium, and django-oauth-toolkit as the authorization server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from browser import Chromium, Person, chromium
from django_server import DjangoServer
from fake_browser import free_ports
from fakes import FakeClock

from aioalf.client import Client
from aioalf.errors import AuthorizationError
from aioalf.implicit_manager import OAuthImplictTokenManager, TokenStorage
from aioalf.interactive.receiver import LoopbackReceiver
from aioalf.testing import AuthorizationServer

__all__ = ("chromium",)

SIGNED_IN = "You are signed in."
TOKEN = "s3cr3t.token"


@pytest.fixture(autouse=True)
def received(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that a receiver was asked: the URL with all that came along in headers."""
    seen: list[str] = []
    respond = LoopbackReceiver._respond

    async def spy(self: LoopbackReceiver, request: Any) -> Any:
        headers = {k: v for k, v in request.headers.items() if k.lower() != "content-type"}
        seen.append(f"{request.method} {request.rel_url} {headers}")
        return await respond(self, request)

    monkeypatch.setattr(LoopbackReceiver, "_respond", spy)
    return seen


def manager(server: DjangoServer, person: Person, **options: Any) -> OAuthImplictTokenManager:
    """Make a manager whose browser is the person's."""
    return OAuthImplictTokenManager(
        server.token_endpoint,
        server.implicit_client_id,
        "",
        **{
            "open_browser": person.open,
            "port_range": (30000, 30009),
            "authorization_timeout": 30,
            **options,
        },
    )


async def signing_in(
    waiting: Awaitable[Any], person: Person, server: DjangoServer, times: int = 1
) -> tuple[Any, str]:
    """Approve the person's times-th sign-in; return what waited for it and the heading they saw."""
    task = asyncio.ensure_future(waiting)
    url = await person.asked(times)
    heading = await person.answers(url, server.username, server.password, "Approve")
    return await task, heading


async def test_a_person_signs_in_and_the_token_shows_nowhere(
    chromium: Chromium,
    django_server: DjangoServer,
    received: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not in the address bar, the back list, a URL that reached a server, or a log."""
    caplog.set_level(logging.DEBUG)
    async with (
        chromium.person() as person,
        Client(token_manager=manager(django_server, person, scope="read")) as client,
    ):
        response, heading = await signing_in(
            client.get(django_server.resource), person, django_server
        )
        assert (await response.json())["user"] == django_server.username
        assert heading == SIGNED_IN
        token = await client.token_manager.get_token()
        address = await person.do(lambda page: page.evaluate("location.href"))
        assert address.startswith("http://localhost:3000")
        assert address.endswith("/")
        assert await person.do(lambda page: page.title()) == SIGNED_IN
        listed = await person.back_list()
        assert address in listed
        await person.do(lambda page: page.go_back())
        assert (await person.do(lambda page: page.url)).startswith(django_server.url)
        shown = [address, *listed, *person.requested, *received, *django_server.log()]
        assert received
        assert token not in "\n".join(shown) + caplog.text
        assert "access_token" not in "\n".join(shown)
        assert [c for c in person.complaints if "favicon" not in c and "404" not in c] == []


async def test_a_person_denies_and_both_sides_are_told_at_once(
    chromium: Chromium, django_server: DjangoServer
) -> None:
    """RFC 6749 section 4.2.2.1; and it is not asked again until somebody says so."""
    async with chromium.person() as person:
        one = manager(django_server, person)
        task = asyncio.ensure_future(one.get_token())
        url = await person.asked()
        heading = await person.answers(url, django_server.username, django_server.password, "Deny")
        assert heading == "You are not signed in."
        with pytest.raises(AuthorizationError) as caught:
            await task
        assert caught.value.error == "access_denied"
        with pytest.raises(AuthorizationError):
            await one.get_token()
        assert len(person.opened) == 1
        _, heading = await signing_in(one.reset_token(), person, django_server, 2)
        assert heading == SIGNED_IN


async def test_after_a_revocation_and_after_expiry_a_person_signs_in_again(
    chromium: Chromium, django_server: DjangoServer, clock: FakeClock
) -> None:
    """In the same process, one window each time, and no window in between."""
    async with (
        chromium.person() as person,
        Client(token_manager=manager(django_server, person, scope="read", clock=clock)) as client,
    ):
        for times in (1, 2, 3):
            request = client.get(django_server.resource)
            response, heading = await signing_in(request, person, django_server, times)
            assert (response.status, heading) == (200, SIGNED_IN)
            async with client.get(django_server.resource) as response:
                assert response.status == 200
            assert len(person.opened) == times
            if times == 1:
                django_server.revoke_all()
            else:
                clock.advance(3601)


async def test_a_second_process_and_a_second_client_open_no_browser(
    chromium: Chromium, django_server: DjangoServer, tmp_path: Path
) -> None:
    """The storage has the token: today's script works tomorrow."""
    file_storage = pytest.importorskip("aioalf.storage.file")
    pytest.importorskip("filelock")
    storage = file_storage.FileTokenStorage(tmp_path / "tokens.json")
    async with chromium.person() as person:
        one = manager(django_server, person, scope="read", token_storage=storage)
        token, _ = await signing_in(one.get_token(), person, django_server)
        two = manager(django_server, person, scope="read", token_storage=storage)
        assert await two.get_token() == token
        assert len(person.opened) == 1
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _SECOND_PROCESS,
        django_server.token_endpoint,
        django_server.implicit_client_id,
        str(tmp_path / "tokens.json"),
        django_server.resource,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await program.communicate()
    assert json.loads(output) == {"user": django_server.username, "opened": 0}


_SECOND_PROCESS = """
import asyncio, json, sys
from aioalf.client import Client
from aioalf.storage.file import FileTokenStorage
from aioalf.implicit_manager import use_implicit_flow

async def main(endpoint, client_id, path, resource):
    opened = []
    await use_implicit_flow(FileTokenStorage(path), open_browser=opened.append)
    async with Client(client_id, "", endpoint, scope="read") as client:
        async with client.get(resource) as response:
            print(json.dumps({"user": (await response.json())["user"], "opened": len(opened)}))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_form_post_keeps_the_token_out_of_every_address(
    chromium: Chromium, server: AuthorizationServer, received: list[str]
) -> None:
    """OAuth 2.0 Form Post Response Mode; a reload does not post again."""
    async with chromium.person() as person:
        one = OAuthImplictTokenManager(
            server.token_endpoint,
            server.client_id,
            open_browser=person.open,
            port_range=free_ports(1),
            response_mode="form_post",
        )
        task = asyncio.ensure_future(one.get_token())
        assert await person.visits(await person.asked()) == SIGNED_IN
        token = await task
        listed = await person.back_list()
        assert token not in "\n".join([*listed, *person.requested, *received])


async def landed(person: Person, receiver: LoopbackReceiver, **params: str) -> str:
    """Let a browser come back with this fragment; return the heading the person sees."""
    fragment = f"#{urlencode(params)}" if params else ""
    return await person.visits(f"{receiver.redirect_uri}/{fragment}")


async def test_a_code_in_the_query_is_gone_from_the_address_and_from_the_back_list(
    chromium: Chromium,
) -> None:
    """RFC 6749 section 4.1.2: the page's script cleans the address; /favicon.ico hurts nothing."""
    async with (
        LoopbackReceiver(
            port_range=free_ports(1), redirect_path="/callback", response_mode="query"
        ) as receiver,
        chromium.person() as person,
    ):
        query = urlencode({"code": "s3cr3t.code", "state": receiver.state})
        assert await person.visits(f"{receiver.redirect_uri}?{query}") == SIGNED_IN
        assert await receiver.receive(1) == {"code": "s3cr3t.code"}
        address = await person.do(lambda page: page.evaluate("location.href"))
        assert address == receiver.redirect_uri
        shown = "\n".join(await person.back_list())
        assert address in shown
        assert "s3cr3t.code" not in shown
        await person.do(lambda page: page.reload())
        assert await person.do(lambda page: page.inner_text("h1")) == "You are already signed in."


async def test_the_page_works_when_it_is_loaded_twice(chromium: Chromium) -> None:
    """In two tabs, or reloaded: the second one says that all is well."""
    async with (
        LoopbackReceiver(port_range=free_ports(1)) as receiver,
        chromium.person() as person,
    ):
        assert await landed(person, receiver) == "No answer came with this page."
        assert await landed(person, receiver, state=receiver.state, a="b&c d") == SIGNED_IN
        await person.do(lambda page: page.reload())
        again = "You are already signed in."
        assert await person.do(lambda page: page.inner_text("h1")) == again
        assert await landed(person, receiver, state=receiver.state, a="b") == again
        assert await receiver.receive(1) == {"a": "b&c d"}
        assert "state" not in "\n".join(await person.back_list())


async def test_a_foreign_answer_is_not_taken_for_the_right_one(chromium: Chromium) -> None:
    """RFC 6749 section 10.12: and the person reads why nothing happened."""
    async with (
        LoopbackReceiver(port_range=free_ports(1)) as receiver,
        chromium.person() as person,
    ):
        heading = await landed(person, receiver, access_token=TOKEN, state="wrong")
        assert heading == "This is not the sign-in the program is waiting for."
        assert TOKEN not in "\n".join([*await person.back_list(), *person.requested])


async def test_what_a_server_says_is_shown_as_text(chromium: Chromium) -> None:
    """In the fragment and in the query."""
    nasty = "<img src=x onerror=document.title='owned'>"
    for mark in ("#", "?"):
        async with (
            LoopbackReceiver(port_range=free_ports(1)) as receiver,
            chromium.person() as person,
        ):
            params = {"error": "server_error", "error_description": nasty, "state": receiver.state}
            url = f"{receiver.redirect_uri}/{mark}{urlencode(params)}"
            assert await person.visits(url) == "The sign-in did not work."
            quoted = await person.do(lambda page: page.inner_text("blockquote"))
            assert quoted == f"{nasty} (server_error)"
            assert await person.do(lambda page: page.title()) == "The sign-in did not work."
            assert (
                await person.do(lambda page: page.evaluate("location.search + location.hash")) == ""
            )


async def test_a_page_that_comes_after_the_program_has_gone_says_so(chromium: Chromium) -> None:
    """The program ended between the page and its post."""
    stay: Callable[..., Any] = lambda route: route.abort()  # noqa: E731
    async with (
        LoopbackReceiver(port_range=free_ports(1)) as receiver,
        chromium.person() as person,
    ):
        await person.do(lambda page: page.route("**/.aioalf/**", stay))
        assert await landed(person, receiver, state=receiver.state) == (
            "The program is no longer waiting."
        )


async def test_a_slow_machine_gets_there_as_well(chromium: Chromium) -> None:
    """The answer to the page is complete before the port is closed."""

    def slow_down(page: Any) -> None:
        session = page.context.new_cdp_session(page)
        session.send("Emulation.setCPUThrottlingRate", {"rate": 5})

    async with chromium.person() as person:
        await person.do(slow_down)
        async with LoopbackReceiver(port_range=free_ports(1)) as receiver:
            visit = asyncio.ensure_future(landed(person, receiver, state=receiver.state, a="b"))
            assert await receiver.receive(15) == {"a": "b"}
        assert await visit == SIGNED_IN


async def test_without_scripts_the_person_is_told_what_to_do(chromium: Chromium) -> None:
    """The fragment is for scripts alone."""
    async with (
        LoopbackReceiver(port_range=free_ports(1)) as receiver,
        chromium.person(scripts=False) as person,
    ):
        url = f"{receiver.redirect_uri}/#access_token={TOKEN}&state={receiver.state}"
        await person.do(lambda page: page.goto(url))
        assert await person.do(lambda page: page.inner_text("body >> h1 >> visible=true")) == (
            "One more step."
        )


async def test_another_site_cannot_post_an_answer(
    chromium: Chromium, server: AuthorizationServer, received: list[str]
) -> None:
    """Not even one that knows the state: the Origin header gives it away."""
    async with (
        LoopbackReceiver(port_range=free_ports(1)) as receiver,
        chromium.person() as person,
    ):
        post = """async ([url, body]) => {
            await fetch(url, {method: "POST", mode: "no-cors", body}).catch(() => 0);
            await fetch(url, {method: "POST", body, headers: {"Content-Type": "application/json"}})
                .catch(() => 0);
        }"""
        body = json.dumps({"params": [["state", receiver.state], ["access_token", "forged"]]})
        url = f"{receiver.redirect_uri}/.aioalf/response"
        await person.do(lambda page: page.goto(server.authorization_endpoint))
        await person.do(lambda page: page.evaluate(post, [url, body]))
        assert any(entry.startswith("POST") for entry in received)
        with pytest.raises(AuthorizationError, match="Nobody signed in"):
            await receiver.receive(0.01)


async def test_clients_that_share_a_storage_share_the_window(
    chromium: Chromium, django_server: DjangoServer
) -> None:
    """Twenty tasks on two clients: one sign-in."""
    storage = TokenStorage()
    async with chromium.person() as person:
        both = [manager(django_server, person, token_storage=storage) for _ in range(2)]
        waiting = asyncio.gather(*(one.get_token() for one in both for _ in range(10)))
        tokens, heading = await signing_in(waiting, person, django_server)
        assert heading == SIGNED_IN
        assert len(set(tokens)) == 1
        assert len(person.opened) == 1
