"""A storage that raises, stalls or returns nonsense does not take the client down."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from fakes import FakeClock
from managing import Fetching, turns, until
from storages import Broken, OneSlot, Stalling

from aioalf.errors import TokenStorageError
from aioalf.storage import TokenStorage
from aioalf.storage.record import binding_of, write_line
from aioalf.token import Token

METHODS = ["load", "save", "clean", "for_key", "lock", "enter", "leave"]
PLAIN = ["for_key", "lock"]
ROTATING = {"access_token": "a1", "expires_in": 3600, "refresh_token": "r1-s3cr3t"}
ROTATED = {"access_token": "a2", "expires_in": 3600, "refresh_token": "r2-s3cr3t"}
BINDING = binding_of("client_credentials", "https://login.example.com/token", "id", None, {})


def complaints(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """What the log says of the storage."""
    return [(r.levelno, r.message) for r in caplog.records if "token storage" in r.message]


async def renew_thrice(manager: Fetching) -> None:
    """Get a token, and have two rejected; each renewal works."""
    for number in (1, 2, 3):
        token = await manager.get()
        assert token.access_token == f"token-{number}"
        manager.report_accepted(token, resent=True)
        if number < 3:
            await manager.renew(token)


ERRORS = [OSError("disk full"), TokenStorageError("the keyring is locked")]


@pytest.mark.parametrize(
    ("method", "error"),
    [
        *((method, error) for method in METHODS for error in ERRORS),
        # A plain method, `for_key` or `lock`, has nothing that could be cancelled.
        *((method, asyncio.CancelledError()) for method in METHODS if method not in PLAIN),
    ],
    ids=repr,
)
async def test_a_storage_that_raises_is_done_without_and_logged_once(
    method: str, error: BaseException, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The token is used. A cancellation of the storage's own cancels nobody."""
    storage = Broken(method, error)
    manager = Fetching(clock, token_storage=storage)
    await renew_thrice(manager)
    assert storage.tried >= 1
    said = complaints(caplog)
    assert len(said) == len({message.partition("(")[2] for _, message in said})
    assert 1 <= len(said) <= (3 if method == "for_key" else 1)
    assert {level for level, _ in said} == {logging.WARNING}
    await manager.close()


