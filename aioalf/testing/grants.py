"""`Grants`: codes, devices and pushed requests, and the tokens that come of them. Pure: no I/O."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from .assertions import Assertions
from .refusal import OAuthErrorResponse
from .tokens import Family, TokenRegistry

__all__ = ("Code", "Device", "Grants")


@dataclass
class Code:
    """A code, and what must be known to exchange it (RFC 6749 section 4.1.2, RFC 7636 section 4.4)."""

    redirect_uri: str
    challenge: str | None
    scope: str | None
    expires_at: float
    family: Family = field(default_factory=object)
    used: bool = False


@dataclass
class Device:
    """A device that waits for a person (RFC 8628 section 3.2)."""

    user_code: str
    scope: str | None
    expires_at: float
    interval: float
    verdict: bool | None = None
    polled_at: float | None = None


class Grants:
    """Holds all tokens, and the codes, devices and pushed requests that tokens come of."""

    def __init__(self) -> None:
        self.tokens: TokenRegistry = TokenRegistry()
        self.assertions: Assertions = Assertions()
        self.codes: dict[str, Code] = {}
        self.devices: dict[str, Device] = {}
        self.pushed: dict[str, tuple[Mapping[str, str], float]] = {}

    def exchange_code(self, form: Mapping[str, str], now: float) -> Code:
        """Use a code (RFC 6749 section 4.1.3).

        :raises OAuthErrorResponse: it is not known, was used, has expired, or belongs to another request.
        """
        code = self.codes.get(form.get("code", ""))
        if code is None:
            raise OAuthErrorResponse("invalid_grant", "unknown code")
        if code.used:
            self.tokens.revoke_family(code.family)  # RFC 6749 section 4.1.2
            raise OAuthErrorResponse("invalid_grant", "the code was used before")
        code.used = True
        if now >= code.expires_at:
            raise OAuthErrorResponse("invalid_grant", "the code has expired")
        if form.get("redirect_uri") != code.redirect_uri:
            raise OAuthErrorResponse("invalid_grant", "another redirect_uri than before")
        verifier = form.get("code_verifier")
        if (code.challenge is None) != (verifier is None):
            raise OAuthErrorResponse(
                "invalid_grant", "code_verifier and code_challenge go together"
            )
        if verifier is not None:
            digest = hashlib.sha256(verifier.encode()).digest()
            computed = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if computed != code.challenge or not 43 <= len(verifier) <= 128:
                raise OAuthErrorResponse("invalid_grant", "the code_verifier is not the right one")
        return code

    def add_device(self, scope: str | None, expires_at: float, interval: float) -> tuple[str, str]:
        """Begin to wait for a person; return the device code and the user code."""
        letters = "".join(secrets.choice("BCDFGHJKLMNPQRSTVWXZ") for _ in range(8))
        device_code, user_code = secrets.token_urlsafe(24), f"{letters[:4]}-{letters[4:]}"
        self.devices[device_code] = Device(user_code, scope, expires_at, interval)
        return device_code, user_code

    def poll(self, device_code: str, now: float) -> Device:
        """Return a device that was approved (RFC 8628 section 3.5).

        :raises OAuthErrorResponse: it was not, or not yet, or it asks too often.
        """
        device = self.devices.get(device_code)
        if device is None:
            raise OAuthErrorResponse("invalid_grant", "unknown device_code")
        if now >= device.expires_at:
            raise OAuthErrorResponse("expired_token", "the device_code has expired")
        early = device.polled_at is not None and now - device.polled_at < device.interval
        device.polled_at = now
        if early:
            device.interval += 5.0
            raise OAuthErrorResponse("slow_down", "polled too fast")
        if device.verdict is None:
            raise OAuthErrorResponse("authorization_pending", "nobody has decided yet")
        del self.devices[device_code]
        if not device.verdict:
            raise OAuthErrorResponse("access_denied", "the person has declined")
        return device

    def decide(self, user_code: str, verdict: bool) -> None:
        """Note what a person has decided.

        :raises ValueError: no device waits with this code.
        """
        for device in self.devices.values():
            if device.user_code == user_code.strip().upper():
                device.verdict = verdict
                return
        raise ValueError(f"No device waits with the user code {user_code}.")

    def take_pushed(self, request_uri: str, now: float) -> Mapping[str, str]:
        """Return the request that was pushed, once (RFC 9126 section 4).

        :raises OAuthErrorResponse: it is not known, or has expired.
        """
        request, expires_at = self.pushed.pop(request_uri, ({}, 0.0))
        if now >= expires_at:
            raise OAuthErrorResponse("invalid_request", "unknown request_uri")
        return request
