"""`python -m aioalf request` and `token`, as a real process against a real server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import pty
import signal
from argparse import ArgumentTypeError
from pathlib import Path

import pytest
from clients import scripted_server
from commands import PACKAGE, TIMEOUT, Result, assert_one_line, credentials, finish, run, start

import aioalf
from aioalf.cli import io
from aioalf.cli import request as request_command
from aioalf.cli.argument_types import header
from aioalf.cli.arguments import read_arguments
from aioalf.cli.errors import CommandError, one_line
from aioalf.cli.io import ClientSecret, read_body, read_secret
from aioalf.cli.managers import manager_of
from aioalf.cli.proxy import Proxies
from aioalf.testing import AuthorizationServer

URL = "https://api.example.com/v1"


# -- token


async def test_token_prints_the_token_and_nothing_else(server: AuthorizationServer) -> None:
    """What a shell puts into a variable is the token."""
    result = await run(server, "token")
    assert (result.status, result.err) == (0, "")
    assert server.accepts(result.out.decode().removesuffix("\n"))
    assert server.token_requests == 1


async def test_token_as_json_tells_expiry_and_scope(server: AuthorizationServer) -> None:
    """Scopes given separately and together are asked for as one list (RFC 6749 section 3.3)."""
    result = await run(server, "token", "--json", "--scope", "read write", "--scope", "admin")
    told = json.loads(result.out)
    assert server.accepts(told["access_token"])
    assert abs(told["expires_at"] - server.time() - 3600) < 60
    assert (told["token_type"], told["scope"]) == ("Bearer", "read write admin")
    assert server.log[0].form["scope"] == "read write admin"


async def test_params_go_into_the_token_request_as_often_as_given(
    server: AuthorizationServer,
) -> None:
    """A parameter with several values is repeated (RFC 8707 section 2)."""
    server.answer_next(body='{"access_token": "a-token"}')
    params = ("--param", "audience=https://api", "--param", "resource=a", "--param", "resource=b=c")
    result = await run(server, "token", *params)
    assert (result.status, result.out) == (0, b"a-token\n")
    assert server.log[0].form.getall("audience") == ["https://api"]
    assert server.log[0].form.getall("resource") == ["a", "b=c"]


@pytest.mark.parametrize("method", ["basic", "basic-raw", "post"])
async def test_the_client_authenticates_as_it_is_told(method: str) -> None:
    """RFC 6749 section 2.3.1, with a secret that the raw variant sends as it is."""
    decode = method != "basic-raw"
    async with AuthorizationServer("id", "s%c+ r é", decode_credentials=decode) as server:
        result = await run(server, "token", "--client-auth", method)
        assert (result.status, result.err) == (0, "")
        assert ("client_secret" in server.log[0].form) == (method == "post")


async def test_a_public_client_is_asked_for_no_secret(server: AuthorizationServer) -> None:
    """RFC 6749 section 3.2.1: the id alone."""
    server.allow_public = True
    result = await run(server, "token", "--client-auth", "none", AIOALF_CLIENT_SECRET="")
    assert (result.status, result.err) == (0, "")
    assert "client_secret" not in server.log[0].form


# -- the secret


async def test_the_secret_comes_from_a_file_before_the_environment(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """The line end is the editor's; ``-`` is stdin."""
    file = tmp_path / "secret"
    file.write_bytes(server.client_secret.encode() + b"\r\n")
    named = await run(server, "token", "--secret-file", str(file), AIOALF_CLIENT_SECRET="wrong")
    piped = await run(
        server, "token", "--secret-file", "-", stdin=b"secret\n", AIOALF_CLIENT_SECRET=""
    )
    assert (named.status, piped.status) == (0, 0), (named, piped)


