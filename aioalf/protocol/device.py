"""What a device authorization response means (RFC 8628 section 3.2).

Pure: no I/O, and no import of aiohttp or asyncio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ..errors import TokenError

__all__ = ("LONGEST_INTERVAL", "DeviceCode", "read_device_response")

#: Seconds between two polls, at most, unless the server has said slow_down since.
LONGEST_INTERVAL = 60.0

_INTERVAL = 5.0  # seconds (RFC 8628 section 3.2)
_SHORTEST_INTERVAL = 1.0
_LIFE = 1800.0  # seconds, if the server names none: expires_in is required


class DeviceCode:
    """What a person needs to sign in on another device; what ``prompt=`` is called with.

    :param user_code: the code to type, or to compare.
    :param verification_uri: where to type it; http or https.
    :param verification_uri_complete: the same with the code in it, for a link or a QR code, or None.
    :param expires_at: until when, UTC seconds since the epoch.
    """

    __slots__ = ("expires_at", "user_code", "verification_uri", "verification_uri_complete")

    def __init__(
        self,
        user_code: str,
        verification_uri: str,
        verification_uri_complete: str | None,
        expires_at: float,
    ) -> None:
        self.user_code: str = user_code
        self.verification_uri: str = verification_uri
        self.verification_uri_complete: str | None = verification_uri_complete
        self.expires_at: float = expires_at

    def __repr__(self) -> str:
        return f"<DeviceCode at {self.verification_uri!r}>"


def read_device_response(
    params: Mapping[str, Any], now: float
) -> tuple[DeviceCode, str, float, float]:
    """Read a device authorization response.

    :param params: the parameters of the response.
    :param now: UTC seconds since the epoch.
    :return: what the person needs; the device code, which is a secret; the seconds between two polls; and
        the seconds for which the codes count.
    :raises TokenError: it cannot be used; the message names what is wrong.
    """
    device_code, user_code = params.get("device_code"), params.get("user_code")
    if not isinstance(device_code, str) or not device_code:
        raise TokenError("The device authorization response holds no device_code.")
    if not isinstance(user_code, str) or not user_code or not _is_printable(user_code):
        raise TokenError("The device authorization response holds no user_code that can be shown.")
    # ADFS, and Google for long, name it differently.
    uri = params.get("verification_uri") or params.get("verification_url")
    if not isinstance(uri, str) or not _is_web_address(uri):
        raise TokenError(
            "The device authorization response holds no verification_uri that is an http or https URL."
        )
    complete = params.get("verification_uri_complete") or params.get("verification_url_complete")
    life = _seconds(params.get("expires_in"))
    life = _LIFE if life is None else life
    if life <= 0:
        raise TokenError("The device authorization response has expired already (its expires_in).")
    code = DeviceCode(user_code, uri, complete if _is_web_address(complete) else None, now + life)
    return code, device_code, _interval(params.get("interval")), life


def _interval(value: object) -> float:
    """Read ``interval``: what is missing, not positive or not a number counts as 5."""
    seconds = _seconds(value)
    if seconds is None or seconds <= 0:
        return _INTERVAL
    return min(max(seconds, _SHORTEST_INTERVAL), LONGEST_INTERVAL)


def _seconds(value: object) -> float | None:
    """Read a number of seconds, or a string that is one; None for anything else."""
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) and not isinstance(value, bool) else None


def _is_web_address(value: Any) -> bool:
    try:
        parts = urlsplit(value)
        usable = (
            parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
        )
    except (ValueError, AttributeError, TypeError):
        return False
    return usable and isinstance(value, str) and _is_printable(value) and " " not in value


def _is_printable(text: str) -> bool:
    """Return whether a text can be shown on a terminal, which obeys control characters."""
    return text.isprintable() and len(text) <= 2000
