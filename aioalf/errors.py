"""The exceptions of aio-alf, all of them::

    aiohttp.ClientError
    └── TokenError               no token could be had, or it could not be kept
        ├── TokenHTTPError       the token endpoint answered with an error
        ├── AuthorizationError   a sign-in was refused, or did not come in time
        │   └── SignInRequired   a person has to sign in, and is not to be asked now
        └── TokenStorageError    a token storage cannot do its work

`TokenError` derives from `aiohttp.ClientError`, so code that already handles the failures of aiohttp
handles these too. No message of theirs ever holds a secret or a token. Wrong use (a closed client, an
unknown keyword) is a `RuntimeError`, `TypeError` or `ValueError`, as in aiohttp.
"""

from __future__ import annotations

from typing import Any

from aiohttp import ClientError, ClientResponse, RequestInfo, hdrs
from multidict import CIMultiDict, CIMultiDictProxy

from .redaction import safe_url

__all__ = (
    "AuthorizationError",
    "SignInRequired",
    "TokenError",
    "TokenErrorResponse",
    "TokenHTTPError",
    "TokenStorageError",
)

_SHOWN = 500  # characters of the answer in a message


class TokenError(ClientError):
    """No token could be had; the request that needed it was not sent."""

    #: Whether it may be different the next time: there was no connection, or no answer.
    transient = False


class _ProtocolError(TokenError):
    """An error that carries the three parameters of RFC 6749 sections 4.1.2.1, 4.2.2.1 and 5.2."""

    def __init__(
        self,
        message: str,
        *,
        error: str | None = None,
        error_description: str | None = None,
        error_uri: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error = error
        self.error_description = error_description
        self.error_uri = error_uri

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own pickling calls the class with `args` alone and forgets the keywords.
        return (self.__class__, self.args, self.__dict__)


class TokenHTTPError(_ProtocolError):
    """An endpoint answered, and what it answered is an error (RFC 6749 section 5.2).

    Mostly it is the token endpoint; `endpoint_name` says which one it was.

    :param message: what failed, in words.
    :param response_status: the HTTP status; 200 for a server that reports errors with that status.
    :param response_text: the body, with anything that looks like a secret or a token taken out.
    :param error: the error code, such as ``invalid_client``, or None.
    :param error_description: the server's text for a developer, or None.
    :param error_uri: a page about the error, or None.
    :param response: the response as `Client.request` returns it, or None if there is none.
    :param retry_after: the seconds the server asked to wait, or None.
    """

    def __init__(
        self,
        message: str,
        response_status: int | None = None,
        response_text: str | None = None,
        *,
        error: str | None = None,
        error_description: str | None = None,
        error_uri: str | None = None,
        response: TokenErrorResponse | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(
            message, error=error, error_description=error_description, error_uri=error_uri
        )
        self.response_status = response_status
        self.response_text = response_text
        self.response = response
        self.retry_after = retry_after
        #: Which endpoint it was, as far as its URL may be shown; None if that is not known.
        self.token_endpoint: str | None = None
        #: What kind of endpoint it was: "token endpoint", "revocation endpoint", ...
        self.endpoint_name = "token endpoint"

    def __str__(self) -> str:
        parts = [self.message]
        if self.response_status is not None:
            parts.append(f"StatusCode: {self.response_status}")
        if self.response_text:
            cut = len(self.response_text) > _SHOWN  # a page for people; `response_text` has it
            parts.append(f"Body: {self.response_text[:_SHOWN]}{'...' if cut else ''}")
        return ", ".join(parts)

    def __reduce__(self) -> tuple[Any, ...]:
        # A response is bound to a connection and an event loop: it stays behind.
        return (self.__class__, self.args, {**self.__dict__, "response": None})


class AuthorizationError(_ProtocolError):
    """A sign-in was refused, or nobody signed in in time (RFC 6749 section 4.2.2.1).

    :param message: what happened, in words.
    :param error: the error code, such as ``access_denied``; None if no answer came.
    :param error_description: the server's text for a developer, or None.
    :param error_uri: a page about the error, or None.
    """


class SignInRequired(AuthorizationError):
    """A person has to sign in, and must not be asked now: call ``sign_in()`` when one is there.

    Raised by a manager with ``unattended=True``, and by renewals in the background, which never ask a
    person.
    """


class TokenStorageError(TokenError):
    """A token storage cannot do its work; the message says what is missing and the remedy."""


class TokenErrorResponse(ClientResponse):
    """An error answer of the token endpoint, as `aioalf.Client.request` returns it.

    A class of its own, so that ``isinstance`` tells it from an answer of the resource. It is read
    already, its connection is given back, and all that waited for the token get the same object: it may
    be read and released any number of times. Its `request_info` holds no credentials.
    """

    @classmethod
    def from_response(cls, response: ClientResponse, body: bytes) -> TokenErrorResponse:
        """Turn a response whose body has been read into one of this class.

        There is no public way to build a `ClientResponse`, and its constructor has changed between
        versions of aiohttp; its class may be changed in all of them.
        """
        response._body = body
        response.__class__ = cls
        assert isinstance(response, cls)
        return response

    @property
    def request_info(self) -> RequestInfo:
        return without_credentials(super().request_info)

    async def read(self) -> bytes:
        assert self._body is not None
        return self._body

    def __repr__(self) -> str:
        # Without the headers: a server may repeat in them what it was sent.
        return f"<{type(self).__name__} {safe_url(self.url)} [{self.status}]>"


def without_credentials(info: RequestInfo) -> RequestInfo:
    """Return what aiohttp knows of a request, without its credentials."""
    headers = CIMultiDict(info.headers)
    for name in (hdrs.AUTHORIZATION, hdrs.PROXY_AUTHORIZATION):
        headers.popall(name, None)
    return RequestInfo(info.url, info.method, CIMultiDictProxy(headers), info.real_url)


# For this library itself. The classes above can be copied; a foreign subclass may hold what
# cannot.
CLONEABLE = frozenset(
    {TokenError, TokenHTTPError, AuthorizationError, SignInRequired, TokenStorageError}
)


def clone(error: TokenError) -> TokenError:
    """Return the same error as a new object: one for all would gather the tracebacks of all."""
    # Not copy.copy(): it calls the class, and a foreign subclass may take other arguments.
    try:
        again = error.__class__.__new__(error.__class__)
        again.args = error.args
        again.__dict__.update(error.__dict__)
    except Exception:  # a foreign subclass may also refuse this
        return TokenError(str(error))
    return again


def in_short(error: Exception) -> str:
    """Return what a log line says of an error, without a full stop at its end."""
    if isinstance(error, TokenHTTPError):
        code = error.error or "no error code"
        where = f" {error.token_endpoint}" if error.token_endpoint else ""
        return f"the {error.endpoint_name}{where} answered {error.response_status} ({code})"
    text = str(error) if isinstance(error, TokenError) else type(error).__name__
    return text.removesuffix(".")
