"""What a token request says and what a token response means (RFC 6749 sections 4.4 and 5).

Pure: no I/O, and no import of aiohttp or asyncio.
"""

from __future__ import annotations

import email.utils
import json
import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timezone
from typing import Any
from urllib.parse import parse_qsl

from .errors import TokenError, TokenHTTPError
from .token import Token

__all__ = (
    "client_credentials_form",
    "read_expires_in",
    "read_retry_after",
    "read_token_response",
    "redact",
    "scope_string",
    "secrets_of",
    "token_from",
    "usable_access_token",
)

logger = logging.getLogger(__name__)

# Compiled when they are needed, and kept by re: compiling them all would be most of what it takes to import
# this library.

# RFC 6750 section 2.1 allows less (b64token); servers in the field give any visible ASCII.
_VISIBLE_ASCII = r"[\x21-\x7e]+"
_NO_ERROR_CODE = r"[^\x20-\x7e]"  # RFC 6749 section 5.2
_NUMBER = r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?"
# As they stand in JSON, in a form, in a header, in XML; escaped once more in a string or a page.
_QUOTE = r"(?:\\*[\"']|&quot;|&\#34;|%22)?"
_SECRET_FIELD = (
    r"(?i)((?:(?:access|refresh|id)_?token|client_?secret|(?:client_?)?assertion|password)"
    rf"{_QUOTE}\s*(?:[:=>]|%3A|%3D)\s*{_QUOTE})[^\"'&\s,}}<\\]+"
)
_CREDENTIALS = r"(?i)\b((?:Basic|Bearer)\s+)[A-Za-z0-9._~+/=-]{6,}"
_TELLING = 32  # characters that tell a long token from everything else
_LONG_TOKEN = rf"[A-Za-z0-9._~+/=-]{{{2 * _TELLING},}}"
_REST_OF_WORD = r"[\w.~+/=%&\#;\\-]*"  # however it is spelled
# Parameters of a token request that are secrets: client_secret, refresh_token, code_verifier, ...
_SECRET_NAME = r"(?!.*_type$).*(?:secret|token|assertion|code|password|key)"
_LOOKED_AT = 16_384  # characters of an error that are looked through
_SHOWN = 2000  # characters of them that go into an exception
_SPELLING = 20  # characters that one character of a secret may be spelled with


def scope_string(scope: str | Sequence[str] | None) -> str | None:
    """Join a list of scopes with single spaces (RFC 6749 section 3.3); None and empty give None."""
    if scope is None or isinstance(scope, str):
        return scope or None
    return " ".join(scope) or None


