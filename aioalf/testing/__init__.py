"""A real authorization server on loopback, for the tests of programs that use aio-alf."""

from .received import ReceivedRequest
from .server import AuthorizationServer

__all__ = ("AuthorizationServer", "ReceivedRequest")
