"""A body that can be sent again is sent whole: every kind of it, rejected late and early."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import io
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.abc import AbstractStreamWriter
from clients import arrived, client_of, manager_of, status_of
from managing import turns

from aioalf import Client, OAuth2Middleware
from aioalf.bearer.body import ReplayablePayload, _write_until_cancelled, replayable
from aioalf.testing import AuthorizationServer, ReceivedRequest

# More than the sockets between client and server hold, so that an early 401 comes in mid-body.
LARGE = bytes(range(256)) * 4 * 4096
SMALL = bytes(range(256)) * 40


def file_of(tmp_path: Path, content: bytes) -> Path:
    """A file on disk."""
    path = tmp_path / "body.bin"
    path.write_bytes(content)
    return path


def half_read(content: bytes) -> io.BytesIO:
    """A `BytesIO` of which something has been read: the body is the rest."""
    body = io.BytesIO(b"not this" + content)
    body.seek(8)
    return body


def half_read_file(tmp_path: Path, content: bytes) -> Any:
    """The same on disk."""
    file = file_of(tmp_path, b"not this" + content).open("rb")
    file.seek(8)
    return file


def spooled(content: bytes) -> Any:
    """A temporary file."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it has been sent
    file.write(content)
    file.seek(0)
    return file


#: What makes a body of which `content` is the whole.
RAW: dict[str, Callable[[Path, bytes], Any]] = {
    "bytes": lambda tmp_path, content: content,
    "bytearray": lambda tmp_path, content: bytearray(content),
    "memoryview": lambda tmp_path, content: memoryview(content),
    "BytesIO": lambda tmp_path, content: io.BytesIO(content),
    "BytesIO half read": lambda tmp_path, content: half_read(content),
    "file": lambda tmp_path, content: file_of(tmp_path, content).open("rb"),
    "file half read": half_read_file,
    "unbuffered file": lambda tmp_path, content: file_of(tmp_path, content).open("rb", buffering=0),
    "temporary file": lambda tmp_path, content: spooled(content),
    "payload": lambda tmp_path, content: aiohttp.BytesIOPayload(io.BytesIO(content)),
}


def form_with_file(tmp_path: Path, content: bytes) -> aiohttp.FormData:
    """A multipart form with a file in the midst of it."""
    form = aiohttp.FormData({"before": "1"})
    form.add_field("file", file_of(tmp_path, content).open("rb"), filename="body.bin")
    form.add_field("after", "2")
    return form


def writer_with_file(tmp_path: Path, content: bytes) -> aiohttp.MultipartWriter:
    """A multipart body of the caller's own, with another one in it."""
    writer = aiohttp.MultipartWriter("mixed")
    writer.append("before")
    inner = aiohttp.MultipartWriter("related")
    inner.append(io.BytesIO(b"inner"))
    writer.append(inner)
    writer.append(file_of(tmp_path, content).open("rb"))
    writer.append_json({"after": 2})
    return writer


#: What makes a body with `content` in it.
MULTIPART: dict[str, Callable[[Path, bytes], Any]] = {
    "FormData": form_with_file,
    "MultipartWriter": writer_with_file,
    "dict with a file": lambda tmp_path, content: {
        "before": "1",
        "file": file_of(tmp_path, content).open("rb"),
    },
    "pairs with a BytesIO": lambda tmp_path, content: [
        ("before", "1"),
        ("file", io.BytesIO(content)),
    ],
}


async def rejected_once(
    server: AuthorizationServer, early: bool, **options: Any
) -> list[ReceivedRequest]:
    """Send a body, have it rejected, and return both requests as they arrived."""
    async with client_of(server) as client:
        await status_of(client, server.resource)
        server.log.clear()
        server.revoke_all()
        server.read_rejected = not early
        async with client.post(server.resource, **options) as response:
            assert response.status == 200
            echo = await response.json()
    first, second = arrived(server)
    assert second.complete
    assert echo["body_length"] == len(second.body)
    assert echo["body_sha256"] == hashlib.sha256(second.body).hexdigest()
    if early:
        assert not first.complete
    else:
        assert first.body == second.body
    return [first, second]


@pytest.mark.parametrize("early", [False, True], ids=["late", "early"])
@pytest.mark.parametrize("name", RAW)
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")
async def test_a_body_is_sent_again_whole(
    name: str, early: bool, server: AuthorizationServer, tmp_path: Path
) -> None:
    """ "bytes, [...] `BytesIO`, seekable file": early is before the first one has been sent."""
    data = RAW[name](tmp_path, LARGE)
    _, second = await rejected_once(server, early, data=data)
    assert hashlib.sha256(second.body).digest() == hashlib.sha256(LARGE).digest()


