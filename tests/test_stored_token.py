"""The one line of text that a storage keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aioalf.errors import TokenError
from aioalf.storage.record import binding_of, read_line, write_line
from aioalf.token import Token

BINDING = "0f" * 32


def line(**changes: Any) -> str:
    """A line as this version writes it, with something else in it."""
    whole = json.loads(write_line(Token("t0k3n", 60, expires_at=1.7e9), BINDING))
    return json.dumps({**whole, **changes})


@pytest.mark.parametrize(
    "token",
    [
        Token("t0k3n", 3600),
        Token("t0k3n", None),
        Token("t0k3n", 0.5, scope="a b", refresh_token="r \u00fc \n", expires_at=1.7e9),
        Token("!#$%&'()*+,-./:;<=>?@[]^_`{|}~", -1, expires_at=-1.0),
    ],
)
def test_what_was_written_is_read_again_and_is_one_line(token: Token) -> None:
    """Whatever is in it: a storage may keep lines in a file."""
    written = write_line(token, BINDING)
    assert written.splitlines() == [written]
    assert written.isascii()
    assert read_line(written, BINDING) == token


@pytest.mark.parametrize(
    "form", [str.encode, lambda text: bytearray(text.encode()), " {} \n".format]
)
def test_a_storage_may_give_back_bytes_or_white_space(form: Any) -> None:
    """Files and databases do."""
    token = read_line(form(line()), BINDING)
    assert token is not None
    assert token.access_token == "t0k3n"


@pytest.mark.parametrize("nothing", [None, "", b""])
def test_nothing_is_no_token_and_no_error(nothing: object) -> None:
    """What `load` of an empty storage may give."""
    assert read_line(nothing, BINDING) is None


def test_a_line_of_another_binding_is_no_token_and_no_error() -> None:
    """Two clients may share one slot."""
    assert read_line(line(), "1e" * 32) is None
    assert read_line(line(binding=None), BINDING) is None


def test_a_bare_token_is_one_of_unknown_life() -> None:
    """That is what 0.4.0 saved."""
    token = read_line("2YotnFZFEjr1zCsicMWpAA", BINDING)
    assert token == Token("2YotnFZFEjr1zCsicMWpAA", None)
    assert token is not None
    assert token.expires_at is None


@pytest.mark.parametrize(
    "wrong",
    [
        17,
        ["a"],
        object(),
        "{",
        "{}",
        "{" * 100_000,
        line(v=2),
        line(v=None),
        line(access_token=""),
        line(access_token=None),
        line(access_token=17),
        line(access_token="two words"),
        line(access_token="s3cr3t\r\nX: y"),
        line(expires_at="soon"),
        line(expires_at=True),
        line(expires_at=float("nan")),
        line(expires_at=float("inf")),
        line(expires_in=[1]),
        "s3cr3t two words",
        "s3cr3t-\u00fc",
        b"s3cr3t-\xff\xfe",
        "\x00",
        '"t0k3n s3cr3t"',
    ],
)
def test_what_is_no_token_is_an_error_that_shows_nothing_of_it(wrong: object) -> None:
    """It is validated as a token response is."""
    with pytest.raises(TokenError) as caught:
        read_line(wrong, BINDING)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"refresh_token": 17}, {"scope": ["a"]}, {"refresh_token": ""}])
def test_a_good_token_is_not_thrown_away_for_a_bad_companion(wrong: dict[str, Any]) -> None:
    """The access token can be used without."""
    token = read_line(line(**wrong), BINDING)
    assert token is not None
    assert token.refresh_token is None
    assert token.scope is None


def test_a_field_of_a_later_version_is_passed_over() -> None:
    """As long as the version is the same."""
    assert read_line(line(later="something"), BINDING) is not None


ALL = ("client_credentials", "https://a/token", "id", "read write", {"audience": "x"})


@pytest.mark.parametrize(
    "other",
    [
        ("implicit", *ALL[1:]),
        (ALL[0], "https://b/token", *ALL[2:]),
        (*ALL[:2], "ID", *ALL[3:]),
        (*ALL[:3], "read", ALL[4]),
        (*ALL[:3], None, ALL[4]),
        (*ALL[:4], {"audience": "y"}),
        (*ALL[:4], {"audience": "x", "resource": "y"}),
        (*ALL[:4], None),
        (ALL[0], None, *ALL[2:]),
    ],
)
def test_whatever_a_token_is_bound_to_changes_the_binding(other: Any) -> None:
    """Flow, endpoint, client, scope, request parameters."""
    assert binding_of(*ALL) != binding_of(*other)


def test_the_order_of_scopes_and_parameters_does_not_change_the_binding() -> None:
    """RFC 6749 section 3.3: their order does not matter."""
    one = binding_of("f", "e", "c", "read write", {"a": "1", "b": ["2", "3"]})
    other = binding_of("f", "e", "c", "write  read", {"b": ["2", "3"], "a": "1"})
    assert one == other


def test_a_binding_is_fit_for_a_file_name_and_tells_nothing() -> None:
    """Lower case hexadecimal digits."""
    binding = binding_of(*ALL)
    assert len(binding) == 64
    assert set(binding) <= set("0123456789abcdef")
