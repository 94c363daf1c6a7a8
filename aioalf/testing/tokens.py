"""`TokenRegistry`: the tokens that are valid. Pure: no I/O."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from .refusal import OAuthErrorResponse

__all__ = ("TokenRegistry",)


@dataclass(frozen=True)
class _Grant:
    expires_at: float | None  # in the seconds of the server's clock; None: until it is revoked
    scope: str | None

    def is_valid(self, now: float) -> bool:
        return self.expires_at is None or now < self.expires_at


class TokenRegistry:
    """Holds the tokens that are valid; those that have expired are forgotten from time to time."""

    def __init__(self) -> None:
        self._access: dict[str, _Grant] = {}
        self._refresh: dict[str, str | None] = {}
        self._purge_at = 1000

    def issue(
        self, scope: str | None, lifetime: float | None, now: float, *, single_valid: bool
    ) -> str:
        """Return a new access token.

        :param lifetime: seconds for which it is valid; None: until it is revoked.
        :param now: UTC seconds since the epoch.
        :param single_valid: whether it ends all that were issued before it.
        """
        if single_valid:
            self._access.clear()
        if len(self._access) >= self._purge_at:
            self._access = {t: g for t, g in self._access.items() if g.is_valid(now)}
            self._purge_at = 2 * len(self._access) + 1000
        token = secrets.token_urlsafe(24)
        self._access[token] = _Grant(None if lifetime is None else now + lifetime, scope)
        return token

    def issue_refresh_token(self, scope: str | None) -> str:
        """Return a new refresh token; it does not expire."""
        token = secrets.token_urlsafe(24)
        self._refresh[token] = scope
        return token

    def accepts(self, token: str, now: float) -> bool:
        """Return whether an access token is known and has not expired."""
        grant = self._access.get(token)
        return grant is not None and grant.is_valid(now)

    def refresh_scope(self, token: str) -> str | None:
        """Return the scope that a refresh token stands for (RFC 6749 section 6).

        :raises OAuthErrorResponse: the refresh token is not known.
        """
        if token not in self._refresh:
            raise OAuthErrorResponse("invalid_grant", "unknown refresh token")
        return self._refresh[token]

    def revoke(self, token: str) -> None:
        """Forget an access token or a refresh token, if it is known."""
        self._access.pop(token, None)
        self._refresh.pop(token, None)

    def revoke_all(self, *, refresh_tokens: bool) -> None:
        """Forget every access token, and every refresh token where asked."""
        self._access.clear()
        if refresh_tokens:
            self._refresh.clear()
