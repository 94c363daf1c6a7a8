"""`aioalf request` as those expect it who know curl: options, uploads, downloads, certificates."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import pty
import signal
import ssl
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import trustme
from commands import assert_one_line, credentials, environment, finish, run, start

from aioalf.cli.arguments import read_arguments
from aioalf.cli.errors import CommandError
from aioalf.cli.io import Output
from aioalf.cli.main import main
from aioalf.redaction import safe_url
from aioalf.testing import AuthorizationServer

KNOWN = {"AIOALF_TOKEN_ENDPOINT": "http://localhost/token", "AIOALF_CLIENT_ID": "id"}
URL = "http://localhost/things"


@pytest.mark.parametrize(
    ("words", "method"),
    [
        ([URL], "GET"),
        (["delete", URL], "DELETE"),
        (["-X", "PATCH", URL], "PATCH"),
        ([URL, "-d", "a=b"], "POST"),
        ([URL, "--json", "{}"], "POST"),
        ([URL, "-F", "a=b"], "POST"),
        (["PUT", URL, "-d", "a=b"], "PUT"),
        ([URL, "-L"], "GET"),
    ],
)
def test_a_url_alone_is_a_get_and_with_a_body_a_post(words: list[str], method: str) -> None:
    """The method may be a word, or an option."""
    args = read_arguments(["request", *words], KNOWN)
    assert (args.method, args.url) == (method, URL)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-k", URL], "--cacert FILE names the authority"),
        (["-u", "me:hunter2", URL], "the token is the credential"),
        (["--dat", "x", URL], "did you mean --data?"),
        (["--outptu", "x", URL], "did you mean --output?"),
        (["--xyz", URL], "unknown option: --xyz ("),
        (["GET", "POST", URL], "METHOD and URL, or URL alone"),
        (["GET", URL, "-X", "PUT"], "the method is given twice"),
        ([URL, "-F", "a=b", "-d", "c"], "--form does not go with --data"),
        ([URL, "-F", "a"], "NAME=VALUE or NAME=@FILE is needed"),
        (["ftp://localhost/"], "an absolute http or https URL is needed"),
        ([URL, "--key", "k"], "--key goes with --cert"),
        ([URL, "-d", "@a", "-d", "b"], "@FILE and - are the whole body"),
        ([URL, "-d", "b", "-d", "-"], "@FILE and - are the whole body"),
        ([URL, "-F", "a=@-", "-F", "b=@-"], "stdin can be read only once"),
        ([URL, "-F", "a=@-", "--secret-file", "-"], "stdin can be read only once"),
        ([URL, "-d", "@-", "--secret-file", "-"], "stdin can be read only once"),
        ([f"{URL}/\udcff"], "not text in the encoding of the terminal"),
        ([URL, "-H", "X-Name: \udcff"], "not text in the encoding of the terminal"),
        ([URL, "-F", "name=\udcff"], "not text in the encoding of the terminal"),
    ],
)
def test_what_cannot_be_is_answered_with_the_remedy(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, which repeats no value: it may be a secret."""
    with pytest.raises(SystemExit) as exit_:
        read_arguments(["request", *words], KNOWN)
    line = capsys.readouterr().err
    assert exit_.value.code == 2
    assert said in line
    assert line.count("\n") == 1
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["-d", "a=1", "-d", "b=2", "--data", "c"], "a=1&b=2&c"),
        (["-d", "a=1"], "a=1"),
        (["-d", "", "-d", "a"], "&a"),
    ],
)
def test_data_that_is_given_several_times_is_joined(words: list[str], body: str) -> None:
    """As curl does; none is left out."""
    assert read_arguments(["request", URL, *words], KNOWN).data == body


def test_the_environment_gives_scope_parameters_storage_and_client_authentication() -> None:
    """An option comes in place of its variable."""
    given = {
        **KNOWN,
        "AIOALF_SCOPE": "read write",
        "AIOALF_PARAM": "audience=https://api.example.com resource=x",
        "AIOALF_STORAGE": "tokens.json",
        "AIOALF_CLIENT_AUTH": "post",
    }
    args = read_arguments(["token"], given)
    assert (args.scope, args.storage, args.client_auth) == (["read write"], "tokens.json", "post")
    assert args.param == [("audience", "https://api.example.com"), ("resource", "x")]
    args = read_arguments(["token", "--scope", "a", "--scope", "b", "--param", "k=v"], given)
    assert (args.scope, args.param) == (["a", "b"], [("k", "v")])
    assert read_arguments(["token"], given).scope == ["read write"]


