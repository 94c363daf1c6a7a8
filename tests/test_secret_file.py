"""A source that is a file: `aioalf.secret_file`."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from aioalf import SecretFile, TokenError, TokenManager
from aioalf.testing import AuthorizationServer


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"secret", "secret"),
        (b"secret\n", "secret"),
        (b"secret \r\n\t\n", "secret"),
        (b"\xef\xbb\xbfsecret", "secret"),
        (b" secret", " secret"),
        ("schlüssel\n".encode(), "schlüssel"),
        (b"two\nlines\n", "two\nlines"),
    ],
)
async def test_what_editors_add_is_no_part_of_a_secret(
    tmp_path: Path, content: bytes, secret: str
) -> None:
    """Rule 36: white space at its end, and a byte order mark."""
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert await SecretFile(path)() == secret
    assert await SecretFile(str(path))() == secret


async def test_a_file_is_read_each_time(server: AuthorizationServer, tmp_path: Path) -> None:
    """A secret is rotated without a restart."""
    path = tmp_path / "secret"
    path.write_text("wrong")
    async with TokenManager(server.token_endpoint, server.client_id, SecretFile(path)) as one:
        with pytest.raises(TokenError, match="invalid_client"):
            await one.get()
        path.write_text(server.client_secret + "\n")
        await one.get()


def a_directory(path: Path) -> None:
    """Make a directory in the place of the file."""
    path.mkdir()


def a_pipe(path: Path) -> None:
    """Make a pipe that nobody writes to."""
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "cannot be read: No such file.* must be there"),
        (lambda path: path.symlink_to(path), "cannot be read: Too many levels"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a file"),
        (lambda path: path.write_text("hidden", "utf-16"), "save it as UTF-8"),
        (a_directory, "is not a file|Is a directory"),
        (a_pipe, "is not a file"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b" \n"), "is empty"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "is not UTF-8 text"),
        (lambda path: path.write_bytes(b"x" * 70_000), "more than 65536 bytes"),
    ],
)
async def test_a_file_that_holds_no_secret_is_named(
    tmp_path: Path, make: Any, message: str
) -> None:
    """With its path and the reason; nothing of it is shown."""
    path = tmp_path / "secret"
    make(path)
    with pytest.raises(TokenError, match=f"secret file .*secret.*({message})"):
        await SecretFile(path)()


async def test_a_path_that_no_file_can_have_is_named() -> None:
    """It came from a configuration file."""
    with pytest.raises(TokenError, match=r"secret file .* cannot be read: .*embedded null"):
        await SecretFile("secret\0")()


async def test_a_source_that_raises_a_token_error_speaks_for_itself(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """Its message has the path; "the callable failed" would hide that."""
    secret = SecretFile(tmp_path / "secret")
    async with TokenManager(server.token_endpoint, server.client_id, secret) as one:
        with pytest.raises(TokenError, match=r"^The secret file .*/secret cannot be read"):
            await one.get()


async def test_a_disk_that_hangs_holds_up_its_file_alone(
    server: AuthorizationServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is bounded, the event loop goes on; afterwards each request fails at once."""
    monkeypatch.setattr("aioalf.sources._TIMEOUT", 0.05)
    path, free, real = tmp_path / "secret", threading.Event(), os.open
    path.write_text(server.client_secret)

    def hang(name: Any, *args: Any, **options: Any) -> int:
        if name == path:
            free.wait(30)
        return real(name, *args, **options)

    monkeypatch.setattr(os, "open", hang)
    secret = SecretFile(path)
    async with TokenManager(server.token_endpoint, server.client_id, secret) as one:
        with pytest.raises(TokenError, match=r"client_secret gave no answer within 0\.05 s"):
            await one.get()
        monkeypatch.setattr("aioalf.storage.worker._STUCK_AFTER", -1.0)
        with pytest.raises(TokenError, match=r"secret file .* an earlier call hangs") as caught:
            await one.get()
        assert type(caught.value) is TokenError
        free.set()
        await asyncio.to_thread(secret._worker.submit(int).result)
        monkeypatch.undo()
        await one.get()


async def test_many_tasks_may_ask_at_once(tmp_path: Path) -> None:
    """One thread reads for all of them."""
    path = tmp_path / "secret"
    path.write_text("secret")
    source = SecretFile(path)
    assert await asyncio.gather(*(source() for _ in range(50))) == ["secret"] * 50


async def test_a_file_that_this_user_may_not_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may read every file, so that the system says no here by itself."""

    def forbidden(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("aioalf.secret_file.os.open", forbidden)
    with pytest.raises(TokenError, match=r"cannot be read: Permission denied.* allowed to read it"):
        await SecretFile(tmp_path / "secret")()


async def test_a_file_of_100_mib_is_not_read_whole(tmp_path: Path) -> None:
    """It has holes: what is read of it is what costs."""
    path = tmp_path / "secret"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    with pytest.raises(TokenError, match="more than 65536 bytes"):
        await asyncio.wait_for(SecretFile(path)(), 5)


async def test_the_home_directory_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a shell."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "secret").write_text("secret")
    assert await SecretFile("~/secret")() == "secret"


def test_its_repr_shows_the_path_alone(tmp_path: Path) -> None:
    """It never holds the secret."""
    path = tmp_path / "secret"
    path.write_text("s3cr3t")
    assert repr(SecretFile(path)) == f"SecretFile({str(path)!r})"


@pytest.mark.parametrize("path", [None, 5, b"secret", ["a"]])
def test_what_is_not_a_path_is_refused_at_construction(path: Any) -> None:
    """Bytes neither: paths are text."""
    with pytest.raises(TypeError, match="SecretFile takes the path of a file"):
        SecretFile(path)
