"""Where a token outlives the process: `TokenStorage`, the base class of every other storage."""

from .base import Lease, TokenStorage

__all__ = ("Lease", "TokenStorage")
