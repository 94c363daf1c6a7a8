"""Packaging: metadata and extras. Tools are configured in pyproject.toml and tox.ini."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def version() -> str:
    """The version, read as text: importing the package would need aiohttp at build time."""
    source = (ROOT / "aioalf" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', source, re.MULTILINE)
    if found is None:
        raise RuntimeError('aioalf/__init__.py holds no line of the form __version__ = "..."')
    return found.group(1)


# Each is imported by the one module that needs it; see the extras' rows in README.rst.
EXTRAS = {
    "jwt": ["joserfc>=1.5"],
    "file": ["filelock>=4.0.1", "platformdirs>=4"],
    "keyring": ["keyring>=25"],
    "redis": ["redis>=5.0.1"],
    "otel": ["opentelemetry-api>=1.20"],
    "cli": ["shtab>=1.7", "tqdm>=4.66"],
}
REPOSITORY = "https://github.com/aio-alf/aio-alf"
DOCUMENTATION = "https://aio-alf.readthedocs.io"
OPTIONAL = [requirement for extra in EXTRAS.values() for requirement in extra]

setup(
    name="aio-alf",
    version=version(),
    description="An OAuth 2 client for aiohttp",
    long_description=(ROOT / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    author="aio-alf contributors",
    url=REPOSITORY,
    project_urls={
        "Documentation": DOCUMENTATION,
        "Changes": f"{REPOSITORY}/blob/main/CHANGES.rst",
        "Issues": f"{REPOSITORY}/issues",
        "Security": f"{REPOSITORY}/security/policy",
        "Source": REPOSITORY,
    },
    license_expression="MIT",
    license_files=["LICENSE"],
    keywords=(
        "oauth oauth2 client client_credentials implicit aiohttp asyncio bearer token oauth2-client"
    ),
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: AsyncIO",
        "Framework :: aiohttp",
        "Intended Audience :: Developers",
        "Natural Language :: English",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Internet :: WWW/HTTP",
        "Topic :: Security",
        "Typing :: Typed",
    ],
    packages=find_packages(include=["aioalf", "aioalf.*"]),
    package_data={"aioalf": ["py.typed"]},
    py_modules=["pytest_aioalf"],
    entry_points={
        "console_scripts": ["aioalf = aioalf.cli.main:main"],
        # By the name of its module, or pytest takes `-p pytest_aioalf` for a second plugin and fails.
        "pytest11": ["pytest_aioalf = pytest_aioalf"],
    },
    zip_safe=False,
    python_requires=">=3.10",
    install_requires=["aiohttp>=3.13,<5"],
    extras_require={
        **EXTRAS,
        "test": [
            *OPTIONAL,
            # django-oauth-toolkit is the third-party authorization server of the tests; it runs
            # on oauthlib, whose next major release it does not know yet.
            "blockbuster>=1.5",
            "django-oauth-toolkit>=3.4",
            "docutils>=0.21",
            "fastapi>=0.115",
            "httpx>=0.27",
            "hypothesis>=6.100",
            "jwcrypto>=1.5",
            "oauthlib<4",
            "opentelemetry-sdk>=1.20",
            "playwright>=1.49",
            "prometheus-client>=0.20",
            "pytest>=8.4",
            "pytest-aiohttp>=1.1",
            "pytest-asyncio>=1.1",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "setuptools>=77",
            "trustme>=1.2",
            "uvicorn>=0.30",
        ],
        "docs": ["furo>=2024.8.6", "sphinx>=8", "sphinx-copybutton>=0.5.2"],
        # The linters' verdicts change between releases: their minor version is held.
        "lint": [
            "import-linter~=2.17",
            "mypy~=2.4",
            "pyright==1.1.414",
            "ruff~=0.17.0",
            "types-docutils",
            "types-setuptools",
            "types-tqdm",
        ],
        "release": ["build>=1.2", "check-wheel-contents>=0.6", "towncrier>=24.8", "twine>=6.1"],
    },
)
