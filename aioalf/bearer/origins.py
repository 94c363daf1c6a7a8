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
    :raises ValueError: one of them is not an absolute http or https URL, `origins` has one with a path or a
        query, or there is none.
    """
    origins: set[Origin] = set()
    for url in [urls] if isinstance(urls, (str, URL)) else urls:
        parsed = URL(url)
        scheme, host, port = origin_of(parsed)
        if scheme not in _SCHEMES or not host or "*" in host:
            raise ValueError(
                f"{named}: {str(url)!r} is not an origin such as 'https://api.example.com'."
            )
        if named == "origins" and parsed.relative().raw_path_qs.strip("/"):
            raise ValueError(
                f"{named}: {str(url)!r} names more than an origin. The token goes to every path of an"
                f" origin: write '{parsed.origin()}'."
            )
        origins.update((each, host, port) for each in _SCHEMES[scheme])
    if not origins:
        raise ValueError(f"{named}: name at least one, such as 'https://api.example.com'.")
    return frozenset(origins)
