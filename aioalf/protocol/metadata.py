"""What an authorization server says of itself (RFC 8414). Pure: no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ("check_issuer", "endpoint_from", "metadata_urls", "read_metadata")


def check_issuer(issuer: str) -> None:
    """Placeholder."""


def metadata_urls(issuer: str) -> list[str]:
    """Placeholder."""
    return [issuer.rstrip("/") + "/.well-known/openid-configuration"]


def read_metadata(
    status: int, body: bytes, *, issuer: str | None, url: str
) -> Mapping[str, Any] | None:
    """Placeholder."""
    parsed: dict[str, Any] = json.loads(body)
    return parsed


def endpoint_from(
    metadata: Mapping[str, Any], name: str, issuer: str | None, *, mtls: bool = False
) -> str | None:
    """Placeholder."""
    found: str | None = metadata.get(name)
    return found
