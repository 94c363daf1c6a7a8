"""A storage shared by managers: one token for all, and never the token of another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fakes import FakeClock
from managing import Fetching, at_once, manager_for, until
from storages import OneSlot, Slow

from aioalf.client import Client
from aioalf.storage import TokenStorage
from aioalf.storage.record import binding_of, write_line
from aioalf.testing import AuthorizationServer
from aioalf.token import Token

BINDING = binding_of("client_credentials", "https://login.example.com/token", "id", None, {})


def fields(storage: OneSlot) -> dict[str, Any]:
    """What is stored."""
    assert storage.line is not None
    loaded: dict[str, Any] = json.loads(storage.line)
    return loaded


async def test_a_token_that_is_stored_is_used_instead_of_a_token_request(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """By the next process, tomorrow."""
    storage = OneSlot()
    first = await manager_for(server, clock, token_storage=storage).get()
    clock.advance(1800)
    later = manager_for(server, clock, token_storage=storage)
    assert await later.get() == first
    assert at_once(later.get()) == first
    assert server.token_requests == 1
    clock.advance(1791)
    assert await later.get() != first
    # Each time it is looked into without the lock first.
    assert storage.calls == ["load", "load", "save", "load", "load", "load", "save"]


async def test_what_is_stored_is_the_whole_token_with_its_expiry_in_utc(clock: FakeClock) -> None:
    """One line of JSON, with a version and a binding."""
    storage = OneSlot()
    response = {"access_token": "a", "expires_in": 60, "refresh_token": "r", "scope": "s"}
    await Fetching(clock, response, token_storage=storage).get()
    assert fields(storage) == {
        "v": 1,
        "binding": BINDING,
        "access_token": "a",
        "expires_in": 60.0,
        "expires_at": clock.time() + 60,
        "refresh_token": "r",
        "scope": "s",
    }


async def test_a_token_is_saved_before_it_is_used(clock: FakeClock) -> None:
    """So that what rotated is safe whatever becomes of the request."""
    storage = OneSlot()
    manager = Fetching(clock, token_storage=storage)
    waiting = asyncio.create_task(manager.get())
    while not waiting.done():
        assert manager._token is None or storage.line is not None
        await asyncio.sleep(0)
    assert storage.line is not None


@pytest.mark.parametrize("kind", [OneSlot, Slow, TokenStorage])
async def test_many_managers_of_one_storage_cost_one_token_request(
    kind: type[TokenStorage], server: AuthorizationServer
) -> None:
    """Cold, and again when the token that they share is rejected; under the lock of the base class."""
    storage = kind()
    managers = [manager_for(server, token_storage=storage) for _ in range(20)]
    tokens = await asyncio.gather(*(m.get() for m in managers for _ in range(10)))
    assert len(set(tokens)) == 1
    assert server.token_requests == 1
    server.revoke_all()
    held = [at_once(manager.get()) for manager in managers]
    renewed = await asyncio.gather(
        *(m.renew(token) for m, token in zip(managers, held, strict=True) for _ in range(10))
    )
    assert len(set(renewed)) == 1
    assert server.accepts(renewed[0].access_token)
    assert server.token_requests == 2


async def test_two_clients_that_share_a_slot_never_use_each_others_token(
    server: AuthorizationServer,
) -> None:
    """The binding tells them apart; each goes on with the one that it has."""
    storage = OneSlot()
    reading = manager_for(server, scope="read", token_storage=storage)
    writing = manager_for(server, scope="write", token_storage=storage)
    one, two = await reading.get(), await writing.get()
    assert (one.scope, two.scope) == ("read", "write")
    assert at_once(reading.get()) is one
    again = await manager_for(server, scope="read", token_storage=storage).get()
    assert again.scope == "read"
    assert server.token_requests == 3


async def test_a_storage_with_slots_gives_each_binding_its_own(
    server: AuthorizationServer,
) -> None:
    """`for_key` gets the binding, hashed."""

    class Slots(TokenStorage):
        def __init__(self) -> None:
            self.slots: dict[str, TokenStorage] = {}

        def for_key(self, key: str) -> TokenStorage:
            return self.slots.setdefault(key, TokenStorage())

    storage = Slots()
    for _ in range(2):
        for scope in ("read", "write", ["read"], None):
            token = await manager_for(server, scope=scope, token_storage=storage).get()
            assert token.scope == ("".join(scope) if scope else None)
    assert len(storage.slots) == 3
    assert server.token_requests == 3


async def test_a_bare_token_is_used_until_it_is_rejected_and_then_cleaned(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """That is what 0.4.0 saved; its expiry is unknown."""
    storage = OneSlot()
    storage.line = server.issue()
    async with Client(
        server.client_id, server.client_secret, server.token_endpoint, token_storage=storage
    ) as client:
        async with client.get(server.resource) as response:
            assert response.status == 200
        assert server.token_requests == 0
        server.revoke_all()
        async with client.get(server.resource) as response:
            assert response.status == 200
    assert storage.calls == ["load", "load", "load", "clean", "save"]
    assert fields(storage)["v"] == 1


async def test_a_rejected_token_does_not_stay_for_others_where_no_other_can_be_had(
    server: AuthorizationServer,
) -> None:
    """It is cleaned before the token request that fails."""
    storage = OneSlot()
    manager = manager_for(server, token_storage=storage)
    first = await manager.get()
    server.answer_next(503)
    said = await asyncio.gather(manager.renew(first), return_exceptions=True)
    assert isinstance(said[0], Exception)
    assert storage.line is None


async def test_a_401_never_throws_away_a_newer_token_that_another_has_stored(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """It is used instead; that costs no token request."""
    storage = OneSlot()
    one = manager_for(server, clock, token_storage=storage)
    two = manager_for(server, clock, token_storage=storage)
    old = await one.get()
    assert await two.get() == old
    server.revoke_all()
    clock.advance(5)
    new = await one.renew(old)
    mine = at_once(two.get())
    assert (await two.renew(mine)).access_token == new.access_token
    assert server.token_requests == 2
    assert fields(storage)["access_token"] == new.access_token


async def test_a_newer_token_replaces_one_of_unknown_life(clock: FakeClock) -> None:
    """A bare token that is rejected says nothing of which of the two is the newer."""
    storage = OneSlot()
    storage.line = "bare"
    manager = Fetching(clock, token_storage=storage)
    bare = await manager.get()
    storage.line = write_line(Token("new", 60, expires_at=clock.time() + 60), BINDING)
    assert (await manager.renew(bare)).access_token == "new"
    assert not manager.fetches


async def test_an_older_token_that_is_still_stored_is_not_used_again(clock: FakeClock) -> None:
    """As where a newer one could not be saved."""
    storage = OneSlot()
    storage.line = write_line(Token("old", 60, expires_at=clock.time() + 60), BINDING)
    manager = Fetching(clock, token_storage=storage)
    manager._token = Token("newer", 120, expires_at=clock.time() + 120)
    assert (await manager.renew(manager._token)).access_token == "token-1"


@pytest.mark.parametrize(("before", "after"), [(3600, 3600), (5400, 3600), (3600, 5400)])
async def test_a_revoked_token_is_replaced_once_whatever_the_life_of_the_new_one(
    before: int, after: int, server: AuthorizationServer, clock: FakeClock
) -> None:
    """A server may give each token another life: what expires sooner is not for that the older one."""
    server.time, server.token_lifetime, storage = clock.time, before, OneSlot()
    managers = [manager_for(server, clock, token_storage=storage) for _ in range(5)]
    tokens = [await manager.get() for manager in managers]
    server.revoke_all()
    server.token_lifetime = after
    clock.advance(1)
    new = [await each.renew(token) for each, token in zip(managers, tokens, strict=True)]
    assert len({token.access_token for token in new}) == 1
    assert server.token_requests == 2


async def test_tokens_that_were_rejected_are_remembered(clock: FakeClock) -> None:
    """Somebody who stores them again does not bring them back."""
    storage = OneSlot()
    manager = Fetching(clock, token_storage=storage)
    for _ in range(3):
        token = await manager.get()
        kept = storage.line
        await manager.renew(token)
        storage.line = kept
        await manager.reset_token()
        clock.advance(60)
    assert len({each.access_token for each in [await manager.get()]}) == 1
    assert len(manager.fetches) == 7


async def test_reset_token_fetches_one_whatever_is_stored(clock: FakeClock) -> None:
    """Also before this manager has had any."""
    storage = OneSlot()
    await Fetching(clock, token_storage=storage).get()
    manager = Fetching(clock, token_storage=storage)
    await manager.reset_token()
    assert len(manager.fetches) == 1


async def test_renewal_ahead_takes_what_another_has_renewed(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """A fleet renews once."""
    storage = OneSlot()
    managers = [manager_for(server, clock, token_storage=storage) for _ in range(10)]
    await asyncio.gather(*(manager.get() for manager in managers))
    clock.advance(3535)
    for manager in managers:
        at_once(manager.get())
    await until(lambda: all(manager._cache.flights.current is None for manager in managers))
    assert len({at_once(manager.get()).access_token for manager in managers}) == 1
    assert server.token_requests == 2


async def test_the_refresh_token_that_is_stored_is_the_one_that_is_used(clock: FakeClock) -> None:
    """Another process has rotated it; the one in memory is spent."""
    storage = OneSlot()
    answer = {"access_token": "a", "expires_in": 60, "refresh_token": "r1"}
    manager = Fetching(clock, answer, token_storage=storage)
    await manager.get()
    other = Token("b", 60, refresh_token="r2", expires_at=clock.time() + 60)
    storage.line = write_line(other, BINDING)
    clock.advance(60)
    await manager.get()
    assert manager.fetches[1] is not None
    assert manager.fetches[1].refresh_token == "r2"


async def test_a_refresh_token_is_kept_until_another_is_given(clock: FakeClock) -> None:
    """RFC 6749 section 6: the server may leave it out."""
    storage = OneSlot()
    answers: list[dict[str, Any]] = [
        {"access_token": "a", "expires_in": 60, "refresh_token": "r1"},
        {"access_token": "b", "expires_in": 60},
        {"access_token": "c", "expires_in": 60, "refresh_token": "r2"},
    ]
    manager = Fetching(clock, *answers, token_storage=storage)
    for kept in ("r1", "r1", "r2"):
        await manager.get()
        assert fields(storage)["refresh_token"] == kept
        clock.advance(60)


async def test_a_stored_access_token_that_was_rejected_is_not_cleaned_with_its_refresh_token(
    clock: FakeClock,
) -> None:
    """The refresh token is still good, and nobody else has it."""
    storage = OneSlot()
    answer = {"access_token": "a", "expires_in": 60, "refresh_token": "r1"}
    manager = Fetching(clock, answer, OSError("no network"), token_storage=storage)
    token = await manager.get()
    with pytest.raises(OSError, match="no network"):
        await manager.renew(token)
    assert fields(storage)["refresh_token"] == "r1"
    assert "clean" not in storage.calls


class Lease:
    """A lease that ends when the test says so."""

    lost = False


class Leased(OneSlot):
    """Its lock can be lost."""

    lease = Lease()

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[Lease]:
        yield self.lease


@pytest.mark.parametrize(("lives", "stands"), [(30, "token-1"), (7200, "other")])
async def test_a_holder_that_lost_its_lease_loads_again_before_it_saves(
    lives: float, stands: str, clock: FakeClock
) -> None:
    """Another may have saved meanwhile; the longer-lived token stands."""
    storage = Leased()
    storage.lease = Lease()
    manager = Fetching(clock, token_storage=storage)
    manager.gate = asyncio.Event()
    waiting = asyncio.create_task(manager.get_token())
    await until(lambda: len(manager.fetches) == 1)
    storage.lease.lost = True
    storage.line = write_line(Token("other", lives, expires_at=clock.time() + lives), BINDING)
    manager.gate.set()
    assert await waiting == stands
    assert fields(storage)["access_token"] == stands


@pytest.mark.parametrize("given", [None, 17, "a lock object of somebody's"])
async def test_a_lock_may_give_anything(given: object, clock: FakeClock) -> None:
    """Most locks give themselves; only a `Lease` is asked whether it is lost."""

    class Locked(OneSlot):
        @asynccontextmanager
        async def lock(self) -> AsyncIterator[Any]:
            yield given

    storage = Locked()
    assert await Fetching(clock, token_storage=storage).get_token() == "token-1"
    assert fields(storage)["access_token"] == "token-1"


async def test_something_with_the_three_methods_only_will_do(clock: FakeClock) -> None:
    """0.4.0 asked for no base class."""

    class Duck:
        line: str | None = None

        def save(self, token: str) -> None:
            self.line = token

        async def load(self) -> str | None:
            return self.line

        def clean(self) -> None:
            self.line = None

    duck: Any = Duck()
    token = await Fetching(clock, token_storage=duck).get()
    assert await Fetching(clock, token_storage=duck).get() == token


async def test_a_rejected_token_that_somebody_stores_again_is_not_taken_for_a_newer_one(
    clock: FakeClock,
) -> None:
    """Where its life is unknown, nothing but the memory of the 401 speaks against it."""
    storage = OneSlot()
    storage.line = "bare"
    manager = Fetching(clock, token_storage=storage)
    bare = await manager.get()
    assert (await manager.renew(bare)).access_token == "token-1"
    storage.line = "bare"
    clock.advance(3600)
    assert await manager.get_token() == "token-2"


async def test_a_token_renewed_behind_a_401_is_not_taken_from_the_storage_again(
    clock: FakeClock,
) -> None:
    """It has been rejected, whoever stores it once more."""
    storage = OneSlot()
    storage.line = "bare"
    manager = Fetching(clock, token_storage=storage)
    manager.renew_in_background(await manager.get())
    await until(lambda: manager._cache.flights.current is None)
    storage.line = "bare"
    clock.advance(3600)
    assert await manager.get_token() == "token-2"


async def test_what_is_replaced_is_told_to_the_flow_also_without_a_refresh_token(
    clock: FakeClock,
) -> None:
    """As where no storage is shared: `previous` is the token that the manager has."""
    manager = Fetching(clock, token_storage=OneSlot())
    first = await manager.get()
    await manager.renew(first)
    assert manager.fetches == [None, first]


async def test_a_token_that_gave_way_to_another_s_is_not_kept_for_later(clock: FakeClock) -> None:
    """Its holder had lost the lease: the refresh token of the other one is the one that counts."""
    storage = Leased()
    storage.lease = Lease()
    answer = {"access_token": "mine", "expires_in": 60, "refresh_token": "r-mine"}
    manager = Fetching(clock, answer, token_storage=storage)
    manager.gate = asyncio.Event()
    waiting = asyncio.create_task(manager.get_token())
    await until(lambda: len(manager.fetches) == 1)
    storage.lease.lost = True
    other = Token("other", 600, refresh_token="r-other", expires_at=clock.time() + 600)
    storage.line = write_line(other, BINDING)
    manager.gate.set()
    assert await waiting == "other"
    clock.advance(600)
    await manager.get()
    assert manager.fetches[1] is not None
    assert manager.fetches[1].refresh_token == "r-other"
    await manager.close()


async def test_more_than_the_last_of_the_tokens_that_were_rejected_is_remembered(
    clock: FakeClock,
) -> None:
    """A storage that goes back to an older one finds it still refused."""
    storage = OneSlot()
    manager = Fetching(clock, token_storage=storage)
    storage.line = "bare-0"
    token = await manager.get()
    for number in range(1, 8):
        storage.line = f"bare-{number}"
        token = await manager.renew(token)
        assert token.access_token == f"bare-{number}"
        manager.report_accepted(token, resent=True)
    storage.line = "bare-0"
    assert (await manager.renew(token)).access_token == "token-1"
