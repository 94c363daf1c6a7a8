"""The wheel: built, installed where nothing but aiohttp is, and used there."""

from __future__ import annotations

import email
import email.message
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import aioalf

ROOT = Path(__file__).parent.parent
SOURCE = (
    "setup.py",
    "pyproject.toml",
    "pytest_aioalf.py",
    "MANIFEST.in",
    "README.rst",
    "LICENSE",
)


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a program that must succeed."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: building leaves files behind."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCE:
        shutil.copy(ROOT / name, source)
    shutil.copytree(
        ROOT / "aioalf", source / "aioalf", ignore=shutil.ignore_patterns("__pycache__")
    )
    # Not isolated: setuptools is here already, and the tests need no network.
    options = ("--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--verbose")
    output = run(
        sys.executable, "-m", "pip", "wheel", *options, "-w", source / "dist", source, cwd=source
    )
    assert "SetuptoolsDeprecationWarning" not in output, output
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, built from a copy."""
    source = tmp_path_factory.mktemp("project")
    made = (".git", ".venv", ".tox", "node_modules", "*_cache", ".hypothesis")
    kept_out = shutil.ignore_patterns("__pycache__", *made, "_build", "*.egg-info", "build", "dist")
    shutil.copytree(ROOT, source, ignore=kept_out, dirs_exist_ok=True)
    program = "from setuptools import build_meta; print(build_meta.build_sdist('dist'))"
    run(sys.executable, "-c", program, cwd=source)
    (built,) = (source / "dist").glob("*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel_of_the_sdist(sdist: Path) -> Path:
    """The wheel that is built from the source distribution, as an installer does it."""
    source = sdist.parent.parent
    options = ("--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    output = source / "wheels"
    run(sys.executable, "-m", "pip", "wheel", *options, "-w", output, sdist, cwd=source)
    (built,) = output.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> email.message.Message:
    """What the wheel says of itself."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def runtime_distributions() -> dict[str, importlib.metadata.Distribution]:
    """aiohttp as it is installed here, and all that it needs."""
    found: dict[str, importlib.metadata.Distribution] = {}
    queue = ["aiohttp"]
    while queue:
        name = queue.pop()
        if name not in found:
            found[name] = importlib.metadata.distribution(name)
            for requirement in map(Requirement, found[name].requires or ()):
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                    queue.append(requirement.name)
    return found


@pytest.fixture(scope="module")
def clean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel, aiohttp, and nothing else."""
    directory = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(directory, with_pip=False, symlinks=os.name != "nt")
    python = directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    site = Path(
        run(
            python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=directory
        ).strip()
    )
    for distribution in runtime_distributions().values():
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(distribution.locate_file(top))).resolve())
    options = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, wheel, cwd=directory)
    return python


def test_the_wheel_holds_what_it_should(wheel: Path) -> None:
    """The marker that the types count (PEP 561), the licence, every module, and no test."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "aioalf/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    source = {path.relative_to(ROOT).as_posix() for path in (ROOT / "aioalf").rglob("*.py")}
    assert names >= source
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {
        "aioalf",
        "aio_alf",
        "pytest_aioalf.py",
    }


