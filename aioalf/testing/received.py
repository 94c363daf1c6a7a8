"""`ReceivedRequest`: a request as it arrived."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import CIMultiDictProxy, MultiDict, MultiMapping

__all__ = ("FORM_TYPE", "Endpoint", "ReceivedRequest", "receive")

FORM_TYPE = "application/x-www-form-urlencoded"

#: The part of the server that a request was for.
Endpoint = Literal[
    "token",
    "authorize",
    "device",
    "verification",
    "par",
    "revocation",
    "metadata",
    "resource",
    "websocket",
    "stream",
    "redirect",
    "other",
]


@dataclass(frozen=True, eq=False)
class ReceivedRequest:
    """A request as it arrived. Its ``repr`` shows no header, no parameter and no body.

    :param kind: which part of the server it was for.
    :param method: the HTTP method.
    :param path: the path, percent-decoded.
    :param target: the request target as it was on the wire, path and query.
    :param headers: the headers; a repeated one is there as often as it was sent.
    :param raw_headers: the same as bytes, in order, names in the case they were sent in.
    :param query: the parameters of the URL.
    :param body: the body, decompressed; as far as it came if `complete` is false.
    :param complete: whether the body arrived to its end.
    :param peer_port: the port of the client; equal for requests that shared a connection.
    :param has_certificate: whether a client certificate came with the TLS connection, and was verified.
    """

    kind: Endpoint
    method: str
    path: str
    target: str = field(repr=False)
    headers: CIMultiDictProxy[str] = field(repr=False)
    raw_headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    query: MultiMapping[str] = field(repr=False)
    body: bytes = field(repr=False)
    complete: bool
    peer_port: int
    has_certificate: bool

    @property
    def form(self) -> MultiDict[str]:
        """The parameters of the body, if it is a form."""
        if self.content_type != FORM_TYPE:
            return MultiDict()
        return MultiDict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    @property
    def content_type(self) -> str:
        """The media type of the body in lower case, without parameters; empty if there is none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def receive(request: web.BaseRequest, kind: Endpoint, *, read_body: bool) -> ReceivedRequest:
    """Read a request to its end, or as far as it comes."""
    body, complete = bytearray(), read_body
    if read_body and request.can_read_body:
        try:
            await _continue(request)
            async for chunk in request.content.iter_any():
                body += chunk
        except (web.RequestPayloadError, ConnectionError):
            complete = False
    known = request.transport.get_extra_info if request.transport else lambda _: None
    peer = known("peername")
    return ReceivedRequest(
        kind=kind,
        method=request.method,
        path=request.path,
        target=request.raw_path,
        headers=request.headers,
        raw_headers=request.raw_headers,
        query=request.query,
        body=bytes(body),
        complete=complete,
        peer_port=peer[1] if peer else 0,
        has_certificate=bool(known("peercert")),
    )


async def _continue(request: web.BaseRequest) -> None:
    # aiohttp.web does this per route, and there are no routes here. The two lines are its own.
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
