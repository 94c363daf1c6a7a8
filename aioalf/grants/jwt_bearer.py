"""The JWT bearer grant (RFC 7523 section 2.1): a signed assertion stands for whoever it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from yarl import URL

from ..manager import ClientSecret, TokenManager
from ..sources import Source, account_of, check_source, read_needed
from ..token import Token

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..options import ManagerOptions

__all__ = ("JWTBearerTokenManager",)

_GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class JWTBearerTokenManager(TokenManager):
    """Gets tokens for an assertion that somebody has signed; a `TokenManager` in all else.

    It works without a client id, if the server needs none.

    :param token_endpoint: URL of the token endpoint; not needed with `issuer`.
    :param client_id: the client identifier, or None.
    :param client_secret: the client secret.
    :param http_options: as of `TokenManager`.
    :param scope: the scope to ask for: a string, or a list that is joined with single spaces.
    :param assertion: the assertion, a JWT: a string, or a callable, plain or ``async``, that is asked at
        each token request. A string also tells stored tokens apart; for a callable that is done by
        `account`.
    :param options: the other keywords of `TokenManager`.
    :raises TypeError: a keyword is unknown, or a value is of the wrong kind.
    :raises ValueError: a value cannot be used; the message says why.
    """

    grant = "jwt-bearer"
    _needs_client = False
    _may_be_public = True

    def __init__(
        self,
        token_endpoint: str | URL | None = None,
        client_id: str | None = None,
        client_secret: ClientSecret | None = None,
        http_options: Mapping[str, Any] | None = None,
        scope: str | Sequence[str] | None = None,
        *,
        assertion: Source,
        **options: Unpack[ManagerOptions],
    ) -> None:
        check_source(assertion, "assertion")
        self._assertion = assertion
        options["account"] = account_of(options.get("account"), assertion)
        super().__init__(
            token_endpoint,
            client_id,
            client_secret,
            http_options,
            scope,
            **options,
        )

    async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
        """Send the assertion as it is now.

        :param previous: not used: a new assertion is as good as a refresh token.
        :return: the parameters of the token response.
        :raises TokenError: there is no assertion, or no token was given for it.
        """
        assertion = await read_needed(self._assertion, "assertion")
        return await self.request_token({"grant_type": _GRANT_TYPE, "assertion": assertion})