@pytest.mark.parametrize("method", ["load", "save", "clean", "enter", "leave"])
async def test_a_storage_that_stalls_is_waited_for_so_long_and_no_longer(
    method: str, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """`storage_timeout` for its methods, `lock_timeout` for its lock."""

    class Impatient(Fetching):
        storage_timeout = 0.001
        lock_timeout = 0.001

    storage = Stalling(method)
    manager = Impatient(clock, token_storage=storage)
    await renew_thrice(manager)
    assert storage.tried >= 1
    assert complaints(caplog)
    await manager.close()


NONSENSE = [17, b"\xff", "{", "two words", ["list"], {"access_token": "t"}, ..., True, "\x00"]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=repr)
async def test_nonsense_that_a_storage_loads_is_no_token(
    nonsense: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """It is validated as a token response is; the next save mends it."""

    class Loading(OneSlot):
        def load(self) -> Any:
            return nonsense if self.line is None else self.line

    storage = Loading()
    assert await Fetching(clock, token_storage=storage).get_token() == "token-1"
    assert len(complaints(caplog)) == 1
    assert await Fetching(clock, token_storage=storage).get_token() == "token-1"


@pytest.mark.parametrize("method", ["for_key", "lock"])
@pytest.mark.parametrize("nonsense", [None, 17, "text", ...], ids=repr)
async def test_nonsense_in_place_of_a_slot_or_a_lock_is_done_without(
    method: str, nonsense: object, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Logged, and no more."""
    storage_class = type("Nonsense", (OneSlot,), {method: lambda self, *key: nonsense})
    manager = Fetching(clock, token_storage=storage_class())
    await renew_thrice(manager)
    assert complaints(caplog)


async def test_what_save_returns_is_of_no_interest(clock: FakeClock) -> None:
    """Only that it did not raise."""

    class Returning(OneSlot):
        def save(self, token: str) -> Any:
            super().save(token)
            return 17

    storage = Returning()
    await Fetching(clock, token_storage=storage).get()
    assert storage.line is not None


async def test_what_fails_is_logged_again_after_it_has_worked(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A new outage is news."""
    storage = Broken("load", OSError("down"))
    manager = Fetching(clock, token_storage=storage)
    for working in (False, False, True, False, False):
        storage.method = None if working else "load"
        await manager.reset_token()
    assert len(complaints(caplog)) == 2


async def test_no_token_and_no_text_of_a_token_is_in_what_is_logged(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A storage may repeat what it was given."""
    caplog.set_level(logging.DEBUG)

    class Repeating(TokenStorage):
        def save(self, token: str) -> None:
            raise ValueError(f"cannot write {token}")

    manager = Fetching(clock, {**ROTATING, "access_token": "a-s3cr3t"}, token_storage=Repeating())
    await manager.get()
    assert "cannot write" in caplog.text
    assert "s3cr3t" not in caplog.text
    await manager.close()


# A rotated refresh token at stake


async def test_a_rotated_refresh_token_that_cannot_be_saved_is_kept_and_saved_later(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """One ERROR in the log, the token is used, and saving is tried again until it works."""
    storage = Broken("save", OSError("disk full"))
    manager = Fetching(clock, ROTATING, token_storage=storage)
    assert await manager.get_token() == "a1"
    await until(lambda: storage.tried == 6)
    assert [level for level, _ in complaints(caplog)] == [logging.ERROR]
    assert "tried again" in complaints(caplog)[0][1]
    storage.method = None
    await until(lambda: storage.line is not None)
    assert json.loads(storage.line or "")["refresh_token"] == "r1-s3cr3t"
    for slept, longest in zip(clock.sleeps, (1, 2, 4, 8, 16, 30), strict=False):
        assert 0.75 * longest <= slept <= longest
    await turns(20)
    assert manager._cache.stored is not None
    assert manager._cache.stored._saving_here() is None


async def test_a_refresh_token_in_memory_is_used_where_the_storage_has_an_older_one(
    clock: FakeClock,
) -> None:
    """The stored one was spent by the rotation."""
    storage = Broken("", OSError("disk full"))
    manager = Fetching(clock, ROTATING, ROTATED, token_storage=storage)
    await manager.get()
    clock.advance(3600)
    storage.method = "save"
    assert await manager.get_token() == "a2"
    assert json.loads(storage.line or "")["refresh_token"] == "r1-s3cr3t"
    await manager.reset_token()
    assert [previous and previous.refresh_token for previous in manager.fetches] == [
        None,
        "r1-s3cr3t",
        "r2-s3cr3t",
    ]
    await manager.close()


async def test_saving_again_does_not_throw_away_what_another_has_stored_since(
    clock: FakeClock,
) -> None:
    """The longer-lived token stands."""
    storage = Broken("save", OSError("disk full"))
    manager = Fetching(clock, ROTATING, token_storage=storage)
    await manager.get()
    storage.method = None
    other = Token("other", 1e6, refresh_token="r9", expires_at=clock.time() + 1e6)
    storage.line = write_line(other, BINDING)
    await manager.close()
    assert json.loads(storage.line)["refresh_token"] == "r9"


async def test_saving_again_replaces_the_token_that_was_spent_however_long_it_would_live(
    clock: FakeClock,
) -> None:
    """It was there before, and is the one that was replaced."""
    storage = Broken("", OSError("disk full"))
    answer = {**ROTATING, "expires_in": 1e6}
    manager = Fetching(clock, answer, ROTATED, token_storage=storage)
    first = await manager.get()
    storage.method = "save"
    await manager.renew(first)
    storage.method = None
    await manager.close()
    assert json.loads(storage.line or "")["refresh_token"] == "r2-s3cr3t"


async def test_a_token_that_can_be_fetched_again_is_not_saved_again(clock: FakeClock) -> None:
    """Without a refresh token nothing is at stake: no task, no ERROR."""
    storage = Broken("save", OSError("disk full"))
    manager = Fetching(clock, token_storage=storage)
    await manager.get()
    await turns(10)
    assert storage.tried == 1
    assert clock.sleeps == []


async def test_a_lock_that_another_holds_is_waited_for_so_long_and_no_longer(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Then the renewal goes on without it, and the log says so."""

    class Impatient(Fetching):
        lock_timeout = 0.001

    storage = OneSlot()
    manager = Impatient(clock, token_storage=storage)
    async with storage.lock():
        assert await manager.get_token() == "token-1"
    assert "was not free within 0.001 s: going on without it" in caplog.text
    async with storage.lock():  # it was not taken by the one who gave up
        pass


async def test_a_stored_token_is_not_used_while_the_one_that_replaced_it_is_unsaved(
    clock: FakeClock,
) -> None:
    """Its refresh token was spent by the rotation, however long it would still live."""
    storage = Broken("", OSError("disk full"))
    manager = Fetching(clock, ROTATING, {**ROTATED, "expires_in": 5}, token_storage=storage)
    await manager.get()
    clock.advance(3535)
    storage.method = "save"
    assert await manager.get_token() == "a1"  # renewed ahead
    await until(lambda: manager._cache.flights.current is None)
    assert await manager.get_token() == "a2"
    clock.advance(5)
    assert await manager.get_token() == "token-3"
    assert manager.fetches[2] is not None
    assert manager.fetches[2].refresh_token == "r2-s3cr3t"
    storage.method = None
    await manager.close()


class Failing(OneSlot):
    """Saves nothing for as long as the test says so; its lock is a real one."""

    failing = True

    def save(self, token: str) -> None:
        if self.failing:
            raise OSError("disk full")
        super().save(token)


async def test_saving_again_waits_for_the_lock_of_another(clock: FakeClock) -> None:
    """Who holds it may be about to store a newer token."""
    storage = Failing()
    manager = Fetching(clock, ROTATING, token_storage=storage)
    await manager.get()
    async with storage.lock():
        storage.failing = False
        await turns(50)
        assert storage.line is None
    await until(lambda: storage.line is not None)
    await manager.close()


async def test_a_save_that_ends_late_leaves_the_newer_token_to_be_saved(clock: FakeClock) -> None:
    """A storage without a lock: what was rotated meanwhile could not be saved."""
    late = asyncio.Event()

    class Late:
        line: str | None = None
        saves = 0

        async def save(self, token: str) -> None:
            self.saves += 1
            if self.saves in (1, 3):
                raise OSError("disk full")
            if self.saves == 2:
                await late.wait()
            self.line = token

        def load(self) -> str | None:
            return None

        def clean(self) -> None:
            pass

    storage: Any = Late()
    manager = Fetching(clock, ROTATING, ROTATED, token_storage=storage)
    await manager.get()
    await until(lambda: storage.saves == 2)
    await manager.reset_token()
    assert storage.saves == 3
    late.set()
    await until(lambda: storage.line is not None)
    await manager.close()
    assert json.loads(storage.line)["refresh_token"] == "r2-s3cr3t"
