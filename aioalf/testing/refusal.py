"""Requests that are refused, and the checks that both endpoints make. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

__all__ = ("OAuthErrorResponse", "check_scope", "unique_parameters")

# RFC 6749 section 3.3: visible ASCII without the quote and the backslash, one space between tokens.
_SCOPE = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")
# RFC 8707 section 2 and RFC 8693 section 2.1.
_REPEATABLE = frozenset({"audience", "resource"})


class OAuthErrorResponse(Exception):
    """The error response of RFC 6749 section 5.2, raised if a request is refused.

    :param error: the error code of RFC 6749.
    :param description: why, for a developer.
    :param status: the HTTP status.
    """

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.status = status
        self.parameters: dict[str, str] = {"error": error, "error_description": description}

    @property
    def headers(self) -> dict[str, str]:
        """The headers that go with the status."""
        if self.status == 401:
            return {"WWW-Authenticate": 'Basic realm="token endpoint"'}
        return {"Allow": "POST"} if self.status == 405 else {}


def unique_parameters(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the parameters of a request; one without a value counts as left out.

    Of a parameter that may be repeated, the last value.

    :raises OAuthErrorResponse: a parameter is repeated (RFC 6749 sections 3.1 and 3.2).
    """
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1 and name not in _REPEATABLE:
            raise OAuthErrorResponse("invalid_request", f"parameter {name!r} is repeated")
    return {name: value for name, value in pairs if value}


def check_scope(scope: str | None, allowed: Collection[str] | None) -> str | None:
    """Return the scope that is granted: the one asked for.

    :param allowed: the scope tokens that there are; None allows all.
    :raises OAuthErrorResponse: a malformed scope, or one that is not allowed (RFC 6749 section 3.3).
    """
    if scope is None:
        return None
    if not _SCOPE.fullmatch(scope):
        raise OAuthErrorResponse("invalid_scope", "malformed scope")
    if allowed is not None and not set(scope.split(" ")) <= set(allowed):
        raise OAuthErrorResponse("invalid_scope", "unknown scope")
    return scope
