"""What an authorization server says of itself (RFC 8414, OpenID Connect Discovery 1.0).

Pure: no I/O, and no import of aiohttp or asyncio.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from ..errors import TokenError
from ..redaction import redact, safe_url

__all__ = ("check_issuer", "endpoint_from", "metadata_urls", "read_metadata")

_OPENID, _OAUTH = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
_PLACEHOLDER = r"\{[A-Za-z_]+\}"  # Entra's multi-tenant metadata names the issuer with {tenantid}


def check_issuer(issuer: object) -> None:
    """Check an issuer identifier (RFC 8414 section 2).

    :raises TypeError: it is not a string.
    :raises ValueError: it is not an https URL without query and fragment. On loopback http will do.
    """
    if not isinstance(issuer, str):
        raise TypeError(f"issuer takes a string, not a {type(issuer).__name__}.")
    parts = _parts(issuer)
    if parts is None or not _is_safe(parts) or "?" in issuer or "#" in issuer:
        raise ValueError(
            f"issuer is {safe_url(issuer)!r}; it must be an https URL without user, query and fragment,"
            " such as 'https://login.example.com'"
        )


def metadata_urls(issuer: str) -> list[str]:
    """Return where the metadata of an issuer may be, in the order in which to look.

    Appended as OpenID Connect Discovery section 4 says, inserted as RFC 8414 section 3.1 says, and OpenID's
    name inserted, as RFC 8414 section 5 allows.
    """
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    appended = parts._replace(path=path + _OPENID).geturl()
    if not path:
        return [appended, parts._replace(path=_OAUTH).geturl()]
    inserted = [parts._replace(path=name + path).geturl() for name in (_OAUTH, _OPENID)]
    return [appended, *inserted]


def read_metadata(
    status: int, body: bytes, *, issuer: str | None, url: str
) -> Mapping[str, Any] | None:
    """Read a metadata document (RFC 8414 section 3.2).

    :param status: the HTTP status.
    :param body: the whole body; its content type does not matter.
    :param issuer: the issuer it must be of; None: any will do, and its endpoints are checked against it.
    :param url: where it was read, for messages.
    :return: its members; None if there is none at this address, and others are to be tried.
    :raises TokenError: the server is in trouble, it is not metadata, or it is that of another issuer.
    """
    where = f"The metadata at {safe_url(url)}"
    if 400 <= status < 500:
        return None
    if status != 200:
        raise TokenError(f"{where} cannot be read: the server answered {status}.")
    try:
        metadata = json.loads(body)
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise TokenError(
            f"{where} is not a JSON object ({len(body)} bytes). Is the issuer right? Else give"
            " discovery_url=, or the endpoints themselves."
        )
    found = metadata.get("issuer")
    if not isinstance(found, str) or not found:
        raise TokenError(f"{where} names no issuer: it is not that of an authorization server.")
    if issuer is not None and not _is_same_issuer(found, issuer):
        raise TokenError(
            f"{where} is that of another issuer: it says {_shown(found)}, and issuer= is {_shown(issuer)}."
            " They must be the same, character by character."
        )
    parts = _parts(found)
    if parts is None or not _is_safe(parts):
        raise TokenError(f"{where} names an issuer that is not an https URL: {_shown(found)}.")
    return metadata


def endpoint_from(
    metadata: Mapping[str, Any], name: str, issuer: str | None, *, mtls: bool = False
) -> str | None:
    """Return the URL of an endpoint.

    :param metadata: as `read_metadata` returned it.
    :param name: the name of its member, such as ``token_endpoint``.
    :param issuer: the issuer identifier. If it is on loopback, its endpoints may be http there.
    :param mtls: whether it is for a client with a certificate: its alias comes first (RFC 8705 section 5).
    :return: the URL; None if the server has no such endpoint.
    :raises TokenError: the URL cannot be used: it is relative, or not https.
    """
    url = metadata.get(name)
    aliases = metadata.get("mtls_endpoint_aliases")
    if mtls and isinstance(aliases, Mapping):
        url = aliases.get(name) or url
    if url is None:
        return None
    parts = _parts(url) if isinstance(url, str) else None
    at_home = parts is not None and _is_loopback(parts) and _is_loopback(urlsplit(issuer or ""))
    if parts is None or not (parts.scheme == "https" or at_home):
        raise TokenError(
            f"The metadata of {_shown(issuer)} names a {name} that is not an absolute https URL:"
            f" {_shown(url)}. Nothing is sent there; {name}= can name another one."
        )
    return str(url)


def _is_same_issuer(found: str, issuer: str) -> bool:
    if found == issuer or _without_bare_slash(found) == _without_bare_slash(issuer):
        return True
    ours, theirs = issuer.split("/"), found.split("/")
    return (
        len(ours) == len(theirs)
        and ours[:3] == theirs[:3]  # the origin
        and all(
            one == other or (one != "" and re.fullmatch(_PLACEHOLDER, other))
            for one, other in zip(ours, theirs, strict=True)
        )
    )


def _without_bare_slash(url: str) -> str:
    """Return an origin without its slash; the slash at the end of a path counts."""
    return url[:-1] if url.count("/") == 3 and url.endswith("/") else url


def _parts(url: str) -> SplitResult | None:
    """Take an absolute http or https URL without credentials apart; None if it is not one."""
    try:
        parts = urlsplit(url)
        usable = (
            parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        )
        parts.port  # noqa: B018 (it raises)
    except ValueError:
        return None
    return parts if usable and url.isprintable() and " " not in url else None


def _is_safe(parts: SplitResult) -> bool:
    return parts.scheme == "https" or _is_loopback(parts)


def _is_loopback(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown(url: object) -> str:
    """Show a URL of a server in a message: printable, short, and without anything like a secret."""
    text = redact(str(url))[:200]
    return repr("".join(char if char.isprintable() else "?" for char in text))
