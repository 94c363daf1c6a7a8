"""The documents are true: their code runs as printed, and what they name exists."""

from __future__ import annotations

import builtins
import functools
import importlib
import inspect
import io
import json
import re
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import aiohttp
import docutils.nodes
import prometheus_client
import published_examples
import pytest
import redis
from documents import Internet, code_blocks, internet, parse, run_code
from joserfc.jwk import ECKey, RSAKey
from redis_server import running_redis

import aioalf
import aioalf.events

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.rst", "*.md", "CHANGES/*.rst", "docs/*.rst")
    for path in ROOT.glob(pattern)
)
RST = [name for name in DOCUMENTS if name.endswith(".rst")]
WITHOUT_SPHINX = [name for name in RST if not name.startswith("docs")]
CHANGE = re.compile(r"\d+\.(feature|bugfix|removal|doc|misc)\.rst")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Internet]:
    """An internet on loopback; the code that runs in it keeps its files in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("SSH_CONNECTION", "SSH_TTY"):
        monkeypatch.delenv(name, raising=False)
    with internet(monkeypatch) as started:
        yield started


@pytest.fixture(autouse=True)
def metrics(monkeypatch: pytest.MonkeyPatch) -> Iterator[prometheus_client.CollectorRegistry]:
    """What Prometheus would read of the code in a document; each time anew, on a port that is free."""
    registry = prometheus_client.CollectorRegistry()
    for name in ("Counter", "Histogram"):
        kind = functools.partial(getattr(prometheus_client, name), registry=registry)
        monkeypatch.setattr(prometheus_client, name, kind)
    start = prometheus_client.start_http_server
    started = []

    def on_a_free_port(port: int) -> None:
        assert port
        started.append(start(0, "127.0.0.1", registry))

    monkeypatch.setattr(prometheus_client, "start_http_server", on_a_free_port)
    yield registry
    for server, thread in started:
        server.shutdown()
        server.server_close()
        thread.join()


def read(name: str) -> docutils.nodes.document:
    """A document, as far as it can be read without Sphinx."""
    return parse(ROOT / name, strict=False)


# The code ------------------------------------------------------------------------------------------


def test_the_first_published_example_runs_as_printed(world: Internet) -> None:
    """``Client`` at module level with no event loop running, then ``await client.request``."""
    names = run_code([published_examples.FIRST], "the first document")
    assert names["response"].status == 200
    assert world.log == ["POST /token", "POST /resource"]
    arrived = world.plain.log[1]
    assert arrived.body == b'{"name": "alf"}'
    assert arrived.headers["Content-Type"] == "application/json"
    assert arrived.headers["Authorization"].startswith("Bearer ")


def test_the_second_published_example_goes_on_with_the_same_token(world: Internet) -> None:
    """Method and URL as strings; the token is kept until it expires."""
    blocks = [published_examples.FIRST, published_examples.SECOND]
    assert run_code(blocks, "the first document")["response"].status == 200
    assert world.log == ["POST /token", "POST /resource", "POST /resource"]


def test_the_published_implicit_example_runs_as_printed(
    world: Internet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``use_implicit_flow`` and a client with a secret that is empty; RFC 6749 section 4.2."""
    world.client_is("glBQ3nYU/8/kaVi/bIgXGA==", "")
    opened = browser(monkeypatch)
    before = aioalf.Client.token_manager_class
    monkeypatch.setattr(aioalf.Client, "token_manager_class", before)  # puts it back
    imports = "from aioalf.client import Client\nfrom aioalf.implicit_manager import *"
    names = run_code([imports, published_examples.IMPLICIT], "the second document")
    assert capsys.readouterr().out == "200\n"
    assert '"method": "GET"' in names["text"]
    assert len(opened) == 1
    assert opened[0].startswith("https://token.endpoint/authorize?response_type=token&client_id=")


def browser(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have somebody sign in wherever a browser is opened; gives the addresses."""
    opened: list[str] = []

    def open_(url: str, *_: object) -> bool:
        opened.append(url)
        _sign_in(url)
        return True

    monkeypatch.setattr(webbrowser, "get", lambda *_: SimpleNamespace(name="a browser"))
    monkeypatch.setattr(webbrowser, "open", open_)
    return opened


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _sign_in(url: str) -> None:
    """What a browser and the script of the page in it do, without the person."""
    context: ssl.SSLContext = importlib.import_module("aiohttp.connector")._SSL_CONTEXT_VERIFIED
    handlers = urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({})
    opener = urllib.request.build_opener(_NoRedirect, *handlers)
    with pytest.raises(urllib.error.HTTPError) as redirect:
        opener.open(url, timeout=10)
    with redirect.value as answer:
        target = urllib.parse.urlsplit(answer.headers["Location"])
    if target.query:
        with opener.open(target.geturl(), timeout=10) as response:
            assert response.status == 200
        return
    origin = f"{target.scheme}://{target.netloc}"
    callback = importlib.import_module("aioalf.interactive.page").CALLBACK_PATH
    post = urllib.request.Request(
        urllib.parse.urljoin(origin + "/", callback),
        json.dumps({"params": urllib.parse.parse_qsl(target.fragment)}).encode(),
        {"Content-Type": "application/json", "Origin": origin},
    )
    with opener.open(post, timeout=10) as response:
        assert response.status == 200


@pytest.mark.parametrize("name", RST)
def test_the_code_in_a_document_runs_as_printed(
    name: str, world: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every Python block, one after the other, in one namespace."""
    monkeypatch.setenv("CLIENT_SECRET", world.plain.client_secret)
    put_into_place(world, monkeypatch)
    blocks = code_blocks(read(name), "python")
    run_code(blocks, name)
    assert world.refused == []
    assert world.log or name != "README.rst"


def put_into_place(world: Internet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the documents take for granted: a browser, the files they name, who the server knows."""
    browser(monkeypatch)
    monkeypatch.setattr("aioalf.interactive.device._LATER", 0.0)
    monkeypatch.setattr("aioalf.protocol.device._SHORTEST_INTERVAL", 0.01)
    before = aioalf.Client.token_manager_class
    monkeypatch.setattr(aioalf.Client, "token_manager_class", before)  # puts it back
    key = ECKey.generate_key("P-256")
    public: dict[str, Any] = {**key.as_dict(private=False), "kid": "2026-11"}
    rsa = RSAKey.generate_key(2048)
    account = {
        "client_email": "robot@project.iam.gserviceaccount.com",
        "private_key": rsa.as_pem(private=True).decode(),
        "private_key_id": "1",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    Path("service-account.json").write_text(json.dumps(account))
    key_of_account: dict[str, Any] = {**rsa.as_dict(private=False), "kid": "1"}
    for server in (world.plain, world.secure):
        server.client_keys = [public]
        server.issuers = {"robot@example.com": public, account["client_email"]: key_of_account}
        server.assertions = server.subject_tokens = ["a.b.c", "the caller's token"]
    Path("key.pem").write_bytes(key.as_pem(private=True))
    Path("client-secret").write_text(world.plain.client_secret + "\n")
    Path("refresh-token").write_text(world.plain.issue_refresh_token() + "\n")
    Path("projected-token").write_text("a.b.c\n")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "projected-token")


def test_the_page_about_observing_names_what_prometheus_gets(
    world: Internet, metrics: prometheus_client.CollectorRegistry
) -> None:
    """In its sentences and in its query; a counter gets an ending that the code does not have."""
    run_code(code_blocks(read("docs/observing.rst"), "python"), "docs/observing.rst")
    named = set(re.findall(r"oauth_\w+", commands("docs/observing.rst"))) - {"oauth_tokens"}
    named -= {"oauth_token_failures", "oauth_requests_resent"}  # as the code has them
    exported = prometheus_client.generate_latest(metrics).decode()
    assert {name for name in named if f"# HELP {name} " not in exported} == set()
    assert len(named) == 4


def test_the_page_about_observing_has_the_words_of_the_log() -> None:
    """For each reason."""
    text = read("docs/observing.rst").astext()
    for reason in get_args(aioalf.events.Reason):
        line = str(aioalf.events.TokenObtained(reason, "endpoint", 0.0, None, ""))
        assert f"{reason}\n\n{line.split('(')[1].split(')')[0]}\n" in text


def test_the_example_with_redis_leaves_its_token_there(world: Internet) -> None:
    """Without a server it would run as well: a storage that fails takes nobody down."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = world.ports[6379] = free.getsockname()[1]
    with running_redis(port) as url:
        run_code(code_blocks(read("docs/storages.rst"), "python"), "docs/storages.rst")
        with redis.Redis.from_url(url) as kept:
            assert len(kept.keys("aio-alf:*")) == 1


# The names -----------------------------------------------------------------------------------------


def literals(name: str) -> set[str]:
    """What a document prints as code inside its sentences."""
    if name.endswith(".md"):
        return set(re.findall(r"`([^`\n]+)`", (ROOT / name).read_text(encoding="utf-8")))
    document = read(name)
    kinds = (docutils.nodes.literal, docutils.nodes.title_reference)  # ``x`` and `x`
    return {each.astext().replace("\n", " ") for kind in kinds for each in document.findall(kind)}


def commands(name: str) -> str:
    """All in a document that may be a command: its literals and its blocks."""
    if name.endswith(".md"):
        return (ROOT / name).read_text(encoding="utf-8")
    blocks = read(name).findall(docutils.nodes.literal_block)
    return "\n".join([*literals(name), *(block.astext() for block in blocks)])


@pytest.mark.parametrize("name", WITHOUT_SPHINX)
def test_a_document_renders_where_there_is_no_sphinx(name: str) -> None:
    """As a package index shows it: plain docutils, no warning."""
    assert parse(ROOT / name, strict=True).astext()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_that_a_document_names_exists(name: str) -> None:
    """``make x`` in a sentence or in a block."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:^|\$ )make ([a-z]+)", commands(name), re.MULTILINE))
    assert named <= targets


def test_every_make_target_is_explained() -> None:
    """In CONTRIBUTING.rst or README.rst, but for the ones that explain themselves."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*##", makefile, re.MULTILINE)) - {"help", "clean"}
    text = commands("CONTRIBUTING.rst") + commands("README.rst")
    assert {target for target in targets if f"make {target}" not in text} == set()


PATH = re.compile(r"[\w.-]*(?:/[\w.-]*)+|[\w-]+\.(?:py|rst|md|toml|ini|in|typed)")
MADE_LATER = {".venv", ".tox", "dist/"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_that_a_document_names_exists(name: str) -> None:
    """In the project, in the package, or printed on the page; not those that begin at the root."""
    printed = set() if name.endswith(".md") else set(read(name).nameids)
    missing = {
        path
        for path in literals(name)
        if PATH.fullmatch(path)
        and not path.startswith("/")
        and "/" + path.partition("/")[0] not in {"/application", "/text", "/example.com"}
        and not any((base / path).exists() for base in (ROOT, ROOT / "aioalf"))
    }
    assert missing - MADE_LATER - printed == set()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_extra_that_a_document_installs_exists(name: str) -> None:
    """``pip install "aio-alf[extra]"``."""
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    for extras in re.findall(r"aio-alf\[([\w,]+)\]", commands(name)):
        for extra in extras.split(","):
            assert f'"{extra}": [' in setup


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_that_a_document_names_exists(name: str) -> None:
    """``python -m aioalf x`` has a help page."""
    for command in sorted(
        set(re.findall(r"(?:python3? -m aioalf|^ *aioalf) ([a-z]+)", commands(name), re.M))
    ):
        done = subprocess.run(
            [sys.executable, "-m", "aioalf", command, "--help"],
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()


PUBLIC = [value for name in aioalf.__all__ if callable(value := getattr(aioalf, name))]
# Parameters of requests (RFC 6749) and of make, not of functions.
WIRE = {"grant_type", "response_mode", "response_type", "ARGS", "PYTEST_ARGS", "PYTHON", "TOX_ARGS"}

# The metrics of OpenTelemetry, their attributes, and the span.
METRICS = set(
    re.findall(
        r'"((?:aioalf|error)\.[\w.]+)"',
        (ROOT / "aioalf/opentelemetry.py").read_text(encoding="utf-8"),
    )
)

# What docs/with_other_libraries.rst calls by name; they are not installed here.
OTHERS = {
    "AIOHTTPTransport",
    "AiohttpTransport",
    "AsyncWebClient",
    "ChClient",
    "EventSource",
    "RetryClient",
    "fsspec.filesystem",
    "gidgethub.aiohttp.GitHubAPI",
}

# What the documents call an object of each, in sentences.
VARIABLES: dict[str, Any] = {
    "client": aioalf.Client,
    "manager": aioalf.TokenManager,
    "server": importlib.import_module("aioalf.testing").AuthorizationServer,
    "storage": aioalf.TokenStorage,
    "token": aioalf.Token,
}


def _parameters() -> set[str]:
    """The name of every parameter that a user of the library may pass to it or to aiohttp."""
    server = importlib.import_module("aioalf.testing").AuthorizationServer
    functions: list[Any] = [aiohttp.ClientSession._request]
    for each in [*PUBLIC, aiohttp.ClientSession, server]:
        functions += [each] if inspect.isfunction(each) else [each.__init__]
        functions += [method for _, method in inspect.getmembers(each, inspect.isfunction)]
    return {name for each in functions for name in inspect.signature(each).parameters}


def _exists(dotted: str) -> bool:
    """Whether a name, dotted or not, leads to something in the library, aiohttp or Python."""
    first, *rest = dotted.split(".")
    places: list[Any] = [aioalf, aioalf.events, aiohttp, builtins, io, *PUBLIC]
    if first in {"aioalf", "aiohttp", "asyncio"}:
        places = [importlib.import_module(first)]
        if not rest:
            return True
        first, *rest = rest
    elif rest and first in VARIABLES:
        places = [VARIABLES[first]]
        first, *rest = rest
    return any(_leads_on(place, [first, *rest]) for place in places)


def _leads_on(place: Any, attributes: list[str]) -> bool:
    for attribute in attributes:
        if inspect.ismodule(place) and not hasattr(place, attribute):
            try:
                place = importlib.import_module(f"{place.__name__}.{attribute}")
            except ImportError:
                return False
        elif (place := getattr(place, attribute, None)) is None:
            return False
    return True


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_name_that_a_document_uses_exists(name: str) -> None:
    """Classes, functions with their parentheses, dotted names, and parameters as ``name=``."""
    unknown = set()
    run = "" if name.endswith(".md") else "\n".join(code_blocks(read(name), "python"))
    for text in literals(name):
        found = re.fullmatch(r"((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)(\(.*\)|=.*)?", text)
        if found is None or PATH.fullmatch(text):
            continue
        word, after = found[1], found[2] or ""
        if word in run or word in OTHERS | METRICS:
            continue  # in the document's own code, which is run, or not of this library
        if after.startswith("="):
            if word not in _parameters() | WIRE:
                unknown.add(text)
        elif (after or "." in word or re.match(r"[A-Z][a-z]+\w*[A-Z]", word)) and not _exists(word):
            unknown.add(text)
    assert unknown == set()


def test_every_change_note_is_named_by_the_rule() -> None:
    """``<n>.<type>.rst``, and it says something."""
    for path in (ROOT / "CHANGES").iterdir():
        if path.name != "README.rst":
            assert CHANGE.fullmatch(path.name), path.name
            assert path.read_text(encoding="utf-8").strip()
