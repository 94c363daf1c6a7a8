"""Proof Key for Code Exchange (RFC 7636): only who has asked for a code can exchange it. Pure: no I/O."""

from __future__ import annotations

import base64
import hashlib
import secrets

__all__ = ("challenge_of", "new_verifier")


def new_verifier() -> str:
    """Return a fresh ``code_verifier``: 32 random bytes, as RFC 7636 section 4.1 recommends."""
    return secrets.token_urlsafe(32)


def challenge_of(verifier: str) -> str:
    """Return the ``code_challenge`` of a verifier, by the method S256 (RFC 7636 section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
