"""The server for tests in a thread of its own, and the pytest plugin."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from aioalf import Client, TokenError, TokenManager
from aioalf.testing import AuthorizationServer

ROOT = Path(__file__).parents[1]


def threads() -> set[str]:
    """The names of the threads that run."""
    return {thread.name for thread in threading.enumerate()}


async def status_of(server: AuthorizationServer) -> int:
    """How the resource answers to a client of the running loop."""
    async with Client(server.client_id, server.client_secret, server.token_endpoint) as client:
        return (await client.get(server.resource)).status


def fetched(server: AuthorizationServer) -> int:
    """How the resource answers to a token that is sent without aiohttp, from this thread."""
    token = server.issue()
    request = urllib.request.Request(server.resource, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=5) as response:
        status: int = response.status
        return status


def test_a_plain_test_has_a_server_with_one_line() -> None:
    """Code of any kind asks it: it runs in a thread of its own, which is gone afterwards."""
    before = threads()
    with AuthorizationServer() as server:
        assert fetched(server) == 200
        assert asyncio.run(status_of(server)) == 200
        assert (server.token_requests, server.resource_requests) == (1, 2)
        assert [request.kind for request in server.log] == ["resource", "token", "resource"]
    assert threads() == before
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(server.resource, timeout=5)


def test_what_it_is_told_from_another_thread_counts_for_the_next_request() -> None:
    """Answers that are prescribed, tokens that are revoked, and settings."""
    with AuthorizationServer() as server:
        server.answer_next(503)
        assert asyncio.run(status_of(server)) == 503
        token = server.issue()
        assert server.accepts(token)
        server.revoke_all()
        assert not server.accepts(token)
        server.resource_answer_next(418)
        assert asyncio.run(status_of(server)) == 418


def test_a_server_of_a_session_serves_every_loop() -> None:
    """As a fixture of a session does, whose tests have a loop each."""
    with AuthorizationServer() as server:
        for number in range(1, 4):
            assert asyncio.run(status_of(server)) == 200
            assert server.token_requests == number


@pytest.fixture
def threaded() -> Iterator[AuthorizationServer]:
    """A server of a fixture that is no coroutine."""
    with AuthorizationServer() as server:
        yield server


async def test_a_coroutine_waits_for_what_arrives_in_the_other_thread(
    threaded: AuthorizationServer,
) -> None:
    """And asks the server from its own loop."""
    waiting = asyncio.ensure_future(threaded.wait_until(lambda: threaded.token_requests == 1))
    async with TokenManager(
        threaded.token_endpoint, threaded.client_id, threaded.client_secret
    ) as manager:
        await manager.get()
    await asyncio.wait_for(waiting, 5)


def test_two_servers_are_two() -> None:
    """Each knows its own tokens."""
    with AuthorizationServer() as one, AuthorizationServer() as other:
        assert one.port != other.port
        assert not other.accepts(one.issue())


def test_it_starts_again_at_its_port_with_its_tokens() -> None:
    """A second time is not a second at a time."""
    server = AuthorizationServer()
    with server:
        token, port = server.issue(), server.port
        with pytest.raises(RuntimeError, match="The server is running"):
            server.__enter__()
    with server:
        assert server.port == port
        assert server.accepts(token)


def test_an_outage_begins_and_ends_in_the_loop_of_the_test() -> None:
    """`close` and `start` work in the thread of the server, whoever awaits them."""

    async def outage(server: AuthorizationServer) -> None:
        await server.close()
        with pytest.raises(TokenError, match="No connection"):
            await status_of(server)
        await server.start()

    with AuthorizationServer() as server:
        port, token = server.port, server.issue()
        asyncio.run(outage(server))
        assert (server.port, server.accepts(token)) == (port, True)
        assert asyncio.run(status_of(server)) == 200


async def test_who_still_waits_when_the_block_is_left_waits_no_longer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And asyncio complains of no task."""
    server = await asyncio.to_thread(AuthorizationServer().__enter__)
    waiting = asyncio.ensure_future(server.wait_until(lambda: False))
    await asyncio.sleep(0)
    await asyncio.to_thread(server.__exit__)
    await asyncio.wait({waiting}, timeout=5)
    assert waiting.cancelled()
    assert caplog.text == ""


