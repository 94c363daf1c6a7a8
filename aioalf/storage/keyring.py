"""`KeyringTokenStorage`: tokens in the keyring of the desktop. Needs ``aio-alf[keyring]``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import TokenStorageError
from .base import Lease, LoopLocks, TokenStorage
from .worker import DaemonWorker

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

__all__ = ("KeyringTokenStorage",)

_INSTALL = 'KeyringTokenStorage needs more: pip install "aio-alf[keyring]"'
_LOCKS = LoopLocks()

_T = TypeVar("_T")


class KeyringTokenStorage(TokenStorage):
    """Keeps tokens in the keyring of the desktop: Keychain, Secret Service, Credential Locker.

    The keyring may ask its owner to unlock it, so calls are made in a thread of the storage's own, which
    does not keep the program from ending if nobody answers. Keyrings have limits: Windows takes no more
    than about 1,200 characters.

    Slots are locked among the tasks of an event loop. A keyring has no lock for other processes:
    two that renew at the same moment make two token requests. With refresh tokens that may be used
    once only, take `FileTokenStorage`.

    :param service: the name that the keyring shows.
    :param username: the entry under that name, for a single token; `for_key` has one for each.
    :param backend: a keyring of the ``keyring`` package; by default the one that it chooses.
    :raises TokenStorageError: the package is missing; the message says how to install it.
    """

    def __init__(
        self,
        service: str = "aio-alf",
        username: str = "default",
        *,
        backend: KeyringBackend | None = None,
    ) -> None:
        try:
            import keyring
        except ImportError as error:
            raise TokenStorageError(_INSTALL) from error
        self._service = service
        self._username = username
        # The module has the three functions that a backend has.
        self._keyring: Any = keyring if backend is None else backend
        self._worker = DaemonWorker("keyring")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._service!r} {self._username!r}>"

    def for_key(self, key: str) -> KeyringTokenStorage:
        """Return the slot of one binding: the entry of that name. See `TokenStorage.for_key`."""
        slot = copy.copy(self)
        slot._username = key
        return slot

    async def save(self, token: str) -> None:
        """Keep this line.

        :param token: one line of text.
        :raises TokenStorageError: there is no keyring, or it is locked, or it refused.
        """
        await self._in_thread(
            lambda: self._keyring.set_password(self._service, self._username, token)
        )

    async def load(self) -> str | None:
        """Return the line that was saved last, or None.

        :raises TokenStorageError: there is no keyring, or it is locked, or it failed.
        """
        line: str | None = await self._in_thread(
            lambda: self._keyring.get_password(self._service, self._username)
        )
        return line

    async def clean(self) -> None:
        """Forget the line.

        :raises TokenStorageError: there is no keyring, or it is locked, or it refused.
        """

        def delete() -> None:
            # Asked for first: a keyring says that there is nothing to delete in the same way in
            # which it says that it will not.
            if self._keyring.get_password(self._service, self._username) is not None:
                self._keyring.delete_password(self._service, self._username)

        await self._in_thread(delete)

    def lock(self) -> AbstractAsyncContextManager[Lease | None]:
        """Return the lock of this slot, among the tasks of the running loop. It cannot be lost."""
        return _LOCKS.get(id(self._keyring), self._service, self._username)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        def call() -> _T:
            try:
                return work()
            except BaseException as error:
                failure = _storage_error(error)
            raise failure  # without context: a backend's message may hold what was to be saved

        return await self._worker.run(call)


def _storage_error(error: BaseException) -> TokenStorageError:
    from keyring.errors import InitError, KeyringLocked, NoKeyringError

    if isinstance(error, NoKeyringError):
        return TokenStorageError(
            "There is no keyring here that could keep tokens. Start the desktop's keyring, choose "
            "a backend of the keyring package, or use FileTokenStorage."
        )
    if isinstance(error, (KeyringLocked, InitError)):
        return TokenStorageError(
            "The keyring is locked, or cannot be opened. Unlock it, or use FileTokenStorage."
        )
    return TokenStorageError(
        f"The keyring failed ({type(error).__name__}). It may refuse access, or a value of that "
        "length; FileTokenStorage has no such limits."
    )