def client_credentials_form(
    scope: str | Sequence[str] | None, params: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The form of a client_credentials request (RFC 6749 section 4.4.2).

    :param scope: the scope to ask for, or None for the server's default.
    :param params: further parameters, such as ``audience``; a list as value repeats the parameter, None
        leaves it out.
    """
    form: dict[str, Any] = {"grant_type": "client_credentials"}
    if scoped := scope_string(scope):
        form["scope"] = scoped
    form.update((name, value) for name, value in (params or {}).items() if value is not None)
    return form


def read_token_response(
    status: int, content_type: str, body: bytes, *, secrets: Iterable[str] = ()
) -> dict[str, Any]:
    """Read the parameters of a token response (RFC 6749 sections 5.1 and 5.2).

    JSON is read whatever the content type says; form encoding, which some servers still answer in, is
    read where the content type allows it.

    :param status: the HTTP status.
    :param content_type: the media type, without parameters.
    :param body: the whole body.
    :param secrets: what must not be echoed in an error.
    :return: the parameters, not yet checked to hold a usable token: `token_from` does that.
    :raises TokenHTTPError: the status is 400 or above, or the body carries an ``error``.
    :raises TokenError: the body is no token response at all.
    """
    params = _parameters(content_type, body)
    if status >= 400 or (params is not None and params.get("error")):
        secrets = tuple(secrets)
        said: dict[str, Any] = {
            name: _excerpt(value, secrets)
            for name in ("error", "error_description", "error_uri")
            if params is not None and isinstance(value := params.get(name), str)
        }
        if "error" in said:  # it goes into one line of a log, whatever it is
            said["error"] = re.sub(_NO_ERROR_CODE, "?", said["error"])[:100]
        raise TokenHTTPError(
            "Failed to request token" + (f" ({said['error']})" if "error" in said else ""),
            status,
            _excerpt(body[: 4 * _LOOKED_AT].decode("utf-8", "replace"), secrets),
            **said,
        )
    if params is None:
        kind = redact(content_type, secrets)[:80] or "no content type"
        raise TokenError(
            f"The token endpoint answered {status} with a body that is no token response"
            f" ({len(body)} bytes, {kind}): a JSON object was expected. Is it the right URL?"
        )
    return params


def _parameters(content_type: str, body: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(body, parse_int=_integer)
    except (ValueError, RecursionError):
        if content_type not in ("application/x-www-form-urlencoded", "text/plain"):
            return None
        parsed = dict(parse_qsl(body.decode("utf-8", "replace").strip()))
        if not parsed.keys() & {"access_token", "error"}:
            return None
    return parsed if isinstance(parsed, dict) else None


def token_from(params: Mapping[str, Any], now: float, previous: Token | None = None) -> Token:
    """Make the token of a token response (RFC 6749 section 5.1).

    :param params: the parameters of the response.
    :param now: UTC seconds since the epoch.
    :param previous: the token replaced; its refresh token is kept until another is given (section 6).
    :raises TokenError: there is no usable Bearer token in it; the message names what is wrong.
    """
    if not isinstance(params, Mapping):
        raise TokenError(f"The token response is no mapping but a {type(params).__name__}.")
    kind = params.get("token_type")
    if kind is not None and (not isinstance(kind, str) or kind.lower() != "bearer"):
        raise TokenError(f"The token response holds a token of type {_named(kind)}, not Bearer.")
    access_token = usable_access_token(params.get("access_token"))
    lifetime = read_expires_in(params.get("expires_in"))
    scope = params.get("scope")
    if isinstance(scope, list) and all(isinstance(part, str) for part in scope):
        scope = " ".join(scope)
    refresh_token = params.get("refresh_token")
    if not isinstance(refresh_token, str) or not refresh_token:
        refresh_token = previous.refresh_token if previous is not None else None
    return Token(
        access_token,
        lifetime,
        scope=scope if isinstance(scope, str) else None,
        refresh_token=refresh_token,
        expires_at=None if lifetime is None else now + lifetime,
    )


def usable_access_token(value: object) -> str:
    """Return the access token if it can go into a header: a non-empty string of visible ASCII.

    :raises TokenError: it cannot; the message says why and does not show it.
    """
    if value is None:
        raise TokenError("The token response holds no access_token.")
    if not isinstance(value, str):
        raise TokenError(
            f"The access_token in the token response is a {type(value).__name__}, not a string."
        )
    if not value:
        raise TokenError("The access_token in the token response is empty.")
    if not re.fullmatch(_VISIBLE_ASCII, value):
        raise TokenError("The access_token in the token response holds a character it must not.")
    return value


def read_expires_in(value: object) -> float | None:
    """Read a token's life in seconds; None means unknown.

    A number, or a string that is one (at least PayPal's and Azure's have been), is seconds. What cannot
    be read is unknown, with a warning: a good access token is not thrown away for a bad hint.
    """
    if value is None:
        return None
    number = math.nan
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    elif isinstance(value, str) and re.fullmatch(_NUMBER, value.strip()):
        number = float(value)
    if math.isfinite(number):
        return number
    logger.warning(
        "The token response has an expires_in that cannot be read (a %s);"
        " the token is used until it is rejected.",
        type(value).__name__,
    )
    return None


def read_retry_after(value: str | None, now: float) -> float | None:
    """Read Retry-After (RFC 9110 section 10.2.3) as seconds from now; None where there is none.

    :param value: the header's value: a number of seconds or an HTTP date.
    :param now: UTC seconds since the epoch.
    """
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"[0-9]+", text):
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
        if date.tzinfo is None:  # the obsolete form of asctime() names no zone
            date = date.replace(tzinfo=timezone.utc)
        return max(0.0, date.timestamp() - now)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def secrets_of(
    client_secret: str | None, headers: Mapping[str, str], form: Mapping[str, Any]
) -> list[str]:
    """List what a token request holds that no error of ours may show, should the server repeat it.

    :param client_secret: the secret as it is now.
    :param headers: the header fields that client authentication has set.
    :param form: the whole form: its refresh token, code or assertion is a secret as well.
    """
    credentials = [value.rpartition(" ")[2].rstrip("=") for value in headers.values()]
    values = [value for name, value in form.items() if re.match(_SECRET_NAME, name)]
    return [s for s in (client_secret, *credentials, *values) if s and isinstance(s, str)]


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Take out of a text whatever is, or looks like, a secret or a token.

    :param text: what a server said.
    :param secrets: secrets that are known, taken out as they are and percent-encoded, or as they are
        escaped in JSON, HTML or XML.
    """
    # The longest first: a secret may hold another.
    for secret in sorted(secrets, key=len, reverse=True):
        if re.fullmatch(_LONG_TOKEN, secret):
            # Its beginning tells it, and the rest of the word goes with it: an expression of it all takes
            # Python as long to compile as a token request takes.
            beginning = "".join(map(_spellings, secret[:_TELLING]))
            text = re.sub(beginning + _REST_OF_WORD, "***", text)
        elif secret:
            text = re.sub("".join(map(_spellings, secret)), "***", text)
    return re.sub(_CREDENTIALS, r"\1***", re.sub(_SECRET_FIELD, r"\1***", text))


def _spellings(character: str) -> str:
    import html  # only where something has failed: it takes longer to import than all the rest here

    code = ord(character)
    escaped = (
        0xDC80 <= code <= 0xDCFF
    )  # a byte of another encoding, as Python reads its environment
    utf8 = character.encode("utf-8", "surrogateescape" if escaped else "surrogatepass")
    utf16 = character.encode("utf-16-be", "surrogatepass").hex()
    spelled = {
        re.escape(character),
        re.escape(html.escape(character)),
        re.escape(json.dumps(character)[1:-1]),
        "(?i:" + "".join(f"%(?:25)*{byte:02x}" for byte in utf8) + ")",  # also more than once
        "(?i:" + "".join(rf"\\u{utf16[i : i + 4]}" for i in range(0, len(utf16), 4)) + ")",
        rf"(?i:&\#(?:{code}|x0*{code:x});)",
        *({r"\+"} if character == " " else ()),
        *({r"\\/"} if character == "/" else ()),
        *({"\ufffd"} if code > 127 else ()),  # in an encoding that is not UTF-8
    }
    return "(?:" + "|".join(sorted(spelled)) + ")"


def _excerpt(text: str, secrets: Sequence[str]) -> str:
    shown = redact(text[:_LOOKED_AT], secrets)
    if len(text) > _LOOKED_AT:
        # Half a secret may stand at the cut, where nothing knows it.
        shown = shown[: -_SPELLING * max(map(len, secrets), default=0) or None]
    return shown[:_SHOWN]


def _integer(digits: str) -> float:
    # int() refuses, or takes minutes, where there are thousands of them.
    return int(digits) if len(digits) < 100 else float(digits)


def _named(value: object) -> str:
    # Short and without digits, as the registered ones are: it may be the token, in the wrong place.
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_-]{1,16}", value):
        return repr(value)
    return f"that is no name (a {type(value).__name__})"
