"""A token that is there already: a personal access token, a projected file, a test's token."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import TokenError
from ..manager import TokenManager
from ..sources import Source, check_source, read_needed
from ..token import Token

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..options import TokenOptions

__all__ = ("StaticTokenManager",)


class StaticTokenManager(TokenManager):
    """Has one token, which is not fetched from anywhere; a `TokenManager` in all else.

    After a 401 the source is asked again: a file may hold a new one by then. It is not stored.

    :param token: the access token: a string, or a callable, plain or ``async``, such as a `SecretFile`.
    :param options: the keywords of `TokenManager` that have a meaning here, such as ``clock``.
    :raises TypeError: a keyword is unknown, `token_storage` is given, or the token is neither a string nor
        callable.
    """

    grant = "static"

    def __init__(self, token: Source, **options: Unpack[TokenOptions]) -> None:
        check_source(token, "token")
        if options.get("token_storage") is not None:  # what is stored would come before the source
            raise TypeError("StaticTokenManager takes no token_storage: its token is given.")
        self._source = token
        super().__init__(**options)

    async def fetch_token(self, previous: Token | None) -> Mapping[str, Any]:
        """Ask the source.

        :param previous: not used.
        :return: the token, as a token response would hold it; how long it lives is not known.
        :raises TokenError: the source has none.
        """
        token = (await read_needed(self._source, "token")).strip()
        if not re.fullmatch("[!-~]+", token):
            raise TokenError("The token that was given holds a character it must not.")
        return {"access_token": token}

    def _can_fetch(self) -> bool:
        return True
