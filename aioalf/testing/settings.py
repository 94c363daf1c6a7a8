"""`Settings`: how an `AuthorizationServer` behaves."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
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
    :param detect_reuse: an old refresh token that is used again ends all tokens of its sign-in (RFC 9700
        section 4.14.2).
    :param refresh_grace: seconds for which an old refresh token is taken all the same.
    :param token_parameters: set in every successful token response, over what it holds otherwise.
    :param decode_credentials: form-decode Basic credentials, as RFC 6749 section 2.3.1 says; false:
        take them as they are, as many servers do.
    :param allow_public: accept the client id in the form without a secret.
    :param allow_certificate: accept the client id in the form without a secret, if a client certificate
        came with the TLS connection (RFC 8705 section 2); ``ssl_context`` says whose is verified.
    :param allowed_scopes: the scope tokens that there are; None allows all.
    :param deny: the authorization endpoint answers ``access_denied``.
    :param redirect_uris: the redirect URIs that there are, compared character by character; None allows
        all.
    :param any_loopback_port: of a redirect URI to this machine, pass over the port (RFC 8252 section 7.3).
    :param require_pkce: a request for a code needs a challenge, by the method S256 (RFC 7636).
    :param require_par: an authorization request must have been pushed (RFC 9126).
    :param code_lifetime: seconds for which a code, or a pushed request, counts.
    :param authorization_parameters: set in every authorization response, over what it holds otherwise; a
        list repeats a parameter, None takes it out.
    :param device_lifetime: seconds for which a device code counts.
    :param device_interval: seconds that a device must wait between two polls, or it is told to slow down.
    :param device_parameters: set in every device authorization response; None takes a parameter out.
    :param issuer_path: the path of the issuer identifier.
    :param metadata: set in the metadata; None takes a member out.
    :param client_keys: the public keys of the client, as JWKs (RFC 7517), for ``private_key_jwt``.
    :param allow_endpoint_audience: accept client assertions whose ``aud`` is the token endpoint, too.
    :param subject_tokens: tokens of others that can be exchanged (RFC 8693), beside those of this server.
    :param assertions: JWTs that are taken without a look into them: as a grant, and as authentication.
    :param issuers: the keys of others, as JWKs by ``iss``, whose assertions are taken as a grant.
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
    detect_reuse: bool = True
    refresh_grace: float = 0.0
    token_parameters: Mapping[str, object] = field(default_factory=dict)
    decode_credentials: bool = True
    allow_public: bool = False
    allow_certificate: bool = False
    allowed_scopes: Collection[str] | None = None
    deny: bool = False
    redirect_uris: Collection[str] | None = None
    any_loopback_port: bool = False
    require_pkce: bool = True
    require_par: bool = False
    code_lifetime: float = 60.0
    authorization_parameters: Mapping[str, str | Sequence[str] | None] = field(default_factory=dict)
    device_lifetime: float = 600.0
    device_interval: float = 5.0
    device_parameters: Mapping[str, object] = field(default_factory=dict)
    issuer_path: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)
    client_keys: Sequence[Mapping[str, str]] = ()
    allow_endpoint_audience: bool = False
    subject_tokens: Collection[str] = ()
    assertions: Collection[str] = ()
    issuers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    keep_log: bool = True
    time: Callable[[], float] = wall_clock
    ssl_context: ssl.SSLContext | None = None
    port: int = 0