@pytest.mark.parametrize("content", [b"", b"\n", b"one\ntwo\n", b"\xff\xfe"])
def test_a_secret_file_of_something_else_is_refused(content: bytes, tmp_path: Path) -> None:
    """The wrong file is not sent to the server."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    arguments = ["token", "--token-endpoint", URL, "--client-id", "id", "--secret-file", str(file)]
    with pytest.raises(CommandError, match="one line") as caught:
        read_secret(read_arguments(arguments, {}))
    assert caught.value.status == 2


@pytest.mark.parametrize("source", ["AIOALF_CLIENT_SECRET", "--secret-file"])
def test_a_secret_loses_its_line_end_and_is_one_line(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Editors and secret managers add a line end, and no secret ends in one (RFC 6749 appendix A.2)."""
    file = tmp_path / "secret"
    options = ["--secret-file", str(file)] if source == "--secret-file" else []
    args = read_arguments(["token", "--token-endpoint", URL, "--client-id", "id", *options], {})

    def read(secret: str) -> str | None:
        file.write_text(secret, newline="")
        monkeypatch.setenv("AIOALF_CLIENT_SECRET", secret)
        return read_secret(args)

    assert [read(f"s3cr3t{end}") for end in ("", "\n", "\r\n")] == ["s3cr3t"] * 3
    for wrong in ("s3cr3t\nmore", "\n"):
        with pytest.raises(CommandError, match=f"{source} needs one line") as caught:
            read(wrong)
        assert "s3cr3t" not in one_line(caught.value.line)
        assert source in one_line(caught.value.line)


def test_the_other_variables_lose_their_line_end_too() -> None:
    """They come from the same files."""
    variables = {"AIOALF_TOKEN_ENDPOINT": f"{URL}\n", "AIOALF_CLIENT_ID": "id\r\n"}
    args = read_arguments(["token"], variables)
    assert (args.token_endpoint, args.client_id) == (URL, "id")


def test_a_file_without_an_end_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret has 64 KiB at most, a body as much as fits into the memory of most machines."""
    known = {"AIOALF_TOKEN_ENDPOINT": URL, "AIOALF_CLIENT_ID": "id"}
    args = read_arguments(["token", "--secret-file", "/dev/zero"], known)
    with pytest.raises(CommandError, match="holds more than 65,536 bytes"):
        read_secret(args)
    monkeypatch.setattr(io, "BODY_LIMIT", 100_000)
    for option in ("--data", "--json"):
        args = read_arguments(["request", "POST", URL, option, "@/dev/zero"], known)
        with pytest.raises(CommandError, match="holds more than 100,000 bytes") as caught:
            read_body(args)
        assert caught.value.status == 2
    file = tmp_path / "body"
    file.write_bytes(bytes(100_000))
    args = read_arguments(["request", "POST", URL, "--data", f"@{file}"], known)
    with read_body(args)() as body:
        assert body.read() == bytes(100_000)


async def test_without_secret_and_terminal_the_error_says_where_to_put_it(
    server: AuthorizationServer,
) -> None:
    """There is no person to ask."""
    result = await run(server, "token", AIOALF_CLIENT_SECRET="")
    assert_one_line(result, 2, "AIOALF_CLIENT_SECRET", "--secret-file")
    assert server.token_requests == 0


async def run_at_terminal(
    server: AuthorizationServer, *arguments: str, typed: bytes
) -> tuple[Result, bytes]:
    """Run it without a secret, and type when it asks for one; what it shows is returned as well."""
    ours, theirs = pty.openpty()
    try:
        variables = {**credentials(server), "AIOALF_CLIENT_SECRET": ""}
        process = await start(*arguments, variables=variables, stdin=theirs, stderr=theirs)
        os.close(theirs)
        shown = b""
        while b"Client secret of client-id: " not in shown:
            shown += await asyncio.to_thread(os.read, ours, 1000)
        os.write(ours, typed)
        result = await finish(process)
        # What follows a question is the line end, which getpass prints.
        shown += await asyncio.to_thread(os.read, ours, 1000)
    finally:
        os.close(ours)
    return result, shown


async def test_on_a_terminal_the_secret_is_asked_for_and_not_shown(
    server: AuthorizationServer,
) -> None:
    """The prompt is not part of the output, so that the token can be piped on."""
    typed = server.client_secret.encode() + b"\n"
    result, shown = await run_at_terminal(server, "token", typed=typed)
    assert result.status == 0
    assert server.accepts(result.out.decode().strip())
    assert shown.split(b"client-id: ")[1].strip() == b""


async def test_a_request_whose_secret_was_typed_is_sent_once_and_shown(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """Also if a stored token was rejected first; a success is not reported as a failure."""
    arguments = ("request", "POST", server.resource, "--storage", str(tmp_path / "tokens.json"))
    typed = server.client_secret.encode() + b"\n"
    for requests in (1, 3):
        result, _ = await run_at_terminal(server, *arguments, typed=typed)
        assert (result.status, json.loads(result.out)["method"]) == (0, "POST")
        assert server.resource_requests == requests
        server.revoke_all()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--client-secret", "hunter2", "token"),
        ("token", "--client-secret=hunter2"),
        ("request", "GET", "--password", "hunter2", "https://example.com"),
        ("token", "--param", "client_secret=hunter2"),
    ],
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every user of the machine can read a command line; a log of stderr need not hold it too."""
    with pytest.raises(SystemExit) as end:
        read_arguments(arguments, {})
    err = capsys.readouterr().err
    assert (end.value.code, err.count("\n")) == (2, 1)
    assert "does not belong on the command line" in err
    assert "hunter2" not in err


