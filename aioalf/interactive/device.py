"""The device flow (RFC 8628): a person signs in in a browser on another device."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from yarl import URL

from .._tasks import wait_bounded
from ..backoff import LONGEST_PAUSE
from ..errors import AuthorizationError, TokenError, TokenHTTPError
from ..manager import ClientSecret
from ..protocol.device import DeviceCode, read_device_response
from ..protocol.token_endpoint import DEVICE_CODE, scope_string
from .sign_in import SignInTokenManager

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..options import ManagerOptions

__all__ = ("DeviceCode", "DeviceTokenManager", "Prompt")

logger: logging.Logger = logging.getLogger("aioalf")

_DEVICE_ENDPOINT = "device authorization endpoint"
_LATER = (
    1.0  # seconds that a poll comes after the interval: clocks differ, and run at different speeds
)
_SLOW_DOWN = 5.0  # seconds (RFC 8628 section 3.5)
_REFUSALS = {
    "access_denied": "The sign-in was refused",
    "expired_token": "Nobody signed in in time",
}

#: Tells a person where to sign in: a plain function, which must not block, or an ``async`` one.
Prompt: TypeAlias = Callable[[DeviceCode], "Awaitable[object] | object"]


class DeviceTokenManager(SignInTokenManager):
    """Gets tokens by having a person sign in on another device; then by the refresh token, silently.

    For a machine without a browser. It shows an address and a code; the person opens the address anywhere
    and types the code, while the token endpoint is asked again and again. They are shown once, however many
    tasks wait, and however many managers share the storage.

    :param token_endpoint: URL of the token endpoint; not needed with `issuer`.
    :param client_id: the client identifier.
    :param client_secret: the client secret, if the client has one: `ClientSecretBasic` is then the default
        of `client_auth`, else `NoClientAuth`. It counts for both endpoints (RFC 8628 section 3.1).
    :param http_options: as of `TokenManager`.
    :param scope: the scope to ask for: a string, or a list that is joined with single spaces. Servers give
        a refresh token for ``offline_access``; it is not added by itself.
    :param device_authorization_endpoint: URL of that endpoint; not needed with `issuer`.
    :param prompt: tells the person, called with a `DeviceCode`: a plain function, which must not block, or
        an ``async`` one. By default address and code are printed on stderr.
    :param authorization_timeout: how long to wait for the person, in seconds, at most; the server may set a
        shorter time.
    :param scope_on_refresh: send the scope with a refresh token too.
    :param unattended: ask a person only when the program calls `sign_in`; a request that would need one
        raises `SignInRequired`.
    :param options: the other keywords of `TokenManager` (``issuer``, ``token_storage``, ``account``, ...).
    :raises TypeError: a keyword is unknown, or a value is of the wrong kind.
    :raises ValueError: a value cannot be used; the message says why.
    """

    def __init__(
        self,
        token_endpoint: str | URL | None = None,
        client_id: str | None = None,
        client_secret: ClientSecret | None = None,
        http_options: Mapping[str, Any] | None = None,
        scope: str | Sequence[str] | None = None,
        *,
        device_authorization_endpoint: str | URL | None = None,
        prompt: Prompt | None = None,
        authorization_timeout: float = 1800.0,
        scope_on_refresh: bool = False,
        unattended: bool = False,
        **options: Unpack[ManagerOptions],
    ) -> None:
        if prompt is not None and not callable(prompt):
            raise TypeError(
                f"prompt takes a function of a DeviceCode, not a {type(prompt).__name__}."
            )
        self._device_authorization_endpoint = device_authorization_endpoint
        self._prompt = prompt or _print_code
        super().__init__(
            token_endpoint,
            client_id,
            client_secret,
            http_options,
            scope,
            authorization_timeout=authorization_timeout,
            scope_on_refresh=scope_on_refresh,
            unattended=unattended,
            **options,
        )

    async def _ask_person(self) -> Mapping[str, Any]:
        """Show a code (RFC 8628 section 3.3), and ask for the token until it is there (section 3.4)."""
        clock = self._cache.clock
        await self._check_exchange()
        form = {"client_id": self._client_id, "scope": scope_string(self._scope), **self._params}
        form = {name: value for name, value in form.items() if value is not None}
        response = await self._request(_DEVICE_ENDPOINT, form)
        code, device_code, interval, life = read_device_response(response, clock.time())
        timeout = min(life, self._authorization_timeout)
        deadline = clock.monotonic() + timeout
        try:
            shown = self._prompt(code)
            if inspect.isawaitable(shown):
                await wait_bounded(shown, timeout)
        except Exception as error:
            raise TokenError(
                f"The prompt for the sign-in failed ({type(error).__name__})."
            ) from error
        poll = {"grant_type": DEVICE_CODE, "device_code": device_code, "client_id": self._client_id}
        wait = interval
        while clock.monotonic() + wait + _LATER < deadline:
            await clock.sleep(wait + _LATER)
            wait = interval
            try:
                return await self.request_token(poll)
            except TokenHTTPError as error:
                if error.error == "slow_down":
                    wait = interval = interval + _SLOW_DOWN
                elif error.error in _REFUSALS:
                    raise _refusal(error) from None
                elif error.error != "authorization_pending":
                    left = deadline - clock.monotonic()
                    wait = _wait_in_trouble(error, interval, left)
            except TokenError as error:
                if not error.transient:
                    raise
                # RFC 8628 section 3.5 asks to slow down, and by twice if an answer does not come.
                wait = interval = max(interval, min(2 * interval, LONGEST_PAUSE))
                logger.info(
                    "A poll for the sign-in had no answer; the next one comes in %.0f s.", wait
                )
        raise AuthorizationError(f"Nobody signed in within {timeout:g} seconds")


def _wait_in_trouble(error: TokenHTTPError, interval: float, left: float) -> float:
    """Return the seconds to wait after an answer that says nothing of the sign-in; else raise it.

    :param left: seconds until the deadline.
    """
    status, asked = error.response_status or 0, error.retry_after or 0.0
    # Whatever error it names: gateways and frameworks have words of their own for a server in trouble.
    if not (status in (408, 429) or status >= 500) or asked >= left:
        raise error
    return max(interval, asked)


def _refusal(error: TokenHTTPError) -> AuthorizationError:
    code, described = str(error.error), error.error_description
    text = f"{_REFUSALS[code]} ({code})" + (f": {described}" if described else "")
    return AuthorizationError(
        text, error=code, error_description=described, error_uri=error.error_uri
    )


def _print_code(code: DeviceCode) -> None:
    """Print the address and the code on stderr: both, as the person must compare the code."""
    text = f"To sign in, open this address in a browser, on any device:\n\n    {code.verification_uri}\n\n"
    text += f"and type this code:\n\n    {code.user_code}\n"
    if code.verification_uri_complete:
        text += (
            f"\nOr open this one, and compare the code:\n\n    {code.verification_uri_complete}\n"
        )
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):  # None (no console), closed, a broken pipe
        logger.warning("Nobody can be told where to sign in: stderr cannot be written to.")
