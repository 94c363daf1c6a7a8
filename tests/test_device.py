"""The device flow: `aioalf.interactive.device`. At real servers: `test_sign_ins.py`."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientTimeout
from fakes import FakeClock
from storages import Slow

from aioalf import (
    AuthorizationError,
    Client,
    ClientSecretBasic,
    DeviceCode,
    DeviceTokenManager,
    FileTokenStorage,
    NoClientAuth,
    TokenError,
    TokenHTTPError,
    TokenStorage,
    use_device_flow,
)
from aioalf.protocol.device import read_device_response
from aioalf.testing import AuthorizationServer

JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def server(clock: FakeClock) -> AsyncIterator[AuthorizationServer]:
    """A server that goes by the test's clock, and whose client is a public one."""
    async with AuthorizationServer(
        allow_public=True, issue_refresh_tokens=True, time=clock.time
    ) as started:
        yield started


class Person:
    """Somebody at another device; hand it in as ``prompt=``.

    :param decides: what they do with the code that they are shown.
    :param after: how many polls later.
    """

    def __init__(
        self,
        server: AuthorizationServer,
        decides: Callable[[AuthorizationServer, str], None] | None = AuthorizationServer.approve,
        after: int = 0,
    ) -> None:
        self._server, self._decides, self._after = server, decides, after
        #: What they were shown.
        self.shown: list[DeviceCode] = []

    async def __call__(self, code: DeviceCode) -> None:
        self.shown.append(code)
        if self._decides is None:
            return
        if not self._after:
            self._decides(self._server, code.user_code)
            return
        polls = self._server.token_requests + self._after
        self._deciding = asyncio.ensure_future(self._decide_later(code.user_code, polls))

    async def _decide_later(self, user_code: str, polls: int) -> None:
        await self._server.wait_until(lambda: self._server.token_requests >= polls)
        assert self._decides is not None
        self._decides(self._server, user_code)


def manager(
    server: AuthorizationServer, person: Any, clock: FakeClock, **options: Any
) -> DeviceTokenManager:
    """Make a manager that knows the issuer alone."""
    given = {"issuer": server.issuer, "client_id": server.client_id, "clock": clock, **options}
    return DeviceTokenManager(prompt=person, **given)


def polls(server: AuthorizationServer) -> list[dict[str, str]]:
    """The forms of the token requests so far."""
    return [dict(request.form) for request in server.log if request.kind == "token"]


def failing(
    status: int, error: str | None = None, times: int = 1, retry_after: str | None = None
) -> dict[str, Any]:
    """An answer of the token endpoint."""
    body = json.dumps({"error": error}) if error else "<html>"
    headers = {**JSON, **({"Retry-After": retry_after} if retry_after else {})}
    return {"status": status, "headers": headers, "body": body, "times": times}


# -- the way of a device


