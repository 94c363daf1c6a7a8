"""Sphinx: `make docs` builds the pages into docs/_build. It needs no network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils.nodes import Element, reference
from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish
from sphinx.util import inspect

from aioalf import TokenManager

_source = (Path(__file__).parent.parent / "aioalf" / "__init__.py").read_text(encoding="utf-8")
_version = re.search(r'__version__ = "(.+)"', _source)
assert _version is not None

project = "aio-alf"
author = "aio-alf contributors"
copyright = "aio-alf contributors"
release = version = _version[1]
extensions = [
    "sphinx.ext.autodoc",
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
toc_object_entries_show_parents = "hide"
default_role = "any"
nitpicky = False
suppress_warnings = ["ref.any"]
exclude_patterns = ["_build"]

# The names of other projects that the pages link to. It is a list by hand, not intersphinx: its lists hold
# thousands of names and are fetched from the network, and it does not know a name without its module.
_ELSEWHERE = {
    "https://docs.aiohttp.org/en/stable/client_reference.html#aiohttp.": (
        "BaseConnector ClientError ClientResponse ClientSession ClientTimeout ClientWebSocketResponse "
        "TCPConnector"
    ),
    "https://docs.aiohttp.org/en/stable/abc.html#aiohttp.abc.": "AbstractCookieJar",
    "https://docs.aiohttp.org/en/stable/tracing_reference.html#aiohttp.": "TraceConfig",
    "https://yarl.aio-libs.org/en/latest/api.html#yarl.": "URL",
    "https://docs.python.org/3/library/collections.abc.html#collections.abc.": (
        "Awaitable Callable Collection Iterable Mapping MutableMapping Sequence"
    ),
    "https://docs.python.org/3/library/contextlib.html#contextlib.": "AbstractAsyncContextManager",
    "https://docs.python.org/3/library/exceptions.html#": "RuntimeError TypeError ValueError",
    "https://docs.python.org/3/library/os.html#os.": "PathLike",
    "https://docs.python.org/3/library/ssl.html#ssl.": "SSLContext",
    "https://docs.python.org/3/library/typing.html#typing.": "Any Unpack",
}
_URLS = {name: page + name for page, names in _ELSEWHERE.items() for name in names.split()}


def _link(app: Sphinx, env: object, node: Element, content: Element) -> reference | None:
    """Where a name leads that no page of these explains."""
    url = _URLS.get(node["reftarget"].rpartition(".")[2])
    return reference("", "", content, refuri=url, internal=False) if url else None


def _signature(app: Sphinx, what: str, name: str, obj: Any, options: object, *_: object) -> object:
    """Show what ``__init__`` of a manager takes: its ``__new__`` takes anything."""
    if what == "class" and isinstance(obj, type) and issubclass(obj, TokenManager):
        found = inspect.signature(obj.__init__, bound_method=True)
        return inspect.stringify_signature(
            found, show_return_annotation=False, unqualified_typehints=True
        ), None
    return None


class _Search(SearchEnglish):
    """Sphinx leaves numbers out of its search; here one looks for 401."""

    def word_filter(self, word: str) -> bool:
        return super().word_filter(word) or (len(word) >= 3 and word.isdigit())


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
    app.connect("autodoc-process-signature", _signature)
    app.connect("missing-reference", _link)
    app.connect("build-finished", _let_numbers_through)
