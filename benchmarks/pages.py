"""The page in the documentation: ``docs/benchmarks.rst``, its plots, and the raw figures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from .charts import draw
from .quiet import BUSY
from .table import Results, figures, floor, ratio, rst, tables, titled

__all__ = ("findings", "write_page")

_HEAD = """\
Benchmarks
==========

What aio-alf costs, and how it behaves on a bad day, beside bare aiohttp, beside its peers, and beside its
own last release. One run of ``make bench ARGS=--docs`` writes this page; nothing in it was chosen by hand,
and nothing is judged by absolute time: each contender is measured in turn with bare aiohttp, in the same
process, and what counts is the ratio. If a difference cannot be told from the difference between bare
aiohttp and itself, it is inside the noise, and marked ≈.

To run it: ``make bench``. It builds an environment for each peer, takes some minutes, and prints these
tables.
``python -m benchmarks --only expiry`` runs one scenario, ``--quick`` all of them with fewer repetitions.
"""

_PLOTS = {
    "What a request costs": ("cost", "Ratio of CPU and time per request to bare aiohttp"),
    "Growth": ("growth", "CPU per request with 1 to 10,000 tasks"),
    "Bad days": ("bad-days", "How many requests were answered well on bad days"),
    "Expiry under load": ("expiry", "The slowest requests while tokens expire"),
    "A fleet": ("fleet", "Seconds until the last manager has its token, by the number of managers"),
}

_TAIL = """\
How it is measured
------------------

- The server is a process of its own, on a core of its own where there are two: forty lines of asyncio that
  look at the token and answer from memory. The clients run in another process, on another core.
- Bare aiohttp is a ``ClientSession`` whose ``headers`` hold a fixed token: nothing can be faster.
  With ``headers=`` the same goes with each request, as it must where tokens change: aiohttp merges it in.
  The hand-written middleware is in ``benchmarks/handwritten.py``: a lock, a look at the expiry, a refresh
  on 401.
- All are called in the same way, the one that all have: ``await ...request("GET", url)``, then
  ``await ...read()``. (``async with`` would cost as much as a client does, and 0.4.0 has none.)
- In memory: a connector that answers without sockets. All else of aiohttp is at work. The same is done for
  httpx, below httpcore.
- Pairs: a block of requests by the one, a block by bare aiohttp, the first of each pair in turn, in several
  fresh processes. Shown are the median of the ratios, the quartiles, and the confidence interval
  of the median (95 %, sign test). The noise is that interval for bare aiohttp over itself.
- Instructions: a process under ``valgrind --tool=callgrind`` sends 200 requests; only those are counted.
  The count is the same on a busy machine as on a quiet one: it shows a change that no clock can show. It
  says nothing of caches and of waiting. Without valgrind it is left out.
- A request is stalled when it took more than 20 ms, and half as long again as the slowest request of bare
  aiohttp in the same process within a fifth of a second.
- authlib fetches no first token by itself: its documentation has the user call ``fetch_token``,
  which is done for it wherever tokens are not the question. By default it takes a token of less than
  a minute for an expired one. httpx gets no timeout: by default it gives up on a queue of five seconds.
- Each peer is used as its documentation shows, at its newest release, and everybody on the same aiohttp.
"""


def write_page(results: Results, docs: Path) -> None:
    """Write the page, its plots and the raw figures.

    :param docs: the directory of the documentation.
    """
    folder = docs / "benchmarks"
    folder.mkdir(exist_ok=True)
    drawn = {path.stem for path in draw(results, folder)}
    raw = json.dumps(results, separators=(",", ":"), ensure_ascii=False)
    (folder / "results.json").write_text(raw + "\n", encoding="utf-8")
    parts = [_HEAD, _setting(results)]
    for table in tables(results):
        parts.append(f"{table.title}\n{'-' * len(table.title)}\n")
        plot, alt = _PLOTS.get(table.title, ("", ""))
        if plot in drawn:
            parts.append(f".. image:: benchmarks/{plot}.svg\n   :alt: {alt}\n")
        parts += [f"{table.note}\n", rst(table)]
    found = list(findings(results))
    if found:
        title = "Where others do better"
        parts.append(f"{title}\n{'-' * len(title)}\n")
        parts.append("\n".join(f"- {each}" for each in found) + "\n")
    parts.append(_TAIL)
    (docs / "benchmarks.rst").write_text("\n".join(parts), encoding="utf-8")


def _setting(results: Results) -> str:
    machine = results["machine"]
    when = f"{results['date']}{' (quick)' if results['quick'] else ''}"
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"
    lines = [f"Run on {when}: {where}.\n"]
    rows = [["", "Python", "versions"]]
    for about in results["contenders"].values():
        versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        rows.append([about["title"], about["python"], versions])
    lines += [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [f"   {' ' if at else '*'} - {cell}".rstrip() for at, cell in enumerate(row)]
    busy = [each["title"] for each in results["scenarios"].values() if each.get("taken", 0) > BUSY]
    if busy:
        lines.append(f"\nOthers were at work on the machine during: {', '.join(busy)}.")
    for title in results["not_installed"]:
        lines.append(f"\n{title} could not be installed for this run.")
    return "\n".join(lines) + "\n"


def findings(results: Results) -> Iterator[str]:
    """Sentences on what others do better than `aioalf.Client`, as far as the noise lets one say so."""
    for scenario, of in (("memory-cost", "cpu"), ("socket-cost", "cpu"), ("throughput", "wall")):
        measured = figures(results, scenario)
        own = ratio(measured.get("client", {}), of)
        title = results["scenarios"].get(scenario, {}).get("title", "")
        for name in measured:
            theirs = ratio(measured[name], of)
            if name in ("again", "headers") or own is None or theirs is None:
                continue
            if theirs.surely_to < own.surely_from:
                better = f"{theirs.median:.3f} of bare aiohttp against {own.median:.3f}"
                yield f"{title[0].upper()}{title[1:]}: {titled(results, name)}, {better}."
        if own is not None and floor(measured, of).hides(own):
            yield f"{title[0].upper()}{title[1:]}: nobody; the client is inside the noise of bare aiohttp."
    yield from _less(results, "import", "Import time", "ms")
    yield from _less(results, "memory", "Memory per client", "KiB")


def _less(results: Results, scenario: str, title: str, unit: str) -> Iterator[str]:
    amounts = {}
    for name, each in figures(results, scenario).items():
        if each.get("runs"):
            amounts[name] = min(run[1] for run in each["runs"])
        elif "bytes" in each:
            amounts[name] = each["bytes"] / 1024
    own = amounts.get("client")
    if own is None:
        return
    better = [
        f"{titled(results, name)} {amount:.1f} {unit}"
        for name, amount in amounts.items()
        if name not in ("bare", "again", "httpx", "client", "middleware") and amount < 0.9 * own
    ]
    if better:
        yield f"{title}: {', '.join(better)}; the client {own:.1f} {unit}."
