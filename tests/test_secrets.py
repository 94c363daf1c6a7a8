"""No secret and no token appears in a log, a ``str``, a ``repr`` or a traceback of ours."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from test_bad_input import BAD, ERRORS, Script

from aioalf import (
    Client,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    HTTPRequest,
    Token,
    TokenError,
    TokenErrorResponse,
    TokenHTTPError,
    TokenManager,
    TokenStorage,
)
from aioalf.testing import AuthorizationServer

SECRET = "S3cr3t+/=%:& ä-Zz9"
TOKEN = "T0ken.Q7x-R8y_Z9"
REFRESH = "R3fresh.K4j-L5h_M6"


def spellings(secret: str) -> set[str]:
    """How a secret may be written."""
    return {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        base64.b64encode(secret.encode()).decode().rstrip("="),
    }


def basic(client_id: str, secret: str) -> str:
    """Basic credentials, as they go over the wire."""
    headers: dict[str, str] = {}
    ClientSecretBasic().apply(
        client_id=client_id, client_secret=secret, token_endpoint="", headers=headers, form={}
    )
    return headers["Authorization"].removeprefix("Basic ").rstrip("=")


NEEDLES = {basic("client-id", SECRET)}.union(*map(spellings, (SECRET, TOKEN, REFRESH)))


def clean(*texts: str) -> None:
    """Fail where one of them holds a secret."""
    for text in texts:
        found = [needle for needle in NEEDLES if needle in text]
        assert found == [], text


def shown(error: BaseException) -> str:
    """All that is commonly shown of an exception, and of what led to it."""
    texts = [*traceback.format_exception(error)]
    seen: BaseException | None = error
    while seen is not None:
        texts += [str(seen), repr(seen), repr(seen.args), repr(vars(seen))]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\n".join(texts)


@pytest.fixture(autouse=True)
def _clean_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Every test here is about the log as well, at its most talkative."""
    caplog.set_level(logging.DEBUG, logger="aioalf")
    yield
    records = [r for r in caplog.get_records("call") if r.name.startswith("aioalf")]
    formatter = logging.Formatter("%(name)s %(message)s")
    clean(*map(formatter.format, records), *(repr(r.args) for r in records))


def manager_of(server: AuthorizationServer, client_auth: ClientAuth | None = None) -> TokenManager:
    """A manager whose secret is hard to hide."""
    server.client_secret = SECRET
    options = {"timeout": 0.1, "headers": {"X-Api-Key": SECRET}}
    endpoint = server.token_endpoint + "?key=" + quote(SECRET, safe="")
    return TokenManager(endpoint, server.client_id, SECRET, options, client_auth=client_auth)


@pytest.fixture
async def manager(server: AuthorizationServer) -> TokenManager:
    """Such a manager, with Basic credentials."""
    return manager_of(server)


def raw(text: str, body: str = "") -> Script:
    """These bytes instead of an answer."""
    return lambda server: server.raw_next(text.replace("\n", "\r\n").encode() + body.encode())


