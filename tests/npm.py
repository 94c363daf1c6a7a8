"""JavaScript servers for the tests: their packages, installed once, and their processes.

A program is a directory beside this file with a ``package.json`` and a ``package-lock.json``. Its
packages go to the user's cache, named by the lock's hash, and never into the source tree. As a
program this module installs them all, so that no test waits for it.

After a change of a ``package.json``, in its directory, so that no registry is named in the lock::

    npm install --package-lock-only --omit-lockfile-registry-resolved --legacy-peer-deps
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from filelock import FileLock

__all__ = ("install", "order", "running")

PROGRAMS = ("oidc_provider", "better_auth")
NODE = 20  # the oldest major version that both run on, though one of them warns of it
NPM_CI = ("ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund")


def install(name: str, timeout: float = 45) -> Path:
    """The directory that holds the program's ``node_modules``. Skips the test if there cannot be one.

    :param timeout: seconds for npm, less than a test may take. Two processes install one by one.
    """
    source = Path(__file__).with_name(name)
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("node or npm is not installed")
    version = subprocess.check_output([node, "--version"], text=True, timeout=timeout).strip()
    if int(version.lstrip("v").partition(".")[0]) < NODE:
        pytest.skip(f"node is {version}; {name} needs {NODE} or newer")
    lock = (source / "package-lock.json").read_bytes()
    cache = platformdirs.user_cache_path("aio-alf-tests")
    installed = cache / f"{name}-{hashlib.sha256(lock).hexdigest()[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{installed}.lock"):
        if not installed.exists():
            with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=cache) as directory:
                work = Path(directory, "work")
                work.mkdir()
                for file in ("package.json", "package-lock.json"):
                    shutil.copy(source / file, work)
                try:
                    done = subprocess.run(
                        [npm, *NPM_CI],
                        cwd=work,
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        text=True,
                        timeout=timeout,
                        check=False,
                    )
                except subprocess.TimeoutExpired:
                    pytest.skip(f"npm ci for {name} took more than {timeout} s")
                if done.returncode:
                    pytest.skip(f"npm ci for {name} failed: {done.stdout[-2000:]}")
                work.rename(installed)
    return installed


@contextlib.contextmanager
def running(name: str, **options: object) -> Iterator[Any]:
    """Run ``server.mjs`` of a program for the length of a ``with`` block; give what it says first.

    The options go to its stdin as one line of JSON. One line of JSON on its stdout says where it
    listens. It ends when its stdin does.
    """
    packages = install(name) / "node_modules"
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as directory:
        # Node looks for packages beside the file that imports them.
        for module in Path(__file__).with_name(name).glob("*.mjs"):
            shutil.copy(module, directory)
        Path(directory, "package.json").write_text('{"type": "module"}')
        Path(directory, "node_modules").symlink_to(packages)
        errors = Path(directory, "errors.txt")
        with (
            errors.open("w") as stderr,
            subprocess.Popen(
                ["node", "--no-warnings", "server.mjs"],
                cwd=directory,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                encoding="utf-8",
            ) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                print(json.dumps(options), file=process.stdin, flush=True)
                ready = process.stdout.readline()  # empty if the program has failed
                assert ready, f"{name} did not start:\n{errors.read_text()}"
                yield json.loads(ready)
            finally:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()


def order(url: str, **orders: object) -> dict[str, Any]:
    """Tell a running program something at its ``/test``, behind the library's back."""
    # No proxy of the environment stands between a test and its own loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/test", json.dumps(orders).encode(), timeout=30) as response:
        answer = json.load(response)
    assert isinstance(answer, dict)
    return answer


if __name__ == "__main__":
    for program in PROGRAMS:
        print(install(program, timeout=300))
