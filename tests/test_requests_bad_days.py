"""Requests that other credentials, trackers, forms and wrong settings get in the way of."""

from __future__ import annotations

import asyncio
import functools
import io
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from clients import arrived, bearer, client_of, manager_of, status_of
from yarl import URL

from aioalf import Client, OAuth2Middleware, Token
from aioalf.manager import TokenManager
from aioalf.testing import AuthorizationServer


@pytest.fixture
def netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A netrc that has credentials for every host."""
    path = tmp_path / "netrc"
    path.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(path))
    return path


# Other credentials


async def test_the_token_wins_over_a_netrc(server: AuthorizationServer, netrc: Path) -> None:
    """``trust_env=True`` is asked for because of a proxy; the second sending has it as well."""
    async with client_of(server, trust_env=True) as client:
        assert await status_of(client, server.resource) == 200
        server.revoke_all()
        assert await status_of(client, server.resource, data=io.BytesIO(b"x")) == 200
    assert all(value.startswith("Bearer ") for one in arrived(server) for value in bearer(one))


async def test_the_token_wins_over_the_credentials_of_a_url(server: AuthorizationServer) -> None:
    """Whichever way it is spelled."""
    url = URL(server.resource).with_user("u").with_password("p")
    async with client_of(server) as client:
        await client.get(server.resource)
        assert await status_of(client, str(url)) == 200
        assert await status_of(client, url, headers={"X": "1"}) == 200  # type: ignore[arg-type]
        server.revoke_all()
        assert await status_of(client, str(url)) == 200
    assert all(value.startswith("Bearer ") for one in arrived(server) for value in bearer(one))


async def test_the_token_wins_over_the_credentials_of_a_redirect(
    server: AuthorizationServer,
) -> None:
    """To the same origin; a GET may be sent again from its beginning."""
    target = URL(server.resource).with_user("u").with_password("p")
    async with client_of(server) as client:
        assert await status_of(client, f"{server.redirect}?to={target}") == 200
    assert bearer(arrived(server)[-1])[0].startswith("Bearer ")


async def test_a_post_that_is_redirected_to_credentials_is_not_sent_twice(
    server: AuthorizationServer,
) -> None:
    """What it did is done; the error is one of aiohttp's family."""
    target = URL(server.resource).with_user("u").with_password("p")
    async with client_of(server) as client:
        with pytest.raises(aiohttp.ClientError, match="redirected to a URL that holds credentials"):
            await client.post(f"{server.redirect}?to={target}&status=307", data=b"x")
    assert len(arrived(server, "redirect")) == 1


@pytest.mark.parametrize("trusting", [True, False])
async def test_a_token_never_follows_a_redirect_to_another_origin(
    trusting: bool, server: AuthorizationServer, netrc: Path
) -> None:
    """Nor does it come back with one that returns, however the token got into the request."""
    async with AuthorizationServer() as other:
        back = f"{other.redirect}?to={server.resource}"
        other.resource_answer_next(302, {"Location": server.resource})
        async with client_of(server, trust_env=trusting) as client:
            token = await client.token_manager.get_token()
            await status_of(client, f"{server.redirect}?to={back}")
        for request in (*other.log, arrived(server)[-1]):
            assert token not in str(request.headers)


