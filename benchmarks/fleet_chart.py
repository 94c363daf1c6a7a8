"""The plot of a fleet: time until the last manager has its token, by the number of managers."""

from __future__ import annotations

import math
from typing import Any

from .style import COLOURS, OURS
from .svg import WIDTH, Card
from .table import STORAGES, Results, figures, titled

__all__ = ("fleet_chart",)


def fleet_chart(results: Results) -> str | None:
    """A line for each contender and storage; None if there are no figures."""
    lines: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for name, measured in figures(results, "fleet").items():
        for point in measured.get("points", ()):
            if point["day"] == "cold":
                lines.setdefault((name, point["storage"]), []).append(point)
    if not lines:
        return None
    card = Card(
        "A fleet, cold",
        "Seconds until the last of so many managers in eight processes has its token; a token request takes"
        " 200 ms.",
    )
    left, right, top, bottom = 72.0, WIDTH - 330.0, 92.0, 372.0
    steps = sorted({point["managers"] for points in lines.values() for point in points})
    most: float = max(0.4, *[point["seconds"] for points in lines.values() for point in points])
    most = math.ceil(most * 5) / 5

    def x(managers: int) -> float:
        reach = math.log10(steps[-1] / steps[0]) or 1.0
        return left + math.log10(managers / steps[0]) / reach * (right - left)

    def y(seconds: float) -> float:
        return bottom - seconds / most * (bottom - top)

    gap = next(gap for gap in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if most / gap <= 8)
    for tick in range(int(most / gap + 1e-9) + 1):
        card.line(left, y(tick * gap), right, y(tick * gap), "grid")
        card.text(left - 10, y(tick * gap) + 4, f"{tick * gap:.1f}", "muted end figure")
    for step in steps:
        card.text(x(step), bottom + 22, f"{step:,}", "muted middle")
    card.text((left + right) / 2, bottom + 44, "managers", "muted middle")
    for (name, storage), points in lines.items():
        places = [(x(point["managers"]), y(point["seconds"])) for point in points]
        more = 'stroke-dasharray="5 4"' if storage == "file" else ""
        card.path(places, f"{COLOURS[name]} line", more + ' style="fill:none"')
        for place in places:
            card.dot(*place, 3, COLOURS[name])
    label = -math.inf
    for (name, storage), points in sorted(lines.items(), key=lambda one: y(one[1][-1]["seconds"])):
        label = max(y(points[-1]["seconds"]), label + 36)
        more = 'stroke-width="3"' + (' stroke-dasharray="5 4"' if storage == "file" else "")
        card.line(right + 10, label, right + 26, label, COLOURS[name], more)
        style = "ours" if name in OURS else ""
        card.text(right + 34, label + 2, f"{titled(results, name)}, {STORAGES[storage]}", style)
        tokens, of = points[-1]["token_requests"], points[-1]["managers"]
        requests = f"{tokens:,} token request{'' if tokens == 1 else 's'} for {of:,}"
        card.text(right + 34, label + 17, requests, "muted")
    return card.written(max(bottom + 66, label + 40))