# -- token errors


async def test_a_wrong_secret_is_named_with_the_remedy(server: AuthorizationServer) -> None:
    """RFC 6749 section 5.2: invalid_client."""
    result = await run(server, "request", "GET", server.resource, AIOALF_CLIENT_SECRET="wr0ng")
    remedy = "check the client id and the secret"
    assert_one_line(result, 1, "no token", "invalid_client", remedy)
    assert "wr0ng" not in result.err
    assert server.resource_requests == 0


@pytest.mark.parametrize(("status", "word"), [(404, "right URL"), (502, "server trouble")])
async def test_a_page_instead_of_an_answer_is_named_and_not_shown(
    server: AuthorizationServer, status: int, word: str
) -> None:
    """With the URL that gave it, which may be the wrong one."""
    server.answer_next(status, {"Content-Type": "text/html"}, "<!doctype html>" * 100)
    result = await run(server, "token")
    assert_one_line(result, 1, server.token_endpoint, str(status), word)
    assert "html" not in result.err


async def test_a_token_endpoint_that_is_not_there_is_a_token_error(
    server: AuthorizationServer, unused_tcp_port: int
) -> None:
    """It ends with 1, as distinct from a URL that does not answer."""
    endpoint = f"http://127.0.0.1:{unused_tcp_port}/token"
    result = await run(server, "request", "GET", server.resource, AIOALF_TOKEN_ENDPOINT=endpoint)
    assert_one_line(result, 1, "no token", str(unused_tcp_port))


async def test_what_a_server_says_is_shown_on_one_line_without_control_characters(
    server: AuthorizationServer,
) -> None:
    """An answer must not control the terminal."""
    body = json.dumps({"error": "invalid_scope", "error_description": "no\nsuch\x1b[31m scope"})
    server.answer_next(400, {"Content-Type": "application/json"}, body)
    result = await run(server, "token")
    assert_one_line(result, 1, "invalid_scope", "check --scope")
    assert result.err.removesuffix("\n").isprintable()


async def test_the_timeout_ends_a_token_request_too(server: AuthorizationServer) -> None:
    """A stalled token endpoint is a token error."""
    server.stall_next()
    result = await run(server, "token", "--timeout", "0.2")
    assert_one_line(result, 1, "no token", server.token_endpoint)


# -- storage


