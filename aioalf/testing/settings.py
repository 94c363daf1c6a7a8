"""`Settings`: how an `AuthorizationServer` behaves."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import KW_ONLY, dataclass, field
from time import time as wall_clock

__all__ = ("Settings",)


@dataclass(eq=False, repr=False)
class Settings:
    """The settings of an `AuthorizationServer`, and its parameters.

    All but ``ssl_context`` and ``port`` may be set again while the server runs, and count from the next
    request on.

    :param client_id: the one client that there is.
    :param client_secret: its secret.
    :param token_lifetime: seconds; None leaves ``expires_in`` out, and such a token never expires.
    :param latency: seconds that the token endpoint takes before it looks at a request.
    :param resource_latency: seconds between the verdict on a token and the answer of the resource.
    :param single_valid: a new access token ends all that were issued before it.
    :param rejection_body: the body of every 401 of the protected resources.
    :param read_rejected: read the body of a request before it is rejected; false: answer at once.
    :param issue_refresh_tokens: give a refresh token with every access token (RFC 6749 section 6).
    :param rotate_refresh_tokens: each refresh gives a new refresh token and ends the old one;
        false: the old one stays valid, and none is given.
    :param token_parameters: set in every successful token response, over what it holds otherwise.
    :param decode_credentials: form-decode Basic credentials, as RFC 6749 section 2.3.1 says; false:
        take them as they are, as many servers do.
    :param allow_public: accept the client id in the form without a secret.
    :param allowed_scopes: the scope tokens that there are; None allows all.
    :param deny: the authorization endpoint answers ``access_denied``.
    :param keep_log: put what arrives into `log`; false for long runs.
    :param time: UTC seconds since the epoch; the clock that tokens expire by.
    :param ssl_context: serve TLS with this context; the URLs are https and wss then.
    :param port: where to listen; 0 takes a free port, and keeps it for the next start.
    """

    client_id: str = "client-id"
    client_secret: str = "secret"
    _: KW_ONLY
    token_lifetime: float | None = 3600.0
    latency: float = 0.0
    resource_latency: float = 0.0
    single_valid: bool = False
    rejection_body: bytes = b""
    read_rejected: bool = True
    issue_refresh_tokens: bool = False
    rotate_refresh_tokens: bool = True
    token_parameters: Mapping[str, object] = field(default_factory=dict)
    decode_credentials: bool = True
    allow_public: bool = False
    allowed_scopes: Collection[str] | None = None
    deny: bool = False
    keep_log: bool = True
    time: Callable[[], float] = wall_clock
    ssl_context: ssl.SSLContext | None = None
    port: int = 0