@pytest.mark.parametrize("early", [False, True], ids=["late", "early"])
@pytest.mark.parametrize("name", MULTIPART)
async def test_a_multipart_body_is_sent_again_whole(
    name: str, early: bool, server: AuthorizationServer, tmp_path: Path
) -> None:
    """ "`FormData`" with a file, and what else becomes multipart."""
    data = MULTIPART[name](tmp_path, LARGE)
    _, second = await rejected_once(server, early, data=data)
    boundary = second.headers["Content-Type"].partition("boundary=")[2].strip('"')
    assert second.body.startswith(f"--{boundary}\r\n".encode())
    assert second.body.endswith(f"--{boundary}--\r\n".encode())
    assert LARGE in second.body
    assert b"1" in second.body.partition(LARGE)[0] or b"inner" in second.body


@pytest.mark.parametrize(
    ("options", "content_type", "body"),
    [
        ({"data": "grüße"}, "text/plain", "grüße".encode()),
        ({"json": {"a": [1]}}, "application/json", b'{"a": [1]}'),
        ({"data": {"a": "1", "b": 2}}, "application/x-www-form-urlencoded", b"a=1&b=2"),
        ({"data": [("a", "1"), ("a", "2")]}, "application/x-www-form-urlencoded", b"a=1&a=2"),
        ({"data": aiohttp.FormData({"a": "1"})}, "application/x-www-form-urlencoded", b"a=1"),
        ({"data": io.StringIO("text")}, "text/plain", b"text"),
        ({"data": b""}, "application/octet-stream", b""),
        ({}, "application/octet-stream", b""),
    ],
)
async def test_text_json_and_forms_are_sent_again(
    options: dict[str, Any], content_type: str, body: bytes, server: AuthorizationServer
) -> None:
    """ "bytes, str, json, form, `FormData`": with the same headers both times."""
    first, second = await rejected_once(server, early=False, **options)
    assert second.body == body
    assert second.content_type in (content_type, "")
    assert {k: v for k, v in first.headers.items() if k != "Authorization"} == {
        k: v for k, v in second.headers.items() if k != "Authorization"
    }


async def test_a_text_file_is_sent_again_whole(server: AuthorizationServer, tmp_path: Path) -> None:
    """What is read of it is text; what goes out is bytes."""
    text = "grüße\n" * 1000
    path = tmp_path / "body.txt"
    path.write_text(text, encoding="utf-8")
    _, second = await rejected_once(server, False, data=path.open(encoding="utf-8"))
    assert second.body.decode() == text


@pytest.mark.parametrize(
    "options", [{"chunked": True}, {"compress": "deflate"}, {"expect100": True}]
)
async def test_a_body_is_sent_again_in_the_same_way(
    options: dict[str, Any], server: AuthorizationServer, tmp_path: Path
) -> None:
    """Chunked, compressed, after a 100: the second time as well."""
    data = file_of(tmp_path, SMALL).open("rb")
    first, second = await rejected_once(server, False, data=data, **options)
    assert second.body == SMALL
    for name in ("Transfer-Encoding", "Content-Encoding", "Content-Length", "Expect"):
        assert first.headers.get(name) == second.headers.get(name)


async def test_a_body_that_waits_for_a_100_is_sent_when_the_second_request_gets_one(
    server: AuthorizationServer,
) -> None:
    """The first was rejected by its head; over its connection nothing more may be sent."""
    first, second = await rejected_once(server, True, data=SMALL, expect100=True)
    assert (first.body, second.body) == (b"", SMALL)
    assert first.peer_port != second.peer_port


# Whose the body is --------------------------------------------------------------------------------


async def closed_after(post: Callable[..., Any], url: str, file: Any) -> bool:
    """Whether sending a file closes it, which aiohttp has a thread do."""
    async with post(url, data=file) as response:
        await response.read()
    for _ in range(200):
        if file.closed:
            break
        await asyncio.sleep(0.001)
    return bool(file.closed)


