"""`use_implicit_flow`, under the path that version 0.4.0 had for it.

The manager is in `aioalf.interactive.implicit`, the switch in `aioalf.flow_switch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .flow_switch import FlowSwitch
from .interactive.implicit import OAuthImplicitTokenManager, OAuthImplictTokenManager
from .storage.base import TokenStorage

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .options import ImplicitOptions

__all__ = (
    "ImplicitFlow",
    "OAuthImplicitTokenManager",
    "OAuthImplictTokenManager",
    "TokenStorage",
    "use_implicit_flow",
)

#: The name that this class had while the implicit flow was the only one.
ImplicitFlow = FlowSwitch


async def use_implicit_flow(
    token_storage: TokenStorage,
    port_range: Sequence[int] = (32000, 32009),
    **options: Unpack[ImplicitOptions],
) -> FlowSwitch:
    """Make every `Client` that is built from now on use the implicit flow.

    Nothing is opened or bound here: that happens when a client needs a token. Clients that exist
    already, and subclasses of `Client` that name a `token_manager_class` of their own, are not touched.

    :param token_storage: where the clients keep and share their token; borrowed, never closed.
    :param port_range: the first and the last port on which a sign-in may be received.
    :param options: further keywords of `OAuthImplictTokenManager`; a keyword given to a client comes
        before them.
    :return: a handle whose ``close()`` (also ``async with``) puts back what was there; it may be ignored.
    :raises TypeError: a keyword is unknown, or a value is of the wrong kind.
    :raises ValueError: the range is not a range of ports, or an option cannot be used.
    """
    settings = {"token_storage": token_storage, "port_range": port_range, **options}
    return FlowSwitch(OAuthImplictTokenManager, settings)