def test_the_pytest_plugin_may_also_be_named_by_a_project(wheel: Path, tmp_path: Path) -> None:
    """By ``-p pytest_aioalf`` or ``pytest_plugins``: under another name, pytest would refuse the second."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "conftest.py").write_text("pytest_plugins = ['pytest_aioalf']")
    (tmp_path / "test_it.py").write_text("def test_it(authorization_server): ...")
    program = (
        "import sys, os; sys.path.insert(0, os.getcwd()); import importlib.metadata as m, pytest\n"
        "ours, every = m.distribution('aio-alf'), m.distributions\n"
        "m.distributions = lambda **_: [d for d in every() if d.name != 'aio-alf'] + [ours]\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', *sys.argv[1:], 'test_it.py']))"
    )
    for options in ((), ("-p", "pytest_aioalf")):
        run(sys.executable, "-c", program, *options, cwd=tmp_path)


def test_the_sdist_gives_the_same_wheel(wheel: Path, wheel_of_the_sdist: Path) -> None:
    """Every folder is in it, and it installs."""

    def names(path: Path) -> set[str]:
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist())

    assert names(wheel_of_the_sdist) == names(wheel)
    folders = {name.split("/")[1] for name in names(wheel) if name.count("/") == 2}
    assert folders >= {"bearer", "cli", "interactive", "protocol", "renewal", "storage", "testing"}
    target = wheel_of_the_sdist.parent / "installed"
    options = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
    command = (sys.executable, "-m", "pip", "install", *options, "--target", target)
    run(*command, wheel_of_the_sdist, cwd=target.parent)
    program = f"import sys; sys.path.insert(0, {str(target)!r}); import aioalf.testing as t"
    output = run(sys.executable, "-c", f"{program}; print(t.__file__)", cwd=target.parent)
    assert str(target) in output


FOLDERS = (".ci", ".github", "CHANGES", "aioalf", "benchmarks", "docs", "tests")
FILES = "*.rst *.md *.cff *.ini *.toml *.in *.yaml .*.yaml .editorconfig LICENSE Makefile setup.py"


def test_the_sdist_holds_what_the_tests_and_a_maintainer_need(sdist: Path) -> None:
    """All of the project, but for what was made from it."""
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    paths = {path for pattern in FILES.split() for path in ROOT.glob(pattern)}
    paths |= {path for folder in FOLDERS for path in ROOT.glob(f"{folder}/**/*") if path.is_file()}
    names = {path.relative_to(ROOT).as_posix() for path in paths}
    made = {"__pycache__", "_build", "node_modules"}
    assert {name for name in names - held if not made & {*name.split("/")}} == set()


def test_every_supported_python_is_in_every_list_of_them(metadata: email.message.Message) -> None:
    """The metadata, tox, the script of all checks and the workflow."""

    def versions(pattern: str, text: str) -> set[int]:
        return {int(minor) for minor in re.findall(pattern, text, re.MULTILINE)}

    def text_of(name: str) -> str:
        return (ROOT / name).read_text(encoding="utf-8")

    supported = versions(r":: 3\.(\d+)$", "\n".join(metadata.get_all("Classifier", [])))
    lists = re.findall(r"^(?:env_list|base_python) = .*$", text_of("tox.ini"), re.MULTILINE)
    assert [versions(r"py3(\d+)", each) for each in lists] == [supported] * 3
    (loop,) = re.findall(r"for minor in (.*); do", text_of(".ci/run"))
    assert versions(r"\d+", loop) == supported
    (matrix,) = re.findall(r"python: (\[.*\])", text_of(".github/workflows/ci.yml"))
    assert versions(r"3\.(\d+)", matrix) == supported


def test_the_metadata_say_where_the_project_is(metadata: email.message.Message) -> None:
    """A package index shows these links."""
    links = dict(link.split(", ") for link in metadata.get_all("Project-URL", []))
    assert links.keys() >= {"Documentation", "Changes", "Issues", "Source"}
    assert all(link.startswith("https://") for link in links.values())


def test_the_version_is_the_one_in_the_source(metadata: email.message.Message, wheel: Path) -> None:
    """Read as text, it is the same as when it is imported."""
    assert metadata["Version"] == aioalf.__version__
    assert metadata["Name"] == "aio-alf"
    assert wheel.name == f"aio_alf-{aioalf.__version__}-py3-none-any.whl"


def test_aiohttp_is_all_that_is_needed(metadata: email.message.Message) -> None:
    """One requirement at run time; the rest is asked for by name."""
    requirements = list(map(Requirement, metadata.get_all("Requires-Dist", [])))
    assert [each.name for each in requirements if each.marker is None] == ["aiohttp"]
    assert {"file", "keyring", "redis"} <= set(metadata.get_all("Provides-Extra", []))
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "MIT"


def test_every_public_name_imports_where_nothing_but_aiohttp_is(clean_python: Path) -> None:
    """A clean environment, warnings as errors, the project's directory out of reach."""
    program = (
        "import aioalf, sys, pathlib\n"
        "for name in aioalf.__all__: getattr(aioalf, name)\n"
        "from aioalf import *\n"
        "import aioalf.testing\n"
        "assert pathlib.Path(sys.prefix) in pathlib.Path(aioalf.__file__).parents\n"
        "print(aioalf.__version__, len(aioalf.__all__))"
    )
    output = run(clean_python, "-I", "-W", "error", "-c", program, cwd=clean_python.parent)
    assert output.split() == [aioalf.__version__, str(len(aioalf.__all__))]


def test_the_command_line_works_where_nothing_but_aiohttp_is(clean_python: Path) -> None:
    """``python -m aioalf`` is part of the wheel."""
    output = run(clean_python, "-I", "-m", "aioalf", "--version", cwd=clean_python.parent)
    assert aioalf.__version__ in output


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("file", "aioalf.FileTokenStorage()"),
        ("keyring", "aioalf.KeyringTokenStorage()"),
        ("redis", "aioalf.RedisTokenStorage('redis://127.0.0.1')"),
    ],
)
def test_a_missing_extra_is_an_error_that_names_the_install_command(
    clean_python: Path, name: str, use: str
) -> None:
    """Where the extra is not installed, the remedy is in the message."""
    program = (
        "import aioalf, asyncio\n"
        "async def main():\n"
        f"    storage = {use}\n"
        "    await storage.load()\n"
        "try: asyncio.run(main())\n"
        "except aioalf.TokenStorageError as error: print(error)\n"
    )
    output = run(clean_python, "-I", "-W", "error", "-c", program, cwd=clean_python.parent)
    assert re.search(rf"pip install .*aio-alf\[{name}\]", output), output


def test_the_package_under_test_is_the_one_meant() -> None:
    """Under tox the installed wheel, not the directory beside the tests; otherwise that one."""
    installed = "site-packages" in Path(aioalf.__file__).parts
    assert installed == (os.environ.get("AIOALF_INSTALLED") == "1")
