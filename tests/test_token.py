"""`Token`: an immutable value with 0.4.0's surface, and nothing of it shown."""

from __future__ import annotations

import copy
import pickle
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import aioalf.errors
import aioalf.redaction
from aioalf import Token
from aioalf.redaction import fingerprint


def test_a_token_is_made_of_two_positional_arguments() -> None:
    """0.4.0, Token: ``Token(access_token='', expires_in=0)``."""
    token = Token("abc", 10)
    assert (token.access_token, token.expires_in) == ("abc", 10.0)
    assert (Token().access_token, Token().expires_in) == ("", 0.0)


@pytest.mark.parametrize(("expires_in", "valid"), [(10, True), (0, False), (-10, False)])
def test_a_token_is_valid_until_it_expires(expires_in: float, valid: bool) -> None:
    """0.4.0, Token: ``.is_valid()`` is true for ``expires_in=10``, false for 0."""
    assert Token("abc", expires_in).is_valid() is valid
    assert Token("abc", str(expires_in)).is_valid() is valid


def test_a_token_of_unknown_life_is_valid() -> None:
    """Until a 401 says otherwise."""
    token = Token("abc", None)
    assert token.is_valid()
    assert token.expires_at is None
    assert token.expires_on == datetime.max


def test_expires_on_is_a_naive_datetime_in_utc() -> None:
    """0.4.0, Token: ``.expires_on``, naive UTC; ``expires_at`` is the same as a number."""
    before = datetime.now(timezone.utc).replace(tzinfo=None)
    expires_on = Token("abc", 3600).expires_on
    after = datetime.now(timezone.utc).replace(tzinfo=None)
    assert expires_on.tzinfo is None
    assert before <= expires_on - timedelta(seconds=3600) <= after
    assert Token("abc", expires_at=0).expires_on == datetime(1970, 1, 1)


def test_a_stored_expiry_is_taken_as_it_is() -> None:
    """`expires_at` is absolute; the life it began with goes beside it."""
    token = Token("abc", 3600, expires_at=1_700_000_000.5)
    assert (token.expires_in, token.expires_at) == (3600.0, 1_700_000_000.5)
    assert not token.is_valid()
    assert Token("abc", None, expires_at=time.time() + 100).is_valid()


@pytest.mark.parametrize("expires_at", [1e300, -1e300, 1e11, -1e11, float("nan"), float("inf")])
def test_an_expiry_centuries_away_can_be_shown(expires_at: float) -> None:
    """No overflow, whatever the server said."""
    token = Token("abc", 1, expires_at=expires_at)
    assert isinstance(token.expires_on, datetime)
    assert repr(token).startswith("<Token ")


@pytest.mark.parametrize("name", [*Token.__slots__, "other"])
def test_a_token_cannot_be_changed(name: str) -> None:
    """One token is shared by ten thousand tasks."""
    with pytest.raises(AttributeError, match="cannot be changed"):
        setattr(Token("abc", 10), name, "x")
    with pytest.raises(AttributeError, match="cannot be changed"):
        delattr(Token("abc", 10), name)


def test_tokens_are_values() -> None:
    """Equal by what they hold; they can be hashed, copied and pickled."""
    token = Token("abc", 10, scope="a", refresh_token="r", expires_at=5.0)
    same = Token("abc", 10, scope="a", refresh_token="r", expires_at=5.0)
    assert token == same
    assert hash(token) == hash(same)
    assert pickle.loads(pickle.dumps(token)) == copy.copy(token) == copy.deepcopy(token) == token
    assert token != Token("abc", 10, scope="b", refresh_token="r", expires_at=5.0)
    assert token != "abc"


def test_what_is_shown_of_a_token_is_a_fingerprint() -> None:
    """Neither the access token nor the refresh token, nor a part of them."""
    token = Token("abcdefgh", 10, scope="read", refresh_token="ijklmnop", expires_at=0)
    assert (
        repr(token)
        == str(token)
        == (f"<Token {fingerprint('abcdefgh')} expires=1970-01-01T00:00:00Z scope='read'>")
    )
    assert repr(Token("abcdefgh", None)) == (
        f"<Token {fingerprint('abcdefgh')} expires=unknown scope=None>"
    )


@pytest.mark.parametrize("token", ["", "abc", "ä", "\udcff", "x" * 10**5])
def test_a_fingerprint_is_eight_digits_under_a_key_of_the_process(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can test a guess against a log: with another key it is another one."""
    one = fingerprint(token)
    assert len(one) == 8
    assert int(one, 16) >= 0
    assert fingerprint(token) == one
    monkeypatch.setattr(aioalf.redaction, "_FINGERPRINT_KEY", b"another process")
    assert fingerprint(token) != one


@pytest.mark.parametrize("name", ["TokenError", "TokenHTTPError"])
def test_the_errors_have_their_old_import_path(name: str) -> None:
    """0.4.0, Import paths: ``aioalf.token.TokenError``, ``.TokenHTTPError``."""
    old: Any = getattr(aioalf.token, name)
    assert old is getattr(aioalf.errors, name)


def test_a_subclass_with_slots_of_its_own_is_compared_by_what_a_token_is() -> None:
    """Its own are its own business."""

    class Mine(Token):
        __slots__ = ("mine",)

    one, same, other = (Mine(text, 10, expires_at=1.0) for text in ("a", "a", "b"))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
