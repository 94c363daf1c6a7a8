"""The quickstart leads where it says: its files are run as a reader runs them, with the real frameworks."""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import docutils.nodes
import pytest
from documents import code_blocks, parse

from aioalf import Client
from aioalf.testing import AuthorizationServer

ROOT = Path(__file__).parent.parent
SERVED = {
    "service": ("uvicorn", "service:app", "--port"),
    "web_service": ("aiohttp.web", "web_service:make_app", "--port"),
}

# What a caller would choose another URL with, if the services took a string.
CHOSEN = (
    "http:%2F%2Fother.example.com%2F",
    "http%3A%2F%2Fother.example.com",
    "..",
    "%2E%2E%2Ftoken",
    "1%3Fq=1",
)
ANSWER = b'{"method":"GET","path":"/resource/1","query":{},"headers":{"Host":'


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with the files that the page prints."""
    document = parse(ROOT / "docs" / "quickstart.rst", strict=False)
    for block in document.findall(docutils.nodes.literal_block):
        for name in block["names"]:
            (tmp_path / name).write_text(block.astext() + "\n", encoding="utf-8")
    return tmp_path


def run(directory: Path, *arguments: str) -> str:
    """The output of a Python program that must succeed."""
    path = os.pathsep.join([str(directory), *sys.path])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_first_file_prints_what_the_page_says(files: Path) -> None:
    """``python first.py``."""
    assert run(files, "first.py").split("\n") == ["200", "1 token request", ""]


def test_the_tests_of_both_services_pass(files: Path) -> None:
    """``pytest``, with warnings as errors, but for one about the package that Starlette's client uses.

    The setting is what pytest-asyncio warns of otherwise.
    """
    loops = "asyncio_default_fixture_loop_scope=function"
    settings = ("-W", "error", "-W", "ignore:Using `httpx`", "-o", loops)
    output = run(files, "-m", "pytest", "-q", "-p", "no:cacheprovider", *settings)
    assert "2 passed" in output


def test_the_examples_of_the_page_about_tests_pass_with_its_settings(tmp_path: Path) -> None:
    """All in one file, in the order of the page, with pytest-asyncio in the mode that the page sets."""
    page = parse(ROOT / "docs" / "testing.rst", strict=False)
    (settings,) = (
        block.astext()
        for block in page.findall(docutils.nodes.literal_block)
        if block["names"] == ["pytest.ini"]
    )
    (tmp_path / "pytest.ini").write_text(settings, encoding="utf-8")
    examples = "\n\n\n".join(code_blocks(page, "python"))
    (tmp_path / "test_page.py").write_text(examples, encoding="utf-8")
    output = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error")
    assert f"{examples.count('def test_')} passed" in output


@pytest.mark.parametrize("name", SERVED)
async def test_a_service_runs_under_its_own_server(name: str, files: Path) -> None:
    """Uvicorn and aiohttp's own, each as the page starts it; the end of both is clean."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    async with AuthorizationServer() as server:
        environment = {
            "PYTHONPATH": os.pathsep.join([str(files), *sys.path]),
            "CLIENT_ID": server.client_id,
            "CLIENT_SECRET": server.client_secret,
            "TOKEN_ENDPOINT": server.token_endpoint,
            "API_URL": server.resource + "/",
        }
        program = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-m", *SERVED[name], port],
            cwd=files,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        things = f"http://127.0.0.1:{port}/things/"
        try:
            status, body = await asyncio.to_thread(read, things + "1")
            received = len(server.log)
            chosen = [(await asyncio.to_thread(read, things + url))[0] for url in CHOSEN]
            assert len(server.log) == received
            server.answer_next(403, at="resource")
            refused, _ = await asyncio.to_thread(read, things + "1")
            server.revoke_all()
            server.answer_next(401)
            without_token, _ = await asyncio.to_thread(read, things + "1")
        finally:
            program.terminate()
            output, _ = await asyncio.to_thread(program.communicate, timeout=20)
        assert status == 200, output
        assert body.replace(b" ", b"").startswith(ANSWER)
        assert chosen == [404] * len(CHOSEN)
        assert (refused, without_token) == (502, 503)
        assert b"Traceback" not in output
        assert b"Unclosed" not in output


async def test_the_provider_of_the_page_prints_what_the_services_read(files: Path) -> None:
    """A shell reads the lines; Enter ends it."""
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "serve.py"],
        cwd=files,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as program:
        assert program.stdout is not None
        words = shlex.split(program.stdout.readline()) + shlex.split(program.stdout.readline())
        exported = dict(word.split("=", 1) for word in words if word != "export")
        assert exported.keys() == {"TOKEN_ENDPOINT", "CLIENT_ID", "CLIENT_SECRET", "API_URL"}
        async with Client(
            exported["CLIENT_ID"],
            exported["CLIENT_SECRET"],
            exported["TOKEN_ENDPOINT"],
            base_url=exported["API_URL"],
            raise_token_errors=True,
        ) as client:
            assert (await client.get("1")).status == 200
        program.communicate("\n", timeout=20)
    assert program.returncode == 0


def read(url: str) -> tuple[int, bytes]:
    """The status and the body of what is at an address, as soon as somebody listens there."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + 20
    while True:
        try:
            with opener.open(url, timeout=20) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except urllib.error.URLError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
