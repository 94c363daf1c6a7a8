"""Where a token may go: origins (RFC 6454)."""

from __future__ import annotations

from collections.abc import Iterable

from yarl import URL

__all__ = ("Origin", "origin_of", "origins_of")

#: Scheme, host in lower case, and port, which is by default that of the scheme.
Origin = tuple[str, str, "int | None"]

_PLAIN, _TLS = ("http", "ws"), ("https", "wss")
_SCHEMES = {"http": _PLAIN, "ws": _PLAIN, "https": _TLS, "wss": _TLS}


def origin_of(url: URL) -> Origin:
    """Return the origin of a URL (RFC 6454), to be looked for in what `origins_of` returns."""
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
