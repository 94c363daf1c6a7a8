"""`TokenRegistry`: the tokens that are valid. Pure: no I/O."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from .refusal import OAuthErrorResponse

__all__ = ("TokenRegistry",)

_MOST_REFRESH_TOKENS = 10_000  # then the oldest that were replaced are forgotten

#: All tokens of one grant: they end together.
Family = object


@dataclass(frozen=True)
class _Access:
    expires_at: float | None  # in the seconds of the server's clock; None: until it is revoked
    scope: str | None
    family: Family | None

    def is_valid(self, now: float) -> bool:
        return self.expires_at is None or now < self.expires_at


@dataclass
class _Refresh:
    scope: str | None
    family: Family
    replaced_at: float | None = None


class TokenRegistry:
    """Holds the tokens that are valid; those that have expired are forgotten from time to time."""

    def __init__(self) -> None:
        self._access: dict[str, _Access] = {}
        self._refresh: dict[str, _Refresh] = {}
        self._purge_at = 1000

    def issue(
        self,
        scope: str | None,
        lifetime: float | None,
        now: float,
        *,
        single_valid: bool,
        family: Family | None = None,
    ) -> str:
        """Return a new access token.

        :param lifetime: seconds for which it is valid; None: until it is revoked.
        :param now: UTC seconds since the epoch.
        :param single_valid: whether it ends all that were issued before it.
        :param family: with which tokens it ends.
        """
        if single_valid:
            self._access.clear()
        if len(self._access) >= self._purge_at:
            self._access = {t: one for t, one in self._access.items() if one.is_valid(now)}
            self._purge_at = 2 * len(self._access) + 1000
        token = secrets.token_urlsafe(24)
        expires_at = None if lifetime is None else now + lifetime
        self._access[token] = _Access(expires_at, scope, family)
        return token

    def issue_refresh_token(self, scope: str | None, family: Family) -> str:
        """Return a new refresh token; it does not expire."""
        if len(self._refresh) >= _MOST_REFRESH_TOKENS:
            replaced = [t for t, one in self._refresh.items() if one.replaced_at is not None]
            for old in replaced[: _MOST_REFRESH_TOKENS // 2]:
                del self._refresh[old]
        token = secrets.token_urlsafe(24)
        self._refresh[token] = _Refresh(scope, family)
        return token

    def accepts(self, token: str, now: float) -> bool:
        """Return whether an access token is known and has not expired."""
        one = self._access.get(token)
        return one is not None and one.is_valid(now)

    def refresh_scope(self, token: str) -> str | None:
        """Return the scope that a refresh token stands for; nothing is used up.

        :raises OAuthErrorResponse: the refresh token is not known.
        """
        if token not in self._refresh:
            raise OAuthErrorResponse("invalid_grant", "unknown refresh token")
        return self._refresh[token].scope

    def refresh(
        self, token: str, now: float, *, rotate: bool, grace: float, detect_reuse: bool
    ) -> Family:
        """Use a refresh token, and return its family (RFC 6749 section 6).

        :param rotate: whether it is replaced from now on.
        :param grace: seconds for which it is taken after it was replaced.
        :param detect_reuse: whether its use after that ends the whole family (RFC 9700 section 4.14.2).
        :raises OAuthErrorResponse: the refresh token is not known, or was replaced.
        """
        self.refresh_scope(token)
        one = self._refresh[token]
        if one.replaced_at is not None and now - one.replaced_at >= grace:
            if detect_reuse:
                self.revoke_family(one.family)
            raise OAuthErrorResponse("invalid_grant", "the refresh token was used before")
        if rotate and one.replaced_at is None:
            one.replaced_at = now
        return one.family

    def revoke(self, token: str) -> None:
        """Forget an access token, or a refresh token with its family (RFC 7009 section 2.1)."""
        self._access.pop(token, None)
        if (one := self._refresh.pop(token, None)) is not None:
            self.revoke_family(one.family)

    def revoke_family(self, family: Family) -> None:
        """Forget all tokens of a family."""
        self._access = {t: one for t, one in self._access.items() if one.family is not family}
        self._refresh = {t: one for t, one in self._refresh.items() if one.family is not family}

    def revoke_all(self, *, refresh_tokens: bool) -> None:
        """Forget every access token, and every refresh token where asked."""
        self._access.clear()
        if refresh_tokens:
            self._refresh.clear()
