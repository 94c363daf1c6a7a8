"""The contract: what the two published documents promise, and what users of 0.4.0 rely on.

One test per promise; the docstring quotes it. The error response that is returned in place of the
resource's has a module of its own (`test_token_errors_returned.py`), and so have `TokenManager` and the
implicit flow.
"""

from __future__ import annotations

import base64
import importlib
import inspect
from datetime import datetime, timedelta, timezone
from typing import Any

import aiohttp
import pytest
from clients import arrived, bearer, client_of
from fakes import FakeClock

import aioalf
from aioalf import Client, HTTPRequest, Token, TokenError, TokenHTTPError, TokenManager
from aioalf.testing import AuthorizationServer

# Import paths --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "aioalf.client.Client",
        "aioalf.manager.TokenManager",
        "aioalf.manager.TokenError",
        "aioalf.token.Token",
        "aioalf.token.TokenError",
        "aioalf.token.TokenHTTPError",
        "aioalf.implicit_manager.use_implicit_flow",
        "aioalf.implicit_manager.TokenStorage",
        "aioalf.implicit_manager.OAuthImplictTokenManager",
        "aioalf.implicit_manager.OAuthImplicitTokenManager",
        "aioalf.httpclient.HTTPRequest",
    ],
)
def test_a_name_imports_from_its_old_path_and_from_the_package(path: str) -> None:
    """Import paths: the documented ones, and "all public names also import from `aioalf`"."""
    module, _, name = path.rpartition(".")
    assert getattr(importlib.import_module(module), name) is getattr(aioalf, name)


def test_the_version_is_a_string_of_numbers() -> None:
    """Import paths: ``aioalf.__version__``."""
    assert all(part.isdigit() for part in aioalf.__version__.split("."))


def test_token_error_is_one_class_under_all_its_names() -> None:
    """Import paths: `TokenError` in ``aioalf.manager`` and in ``aioalf.token``."""
    from aioalf import errors, manager, token

    assert errors.TokenError is manager.TokenError is token.TokenError is TokenError


# Client --------------------------------------------------------------------------------------------


