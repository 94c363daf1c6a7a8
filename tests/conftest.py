"""Fixtures that every test module may ask for, and the rules that hold for every test."""

from __future__ import annotations

import asyncio
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import aiohttp
import pytest
from better_auth_server import better_auth_server, better_auth_server_process
from blockbuster import blockbuster_ctx
from django_server import django_server, django_server_process
from fakes import FakeClock
from oidc_server import oidc_server, oidc_server_process

# What the library imports where it needs it: two threads that do so at a time wait for each other, and
# filelock reads and writes files. Both would be seen as a loop that is made to wait.
for _name in (
    "aioalf.storage.shared",
    "aioalf.storage.guarded",
    "aioalf.storage.record",
    "filelock",
):
    if importlib.util.find_spec(_name):
        importlib.import_module(_name)

if TYPE_CHECKING:
    from aioalf.testing import AuthorizationServer

# aioresponses replaces aiohttp's insides and knows only the older ones: the tests that use it
# belong to the environment of the oldest aiohttp, where it is installed.
collect_ignore = [] if importlib.util.find_spec("aioresponses") else ["test_aioresponses.py"]
# A version that should have an UploadTracker and has none fails here.
if not hasattr(aiohttp, "UploadTracker") and aiohttp.__version__ < "3.14.4":
    collect_ignore.append("test_upload_tracker.py")

__all__ = (  # fixtures that are defined elsewhere
    "better_auth_server",
    "better_auth_server_process",
    "django_server",
    "django_server_process",
    "oidc_server",
    "oidc_server_process",
)

# The benchmarks are no part of the package; and with the project's directory on the path, its source
# would be tested in place of what is installed.
_benchmarks = importlib.machinery.PathFinder.find_spec(
    "benchmarks", [str(Path(__file__).parents[1])]
)
if _benchmarks is not None and _benchmarks.loader is not None:
    sys.modules["benchmarks"] = importlib.util.module_from_spec(_benchmarks)
    _benchmarks.loader.exec_module(sys.modules["benchmarks"])

NOTHING_MAY_SKIP = os.environ.get("AIOALF_REQUIRE_ALL") == "1"


@pytest.fixture
def clock() -> FakeClock:
    """A clock that the test moves by hand."""
    return FakeClock()


@pytest.fixture
async def server() -> AsyncIterator[AuthorizationServer]:
    """A strict authorization server and its protected resource, on loopback."""
    from aioalf.testing import AuthorizationServer

    async with AuthorizationServer() as started:
        yield started


@pytest.fixture(scope="session", autouse=True)
def no_blocking_call() -> Iterator[None]:
    """Raise where the library would make an event loop wait for a disk, a network or a lock."""
    with blockbuster_ctx("aioalf") as blockbuster:
        blockbuster.functions["os.getcwd"].deactivate()  # it asks the kernel, not a disk
        for function in blockbuster.functions.values():
            # redis-py reads its own version from its metadata for each connection.
            function.can_block_in("redis/utils.py", {"get_lib_version"})
            # aiohttp 3.13 reads a .netrc in the event loop.
            function.can_block_in("aiohttp/helpers.py", {"netrc_from_env"})
        yield


@pytest.fixture
async def no_task_left() -> AsyncIterator[None]:
    """Fail the test after which a task is still pending: something was not closed."""
    before = asyncio.all_tasks()
    yield
    for _ in range(10):  # what was cancelled or closed needs a few turns of the loop to end
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"still pending after the test: {[task.get_coro() for task in left]}"


# Few tests that take long: they go first, or one worker is still at them when the others are done.
LONG = (
    "test_browser",
    "test_sign_ins",
    "test_command_line",
    "test_processes",
    "test_rotation_processes",
    "test_demo",
    "test_packaging",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long modules first; `no_task_left` round every asynchronous test, outside all its fixtures."""
    items.sort(key=lambda item: item.path.stem not in LONG)
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            item.fixturenames.insert(0, "no_task_left")


Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def _skip_is_failure(report: Report) -> Report:
    if NOTHING_MAY_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"AIOALF_REQUIRE_ALL is set, and this was to be left out: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where nothing may be left out, a skipped test is a failed one."""
    return _skip_is_failure((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself while it is imported."""
    return _skip_is_failure((yield))
