"""Can this request be sent again? The answer, and the body that makes it so.

aiohttp closes a file after the first send, drains an asynchronous generator, and leaves a `BytesIO` at its
end. A `Payload` that is built once and kept from closing can be written again, whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import IOBase
from typing import Any, cast

from aiohttp import FormData, MultipartWriter, payload
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import (
    AsyncIterablePayload,
    BytesIOPayload,
    BytesPayload,
    IOBasePayload,
    Payload,
)

__all__ = (
    "ReplayablePayload",
    "can_be_sent_again",
    "held_open",
    "replayable",
    "replayable_body",
)

_PLAIN = (str, bytes, bytearray, memoryview, int, float, type(None))


def replayable_body(data: Any) -> Any:
    """Return a body that can be sent again, to be given to aiohttp as ``data``.

    A file, a stream in memory, a form or a payload becomes a `ReplayablePayload`, which the caller closes
    when all is done. Text, bytes and plain forms can be sent again as they are. An asynchronous generator
    cannot be sent again at all. They are returned as they came.
    """
    if isinstance(data, _PLAIN) or _is_plain_form(data):
        return data
    if isinstance(data, (FormData, Payload, IOBase, Mapping, list, tuple)):
        return ReplayablePayload(data)
    return data


def can_be_sent_again(data: Any) -> bool:
    """Return whether a body of `replayable_body` that has been sent can be sent again whole."""
    if isinstance(data, Payload):
        return replayable(data)
    return isinstance(data, _PLAIN) or _is_plain_form(data)


@contextmanager
def held_open(upload_tracker: Any) -> Iterator[None]:
    """Let aiohttp's ``UploadTracker`` follow a request to its end, however often it is sent, or never.

    aiohttp takes one for a single sending and settles it after that.
    """
    if upload_tracker is None:
        yield
        return
    upload_tracker._bind()
    upload_tracker._bind = upload_tracker._finalize = lambda: None
    try:
        yield
    finally:
        del upload_tracker._bind, upload_tracker._finalize
        upload_tracker._finalize()


def _is_plain_form(data: Any) -> bool:
    if isinstance(data, Mapping):
        return all(isinstance(value, _PLAIN) for value in data.values())
    if isinstance(data, (list, tuple)):
        return all(
            isinstance(field, (list, tuple)) and all(isinstance(part, _PLAIN) for part in field)
            for field in data
        )
    return False


def replayable(body: Payload) -> bool:
    """Return whether a payload that has been sent, wholly or in part, can be sent again whole.

    Asked after the first send. Of what aiohttp does not know itself, nothing can be said: that is not
    sent again, since a second request with half a body is worse than a 401.
    """
    while isinstance(body, ReplayablePayload):  # a middleware keeps what a client keeps already
        body = body.wrapped
    return not _is_consumed(body) and _is_known_type(body)


def _is_consumed(body: Payload) -> bool:
    if isinstance(body, MultipartWriter):
        # By its parts: the writer of a form that went out before says that it is consumed, and is not.
        return any(_is_consumed(part) for part, _, _ in body)
    if body.consumed or isinstance(body, AsyncIterablePayload):
        return True
    if isinstance(body, IOBasePayload):
        file: Any = body._value
        return getattr(file, "closed", False) or not _can_seek(file)
    return False


def _is_known_type(body: Payload) -> bool:
    if isinstance(body, MultipartWriter):
        return all(_is_known_type(part) for part, _, _ in body)
    return isinstance(body, (BytesPayload, IOBasePayload))


def _reads_files(body: Payload) -> bool:
    if isinstance(body, MultipartWriter):
        return any(_reads_files(part) for part, _, _ in body)
    return isinstance(body, IOBasePayload) and not isinstance(body, BytesIOPayload)


def _can_seek(file: Any) -> bool:
    try:
        return bool(file.seekable())
    except (AttributeError, ValueError, OSError):
        return False


class ReplayablePayload(Payload):
    """A payload that aiohttp cannot close: it stays open for a second send, until `close_wrapped`.

    :param data: what the caller gave as ``data``.
    """

    def __init__(self, data: Any) -> None:
        self.wrapped: Payload = _payload(data)
        self._in_threads = _reads_files(self.wrapped) and replayable(self.wrapped)
        if isinstance(self.wrapped, IOBasePayload):
            self.wrapped.size  # noqa: B018 - notes the present position as the start of the body
        super().__init__(None)
        self._headers = self.wrapped.headers
        self._filename = self.wrapped.filename
        self._encoding = self.wrapped.encoding

    @property
    def size(self) -> int | None:
        return self.wrapped.size

    @property
    def consumed(self) -> bool:
        return _is_consumed(self.wrapped)

    @property
    def autoclose(self) -> bool:
        return True

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self.wrapped.decode(encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return await self.wrapped.as_bytes(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.wrapped.write(writer)

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        if self._in_threads:
            await _write_until_cancelled(self.wrapped, writer, content_length)
        else:
            await self.wrapped.write_with_length(writer, content_length)

    async def close(self) -> None:
        """Do nothing: aiohttp calls this after each send."""

    def _close(self) -> None:
        """Do nothing, for the same reason."""

    async def close_wrapped(self) -> None:
        """Close what the caller gave, as aiohttp would have done after the only send."""
        await self.wrapped.close()


class _Stopped(Exception):
    """Nothing more is to be written."""


class _StoppableWriter:
    """A writer that can be stopped, and that tells whether a chunk is being written."""

    def __init__(self, writer: AbstractStreamWriter) -> None:
        self._writer = writer
        self.busy = self.stopped = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    async def write(self, chunk: Any) -> None:
        if self.stopped:
            raise _Stopped
        self.busy = True
        try:
            await self._writer.write(chunk)
        finally:
            self.busy = False


async def _write_until_cancelled(
    body: Payload, writer: AbstractStreamWriter, length: int | None
) -> None:
    """Write a payload that reads its files in threads; when this is cancelled, no thread reads on.

    A 401 may come in mid-body, and a thread cannot be cancelled. One that reads the next part of a file
    would move the position after the second send has gone back to the start: a part would be missing.
    """
    from .._tasks import wait_done

    stoppable = _StoppableWriter(writer)
    writing = asyncio.ensure_future(
        body.write_with_length(cast("AbstractStreamWriter", stoppable), length)
    )

    def stop() -> None:
        stoppable.stopped = True
        if stoppable.busy:
            writing.cancel()  # it waits for the network, and nothing reads

    try:
        await wait_done(writing, on_cancel=stop)
    except asyncio.CancelledError:
        if not writing.cancelled():
            writing.exception()
        raise
    writing.result()


def _payload(data: Any) -> Payload:
    made: Any = data() if isinstance(data, FormData) else data
    try:
        return payload.get_payload(made, disposition=None)
    except payload.LookupError:
        return FormData(made)()
