"""`HTTPRequest`: a request as one value, for `Client.request`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from yarl import URL

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .options import RequestOptions

__all__ = ("HTTPRequest",)


@dataclass(frozen=True, init=False)
class HTTPRequest:
    """What to send, held apart from sending it; may be sent any number of times.

    :param url: the URL, relative to ``base_url`` if the client has one.
    :param method: the HTTP method.
    :param options: the keywords of ``aiohttp.ClientSession.request`` (``data``, ``headers``, ...).
    """

    url: str | URL
    method: str
    options: Mapping[str, Any]  # aiohttp's request keywords have a type each: Any is their union

    def __init__(
        self, url: str | URL, method: str = "GET", **options: Unpack[RequestOptions]
    ) -> None:
        object.__setattr__(self, "url", url)
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "options", MappingProxyType(options))

    def __reduce__(self) -> tuple[Any, ...]:
        # A mappingproxy can neither be pickled nor copied.
        return (partial(HTTPRequest, **self.options), (self.url, self.method))

    def __repr__(self) -> str:
        # URL and options may hold credentials of the caller's: only path and names are shown.
        try:
            url = URL(self.url).with_query(None).with_fragment(None)
            shown = str(url.with_user(None) if url.absolute else url)
        except (TypeError, ValueError):  # aiohttp says what is wrong with it
            shown = "(not a URL)"
        return f"<HTTPRequest {self.method} {shown} {sorted(self.options)}>"