def says(body: object, status: int = 400, **headers: str) -> Script:
    """An answer with that body, or with that value as JSON."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    text = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return lambda server: server.answer_next(status, sent, text)


# The server repeats what it knows: what it was sent, and the token it was about to give.
ALL = f"{SECRET} {quote(SECRET, safe='')} {quote_plus(SECRET)} Basic {basic('client-id', SECRET)}"
JSON_TOKEN = json.dumps({"access_token": TOKEN, "refresh_token": REFRESH, "expires_in": 5})
ECHOES: dict[str, Script] = {
    "description": says({"error": "invalid_client", "error_description": f"not {ALL}"}, 401),
    "code": says({"error": ALL}),
    "uri": says({"error": "x", "error_uri": f"https://e/?{quote(SECRET)}"}),
    "bare credentials": says({"error": "x", "received": basic("client-id", SECRET)}),
    "status 200": says({"error": "x", "error_description": ALL}, 200),
    "page": says(f"<h1>Sorry, {ALL}</h1>", 500, Content_Type="text/html"),
    "form": says(f"error=x&error_description={quote_plus(ALL)}", Content_Type="text/plain"),
    "packed": says(gzip.compress(f"<p>{ALL}".encode()), 502, Content_Encoding="gzip"),
    "far down": says("x" * 1900 + SECRET, 403),
    "token with error": says(JSON_TOKEN, 400),
    "token in a string": says(json.dumps(JSON_TOKEN), 500),
    "token that is cut": says(JSON_TOKEN[:-1], 200),
    "token in a page": says(f"<access_token>{TOKEN}</access_token>", 200),
    "token of another type": says({"access_token": TOKEN, "token_type": "mac"}, 200),
    "token as its own type": says({"access_token": "x", "token_type": TOKEN}, 200),
    "token with a newline": says({"access_token": f"{TOKEN}\n"}, 200),
    "token in a list": says({"access_token": [TOKEN]}, 200),
    "token with a bad life": says({"access_token": TOKEN, "expires_in": [SECRET]}, 200),
    "content type": says("<p>", 200, Content_Type=f"text/{quote(SECRET, safe='')}"),
    "redirect": says("", 302, Location=f"/login?client_secret={quote(SECRET)}#{TOKEN}"),
    "user of a redirect": says("", 302, Location=f"https://client-id:{quote(SECRET)}@a.example/"),
    "headers": says("{}", 401, X_Echo=ALL.replace("ä", ""), Set_Cookie=f"a={TOKEN}"),
    "reason": raw(f"HTTP/1.1 400 {SECRET}\nContent-Length: 0\n\n"),
    "status line": raw(f"HTTP/1.1 {ALL}\n\n"),
    "no HTTP": raw("", JSON_TOKEN),
    "header line": raw(f"HTTP/1.1 200 OK\n{JSON_TOKEN}\n\n"),
    "half a header": raw(f"HTTP/1.1 200 OK\nX-Echo: {ALL}\nX: {TOKEN}\n"),
    "long header": raw(f"HTTP/1.1 200 OK\nX-Echo: {TOKEN * 4000}\n\n"),
    "length": raw(f"HTTP/1.1 200 OK\nContent-Length: {TOKEN}\n\n"),
    "chunk size": raw("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", JSON_TOKEN),
    "half a body": raw("HTTP/1.1 200 OK\nContent-Length: 999\n\n", JSON_TOKEN),
    "encoding": raw("HTTP/1.1 200 OK\nContent-Encoding: gzip\n\n", JSON_TOKEN),
    "retry after": says("", 503, Retry_After=quote(SECRET)),
}


@pytest.mark.parametrize("script", [*ECHOES.values(), *(b[0] for b in BAD.values())],
                         ids=[*ECHOES, *BAD])  # fmt: skip
async def test_no_error_shows_a_secret_or_a_token(
    server: AuthorizationServer, manager: TokenManager, script: Script
) -> None:
    """Not even where the server repeats it: message, attributes, traceback, causes, log."""
    script(server)
    try:
        await manager.get_token()
    except Exception as error:
        clean(shown(error), repr(manager))
    for _ in range(3):  # the third in a row is followed by one that only says until when
        script(server)
        try:
            await manager.reset_token()
            await manager.get_token()
        except Exception as error:
            clean(shown(error))


@pytest.mark.parametrize("name", ["description", "page", "token in a string"])
async def test_no_error_shows_a_secret_that_was_sent_in_the_form(
    server: AuthorizationServer, name: str
) -> None:
    """The same for ``client_secret_post``."""
    manager = manager_of(server, ClientSecretPost())
    ECHOES[name](server)
    with pytest.raises(TokenHTTPError) as caught:
        await manager.get_token()
    clean(shown(caught.value), repr(manager))


@pytest.mark.parametrize("script", [*ECHOES.values(), *(e[0] for e in ERRORS.values())],
                         ids=[*ECHOES, *ERRORS])  # fmt: skip
async def test_a_returned_error_response_shows_no_credentials(
    server: AuthorizationServer, manager: TokenManager, script: Script
) -> None:
    """Its body is as the server sent it; its ``request_info`` and its ``repr`` hold none of ours."""
    async with Client(token_manager=manager) as client:
        script(server)
        try:
            response = await client.get(server.url + "/elsewhere")
        except Exception as error:
            clean(shown(error))
            return
        if not isinstance(response, TokenErrorResponse):
            return
        info = response.request_info
        assert "Authorization" not in info.headers
        sent = {name: value for name, value in info.headers.items() if name != "X-Api-Key"}
        clean(repr(response), str(response), repr(sent))
        assert await response.read() == await response.read()


@pytest.mark.parametrize("proxy", [False, True])
async def test_no_way_to_the_server_shows_a_secret(
    server: AuthorizationServer, manager: TokenManager, proxy: bool
) -> None:
    """No connection, a proxy that does not answer, credentials in the URL, one that is none."""
    await server.close()
    endpoint = server.token_endpoint
    user = quote(SECRET, safe="")
    options = {"proxy": f"http://client-id:{user}@127.0.0.1:1"} if proxy else {}
    for url in (
        endpoint,
        endpoint + f"?client_secret={user}#{TOKEN}",
        endpoint.replace("://", f"://client-id:{user}@"),
        f"https://client-id:{SECRET}",
        f"https://{user}:{SECRET}/",
        f"ftp://{user}@a/",
        SECRET,
    ):
        for secret in (SECRET, SECRET + "\ud800"):
            failing = TokenManager(url, "client-id", secret, options)
            with pytest.raises(TokenError) as caught:
                await failing.get_token()
            clean(shown(caught.value), repr(failing))
        async with Client("client-id", SECRET, url, options) as client:
            with pytest.raises(TokenError) as caught:
                await client.get(endpoint)
            clean(shown(caught.value), repr(client))


async def test_a_refresh_token_that_is_repeated_is_not_shown(server: AuthorizationServer) -> None:
    """It is a secret of the form, as an assertion is, or a code."""

    class Refreshing(TokenManager):
        async def fetch_token(self, previous: Token | None) -> Any:
            form = {"grant_type": "refresh_token", "refresh_token": REFRESH}
            return await self.request_token(form)

    manager = Refreshing(server.token_endpoint, server.client_id, SECRET)
    server.answer_next(400, body=f"<p>The grant {REFRESH} is over")
    with pytest.raises(Exception, match="The grant") as caught:
        await manager.get_token()
    clean(shown(caught.value))


async def test_nothing_that_can_be_held_shows_what_it_holds(
    server: AuthorizationServer, manager: TokenManager
) -> None:
    """The ``repr`` of every public object, and of what they are made of."""
    server.token_parameters = {"access_token": TOKEN, "refresh_token": REFRESH}
    storage = TokenStorage()
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    async with Client(
        server.client_id, SECRET, server.token_endpoint, token_storage=storage, headers=bearer
    ) as client:
        await client.token_manager.get_token()
        token = await client.token_manager.get()
        assert token.access_token == TOKEN
        assert storage.token is not None
        asked = HTTPRequest(
            f"https://u:{quote(SECRET, safe='')}@a.example/x?key={quote(SECRET)}#{TOKEN}",
            "POST",
            headers=bearer,
            data={"a": SECRET},
        )
        things = [client, client.token_manager, token, storage, asked, manager, server]
        for thing in list(things):
            things += [
                part
                for part in getattr(thing, "__dict__", {}).values()
                if type(part).__module__.startswith("aioalf")
            ]
        assert len(things) > 10
        clean(*map(repr, things), *map(str, things))
        clean(*(f"{thing!r}" for thing in asyncio.all_tasks()))


async def test_the_whole_life_of_a_token_is_logged_without_it(server: AuthorizationServer) -> None:
    """Fetched, rejected, renewed, refused, stored by a storage that complains: by fingerprint only."""
    server.client_secret = SECRET
    server.token_parameters = {"refresh_token": REFRESH}
    issued: list[str] = []

    class Failing(TokenStorage):
        def save(self, token: str) -> None:
            issued.append(json.loads(token)["access_token"])
            raise OSError(f"cannot write {token}")

    async with Client(
        server.client_id, SECRET, server.token_endpoint, token_storage=Failing()
    ) as client:
        for _ in range(2):
            async with client.get(server.resource) as response:
                assert response.status == 200
            server.revoke_all()
        async with client.post(server.resource, data=body()) as response:
            assert response.status == 401
        await client.token_manager.reset_token()
    assert len(set(issued)) >= 3
    NEEDLES.update(issued)


async def body() -> Any:
    """A body that can be read only once."""
    yield b"x"


def secret_of_a_vault() -> str:
    """A callable that gives a secret."""
    return SECRET


@pytest.mark.parametrize("secret", [SECRET, secret_of_a_vault])
async def test_a_manager_shows_who_and_where_and_no_more(
    secret: str | Callable[[], str],
) -> None:
    """The client id and the endpoint, without its query."""
    url = f"https://login.example.com/token?secret={quote(SECRET)}"
    manager = TokenManager(url, "me", secret, {"headers": {"X-Key": SECRET}}, scope="a")
    assert repr(manager) == (
        "<TokenManager client_id='me' token_endpoint='https://login.example.com/token'>"
    )
    client = Client("me", secret, url)
    assert repr(client) == f"<Client open {manager!r}>"
    await client.close()
    assert repr(client).startswith("<Client closed <TokenManager client_id='me'")
