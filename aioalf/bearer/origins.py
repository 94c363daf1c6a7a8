"""Where a token may go: origins (RFC 6454)."""

from __future__ import annotations

from collections.abc import Iterable

from yarl import URL

__all__ = ("Origin", "is_within", "joined", "origin_of", "origins_of")

#: Scheme, host in lower case, and port, which is the default of the scheme where none is given.
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
        scheme, host, port = origin_of(URL(url))
        if scheme not in _SCHEMES or not host or "*" in host:
            raise ValueError(
                f"{named}: {str(url)!r} is not an origin such as 'https://api.example.com'."
            )
        origins.update((each, host, port) for each in _SCHEMES[scheme])
    if not origins:
        raise ValueError(f"{named}: name at least one, such as 'https://api.example.com'.")
    return frozenset(origins)


def joined(url: str | URL, base_url: str | URL | None) -> URL:
    """Return the URL that aiohttp makes of the one that a caller gives and of ``base_url``."""
    given = URL(url)
    return given if base_url is None or given.absolute else URL(base_url).join(given)


def is_within(url: str | URL, base_url: str | URL | None, origins: frozenset[Origin]) -> bool:
    """Whether a URL, joined to ``base_url``, is of one of these origins."""
    try:
        return origin_of(joined(url, base_url)) in origins
    except (TypeError, ValueError):
        return False  # aiohttp says what is wrong with it
