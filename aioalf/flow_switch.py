"""`use_authorization_code_flow`, `use_device_flow`: which flow every `Client` uses from now on."""

from __future__ import annotations

import functools
import types
from collections.abc import Generator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .client import Client
from .manager import TokenManager

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .options import AuthorizationCodeOptions, DeviceOptions
    from .storage.base import TokenStorage

__all__ = ("FlowSwitch", "use_authorization_code_flow", "use_device_flow")


async def use_authorization_code_flow(
    token_storage: TokenStorage,
    port_range: Sequence[int] | None = (32000, 32009),
    **options: Unpack[AuthorizationCodeOptions],
) -> FlowSwitch:
    """Make every `Client` that is built from now on use the authorization code flow.

    Nothing is opened or bound here: that happens when a client needs a token. Clients that exist
    already, and subclasses of `Client` that name a `token_manager_class` of their own, are not touched.

    :param token_storage: where the clients keep and share their token; borrowed, never closed.
    :param port_range: the first and the last port on which a sign-in may be received.
    :param options: further keywords of `AuthorizationCodeTokenManager`; a keyword given to a client comes
        before them.
    :return: a handle whose ``close()`` (also ``async with``) puts back what was there; it may be ignored.
    :raises TypeError: a keyword is unknown, or a value is of the wrong kind.
    :raises ValueError: the range is not a range of ports, or an option cannot be used.
    """
    from .interactive.authorization_code import AuthorizationCodeTokenManager

    settings = {"token_storage": token_storage, "port_range": port_range, **options}
    return FlowSwitch(AuthorizationCodeTokenManager, settings)


async def use_device_flow(
    token_storage: TokenStorage, **options: Unpack[DeviceOptions]
) -> FlowSwitch:
    """Make every `Client` that is built from now on use the device flow.

    Nothing is asked for here; see `use_authorization_code_flow`.

    :param token_storage: where the clients keep and share their token; borrowed, never closed.
    :param options: further keywords of `DeviceTokenManager`; a keyword given to a client comes before them.
    :return: a handle whose ``close()`` (also ``async with``) puts back what was there; it may be ignored.
    :raises TypeError: a keyword is unknown, or a value is of the wrong kind.
    :raises ValueError: an option cannot be used.
    """
    from .interactive.device import DeviceTokenManager

    return FlowSwitch(DeviceTokenManager, {"token_storage": token_storage, **options})


class FlowSwitch:
    """Makes every `Client` use a flow; what `use_implicit_flow` returns.

    Clients that exist already are not touched. Switches may be closed in any order, each as often as one
    likes, in any thread.

    :param flow_class: the class of the flow: a `TokenManager`.
    :param settings: the keywords that the managers get; a keyword given to a client comes before them.
    :raises TypeError: a keyword is unknown, or a value is of the wrong kind.
    :raises ValueError: a value cannot be used; nothing has been switched then.
    """

    #: The manager class that this switch has put into place.
    manager_class: type[TokenManager]

    def __init__(self, flow_class: type[TokenManager], settings: Mapping[str, Any]) -> None:
        flow_class(**settings)  # a mistake is told here, not at the first client

        # A client looks at the signature to tell whose keyword is whose.
        @functools.wraps(flow_class.__init__)
        def __init__(manager: TokenManager, *args: Any, **options: Any) -> None:
            flow_class.__init__(manager, *args, **{**settings, **options})

        own = {"__init__": __init__, "__doc__": flow_class.__doc__, "flow": self}
        self.manager_class = types.new_class(
            f"Configured{flow_class.__name__}",
            (flow_class,),
            exec_body=lambda body: body.update(own),
        )
        self._closed = False
        self._previous = Client.token_manager_class
        Client.token_manager_class = self.manager_class

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'closed' if self._closed else 'in use'}>"

    def close(self) -> _Done:
        """Put back the manager class that was there before, unless another has replaced it.

        :return: something that may be awaited, and need not be.
        """
        self._closed = True
        current = Client.token_manager_class
        # A handle that was closed while a later one was in place is passed over.
        while (flow := getattr(current, "flow", None)) is not None:
            if not flow._closed or flow.manager_class is not current:
                break
            current = flow._previous
        Client.token_manager_class = current
        return _Done()

    async def __aenter__(self) -> FlowSwitch:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Done:
    """Awaitable at once, and no coroutine that complains when it is not awaited."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()
