"""Tokens in a real Redis: what is kept there, for how long, over which connections."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import sys
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
from redis_server import running_redis

from aioalf.errors import TokenStorageError
from aioalf.storage.redis import RedisTokenStorage


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """Where the Redis of these tests listens."""
    with running_redis() as started:
        yield started


@pytest.fixture
def prefix() -> str:
    """What the keys of this test begin with: the server is shared, its content is not."""
    return f"{secrets.token_hex(4)}:"


@pytest.fixture
async def client(url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of the test's own."""
    async with redis.asyncio.Redis.from_url(url) as connected:
        yield connected


@pytest.fixture
async def storage(client: redis.asyncio.Redis, prefix: str) -> AsyncIterator[RedisTokenStorage]:
    """A storage over that client, with a lease short enough to be seen running out."""
    made = RedisTokenStorage(client, prefix=prefix, lease=1.0)
    yield made
    await made.close()


async def hold(storage: RedisTokenStorage, inside: list[int]) -> None:
    """Be alone in the lock of the storage for a while."""
    async with storage.lock() as lease:
        inside.append(1)
        assert len(inside) == 1
        await storage.load()
        assert lease is not None
        assert not lease.lost
        inside.pop()


async def test_what_was_saved_is_loaded_until_it_is_cleaned(storage: RedisTokenStorage) -> None:
    """Cleaning once more is no error."""
    assert await storage.load() is None
    await storage.save("a line \u00fc")
    assert await storage.load() == "a line \u00fc"
    await storage.clean()
    await storage.clean()
    assert await storage.load() is None


async def test_each_binding_has_a_key_under_the_prefix(
    storage: RedisTokenStorage, client: redis.asyncio.Redis, prefix: str
) -> None:
    """Other programs use the same Redis."""
    await storage.for_key("00ff").save("one")
    await storage.for_key("11ee").save("two")
    assert await storage.for_key("00ff").load() == "one"
    assert await storage.load() is None
    assert sorted(await client.keys(f"{prefix}*")) == [
        f"{prefix}00ff".encode(),
        f"{prefix}11ee".encode(),
    ]


async def test_a_client_that_decodes_what_it_reads_will_do(url: str, prefix: str) -> None:
    """Its answers are text instead of bytes."""
    async with redis.asyncio.Redis.from_url(url, decode_responses=True) as client:
        storage = RedisTokenStorage(client, prefix=prefix)
        await storage.save("a line")
        assert await storage.load() == "a line"
        async with storage.lock():
            pass


async def test_a_token_without_refresh_token_expires_in_redis(
    storage: RedisTokenStorage, client: redis.asyncio.Redis, prefix: str
) -> None:
    """A minute after it has: clocks differ."""
    await storage.save(json.dumps({"expires_at": time.time() + 100}))
    assert 155 < await client.ttl(f"{prefix}default") <= 160


@pytest.mark.parametrize(
    "line",
    [
        json.dumps({"expires_at": 1e9, "refresh_token": "r"}),
        json.dumps({"expires_at": None}),
        "2YotnFZFEjr1zCsicMWpAA",
    ],
)
async def test_a_token_that_may_still_be_of_use_stays_in_redis(
    line: str, storage: RedisTokenStorage, client: redis.asyncio.Redis, prefix: str
) -> None:
    """RFC 6749 section 6: a refresh token outlives the access token."""
    await storage.save(json.dumps({"expires_at": time.time() + 100}))
    await storage.save(line)
    assert await client.ttl(f"{prefix}default") == -1
    assert await storage.load() == line


@pytest.mark.parametrize("expires_at", [0, -1e300, 1e300])
async def test_an_absurd_expiry_is_no_error(expires_at: float, storage: RedisTokenStorage) -> None:
    """Redis itself would refuse an expiry in the past, or too far away."""
    await storage.save(json.dumps({"expires_at": expires_at}))


async def test_a_client_that_was_handed_in_is_not_closed(
    storage: RedisTokenStorage, client: redis.asyncio.Redis
) -> None:
    """Whoever made it closes it."""
    await storage.save("a line")
    connection = client.connection_pool
    await storage.close()
    assert await client.ping()
    assert client.connection_pool is connection


async def test_async_with_closes_the_connections_that_were_opened(
    client: redis.asyncio.Redis, url: str, prefix: str
) -> None:
    """In the running loop."""
    async with RedisTokenStorage(f"{url}?client_name={prefix[:-1]}", prefix=prefix) as storage:
        await storage.save("a line")
    while any(each["name"] == prefix[:-1] for each in await client.client_list()):
        pass  # the server takes a moment to notice


async def test_connections_opened_for_a_url_are_shared_by_the_slots_and_closed(
    client: redis.asyncio.Redis, url: str, prefix: str
) -> None:
    """The server knows who is connected. A call after `close` connects anew."""

    async def connected() -> int:
        return sum(each["name"] == prefix[:-1] for each in await client.client_list())

    storage = RedisTokenStorage(f"{url}?client_name={prefix[:-1]}", prefix=prefix)
    assert await connected() == 0
    await storage.save("a line")
    await storage.for_key("00ff").save("a line")
    assert await connected() == 1
    await storage.close()
    while await connected():  # the server takes a moment to notice
        pass
    assert await storage.load() == "a line"
    await storage.for_key("00ff").close()


