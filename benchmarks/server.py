"""The load server: a token endpoint and a protected resource, as lean as Python can have them.

Not `aioalf.testing.AuthorizationServer`, which checks and keeps everything it is sent: here the server
shall cost as little as possible, so that what is measured is the client. Commands come on standard
input; see `Book.command`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Callable
from time import monotonic
from typing import Any

__all__ = ("ANSWER", "FIXED_TOKEN", "SEED", "main")

FIXED_TOKEN = "fixed-token-" + "x" * 48  # always valid: for those who fetch none
SEED = "seed"  # the first refresh token; each use replaces it, and an old one ends all
_BODY = b'{"ok": true, "items": [1, 2, 3, 4, 5, 6, 7, 8]}'


def _answer(status: str, body: bytes, more: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + more + b"\r\n" + body


ANSWER = _answer("200 OK", _BODY)


class Book:
    """Which tokens are valid, how the server behaves, and what it has counted."""

    def __init__(self) -> None:
        self.defaults: dict[str, Any] = {
            "latency": 0.0,  # seconds that a token request takes
            "lifetime": 3600.0,  # seconds that a token lives
            "single_valid": False,  # each new token ends the one before
            "rejection_bytes": 0,  # the size of the body of a 401
            "outage": False,  # the token endpoint answers 503
            "outage_bytes": 0,  # what is added to the body of a 503
        }
        self.connections = 0
        self.reset()

    def reset(self) -> None:
        self.settings = dict(self.defaults)
        self.tokens: dict[bytes, float] = {}
        self.issued = self.resource_requests = self.rejections = self.reuses = 0
        self.refresh_token = SEED.encode()
        self.token_requests = self.token_requests_now = self.token_requests_at_a_time = 0
        self.rejection = _answer("401 Unauthorized", b"", b"WWW-Authenticate: Bearer\r\n")

    def command(self, do: str, parameters: dict[str, Any]) -> Any:
        """``reset`` takes settings; ``revoke`` ends all tokens; ``counters`` tells what there was."""
        if do == "reset":
            self.reset()
            self.settings.update(parameters)
            body = b"x" * self.settings["rejection_bytes"]
            self.rejection = _answer("401 Unauthorized", body, b"WWW-Authenticate: Bearer\r\n")
        elif do == "revoke":
            self.tokens.clear()
        gc.collect()
        return {
            "token_requests": self.token_requests,
            "token_requests_at_a_time": self.token_requests_at_a_time,
            "resource_requests": self.resource_requests,
            "rejections": self.rejections,
            "reuses": self.reuses,
            "connections": self.connections,
        }

    def accepts(self, token: bytes) -> bool:
        expires = self.tokens.get(token)
        return (expires is not None and monotonic() < expires) or token == _FIXED

    def token_response(self, form: bytes) -> bytes:
        self.token_requests_now -= 1
        fields = dict(part.partition(b"=")[::2] for part in form.split(b"&"))
        refresh_token = fields.get(b"refresh_token")
        if refresh_token is not None and refresh_token != self.refresh_token:
            self.reuses += 1
            self.tokens.clear()
            self.refresh_token = b""
            return _answer("400 Bad Request", b'{"error": "invalid_grant"}')
        if self.settings["outage"]:
            body = b'{"error": "temporarily_unavailable"}' + b" " * self.settings["outage_bytes"]
            return _answer("503 Service Unavailable", body)
        self.issued += 1
        token = f"token-{self.issued:06d}-" + "x" * 47
        if self.settings["single_valid"]:
            self.tokens.clear()
        self.tokens[token.encode()] = monotonic() + self.settings["lifetime"]
        given = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(self.settings["lifetime"]),
        }
        if refresh_token is not None:
            given["refresh_token"] = f"refresh-{self.issued:06d}"
            self.refresh_token = str(given["refresh_token"]).encode()
        return _answer("200 OK", json.dumps(given).encode(), b"Cache-Control: no-store\r\n")


_FIXED = FIXED_TOKEN.encode()


class _Connection(asyncio.Protocol):
    def __init__(self, book: Book) -> None:
        self._book = book
        self._received = b""
        self._waiting: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._book.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._book.connections -= 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            body_length = int(_value(head, b"content-length") or 0)
            if len(self._received) < end + 4 + body_length:
                return
            body = self._received[end + 4 : end + 4 + body_length]
            self._received = self._received[end + 4 + body_length :]
            if head.startswith(b"POST /token"):
                self._give_token(body)
            else:
                self._serve(head)

    def _serve(self, head: bytes) -> None:
        book = self._book
        book.resource_requests += 1
        scheme, _, token = (_value(head, b"authorization") or b"").partition(b" ")
        if scheme.lower() == b"bearer" and book.accepts(token):
            self._transport.write(ANSWER)
        else:
            book.rejections += 1
            self._transport.write(book.rejection)

    def _give_token(self, form: bytes) -> None:
        book = self._book
        book.token_requests += 1
        book.token_requests_now += 1
        book.token_requests_at_a_time = max(book.token_requests_at_a_time, book.token_requests_now)
        loop = asyncio.get_running_loop()
        loop.call_later(book.settings["latency"], self._write, lambda: book.token_response(form))

    def _write(self, response: Callable[[], bytes]) -> None:
        answer = response()
        if not self._transport.is_closing():
            self._transport.write(answer)


def _value(head: bytes, name: bytes) -> bytes | None:
    at = head.lower().find(b"\r\n" + name + b":")
    if at < 0:
        return None
    begin = at + len(name) + 3
    end = head.find(b"\r\n", begin)
    return head[begin : end if end >= 0 else None].strip()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    book = Book()
    server = await loop.create_server(lambda: _Connection(book), "127.0.0.1", 0, backlog=1024)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        do = command.pop("do")
        answer = book.command(do, command)
        answer["port"] = server.sockets[0].getsockname()[1]
        print(json.dumps({"answer": answer}), flush=True)


def main() -> None:
    """Serve until standard input ends."""
    gc.freeze()
    asyncio.run(_serve())
