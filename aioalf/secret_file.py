"""`SecretFile`: a source that is a file, read each time it is asked."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .errors import TokenError, TokenStorageError
from .storage.worker import DaemonWorker

__all__ = ("SecretFile",)

_MOST = 64 * 1024  # bytes; a key or a token is a few kilobytes


class SecretFile:
    """A secret, a key, an assertion or a token in a file, which somebody else may replace at any time.

    Kubernetes replaces projected tokens about once an hour. So the file is read at each token request, in
    a thread of its own: a disk that hangs holds up nothing else. White space at its end and a byte order
    mark at its beginning are no part of the secret. Hand it in as ``client_secret=``, or wherever a source
    is taken. One object may serve many managers, in many tasks.

    :param path: the file; ``~`` is the home directory.
    :raises TypeError: the path is neither a string nor a path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"SecretFile takes the path of a file, not a {type(path).__name__}.")
        self._path = Path(path)
        self._worker = DaemonWorker(f"secret file {self._path}")

    async def __call__(self) -> str:
        """Read the file.

        :return: what is in it.
        :raises TokenError: it cannot be read, is empty, is not text, or has more than 64 KiB; or an earlier
            reading of it hangs.
        """
        content: list[str] = []  # not as the result of a future: asyncio's debug mode logs those
        try:
            await self._worker.run(lambda: content.append(self._read()))
        except TokenStorageError as error:  # the worker serves storages too; a secret is in none
            raise TokenError(str(error)) from None
        return content[0]

    def _read(self) -> str:
        path = self._path
        try:
            path = path.expanduser()
            # Not blocking: a pipe that nobody writes to would be waited for.
            with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise TokenError(
                        f"The secret file {path} is not a file: give the path of a file that holds it."
                    )
                content = file.read(_MOST + 1)
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise TokenError(
                f"The secret file {path} cannot be read: {reason}. It must be there, and this user must be"
                " allowed to read it."
            ) from error
        if len(content) > _MOST:
            raise TokenError(
                f"The secret file {path} has more than {_MOST} bytes: is the path right?"
            )
        try:
            text = content.decode("utf-8-sig").rstrip()
        except UnicodeDecodeError:
            raise TokenError(
                f"The secret file {path} is not UTF-8 text: save it as UTF-8, or a key as PEM."
            ) from None
        if not text:
            raise TokenError(
                f"The secret file {path} is empty: the secret must be written into it."
            )
        return text

    def __repr__(self) -> str:
        return f"SecretFile({str(self._path)!r})"
