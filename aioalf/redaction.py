"""What may be shown of a secret, a token and a URL, in a message, a log or a `repr`.

Pure: no I/O, and no import of aiohttp or asyncio.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from yarl import URL

__all__ = ("excerpt", "fingerprint", "redact", "safe_url", "secrets_of")

_FINGERPRINT_KEY = os.urandom(16)

# Compiled when they are needed, and kept by re: compiling them all would be most of what it takes to import
# this library.

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


def fingerprint(token: str) -> str:
    """Name a token in a log without telling anything about it.

    The same token has the same name within a process, and another one in the next process, so that
    nobody can test a guess against a log.

    :param token: any token.
    :return: eight hexadecimal digits.
    """
    key = _FINGERPRINT_KEY
    return hashlib.blake2b(
        token.encode("utf-8", "surrogatepass"), key=key, digest_size=4
    ).hexdigest()


def safe_url(url: str | URL) -> str:
    """Return a URL as far as it may be shown: without user, password, query and fragment."""
    try:
        return str(URL(url).with_user(None).with_query(None).with_fragment(None))
    except (TypeError, ValueError):
        return "(not an absolute URL)"


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
    import html  # only after a failure: it takes longer to import than all the rest here

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


def excerpt(body: bytes | str, secrets: Sequence[str]) -> str:
    """Return the beginning of what a server said, redacted: what an exception may hold of it.

    :param body: the answer, or a part of it.
    :param secrets: secrets that are known.
    """
    if isinstance(body, bytes):
        body = body[: 4 * _LOOKED_AT].decode("utf-8", "replace")
    shown = redact(body[:_LOOKED_AT], secrets)
    if len(body) > _LOOKED_AT:
        # Half a secret may stand at the cut, and no pattern knows a half.
        shown = shown[: -_SPELLING * max(map(len, secrets), default=0) or None]
    return shown[:_SHOWN]
