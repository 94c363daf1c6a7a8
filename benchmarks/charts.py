"""The plots: what a request costs, growth, bad days, expiry under load."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .failure_charts import expiry_chart, failures_chart
from .figures import Spread
from .fleet_chart import fleet_chart
from .style import COLOURS, LEFT, OURS, name_of
from .svg import WIDTH, Card
from .table import Results, figures, floor, ratio, titled

__all__ = ("draw",)


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw what there are figures for.

    :return: the files written.
    """
    drawn = []
    for name, chart in (
        ("cost", _cost),
        ("growth", _growth),
        ("bad-days", failures_chart),
        ("expiry", expiry_chart),
        ("fleet", fleet_chart),
    ):
        image = chart(results)
        if image is not None:
            path = folder / f"{name}.svg"
            path.write_text(image, encoding="utf-8")
            drawn.append(path)
    return drawn


# -- what a request costs: a panel for each way to measure it


def _cost(results: Results) -> str | None:
    panels = [
        (title, measured, of)
        for title, measured, of in (
            ("CPU, in memory", figures(results, "memory-cost"), "cpu"),
            ("CPU, over sockets", figures(results, "socket-cost"), "cpu"),
            ("time of 100 tasks", figures(results, "throughput"), "wall"),
        )
        if measured
    ]
    if not panels:
        return None
    card = Card(
        "What a request costs",
        "Ratio to bare aiohttp, measured in turn with it. Dot: median; thick: where the median surely"
        " lies; thin: half of all pairs; band: the noise.",
    )
    names = [name for name in results["contenders"] if any(name in each[1] for each in panels)]
    width = (WIDTH - LEFT - 28) / len(panels)
    top, step = 112.0, 30.0
    bottom = top + step * len(names)
    for number, name in enumerate(names):
        name_of(card, results, name, top + step * number + 19)
    for number, (title, measured, of) in enumerate(panels):
        _panel(card, title, measured, of, names, LEFT + number * width, width - 34, top, step)
    return card.written(bottom + 44)


def _panel(
    card: Card,
    title: str,
    measured: Mapping[str, Any],
    of: str,
    names: list[str],
    left: float,
    width: float,
    top: float,
    step: float,
) -> None:
    spreads = {name: ratio(measured[name], of) for name in names if name in measured}
    near = [each for each in spreads.values() if each is not None and each.median < 2]
    least = min([0.95, *[each.low for each in near]])
    most = max([1.1, *[each.high for each in near]])
    least, most = max(0.5, math.floor(least * 20) / 20), min(1.6, math.ceil(most * 20) / 20)
    bottom = top + step * len(names)

    def x(value: float) -> float:
        return left + (min(max(value, least), most) - least) / (most - least) * width

    card.text(left + width / 2, top - 16, title, "middle")
    noise = floor(measured, of).width
    card.box(x(1 - noise), top, x(1 + noise) - x(1 - noise), bottom - top, "band")
    gap = next(gap for gap in (0.05, 0.1, 0.2, 0.5, 1.0) if (most - least) / gap < 5.5)
    for tick in range(math.ceil(least / gap - 1e-9), int(most / gap + 1e-9) + 1):
        at = x(tick * gap)
        style = "one" if abs(tick * gap - 1) < 1e-9 else "grid"
        card.line(at, top, at, bottom, style)
        card.text(at, bottom + 20, f"{tick * gap:.2f}".rstrip("0").rstrip("."), "muted middle")
    for number, name in enumerate(names):
        spread, y = spreads.get(name), top + step * number + 15
        if spread is not None:
            _whisker(card, spread, x, y, COLOURS[name], most)
        elif name in measured:
            card.text(
                left + width / 2, y + 4, str(measured[name].get("failed", "")), "muted middle"
            )


def _whisker(card: Card, spread: Spread, x: Any, y: float, colour: str, most: float) -> None:
    if spread.median > most:
        card.text(x(most), y + 4, f"{spread.median:.1f} times ⟶", "end figure muted")
        return
    round_end = 'stroke-linecap="round"'
    card.line(x(spread.low), y, x(spread.high), y, colour, 'stroke-width="1.6"')
    first, last = x(spread.surely_from), x(spread.surely_to)
    card.line(first, y, last, y, colour, f'stroke-width="6" stroke-opacity="0.45" {round_end}')
    card.dot(x(spread.median), y, 4.5, colour)


# -- growth


def _growth(results: Results) -> str | None:
    measured = figures(results, "growth")
    if not measured:
        return None
    steps = sorted({int(tasks) for each in measured.values() for tasks in each["tasks"]})
    lines: dict[str, list[tuple[int, Spread]]] = {}
    for name in results["contenders"]:
        for step in steps:
            spread = ratio(measured.get(name, {}).get("tasks", {}).get(str(step), {}))
            if spread is not None and spread.median < 2:
                lines.setdefault(name, []).append((step, spread))
    if not lines:
        return None
    card = Card(
        "With ever more tasks",
        "CPU per request in memory as a ratio to bare aiohttp; medians and, softly, half of all pairs."
        " Grey: bare over itself.",
    )
    left, right, top, bottom = 72.0, WIDTH - 250.0, 92.0, 372.0
    values = [each for points in lines.values() for _, each in points]
    least = math.floor(min([0.95, *[v.median for v in values]]) * 20) / 20
    most = math.ceil(max([1.2, *[v.median for v in values]]) * 20) / 20

    def x(tasks: int) -> float:
        reach = math.log10(steps[-1] / steps[0]) or 1.0
        return left + math.log10(tasks / steps[0]) / reach * (right - left)

    def y(value: float) -> float:
        return bottom - (min(max(value, least), most) - least) / (most - least) * (bottom - top)

    for tick in range(round(least * 20), round(most * 20) + 1):
        if most - least <= 0.4 or tick % 2 == 0:
            card.line(left, y(tick / 20), right, y(tick / 20), "one" if tick == 20 else "grid")
            card.text(left - 10, y(tick / 20) + 4, f"{tick / 20:.2f}", "muted end figure")
    for step in steps:
        card.text(x(step), bottom + 22, f"{step:,}", "muted middle")
    card.text((left + right) / 2, bottom + 44, "tasks at once", "muted middle")
    for name, points in lines.items():
        low = [(x(step), y(spread.low)) for step, spread in points]
        high = [(x(step), y(spread.high)) for step, spread in points]
        if name in OURS or name == "again":
            card.path([*low, *reversed(high)], f"{COLOURS[name]} soft")
    for name, points in lines.items():
        line = [(x(step), y(spread.median)) for step, spread in points]
        more = 'stroke-dasharray="5 4"' if name == "again" else ""
        card.path(line, f"{COLOURS[name]} line", more + ' style="fill:none"')
        for at in line:
            card.dot(*at, 3, COLOURS[name])
    ends = sorted((y(points[-1][1].median), name) for name, points in lines.items())
    label = -math.inf
    for wanted, name in ends:
        label = max(wanted, label + 19)
        card.line(right + 10, label, right + 26, label, COLOURS[name], 'stroke-width="3"')
        card.text(right + 34, label + 4, titled(results, name), "ours" if name in OURS else "")
    return card.written(max(bottom + 66, label + 30))
