"""What a manager tells of, by `on_event=` and in the log."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import Any

import pytest
from fakes import FakeClock
from managing import Fetching, manager_for, turns, until
from storages import OneSlot

from aioalf import (
    AuthorizationError,
    Client,
    DeviceTokenManager,
    OAuth2Middleware,
    SignInRequired,
    TokenError,
    TokenHTTPError,
    TokenManager,
    TokenStorage,
)
from aioalf.events import (
    Event,
    RejectionKept,
    RequestResent,
    SignInBegun,
    SignInDone,
    SignInFailed,
    SignInNeeded,
    StorageFailed,
    StorageRecovered,
    TokenObtained,
    TokenRequestFailed,
)
from aioalf.testing import AuthorizationServer
from aioalf.token import Token


def reasons(events: list[Event]) -> list[tuple[str, str]]:
    """Why each token was obtained, and from where."""
    return [(each.reason, each.source) for each in events if isinstance(each, TokenObtained)]


async def test_each_token_says_why_it_was_obtained_and_from_where(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """The first, ahead of the expiry, after it, after a rejection, and because the program demands it."""
    events: list[Event] = []
    manager = manager_for(server, clock, on_event=events.append, token_storage=TokenStorage())
    async with manager:
        first = await manager.get()
        clock.advance(3600 - 40)
        await manager.get()
        await until(lambda: len(events) == 2)
        clock.advance(3600)
        expired = await manager.get()
        await manager.renew(expired)
        await manager.reset_token()
    assert [reason for reason, _ in reasons(events)] == [
        "first",
        "ahead",
        "expired",
        "rejected",
        "forced",
    ]
    told = events[0]
    assert isinstance(told, TokenObtained)
    assert (told.source, told.lifetime) == ("endpoint", 3600)
    assert first.access_token not in str(events)


async def test_a_token_that_another_manager_has_stored_is_from_the_storage(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """No token request was made for it."""
    events: list[Event] = []
    storage = TokenStorage()
    async with (
        manager_for(server, clock, token_storage=storage) as one,
        manager_for(server, clock, token_storage=storage, on_event=events.append) as other,
    ):
        await one.get()
        clock.advance(100)
        await other.get()
    assert reasons(events) == [("first", "storage")]
    assert [each.lifetime for each in events if isinstance(each, TokenObtained)] == [3500]


async def test_a_token_request_that_failed_says_what_serves_and_for_how_long_nothing_is_asked(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Renewed ahead, the old token serves on; after the third failure in a row nothing is asked."""
    events: list[Event] = []
    async with manager_for(server, clock, on_event=events.append) as manager:
        await manager.get()
        clock.advance(3600 - 40)
        server.answer_next(503, times=5)
        await manager.get()
        await until(lambda: len(events) == 2 and manager._cache.flights.current is None)
        clock.advance(100)
        for _ in range(2):
            with pytest.raises(TokenHTTPError):
                await manager.get()
    _, ahead, second, third = events
    assert isinstance(ahead, TokenRequestFailed)
    assert (ahead.reason, ahead.status, ahead.error) == ("ahead", 503, None)
    assert (ahead.old_token_serves, ahead.pause) == (30, 0)
    assert isinstance(second, TokenRequestFailed)
    assert (second.reason, second.old_token_serves, second.pause) == ("expired", 0, 0)
    assert isinstance(third, TokenRequestFailed)
    assert 0 < third.pause <= 1


async def test_an_error_of_the_server_is_told_with_its_code(server: AuthorizationServer) -> None:
    """RFC 6749 section 5.2; no secret is in it."""
    events: list[Event] = []
    manager = TokenManager(server.token_endpoint, "who", "s3cr3t", on_event=events.append)
    async with manager:
        with pytest.raises(TokenHTTPError):
            await manager.get()
    (failed,) = events
    assert isinstance(failed, TokenRequestFailed)
    assert (failed.error, failed.status, failed.reason) == ("invalid_client", 401, "first")
    assert "s3cr3t" not in repr(failed) + str(failed)


