"""The plots of bad days: what became of everybody, and what happens while tokens expire."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .style import COLOURS, LEFT, name_of
from .svg import WIDTH, Card
from .table import Results, figures

__all__ = ("expiry_chart", "failures_chart")


# -- bad days: what became of everybody

_DAYS = {
    "cold": ("cold", "1,000"),
    "crowd": ("cold", "10,000"),
    "storm": ("401 storm", "1,000"),
    "storm-single": ("401 storm,", "one valid"),
    "storm-large": ("401 storm,", "1 MiB bodies"),
    "outage": ("outage", "100"),
    "shared": ("4 processes", "cold"),
}


def failures_chart(results: Results) -> str | None:
    """A field for each contender and each bad day; None if there are no figures."""
    days = [day for day in _DAYS if figures(results, day)]
    if not days:
        return None
    card = Card(
        "Bad days",
        "How many were answered well, and with how many token requests. Green: all, with one."
        " Yellow: all, with more. Red: not all.",
    )
    names = [
        name
        for name, about in results["contenders"].items()
        if about and any(name in figures(results, day) for day in days)
    ]
    width, top, step = (WIDTH - LEFT - 24) / len(days), 122.0, 50.0
    for number, day in enumerate(days):
        for at, text in enumerate(_DAYS[day]):
            middle = LEFT + width * (number + 0.5)
            card.text(middle, top - 26 + 15 * at, text, "middle muted" if at else "middle")
    for row, name in enumerate(names):
        name_of(card, results, name, top + step * row + 28)
        for number, day in enumerate(days):
            kind, first, second = _verdict(figures(results, day).get(name, {}), day)
            left, y = LEFT + width * number, top + step * row
            card.box(left + 2, y + 2, width - 4, step - 4, kind, 5)
            card.text(left + width / 2, y + 22, first, "middle figure")
            card.text(left + width / 2, y + 38, second, "middle muted figure")
    return card.written(top + step * len(names) + 22)


def _verdict(measured: Mapping[str, Any], day: str) -> tuple[str, str, str]:
    if "outcomes" not in measured:
        return "none", "-", str(measured.get("failed", ""))[:20]
    outcomes: dict[str, int] = measured["outcomes"]
    requests = sum(outcomes.values())
    # In an outage the good answer is an error, soon: whoever still waits has none.
    well = requests - outcomes.get("unanswered", 0) if day == "outage" else outcomes.get("200", 0)
    if set(outcomes) == {"MissingTokenError"}:
        return "none", "must be", "asked first"
    tokens = measured["token_requests"]
    kind = "poor" if well < requests else "good" if tokens == 1 else "fair"
    return kind, _share(well, requests), f"{tokens:,} token{'' if tokens == 1 else 's'}"


def _share(some: int, of: int) -> str:
    if not some:
        return "none"
    return (
        "all" if some == of else f"{some / of:.0%}" if some / of >= 0.005 else f"{some} of {of:,}"
    )


# -- expiry under load: the slowest request of each twentieth of a second


def expiry_chart(results: Results) -> str | None:
    """A strip for each contender, with time from left to right; None if there are no figures."""
    measured = {
        name: each for name, each in figures(results, "expiry").items() if each.get("slowest")
    }
    if not measured:
        return None
    card = Card(
        "Expiry under load",
        "The slowest request of each twentieth of a second: tokens live 2 s, a new one takes 200 ms."
        " A gap: nobody could send any.",
    )
    left, right, top, step = LEFT, WIDTH - 168.0, 104.0, 56.0
    names = [name for name in results["contenders"] if name in measured]
    floor_, ceiling = math.log10(0.0002), math.log10(20.0)
    for text, x in (("p99", right + 70), ("stalled", right + 138)):
        card.text(x, top - 18, text, "muted end")
    for row, name in enumerate(names):
        one, base = measured[name], top + step * (row + 1) - 8
        height = step - 14
        slices: list[float] = one["slowest"]

        def y(seconds: float, base: float = base, height: float = height) -> float:
            share = (math.log10(max(seconds, 10**floor_)) - floor_) / (ceiling - floor_)
            return base - min(share, 1.0) * height

        card.line(left, base, right, base, "grid")
        card.line(left, y(0.2), right, y(0.2), "grid", 'stroke-dasharray="3 4"')
        name_of(card, results, name, base - height / 2 + 6)
        bar = (right - left) / len(slices)
        for number, slowest in enumerate(slices):
            if slowest:
                x = left + number * bar
                card.box(x, y(slowest), bar * 0.72, base - y(slowest), COLOURS[name])
        card.text(right + 70, base - height / 2 + 6, _short(one["p99"]), "end figure")
        card.text(right + 138, base - height / 2 + 6, f"{one['stalled']:,}", "end figure")
    bottom = top + step * len(names)
    seconds: float = next(iter(measured.values()))["seconds"]
    for second in range(0, int(seconds) + 1, 2):
        x = left + (right - left) * second / seconds
        card.text(x, bottom + 14, f"{second} s", "muted middle")
    card.text(right, bottom + 34, "dashed: 200 ms; the scale is logarithmic", "muted end")
    return card.written(bottom + 50)


def _short(seconds: float) -> str:
    return (
        f"{seconds:.1f} s"
        if seconds >= 1
        else f"{1000 * seconds:.{0 if seconds > 0.01 else 1}f} ms"
    )
