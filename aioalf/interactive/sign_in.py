"""`SignInTokenManager`: what all flows have in common in which a person signs in."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import AuthorizationError, TokenError, TokenHTTPError
from ..events import SignInBegun, SignInDone, SignInFailed
from ..manager import TokenManager
from ..protocol.token_endpoint import TOKEN_ENDPOINT
from ..renewal.circuit_breaker import CircuitBreaker, RenewalThrottle
from ..renewal.log import tell
from ..renewal.on_demand import demand
from ..storage.base import TokenStorage
from ..token import Token

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..options import ManagerOptions

__all__ = ("SignInTokenManager",)

logger: logging.Logger = logging.getLogger("aioalf")

_REMEMBERED_SIGN_INS = 100  # kinds of sign-in, at most, whose refusal a storage holds
_LOCK_MARGIN = 10.0  # seconds longer than a sign-in may take: the holder of the lock is then gone


class SignInTokenManager(TokenManager):
    """Has a person sign in if there is no token and no refresh token; a `TokenManager` in all else.

    A person is asked once, however many tasks wait, and however many managers share the storage. A refusal,
    or a sign-in that did not come in time, is remembered for a minute or until `sign_in`. If no task waits
    any more, the sign-in is given up. What runs in the background never asks.

    :param authorization_timeout: how long to wait for the person, in seconds.
    :param unattended: ask a person only when the program calls `sign_in`; a request that would need one
        raises `SignInRequired`.
    :param scope_on_refresh: send the scope with a refresh token too; some servers want that.
    :param options: positional and keyword parameters of `TokenManager`.
    """

    interactive: ClassVar[bool] = True
    grant = "sign-in"
    _may_be_public = True

    def __init__(
        self,
        *args: Any,
        authorization_timeout: float,
        unattended: bool = False,
        scope_on_refresh: bool = False,
        **options: Unpack[ManagerOptions],
    ) -> None:
        if not isinstance(authorization_timeout, (int, float)):
            kind = type(authorization_timeout).__name__
            raise TypeError(f"authorization_timeout takes a number of seconds, not a {kind}.")
        if not authorization_timeout > 0:
            raise ValueError("authorization_timeout must be more than 0 seconds")
        self._authorization_timeout = authorization_timeout
        self._scope_on_refresh = scope_on_refresh
        self._told_of_no_refresh_token = False
        self.lock_timeout: float = authorization_timeout + _LOCK_MARGIN
        self.fetch_timeout: float = self.lock_timeout
        super().__init__(*args, **options)
        self._cache.fetcher.unattended = unattended

    def _use_storage(self, storage: TokenStorage) -> None:
        super()._use_storage(storage)
        # A refusal is the person's: it counts for every manager that would get the same token into this
        # storage, even one that is made for a single request. So the storage holds it.
        cache = self._cache
        shared: dict[object, tuple[CircuitBreaker, RenewalThrottle]]
        shared = getattr(storage, "__dict__", {}).setdefault("_sign_in_limits", {})
        own = (cache.breaker, cache.throttle)
        cache.breaker, cache.throttle = shared.setdefault((self._binding(), cache.clock), own)
        if len(shared) > _REMEMBERED_SIGN_INS:
            del shared[next(iter(shared))]

    async def sign_in(self) -> Token:
        """Have a person sign in now, whatever token there is, and return the new token.

        All that call it while it runs wait for the same sign-in.

        :raises AuthorizationError: the sign-in was refused, failed, or did not come in time.
        :raises TokenError: it cannot be asked for.
        :raises RuntimeError: the manager is closed, or is used in two running event loops.
        """
        return await demand(self._cache, sign_in=True)

    async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
        """Use the refresh token (RFC 6749 section 6), or have a person sign in if there is none.

        :param previous: the token to be replaced, with its refresh token; None if a person is to sign in.
        :return: the parameters of the token response.
        :raises AuthorizationError: the sign-in was refused, failed, or did not come in time.
        :raises TokenError: it cannot be asked for, or no token was given.
        """
        if previous is not None and previous.refresh_token:
            return await self.request_token(
                {"grant_type": "refresh_token", "refresh_token": previous.refresh_token}
            )
        if not self._client_id:
            raise TokenError("Missing credentials (client_id:client_secret)")
        if (refused := self._cache.breaker.error_while_open()) is not None:
            raise refused  # while this manager waited for the storage's lock
        cache = self._cache
        tell(cache, SignInBegun())
        begun = cache.clock.monotonic()
        try:
            response = await self._ask_person()
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, AuthorizationError):
                # Now, while the storage is locked: the next in line must not open a window.
                cache.breaker.record_refusal(error)
            code = error.error if isinstance(error, (AuthorizationError, TokenHTTPError)) else None
            tell(cache, SignInFailed(code, cache.clock.monotonic() - begun))
            raise
        tell(cache, SignInDone(cache.clock.monotonic() - begun))
        if not response.get("refresh_token"):
            self._tell_of_no_refresh_token()
        return response

    async def _check_exchange(self) -> None:
        """Check that a token can be asked for once the person has signed in: else they did it for nothing.

        :raises TokenError: the token endpoint, or the client secret, is missing.
        """
        if not await self._url_of(TOKEN_ENDPOINT):
            raise TokenError(f"Missing {TOKEN_ENDPOINT}")
        await self._credentials()

    @abstractmethod
    async def _ask_person(self) -> Mapping[str, Any]:
        """Have a person sign in, and return the parameters of the token response."""

    def _tell_of_no_refresh_token(self) -> None:
        if not self._told_of_no_refresh_token:
            self._told_of_no_refresh_token = True
            logger.info(
                "The sign-in gave no refresh token: a person signs in again when the token expires. Servers"
                " give one for the scope offline_access, Google for access_type=offline and prompt=consent"
                " (authorization_params)."
            )
