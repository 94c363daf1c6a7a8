"""The tables: the same rows as Markdown and as reStructuredText."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .figures import Floor, Spread, floor_of, ratios, spread_of

__all__ = ("Table", "floor", "markdown", "ratio", "rst", "tables", "titled")

Results = Mapping[str, Any]
NONE = "-"


@dataclass(frozen=True)
class Table:
    """A title, a line that says how to read it, a header, and rows."""

    title: str
    note: str
    header: list[str]
    rows: list[list[str]]


def figures(results: Results, scenario: str) -> dict[str, Any]:
    """What was measured in a scenario, by contender; empty if it was not run."""
    found: dict[str, Any] = results["scenarios"].get(scenario, {}).get("figures", {})
    return found


def titled(results: Results, name: str) -> str:
    """The name of a contender for people."""
    title: str = results["contenders"][name]["title"]
    return title


def ratio(measured: Mapping[str, Any], of: str = "cpu") -> Spread | None:
    """The contender over bare aiohttp, pair by pair; None if it failed."""
    return spread_of(ratios(measured["pairs"], of)) if measured.get("pairs") else None


def floor(measured: Mapping[str, Any], of: str = "cpu") -> Floor:
    """The noise of a scenario: bare aiohttp over itself."""
    spread = ratio(measured.get("again", {}), of)
    return Floor(0.0) if spread is None else floor_of(spread)


def tables(results: Results) -> list[Table]:
    """All tables for which there are figures."""
    made = [
        _costs(results),
        _growth(results),
        _bad_days(results),
        _expiry(results),
        _fleet(results),
        _having(results),
        _many(results),
        _exchange(results),
    ]
    return [table for table in made if table.rows]


def _times(measured: Mapping[str, Any], noise: Floor, of: str = "cpu") -> str:
    spread = ratio(measured, of)
    if spread is None:
        return str(measured.get("failed", NONE))
    digits = 3 if spread.median < 3 else 1
    return f"{spread.median:.{digits}f}{' ≈' if noise.hides(spread) else ''}"


def _bare(measured: Mapping[str, Any], column: int) -> float:
    """Bare aiohttp in microseconds, over all the pairs that it was half of."""
    halves = [pair[column] for each in measured.values() for pair in each.get("pairs", ())]
    return statistics.median(halves) if halves else 0.0


def _costs(results: Results) -> Table:
    memory, sockets = figures(results, "memory-cost"), figures(results, "socket-cost")
    tasks, counted = figures(results, "throughput"), figures(results, "instructions")
    rows = []
    for name in _names(results, memory, sockets, tasks, counted, bare=True):
        row = [titled(results, name)]
        for measured, of in ((memory, "cpu"), (sockets, "cpu"), (tasks, "wall")):
            spread = ratio(measured.get(name, {}), of)
            times = 1.0 if name == "bare" else spread.median if spread is not None else None
            bare = _bare(measured, 1 if of == "cpu" else 3)
            if times is None or not bare:
                row.append(NONE)
            else:
                row.append(f"{1e6 / bare / times:,.0f}" if of == "wall" else f"{bare * times:.0f}")
            row.append(
                "1" if name == "bare" else _times(measured.get(name, {}), floor(measured, of), of)
            )
            if measured is memory:
                row.append(NONE if times is None else f"{bare * (times - 1):+.1f}")
                row.append(_thousands(counted.get(name, {})))
        rows.append(row)
    return Table(
        "What a request costs",
        "CPU in microseconds per request, and its ratio to bare aiohttp, measured in turn with it; the last"
        " two columns are requests per second of 100 tasks, and their time as a ratio. What is measured is"
        " the ratio; the rest is that ratio times bare aiohttp. ≈ is inside the noise. Instructions are"
        " those of a request in memory, in thousands.",
        [
            "",
            "in memory",
            "ratio",
            "added",
            "instructions",
            "over sockets",
            "ratio",
            "100 tasks",
            "ratio",
        ],
        rows,
    )


def _thousands(counted: Mapping[str, Any]) -> str:
    return f"{counted['instructions'] / 1000:.1f}" if "instructions" in counted else NONE


def _names(results: Results, *measured: Mapping[str, Any], bare: bool = False) -> list[str]:
    have = {name for each in measured for name in each} | ({"bare"} if bare else set())
    return [name for name in results["contenders"] if name in have] if any(measured) else []


def _growth(results: Results) -> Table:
    measured = figures(results, "growth")
    steps = sorted({int(tasks) for each in measured.values() for tasks in each["tasks"]})
    rows = []
    for name in _names(results, measured):
        row = [titled(results, name)]
        for step in steps:
            at = {each: have["tasks"].get(str(step), {}) for each, have in measured.items()}
            row.append(_times(at[name], floor(at)) if at[name] else NONE)
        rows.append(row)
    return Table(
        "Growth",
        "CPU per request as a ratio to bare aiohttp, with so many tasks at once, in memory.",
        ["tasks", *[f"{step:,}" for step in steps]],
        rows,
    )


_BAD_DAYS = (
    "cold",
    "crowd",
    "storm",
    "storm-single",
    "storm-large",
    "outage",
    "shared",
    "rotation",
)


def _bad_days(results: Results) -> Table:
    days = [day for day in (*_BAD_DAYS, "cancellation") if figures(results, day)]
    names = _names(results, *[figures(results, day) for day in days])
    rows = [
        [
            results["scenarios"][day]["title"],
            *[_outcome(figures(results, day).get(name, {}), day) for name in names],
        ]
        for day in days
    ]
    return Table(
        "Bad days",
        "Answers, token requests, and seconds until the last answer. 401 is what the caller saw in the end;"
        " unanswered: still without an answer when the time was up. Cancelled: the seconds for which the"
        " event loop was blocked.",
        ["", *[titled(results, name) for name in names]],
        rows,
    )


def _outcome(measured: Mapping[str, Any], day: str) -> str:
    if "outcomes" not in measured:
        return str(measured.get("failed", NONE))
    outcomes: dict[str, int] = measured["outcomes"]
    if day == "cancellation" and set(outcomes) == {"cancelled"}:
        return f"{measured['longest_gap']:.2f} s"
    count = measured["token_requests"]
    if set(outcomes) == {"200"}:
        said = "all 200"
    elif len(outcomes) == 1:
        said = f"all {next(iter(outcomes))}"
    else:
        said = ", ".join(f"{each:,} {name}" for name, each in sorted(outcomes.items()))
    if set(outcomes) == {"MissingTokenError"}:
        return said
    tokens = f"{count:,} token request{'' if count == 1 else 's'}"
    return f"{said}; {tokens}; {measured['seconds']:.2f} s"


def _expiry(results: Results) -> Table:
    measured = figures(results, "expiry")
    rows = []
    for name in _names(results, measured):
        one = measured[name]
        if "p99" not in one:
            rows.append([titled(results, name), str(one.get("failed", NONE)), *[NONE] * 7])
            continue
        rows.append(
            [
                titled(results, name),
                f"{one['requests']:,}",
                *[_milliseconds(one[each]) for each in ("p50", "p99")],
                f"{times:.2f}"
                if (times := one["p99"] / one["beside"]["p99"]) < 10
                else f"{times:,.0f}",
                _milliseconds(one["max"]),
                *[f"{one[each]:,}" for each in ("stalled", "rejections", "token_requests")],
            ]
        )
    seconds = next((f"{each['seconds']:g}" for each in measured.values() if "p99" in each), "")
    return Table(
        "Expiry under load",
        f"{seconds} s of a steady load over tokens of 2 s from a token endpoint that takes 200 ms; beside"
        " it the same load of bare aiohttp, whose p99 is what the ratio is to. Milliseconds per request;"
        " stalled: waited for a token. Who renews ahead of expiry makes more token requests than tokens"
        " could expire in that time.",
        ["", "requests", "median", "p99", "ratio", "slowest", "stalled", "401s", "token requests"],
        rows,
    )


STORAGES = {"redis": "in Redis", "file": "in a file", "none": "shares nothing"}
_EXPIRING = ("stalled", "rejections", "token_requests")


def _fleet(results: Results) -> Table:
    rows = []
    for name, measured in figures(results, "fleet").items():
        title = titled(results, name)
        if "points" not in measured:
            rows.append([title, str(measured.get("failed", NONE)), *[NONE] * 8])
            continue
        points = {
            (each["storage"], each["managers"], each["day"]): each for each in measured["points"]
        }
        for storage, managers in dict.fromkeys((each[0], each[1]) for each in points):
            row = [f"{title}, {STORAGES[storage]}", f"{managers:,}"]
            for day in ("cold", "revoked"):
                row += _seconds_and_tokens(points.get((storage, managers, day)))
            commands = points[storage, managers, "cold"].get("commands")
            row.append(NONE if commands is None else f"{commands / managers:.1f}")
            expiring = points.get((storage, managers, "expiring"), {})
            row += [f"{expiring[each]:,}" if each in expiring else NONE for each in _EXPIRING]
            rows.append(row)
    return Table(
        "A fleet",
        "Managers in eight processes (one: in one), a token endpoint that takes 200 ms. Seconds until the"
        " last of them has its answer, and how many token requests that took: cold, and after the token was"
        " revoked; commands are what Redis counted of the cold start, for each manager. Then a load while"
        " tokens of 4 s expire: requests that were stalled for more than 100 ms, 401s, token requests in"
        " 7 s.",
        [
            "",
            "managers",
            "cold, s",
            "tokens",
            "revoked, s",
            "tokens",
            "commands",
            "stalled",
            "401s",
            "tokens",
        ],
        rows,
    )


def _seconds_and_tokens(point: Mapping[str, Any] | None) -> list[str]:
    if point is None:
        return [NONE, NONE]
    outcomes = point["outcomes"]
    failed = sum(outcomes.values()) - outcomes.get("200", 0)
    seconds = f"{point['seconds']:.2f}" + (f", {failed:,} failed" if failed else "")
    return [seconds, f"{point['token_requests']:,}"]


def _many(results: Results) -> Table:
    measured = figures(results, "many")
    steps = sorted({int(each) for one in measured.values() for each in one.get("clients", ())})
    rows = []
    for name in _names(results, measured):
        have = measured[name].get("clients", {})
        row = [titled(results, name)]
        for step in steps:
            one = have.get(str(step))
            row.append(
                str(measured[name].get("failed", NONE))
                if one is None
                else f"{one['bytes'] / 1024:.1f} KiB, {one['cpu']:.0f} µs"
            )
        rows.append(row)
    return Table(
        "Many clients",
        "What each of so many open clients holds that has sent one request, and the CPU that it took to"
        " make it and send that, in memory; one with a manager of its own has made a token request, too."
        " With a shared session, all have one manager and one session.",
        ["clients", *[f"{step:,}" for step in steps]],
        rows,
    )


def _exchange(results: Results) -> Table:
    rows = []
    for name, measured in figures(results, "exchange").items():
        pairs = measured.get("pairs")
        if not pairs:
            rows.append([titled(results, name), str(measured.get("failed", NONE)), NONE, NONE])
            continue
        two = statistics.median(pair[1] for pair in pairs)
        added = statistics.median(pair[0] - pair[1] for pair in pairs)
        rows.append(
            [titled(results, name), f"{two:.0f}", f"{added:+.0f}", _times(measured, Floor(0.0))]
        )
    return Table(
        "An exchange for each request",
        "A token exchange manager is made, used once and dropped, with shared sessions. CPU in microseconds"
        " of the two HTTP requests that this takes, by bare aiohttp, and what is added to them.",
        ["", "two requests", "added", "ratio"],
        rows,
    )


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:,.1f}" if seconds < 1 else f"{1000 * seconds:,.0f}"


def _having(results: Results) -> Table:
    imports, memory = figures(results, "import"), figures(results, "memory")
    rows = []
    for name in _names(results, imports, memory):
        runs = imports.get(name, {}).get("runs")
        if runs:
            added = f"{min(run[1] for run in runs):.1f}"
        else:
            added = str(imports.get(name, {}).get("failed", NONE))
        held = memory.get(name, {})
        kib = f"{held['bytes'] / 1024:.1f}" if "bytes" in held else str(held.get("failed", NONE))
        rows.append([titled(results, name), added, kib])
    return Table(
        "What it costs to have one",
        "Milliseconds that the import adds to that of aiohttp or httpx (the least of several fresh"
        " interpreters); KiB of Python objects per open client, its connections included.",
        ["", "import, ms", "memory, KiB"],
        rows,
    )


def markdown(made: Iterable[Table]) -> str:
    """The tables as Markdown."""
    parts = []
    for table in made:
        lines = [table.header, ["---", *["---:"] * (len(table.header) - 1)], *table.rows]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"## {table.title}\n\n{table.note}\n\n{body}\n")
    return "\n".join(parts)


def rst(table: Table) -> str:
    """A table as a list-table."""
    lines = [".. list-table::", "   :header-rows: 1", "   :stub-columns: 1", ""]
    for row in [table.header, *table.rows]:
        lines += [
            f"   {' ' if at else '*'} - {_escaped(cell)}".rstrip() for at, cell in enumerate(row)
        ]
    return "\n".join(lines) + "\n"


def _escaped(cell: str) -> str:
    return "\\-" if cell == NONE else cell.replace("*", "\\*")
