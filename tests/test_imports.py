"""What importing the library costs, and which module may know of which."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import aioalf

PACKAGE = Path(aioalf.__file__).parent
# By their names below the package, such as "storage.file"; a package's own is "storage.__init__".
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py")
)
PURE = [name for name in MODULES if name.startswith("protocol.")]
# The program, and folders whose modules are each imported by their own name.
FACELESS = {
    "__main__",
    *(f"{name}.__init__" for name in "bearer cli grants interactive protocol renewal".split()),
}
NOT_PURE = {"aiohttp", "asyncio", "socket", "ssl", "http", "urllib.request", "threading"}
ONLY_WHEN_USED = ("aiohttp.web", "webbrowser", "filelock", "platformdirs", "keyring", "redis")
# The extras of setup.py, and the one module that may import each.
EXTRAS = {
    "filelock": {"storage.file", "storage.token_file"},
    "platformdirs": {"storage.file"},
    "keyring": {"storage.keyring"},
    "redis": {"storage.redis"},
}


def imported(module: str) -> set[str]:
    """The full names of all that a module imports when it runs, in its functions too."""
    found: set[str] = set()
    path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    queue: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while queue:
        node = queue.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            queue.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = ["aioalf", *module.split(".")][: -node.level] if node.level else []
            base = ".".join([*around, *([node.module] if node.module else [])])
            found.update([base], (f"{base}.{alias.name}" for alias in node.names))
        queue.extend(ast.iter_child_nodes(node))
    return found


def within(name: str, package: str) -> bool:
    """Whether a full name is that package or something in it."""
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_does_no_input_or_output(module: str) -> None:
    """They are plain functions, tested without an event loop; so is all that they build on."""
    reached: set[str] = set()
    queue = [module]
    while queue:
        current = queue.pop()
        reached.add(current)
        # `errors` derives from aiohttp.ClientError, and must name it.
        forbidden = NOT_PURE - ({"aiohttp"} if current == "errors" else set())
        for name in imported(current):
            assert not any(within(name, other) for other in forbidden), f"{current}: {name}"
            own = name.removeprefix("aioalf.")
            if within(name, "aioalf") and own in MODULES and own not in reached:
                queue.append(own)


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_optional_package_is_imported_by_its_own_module_only(extra: str) -> None:
    """What an extra installs is used in one place."""
    users = {module for module in MODULES if any(within(name, extra) for name in imported(module))}
    assert users
    assert users <= EXTRAS[extra]


def test_importing_the_library_imports_nothing_that_may_never_be_used() -> None:
    """A fresh interpreter: no web server, no browser, none of the extras."""
    program = (
        "import sys, json, aiohttp; before = set(sys.modules); from aioalf import Client;"
        " print(json.dumps([sorted(before), sorted(sys.modules)]))"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, timeout=50, text=True
    ).stdout
    before, after = json.loads(out)
    too_much = [
        name
        for name in sorted(set(after) - set(before))
        if any(within(name, package) for package in ONLY_WHEN_USED)
    ]
    assert too_much == []
    assert not any(within(name, "aiohttp.web") for name in after)


@pytest.mark.parametrize("module", [name for name in MODULES if name not in FACELESS])
def test_every_module_says_what_is_public_in_it(module: str) -> None:
    """``__all__`` exists, and holds names that exist, each once."""
    namespace = importlib.import_module(f"aioalf.{module}".removesuffix(".__init__"))
    assert len(namespace.__all__) == len(set(namespace.__all__))
    assert [name for name in namespace.__all__ if not hasattr(namespace, name)] == []


def test_the_package_shows_its_public_names_alone() -> None:
    """``dir`` and completion: not the modules that importing it has left on it."""
    assert dir(aioalf) == sorted(aioalf.__all__)


DOCUMENTED = (
    "aioalf.client.Client",
    "aioalf.httpclient.HTTPRequest",
    "aioalf.implicit_manager.OAuthImplicitTokenManager",
    "aioalf.implicit_manager.OAuthImplictTokenManager",
    "aioalf.implicit_manager.TokenStorage",
    "aioalf.implicit_manager.use_implicit_flow",
    "aioalf.manager.TokenError",
    "aioalf.manager.TokenManager",
    "aioalf.token.Token",
    "aioalf.token.TokenError",
    "aioalf.token.TokenHTTPError",
)


@pytest.mark.parametrize("path", DOCUMENTED)
def test_a_documented_import_path_leads_to_the_public_name(path: str) -> None:
    """The paths that code written for 0.4.0 uses; each name also imports from ``aioalf``."""
    module, _, name = path.rpartition(".")
    assert getattr(importlib.import_module(module), name) is getattr(aioalf, name)


@pytest.mark.parametrize("arguments", [["--help"], ["request", "--help"], ["request", "--nothing"]])
def test_help_comes_without_aiohttp(arguments: list[str]) -> None:
    """It takes ten times as long to import as all that help needs; so does asyncio alone, nearly."""
    program = (
        "import sys\nfrom aioalf.cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "print({'aiohttp', 'asyncio'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, timeout=50, text=True
    )
    assert done.stderr.splitlines()[-1] == "set()"
