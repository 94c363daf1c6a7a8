"""The pytest plugin of aio-alf: the fixture ``authorization_server``.

A module of its own, and not of the package: pytest imports it in every project where aio-alf is installed,
and this imports nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from aioalf.testing import AuthorizationServer

__all__ = ("authorization_server",)


@pytest.fixture
def authorization_server() -> Iterator[AuthorizationServer]:
    """Run an `aioalf.testing.AuthorizationServer` in a thread of its own, for one test.

    Its methods may be called from the test, be that a coroutine or not.
    """
    from aioalf.testing import AuthorizationServer

    with AuthorizationServer() as server:
        yield server
