"""A token endpoint that is missing, wrong, or cannot be reached: a `TokenError` that says so."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import Any

import aiohttp
import pytest

from aioalf import Client, ClientSecretPost, TokenError, TokenManager
from aioalf.testing import AuthorizationServer


@pytest.mark.parametrize("endpoint", [None, ""])
async def test_a_missing_token_endpoint_is_an_error_at_first_use(endpoint: str | None) -> None:
    """0.4.0, TokenManager: ``'Missing token endpoint'``, not at construction."""
    manager = TokenManager(endpoint, "id", "secret")
    client = Client("id", "secret", endpoint)
    for _ in range(2):
        with pytest.raises(TokenError, match=r"^Missing token endpoint$"):
            await manager.reset_token()
        with pytest.raises(TokenError, match=r"^Missing token endpoint"):
            await client.get("http://127.0.0.1:1/")
    await client.close()


@pytest.mark.parametrize(
    ("client_id", "secret"), [(None, None), (None, "s"), ("", "s"), ("i", None), (5, "s"), ("i", 5)]
)
async def test_missing_credentials_are_an_error_at_first_use(
    server: AuthorizationServer, client_id: Any, secret: Any
) -> None:
    """0.4.0, TokenManager: ``'Missing credentials (client_id:client_secret)'``; nothing is sent."""
    manager = TokenManager(server.token_endpoint, client_id, secret)
    with pytest.raises(TokenError, match=r"^Missing credentials \(client_id:client_secret\)"):
        await manager.get_token()
    async with Client(client_id, secret, server.token_endpoint) as client:
        with pytest.raises(TokenError, match=r"^Missing credentials"):
            await client.get(server.resource)
    assert (server.token_requests, server.resource_requests) == (0, 0)


@pytest.mark.parametrize(
    "endpoint",
    ["s3cr3t", "/token", "login.example.com/token", "ftp://a/b", "https://", "http://[::1", "http://a:b/",
     "http://a:99999/", "mailto:a@b", " ", 5, b"http://a/b", object()],
)  # fmt: skip
async def test_what_is_no_url_is_an_error_that_does_not_show_it(endpoint: Any) -> None:
    """Given in another order, as `Client` and `TokenManager` do, it would be the secret."""
    manager = TokenManager(endpoint, "id", "secret")
    with pytest.raises(TokenError, match="is not an absolute http or https URL") as caught:
        await manager.get_token()
    assert "TokenManager(token_endpoint, client_id, client_secret)" in str(caught.value)
    assert "s3cr3t" not in str(caught.value) + repr(manager)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("credentials", ["user@", "user:pa55word@", ":pa55word@"])
async def test_credentials_in_the_url_are_refused(
    server: AuthorizationServer, credentials: str
) -> None:
    """They would be in every log; the error says where they go, and shows the URL without them."""
    endpoint = server.token_endpoint.replace("://", f"://{credentials}")
    with pytest.raises(TokenError, match="client_id and client_secret") as caught:
        await TokenManager(endpoint, "id", "secret").get_token()
    assert server.token_endpoint in str(caught.value)
    assert "pa55word" not in str(caught.value)
    assert server.token_requests == 0


@pytest.mark.parametrize("client_auth", [None, ClientSecretPost()])
async def test_credentials_that_are_no_text_are_an_error(
    server: AuthorizationServer, client_auth: ClientSecretPost | None
) -> None:
    """Half of a surrogate pair: no encoding has it."""
    manager = TokenManager(server.token_endpoint, "id", "s\ud800", client_auth=client_auth)
    with pytest.raises(TokenError):
        await manager.get_token()
    assert server.token_requests == 0


async def test_a_refused_connection_is_an_error_that_names_the_endpoint(
    server: AuthorizationServer,
) -> None:
    """Without its query; and when the server is there again, all is well."""
    await server.close()
    manager = TokenManager(server.token_endpoint, server.client_id, server.client_secret)
    with pytest.raises(
        TokenError, match="No connection to the token endpoint http://127"
    ) as caught:
        await manager.get_token()
    assert isinstance(caught.value.__cause__, OSError)
    await server.start()
    assert server.accepts(await manager.get_token())


async def test_a_name_that_does_not_resolve_is_an_error_that_names_it() -> None:
    """RFC 6761 section 6.4: ``.invalid`` never does."""
    manager = TokenManager("https://login.invalid/token?tenant=1", "id", "secret")
    with pytest.raises(TokenError, match=r"No connection to .* https://login.invalid/token: "):
        await manager.get_token()


async def test_a_server_that_resets_the_connection_is_an_error(server: AuthorizationServer) -> None:
    """In the midst of it."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        linger = b"\1\0\0\0\0\0\0\0"
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    listening = await asyncio.start_server(reset, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    with pytest.raises(TokenError, match=r"No (answer|connection)"):
        await TokenManager(f"http://127.0.0.1:{port}/token", "id", "secret").get_token()
    listening.close()
    await listening.wait_closed()


async def test_an_answer_that_trickles_is_given_up(server: AuthorizationServer) -> None:
    """The timeout is for the whole of it, not for each byte; of the header, or of the body."""
    for head in (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b""):

        async def trickle(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes = head
        ) -> None:
            writer.write(head or b"HTTP/1.1 100 Continue\r\n\r\n")
            try:
                while True:
                    writer.write(b"X: y\r\n" if head else b"HTTP/1.1 100 Continue\r\n\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.01)
            except ConnectionError:
                writer.close()

        listening = await asyncio.start_server(trickle, "127.0.0.1", 0)
        endpoint = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/token"
        started = time.monotonic()
        with pytest.raises(TokenError, match="No answer in time"):
            await TokenManager(endpoint, "id", "secret", {"timeout": 0.1}).get_token()
        assert time.monotonic() - started < 5
        listening.close()
        await asyncio.sleep(0.03)  # until the last byte finds nobody


async def test_a_failed_tls_handshake_is_an_error_that_says_so() -> None:
    """A CA nobody trusts, another host's certificate, a server that speaks plain http."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    contexts: list[ssl.SSLContext] = []
    for host in ("127.0.0.1", "other.example"):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(host).configure_cert(context)
        contexts.append(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    cases: list[tuple[ssl.SSLContext | None, dict[str, Any]]] = [
        (contexts[0], {}),
        (contexts[1], {"ssl": trusting}),
        (contexts[0], {"ssl": aiohttp.Fingerprint(b"0" * 32)}),
        (None, {}),
    ]
    for serving, options in cases:
        async with AuthorizationServer(ssl_context=serving) as server:
            endpoint = server.token_endpoint.replace("http://", "https://")
            manager = TokenManager(
                endpoint, server.client_id, server.client_secret, options, token_retries=5
            )
            with pytest.raises(
                TokenError, match="No TLS connection to the token endpoint https://"
            ):
                await manager.get_token()
            assert server.token_requests == 0
