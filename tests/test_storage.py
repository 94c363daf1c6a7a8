"""The storage in memory, and what every subclass inherits from it."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import weakref
from dataclasses import dataclass, field

import pytest

from aioalf.storage import TokenStorage
from aioalf.storage.record import expires_at_of


class Plain(TokenStorage):
    """A storage as people write them: three plain methods, and no call of the base class."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def save(self, token: str) -> None:
        self.lines.append(token)

    def load(self) -> str | None:
        return self.lines[-1] if self.lines else None

    def clean(self) -> None:
        self.lines.clear()


class Asynchronous(TokenStorage):
    """The same with coroutines."""

    async def save(self, token: str) -> None:
        self.token = token

    async def load(self) -> str | None:
        return self.token

    async def clean(self) -> None:
        self.token = None


@dataclass(frozen=True)
class Frozen(TokenStorage):
    """A storage that forbids to set its attributes, and is not hashable."""

    lines: list[str] = field(default_factory=list)


async def hold(storage: TokenStorage, inside: list[int]) -> None:
    """Be alone in the lock of the storage for a few turns of the loop."""
    async with storage.lock() as lease:
        assert lease is None
        inside.append(1)
        assert len(inside) == 1
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        inside.pop()


def test_a_new_storage_is_empty() -> None:
    """Nothing was saved, so nothing is loaded."""
    assert TokenStorage().load() is None


def test_what_was_saved_is_loaded_until_it_is_cleaned() -> None:
    """The line comes back as it was."""
    storage = TokenStorage()
    storage.save("one")
    storage.save("a line")
    assert storage.load() == "a line"
    storage.clean()
    assert storage.load() is None


def test_two_storages_share_nothing() -> None:
    """The token is an attribute of the object, although the class has one to begin with."""
    first, second = TokenStorage(), TokenStorage()
    first.save("a line")
    assert second.load() is None


def test_the_base_class_has_one_slot() -> None:
    """Every binding is given the storage itself."""
    storage = Plain()
    assert storage.for_key("00ff") is storage


async def test_closing_keeps_the_token() -> None:
    """Only what a storage opened is released."""
    storage = TokenStorage()
    storage.save("a line")
    await storage.close()
    assert storage.load() == "a line"


@pytest.mark.parametrize("make", [TokenStorage, Plain, Asynchronous, Frozen])
async def test_holders_of_the_lock_exclude_each_other(make: type[TokenStorage]) -> None:
    """In a subclass that never calls the base class's constructor, too."""
    storage = make()
    inside: list[int] = []
    await asyncio.gather(*(hold(storage, inside) for _ in range(10)))


async def test_locks_of_two_storages_are_two() -> None:
    """One held lock keeps nobody from another."""
    async with TokenStorage().lock(), TokenStorage().lock():
        pass


async def test_a_cancelled_wait_leaves_the_lock_free() -> None:
    """Whoever gives up has nothing to give back."""
    storage = TokenStorage()
    async with storage.lock():
        waiting = asyncio.create_task(hold(storage, []))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    await asyncio.wait_for(hold(storage, []), 5)


def test_the_lock_works_in_one_event_loop_after_the_other() -> None:
    """An `asyncio.Lock` belongs to the first loop that waits for it: each loop has its own."""
    storage = TokenStorage()

    async def contend() -> None:
        inside: list[int] = []
        await asyncio.gather(hold(storage, inside), hold(storage, inside))

    asyncio.run(contend())
    asyncio.run(contend())


def test_a_storage_keeps_no_event_loop_alive() -> None:
    """A long-lived storage may see any number of loops."""
    storage = TokenStorage()

    async def contend() -> weakref.ref[asyncio.AbstractEventLoop]:
        inside: list[int] = []
        await asyncio.gather(hold(storage, inside), hold(storage, inside))
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(contend())
    gc.collect()
    assert loop() is None


@pytest.mark.parametrize(
    ("line", "until"),
    [
        ('{"expires_at": 1700000000}', 1_700_000_000.0),
        ('{"expires_at": 1700000000.5, "refresh_token": null}', 1_700_000_000.5),
        ('{"expires_at": 1700000000.5, "refresh_token": ""}', 1_700_000_000.5),
        ('{"expires_at": 1700000000, "refresh_token": "r"}', None),
        ('{"expires_at": null}', None),
        ('{"expires_at": true}', None),
        ('{"expires_at": "1700000000"}', None),
        ('{"expires_at": NaN}', None),
        ('{"expires_at": Infinity}', None),
        (f'{{"expires_at": 1{"0" * 400}}}', None),
        ("{}", None),
        ("[1]", None),
        ("17", None),
        ("2YotnFZFEjr1zCsicMWpAA", None),
        ("[" * 100_000, None),
        ("", None),
    ],
)
def test_a_line_is_useful_until_its_token_expires_for_good(line: str, until: float | None) -> None:
    """RFC 6749 section 6: a refresh token outlives the access token. What is not ours is kept."""
    assert expires_at_of(line) == until


def test_the_storages_import_nothing_that_is_optional() -> None:
    """Their modules can be imported where no extra is installed."""
    modules = ["storage", "storage.file", "storage.keyring", "storage.redis"]
    optional = ["filelock", "platformdirs", "keyring", "redis", "aiohttp.web", "webbrowser"]
    # aiohttp is imported first: what it brings along by itself is not ours.
    code = (
        "import json, sys, aiohttp; before = set(sys.modules)\n"
        + "".join(f"import aioalf.{module}\n" for module in modules)
        + "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"]
    imported = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert "aioalf.storage.redis" in imported
    assert not set(optional) & set(imported)
