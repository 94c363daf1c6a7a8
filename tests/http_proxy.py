"""A little HTTP proxy on loopback: forwards plain requests and opens tunnels (RFC 9110 section 9.3.6)."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from clients import scripted_server

__all__ = ("HTTPProxy", "http_proxy")


@dataclass
class HTTPProxy:
    """A proxy, and a record of its requests.

    :param target: the port on loopback that every host name leads to.
    """

    target: int
    #: ``user:password`` that a client has to send, or None.
    credentials: str | None = None
    #: The host and the port at which it listens.
    address: str = ""
    #: The first line of each request.
    lines: list[str] = field(default_factory=list)
    #: All that the clients have sent, as far as the proxy can read it.
    seen: bytes = b""

    @property
    def url(self) -> str:
        """Return the URL of the proxy, with the credentials that it asks for."""
        user = f"{self.credentials}@" if self.credentials else ""
        return f"http://{user}{self.address}"

    async def serve(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection, for one request or one tunnel."""
        self.seen += head
        line, *fields = head.decode().split("\r\n")
        self.lines.append(line)
        method, url, version = line.split(" ")
        if self.credentials is not None:
            expected = f"Basic {b64encode(self.credentials.encode()).decode()}"
            if f"Proxy-Authorization: {expected}" not in fields:
                writer.write(b"HTTP/1.1 407 Go away\r\nContent-Length: 0\r\n\r\n")
                writer.close()
                return
        there, onwards = await asyncio.open_connection("127.0.0.1", self.target)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            path = "/" + url.split("/", 3)[3]
            hop = ("proxy-authorization", "connection")
            fields = [name for name in fields if name and not name.lower().startswith(hop)]
            lines = [f"{method} {path} {version}", *fields, "Connection: close", "", ""]
            onwards.write("\r\n".join(lines).encode())
        await asyncio.gather(_copy(reader, onwards), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except OSError:
        pass  # one side has hung up
    finally:
        writer.close()


@asynccontextmanager
async def http_proxy(target: int, credentials: str | None = None) -> AsyncIterator[HTTPProxy]:
    """Start a proxy."""
    proxy = HTTPProxy(target, credentials)
    async with scripted_server(proxy.serve) as url:
        proxy.address = url.removeprefix("http://")
        yield proxy
