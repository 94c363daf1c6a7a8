"""How long to wait after a failure, by our own rule and by the server's. Pure: no I/O."""

from __future__ import annotations

import email.utils
import random
import re
from datetime import timezone

__all__ = ("LONGEST_PAUSE", "backoff", "read_retry_after")

#: Seconds for which a request may wait for its next attempt; what takes longer fails at once.
LONGEST_PAUSE = 60.0

_FIRST_WAIT = 1.0  # seconds
_LONGEST_WAIT = 30.0  # seconds
_LONGEST_RETRY_AFTER = (
    600.0  # seconds; what is longer is a mistake, or an outage that may end sooner
)


def backoff(failures: int, retry_after: float | None = None) -> float:
    """Return the seconds to wait after so many failures in a row: 1 s doubling to 30 s, with jitter.

    :param failures: how many there were, from 1.
    :param retry_after: the seconds that the server asked for, honoured up to ten minutes.
    """
    if retry_after is not None:
        return min(retry_after, _LONGEST_RETRY_AFTER)
    longest: float = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(failures - 1, 10))
    return longest * random.uniform(0.75, 1.0)


def read_retry_after(value: str | None, now: float) -> float | None:
    """Read Retry-After (RFC 9110 section 10.2.3) as seconds from now; None if there is none.

    :param value: the header's value: a number of seconds or an HTTP date.
    :param now: UTC seconds since the epoch.
    """
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"[0-9]+", text):
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
        if date.tzinfo is None:  # the obsolete form of asctime() names no zone
            date = date.replace(tzinfo=timezone.utc)
        return max(0.0, date.timestamp() - now)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
