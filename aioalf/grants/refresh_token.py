"""The refresh token grant (RFC 6749 section 6), for a refresh token that one has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from yarl import URL

from ..errors import TokenError, TokenHTTPError
from ..manager import ClientSecret, TokenManager
from ..sources import Source, account_of, check_source, read_needed
from ..token import Token

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..options import ManagerOptions

__all__ = ("RefreshTokenManager",)


class RefreshTokenManager(TokenManager):
    """Gets tokens for a refresh token that was had in another way; a `TokenManager` in all else.

    The refresh token given is the seed: it is used once. From then on it is the one that the server gave
    last, which a storage keeps; so a server that gives a new one each time needs a storage that outlives
    the process. A refresh token is saved before the token that came with it is used.

    :param token_endpoint: URL of the token endpoint; not needed with `issuer`.
    :param client_id: the client identifier.
    :param client_secret: the client secret, if the client has one: `ClientSecretBasic` is then the default
        of `client_auth`, else `NoClientAuth`.
    :param http_options: as of `TokenManager`.
    :param scope: the scope; it is sent only with `scope_on_refresh`, and tells stored tokens apart.
    :param refresh_token: the seed: a string, or a callable, plain or ``async``, such as a `SecretFile`. It
        is asked if no refresh token is stored, or the stored one was refused. A string also tells stored
        tokens apart; for a callable that is done by `account`.
    :param scope_on_refresh: send the scope too; some servers want that.
    :param options: the other keywords of `TokenManager`.
    :raises TypeError: a keyword is unknown, or a value is of the wrong kind.
    :raises ValueError: a value cannot be used; the message says why.
    """

    grant = "refresh_token"
    _may_be_public = True

    def __init__(
        self,
        token_endpoint: str | URL | None = None,
        client_id: str | None = None,
        client_secret: ClientSecret | None = None,
        http_options: Mapping[str, Any] | None = None,
        scope: str | Sequence[str] | None = None,
        *,
        refresh_token: Source | None = None,
        scope_on_refresh: bool = False,
        **options: Unpack[ManagerOptions],
    ) -> None:
        check_source(refresh_token, "refresh_token")
        self._seed = refresh_token
        self._scope_on_refresh = scope_on_refresh
        options["account"] = account_of(options.get("account"), refresh_token)
        super().__init__(
            token_endpoint,
            client_id,
            client_secret,
            http_options,
            scope,
            **options,
        )

    async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
        """Use the last refresh token, or the seed if there is none.

        :param previous: the token to be replaced; None if its refresh token was refused.
        :return: the parameters of the token response.
        :raises TokenError: there is no refresh token, or no token was given for it.
        """
        if previous is not None and previous.refresh_token:
            return await self._refresh(previous.refresh_token)
        seed = await read_needed(self._seed, "refresh_token")
        try:
            return await self._refresh(seed)
        except TokenHTTPError as error:
            if error.error != "invalid_grant":
                raise
            raise _refused(error) from error

    async def _refresh(self, refresh_token: str) -> Mapping[str, Any]:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self.request_token(form)


def _refused(error: TokenHTTPError) -> TokenError:
    said = f": {error.error_description}" if error.error_description else ""
    return TokenError(
        f"The refresh token is refused (invalid_grant{said}): it was revoked, has expired, or was used"
        " before. Get a new one, and give it as refresh_token=."
    )