async def test_a_stored_token_outlives_the_process_and_needs_no_secret(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """The second process asks neither the server for a token nor a person for the secret."""
    file = tmp_path / "tokens.json"
    first = await run(server, "token", "--storage", str(file))
    second = await run(server, "token", "--storage", str(file), AIOALF_CLIENT_SECRET="")
    assert (first.status, second.status, second.err) == (0, 0, "")
    assert first.out == second.out
    assert server.token_requests == 1


async def test_a_stored_token_that_was_revoked_is_replaced(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """After the 401 the secret is needed, and missed; with it the request is sent once more."""
    arguments = ("request", "GET", server.resource, "--storage", str(tmp_path / "tokens.json"))
    assert (await run(server, *arguments)).status == 0
    server.revoke_all()
    without = await run(server, *arguments, AIOALF_CLIENT_SECRET="")
    assert_one_line(without, 2, "no client secret")
    assert (await run(server, *arguments, "--fail")).status == 0
    assert server.token_requests == 2


async def test_a_storage_in_a_home_that_does_not_exist_is_named(
    server: AuthorizationServer,
) -> None:
    """The shell passes on a ``~user`` that it does not know."""
    result = await run(server, "token", "--storage", "~nosuchuser/tokens.json")
    assert_one_line(result, 2, "--storage", "~nosuchuser")
    assert server.token_requests == 0


async def test_a_storage_without_its_extra_names_the_install_command(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """The extra is called file."""
    (tmp_path / "filelock.py").write_text("raise ModuleNotFoundError('No module', name='filelock')")
    path = os.pathsep.join([str(tmp_path), str(PACKAGE)])
    result = await run(server, "token", "--storage", str(tmp_path / "t.json"), PYTHONPATH=path)
    assert_one_line(result, 1, "aio-alf[file]")


# -- request


async def test_request_streams_the_body_as_it_is(server: AuthorizationServer) -> None:
    """Bytes are not text: nothing is decoded, nothing is added."""
    body = bytes(range(256)) * 300
    server.resource_answer_next(body=body)
    result = await run(server, "request", "get", server.resource)
    assert (result.status, result.err) == (0, "")
    assert hashlib.sha256(result.out).digest() == hashlib.sha256(body).digest()


async def test_each_event_of_a_stream_is_there_when_it_comes(server: AuthorizationServer) -> None:
    """The first event can be read while the stream goes on."""
    url = f"{server.stream}?count=1000&interval=0.1"
    process = await start("request", "GET", url, variables=credentials(server))
    assert process.stdout is not None
    try:
        first = await asyncio.wait_for(process.stdout.readline(), TIMEOUT)
        assert first.startswith(b"data:")
        assert process.returncode is None
    finally:
        process.kill()
        await process.communicate()


async def test_headers_and_body_are_sent_as_given(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """Text, file and stdin; the content type that goes with the option, unless a header names one."""
    file = tmp_path / "body"
    file.write_bytes(b"from a file")
    sent = {
        "application/x-www-form-urlencoded": ("a=b&c=d", ["--data", "a=b&c=d"]),
        "application/json": ('{"a": 1}', ["--json", '{"a": 1}']),
        "text/csv": ("from a file", ["--data", f"@{file}", "-H", "content-type: text/csv"]),
        "text/plain": ("piped", ["--data", "-", "-H", "Content-Type: text/plain"]),
    }
    command = ("request", "POST", server.resource + "/things?x=1", "-H", "X-Some: thing")
    results = await asyncio.gather(
        *(run(server, *command, *options, stdin=b"piped") for _, options in sent.values())
    )
    for (kind, (body, _)), result in zip(sent.items(), results, strict=True):
        echo = json.loads(result.out)
        assert (echo["method"], echo["path"]) == ("POST", "/resource/things")
        assert (echo["body"], echo["headers"]["Content-Type"]) == (body, kind)
        assert echo["headers"]["X-Some"] == "thing"


async def test_fail_ends_with_22_and_without_the_body(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """As curl does; the query, which may hold a key, is not repeated."""
    server.resource_answer_next(404, body="nothing here", times=2)
    url = server.resource + "?key=hunter2"
    plain = await run(server, "request", "GET", url)
    assert (plain.status, plain.out, plain.err) == (0, b"nothing here", "")
    file = tmp_path / "out"
    failing = await run(server, "request", "GET", url, "-f", "-o", str(file))
    assert_one_line(failing, 22, "GET", "/resource", "404")
    assert "hunter2" not in failing.err
    assert not file.exists()


async def test_include_puts_status_and_headers_first(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """An output file gets the same."""
    server.resource_answer_next(202, {"X-Thing": "some"}, "the body")
    file = tmp_path / "out"
    result = await run(server, "request", "GET", server.resource, "-i", "--output", str(file))
    assert (result.status, result.out) == (0, b"")
    head, _, body = file.read_bytes().partition(b"\r\n\r\n")
    assert head.splitlines()[0] == b"HTTP/1.1 202 Accepted"
    assert b"X-Thing: some" in head.splitlines()
    assert body == b"the body"


async def test_an_url_that_does_not_answer_ends_with_3(server: AuthorizationServer) -> None:
    """No connection, a dropped one, or no answer in time: one line that names the URL."""
    url = server.resource + "?key=hunter2"
    server.resource_drop_next()
    dropped = await run(server, "request", "POST", url)
    server.resource_stall_next()
    stalled = await run(server, "request", "GET", url, "--timeout", "0.5")
    assert_one_line(dropped, 3, "POST", server.resource)
    assert_one_line(stalled, 3, "GET", server.resource, "0.5 s")
    assert "hunter2" not in dropped.err + stalled.err


async def send(server: AuthorizationServer, url: str, to: Path) -> int:
    """Send a request from this process."""
    known = {"AIOALF_TOKEN_ENDPOINT": server.token_endpoint, "AIOALF_CLIENT_ID": server.client_id}
    words = ["request", "GET", url, "-o", str(to)]
    args = await asyncio.to_thread(read_arguments, words, known)  # it reads translations
    secret, proxies = ClientSecret(server.client_secret), Proxies(None)
    async with manager_of(args, secret, proxies, None, None) as manager:
        return await request_command.send_request(args, manager, lambda: None, proxies, None)


async def test_without_a_timeout_silence_still_ends(
    server: AuthorizationServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits for ever: not for a connection, not for an answer, not for the rest of one."""
    monkeypatch.setattr(request_command, "IDLE_TIMEOUT", 0.05)
    server.resource_stall_next()
    with pytest.raises(CommandError, match=r"nothing came for .* --timeout") as caught:
        await send(server, server.resource, tmp_path / "out")
    assert caught.value.status == 3

    async def say_nothing(*connection: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(request_command, "CONNECT_TIMEOUT", 0.05)
    async with scripted_server(say_nothing) as url:
        with pytest.raises(CommandError, match="no connection after") as caught:
            await send(server, url.replace("http:", "https:"), tmp_path / "out")
    assert caught.value.status == 3


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Expect"])
def test_a_header_that_follows_from_the_body_is_refused(name: str) -> None:
    """A server would wait for a body that does not come (RFC 9112 section 6), or both would wait."""
    with pytest.raises(ArgumentTypeError, match=f"{name} .*; leave it out"):
        header(f"{name}: 5")


async def test_verbose_tells_what_happens_and_no_token(server: AuthorizationServer) -> None:
    """Tokens appear as fingerprints, the secret not at all."""
    result = await run(server, "token", "-v")
    assert result.status == 0
    assert server.token_endpoint in result.err
    assert result.out.decode().strip() not in result.err
    assert server.client_secret not in result.err.replace(server.client_id, "")


ECHOES = {
    "reason": "HTTP/1.1 400 {token}\r\nContent-Length: 0\r\n\r\n",
    "status line": "{token}\r\n\r\n",
    "header name": "HTTP/1.1 200 OK\r\n{token}\x01: x\r\n\r\n",
    "scheme": "HTTP/1.1 302 Found\r\nLocation: foo://{token}\r\nContent-Length: 0\r\n\r\n",
    "port": "HTTP/1.1 302 Found\r\nLocation: http://{token}:99999/\r\nContent-Length: 0\r\n\r\n",
    "host": "HTTP/1.1 302 Found\r\nLocation: http://{token}.invalid/\r\nContent-Length: 0\r\n\r\n",
    "chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{token}\r\n",
    "length": "HTTP/1.1 200 OK\r\nContent-Length: {token}\r\n\r\n",
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
async def test_an_api_that_repeats_the_token_is_not_quoted(
    echo: str, server: AuthorizationServer
) -> None:
    """Wherever aiohttp would put it into its error; the host of a redirect in lower case."""
    token = server.issue()

    async def answer(head: bytes, reader: object, writer: asyncio.StreamWriter) -> None:
        writer.write(echo.format(token=token).encode())
        writer.close()

    server.answer_next(body=json.dumps({"access_token": token}))
    async with scripted_server(answer) as api:
        url = f"{api}/things"
        result = await run(server, "request", "GET", url, "--fail")
    assert_one_line(result, 22 if "400" in echo else 3, f"GET {url}: ")
    assert token.lower() not in result.err.lower()


QUOTING = """
import asyncio, aiohttp
start = aiohttp.ClientResponse.start

async def fail(quote):
    raise RuntimeError(quote)

async def fail_with_a_quote(self, connection):
    quote = f"{self.request_info} {self.request_info.headers['Authorization'].split()[1]}"
    if "Bearer" not in quote:
        return await start(self, connection)
    await asyncio.wait([asyncio.ensure_future(fail(str(self.request_info)))])
    raise LookupError(quote)

aiohttp.ClientResponse.start = fail_with_a_quote
"""


@pytest.mark.parametrize("options", [(), ("-v",)])
async def test_a_fault_of_the_program_is_one_line_without_what_it_quotes(
    options: tuple[str, ...], server: AuthorizationServer, tmp_path: Path
) -> None:
    """No traceback, and one line for asyncio's report of a task that was not awaited."""
    (tmp_path / "sitecustomize.py").write_text(QUOTING)
    path = os.pathsep.join([str(tmp_path), str(PACKAGE)])
    server.answer_next(body='{"access_token": "a-token-that-is-quoted"}')
    result = await run(server, "request", "GET", server.resource, *options, PYTHONPATH=path)
    lines = result.err.splitlines()
    assert (result.status, result.out) == (70, b""), result
    assert lines[-1].startswith("aioalf: unexpected LookupError in "), result
    assert [line for line in lines if "never retrieved" in line], result
    assert all(line.startswith(("aioalf: ", "> ")) for line in lines)
    assert len(lines) == 2 or options
    assert "a-token-that-is-quoted" not in result.err


def test_one_line_holds_no_credentials_of_a_url() -> None:
    """Nor its query, nor a Bearer token."""
    text = "http://me:hunter2@proxy.example/?key=hunter2 Bearer hunter2hunter2 access_token=hunter2"
    assert "hunter2" not in one_line(text)
    assert "proxy.example" in one_line(text)


# -- how it ends


async def test_a_reader_that_went_away_ends_it_silently(server: AuthorizationServer) -> None:
    """As in ``| head``: the status of SIGPIPE, and no complaint."""
    for arguments in (("token",), ("request", "GET", server.stream), ("--help",)):
        reading, writing = os.pipe()
        os.close(reading)
        process = await start(*arguments, variables=credentials(server), stdout=writing)
        os.close(writing)
        result = await finish(process)
        assert (result.status, result.err) == (141, ""), arguments


async def test_a_full_disk_is_named(server: AuthorizationServer) -> None:
    """A token that could not be written is not a success."""
    with open("/dev/full", "wb") as full:  # noqa: ASYNC230 - a device
        process = await start("token", variables=credentials(server), stdout=full)
        assert_one_line(await finish(process), 23, "cannot write stdout")
    result = await run(server, "request", "GET", server.resource, "-o", "/dev/full")
    assert_one_line(result, 23, "cannot write /dev/full", "No space left")


@pytest.mark.parametrize("arguments", [("frobnicate",), ("token", "--secret-file", "/missing")])
async def test_a_line_that_cannot_be_printed_does_not_change_the_status(
    arguments: tuple[str, ...], server: AuthorizationServer
) -> None:
    """A script reads the status, and not stderr."""
    with open("/dev/full", "wb") as full:  # noqa: ASYNC230 - a device
        process = await start(*arguments, variables=credentials(server), stderr=full)
        assert (await finish(process)).status == 2


@pytest.mark.parametrize(
    ("descriptor", "arguments", "status", "words"),
    [
        (1, ("demo",), 23, "cannot write stdout: it is closed"),
        (1, ("token",), 23, "cannot write stdout: it is closed"),
        (0, ("token",), 2, "no client secret"),
        (0, ("token", "--secret-file", "-"), 2, "stdin: it is closed"),
        (0, ("request", "POST", URL, "--data", "-"), 2, "stdin: it is closed"),
        (2, ("token",), 2, ""),
        (2, ("frobnicate",), 2, ""),
    ],
)
async def test_a_stream_that_was_closed_from_the_start_is_an_error_too(
    server: AuthorizationServer,
    descriptor: int,
    arguments: tuple[str, ...],
    status: int,
    words: str,
) -> None:
    """As some daemons start their children; an error does not go to stdout instead."""
    known = credentials(server)
    if descriptor != 1:
        del known["AIOALF_CLIENT_SECRET"]

    def close() -> None:
        os.close(descriptor)

    result = await finish(await start(*arguments, variables=known, preexec_fn=close))
    assert (result.status, result.out) == (status, b""), result
    assert words in result.err
    assert result.err.count("\n") == (descriptor != 2)


async def test_an_output_file_that_cannot_be_made_is_named(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """The name and the reason, before a request is sent that cannot be taken back."""
    file = tmp_path / "missing" / "out"
    result = await run(server, "request", "POST", server.resource, "-o", str(file))
    assert_one_line(result, 23, str(file), "No such file")
    result = await run(server, "request", "POST", server.resource, "-o", str(tmp_path))
    assert_one_line(result, 23, str(tmp_path), "Is a directory")
    assert (server.token_requests, server.resource_requests) == (0, 0)


@pytest.mark.parametrize("what", ["token", "resource"])
async def test_ctrl_c_ends_it_with_130(server: AuthorizationServer, what: str) -> None:
    """At once and without a traceback, during the token request and during the request."""
    server.stall_next() if what == "token" else server.resource_stall_next()

    def default_signal() -> None:  # the tests may run in the background, which ignores it
        signal.signal(signal.SIGINT, signal.default_int_handler)

    process = await start(
        "request",
        "GET",
        server.resource,
        variables=credentials(server),
        preexec_fn=default_signal,
    )
    while not any(received.kind == what for received in server.log):
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGINT)
    result = await finish(process)
    assert (result.status, result.out, result.err) == (130, b"", "")


# -- the command line itself


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "logout, request or token"),
        (("frobnicate",), "frobnicate"),
        (("token", "--frob=hunter2", "hunter2"), "unknown option: --frob"),
        (("token", "--client_id", "hunter2"), "unknown option: --client_id"),
        (("-v", "token"), "-v stands before token"),
        (("-v",), "unknown option: -v"),
        (("token", "hunter2"), "too many arguments"),
        (("request", "GET"), "URL"),
        (("request", "GET", "api.example.com"), "absolute http"),
        (("request", "GET", "ftp://example.com/"), "absolute http"),
        (("request", "GET", "https:///path"), "absolute http"),
        (("request", "GET", "https://example.com:99999/"), "not a URL"),
        (("request", "GET", "https://me:hunter2@example.com/"), "out of the URL"),
        (("request", "G T", URL), "method"),
        (("request", "GET", URL, "-H", "hunter2"), "'Name: value'"),
        (("request", "GET", URL, "-H", "X: hunter2\nY: b"), "one line"),
        (("request", "GET", URL, "-H", "X: a\x0bhunter2"), "control characters"),
        (("request", "GET", URL, "-H", "authorization: hunter2"), "where the token goes"),
        (("request", "GET", URL, "-H", "Content-Length: 5"), "Content-Length follows"),
        (("request", "GET", URL, "--data", "a", "--json", "{}"), "not allowed with"),
        (("request", "GET", URL, "--data", "-", "--secret-file", "-"), "stdin"),
        (("request", "GET", URL, "--timeout", "0"), "positive number"),
        (("request", "GET", URL, "--timeout", "nan"), "positive number"),
        (("token", "--param", "hunter2"), "KEY=VALUE"),
        (("token", "--param", "scope=hunter2"), "use --scope"),
        (("token", "--secret-file", ""), "name of a file"),
        (("token", "--storage", ""), "name of a file"),
        (("request", "GET", URL, "--output", ""), "name of a file"),
        (("token", "--client-auth", "magic"), "magic"),
        (("token", "--token-endpoint", "nowhere"), "absolute http"),
        (("token", "--proxy", "http://me:hunter2@proxy.example"), "does not belong on"),
        (("token", "--proxy", "hunter2@proxy.example:3128"), "does not belong on"),
        (("token", "--proxy", "socks5://hunter2:1080"), "http URL of a proxy"),
        (("token", "--proxy", "http://[hunter2"), "http URL of a proxy"),
        (("token", "--proxy", ""), "http URL of a proxy"),
    ],
)
def test_wrong_usage_is_one_line_that_names_it(
    arguments: tuple[str, ...], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends with 2, says where to read on, and repeats nothing that may be a secret."""
    known = {"AIOALF_TOKEN_ENDPOINT": URL, "AIOALF_CLIENT_ID": "id"}
    with pytest.raises(SystemExit) as end:
        read_arguments(arguments, known)
    out, err = capsys.readouterr()
    assert (end.value.code, out, err.count("\n")) == (2, "", 1)
    assert word in err
    assert "--help" in err
    assert "hunter2" not in err


@pytest.mark.parametrize("name", ["token_endpoint", "client_id"])
def test_what_is_missing_is_named_with_option_and_variable(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty variable counts as a missing one."""
    known = {"AIOALF_TOKEN_ENDPOINT": URL, "AIOALF_CLIENT_ID": "id"}
    with pytest.raises(SystemExit):
        read_arguments(["token"], {**known, f"AIOALF_{name.upper()}": ""})
    err = capsys.readouterr().err
    assert f"AIOALF_{name.upper()}" in err
    assert f"--{name.replace('_', '-')}" in err


@pytest.mark.parametrize("command", [(), ("request",), ("token",)])
def test_help_tells_examples_variables_and_exit_statuses(
    command: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each command's help has all of it, and fits a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as end:
        read_arguments([*command, "--help"], {})
    out = capsys.readouterr().out
    assert end.value.code == 0
    for word in ("examples", "AIOALF_CLIENT_SECRET", "exit status", "130", "--secret-file"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80


async def test_what_is_wrong_with_a_body_is_said_before_anything_is_sent(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """A file that does not exist, a text that is not JSON, one that Python cannot parse."""
    missing = str(tmp_path / "missing")
    for options, word in (
        (("--data", f"@{missing}"), missing),
        (("--json", '{"hunter2'), "not JSON"),
        (("--json", "[" * 100_000), "nested too deeply"),
    ):
        result = await run(server, "request", "POST", server.resource, *options)
        assert_one_line(result, 2, word)
        assert "hunter2" not in result.err
    assert server.token_requests == 0


def test_json_may_hold_numbers_that_python_does_not_convert() -> None:
    """The body is checked, and sent as it is."""
    known = {"AIOALF_TOKEN_ENDPOINT": URL, "AIOALF_CLIENT_ID": "id"}
    args = read_arguments(["request", "POST", URL, "--json", "1" * 5000], known)
    assert read_body(args)() == b"1" * 5000


async def test_the_version_is_that_of_the_package(server: AuthorizationServer) -> None:
    """What a bug report needs."""
    result = await run(server, "--version")
    assert result.out.decode() == f"aioalf {aioalf.__version__}\n"
