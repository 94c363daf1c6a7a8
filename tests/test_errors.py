"""The exception tree: every class of it keeps what it carries, and says something."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import Iterator

import aiohttp
import pytest

import aioalf
import aioalf.errors
from aioalf import AuthorizationError, TokenError, TokenHTTPError


def tree(root: type[TokenError] = TokenError) -> Iterator[type[TokenError]]:
    """Every exception of the library."""
    if root.__module__.startswith("aioalf"):
        yield root
        for child in root.__subclasses__():
            yield from tree(child)


PUBLIC = sorted(
    {kind for kind in tree() if not kind.__name__.startswith("_")}, key=lambda k: k.__name__
)


def example(kind: type[TokenError]) -> TokenError:
    """An instance with everything set that can be set by name, but the response."""
    names = [
        name
        for name, parameter in inspect.signature(kind.__init__).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "response"
    ]
    return kind("What failed", **{name: f"<{name}>" for name in names})


def test_the_tree_is_as_drawn_in_the_docstring() -> None:
    """Each class is there, in the place where it is."""
    drawn: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    for line in (aioalf.errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([│ ├└─]*)([a-zA-Z.]+)(  |$)", line):
            depth, name = len(found[1]), found[2].rpartition(".")[2]
            stack = [(d, n) for d, n in stack if d < depth]
            drawn[name] = stack[-1][1] if stack else ""
            stack.append((depth, name))
    parents = {
        kind.__name__: next(b.__name__ for b in kind.__mro__[1:] if not b.__name__.startswith("_"))
        for kind in PUBLIC
    }
    assert drawn == {"ClientError": "", **parents}


@pytest.mark.parametrize("kind", PUBLIC)
def test_every_error_is_an_aiohttp_error(kind: type[TokenError]) -> None:
    """Existing ``except aiohttp.ClientError`` keeps working."""
    assert issubclass(kind, aiohttp.ClientError)


@pytest.mark.parametrize("kind", PUBLIC)
def test_every_error_is_exported_and_documented(kind: type[TokenError]) -> None:
    """From `aioalf`, from `aioalf.errors`; a docstring says when it comes."""
    assert getattr(aioalf, kind.__name__) is getattr(aioalf.errors, kind.__name__) is kind
    assert kind.__name__ in aioalf.__all__
    assert kind.__name__ in aioalf.errors.__all__
    assert kind.__doc__


@pytest.mark.parametrize("kind", PUBLIC)
def test_every_error_says_something(kind: type[TokenError]) -> None:
    """With its message alone, and with all that it can carry."""
    assert str(kind("What failed")) == "What failed"
    assert "What failed" in str(example(kind))
    assert "What failed" in repr(example(kind))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", PUBLIC)
def test_every_error_pickles_with_what_it_carries(kind: type[TokenError], protocol: int) -> None:
    """It may come from another process, or from a cache."""
    error = example(kind)
    back = pickle.loads(pickle.dumps(error, protocol))
    assert type(back) is kind
    assert back.__dict__ == error.__dict__
    assert (back.args, str(back)) == (error.args, str(error))
    assert copy.copy(error).__dict__ == error.__dict__


def test_a_token_http_error_reads_as_it_always_did() -> None:
    """0.4.0, Token, errors: the string of 0.4.0, and its three positional arguments."""
    error = TokenHTTPError("My Error", 401, '{"myError": true}')
    assert str(error) == 'My Error, StatusCode: 401, Body: {"myError": true}'
    assert (error.response_status, error.response_text) == (401, '{"myError": true}')
    assert isinstance(error, TokenError)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TokenHTTPError("No"), "No"),
        (TokenHTTPError("No", 500), "No, StatusCode: 500"),
        (TokenHTTPError("No", 500, ""), "No, StatusCode: 500"),
        (TokenHTTPError("No", response_text="x"), "No, Body: x"),
        (TokenHTTPError("No", 0, "x"), "No, StatusCode: 0, Body: x"),
    ],
)
def test_what_a_token_http_error_does_not_know_it_leaves_out(
    error: TokenHTTPError, said: str
) -> None:
    """No ``None`` in a message."""
    assert str(error) == said


def test_of_a_page_the_message_shows_the_beginning() -> None:
    """An answer with an error is short; what is long is HTML, and no line for a log."""
    error = TokenHTTPError("No", 404, "x" * 501)
    assert str(error) == f"No, StatusCode: 404, Body: {'x' * 500}..."
    assert error.response_text == "x" * 501
    assert str(TokenHTTPError("No", 404, "x" * 500)).endswith("x" * 500)


def test_the_parameters_of_rfc_6749_are_attributes() -> None:
    """RFC 6749 sections 4.2.2.1 and 5.2."""
    said = {"error": "e", "error_description": "d", "error_uri": "u"}
    for error in (TokenHTTPError("No", 400, "b", **said), AuthorizationError("No", **said)):  # type: ignore[arg-type]
        assert (error.error, error.error_description, error.error_uri) == ("e", "d", "u")
        assert error.message == "No"
    assert TokenHTTPError("No").error is None


def test_a_response_stays_behind_when_an_error_is_pickled() -> None:
    """It is bound to a connection and an event loop; all else goes along."""
    error = TokenHTTPError("No", 401, "b", error="e", response=object(), retry_after=3.0)  # type: ignore[arg-type]
    error.__dict__["note"] = "kept"
    back = pickle.loads(pickle.dumps(error))
    assert back.response is None
    assert (back.retry_after, back.error, back.note) == (3.0, "e", "kept")
    assert error.response is not None


def test_a_subclass_of_ones_own_pickles_as_well() -> None:
    """One that adds an attribute and nothing else."""
    error = MyError("No", 401, error="e")
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), back.error, back.response_status, back.mine) == (MyError, "e", 401, 1)


class MyError(TokenHTTPError):
    """A user's."""

    mine = 1