def test_a_storage_with_a_url_serves_one_event_loop_after_the_other(url: str, prefix: str) -> None:
    """Connections belong to a loop; tokens do not."""
    storage = RedisTokenStorage(url, prefix=prefix)

    async def use(line: str) -> str | None:
        before = await storage.load()
        await hold(storage, [])
        await storage.save(line)
        await storage.close()
        return before

    assert asyncio.run(use("one")) is None
    assert asyncio.run(use("two")) == "one"


SECRET = "s3cr3t-P4ss"


def shown(error: BaseException) -> str:
    """The whole traceback, as a log would have it."""
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{SECRET}@host",
        f"redis://x:{SECRET}@host:no{SECRET}",
        f"redis://{SECRET}#more@host",
        f"redis://x:2024#{SECRET}@host",
    ],
)
def test_what_is_no_url_is_refused_without_repeating_it(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(ValueError, match="Not a Redis URL") as caught:
        RedisTokenStorage(url)
    assert SECRET not in shown(caught.value)


async def test_no_password_and_no_token_is_shown(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither by a representation, nor by an error of a server that knows no such user."""
    caplog.set_level(logging.DEBUG)
    storage = RedisTokenStorage(f"unix://nobody:{SECRET}@{url.removeprefix('unix://')}")
    assert repr(storage) == "<RedisTokenStorage 'aio-alf:default'>"
    with pytest.raises(TokenStorageError) as caught:
        await storage.save(SECRET)
    assert SECRET not in shown(caught.value)
    assert SECRET not in caplog.text
    await storage.close()


@pytest.mark.parametrize(
    "answer", ["-ERR AUTH x {}", "-WRONGPASS x {}", "-NOAUTH {}", "502 unknown command: AUTH x {}"]
)
async def test_what_a_server_says_of_a_password_is_not_shown(
    answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One that repeats it, or is no Redis at all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            writer.write(f"{answer.format(SECRET)}\r\n".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    async with RedisTokenStorage(f"redis://x:{SECRET}@127.0.0.1:{port}") as storage:
        with pytest.raises(TokenStorageError, match="refused to load a token") as caught:
            await storage.load()
    server.close()
    assert SECRET not in shown(caught.value)
    assert SECRET not in caplog.text


async def test_a_command_that_is_refused_is_an_error_that_shows_no_token(
    storage: RedisTokenStorage, client: redis.asyncio.Redis, prefix: str
) -> None:
    """A server that does not know a command repeats it, and what came with it."""

    class Renamed(redis.asyncio.Redis):
        async def set(self, *arguments: Any, **options: Any) -> Any:
            return await self.execute_command("RENAMED", *arguments)  # type: ignore[no-untyped-call]

    with pytest.raises(redis.ResponseError, match=SECRET):
        await client.execute_command("RENAMED", SECRET)  # type: ignore[no-untyped-call]
    renamed = Renamed(connection_pool=client.connection_pool)
    with pytest.raises(TokenStorageError, match=r"refused to save a token \(Resp") as caught:
        await RedisTokenStorage(renamed, prefix=prefix).save(SECRET)
    assert SECRET not in shown(caught.value)


async def test_a_server_that_is_not_there_is_an_error(tmp_path: os.PathLike[str]) -> None:
    """Of loading, saving, cleaning and locking alike; nothing waits for such a lock."""
    storage = RedisTokenStorage(f"unix://{os.fspath(tmp_path)}/none")
    for call in (storage.load(), storage.save("a line"), storage.clean(), hold(storage, [])):
        with pytest.raises(TokenStorageError, match=r"cannot be used \(Conn.*none"):
            await call
    await storage.close()


def test_a_missing_package_is_named_with_the_command_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At construction, not at the first token."""
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(TokenStorageError, match=r'pip install "aio-alf\[redis\]"'):
        RedisTokenStorage("redis://localhost")


def test_a_client_that_is_not_for_asyncio_is_refused() -> None:
    """It would block the loop."""
    with pytest.raises(TypeError, match=r"redis\.asyncio"):
        RedisTokenStorage(redis.Redis())  # type: ignore[arg-type]


@pytest.mark.parametrize("lease", [0, -1, float("nan"), float("inf")])
def test_a_lease_lasts_some_time(lease: float) -> None:
    """Else the lock would be nobody's."""
    with pytest.raises(ValueError, match="positive"):
        RedisTokenStorage("redis://localhost", lease=lease)


def test_a_lease_of_less_than_a_millisecond_is_refused() -> None:
    """Redis counts in milliseconds, and none is no lease."""
    with pytest.raises(ValueError, match="lease"):
        RedisTokenStorage("redis://localhost", lease=0.0005)
