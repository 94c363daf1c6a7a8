"""The environments of the contenders, built with pip under ``build/bench``, which git ignores."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from .process import ROOT

__all__ = ("BUILD", "PROJECT", "build", "interpreter", "project_version")

BUILD = ROOT / "build" / "bench"
PROJECT = "project"

# What each installs. All get the version of aiohttp that the project's environment has, where they accept
# it: each is measured in turn with bare aiohttp, and a difference shall be its own.
_REQUIREMENTS = {
    "aio-alf-0.4.0": ["aio-alf==0.4.0"],
    "aiohttp-oauth2-client": ["aiohttp-oauth2-client"],
    "authlib": ["authlib", "httpx", "aiohttp"],
}


def interpreter(environment: str) -> Path:
    """The Python of an environment."""
    if environment == PROJECT:
        return Path(sys.executable)
    folder = BUILD / f"venv-{environment}"
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def build(environment: str) -> bool:
    """Install an environment, unless it is there.

    :return: whether it is there now; what pip said is in its log.
    """
    if environment == PROJECT:
        return True
    same = [f"aiohttp=={metadata.version('aiohttp')}"]
    wanted = [*_REQUIREMENTS[environment], *same]
    python = interpreter(environment)
    stamp = python.parent.parent / "installed"
    contents = "\n".join([sys.version, *wanted])
    if stamp.exists() and stamp.read_text() == contents:
        return True
    BUILD.mkdir(parents=True, exist_ok=True)
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    with (BUILD / f"pip-{environment}.log").open("wb") as log:

        def ran(*command: str) -> bool:
            done = subprocess.run(command, stdout=log, stderr=log, check=False)
            return done.returncode == 0

        if not ran(sys.executable, "-m", "venv", "--clear", str(python.parent.parent)):
            return False
        if not ran(*pip, *wanted) and not ran(*pip, *_REQUIREMENTS[environment]):
            return False
    stamp.write_text(contents)
    return True


def project_version() -> str:
    """The version of aio-alf in this tree."""
    source = (ROOT / "aioalf" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', source, re.MULTILINE)
    return found[1] if found else "unknown"