def test_a_test_that_fails_and_a_start_that_fails_leave_no_thread() -> None:
    """The port is taken."""
    before = threads()

    def fail() -> None:
        with AuthorizationServer() as server:
            with pytest.raises(OSError, match="in use"):
                AuthorizationServer(port=server.port).__enter__()
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert threads() == before


def test_many_threads_ask_one_server() -> None:
    """Tokens are issued, revoked and used at the same time."""
    with AuthorizationServer() as server:
        statuses: list[int] = []

        def work() -> None:
            for _ in range(10):
                statuses.append(fetched(server))
                server.revoke(server.issue())

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert statuses == [200] * 40
        assert server.resource_requests == 40


# -- the plugin

SYNC = """
import urllib.request

def test_a(authorization_server):
    token = authorization_server.issue()
    request = urllib.request.Request(
        authorization_server.resource, headers={"Authorization": "Bearer " + token}
    )
    assert urllib.request.urlopen(request, timeout=5).status == 200

def test_b(authorization_server):
    assert authorization_server.resource_requests == 0
"""
ASYNC = """
import pytest
from aioalf import Client

@pytest.mark.{mark}
async def test_a(authorization_server):
    server = authorization_server
    async with Client(server.client_id, server.client_secret, server.token_endpoint) as client:
        assert (await client.get(server.resource)).status == 200
    assert server.token_requests == 1
"""

PYTEST_AIOHTTP = """
from aiohttp import web
from aioalf import Client

async def test_a(aiohttp_client, authorization_server):
    server = authorization_server

    async def proxied(request):
        async with Client(server.client_id, server.client_secret, server.token_endpoint) as client:
            return web.Response(status=(await client.get(server.resource)).status)

    app = web.Application()
    app.router.add_get("/", proxied)
    client = await aiohttp_client(app)
    assert (await client.get("/")).status == 200
    assert server.token_requests == 1
"""
LOOP = ["-o", "asyncio_default_fixture_loop_scope=function"]


@pytest.mark.parametrize(
    ("code", "options"),
    [
        (SYNC, ["-p", "no:asyncio", "-p", "no:anyio", "-p", "no:aiohttp"]),
        (SYNC, LOOP),
        (ASYNC.format(mark="asyncio"), [*LOOP, "-o", "asyncio_mode=strict", "-p", "no:aiohttp"]),
        (ASYNC.format(mark="asyncio"), [*LOOP, "-o", "asyncio_mode=auto", "-p", "no:aiohttp"]),
        (ASYNC.format(mark="anyio"), ["-p", "no:asyncio", "-p", "no:aiohttp"]),
        (PYTEST_AIOHTTP, [*LOOP, "-o", "asyncio_mode=auto"]),
    ],
    ids=["no plugins", "all", "asyncio strict", "asyncio auto", "anyio", "pytest-aiohttp"],
)
def test_the_fixture_works_with_the_plugins_that_people_have(
    tmp_path: Path, code: str, options: list[str]
) -> None:
    """In a process of its own; warnings are errors."""
    (tmp_path / "test_it.py").write_text(code)
    if "anyio" in code:
        (tmp_path / "conftest.py").write_text(
            "import pytest\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
        )
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", *options]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-p", "no:xdist", "test_it.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=_environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_project_that_does_not_use_the_fixture_imports_nothing_of_it(tmp_path: Path) -> None:
    """Neither this library nor aiohttp: pytest imports the plugin wherever the package is installed."""
    program = (
        "import sys, json; import pytest; before = set(sys.modules); import pytest_aioalf;"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=_environment(),
    )
    assert json.loads(done.stdout) == ["pytest_aioalf"]


def _environment() -> dict[str, str]:
    path = os.pathsep.join(each for each in sys.path if each)
    dropped = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_XDIST_WORKER")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "PYTHONPATH": path}