@pytest.mark.parametrize("by", ["client", "middleware"])
async def test_a_401_that_is_answered_by_a_second_sending_is_told(
    server: AuthorizationServer, by: str
) -> None:
    """Accepted, or rejected again; and a 401 that is kept while no new token is fetched."""
    events: list[Event] = []
    manager = manager_for(server, on_event=events.append)
    if by == "client":
        client: Any = Client(token_manager=manager)
    else:
        import aiohttp

        middleware = OAuth2Middleware(manager, origins=server.url)
        client = aiohttp.ClientSession(middlewares=(middleware,))
    async with manager, client:
        await client.get(server.resource)
        server.revoke_all()
        await client.get(server.resource)
        server.resource_answer_next(401, times=5)
        for _ in range(2):
            assert (await client.get(server.resource)).status == 401
    told = [each for each in events if not isinstance(each, TokenObtained)]
    host = server.resource.split("/")[2].split(":")[0]
    assert told == [
        RequestResent(accepted=True),
        RequestResent(accepted=False),
        RejectionKept("paused", "GET", host, 401),
    ]
    assert [reason for reason, _ in reasons(events)] == ["first", "rejected", "rejected"]


async def test_a_body_that_can_be_read_only_once_keeps_its_401(server: AuthorizationServer) -> None:
    """And the next request has a new token."""
    events: list[Event] = []

    async def body() -> Any:
        yield b"once"

    async with Client(
        server.client_id, server.client_secret, server.token_endpoint, on_event=events.append
    ) as client:
        await client.get(server.resource)
        server.revoke_all()
        assert (await client.post(server.resource, data=body())).status == 401
        assert (await client.get(server.resource)).status == 200
    kept = [each for each in events if isinstance(each, RejectionKept)]
    assert [(each.reason, each.method) for each in kept] == [("body", "POST")]
    assert reasons(events) == [("first", "endpoint"), ("rejected", "endpoint")]


async def test_a_storage_that_fails_and_works_again_is_told_once_each(clock: FakeClock) -> None:
    """Not at each call: an outage would be a flood."""
    events: list[Event] = []

    class Full(OneSlot):
        full = True

        def save(self, token: str) -> None:
            if self.full:
                raise OSError("disk full")
            super().save(token)

    storage = Full()
    manager = Fetching(clock, token_storage=storage, on_event=events.append)
    for _ in range(3):
        await manager.reset_token()
    storage.full = False
    await manager.reset_token()
    await manager.close()
    told = [each for each in events if not isinstance(each, TokenObtained)]
    assert told == [StorageFailed("save", "OSError: disk full", False), StorageRecovered("save")]


class Person(DeviceTokenManager):
    """Signs in as the test says."""

    refuses = False

    async def _ask_person(self) -> dict[str, Any]:
        await turns(1)
        if self.refuses:
            raise AuthorizationError("access_denied", error="access_denied")
        return {"access_token": "a", "refresh_token": "r"}


async def test_a_sign_in_is_told_when_it_begins_and_when_it_ends(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Refused, demanded, or one that nobody may be asked for."""
    events: list[Event] = []
    person = Person(
        server.token_endpoint, "id", unattended=True, clock=clock, on_event=events.append
    )
    with pytest.raises(SignInRequired):
        await person.get()
    await person.sign_in()
    person.refuses = True
    with pytest.raises(AuthorizationError):
        await person.sign_in()
    await person.close()
    kinds = [type(each) for each in events]
    assert kinds == [
        SignInNeeded,
        SignInBegun,
        SignInDone,
        TokenObtained,
        SignInBegun,
        SignInFailed,
        TokenRequestFailed,
    ]
    assert reasons(events) == [("sign-in", "endpoint")]


async def test_the_hook_and_the_log_have_the_context_of_the_task_that_began_the_renewal(
    server: AuthorizationServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A request id, or the parent of a span; the token request itself has an empty context."""
    request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="none")
    seen: list[str] = []
    logged: list[str] = []

    def record_id(record: logging.LogRecord) -> bool:
        logged.append(request_id.get())
        return True

    async def use(manager: TokenManager, name: str) -> None:
        request_id.set(name)
        await manager.get()

    caplog.set_level(logging.DEBUG, "aioalf")
    logging.getLogger("aioalf").addFilter(record_id)
    try:
        async with manager_for(
            server, clock, on_event=lambda event: seen.append(request_id.get())
        ) as manager:
            await asyncio.gather(use(manager, "r-1"), use(manager, "r-2"))
            assert manager._cache.flights.last is not None
            assert manager._cache.flights.last.context is None  # it may be kept for an hour
    finally:
        logging.getLogger("aioalf").removeFilter(record_id)
    assert seen == ["r-1"]
    assert logged == ["r-1", "r-1"]  # the token request, and the token


