"""Client authentication: how a token request says who asks (RFC 6749 section 2.3).

Pure: no I/O, and no import of aiohttp or asyncio.
"""

from __future__ import annotations

import base64
import re
from abc import ABC, abstractmethod
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from ..errors import TokenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..clock import Clock

__all__ = (
    "ClientAuth",
    "ClientAuthContext",
    "ClientSecret",
    "ClientSecretBasic",
    "ClientSecretBasicRaw",
    "ClientSecretPost",
    "NoClientAuth",
)

#: A client secret, or a callable, plain or ``async``, that returns it.
ClientSecret: TypeAlias = "str | Callable[[], str | Awaitable[str]]"

# Only what a form decoder would change: servers that decode, as RFC 6749 section 2.3.1 asks, and
# servers that do not both read an id such as "glBQ3nYU/8/kaVi/bIgXGA==" the same way.
_CHANGED_BY_DECODING = rb"[%+\x00-\x20\x7f-\xff]"
_CHANGED_BY_DECODING_OR_COLON = rb"[%+:\x00-\x20\x7f-\xff]"


class ClientAuthContext:
    """A request to the authorization server, for `ClientAuth.authenticate`.

    :param client_id: the client identifier.
    :param client_secret: the secret as it is now; empty if none is needed.
    :param endpoint: the URL that is asked.
    :param issuer: the issuer identifier of the server, or None if none is configured.
    :param clock: the clocks.
    """

    # By hand: the dataclasses module would be a tenth of what it takes to import this library.
    __slots__ = ("client_id", "client_secret", "clock", "endpoint", "form", "headers", "issuer")

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        endpoint: str,
        issuer: str | None,
        clock: Clock,
    ) -> None:
        self.client_id: str = client_id
        self.client_secret: str = client_secret
        self.endpoint: str = endpoint
        self.issuer: str | None = issuer
        self.clock: Clock = clock
        #: The header fields of this sending, to be changed in place.
        self.headers: MutableMapping[str, str] = {}
        #: The form of this sending, to be changed in place.
        self.form: MutableMapping[str, object] = {}


class ClientAuth(ABC):
    """One way for a client to authenticate; stateless, so one object may serve many managers."""

    #: Whether a client secret is needed at all.
    needs_secret = True
    #: Whether a client identifier is needed: an assertion may say itself who asks (RFC 7521 section 4.2).
    needs_client_id = True
    #: Whether the client is known by its certificate: requests then go to the server's mTLS endpoints
    #: (RFC 8705 section 5), if its metadata names some.
    uses_certificate = False

    async def authenticate(self, context: ClientAuthContext) -> None:
        """Add the credentials to one sending of a request; each repetition is a sending of its own.

        A subclass overrides this instead of `apply` if it has to wait for something (a key, a file), or
        needs the issuer or the clock. By default it calls `apply`.

        :param context: the sending; its headers and its form are changed in place.
        :raises TokenError: the credentials cannot be had; the request is then not sent.
        """
        self.apply(
            client_id=context.client_id,
            client_secret=context.client_secret,
            token_endpoint=context.endpoint,
            headers=context.headers,
            form=context.form,
        )

    @abstractmethod
    def apply(
        self,
        *,
        client_id: str,
        client_secret: str,
        token_endpoint: str,
        headers: MutableMapping[str, str],
        form: MutableMapping[str, object],
    ) -> None:
        """Add the credentials to a token request.

        :param client_id: the client identifier.
        :param client_secret: the secret as it is now; empty if none is needed.
        :param token_endpoint: the URL asked; what a signed assertion is addressed to.
        :param headers: the header fields of the request, changed in place.
        :param form: the form of the request, changed in place.
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ClientSecretBasic(ClientAuth):
    """HTTP Basic (``client_secret_basic``, RFC 6749 section 2.3.1): the default.

    Of id and secret, in UTF-8, those characters are percent-encoded that a form decoder would change:
    ``%``, ``+``, space, control and non-ASCII characters, and ``:`` in the id.
    """

    _encoded: ClassVar[Sequence[bytes | None]] = (
        _CHANGED_BY_DECODING_OR_COLON,
        _CHANGED_BY_DECODING,
    )

    def apply(
        self,
        *,
        client_id: str,
        client_secret: str,
        token_endpoint: str,
        headers: MutableMapping[str, str],
        form: MutableMapping[str, object],
    ) -> None:
        parts = []
        for text, pattern in zip((client_id, client_secret), self._encoded, strict=True):
            try:
                # An environment in another encoding arrives as surrogates, which stand for its bytes.
                part = text.encode("utf-8", "surrogateescape")
            except UnicodeEncodeError:
                # Raised from nothing: that error holds the whole text.
                raise TokenError(
                    "The client id or the client secret is not valid Unicode text."
                ) from None
            parts.append(part if pattern is None else re.sub(pattern, _percent, part))
        headers["Authorization"] = "Basic " + base64.b64encode(b":".join(parts)).decode("ascii")


class ClientSecretBasicRaw(ClientSecretBasic):
    """HTTP Basic with id and secret as they are: for a server that decodes nothing."""

    _encoded = (None, None)


class ClientSecretPost(ClientAuth):
    """Id and secret in the form (``client_secret_post``, RFC 6749 section 2.3.1)."""

    def apply(
        self,
        *,
        client_id: str,
        client_secret: str,
        token_endpoint: str,
        headers: MutableMapping[str, str],
        form: MutableMapping[str, object],
    ) -> None:
        form["client_id"] = client_id
        form["client_secret"] = client_secret


class NoClientAuth(ClientAuth):
    """A public client: the id in the form and nothing else (``none``, RFC 6749 section 3.2.1)."""

    needs_secret = False

    def apply(
        self,
        *,
        client_id: str,
        client_secret: str,
        token_endpoint: str,
        headers: MutableMapping[str, str],
        form: MutableMapping[str, object],
    ) -> None:
        form["client_id"] = client_id


def _percent(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]
