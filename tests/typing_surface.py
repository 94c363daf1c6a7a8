"""How type-checked code uses the public names: read by `mypy --strict`, run by nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from aiohttp import ClientResponse, ClientSession, ClientTimeout, ClientWebSocketResponse, FormData
from typing_extensions import assert_type
from yarl import URL

from aioalf import (
    Client,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretBasicRaw,
    ClientSecretPost,
    Clock,
    HTTPRequest,
    NoClientAuth,
    OAuth2Middleware,
    Token,
    TokenError,
    TokenErrorResponse,
    TokenHTTPError,
    TokenManager,
    TokenStorage,
)


async def clients() -> None:
    """Every way to make one."""
    Client("id", "secret", "https://a.example/token")
    Client("id", "secret", "https://a.example/token", {"timeout": 3}, "read")
    Client(client_id="id", client_secret=lambda: "secret", token_endpoint=URL("https://a/token"))

    async def secret() -> str:
        return "secret"

    methods: list[ClientAuth] = [
        ClientSecretBasic(),
        ClientSecretBasicRaw(),
        ClientSecretPost(),
        NoClientAuth(),
    ]
    Client(
        "id",
        secret,
        "https://a.example/token",
        scope=["read", "write"],
        client_auth=methods[0],
        token_storage=TokenStorage(),
        token_retries=2,
        token_request_params={"audience": "api", "resource": ["a", "b"]},
        origins=["https://api.example", URL("https://b.example")],
        raise_token_errors=True,
        clock=Clock(),
        timeout=ClientTimeout(total=3),
        base_url="https://api.example",
    )
    async with Client(token_manager=TokenManager(), session=ClientSession()) as client:
        assert_type(client, Client)
        assert_type(client.session, ClientSession)
        assert_type(client.token_manager, TokenManager)
        assert_type(client.closed, bool)


async def requests(client: Client) -> None:
    """Every way to send one."""
    async with client.get(
        "https://a.example", params={"a": 1}, timeout=ClientTimeout(3)
    ) as response:
        assert_type(response, ClientResponse)
        assert_type(await response.text(), str)
    response = await client.request("POST", URL("https://a.example"), json={"a": 1})
    if isinstance(response, TokenErrorResponse):
        assert_type(response, TokenErrorResponse)
    request = HTTPRequest("https://a.example", method="POST", data=FormData({"a": "1"}))
    assert_type(request.url, "str | URL")
    assert_type(request.method, str)
    assert_type(request.options, Mapping[str, Any])
    assert_type(await client.request(request), ClientResponse)
    await client.options("/")
    await client.head("/")
    await client.post("/", data=b"x", headers={"A": "b"})
    await client.put("/", data=open("f", "rb"))  # noqa: ASYNC230, SIM115
    await client.patch("/", json=None, raise_for_status=True)
    await client.delete("/", allow_redirects=False)
    async with client.ws_connect("wss://a.example", heartbeat=3) as websocket:
        assert_type(await websocket.receive_str(), str)
    assert_type(await client.ws_connect("/"), ClientWebSocketResponse[Literal[True]])
    async with client.ws_connect("/", decode_text=False) as undecoded:
        assert_type(await undecoded.receive_str(), bytes)
    client.get("/", no_such_keyword=1)  # type: ignore[call-arg]
    client.get("/", timeout="3")  # type: ignore[arg-type]


async def managers() -> None:
    """A manager on its own, and a flow of one's own."""

    class Flow(TokenManager):
        interactive = False

        async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
            return {"access_token": "x", "expires_in": 3}

    async with Flow("https://a.example/token", "id", expiry_margin=1.0) as manager:
        token = await manager.get()
        assert_type(token, Token)
        assert_type(await manager.renew(token), Token)
        assert_type(await manager.get_token(), str)
        assert_type(token.access_token, str)
        assert_type(token.expires_at, "float | None")
        assert_type(token.is_valid(), bool)
        await manager.reset_token()
    middleware = OAuth2Middleware(manager, origins="https://api.example")
    async with ClientSession(middlewares=(middleware,)) as session:
        await session.get("https://api.example")


class Special(Client):
    """A client with a manager class of its own."""

    token_manager_class = TokenManager


class SpecialManager(TokenManager):
    """A manager of one's own."""


async def subclasses() -> None:
    """What is entered is what was made."""
    async with Special(unauthorized_statuses={401, 419}) as client:
        assert_type(client, Special)
    async with SpecialManager() as manager:
        assert_type(manager, SpecialManager)
    OAuth2Middleware(manager, origins="https://api.example", unauthorized_statuses=(403,))


def errors(error: TokenError) -> None:
    """What an error carries."""
    if isinstance(error, TokenHTTPError):
        assert_type(error.response_status, "int | None")
        assert_type(error.error, "str | None")
        assert_type(error.retry_after, "float | None")
        assert_type(error.response, "TokenErrorResponse | None")