async def test_a_renewal_is_one_line_at_info_with_its_reason_and_its_life(
    server: AuthorizationServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """So the log answers why a token was renewed."""
    caplog.set_level(logging.INFO, "aioalf")
    async with Client(
        server.client_id, server.client_secret, server.token_endpoint, clock=clock
    ) as client:
        server.time = clock.time
        token = await client.token_manager.get()
        server.revoke_all()
        await client.get(server.resource)
    lines = [record.getMessage() for record in caplog.records]
    assert "new (the first one)" in lines[0]
    assert lines[0].endswith("lives 3600 s")
    assert "new (the last one was rejected)" in lines[1]
    assert lines[2] == (
        "A request whose token was rejected was sent again with a new one, and accepted."
    )
    assert token.access_token not in caplog.text


async def test_a_storage_that_fails_is_told_in_the_context_of_the_task_that_began_the_renewal(
    clock: FakeClock,
) -> None:
    """So the hook knows the request, and a task that it starts there may ask for the token."""
    request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="none")
    seen: list[str] = []
    tasks: list[asyncio.Task[Any]] = []

    class Gone(OneSlot):
        def load(self) -> str | None:
            raise OSError("gone")

    def ask(event: Event) -> None:
        seen.append(request_id.get())
        tasks.append(asyncio.ensure_future(manager.get()))

    manager = Fetching(clock, token_storage=Gone(), on_event=ask)
    request_id.set("r-1")
    token = await manager.get()
    assert [await task for task in tasks] == [token, token]
    assert seen == ["r-1", "r-1"]
    await manager.close()


async def test_a_renewal_that_took_too_long_is_told_as_one_that_failed(clock: FakeClock) -> None:
    """No error of the server's, and none that the renewal has raised, says so."""
    events: list[Event] = []
    manager = Fetching(clock, on_event=events.append)
    manager.gate = asyncio.Event()
    manager._cache.lock_timeout = manager._cache.fetch_timeout = 0.0
    with pytest.raises(TokenError, match="given up"):
        await manager.get()
    await until(lambda: bool(events))
    (failed,) = events
    assert isinstance(failed, TokenRequestFailed)
    assert (failed.reason, "given up" in failed.message) == ("first", True)
    await manager.close()


@pytest.mark.parametrize(("life", "left"), [(3600, 3590.0), (None, float("inf"))])
async def test_a_demand_that_failed_says_that_the_old_token_goes_on_serving(
    clock: FakeClock, life: int | None, left: float
) -> None:
    """Nobody has rejected it, and the next request gets it."""
    events: list[Event] = []
    first = {"access_token": "a"} | ({} if life is None else {"expires_in": life})
    manager = Fetching(clock, first, TokenError("no"), on_event=events.append)
    token = await manager.get()
    with pytest.raises(TokenError):
        await manager.reset_token()
    assert await manager.get() is token
    failed = events[-1]
    assert isinstance(failed, TokenRequestFailed)
    assert (failed.reason, failed.old_token_serves) == ("forced", left)
    serves = "serves for 3590 s more" if life else "goes on serving"
    assert str(failed) == f"The token was not renewed, the old one {serves}: no."
    await manager.close()


async def test_a_renewal_after_a_rejection_that_failed_has_the_reason_of_one_that_did_not(
    clock: FakeClock,
) -> None:
    """The token was rejected by a request that could not be sent again."""
    events: list[Event] = []
    manager = Fetching(
        clock, {"access_token": "a"}, TokenError("no"), TokenError("no"), on_event=events.append
    )
    manager.renew_in_background(await manager.get())
    await until(lambda: len(events) == 2 and manager._cache.flights.current is None)
    with pytest.raises(TokenError):
        await manager.get()
    await manager.get()
    told = [e.reason for e in events if isinstance(e, (TokenObtained, TokenRequestFailed))]
    assert told == ["first", "rejected", "rejected", "rejected"]
    await manager.close()


@pytest.mark.parametrize("how", ["error", "nobody waits"])
async def test_every_sign_in_that_begins_has_an_end(
    server: AuthorizationServer, clock: FakeClock, how: str
) -> None:
    """Also one whose code is not exchanged, and one that is given up: else a gauge of them only rises."""
    events: list[Event] = []

    class Absent(DeviceTokenManager):
        async def _ask_person(self) -> dict[str, Any]:
            if how == "error":
                raise TokenHTTPError("no", 400, error="invalid_grant")
            await asyncio.Event().wait()
            return {}

    person = Absent(server.token_endpoint, "id", clock=clock, on_event=events.append)
    waiting = asyncio.ensure_future(person.get())
    await until(lambda: bool(events))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await until(lambda: len(events) > 1)
    assert events[:2] == [
        SignInBegun(),
        SignInFailed("invalid_grant" if how == "error" else None, 0.0),
    ]
    await person.close()


