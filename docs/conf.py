"""Sphinx: `make docs` builds the pages into docs/_build. It needs no network."""

from __future__ import annotations

import re
from pathlib import Path

import aiohttp
import yarl
from sphinx.application import Sphinx
from sphinx.search import SearchEnglish

_source = (Path(__file__).parent.parent / "aioalf" / "__init__.py").read_text(encoding="utf-8")
_version = re.search(r'__version__ = "(.+)"', _source)
assert _version is not None

project = "aio-alf"
author = "aio-alf contributors"
copyright = "aio-alf contributors"
release = version = _version[1]
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]

html_theme = "furo"
html_title = f"aio-alf {version}"
html_static_path = ["_static"]
html_css_files = ["aio-alf.css"]
html_theme_options = {
    "source_repository": "https://github.com/aio-alf/aio-alf/",
    "source_branch": "main",
    "source_directory": "docs/",
}
html_show_sourcelink = False
html_copy_source = False
html_domain_indices = False  # the index of names has the modules too
highlight_language = "none"  # what is not marked as Python is for a shell, or a picture
copybutton_exclude = ".linenos, .gp, .go"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80  # a longer one has a line for each parameter
python_display_short_literal_types = True
default_role = "any"
nitpicky = False
suppress_warnings = ["ref.any"]
exclude_patterns = ["_build"]

# The names of other projects that the API page links to, by hand: their own lists are fetched from
# the network, and hold thousands.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", "_links/python.txt"),
    "aiohttp": ("https://docs.aiohttp.org/en/stable", "_links/aiohttp.txt"),
    "yarl": ("https://yarl.aio-libs.org/en/stable", "_links/yarl.txt"),
}
# aiohttp and yarl document their classes under the name by which they are imported.
for _module in (aiohttp, yarl):
    for _name in _module.__all__:
        _value = getattr(_module, _name)
        if isinstance(_value, type):
            _value.__module__ = _module.__name__


class _Search(SearchEnglish):
    """Sphinx leaves numbers out of its search; here one looks for 401."""

    def word_filter(self, word: str) -> bool:
        return super().word_filter(word) or len(word) >= 3 and word.isdigit()


def _let_numbers_through(app: Sphinx, exception: Exception | None) -> None:
    """Take the same rule out of the script that the browser runs, which has no setting for it."""
    if exception is None and app.builder.name == "html":
        script = Path(app.outdir, "_static", "searchtools.js")
        text, rule = script.read_text(encoding="utf-8"), r"queryTerm.match(/^\d+$/)"
        assert rule in text or "length < 3" in text, "Sphinx's search has changed: look for 401"
        script.write_text(text.replace(rule, f"({rule} && queryTerm.length < 3)"), encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_search_language(_Search)
    app.connect("build-finished", _let_numbers_through)
