"""What a token request says and what a token response means (RFC 6749 sections 4.4 and 5).

Pure: no I/O, and no import of aiohttp or asyncio.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from typing import Any
from urllib.parse import parse_qsl, quote_plus

from ..errors import TokenError, TokenHTTPError
from ..redaction import excerpt, redact
from ..token import Token, read_expires_in, usable_access_token

__all__ = (
    "DEVICE_CODE",
    "TOKEN_ENDPOINT",
    "complete_form",
    "encode_form",
    "read_token_response",
    "scope_string",
    "token_from",
)

logger: logging.Logger = logging.getLogger("aioalf")

# Compiled when they are needed, and kept by re: compiling them all would be most of what it takes to import
# this library.

_NO_ERROR_CODE = r"[^\x20-\x7e]"  # RFC 6749 section 5.2
_LONGEST_LIFE = 2**53  # seconds; a float holds it exactly
_HUGE = rb"[0-9]{100}"
_BEARER = ("bearer", "bearertoken")  # the second is in the field
# RFC 6749 section 5.2, RFC 8628 section 3.5, RFC 8707 section 2, and what servers add to them.
_ERROR_CODES = frozenset(
    "invalid_request invalid_client invalid_grant unauthorized_client unsupported_grant_type invalid_scope"
    " authorization_pending slow_down access_denied expired_token invalid_target invalid_token"
    " unsupported_token_type server_error temporarily_unavailable".split()
)
#: The name of the endpoint, in messages and where endpoints are told apart.
TOKEN_ENDPOINT = "token endpoint"
#: The grant type of RFC 8628 section 3.4.
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
_HAVE_SCOPE = frozenset({"authorization_code", "refresh_token", DEVICE_CODE})
# What is a member of `Token` itself, or means nothing beyond the response.
_OWN_MEMBERS = frozenset(
    "access_token token_type expires_in refresh_token scope state iss code".split()
)


def scope_string(scope: object) -> str | None:
    """Join a list of scopes with single spaces (RFC 6749 section 3.3); None and empty give None.

    :raises TypeError: it is neither a string nor a list of strings.
    """
    if scope is None or isinstance(scope, str):
        return scope or None
    unusable = isinstance(scope, (bytes, Mapping)) or not isinstance(scope, Iterable)
    parts: list[Any] = [scope] if unusable else list(scope)  # type: ignore[call-overload]
    for part in parts:
        if not isinstance(part, str):
            raise TypeError(
                f"scope takes a string or a list of strings, not a {type(part).__name__}."
            )
    return " ".join(parts) or None


def complete_form(
    form: Mapping[str, Any],
    scope: str | None,
    params: Mapping[str, Any],
    *,
    scope_on_refresh: bool = False,
) -> dict[str, Any]:
    """Return the form of a token request with what its grant does not name; a field given wins.

    :param form: the fields of the grant, ``grant_type`` among them.
    :param scope: the scope to ask for, or None for the server's default. A code already stands for its
        scope (RFC 6749 section 4.1.3), and so does a refresh token (section 6).
    :param params: further parameters, such as ``audience``.
    :param scope_on_refresh: whether a refresh names the scope all the same, as some servers ask for.
    """
    grant = form.get("grant_type")
    added: dict[str, Any] = {}
    if scope and (grant not in _HAVE_SCOPE or (scope_on_refresh and grant == "refresh_token")):
        added["scope"] = scope
    added.update(params)
    complete = {**form, **added, **form}
    for name, value in list(complete.items()):
        if value is None:
            del complete[name]
    return complete


_quote = partial(quote_plus, errors="surrogateescape")
_quoted = lru_cache(maxsize=256)(_quote)


def encode_form(form: Mapping[str, Any]) -> bytes:
    """Encode a form (RFC 6749 appendix B).

    :param form: the parameters. A list as value repeats the parameter, a dict is sent as JSON (as OpenID
        Connect Core section 5.5 asks for ``claims``), a bool as ``true`` or ``false``. None is left out.
    :raises TypeError: a value is none of these, nor a string or a number.
    :raises TokenError: a value is not valid Unicode text.
    """
    pairs: list[str] = []
    try:
        for key, value in form.items():
            name = str(key)
            # Names and types are the same each time, and long: a token must not be kept for that.
            quote = _quoted if name.endswith("_type") else _quote
            items = value if isinstance(value, (list, tuple)) else [value]
            for item in items:
                if item is not None:
                    text = item if isinstance(item, str) else _form_value(name, item)
                    pairs.append(f"{_quoted(name)}={quote(text)}")
        return "&".join(pairs).encode("ascii")
    except UnicodeEncodeError:
        # Raised from nothing: that error holds the whole text.
        raise TokenError("A parameter of a token request is not valid Unicode text.") from None


def _form_value(name: str, value: object) -> str:
    if isinstance(value, (bool, Mapping)):
        return json.dumps(value, separators=(",", ":"))
    if isinstance(value, (int, float)):
        return str(value)
    raise TypeError(
        f"The parameter {name} of a token request is a {type(value).__name__}; a string, a number, a bool,"
        " a dict or a list of these is needed."
    )


def read_token_response(
    status: int,
    content_type: str,
    body: bytes,
    *,
    charset: str | None = None,
    secrets: Callable[[], list[str]] = list,
    endpoint: str = TOKEN_ENDPOINT,
) -> dict[str, Any]:
    """Read the parameters of a response (RFC 6749 sections 5.1 and 5.2).

    JSON is read whatever the content type says; form encoding, which some servers still answer in, is
    read if the content type allows it.

    :param status: the HTTP status.
    :param content_type: the media type, without parameters.
    :param body: the whole body.
    :param charset: the charset that the content type names, for a body that is not Unicode.
    :param secrets: lists the secrets that an error must not repeat; called if there is one.
    :param endpoint: which endpoint answered, for messages: they all answer in this form.
    :return: the parameters, not yet checked to hold a usable token: `token_from` does that.
    :raises TokenHTTPError: the status is 400 or above, or the body carries an ``error``.
    :raises TokenError: the body is not a token response at all.
    """
    params = None
    with contextlib.suppress(ValueError, RecursionError):
        params = json.loads(body, parse_int=_integer if re.search(_HUGE, body) else int)
    if not isinstance(params, dict):
        params = _parameters(content_type, _text(body, charset))
    if status >= 400 or params is None or params.get("error"):
        raise _error(status, content_type, params, body, _text(body, charset), secrets(), endpoint)
    return params


def _error(
    status: int,
    content_type: str,
    params: Mapping[str, Any] | None,
    body: bytes,
    text: str,
    secrets: list[str],
    endpoint: str,
) -> TokenError:
    if status < 400 and params is None:
        kind = re.sub(_NO_ERROR_CODE, "?", redact(content_type, secrets))[:80]
        expected = "a token response" if endpoint == TOKEN_ENDPOINT else "its response"
        return TokenError(
            f"The {endpoint} answered {status} with a body that is not {expected} ({len(body)} bytes,"
            f" {kind or 'no content type'}): a JSON object was expected. Is it the right URL?"
        )
    error_params: dict[str, Any] = {
        name: excerpt(value, secrets)
        for name in ("error", "error_description", "error_uri")
        if params is not None and isinstance(value := params.get(name), str)
    }
    code = params.get("error") if params is not None else None
    if isinstance(code, str) and code in _ERROR_CODES:
        error_params["error"] = code  # as it is: a secret may be a word of it
    elif "error" in error_params:  # it goes into one line of a log, whatever it is
        error_params["error"] = re.sub(_NO_ERROR_CODE, "?", error_params["error"])[:100]
    named = f" ({error_params['error']})" if "error" in error_params else ""
    failed = "Failed to request token" if endpoint == TOKEN_ENDPOINT else f"The {endpoint} refused"
    http_error = TokenHTTPError(f"{failed}{named}", status, excerpt(text, secrets), **error_params)
    http_error.endpoint_name = endpoint
    return http_error


def _text(body: bytes, charset: str | None) -> str:
    """Decode a body: as Unicode (RFC 8259 section 8.1), else by the charset that the server names."""
    for encoding in (json.detect_encoding(body), charset or "utf-8"):
        with contextlib.suppress(UnicodeDecodeError, LookupError):
            if text := body.decode("utf-8-sig" if encoding == "utf-8" else encoding):
                return text
    return body.decode("utf-8", "replace")


def _parameters(content_type: str, text: str) -> dict[str, Any] | None:
    """Read what is not JSON in Unicode: JSON in another charset, or a form."""
    with contextlib.suppress(ValueError, RecursionError):
        parsed = json.loads(text, parse_int=_integer)
        return parsed if isinstance(parsed, dict) else None
    if content_type not in ("application/x-www-form-urlencoded", "text/plain"):
        return None
    parsed = dict(parse_qsl(text.strip()))
    return parsed if parsed.keys() & {"access_token", "error"} else None


def token_from(params: Mapping[str, Any], now: float, previous: Token | None = None) -> Token:
    """Make the token of a token response (RFC 6749 section 5.1).

    :param params: the parameters of the response.
    :param now: UTC seconds since the epoch.
    :param previous: the token replaced; its refresh token is kept until another is given (section 6).
    :raises TokenError: there is no usable Bearer token in it; the message names what is wrong.
    """
    if not isinstance(params, Mapping):
        raise TokenError(f"The token response is a {type(params).__name__}, not a mapping.")
    kind = params.get("token_type")
    if kind is not None and (not isinstance(kind, str) or kind.lower() not in _BEARER):
        raise TokenError(
            f"The token response holds a token of type {_shown_type(kind)}, not Bearer. If it is used as a"
            " Bearer token all the same: override fetch_token and take token_type out of the response."
        )
    access_token = params.get("access_token")
    if access_token is None:
        raise TokenError(f"The token response holds no access_token, but {_member_names(params)}.")
    access_token = usable_access_token(access_token)
    lifetime = params.get("expires_in")
    if type(lifetime) is not int or abs(lifetime) > _LONGEST_LIFE:
        lifetime = read_expires_in(lifetime)
    scope = params.get("scope")
    if isinstance(scope, list) and all(isinstance(part, str) for part in scope):
        scope = " ".join(scope)
    scope = scope if isinstance(scope, str) else None
    extra = {}
    for name, value in params.items():
        if name not in _OWN_MEMBERS:
            extra[name] = value
    refresh_token = params.get("refresh_token")
    if previous is not None and previous.refresh_token is not None:
        scope = scope or previous.scope  # the same, if it is left out (RFC 6749 section 5.1)
        extra = {**previous.extra, **extra}
        if not isinstance(refresh_token, str) or not refresh_token:
            refresh_token = previous.refresh_token
    return Token(
        access_token,
        lifetime,
        scope=scope,
        refresh_token=refresh_token if isinstance(refresh_token, str) and refresh_token else None,
        expires_at=None if lifetime is None else now + lifetime,
        extra=extra,
    )


def _member_names(params: Mapping[str, Any]) -> str:
    """Name the members of a response, as far as names are: a value in their place may be a secret."""
    names = [str(name) for name in params if re.fullmatch(r"[A-Za-z_][A-Za-z_.-]{0,29}", str(name))]
    return ", ".join(names[:8]) or ("nothing" if not params else "other members")


def _integer(digits: str) -> float:
    # int() refuses thousands of digits, or takes minutes for them.
    return int(digits) if len(digits) < 100 else float(digits)


def _shown_type(value: object) -> str:
    # Short and without digits, as the registered ones are: it may be the token, in the wrong place.
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_-]{1,16}", value):
        return repr(value)
    return f"that is not a name (a {type(value).__name__})"
