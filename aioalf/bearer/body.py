"""Can this request be sent again? The answer, and the body that makes it so.

aiohttp closes a file after the first send, drains an asynchronous generator, and leaves a `BytesIO` at its
end. A `Payload` that is built once and kept from closing can be written again, whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
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

__all__ = ("KeptBody", "keep_body", "replayable")

_PLAIN = (str, bytes, bytearray, memoryview, int, float, type(None))


def keep_body(data: Any) -> Any:
    """Return what to give to aiohttp as ``data`` so that it can be sent again, where that is possible.

    Text, bytes and plain forms are built anew for each send and returned as they are. Anything else
    becomes a `KeptBody`, which the caller closes when all is done.
    """
    if isinstance(data, _PLAIN) or _is_plain_form(data):
        return data
    return KeptBody(data)


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
    """Whether a payload that has been sent, wholly or in part, can be sent again whole.

    Asked after the first send. Of what aiohttp does not know itself, nothing can be said: that is not
    sent again, since a second request with half a body is worse than a 401.
    """
    while isinstance(body, KeptBody):  # a middleware keeps what a client keeps already
        body = body.kept
    return not _spent(body) and _known(body)


def _spent(body: Payload) -> bool:
    if body.consumed or isinstance(body, AsyncIterablePayload):
        return True
    if isinstance(body, MultipartWriter):
        return any(_spent(part) for part, _, _ in body)
    if isinstance(body, IOBasePayload):
        file: Any = body._value
        return getattr(file, "closed", False) or not _can_seek(file)
    return False


def _known(body: Payload) -> bool:
    if isinstance(body, MultipartWriter):
        return all(_known(part) for part, _, _ in body)
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


class KeptBody(Payload):
    """A payload that aiohttp cannot close: it stays open for a second send, until `finish`.

    :param data: what the caller gave as ``data``.
    """

    def __init__(self, data: Any) -> None:
        self.kept = _payload(data)
        self._in_threads = _reads_files(self.kept) and replayable(self.kept)
        if isinstance(self.kept, IOBasePayload):
            self.kept.size  # noqa: B018 - notes the present position as the start of the body
        super().__init__(None)
        self._headers = self.kept.headers
        self._filename = self.kept.filename
        self._encoding = self.kept.encoding

    @property
    def size(self) -> int | None:
        return self.kept.size

    @property
    def consumed(self) -> bool:
        return _spent(self.kept)

    @property
    def autoclose(self) -> bool:
        return True

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self.kept.decode(encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return await self.kept.as_bytes(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.kept.write(writer)

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        if self._in_threads:
            await _written(self.kept, writer, content_length)
        else:
            await self.kept.write_with_length(writer, content_length)

    async def close(self) -> None:
        """Do nothing: aiohttp calls this after each send."""

    def _close(self) -> None:
        """Do nothing, for the same reason."""

    async def finish(self) -> None:
        """Close what the caller gave, as aiohttp would have done after the only send."""
        await self.kept.close()


class _CutOff(Exception):
    """Nothing more is to be written."""


class _Gate:
    """A writer that can be shut, and that tells whether somebody is in the midst of writing."""

    def __init__(self, writer: AbstractStreamWriter) -> None:
        self._writer = writer
        self.busy = self.shut = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    async def write(self, chunk: Any) -> None:
        if self.shut:
            raise _CutOff
        self.busy = True
        try:
            await self._writer.write(chunk)
        finally:
            self.busy = False


async def _written(body: Payload, writer: AbstractStreamWriter, length: int | None) -> None:
    """Write a payload that reads its files in threads; when this is cancelled, no thread reads on.

    A 401 may come in mid-body, and a thread cannot be cancelled. One that reads the next part of a file
    would move the position after the second send has gone back to the start: a part would be missing.
    """
    gate = _Gate(writer)
    writing = asyncio.ensure_future(
        body.write_with_length(cast("AbstractStreamWriter", gate), length)
    )
    cancelled = False
    while not writing.done():
        try:
            await asyncio.wait({writing})
        except asyncio.CancelledError:
            cancelled = gate.shut = True
            if gate.busy:
                writing.cancel()  # it waits for the network, and nothing reads
    if cancelled:
        if not writing.cancelled():
            writing.exception()
        raise asyncio.CancelledError
    writing.result()


def _payload(data: Any) -> Payload:
    made: Any = data() if isinstance(data, FormData) else data
    try:
        return payload.get_payload(made, disposition=None)
    except payload.LookupError:
        return FormData(made)()
