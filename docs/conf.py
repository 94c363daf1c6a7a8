"""Sphinx: `make docs` builds the pages into docs/_build."""

from __future__ import annotations

import re
from pathlib import Path

_source = (Path(__file__).parent.parent / "aioalf" / "__init__.py").read_text(encoding="utf-8")
_version = re.search(r'__version__ = "(.+)"', _source)
assert _version is not None

project = "aio-alf"
author = "aio-alf contributors"
copyright = "aio-alf contributors"
release = version = _version[1]
extensions = ["sphinx.ext.autodoc"]
html_theme = "alabaster"
html_theme_options = {
    "description": "An OAuth 2 client for aiohttp",
    "fixed_sidebar": True,
    "page_width": "1080px",
    "code_font_size": "0.75em",  # a line of 100 characters fits
}
html_show_sourcelink = False
highlight_language = "none"  # what is not marked as Python is for a shell, or a picture
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
default_role = "any"
nitpicky = False
suppress_warnings = ["ref.any"]
exclude_patterns = ["_build"]
