"""Where a token may go: origins (RFC 6454)."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from yarl import URL

from ..redaction import safe_url

__all__ = ("AllowedOrigins", "Origin", "joined", "origin_of", "origins_of")

logger: logging.Logger = logging.getLogger("aioalf")

#: Scheme, host in lower case, and port, which is by default that of the scheme.
Origin = tuple[str, str, "int | None"]

_PLAIN, _TLS = ("http", "ws"), ("https", "wss")
_SCHEMES = {"http": _PLAIN, "ws": _PLAIN, "https": _TLS, "wss": _TLS}


def origin_of(url: URL) -> Origin:
    """Return the origin of a URL (RFC 6454), to be looked for among those of `origins_of`."""
    return url.scheme, (url.raw_host or "").lower(), url.port


def origins_of(urls: str | URL | Iterable[str | URL], named: str = "origins") -> frozenset[Origin]:
    """Return the origins that a caller names, and the same with the scheme of a websocket.

    :param named: the parameter that names them.
    :raises ValueError: one of them is not an absolute http or https URL, or there is none.
    """
    origins: set[Origin] = set()
    for url in [urls] if isinstance(urls, (str, URL)) else urls:
        parsed = URL(url)
        scheme, host, port = origin_of(parsed)
        if scheme not in _SCHEMES or not host or "*" in host:
            shown = safe_url(url) if "@" in str(url) else str(url)
            raise ValueError(
                f"{named}: {shown!r} is not an origin such as 'https://api.example.com'."
            )
        if named == "origins" and parsed.raw_path_qs.strip("/"):
            logger.warning(
                "origins: %s is more than an origin; the token goes to every path of %s.",
                safe_url(parsed),
                parsed.with_user(None).origin(),
            )
        origins.update((each, host, port) for each in _SCHEMES[scheme])
    if not origins:
        raise ValueError(f"{named}: name at least one, such as 'https://api.example.com'.")
    return frozenset(origins)


def joined(url: str | URL, base_url: str | URL | None) -> URL:
    """Return the URL that aiohttp makes of the one that a caller gives and of ``base_url``."""
    given = URL(url)
    return given if base_url is None or given.absolute else URL(base_url).join(given)


class AllowedOrigins:
    """The origins of a client's requests that carry its token.

    :param origins: those that the caller names; None for that of `base_url`.
    :param base_url: the URL that relative URLs are relative to, or None.
    :raises ValueError: one of them is not an origin, or none is named.
    """

    def __init__(
        self, origins: str | URL | Iterable[str | URL] | None, base_url: str | URL | None
    ) -> None:
        self._base_url = base_url
        if origins is None and base_url is not None:
            self._origins = origins_of(base_url, "base_url")
        else:  # an empty list is a mistake, and does not mean any origin
            self._origins = origins_of(origins or ())

    def __contains__(self, url: str | URL) -> bool:
        try:
            return origin_of(joined(url, self._base_url)) in self._origins
        except (TypeError, ValueError):
            return False  # aiohttp says what is wrong with it
