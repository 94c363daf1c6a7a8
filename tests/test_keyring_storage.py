"""The keyring of the desktop, played by a backend of the keyring package's own kind."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable

import pytest

from aioalf.errors import TokenStorageError
from aioalf.storage import TokenStorage
from aioalf.storage.keyring import KeyringTokenStorage

pytest.importorskip("keyring")

from keyring.backend import KeyringBackend
from keyring.backends import fail
from keyring.errors import InitError, KeyringLocked, PasswordDeleteError, PasswordSetError


class Memory(KeyringBackend):
    """A keyring that forgets."""

    priority = 0.1  # as low as can be: nobody is to choose it

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entries: dict[tuple[str, str], str] = {}
        self.threads: set[int] = set()

    def set_password(self, service: str, username: str, password: str) -> None:
        self.threads.add(threading.get_ident())
        self.entries[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        self.threads.add(threading.get_ident())
        return self.entries.get((service, username))

    def delete_password(self, service: str, username: str) -> None:
        self.threads.add(threading.get_ident())
        if (service, username) not in self.entries:
            raise PasswordDeleteError("no such entry")
        del self.entries[service, username]


class Failing(Memory):
    """A keyring of which every call fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def set_password(self, service: str, username: str, password: str) -> None:
        raise self.error

    def get_password(self, service: str, username: str) -> str | None:
        raise self.error


class Locked(Memory):
    """A keyring that asks its owner to unlock it, each time it is to save."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Event()
        self.unlocked = threading.Event()

    def set_password(self, service: str, username: str, password: str) -> None:
        self.asked.set()
        assert self.unlocked.wait(30)
        super().set_password(service, username, password)


async def test_what_was_saved_is_loaded_until_it_is_cleaned() -> None:
    """By another storage object, too: the keyring is what they share."""
    backend = Memory()
    storage = KeyringTokenStorage(backend=backend)
    assert await storage.load() is None
    await storage.save("a line")
    assert await KeyringTokenStorage(backend=backend).load() == "a line"
    await storage.clean()
    assert await storage.load() is None


async def test_the_entry_has_the_service_and_the_username() -> None:
    """They are what the owner sees in the keyring's window."""
    backend = Memory()
    await KeyringTokenStorage(backend=backend).save("one")
    await KeyringTokenStorage("my app", "me", backend=backend).save("two")
    assert backend.entries == {("aio-alf", "default"): "one", ("my app", "me"): "two"}


async def test_each_binding_has_an_entry() -> None:
    """Its name is the key."""
    backend = Memory()
    storage = KeyringTokenStorage(backend=backend)
    await storage.for_key("00ff").save("one")
    await storage.for_key("11ee").save("two")
    assert backend.entries == {("aio-alf", "00ff"): "one", ("aio-alf", "11ee"): "two"}
    assert await storage.load() is None


async def test_cleaning_nothing_is_no_error() -> None:
    """Although the keyring says so."""
    await KeyringTokenStorage(backend=Memory()).clean()


async def test_no_call_runs_on_the_thread_of_the_loop() -> None:
    """A keyring may wait for its owner."""
    backend = Memory()
    storage = KeyringTokenStorage(backend=backend)
    await storage.save("a line")
    await storage.load()
    await storage.clean()
    assert backend.threads
    assert threading.get_ident() not in backend.threads


@pytest.mark.parametrize(
    "call",
    [lambda storage: storage.save("t"), lambda storage: storage.load(), lambda s: s.clean()],
    ids=["save", "load", "clean"],
)
async def test_no_keyring_is_an_error_that_says_what_to_do(
    call: Callable[[TokenStorage], asyncio.Future[None]],
) -> None:
    """A server has none."""
    storage = KeyringTokenStorage(backend=fail.Keyring())  # type: ignore[no-untyped-call]
    with pytest.raises(TokenStorageError, match=r"no keyring here.*FileTokenStorage"):
        await call(storage)