async def test_a_file_is_closed_afterwards_where_aiohttp_closes_it(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """After the last sending, and after a 401 that was kept; a `BytesIO` stays open, as with aiohttp."""
    path = file_of(tmp_path, SMALL)
    async with aiohttp.ClientSession() as bare, client_of(server) as client:
        assert await closed_after(bare.post, server.resource, path.open("rb"))
        assert await closed_after(client.post, server.resource, path.open("rb"))
        server.revoke_all()
        assert await closed_after(client.post, server.resource, path.open("rb"))
        target = f"{server.redirect}?status=303&to={server.resource}"
        server.resource_answer_next(303, {"Location": server.resource})
        server.resource_answer_next(401)
        assert await closed_after(client.post, target, path.open("rb"))
        body = io.BytesIO(SMALL)
        async with client.post(server.resource, data=body):
            assert not body.closed


async def test_a_file_is_closed_where_there_is_no_token(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """Nothing was sent, and nothing stays open."""
    file = file_of(tmp_path, SMALL).open("rb")
    server.answer_next(400)
    async with client_of(server) as client:
        assert await closed_after(client.post, server.resource, file)


class SlowFile(io.FileIO):
    """A file whose third read has not come back when the 401 has: a network drive, say."""

    reads = 0

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.went_back = threading.Event()
        self.done = threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads != 3:
            if self.went_back.is_set():
                self.done.wait(1)
            return super().read(size if size is not None else -1)
        self.went_back.wait(0.2)
        content = super().read(size if size is not None else -1)
        self.done.set()
        return content

    def seek(self, offset: int, whence: int = 0, /) -> int:
        position = super().seek(offset, whence)
        if self.reads == 3:
            self.went_back.set()
        return position


@pytest.mark.parametrize("form", [False, True])
async def test_a_read_that_comes_back_late_takes_nothing_from_the_second_sending(
    form: bool, server: AuthorizationServer, tmp_path: Path
) -> None:
    """A thread that reads cannot be cancelled: the second sending begins when it has ended."""
    file = SlowFile(file_of(tmp_path, SMALL * 100))
    data = {"file": file} if form else file
    server.resource_latency = 0.03  # so that the third read has begun
    _, second = await rejected_once(server, True, data=data)
    assert (SMALL * 100) in second.body


async def test_the_caller_s_own_body_objects_are_not_changed(server: AuthorizationServer) -> None:
    """A dict, a list, a JSON value: what was given is what it was."""
    form, value = {"a": "1"}, {"a": [1]}
    async with client_of(server) as client:
        await client.post(server.resource, data=form)
        server.revoke_all()
        await client.post(server.resource, json=value)
    assert form == {"a": "1"}
    assert value == {"a": [1]}


async def test_a_body_that_aiohttp_does_not_take_is_refused_as_it_does(
    server: AuthorizationServer,
) -> None:
    """The same exception, from the same place."""
    client: Client
    async with aiohttp.ClientSession() as bare, client_of(server) as client:
        with pytest.raises(TypeError) as expected:
            await bare.post(server.resource, data=object())
        with pytest.raises(TypeError) as caught:
            await client.post(server.resource, data=object())
    assert str(caught.value).partition(" at 0x")[0] == str(expected.value).partition(" at 0x")[0]


async def test_a_body_that_is_kept_twice_can_be_sent_again() -> None:
    """A `Client` whose session has a middleware of this library, too."""
    once = ReplayablePayload(io.BytesIO(SMALL))
    assert replayable(ReplayablePayload(once))
    assert not replayable(ReplayablePayload(ReplayablePayload(chunks())))


async def chunks() -> AsyncIterator[bytes]:
    """What can be read only once."""
    yield SMALL


async def test_what_a_thread_reads_late_is_not_written_any_more() -> None:
    """The wait for it goes on when it is cancelled, and nobody is told of an error in it."""
    read, complaints = asyncio.Event(), list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    written: list[bytes] = []

    class Writer:
        async def write(self, chunk: bytes) -> None:
            written.append(chunk)

    class Reading(aiohttp.BytesPayload):
        async def write_with_length(
            self, writer: AbstractStreamWriter, content_length: int | None
        ) -> None:
            await writer.write(b"one")
            await read.wait()
            await writer.write(b"two")

    writer: Any = Writer()
    sending = asyncio.create_task(_write_until_cancelled(Reading(b""), writer, None))
    await turns(5)
    sending.cancel()
    await turns(5)
    assert not sending.done()
    read.set()
    await asyncio.wait({sending})
    assert sending.cancelled()
    assert written == [b"one"]
    del sending
    gc.collect()
    assert not complaints


async def test_a_write_that_waits_for_the_network_is_given_up_at_once() -> None:
    """Nothing reads meanwhile, and nothing can go missing."""

    class Writer:
        async def write(self, chunk: bytes) -> None:
            await asyncio.get_running_loop().create_future()

    class Writing(aiohttp.BytesPayload):
        async def write_with_length(
            self, writer: AbstractStreamWriter, content_length: int | None
        ) -> None:
            await writer.write(b"one")

    writer: Any = Writer()
    sending = asyncio.create_task(_write_until_cancelled(Writing(b""), writer, None))
    await turns(5)
    sending.cancel()
    await turns(5)
    assert sending.cancelled()


async def test_a_file_is_sent_with_the_headers_that_aiohttp_gives_it(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """Its name, for one, is in none of them."""
    path = file_of(tmp_path, SMALL)
    async with aiohttp.ClientSession() as bare, client_of(server) as client:
        await bare.post(server.resource, data=path.open("rb"))
        await client.post(server.resource, data=path.open("rb"))
    one, two = ({*request.headers} for request in arrived(server))
    assert two - one == {"Authorization"}
    assert one - two == set()


@pytest.mark.parametrize("status", [307, 308])
async def test_a_body_that_is_there_only_once_meets_a_redirect_as_with_aiohttp(
    status: int, server: AuthorizationServer
) -> None:
    """What has been sent cannot be sent to the target: the same outcome, from the same place."""
    url = f"{server.redirect}?status={status}&to=/resource"
    headers = {"Authorization": f"Bearer {server.issue()}"}
    said: list[str] = []
    client: Client
    async with aiohttp.ClientSession() as bare, client_of(server) as client:
        for session in (bare, client):
            try:
                async with session.post(url, data=chunks(), headers=headers) as response:
                    said.append(f"{response.status} after {len(response.history)}")
            except aiohttp.ClientError as error:
                said.append(type(error).__name__)
    assert said[0] == said[1]


class Bare:
    """As little of a file as aiohttp reads a payload from."""

    def __init__(self, content: bytes) -> None:
        self._left = [content]

    def read(self, _: int = -1) -> bytes:
        return self._left.pop() if self._left else b""

    def close(self) -> None:
        pass


async def test_a_file_that_knows_neither_closed_nor_seekable_is_sent_once(
    server: AuthorizationServer,
) -> None:
    """As aiohttp sends it."""
    body: Any = Bare(b"hello")
    async with client_of(server) as client:
        payload = aiohttp.payload.IOBasePayload(body)
        async with client.post(server.resource, data=payload) as response:
            assert (await response.json())["body"] == "hello"


@pytest.mark.parametrize("way", ["client", "middleware"])
async def test_a_form_that_went_out_before_is_sent_again_whole(
    way: str, server: AuthorizationServer, tmp_path: Path
) -> None:
    """aiohttp uses a form's writer more than once, and says of it that it is consumed."""
    async with manager_of(server) as manager:
        middlewares = () if way == "client" else (OAuth2Middleware(manager, origins=server.url),)
        session = aiohttp.ClientSession(middlewares=middlewares)
        async with session, Client(token_manager=manager, session=session) as client:
            sender = client if way == "client" else session
            form = aiohttp.FormData({"before": "1"})
            form.add_field("file", io.BytesIO(SMALL), filename="a")
            bodies = []
            for _ in range(3):
                async with sender.post(server.resource, data=form) as response:
                    assert response.status == 200
                    bodies.append(arrived(server)[-1].body)
                server.revoke_all()
    assert SMALL in bodies[0]
    assert len(set(bodies)) == 1
    assert len(arrived(server)) == 1 + 2 + 2


async def test_data_and_json_together_are_refused_by_aiohttp_and_nothing_is_closed(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """The same error as without this library, and the caller's file is as it was."""
    with file_of(tmp_path, SMALL).open("rb") as file:
        file.read(3)
        async with aiohttp.ClientSession() as bare, client_of(server) as client:
            with pytest.raises(ValueError, match="data and json") as expected:
                await bare.post(server.resource, data=file, json={})
            with pytest.raises(ValueError, match="data and json") as caught:
                await client.post(server.resource, data=file, json={})
        assert str(caught.value) == str(expected.value)
        assert not file.closed
        assert file.tell() == 3
    assert arrived(server) == []


async def test_an_async_generator_reaches_aiohttp_as_it_is(
    server: AuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very object: what is put around aiohttp may look at it."""
    seen: list[Any] = []
    real = aiohttp.ClientSession._request

    async def request(self: aiohttp.ClientSession, *args: Any, **options: Any) -> Any:
        seen.append(options.get("data"))
        return await real(self, *args, **options)

    async with client_of(server) as client:
        await client.token_manager.get()
        monkeypatch.setattr(aiohttp.ClientSession, "_request", request)
        body = chunks()
        async with client.post(server.resource, data=body) as response:
            assert response.status == 200
    assert seen == [body]
    assert seen[0] is body
