"""Who has which colour, and where plots begin."""

from __future__ import annotations

from .svg import Card
from .table import Results, titled

__all__ = ("COLOURS", "LEFT", "OURS", "name_of")

COLOURS = {
    "bare": "c-bare",
    "again": "c-bare",
    "headers": "c-bare",
    "client": "c-ours",
    "middleware": "c-door",
    "refreshing": "c-ours",
    "sharing": "c-door",
    "exchanging": "c-ours",
    "exchanging-alone": "c-ours",
    "two-requests": "c-bare",
    "handwritten": "c-hand",
    "old": "c-old",
    "peer": "c-peer",
    "authlib": "c-httpx",
    "httpx": "c-httpx",
}
OURS = {"client", "middleware", "refreshing", "sharing", "exchanging"}
LEFT = 236.0  # where the plots begin, right of the names


def name_of(card: Card, results: Results, name: str, y: float) -> None:
    """Write the name of a contender left of its row."""
    card.text(LEFT - 16, y, titled(results, name), "end ours" if name in OURS else "end")
