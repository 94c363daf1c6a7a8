"""Token exchange (RFC 8693): a token of somebody else's is exchanged for one that this program may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from yarl import URL

from ..errors import TokenError
from ..manager import ClientSecret, TokenManager
from ..sources import Source, account_of, check_source, read_needed
from ..token import Token

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..options import ManagerOptions

__all__ = ("TokenExchangeManager",)

_GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


class TokenExchangeManager(TokenManager):
    """Gets tokens in exchange for others; a `TokenManager` in all else.

    It works without a client id, if the server needs none, as Google's does.

    :param token_endpoint: URL of the token endpoint; not needed with `issuer`.
    :param client_id: the client identifier, or None.
    :param client_secret: the client secret.
    :param http_options: as of `TokenManager`.
    :param scope: the scope to ask for: a string, or a list that is joined with single spaces.
    :param subject_token: the token to exchange: a string, or a callable, plain or ``async``, such as a
        `SecretFile`, that is asked at each token request. A string also tells stored tokens apart; for a
        callable that is done by `account`.
    :param subject_token_type: its type, a URI of RFC 8693 section 3; an access token by default.
    :param actor_token: the token of who acts on behalf of the subject, likewise; or None.
    :param actor_token_type: its type; an access token by default.
    :param requested_token_type: the type to ask for; the server decides by default.
    :param options: the other keywords of `TokenManager`; ``audience`` and ``resource`` go into
        `token_request_params`.
    :raises TypeError: a keyword is unknown, or a value is of the wrong kind.
    :raises ValueError: a value cannot be used; the message says why.
    """

    grant = "token-exchange"
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
        subject_token: Source,
        subject_token_type: str = _ACCESS_TOKEN,
        actor_token: Source | None = None,
        actor_token_type: str = _ACCESS_TOKEN,
        requested_token_type: str | None = None,
        **options: Unpack[ManagerOptions],
    ) -> None:
        check_source(subject_token, "subject_token")
        check_source(actor_token, "actor_token")
        self._subject, self._subject_type = subject_token, subject_token_type
        self._actor, self._actor_type = actor_token, actor_token_type
        self._requested_type = requested_token_type
        if (
            "token_storage" in options
        ):  # else nothing is stored, and one may be made for each incoming request
            options["account"] = account_of(options.get("account"), subject_token, actor_token)
        super().__init__(
            token_endpoint,
            client_id,
            client_secret,
            http_options,
            scope,
            **options,
        )

    async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
        """Exchange the tokens as they are now.

        :param previous: not used: the subject token is as good as a refresh token.
        :return: the parameters of the token response.
        :raises TokenError: there is no subject token, no token was given for it, or one that is not sent
            in a header.
        """
        form = {
            "grant_type": _GRANT_TYPE,
            "subject_token": await read_needed(self._subject, "subject_token"),
            "subject_token_type": self._subject_type,
            "requested_token_type": self._requested_type,
        }
        if self._actor is not None:
            form["actor_token"] = await read_needed(self._actor, "actor_token")
            form["actor_token_type"] = self._actor_type
        response = await self.request_token(form)
        if str(response.get("token_type")).lower() == "n_a":
            raise TokenError(
                "The token that was given in exchange is not an access token (its token_type is N_A): it"
                " cannot be sent as a Bearer token. requested_token_type= says what to ask for."
            )
        return response

    def _bound_params(self) -> Mapping[str, Any]:
        return {**super()._bound_params(), "requested_token_type": self._requested_type}
