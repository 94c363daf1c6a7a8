"""The benchmark works: what it measures has the right shape. No timing is judged here."""

from __future__ import annotations

import json
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import benchmarks.soak
from benchmarks import instructions
from benchmarks.__main__ import run
from benchmarks.charts import draw
from benchmarks.contenders import CONTENDERS
from benchmarks.figures import floor_of, spread_of
from benchmarks.pages import findings, write_page
from benchmarks.plan import Plan, Settings
from benchmarks.process import Child, Gone
from benchmarks.scenarios import SCENARIOS
from benchmarks.soak import Sample, verdict
from benchmarks.table import markdown, tables

TINY = Settings(
    rounds=1,
    fresh=False,
    processes=2,
    memory_pairs=3,
    socket_pairs=3,
    block=4,
    throughput_pairs=2,
    throughput_requests=20,
    throughput_tasks=10,
    burst=20,
    crowd=40,
    growth=((1, 4, 2), (10, 20, 2)),
    load_seconds=0.1,
    load_tasks=5,
    import_runs=1,
    clients=3,
    many=(2, 4),
    exchange_pairs=2,
    fleet_processes=2,
    fleet=(1, 3),
    fleet_load=(3,),
    fleet_seconds=0.2,
)


# All but one: under valgrind a process takes half a minute.
QUICK_SCENARIOS = [name for name in SCENARIOS if name != "instructions"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A whole run of the smallest size, as it comes back from its JSON file."""
    folder = tmp_path_factory.mktemp("bench")
    measured = run(
        TINY,
        scenarios=QUICK_SCENARIOS,
        contenders=[
            "bare",
            "again",
            "headers",
            "client",
            "refreshing",
            "sharing",
            "exchanging",
            "two-requests",
        ],
        folder=folder,
    )
    read: dict[str, Any] = json.loads(json.dumps(measured))
    return read


def test_every_scenario_has_figures_of_every_contender(results: dict[str, Any]) -> None:
    """Or says how it failed; here none does."""
    assert list(results["scenarios"]) == QUICK_SCENARIOS
    for name, scenario in results["scenarios"].items():
        ours = {"rotation": "refreshing", "exchange": "exchanging"}.get(name, "client")
        assert ours in scenario["figures"], name
        assert "failed" not in json.dumps(scenario), name


def test_a_run_says_what_it_ran_on(results: dict[str, Any]) -> None:
    """The machine and every version, and no path or name of it."""
    assert results["machine"].keys() == {"processor", "cores", "system"}
    assert results["not_installed"] == []
    for about in results["contenders"].values():
        assert about["versions"]["aiohttp"]
        assert about["python"].startswith("3.")
    assert str(Path(__file__).parent.parent) not in json.dumps(results)


def test_counts_come_from_the_server(results: dict[str, Any]) -> None:
    """A herd of any size costs one token request, and so does an outage."""
    for day, answered in (("cold", 20), ("crowd", 40), ("storm", 20), ("storm-large", 20)):
        figures = results["scenarios"][day]["figures"]["client"]
        assert figures["token_requests"] == 1, day
        assert figures["outcomes"] == {"200": answered}, day
    outage = results["scenarios"]["outage"]["figures"]["client"]
    assert (outage["outcomes"], outage["token_requests"]) == ({"503": 20}, 1)
    rotation = results["scenarios"]["rotation"]["figures"]["refreshing"]
    assert (rotation["outcomes"].keys(), rotation["reuses"]) == ({"200"}, 0)
    for point in results["scenarios"]["fleet"]["figures"]["client"]["points"]:
        if point["day"] != "expiring":
            assert point["outcomes"] == {"200": point["managers"]}, point
            assert point["token_requests"] == 1, point
    cancellation = results["scenarios"]["cancellation"]["figures"]["client"]
    assert cancellation["outcomes"] == {"cancelled": 40}


def test_a_run_that_was_broken_off_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was measured is not measured again, unless something else is asked for."""
    ran = []

    def measure(name: str) -> Callable[[Plan], dict[str, Any]]:
        def scenario(plan: Plan) -> dict[str, Any]:
            ran.append(name)
            if ran == ["cold", "storm"]:
                raise KeyboardInterrupt
            return {}

        return scenario

    fakes = {name: (name, measure(name)) for name in ("cold", "storm")}
    monkeypatch.setattr("benchmarks.__main__.SCENARIOS", fakes)
    ask: dict[str, Any] = {"scenarios": list(fakes), "contenders": [], "folder": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        run(TINY, **ask)
    capsys.readouterr()
    assert list(run(TINY, **ask)["scenarios"]) == ["cold", "storm"]
    assert ran == ["cold", "storm", "storm"]
    assert "measured before" in capsys.readouterr().err
    run(TINY, **ask)  # that one was complete, so this is a new one
    assert ran == ["cold", "storm", "storm", "cold", "storm"]


def test_a_busy_machine_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """When it is measured, and in the results."""
    monkeypatch.setattr("benchmarks.__main__.taken_by_others", lambda: 0.4)
    monkeypatch.setattr("benchmarks.__main__.SCENARIOS", {"cold": ("cold herd", lambda plan: {})})
    results = run(TINY, scenarios=["cold"], contenders=[], folder=tmp_path)
    assert results["scenarios"]["cold"]["taken"] == 0.4
    assert "others take 40% of a core" in capsys.readouterr().err


def test_every_table_is_rectangular(results: dict[str, Any]) -> None:
    """And Markdown has them all."""
    made = tables(results)
    assert len(made) == 8
    for table in made:
        assert {len(row) for row in table.rows} == {len(table.header)}, table.title
    assert markdown(made).count("\n## ") == 7
    assert "| aio-alf Client |" in markdown(made)


def test_every_plot_is_well_formed(results: dict[str, Any], tmp_path: Path) -> None:
    """XML that parses, with a title and nothing outside the card."""
    drawn = draw(results, tmp_path)
    assert [path.name for path in drawn] == [
        "cost.svg",
        "growth.svg",
        "bad-days.svg",
        "expiry.svg",
        "fleet.svg",
    ]
    for path in drawn:
        root = ElementTree.parse(path).getroot()
        width, height = float(root.attrib["width"]), float(root.attrib["height"])
        for shape in root.iter():
            for name, limit in (("x", width), ("x1", width), ("x2", width), ("y", height)):
                assert 0 <= float(shape.attrib.get(name, 0)) <= limit, (path.name, shape.attrib)


def test_the_page_is_restructured_text(results: dict[str, Any], tmp_path: Path) -> None:
    """With the plots and the raw figures beside it."""
    docutils_core = pytest.importorskip("docutils.core")
    write_page(results, tmp_path)
    page = (tmp_path / "benchmarks.rst").read_text(encoding="utf-8")
    settings = {"halt_level": 2, "report_level": 2}
    docutils_core.publish_doctree(page, settings_overrides=settings)
    assert page.count(".. image:: benchmarks/") == 5
    assert json.loads((tmp_path / "benchmarks" / "results.json").read_text(encoding="utf-8"))


def test_a_contender_that_fails_is_shown_as_it_failed(
    results: dict[str, Any], tmp_path: Path
) -> None:
    """In every table, and in the plots."""
    broken = json.loads(json.dumps(results))
    for name, scenario in broken["scenarios"].items():
        failed: dict[str, Any] = {"failed": "no answer within 9 s"}
        scenario["figures"]["client"] = {"tasks": {"1": failed}} if name == "growth" else failed
    text = markdown(tables(broken))
    for table in tables(broken):
        assert "no answer within 9 s" in markdown([table]), table.title
    assert "| aio-alf Client | no answer within 9 s |" in text
    assert draw(broken, tmp_path)
    assert not list(findings(broken))


def test_equal_samples_are_inside_the_noise() -> None:
    """And a difference well above the spread is not."""
    dice = random.Random(1)
    one, two, slower = (
        spread_of([dice.gauss(mean, 0.05) for _ in range(200)]) for mean in (1.0, 1.0, 1.2)
    )
    assert floor_of(one).hides(two)
    assert not floor_of(one).hides(slower)
    assert one.low < one.surely_from < one.median < one.surely_to < one.high


def test_a_child_that_does_not_answer_is_killed(tmp_path: Path) -> None:
    """It is reported, and the next answer is not waited for."""
    with Child(sys.executable, "benchmarks.worker", None, tmp_path / "log") as child:
        with pytest.raises(Gone, match="AttributeError"):
            child.ask("no_such_command")
        child._process.send_signal(signal.SIGSTOP)
        with pytest.raises(Gone, match="no answer within 0 s"):
            child.ask("hello", timeout=0.0, distributions=[])
        with pytest.raises(Gone):
            child.ask("hello", distributions=[])


def test_every_contender_names_an_opener_and_the_first_is_bare() -> None:
    """Bare aiohttp is what the others are measured against, and what they are listed after."""
    assert next(iter(CONTENDERS)) == "bare"
    for contender in CONTENDERS.values():
        module, _, attribute = contender.opener.partition(":")
        source = Path(benchmarks.soak.__file__).with_name(f"{module}.py")
        assert f"class {attribute}" in source.read_text(encoding="utf-8")


def test_a_soak_that_grows_is_not_flat() -> None:
    """In memory, connections, descriptors or tasks; warming up does not count."""
    flat = [Sample(t, 5000 if t > 3 else 100, 40, 50, 9, 0) for t in range(30)]
    assert verdict(flat) == []
    assert verdict([s._replace(kib=5000 + 100 * s.seconds) for s in flat]) != []
    assert verdict([s._replace(connections=10 + int(s.seconds) * 3) for s in flat]) != []
    assert verdict(flat[:2]) == ["too few samples to tell"]


async def test_a_soak_of_a_moment_takes_samples(tmp_path: Path) -> None:
    """Everything of the soak but its length."""
    with Child(sys.executable, "benchmarks.server", None, tmp_path / "log") as server:
        port = server.ask("reset")["port"]
        samples = await benchmarks.soak.soak(server, port, 0.3, 0.1)
    assert samples
    assert samples[0].kib > 0
    assert samples[0].connections > 0


async def test_an_outage_of_some_simulated_minutes_makes_a_token_request_each_time(
    tmp_path: Path,
) -> None:
    """The clock is set forward past each pause of the circuit breaker; at most one page is kept."""
    with Child(sys.executable, "benchmarks.server", None, tmp_path / "log") as server:
        port = server.ask("reset")["port"]
        samples = await benchmarks.soak.outage(server, port, 620.0, 155.0)
    assert [sample.token_requests for sample in samples] == [5, 10, 15, 20]
    assert samples[-1].kib < 4096


async def test_exchanges_leave_nothing_behind(tmp_path: Path) -> None:
    """Neither those that were closed nor those that were dropped."""
    with Child(sys.executable, "benchmarks.server", None, tmp_path / "log") as server:
        port = server.ask("reset")["port"]
        samples = await benchmarks.soak.exchanges(server, port, 300, 50)
    assert len(samples) == 6
    assert samples[-1].kib - samples[2].kib < 64
    assert samples[-1].tasks == samples[0].tasks


@pytest.mark.parametrize("counted", [14000, None])
def test_what_is_counted_between_on_and_off_is_shared_among_the_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: int | None
) -> None:
    """Here a stand-in for valgrind counts 14,000 for 200 requests; or it ends before it has counted."""
    steps = 'trap "" USR1\necho ready\necho ready\n' if counted else ""
    said = f"Collected : {counted}" if counted else "it cannot be run"
    (tmp_path / "valgrind").write_text(f"#!/bin/sh\n{steps}echo '{said}' >&2\n")
    (tmp_path / "callgrind_control").write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/switched\n')
    for name in ("valgrind", "callgrind_control"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert instructions.can_count()
    if counted is None:
        with pytest.raises(Gone, match="it cannot be run"):
            instructions.count(CONTENDERS["client"], 1)
    else:
        assert instructions.count(CONTENDERS["client"], 1) == 70
        assert (tmp_path / "switched").read_text() == "--instr=on\n--instr=off\n"