def test_the_five_parameters_stand_in_the_old_order() -> None:
    """``Client(client_id, client_secret, token_endpoint, http_options=None, scope=None)``."""
    names = ["client_id", "client_secret", "token_endpoint", "http_options", "scope"]
    positional = [
        name
        for name, parameter in inspect.signature(Client).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    assert positional == names


@pytest.mark.parametrize("positional", [True, False])
async def test_the_five_parameters_are_taken_by_position_and_by_keyword(
    positional: bool, server: AuthorizationServer
) -> None:
    """``Client(...)``, "positional in that order or by keyword"."""
    values: dict[str, Any] = {
        "client_id": server.client_id,
        "client_secret": server.client_secret,
        "token_endpoint": server.token_endpoint,
        "http_options": {"headers": {"X-Option": "1"}},
        "scope": "read",
    }
    client = Client(*values.values()) if positional else Client(**values)
    async with client, client.get(server.resource) as response:
        assert response.status == 200
    asked = arrived(server, "token")[0]
    assert asked.headers["X-Option"] == "1"
    assert asked.form["scope"] == "read"


MODULE_LEVEL = Client("client-id", "secret", "http://127.0.0.1:1/token")


async def test_a_client_can_be_built_where_no_event_loop_runs() -> None:
    """ "can be built at module level, with no event loop running"."""
    with pytest.raises(TokenError):  # nobody listens there, but it tries
        await MODULE_LEVEL.request("GET", "http://127.0.0.1:1/")
    await MODULE_LEVEL.session.close()  # the next event loop has another one


async def test_a_post_with_data_and_headers_arrives_as_written(server: AuthorizationServer) -> None:
    """``await client.request('POST', url, data=..., headers=...)``; "the aiohttp response comes back"."""
    async with client_of(server) as client:
        response = await client.request(
            "POST",
            server.resource,
            data='{"name": "alf"}',
            headers={"Content-Type": "application/json"},
        )
        assert type(response) is aiohttp.ClientResponse
        echo = await response.json()
    assert echo["method"] == "POST"
    assert echo["body"] == '{"name": "alf"}'
    assert echo["headers"]["Content-Type"] == "application/json"


async def test_every_keyword_of_a_session_s_request_passes_through(
    server: AuthorizationServer,
) -> None:
    """ "every keyword of `ClientSession.request` passes through": all but ``auth``, named by it."""
    seen: dict[str, Any] = {}

    async def note(session: object, context: Any, params: object) -> None:
        seen["trace"] = context.trace_request_ctx

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(note)

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        seen["middleware"] = True
        return await handler(request)

    given: dict[str, Any] = {
        "params": {"a": "1"},
        "data": b"x" * 100,
        "cookies": {"c": "2"},
        "headers": {"X-Mine": "3"},
        "skip_auto_headers": ["User-Agent"],
        "allow_redirects": True,
        "max_redirects": 3,
        "compress": "deflate",
        "chunked": None,
        "expect100": True,
        "raise_for_status": False,
        "read_until_eof": True,
        "proxy": None,
        "proxy_auth": None,
        "timeout": aiohttp.ClientTimeout(total=9),
        "ssl": True,
        "server_hostname": None,
        "proxy_headers": None,
        "trace_request_ctx": {"mine": True},
        "read_bufsize": 1024,
        "auto_decompress": True,
        "max_line_size": 9000,
        "max_field_size": 9000,
        "middlewares": (middleware,),
    }
    parameters = inspect.signature(aiohttp.ClientSession._request).parameters
    deprecated = {"verify_ssl", "fingerprint", "ssl_context"}
    left = parameters.keys() - given.keys() - deprecated
    assert left <= {
        *("self", "method", "str_or_url", "auth", "json"),
        *("max_headers", "upload_tracker"),  # of newer versions only
    }
    async with client_of(server, trace_configs=[trace]) as client:
        async with client.put(server.resource, **given) as response:
            echo = await response.json()
    assert echo["query"] == {"a": "1"}
    assert echo["body"] == "x" * 100
    assert echo["headers"]["Cookie"] == "c=2"
    assert echo["headers"]["X-Mine"] == "3"
    assert echo["headers"]["Content-Encoding"] == "deflate"
    assert "User-Agent" not in echo["headers"]
    assert seen == {"trace": {"mine": True}, "middleware": True}


@pytest.mark.parametrize("method", ["get", "options", "post", "put", "patch", "delete"])
@pytest.mark.parametrize("entered", [True, False])
async def test_each_verb_is_there_awaitable_and_as_a_context_manager(
    method: str, entered: bool, server: AuthorizationServer
) -> None:
    """ ""use it as" the session object: the verbs, `async with client.get(url) as response`"."""
    async with client_of(server) as client:
        send = getattr(client, method)(server.resource)
        if entered:
            async with send as response:
                echo = await response.json()
        else:
            echo = await (await send).json()
    assert echo["method"] == method.upper()
    assert echo["headers"]["Authorization"].startswith("Bearer ")


async def test_head_follows_no_redirect_unless_told_to(server: AuthorizationServer) -> None:
    """ ""use it as" the session object": aiohttp's own default for HEAD."""
    url = f"{server.redirect}?to={server.resource}"
    async with client_of(server) as client:
        async with client.head(server.resource) as response:
            assert (response.status, response.method) == (200, "HEAD")
        assert (await client.head(url)).status == 302
        assert (await client.head(url, allow_redirects=True)).status == 200


async def test_a_websocket_opens_with_the_token(server: AuthorizationServer) -> None:
    """ ""use it as" the session object: [...] `ws_connect`"."""
    async with client_of(server) as client, client.ws_connect(server.websocket) as websocket:
        await websocket.send_str("hello")
        assert await websocket.receive_str() == "hello"


async def test_a_request_can_be_a_value(server: AuthorizationServer) -> None:
    """``client.request(HTTPRequest(url, method='GET', **options))``, or method and URL as strings."""
    request = HTTPRequest(server.resource, method="POST", data=b"a", headers={"X-Mine": "1"})
    async with client_of(server) as client:
        for _ in range(2):
            async with client.request(request) as response:
                echo = await response.json()
            assert (echo["method"], echo["body"], echo["headers"]["X-Mine"]) == ("POST", "a", "1")
        async with client.request(HTTPRequest(server.resource)) as response:
            assert (await response.json())["method"] == "GET"


async def test_the_token_is_retrieved_before_any_request_and_kept(
    server: AuthorizationServer,
) -> None:
    """ "before any request a token is retrieved"."""
    async with client_of(server) as client:
        for _ in range(3):
            assert (await client.get(server.resource)).status == 200
    assert [entry.kind for entry in server.log] == ["token", *["resource"] * 3]


async def test_the_token_is_kept_until_it_expires_by_expires_in(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """ "it is kept until it expires by `expires_in`"."""
    server.time, server.token_lifetime = clock.time, 100.0
    async with client_of(server, clock=clock, renewal_margin=0, expiry_margin=0) as client:
        await client.get(server.resource)
        clock.advance(99)
        await client.get(server.resource)
        assert server.token_requests == 1
        clock.advance(1)
        assert (await client.get(server.resource)).status == 200
    assert server.token_requests == 2
    assert server.rejections == 0


async def test_the_request_carries_the_token_in_the_authorization_header(
    server: AuthorizationServer,
) -> None:
    """ "the request carries `Authorization: Bearer <token>`" (RFC 6750 section 2.1)."""
    async with client_of(server) as client:
        await client.get(server.resource)
        token = await client.token_manager.get_token()
    assert bearer(arrived(server)[0]) == [f"Bearer {token}"]


async def test_a_401_is_answered_with_a_new_token_and_one_more_request(
    server: AuthorizationServer,
) -> None:
    """ "on a 401 a new token is retrieved and the request is retried, once"."""
    async with client_of(server) as client:
        await client.get(server.resource)
        server.revoke_all()
        assert (await client.get(server.resource)).status == 200
    assert (server.token_requests, server.resource_requests) == (2, 3)


async def test_a_second_401_is_returned(server: AuthorizationServer) -> None:
    """ "a second 401 is returned"."""
    server.resource_answer_next(401, body="first")
    server.resource_answer_next(401, body="second")
    async with client_of(server) as client, client.get(server.resource) as response:
        assert response.status == 401
        assert await response.text() == "second"
    assert (server.token_requests, server.resource_requests) == (2, 2)


async def test_a_client_is_entered_and_closed(server: AuthorizationServer) -> None:
    """``async with Client(...) as client``; ``await client.close()``."""
    async with client_of(server) as client:
        assert isinstance(client, Client)
        assert not client.closed
    assert client.closed
    other = client_of(server)
    await other.get(server.resource)
    await other.close()
    assert other.closed


def test_a_plain_with_says_what_to_use() -> None:
    """ "plain `with` raises `TypeError("Use async with instead.")`"."""
    client: Any = Client("a", "b", "http://127.0.0.1/token")
    with pytest.raises(TypeError) as caught:
        with client:
            pass
    assert str(caught.value) == "Use async with instead."


async def test_a_subclass_names_its_own_manager_class(server: AuthorizationServer) -> None:
    """ "`Client.token_manager_class` names the manager class; a subclass of `Client` may replace it"."""
    assert Client.token_manager_class is TokenManager

    class OldManager(TokenManager):
        def __init__(
            self,
            token_endpoint: str,
            client_id: str,
            client_secret: str,
            http_options: dict[str, Any] | None = None,
            scope: str | None = None,
        ) -> None:
            assert http_options == {}  # 0.4.0 never gave None
            super().__init__(token_endpoint, client_id, client_secret, http_options, scope)

    class OldClient(Client):
        token_manager_class = OldManager

    async with OldClient(server.client_id, server.client_secret, server.token_endpoint) as client:
        assert type(client.token_manager) is OldManager
        assert (await client.get(server.resource)).status == 200


async def test_http_options_are_keywords_of_the_token_request_only(
    server: AuthorizationServer,
) -> None:
    """``http_options``: "keywords for the token request (`timeout`, `ssl`, `proxy`, `headers`, ...)"."""
    async with client_of(server, http_options={"headers": {"X-Option": "1"}}) as client:
        await client.get(server.resource)
    assert arrived(server, "token")[0].headers["X-Option"] == "1"
    assert "X-Option" not in arrived(server)[0].headers
    server.stall_next()
    async with client_of(server, http_options={"timeout": aiohttp.ClientTimeout(0.05)}) as client:
        with pytest.raises(TokenError, match="in time"):
            await client.get(server.resource)


@pytest.mark.parametrize("scope", ["read write", ["read", "write"], ("read", "write")])
async def test_scope_is_a_string_or_a_list(scope: Any, server: AuthorizationServer) -> None:
    """``scope``: "a string, or a list joined with single spaces" (RFC 6749 section 3.3)."""
    async with client_of(server, scope=scope) as client:
        await client.get(server.resource)
    assert arrived(server, "token")[0].form["scope"] == "read write"


async def test_the_token_request_is_a_post_with_basic_credentials(
    server: AuthorizationServer,
) -> None:
    """ "POST, `grant_type=client_credentials`, Basic credentials" (RFC 6749 section 4.4.2)."""
    server.client_id, server.client_secret = "client_id", "client_secret"
    async with client_of(server) as client:
        await client.get(server.resource)
    asked = arrived(server, "token")[0]
    assert asked.method == "POST"
    assert dict(asked.form) == {"grant_type": "client_credentials"}
    assert bearer(asked) == ["Basic Y2xpZW50X2lkOmNsaWVudF9zZWNyZXQ="]
    assert base64.b64decode("Y2xpZW50X2lkOmNsaWVudF9zZWNyZXQ=") == b"client_id:client_secret"


# Token, errors -------------------------------------------------------------------------------------


def test_a_token_is_made_of_its_text_and_its_life() -> None:
    """``Token(access_token='', expires_in=0)`` positional; ``.access_token``; ``.is_valid()``."""
    assert Token().access_token == ""
    assert not Token().is_valid()
    assert Token("token", 10).access_token == "token"
    assert Token("token", expires_in=10).is_valid()
    assert not Token("token", 0).is_valid()


def test_a_token_expires_on_a_naive_moment_in_utc() -> None:
    """``.expires_on``, naive UTC."""
    expected = datetime.now(timezone.utc).replace(tzinfo=None) + timedelta(seconds=10)
    expires_on = Token("token", 10).expires_on
    assert expires_on.tzinfo is None
    assert abs(expires_on - expected) < timedelta(seconds=2)


def test_a_token_http_error_reads_as_it_did() -> None:
    """``TokenHTTPError(message, response_status=None, response_text=None)``, a `TokenError`."""
    error = TokenHTTPError("My Error", 401, '{"myError": true}')
    assert str(error) == 'My Error, StatusCode: 401, Body: {"myError": true}'
    assert (error.response_status, error.response_text) == (401, '{"myError": true}')
    assert isinstance(error, TokenError)
    assert isinstance(error, aiohttp.ClientError)
    bare = TokenHTTPError("My Error")
    assert (str(bare), bare.response_status, bare.response_text) == ("My Error", None, None)
