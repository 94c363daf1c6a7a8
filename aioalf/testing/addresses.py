"""`Addresses`: the URLs of an `AuthorizationServer`."""

from __future__ import annotations

from .settings import Settings

__all__ = ("Addresses",)


class Addresses(Settings):
    """Where everything is, once the server has been started."""

    @property
    def url(self) -> str:
        """The origin, without a slash at the end; it stays what it was when the server closes.

        :raises RuntimeError: the server has not been started yet, so that its port is not known.
        """
        if self.port == 0:
            raise RuntimeError("The server has not been started.")
        return f"{'https' if self.ssl_context else 'http'}://127.0.0.1:{self.port}"

    @property
    def token_endpoint(self) -> str:
        """Answers every grant that this library speaks."""
        return self.url + "/token"

    @property
    def issuer(self) -> str:
        """The issuer identifier; its metadata is at both well-known paths, appended and inserted."""
        return self.url + self.issuer_path

    @property
    def device_authorization_endpoint(self) -> str:
        """Begins a sign-in on another device (RFC 8628); `approve` and `decline` end it."""
        return self.url + "/device_authorization"

    @property
    def pushed_authorization_request_endpoint(self) -> str:
        """Takes authorization requests (RFC 9126)."""
        return self.url + "/par"

    @property
    def revocation_endpoint(self) -> str:
        """Revokes tokens (RFC 7009); a refresh token ends with all that came of the same sign-in."""
        return self.url + "/revoke"

    @property
    def authorization_endpoint(self) -> str:
        """Answers ``response_type=code`` and ``token`` as if somebody had just signed in.

        In the query or the fragment of a redirect; with ``response_mode=form_post`` in a form that sends
        itself (RFC 6749 sections 4.1 and 4.2).
        """
        return self.url + "/authorize"

    @property
    def resource(self) -> str:
        """Echoes, at this path and below it, for any method.

        The answer is a JSON object of ``method``, ``path``, ``query`` and ``headers`` (names to
        values), ``body`` (the first MiB as text), ``body_sha256`` and ``body_length`` (in bytes).
        """
        return self.url + "/resource"

    @property
    def websocket(self) -> str:
        """Echoes messages; the token is checked at the handshake."""
        return f"{self.url.replace('http', 'ws', 1)}/ws"

    @property
    def stream(self) -> str:
        """Sends server-sent events: ``?count=3`` of them, ``&interval=0`` seconds apart."""
        return self.url + "/stream"

    @property
    def redirect(self) -> str:
        """Redirects: ``?to=URL&status=302``."""
        return self.url + "/redirect"
