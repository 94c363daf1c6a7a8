"""How type-checked code uses the public names: read by `mypy --strict` and by pyright, run by nobody.

A line that must be an error is marked so for both. Both complain of a mark where there is no error.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from aiohttp import (
    BaseConnector,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    FormData,
    TCPConnector,
)
from multidict import CIMultiDict
from typing_extensions import Unpack, assert_type
from yarl import URL

from aioalf import (
    AuthorizationCodeTokenManager,
    Client,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretBasicRaw,
    ClientSecretPost,
    Clock,
    DeviceTokenManager,
    HTTPRequest,
    JWTBearerTokenManager,
    NoClientAuth,
    OAuth2Middleware,
    RefreshTokenManager,
    StaticTokenManager,
    Token,
    TokenError,
    TokenErrorResponse,
    TokenExchangeManager,
    TokenHTTPError,
    TokenManager,
    TokenStorage,
    use_authorization_code_flow,
    use_device_flow,
    use_implicit_flow,
)
from aioalf.options import ClientOptions


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
        assert_type(client.headers, CIMultiDict[str])
        assert_type(client.timeout, ClientTimeout)
        assert_type(client.connector, BaseConnector | None)
        client.timeout = ClientTimeout(3)  # type: ignore[misc]
        client.trust_env  # type: ignore[attr-defined]  # noqa: B018


async def mistakes() -> None:
    """What is wrong with a keyword of a client, a manager or a flow is found before it runs."""
    Client(timeot=ClientTimeout(3))  # type: ignore[call-arg]
    Client(timeout="3")  # type: ignore[arg-type]
    Client(auth=None)  # type: ignore[call-arg]
    Client(loop=None)  # type: ignore[call-arg]
    Client(renewal_margin="x")  # type: ignore[arg-type]
    Client(scope=3)  # type: ignore[arg-type]
    for flow in (RefreshTokenManager, DeviceTokenManager, AuthorizationCodeTokenManager):
        flow(isuer="x")  # type: ignore[call-arg]
        flow(issuer=3)  # type: ignore[arg-type]
    TokenExchangeManager(subject_token="x", clok=None)  # type: ignore[call-arg]
    JWTBearerTokenManager(assertion=3)  # type: ignore[arg-type]
    StaticTokenManager("x", token_storage=None)  # type: ignore[call-arg]
    await use_device_flow(TokenStorage(), promt=None)  # type: ignore[call-arg]


def made(secret: str, **options: Unpack[ClientOptions]) -> Client:
    """A function of one's own that hands the keywords on."""
    return Client("id", secret, "https://a.example/token", **options)


async def made_so() -> None:
    """The keywords of a session, of a manager, and of a flow that a switch has put into place."""
    made(
        "secret", headers={"A": "b"}, connector=TCPConnector(limit=3), trust_env=True, clock=Clock()
    )
    made("secret", issuer="https://a.example", account="me", port_range=None, unattended=True)
    made("secret", timeot=3)  # type: ignore[call-arg]
    await use_authorization_code_flow(TokenStorage(), None, issuer="https://a.example")
    await use_device_flow(TokenStorage(), prompt=print, client_auth=ClientSecretPost())
    await use_implicit_flow(TokenStorage(), (30000, 30009), response_mode="form_post")


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
    client.get("/", timeot=1)  # type: ignore[call-arg]
    client.get("/", timeout="3")  # type: ignore[arg-type]
    client.get("/", auth=None)  # type: ignore[call-arg]
    client.ws_connect("/", auth=None)  # type: ignore[call-overload]
    HTTPRequest("/", jsn={})  # type: ignore[call-arg]
    HTTPRequest("/", timeout=3)  # type: ignore[arg-type]


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