async def test_a_variable_that_cannot_be_is_named(server: AuthorizationServer) -> None:
    """With what it may be."""
    result = await run(server, "token", AIOALF_CLIENT_AUTH="digest")
    assert_one_line(result, 2, "AIOALF_CLIENT_AUTH", "basic, basic-raw, post, none")
    result = await run(server, "token", AIOALF_PARAM="audience")
    assert_one_line(result, 2, "AIOALF_PARAM: KEY=VALUE is needed")


def test_the_console_script_is_the_command() -> None:
    """``pipx run --spec aio-alf aioalf``, or ``uvx --from aio-alf aioalf``."""
    entry = EntryPoint("aioalf", "aioalf.cli.main:main", "console_scripts")
    assert entry.load() is main
    setup = (Path(__file__).parents[1] / "setup.py").read_text(encoding="utf-8")
    assert f"{entry.name} = {entry.value}" in setup


async def test_a_form_with_a_file_is_sent_again_whole_after_a_401(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """Multipart, from the disk."""
    path = tmp_path / "thing.csv"
    path.write_text("one,two\n")
    server.resource_answer_next(401)
    options = ("-F", "name=alf", "-F", f"file=@{path}")
    result = await run(server, "request", server.resource, *options)
    assert result.status == 0, result.err
    echoed = json.loads(result.out)
    assert echoed["method"] == "POST"
    assert echoed["headers"]["Content-Type"].startswith("multipart/form-data")
    assert 'filename="thing.csv"' in echoed["body"]
    assert "one,two" in echoed["body"]


async def test_the_names_of_a_form_arrive_as_they_are(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """In UTF-8 (RFC 7578 section 5.1), without percent-encoding; what has no size is a file too."""
    path = tmp_path / "my ä.csv"
    path.touch()
    fields = ("-F", f"a file=@{path}", "-F", "größe=1", "-F", "piped=@-")
    result = await run(server, "request", server.resource, *fields, stdin=b"through the pipe")
    assert result.status == 0, result.err
    body = json.loads(result.out)["body"]
    for part in (
        'name="a file"; filename="my ä.csv"',
        'name="größe"',
        'name="piped"; filename="-"',
        "through the pipe",
    ):
        assert part in body


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
async def test_a_file_that_does_not_tell_its_size_is_sent(server: AuthorizationServer) -> None:
    """It claims to hold nothing."""
    result = await run(server, "request", server.resource, "-d", "@/proc/version")
    assert json.loads(result.out)["body"] == Path("/proc/version").read_text()


async def test_an_upload_is_read_from_the_disk_as_it_goes(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """200 MB in less than 60 MB of memory more than the program has without."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(200 * 10**6)
    server.keep_log = False
    code = (
        "import resource, sys; from aioalf.cli.main import main; status = main(sys.argv[1:]);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )

    async def peak(*words: str) -> int:
        process = await start_code(code, "request", "-f", "-o", os.devnull, *words, server=server)
        result = await finish(process)
        return int(result.err.split()[-1])

    small = await peak(server.resource)
    large = await peak("PUT", server.resource, "--data", f"@{path}")
    assert large - small < 60_000


async def start_code(
    code: str, *words: str, server: AuthorizationServer
) -> asyncio.subprocess.Process:
    """Start a Python that runs this code."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, *words),
        env=environment(**credentials(server)),
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
    )


async def test_a_download_that_breaks_off_leaves_nothing_under_its_name(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """Neither a half file nor a temporary one; what was there before stays."""
    path = tmp_path / "things.json"
    path.write_text("before")
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    server.raw_next(head + b"half", at="resource")
    result = await run(server, "request", server.resource, "-o", str(path))
    assert result.status == 3
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [
        ("things.json", "before")
    ]
    result = await run(server, "request", server.resource, "-o", str(path))
    assert result.status == 0, result.err
    assert json.loads(path.read_text())["method"] == "GET"
    assert [each.name for each in tmp_path.iterdir()] == ["things.json"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_a_signal_that_ends_a_download_leaves_nothing_behind(
    server: AuthorizationServer, tmp_path: Path, number: signal.Signals
) -> None:
    """`timeout`, a service manager and a closed terminal end it as Ctrl-C does."""

    def default_signals() -> None:  # the tests may run in the background, which ignores some
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    process = await start(
        *("request", f"{server.stream}?interval=30", "-o", str(tmp_path / "things")),
        variables=credentials(server),
        preexec_fn=default_signals,
    )
    while not list(tmp_path.iterdir()):
        await asyncio.sleep(0.01)
    process.send_signal(number)
    result = await finish(process)
    assert (result.status, result.out, result.err) == (128 + number, b"", "")
    assert list(tmp_path.iterdir()) == []


async def test_what_a_shell_writes_after_the_answer_stays(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """`/dev/stdout` is stdout, not a file that can be replaced."""
    path = tmp_path / "log"
    with path.open("wb", buffering=0) as file:
        file.write(b"before\n")
        server.resource_answer_next(body=b"answer\n")
        process = await start(
            *("request", server.resource, "-o", "/dev/stdout"),
            variables=credentials(server),
            stdout=file,
        )
        assert (await finish(process)).status == 0
        file.write(b"after\n")
    assert path.read_text() == "before\nanswer\nafter\n"


def test_a_file_is_written_in_place_if_no_other_can_be_made_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory may be another user's. Its permissions do not count for root, who may test this."""
    path = tmp_path / "things"
    path.write_text("before, and longer")
    open_ = Path.open

    def refuse(path: Path, mode: str = "r", *others: Any, **named: Any) -> Any:
        if mode == "xb":
            raise PermissionError(errno.EACCES, "Permission denied")
        return open_(path, mode, *others, **named)

    monkeypatch.setattr(Path, "open", refuse)
    output = Output(str(path))
    output.write(b"after")
    output.close()
    assert path.read_text() == "after"
    with pytest.raises(CommandError, match="Permission denied"):
        Output(str(tmp_path / "new"))


def test_a_file_that_cannot_be_replaced_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container may have it mounted."""
    path = tmp_path / "things"
    path.write_text("before, and longer")

    def refuse(path: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", refuse)
    output = Output(str(path))
    output.write(b"after")
    output.close()
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["x" * 300, "loop", "dangling", "file/x"])
async def test_a_name_that_cannot_be_is_refused_before_anything_is_sent(
    server: AuthorizationServer, tmp_path: Path, name: str
) -> None:
    """Too long, a link to itself, a link to nowhere, a file as a directory: also as a body."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere/x")
    (tmp_path / "file").touch()
    path = str(tmp_path / name)
    result = await run(server, "request", "POST", server.resource, "-o", path)
    assert_one_line(result, 23, "cannot write")
    result = await run(server, "request", server.resource, "-d", f"@{path}")
    assert_one_line(result, 2, "cannot read the body")
    assert server.token_requests == 0


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    """The temporary name is not longer, and not that of a process that had the same number."""
    path = tmp_path / ("x" * 255)
    output = Output(str(path))
    Output(str(path)).close(complete=False)
    output.close()
    assert list(tmp_path.iterdir()) == [path]


async def test_a_status_line_in_another_encoding_is_shown_as_it_is(
    server: AuthorizationServer,
) -> None:
    """Its phrase is any bytes (RFC 9112 section 4)."""
    server.raw_next(b"HTTP/1.1 200 P\xe1gina\r\nContent-Length: 2\r\n\r\nok", at="resource")
    result = await run(server, "request", "-i", server.resource)
    assert (result.status, result.err) == (0, "")
    assert result.out == b"HTTP/1.1 200 P\xe1gina\r\nContent-Length: 2\r\n\r\nok"


async def test_a_host_that_cannot_be_is_no_answer(server: AuthorizationServer) -> None:
    """Also if a redirect leads there."""
    for url in ("http://a..b/", f"{server.redirect}?to=http://a..b/"):
        result = await run(server, "request", url)
        assert_one_line(result, 3, safe_url(url), "empty or too long")


async def test_a_token_that_the_answer_repeats_is_not_shown(server: AuthorizationServer) -> None:
    """Nor what names a session."""
    server.answer_next(body='{"access_token": "a-long-token"}')
    server.resource_answer_next(200, {"X-Echo": "seen a-long-token", "X-Session-Id": "hunter2"})
    result = await run(server, "request", server.resource, "-v")
    assert "< X-Echo: seen ***" in result.err
    assert "a-long-token" not in result.err
    assert "hunter2" not in result.err


async def test_the_heads_are_shown_without_what_is_secret(server: AuthorizationServer) -> None:
    """As curl shows them; a token is a fingerprint."""
    server.resource_answer_next(200, {"Set-Cookie": "session=hunter2", "X-Kind": "seen"})
    result = await run(
        server, "request", server.resource, "-v", "-H", "X-Api-Key: hunter2", "-H", "X-Name: alf"
    )
    assert result.status == 0
    token = server.log[-1].headers["Authorization"].removeprefix("Bearer ")
    lines = result.err.splitlines()
    assert any(line.startswith("> GET http://127.0.0.1") for line in lines)
    assert "> X-Name: alf" in lines
    assert "> X-Api-Key: ***" in lines
    assert "< HTTP/1.1 200" in lines
    assert "< X-Kind: seen" in lines
    assert "< Set-Cookie: ***" in lines
    assert any(line.startswith("> Authorization: Bearer (") for line in lines)
    assert "hunter2" not in result.err
    assert token not in result.err


async def test_the_certificates_of_the_options_are_used(tmp_path: Path) -> None:
    """For the token request and for the API; the server asks for the client's."""
    authority = trustme.CA()
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(served)
    served.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(served)
    own = authority.issue_cert("client.example.com")
    ca, cert, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(ca)
    own.cert_chain_pems[0].write_to_path(cert)
    own.private_key_pem.write_to_path(key)
    async with AuthorizationServer(ssl_context=served) as server:
        files = ("--cacert", str(ca), "--cert", str(cert), "--key", str(key))
        result = await run(server, "request", server.resource, *files)
        assert result.status == 0, result.err
        untrusted = await run(server, "request", server.resource)
        assert_one_line(untrusted, 1, "certificate")


@pytest.mark.parametrize("option", ["--cacert", "--cert"])
@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_certificate_file_that_is_none_is_named(
    server: AuthorizationServer, tmp_path: Path, option: str, content: str | None
) -> None:
    """Before anything is sent."""
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_text(content)
    result = await run(server, "request", server.resource, option, str(path))
    assert_one_line(result, 2, option, "file.pem")
    assert server.token_requests == 0


async def test_a_key_that_is_missing_is_named(server: AuthorizationServer, tmp_path: Path) -> None:
    """Not the certificate, which is there."""
    cert = tmp_path / "cert.pem"
    trustme.CA().issue_cert("client.example.com").cert_chain_pems[0].write_to_path(cert)
    missing = str(tmp_path / "key.pem")
    result = await run(server, "token", "--cert", str(cert), "--key", missing)
    assert_one_line(result, 2, "--key", "key.pem", "No such file")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
async def test_a_completion_script_is_printed(server: AuthorizationServer, shell: str) -> None:
    """By shtab, from the parser."""
    result = await run(server, "--print-completion", shell)
    assert result.status == 0, result.err
    assert b"logout" in result.out
    assert b"python" not in result.out.lower()  # whose own completion stays


def test_a_terminal_shows_a_bar_if_it_takes_more_than_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And neither a dumb one nor a pipe does; twenty columns are enough."""
    code = (
        "import os, time; from aioalf.cli import progress as p; p._DELAY = 0;"
        "bar = p.progress('things', 100); bar.update(50); bar.close()"
    )

    def shown(**variables: str) -> bytes:
        reading, writing = pty.openpty()
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, env=environment(**variables), stderr=writing) as process:
            os.close(writing)
            screen = b""
            with contextlib.suppress(OSError):  # the other end is closed
                while some := os.read(reading, 10_000):
                    screen += some
            assert process.wait(20) == 0
        os.close(reading)
        return screen

    assert b"things" in shown(TERM="xterm")
    assert b"things" in shown(TERM="xterm", COLUMNS="20", NO_COLOR="1")
    assert shown(TERM="dumb") == b""


async def test_a_proxy_that_refuses_is_one_line(server: AuthorizationServer) -> None:
    """Nobody listens there."""
    result = await run(
        server,
        "request",
        "https://api.example.com/",
        "--token-endpoint",
        "https://login.example.com/token",
        "--proxy",
        "http://127.0.0.1:9",
    )
    assert_one_line(result, 1, "127.0.0.1:9")