async def test_a_401_from_another_origin_is_explained_in_the_log(
    server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It says nothing about the token, which was not sent there."""
    caplog.set_level(logging.INFO)
    async with AuthorizationServer() as other, client_of(server) as client:
        assert await status_of(client, f"{server.redirect}?to={other.resource}") == 401
    assert server.token_requests == 1
    (line,) = [r.getMessage() for r in caplog.records if "redirect to another origin" in r.message]
    assert "was answered 401" in line


async def test_the_middleware_replaces_auth_and_netrc(
    server: AuthorizationServer, netrc: Path
) -> None:
    """A header that it sets comes after aiohttp has chosen."""
    async with manager_of(server) as manager:
        middleware = OAuth2Middleware(manager, origins=server.url)
        options: dict[str, Any] = {"middlewares": (middleware,), "trust_env": True}
        async with aiohttp.ClientSession(**options) as session:
            assert (await session.get(server.resource)).status == 200


# Websockets


async def test_a_handshake_is_renewed_whatever_a_callable_raises(
    server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A session-wide ``raise_for_status`` comes before the handshake is looked at."""

    class OwnError(Exception):
        pass

    async def check(response: aiohttp.ClientResponse) -> None:
        if response.status >= 400:
            raise OwnError(response.status)

    async with client_of(server, raise_for_status=check) as client:
        await client.get(server.resource)
        server.revoke_all()
        async with client.ws_connect(server.websocket) as websocket:
            await websocket.send_str("hello")
            assert await websocket.receive_str() == "hello"
        assert server.token_requests == 2
        server.resource_answer_next(401, times=2)
        with pytest.raises(OwnError):
            await client.ws_connect(server.websocket)
        server.resource_answer_next(403)
        with pytest.raises(OwnError):
            await client.get(server.resource)


async def test_a_second_401_of_a_handshake_is_logged_once(
    server: AuthorizationServer, caplog: pytest.LogCaptureFixture
) -> None:
    """As that of any other request."""
    server.resource_answer_next(401, times=9)
    async with client_of(server) as client:
        for _ in range(2):
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await client.ws_connect(server.websocket)
    assert server.token_requests == 2
    assert len([r for r in caplog.records if "rejects new tokens" in r.message]) == 1


# Bodies


@pytest.mark.parametrize("kind", ["client", "middleware"])
async def test_a_form_that_went_out_before_is_sent_again_after_a_401(
    kind: str, server: AuthorizationServer
) -> None:
    """Its parts can all be written again."""
    form = aiohttp.FormData()
    form.add_field("file", b"x" * 1000, filename="a.bin")
    async with manager_of(server) as manager:
        middleware = OAuth2Middleware(manager, origins=server.url)
        async with (
            Client(token_manager=manager) as client,
            aiohttp.ClientSession(middlewares=(middleware,)) as session,
        ):
            sender: Any = client if kind == "client" else session
            assert (await sender.post(server.resource, data=form)).status == 200
            server.revoke_all()
            assert (await sender.post(server.resource, data=form)).status == 200
    assert server.rejections == 1


async def test_data_and_json_together_are_aiohttps_own_error(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """And the caller's file stays open."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    with path.open("rb") as file:
        async with client_of(server) as client:
            with pytest.raises(ValueError, match="data and json parameters"):
                await client.post(server.resource, data=file, json={})
        assert not file.closed


async def test_a_body_that_is_never_sent_again_goes_through_as_it_came(
    server: AuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorders and mocks that replace `ClientSession._request` see the caller's own object."""
    seen: list[Any] = []

    real = aiohttp.ClientSession._request

    async def request(self: Any, *args: Any, **options: Any) -> aiohttp.ClientResponse:
        if "data" in options and args[1] == server.resource:
            seen.append(options["data"])
        return await real(self, *args, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", request)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"chunk"

    body = chunks()
    async with client_of(server) as client:
        assert (await client.post(server.resource, data=body)).status == 200
    assert seen == [body]


UploadTracker: Any = getattr(aiohttp, "UploadTracker", None)

if UploadTracker is not None:  # aiohttp 3.14 has it

    async def test_an_upload_tracker_follows_the_last_sending(server: AuthorizationServer) -> None:
        """Both attempts are counted, and the completion is that of the second."""
        tracker = UploadTracker()
        async with client_of(server) as client:
            await client.get(server.resource)
            server.revoke_all()
            body = io.BytesIO(b"x" * 1000)
            response = await client.post(server.resource, data=body, upload_tracker=tracker)
            assert response.status == 200
            await asyncio.wait_for(tracker.upload_complete, 10)
        assert (tracker.attempts, tracker.bytes_written) == (2, 1000)

    @pytest.mark.parametrize("reason", ["no token", "closed", "auth="])
    async def test_an_upload_tracker_settles_if_nothing_is_sent(
        reason: str, server: AuthorizationServer
    ) -> None:
        """A program that waits for it is not left waiting."""
        tracker = UploadTracker()
        client = client_of(server)
        options: dict[str, Any] = {}
        if reason == "no token":
            server.drop_next()
        elif reason == "closed":
            await client.close()
        else:
            options["auth"] = ("a", "b")
        with pytest.raises((aiohttp.ClientError, RuntimeError, ValueError)):
            await client.post(server.resource, data=b"x", upload_tracker=tracker, **options)
        assert tracker.upload_complete.done()
        await client.close()


# Settings


async def test_other_statuses_may_say_that_a_token_is_not_accepted(
    server: AuthorizationServer,
) -> None:
    """Some APIs answer an expired token with 403 or 419."""
    async with manager_of(server) as manager:
        middleware = OAuth2Middleware(
            manager, origins=server.url, unauthorized_statuses={401, 403, 419}
        )
        options: dict[str, Any] = {"unauthorized_statuses": [401, 403, 419]}
        async with (
            Client(token_manager=manager, **options) as client,
            aiohttp.ClientSession(middlewares=(middleware,)) as session,
        ):
            senders: list[Any] = [client, session]
            for number, sender in enumerate(senders, 2):
                server.resource_answer_next((403, 419)[number - 2])
                assert (await sender.get(server.resource)).status == 200
                assert server.token_requests == number
            server.resource_answer_next(403)
            async with client_of(server) as plain:
                assert await status_of(plain, server.resource) == 403


@pytest.mark.parametrize("statuses", [[], [200], [500], ["401"]], ids=repr)
def test_statuses_that_are_no_client_errors_are_refused(statuses: Any) -> None:
    """A retry of everything, or of nothing, is a mistake."""
    with pytest.raises(ValueError, match="unauthorized_statuses takes statuses from 400 to 499"):
        Client("id", "s", "https://login.example.com/token", unauthorized_statuses=statuses)


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        (
            {"timeout": 10},
            TypeError,
            "timeout takes an aiohttp.ClientTimeout .* not a value of type int",
        ),
        ({"base_url": "https://x.example/v1"}, ValueError, "its path must end with a slash"),
    ],
)
def test_a_setting_that_the_session_would_refuse_is_refused_at_construction(
    option: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Not at the first request."""
    with pytest.raises(error, match=message):
        Client("id", "s", "https://login.example.com/token", **option)


async def test_a_wrapped_constructor_of_aiohttp_hides_no_keyword(
    server: AuthorizationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracers wrap it, some without `functools.wraps`; an unknown word is still told."""
    real = aiohttp.ClientSession.__init__

    def wrapped(*args: Any, **options: Any) -> None:
        real(*args, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", wrapped)
    options: dict[str, Any] = {"timeout": aiohttp.ClientTimeout(total=5), "headers": {"X": "1"}}
    async with client_of(server, **options) as client:
        assert await status_of(client, server.resource) == 200
    async with client_of(server, tiemout=5) as client:
        with pytest.raises(TypeError, match="tiemout"):
            await client.get(server.resource)
    monkeypatch.setattr(aiohttp.ClientSession, "__init__", functools.wraps(real)(wrapped))
    with pytest.raises(TypeError, match="unexpected keyword 'tiemout'"):
        client_of(server, tiemout=5)


def test_a_step_of_0_4_0_that_is_not_called_any_more_is_named_once() -> None:
    """Silence would lose the header that it adds."""

    class Mine(Client):
        async def _authorized_fetch(self) -> None:
            raise AssertionError("never called")

    with pytest.warns(UserWarning, match=r"Mine\._authorized_fetch is not called") as caught:
        Mine("id", "s", "https://login.example.com/token")
    assert len(caught) == 1


async def test_an_overridden_has_token_is_asked_also_if_there_is_no_token(
    server: AuthorizationServer,
) -> None:
    """It is a predicate: false for an empty token, and never an error."""
    asked: list[bool] = []

    class Mine(TokenManager):
        def _has_token(self) -> bool:
            asked.append(super()._has_token())
            return asked[-1]

    manager = Mine(server.token_endpoint, server.client_id, server.client_secret)
    manager._token = Token("")
    assert not manager._has_token()
    manager._token = None
    await manager.get()
    assert asked == [False, False]
