"""`FlowSwitch`: which manager class every `Client` gets that is built from now on."""

from __future__ import annotations

import functools
from collections.abc import Generator, Mapping
from types import TracebackType
from typing import Any

from .client import Client
from .interactive.implicit import OAuthImplictTokenManager

__all__ = ("ImplicitFlow",)


class ImplicitFlow:
    """What `use_implicit_flow` returns: ends the use of the flow, for clients built from then on.

    Handles may be closed in any order, each as often as one likes, in any thread.

    :param settings: the keywords that the managers get.
    """

    #: The manager class that the handle has put into place.
    manager_class: type[OAuthImplictTokenManager]

    def __init__(self, settings: Mapping[str, Any]) -> None:
        class ConfiguredImplicitTokenManager(OAuthImplictTokenManager):
            __doc__ = OAuthImplictTokenManager.__doc__
            flow = self

            def __init__(self, *args: Any, **options: Any) -> None:
                super().__init__(*args, **{**settings, **options})

        # A client looks at the signature to tell whose keyword is whose.
        functools.update_wrapper(
            ConfiguredImplicitTokenManager.__init__, OAuthImplictTokenManager.__init__
        )
        self.manager_class = ConfiguredImplicitTokenManager
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

    async def __aenter__(self) -> ImplicitFlow:
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