async def test_a_person_signs_in_elsewhere_once_and_the_token_is_renewed_silently(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """RFC 8628; then by the refresh token."""
    person = Person(server, after=2)
    one = manager(server, person, clock, scope="read")
    async with one, Client(token_manager=one) as client:
        assert (await client.get(server.resource)).status == 200
        clock.advance(7200)
        assert (await client.get(server.resource)).status == 200
    assert len(person.shown) == 1
    grants = [form["grant_type"].rpartition(":")[2] for form in polls(server)]
    assert grants[-2:] == ["device_code", "refresh_token"]


@pytest.mark.parametrize("on_refresh", [False, True])
async def test_a_device_asks_as_rfc_8628_says(
    server: AuthorizationServer, clock: FakeClock, on_refresh: bool
) -> None:
    """Rules 6 and 7: the client id in every request, the scope in the first alone."""
    options = {"scope": "read", "scope_on_refresh": on_refresh}
    async with manager(server, Person(server, after=2), clock, **options) as one:
        await one.get()
    request = next(request for request in server.log if request.kind == "device")
    assert request.form == {"client_id": server.client_id, "scope": "read"}
    assert len(polls(server)) >= 2
    for form in polls(server):
        assert form == {
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
            "device_code": form["device_code"],
            "client_id": server.client_id,
        }


async def test_a_client_with_a_secret_proves_itself_in_both_requests(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 6: RFC 8628 section 3.1 applies the rules of the token endpoint."""
    server.allow_public = False
    async with manager(server, Person(server), clock, client_secret=server.client_secret) as one:
        await one.get()
    for request in server.log:
        if request.kind in ("device", "token"):
            assert request.headers["Authorization"].startswith("Basic "), request
            assert request.form["client_id"] == server.client_id


async def test_a_client_that_is_to_send_no_secret_sends_none(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 6: Auth0 answers 403 if one is sent."""
    options = {"client_secret": server.client_secret, "client_auth": NoClientAuth()}
    async with manager(server, Person(server), clock, **options) as one:
        await one.get()
    for request in server.log:
        assert "Authorization" not in request.headers
        assert "client_secret" not in request.form


async def test_a_secret_that_is_not_there_is_named(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """``client_auth=`` was asked for."""
    async with manager(server, Person(server), clock, client_auth=ClientSecretBasic()) as one:
        with pytest.raises(TokenError, match="Missing credentials"):
            await one.get()


async def test_nobody_is_shown_a_code_for_nothing(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Without a token endpoint, the sign-in would end in an error once the person is done."""
    person = Person(server)
    options = {
        "issuer": None,
        "device_authorization_endpoint": server.device_authorization_endpoint,
    }
    async with manager(server, person, clock, **options) as one:
        with pytest.raises(TokenError, match="Missing token endpoint"):
            await one.get()
    assert not person.shown
    assert not server.log


# -- how often it asks


@pytest.mark.parametrize(
    ("interval", "waits"),
    [
        (5, 6),
        (10, 11),
        ("7", 8),
        (None, 6),
        (0, 6),
        (-1, 6),
        (1e9, 61),
        (0.2, 2),
        ("soon", 6),
        (True, 6),
        ([5], 6),
        ({}, 6),
        ("NaN", 6),
        ("1e999", 6),
    ],
)
async def test_an_interval_that_makes_no_sense_counts_as_five_seconds(
    server: AuthorizationServer, clock: FakeClock, interval: Any, waits: float
) -> None:
    """Rule 2, and rule 1: one second is added, as clocks differ."""
    server.device_interval = 0
    server.device_parameters = {"interval": interval}
    async with manager(server, Person(server), clock) as one:
        await one.get()
    assert clock.sleeps == [waits]


async def test_each_slow_down_adds_five_seconds_however_many_there_are(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 1: in a virtual machine whose clock runs fast, there are many."""
    server.device_lifetime = 5000
    server.answer_next(**failing(400, "slow_down", times=20))
    async with manager(server, Person(server), clock, authorization_timeout=5000) as one:
        await one.get()
    assert clock.sleeps == [6 + 5 * number for number in range(21)]


async def test_a_slow_down_counts_for_the_rest_of_the_sign_in(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 2: RFC 8628 section 3.5, whatever the answers after it are."""
    server.answer_next(**failing(400, "slow_down"))
    server.answer_next(**failing(400, "authorization_pending"))
    server.answer_next(**failing(503))
    async with manager(server, Person(server), clock) as one:
        await one.get()
    assert clock.sleeps == [6, 11, 11, 11]


@pytest.mark.parametrize("status", [400, 401, 403, 428, 200])
async def test_an_answer_is_judged_by_its_error_not_by_its_status(
    server: AuthorizationServer, clock: FakeClock, status: int
) -> None:
    """Rule 9: Google said 428."""
    server.answer_next(**failing(status, "authorization_pending", times=3))
    async with manager(server, Person(server), clock) as one:
        await one.get()
    assert clock.sleeps == [6, 6, 6, 6]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
@pytest.mark.parametrize("error", [None, "temporarily_unavailable", "Internal Server Error"])
async def test_a_server_in_trouble_is_passed_over(
    server: AuthorizationServer, clock: FakeClock, status: int, error: str | None
) -> None:
    """Rule 3: else one bad moment ends a sign-in half done; Retry-After counts if it is longer.

    A gateway or a framework may call it an error by a name of its own.
    """
    server.answer_next(**failing(status, error))
    server.answer_next(**failing(status, error, retry_after="30"))
    server.answer_next(**failing(status, error, retry_after="2"))
    async with manager(server, Person(server), clock) as one:
        await one.get()
    assert clock.sleeps == [6, 6, 31, 6]


async def test_a_server_that_is_away_for_longer_than_the_code_lives_is_named(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 3: it is not the person who did not come; and that is not waited for."""
    server.answer_next(**failing(429, retry_after="7000"))
    async with manager(server, Person(server), clock) as one:
        with pytest.raises(TokenHTTPError, match="429"):
            await one.get()
    assert clock.sleeps == [6]


@pytest.mark.parametrize("retries", [0, 5])
async def test_a_poll_without_an_answer_doubles_the_interval(
    server: AuthorizationServer, clock: FakeClock, retries: int
) -> None:
    """Rule 4: RFC 8628 section 3.5 asks for an exponential back-off; `token_retries` is not for polls."""
    server.drop_next(5)
    async with manager(server, Person(server), clock, token_retries=retries) as one:
        await one.get()
    assert clock.sleeps == [6, 11, 21, 41, 61, 61]


async def test_a_poll_that_hangs_is_one_without_an_answer(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 4: the time-out of the request ends it."""
    server.stall_next()
    options = {"http_options": {"timeout": ClientTimeout(total=0.05)}}
    async with manager(server, Person(server), clock, **options) as one:
        await one.get()
    assert clock.sleeps == [6, 11]


async def test_a_poll_without_an_answer_does_not_make_the_next_ones_faster(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rules 1 and 4: the server has asked for more than a minute between two polls."""
    server.device_lifetime = 5000
    server.answer_next(**failing(400, "slow_down", times=13))
    server.drop_next()
    async with manager(server, Person(server), clock, authorization_timeout=5000) as one:
        await one.get()
    assert clock.sleeps[-2:] == [71, 71]


async def test_an_answer_that_says_something_else_ends_it(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 8: every code but pending and slow_down; and a status that is not trouble."""
    for answer in (failing(400, "invalid_grant"), failing(404), failing(400, "whatever")):
        server.answer_next(**answer)
        async with manager(server, Person(server), clock) as one:
            with pytest.raises(TokenHTTPError):
                await one.get()
    assert server.token_requests == 3


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"status": 302, "headers": {"Location": "https://evil.example/"}}, "redirect"),
        (
            {"status": 200, "headers": {"Content-Type": "text/html"}, "body": "<html>"},
            "not a token",
        ),
        ({"status": 200, "headers": JSON, "body": '{"token_type": "Bearer"}'}, "no access_token"),
    ],
)
async def test_an_answer_that_no_time_mends_ends_it(
    server: AuthorizationServer, clock: FakeClock, answer: dict[str, Any], message: str
) -> None:
    """It is not the token endpoint that was asked, or it gives no token."""
    server.answer_next(**answer)
    async with manager(server, Person(server), clock) as one:
        with pytest.raises(TokenError, match=message):
            await one.get()
    assert clock.sleeps == [6]


@pytest.mark.parametrize("error", ["access_denied", "expired_token"])
async def test_a_refusal_is_an_authorization_error(
    server: AuthorizationServer, clock: FakeClock, error: str
) -> None:
    """Rule 8: and it is remembered, so that nobody is asked at each request."""
    server.answer_next(**failing(400, error))
    person = Person(server, None)
    async with manager(server, person, clock) as one:
        for _ in range(3):
            with pytest.raises(AuthorizationError, match=error) as caught:
                await one.get()
            assert caught.value.error == error
    assert len(person.shown) == 1


async def test_a_person_declines(server: AuthorizationServer, clock: FakeClock) -> None:
    """At the page of the server."""
    async with manager(server, Person(server, AuthorizationServer.decline), clock) as one:
        with pytest.raises(AuthorizationError, match="refused"):
            await one.get()


@pytest.mark.parametrize(
    ("expires_in", "timeout", "waited"),
    [
        (60, 1800, 60),
        ("60", 1800, 60),
        (600, 100, 100),
        (1e300, 100, 100),
        (None, 3600, 1800),
        ("soon", 3600, 1800),
        (True, 3600, 1800),
        ([60], 3600, 1800),
    ],
)
async def test_a_device_stops_at_a_deadline_of_its_own(
    server: AuthorizationServer,
    clock: FakeClock,
    expires_in: Any,
    timeout: float,
    waited: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Rule 8: some servers say pending for ever. 30 minutes, if nobody has set a limit."""
    server.device_interval = 0
    interval = min(waited / 10, 60)
    server.device_parameters = {"expires_in": expires_in, "interval": interval}
    server.answer_next(**failing(400, "authorization_pending", times=10_000))
    async with manager(server, Person(server, None), clock, authorization_timeout=timeout) as one:
        with pytest.raises(AuthorizationError, match=f"within {waited:g} seconds"):
            await one.get()
    assert waited - interval - 2 < sum(clock.sleeps) <= waited
    assert "the token is used" not in caplog.text  # of an expires_in that cannot be read


# -- what is shown


async def test_the_code_and_both_addresses_are_printed(
    server: AuthorizationServer, clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rule 10: the person must see which code they approve."""
    server.answer_next(**failing(400, "access_denied"))
    async with manager(server, None, clock) as one:
        with pytest.raises(AuthorizationError):
            await one.get()
    captured = capsys.readouterr()
    device = next(iter(server._grants.devices.values()))
    assert not captured.out
    address, code = f"{server.url}/device", device.user_code
    shown = [line.strip() for line in captured.err.splitlines() if line.startswith("    ")]
    assert shown == [address, code, f"{address}?user_code={code}"]


@pytest.mark.parametrize("closed", [False, True])
async def test_without_a_console_a_warning_says_that_nobody_is_told(
    server: AuthorizationServer,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    closed: bool,
) -> None:
    """pythonw has no stderr; somebody may sign in all the same, by the server's own list of devices."""
    stream = None
    if closed:
        stream = io.StringIO()
        stream.close()
    server.answer_next(**failing(400, "access_denied"))
    async with manager(server, None, clock) as one:
        with monkeypatch.context() as context:
            context.setattr(sys, "stderr", stream)
            with pytest.raises(AuthorizationError, match="refused"):
                await one.get()
    assert "Nobody can be told where to sign in" in caplog.text


async def test_an_address_that_an_old_server_names_differently_is_shown(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 5: ADFS says verification_url."""
    server.device_parameters = {
        "verification_uri": None,
        "verification_url": "https://login.example.com/device",
        "verification_uri_complete": None,
    }
    person = Person(server)
    async with manager(server, person, clock) as one:
        await one.get()
    assert person.shown[0].verification_uri == "https://login.example.com/device"
    assert person.shown[0].verification_uri_complete is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device_code": None}, "holds no device_code"),
        ({"device_code": 5}, "holds no device_code"),
        ({"user_code": None}, "holds no user_code"),
        ({"user_code": "AB\x1b[31mCD"}, "holds no user_code"),
        ({"user_code": "AB\nCD"}, "holds no user_code"),
        ({"user_code": "AB\u202eCD"}, "holds no user_code"),
        ({"user_code": "A" * 3000}, "holds no user_code"),
        ({"user_code": 123456}, "holds no user_code"),
        ({"verification_uri": None}, "holds no verification_uri"),
        ({"verification_uri": "/device"}, "holds no verification_uri"),
        ({"verification_uri": "javascript:alert(1)"}, "holds no verification_uri"),
        ({"verification_uri": "javascript://a.example/%0aalert(1)"}, "holds no verification_uri"),
        ({"verification_uri": "https://a.example/\x1b]8;;"}, "holds no verification_uri"),
        ({"verification_uri": "https://user@a.example/"}, "holds no verification_uri"),
        ({"verification_uri": ["https://a.example"]}, "holds no verification_uri"),
        (
            {"verification_uri": None, "verification_url": "file:///etc"},
            "holds no verification_uri",
        ),
        ({"expires_in": 0}, "has expired already"),
        ({"expires_in": -5}, "has expired already"),
    ],
)
async def test_a_device_answer_that_cannot_be_used_is_named(
    server: AuthorizationServer, clock: FakeClock, changes: dict[str, Any], message: str
) -> None:
    """And nobody is shown anything, nor is anything polled for."""
    server.device_parameters = changes
    person = Person(server)
    async with manager(server, person, clock) as one:
        with pytest.raises(TokenError, match=message):
            await one.get()
    assert not person.shown
    assert server.token_requests == 0


@pytest.mark.parametrize("complete", ["javascript:alert(1)", "/device?x", 5, "https://a b/"])
def test_a_complete_address_that_cannot_be_shown_is_left_out(complete: Any) -> None:
    """The other one will do."""
    params = {
        "device_code": "d",
        "user_code": "U",
        "verification_uri": "https://a.example",
        "verification_uri_complete": complete,
    }
    code, *_ = read_device_response(params, 0.0)
    assert code.verification_uri_complete is None


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"status": 404, "headers": {}, "body": "<html>"}, "device authorization endpoint"),
        ({"status": 200, "headers": {}, "body": "<html>"}, "not its response"),
        ({"status": 503, "headers": {}, "body": ""}, "device authorization endpoint"),
        (failing(401, "invalid_client"), "invalid_client"),
    ],
)
async def test_an_error_names_the_endpoint_that_was_asked(
    server: AuthorizationServer, clock: FakeClock, answer: dict[str, Any], message: str
) -> None:
    """It is not the token endpoint."""
    server.answer_next(**answer, at="device")
    async with manager(server, Person(server), clock) as one:
        with pytest.raises(TokenError, match=message):
            await one.get()


async def test_a_prompt_may_be_plain_and_one_that_raises_is_an_error(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Its message is not shown: it may quote the code."""

    def plain(code: DeviceCode) -> None:
        server.approve(code.user_code)

    def broken(code: DeviceCode) -> None:
        raise RuntimeError(code.user_code)

    async with manager(server, plain, clock) as one:
        await one.get()
    async with manager(server, broken, clock) as two:
        with pytest.raises(TokenError, match=r"The prompt for the sign-in failed \(RuntimeError\)"):
            await two.get()


async def test_a_prompt_that_hangs_is_given_as_long_as_the_code(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Then its code counts no more; and the storage's lock is not held for longer."""
    ended: list[int] = []

    async def hanging(code: DeviceCode) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    async with manager(server, hanging, clock, authorization_timeout=0.02) as one:
        with pytest.raises(TokenError, match=r"The prompt for the sign-in failed \(TimeoutError\)"):
            await one.get()
    assert ended == [1]
    assert server.token_requests == 0


# -- its end


async def test_polling_stops_when_nobody_waits_any_more(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """And the next one begins anew, with another code."""
    person = Person(server, None)
    async with manager(server, person, clock) as one:
        asking = asyncio.ensure_future(one.get())
        await server.wait_until(lambda: server.token_requests >= 2)
        asking.cancel()
        await asyncio.wait({asking})
        await asyncio.sleep(0.05)
        polled = server.token_requests
        await asyncio.sleep(0.05)
        assert server.token_requests == polled
        person._decides = AuthorizationServer.approve
        await one.get()
    assert person.shown[0].user_code != person.shown[1].user_code


async def test_managers_that_share_a_storage_show_one_code(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """Rule 21: ten processes, ten codes, and which one is approved?"""
    person, storage = Person(server, after=2), TokenStorage()
    managers = [manager(server, person, clock, token_storage=storage) for _ in range(3)]
    tokens = await asyncio.gather(*[one.get() for one in managers])
    assert len({token.access_token for token in tokens}) == 1
    assert len(person.shown) == 1
    for one in managers:
        await one.close()


@pytest.mark.parametrize("kind", [TokenStorage, Slow])
async def test_who_has_refused_is_not_shown_another_code_by_the_next_in_line(
    server: AuthorizationServer, clock: FakeClock, kind: Any
) -> None:
    """Rule 21: the others wait for the storage, and get the same answer."""
    person, storage = Person(server, AuthorizationServer.decline, after=1), kind()
    managers = [manager(server, person, clock, token_storage=storage) for _ in range(3)]
    outcomes = await asyncio.gather(*[one.get() for one in managers], return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {AuthorizationError}
    assert len(person.shown) == 1
    for one in managers:
        await one.close()


KILLED = """
import asyncio, sys
from aioalf import DeviceTokenManager, FileTokenStorage

async def main():
    storage = FileTokenStorage(sys.argv[2])
    one = DeviceTokenManager(issuer=sys.argv[1], client_id="client-id", token_storage=storage)
    await one.get()

asyncio.run(main())
"""


async def test_a_process_that_is_killed_while_it_polls_leaves_nothing_locked(
    tmp_path: Path,
) -> None:
    """The next one shows a code of its own at once."""
    path = tmp_path / "token"
    async with AuthorizationServer(allow_public=True, device_interval=0) as server:
        process = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", KILLED, server.issuer, str(path)], stderr=subprocess.PIPE
        )
        await server.wait_until(lambda: server.requests["device"] == 1)
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.communicate)
        clock = FakeClock()
        storage = FileTokenStorage(path)
        async with manager(server, Person(server), clock, token_storage=storage) as one:
            token = await one.get()
        assert token.access_token in path.read_text()


async def test_every_client_can_be_switched_to_it(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """As `use_implicit_flow` does, by the same code."""
    switch = await use_device_flow(
        TokenStorage(), issuer=server.issuer, prompt=Person(server), clock=clock
    )
    async with switch, Client(server.client_id) as client:
        assert (await client.get(server.resource)).status == 200


async def test_no_secret_of_a_device_is_logged_or_shown(
    server: AuthorizationServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The device code is one; the user code is not."""
    caplog.set_level(logging.DEBUG)
    server.drop_next()
    person = Person(server)
    async with manager(server, person, clock) as one:
        token = await one.get()
        shown = caplog.text + repr(person.shown) + repr(one)
    for secret in (polls(server)[0]["device_code"], token.access_token, token.refresh_token):
        assert str(secret) not in shown


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prompt": "print"}, TypeError, "prompt takes a function of a DeviceCode"),
        ({"authorization_timeout": -1}, ValueError, "authorization_timeout"),
        ({"port_range": (1, 2)}, TypeError, "port_range"),
    ],
)
def test_a_mistake_is_told_where_it_is_made(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """At construction, with the name of the keyword."""
    with pytest.raises(error, match=message):
        DeviceTokenManager(**{"issuer": "https://login.example.com", **options})