@pytest.mark.parametrize("error", [KeyringLocked("locked"), InitError("no session")])
async def test_a_locked_keyring_is_an_error_that_says_what_to_do(error: Exception) -> None:
    """Its owner dismissed the question, or nobody could be asked."""
    storage = KeyringTokenStorage(backend=Failing(error))
    with pytest.raises(TokenStorageError, match="Unlock it"):
        await storage.load()


@pytest.mark.parametrize("error", [PasswordSetError("no: SECRET"), OSError(1783, "SECRET")])
async def test_a_failing_keyring_is_an_error_that_shows_no_token(error: Exception) -> None:
    """A backend's own message may hold what it was to save."""
    storage = KeyringTokenStorage(backend=Failing(error))
    with pytest.raises(TokenStorageError, match=type(error).__name__) as caught:
        await storage.save("SECRET")
    # The test's own source lines are part of a traceback.
    shown = [
        line for line in traceback.format_exception(caught.value) if "storage.save" not in line
    ]
    assert "SECRET" not in "".join(shown)


def test_a_missing_package_is_named_with_the_command_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At construction, not at the first token."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(TokenStorageError, match=r'pip install "aio-alf\[keyring\]"'):
        KeyringTokenStorage()


async def test_holders_of_one_entry_s_lock_exclude_each_other() -> None:
    """Also where two clients were given slots of their own for the same binding."""
    storage = KeyringTokenStorage(backend=Memory())
    inside: list[int] = []

    async def hold() -> None:
        async with storage.for_key("00ff").lock() as lease:
            assert lease is None
            inside.append(1)
            assert len(inside) == 1
            await asyncio.sleep(0)
            inside.pop()

    await asyncio.gather(*(hold() for _ in range(5)))
    async with storage.for_key("00ff").lock(), storage.for_key("11ee").lock():
        pass


async def test_a_save_given_up_does_not_replace_a_later_one() -> None:
    """Both waited for the keyring to be unlocked; the threads then run in the order of the calls."""
    backend = Locked()
    storage = KeyringTokenStorage(backend=backend)
    saves = [asyncio.create_task(storage.save("stuck"))]
    await asyncio.to_thread(backend.asked.wait)
    saves.append(asyncio.create_task(storage.save("given up")))
    await asyncio.sleep(0)
    for save in saves:
        save.cancel()
    await asyncio.wait(saves)
    last = asyncio.create_task(storage.save("last"))
    await asyncio.sleep(0)
    backend.unlocked.set()
    await last
    assert await storage.load() == "last"


def test_a_keyring_that_waits_for_its_owner_does_not_keep_the_program() -> None:
    """`asyncio.run` waits for the threads of the loop; this one is none of them."""
    backend = Locked()

    async def main() -> None:
        save = asyncio.create_task(KeyringTokenStorage(backend=backend).save("a line"))
        await asyncio.to_thread(backend.asked.wait)
        save.cancel()
        await asyncio.wait([save])

    asyncio.run(main())
    assert backend.entries == {}
    backend.unlocked.set()
    for thread in threading.enumerate():
        if thread.name == "aio-alf keyring":
            thread.join(30)


def test_the_representation_names_the_entry() -> None:
    """And nothing of what is in it."""
    storage = KeyringTokenStorage("my app", "me", backend=Memory())
    assert repr(storage) == "<KeyringTokenStorage 'my app' 'me'>"


async def test_a_keyring_that_nobody_unlocks_costs_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However often a token is renewed meanwhile; each call after the first fails at once."""
    monkeypatch.setattr("aioalf.storage.worker._STUCK_AFTER", -1.0)
    unlocked = threading.Event()

    class Locked(Memory):
        def get_password(self, service: str, username: str) -> str | None:
            unlocked.wait(30)
            return None

    storage = KeyringTokenStorage(backend=Locked())
    first = asyncio.ensure_future(asyncio.wait_for(storage.load(), 0.05))
    with pytest.raises(asyncio.TimeoutError):
        await first
    before = threading.active_count()
    for number in range(50):
        with pytest.raises(TokenStorageError, match="keyring does not answer"):
            await storage.for_key(str(number)).load()
    assert threading.active_count() == before
    unlocked.set()