async def test_a_token_that_came_into_the_storage_during_a_refresh_is_from_the_storage(
    clock: FakeClock,
) -> None:
    """Another process was faster, so the refresh token was refused."""
    events: list[Event] = []
    storage = TokenStorage()
    first = {"access_token": "a", "expires_in": 100, "refresh_token": "r-1"}
    refused = TokenHTTPError("no", 400, error="invalid_grant")
    manager = Fetching(clock, first, refused, token_storage=storage, on_event=events.append)
    await manager.get()
    clock.advance(200)
    manager.gate = asyncio.Event()
    waiting = asyncio.ensure_future(manager.get())
    await until(lambda: len(manager.fetches) == 2)
    assert manager._cache.stored is not None
    newer = Token("b", 100, expires_at=clock.time() + 100, refresh_token="r-2")
    await manager._cache.stored._storage.save(newer)
    manager.gate.set()
    assert (await waiting).access_token == "b"
    assert reasons(events) == [("first", "endpoint"), ("expired", "storage")]
    await manager.close()


# -- bad hooks


async def test_a_hook_that_raises_breaks_nothing_and_is_logged_once(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """With its traceback."""

    def raising(event: Event) -> None:
        raise LookupError("the exporter is gone")

    manager = Fetching(clock, on_event=raising)
    for _ in range(3):
        await manager.reset_token()
    await manager.close()
    (record,) = (r for r in caplog.records if r.levelno == logging.ERROR)
    assert "raising raised LookupError" in record.getMessage()
    assert record.exc_info is not None


async def test_a_hook_that_returns_a_coroutine_or_blocks_is_named(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every task of the loop has to wait for it."""

    async def work() -> None: ...

    def hook(event: Event) -> object:
        return work()

    monkeypatch.setattr("aioalf.events._SLOW", -1.0)
    manager = Fetching(clock, on_event=hook)
    await manager.get()
    await manager.close()
    text = caplog.text
    assert "returned a coroutine, which nobody waits for" in text
    assert "for which every task had to wait" in text


async def test_a_hook_that_asks_a_cancelled_future_does_not_cancel_the_renewal(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Its error is that of a cancellation, and nobody has cancelled the task."""

    def asking(event: Event) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        future.result()

    manager = Fetching(clock, on_event=asking)
    assert (await manager.get()).access_token == "token-1"
    assert "asking raised CancelledError" in caplog.text
    await manager.close()


@pytest.mark.parametrize("kind", ["text", "coroutine", "object"])
def test_what_cannot_be_a_hook_is_refused_with_the_remedy(kind: str) -> None:
    """At construction, by a manager and by a client."""

    async def coroutine(event: Event) -> None: ...

    class Called:
        async def __call__(self, event: Event) -> None: ...

    hook: Any = {"text": "print", "coroutine": coroutine, "object": Called()}[kind]
    for make in (TokenManager, Client):
        with pytest.raises(TypeError, match="on_event takes a"):
            make(on_event=hook)


async def test_a_hook_may_ask_for_a_token_in_a_task_of_its_own(clock: FakeClock) -> None:
    """It is told inside the renewal; the task joins that, and nothing waits for itself."""
    tasks: list[asyncio.Task[Any]] = []

    def ask(event: Event) -> None:
        tasks.append(asyncio.ensure_future(manager.get()))

    manager = Fetching(clock, on_event=ask)
    token = await manager.get()
    assert [await task for task in tasks] == [token]
    await manager.close()


async def test_a_borrowed_manager_has_a_hook_of_its_own(server: AuthorizationServer) -> None:
    """A client's would not be called."""
    async with manager_for(server) as manager:
        with pytest.raises(TypeError, match="on_event"):
            Client(token_manager=manager, on_event=print)


async def test_a_failure_that_the_breaker_repeats_is_told_once_for_each_caller_that_asked(
    clock: FakeClock,
) -> None:
    """Who gets the error at once has asked nobody: there is no event."""
    events: list[Event] = []
    manager = Fetching(clock, *[TokenError("no")] * 3, on_event=events.append)
    for _ in range(5):
        with pytest.raises(TokenError):
            await manager.get()
    await manager.close()
    assert len(events) == 3
