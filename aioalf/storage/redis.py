"""`RedisTokenStorage`: tokens shared by many machines. Needs ``aio-alf[redis]``."""

from __future__ import annotations

import asyncio
import copy
import logging
import math
import random
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..clock import Clock
from ..errors import TokenStorageError
from .base import Lease, TokenStorage
from .lease import TimedLease as _Lease
from .record import expires_at_of

if TYPE_CHECKING:
    from redis.asyncio import Redis, RedisCluster

__all__ = ("RedisTokenStorage",)

logger: logging.Logger = logging.getLogger("aioalf")
_INSTALL = 'RedisTokenStorage needs more: pip install "aio-alf[redis]"'
_CLOCK = Clock()
_POLL, _LONGEST_POLL = 0.2, 1.0  # seconds between two attempts at a lock; doubling
_AT_A_TIME = 8  # commands of one storage: each has a connection of its own
_EXPIRED_FOR = 60.0  # seconds after its expiry for which a token is kept: clocks differ
_LONGEST = 10 * 366 * 86400.0  # seconds; Redis refuses an expiry that is absurdly far away

# Not the package's own lock. The package sends a command again whose answer was lost, and that lock then
# waits for itself; and it stays taken if its taking is cancelled. See the last tests of test_redis_lock.py.
_ACQUIRE = """
if redis.call('set', KEYS[1], ARGV[1], 'nx', 'px', ARGV[2]) then return 1 end
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end
return 0
"""
_EXTEND = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end
return 0
"""
_RELEASE = """
if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
return 0
"""


class RedisTokenStorage(TokenStorage):
    """Keeps tokens in Redis, which any number of processes on any number of machines share.

    A token without a refresh token leaves Redis a minute after it has expired. Tokens are stored as
    they are: a program that may read these keys may use them.

    :param redis: a ``redis.asyncio`` client (of a server, of a cluster, of a sentinel's master), which is
        borrowed and never closed here; or the URL of a server (``redis://``, ``rediss://``, ``unix://``),
        to which connections are opened when needed, for each event loop its own, and closed by `close`,
        or by ``async with``.
    :param prefix: what the keys in Redis begin with.
    :param lease: seconds for which a holder of the lock that has died keeps others waiting.
    :param clock: judges the lease and the expiry, and waits.
    :raises TokenStorageError: the package is missing; the message says how to install it.
    :raises ValueError: the URL is not one of Redis, or the lease is not positive.
    :raises TypeError: the client is not one for asyncio.
    """

    def __init__(
        self,
        redis: Redis | RedisCluster | str,
        *,
        prefix: str = "aio-alf:",
        lease: float = 10.0,
        clock: Clock = _CLOCK,
    ) -> None:
        try:
            import redis as package
        except ImportError as error:
            raise TokenStorageError(_INSTALL) from error
        given: object = redis
        if isinstance(given, (package.Redis, package.RedisCluster)):
            raise TypeError("RedisTokenStorage needs a client of redis.asyncio")
        if not 0.001 <= lease < math.inf:
            raise ValueError("The lease must be a positive number of seconds")
        self._connections = _Connections(redis)
        self._prefix = prefix
        self._key = "default"
        self._lease = lease
        self._clock = clock

    def __repr__(self) -> str:  # without the URL: it may hold a password
        return f"<{type(self).__name__} {self._prefix + self._key!r}>"

    def for_key(self, key: str) -> RedisTokenStorage:
        """Return the slot of one binding, over the same connections. See `TokenStorage.for_key`."""
        slot = copy.copy(self)
        slot._key = key
        return slot

    async def save(self, token: str) -> None:
        """Keep this line; if no refresh token can renew it, until it has expired.

        :param token: one line of text.
        :raises TokenStorageError: Redis failed.
        """
        milliseconds: int | None = None
        until = expires_at_of(token)
        if until is not None:
            seconds = until + _EXPIRED_FOR - self._clock.time()
            milliseconds = max(1, int(min(seconds, _LONGEST) * 1000))
        with _explained("save"):
            async with self._connections.client() as redis:
                await redis.set(self._prefix + self._key, token, px=milliseconds)

    async def load(self) -> str | None:
        """Return the line that was saved last; None if there is none, or it has expired.

        :raises TokenStorageError: Redis failed.
        """
        with _explained("load"):
            async with self._connections.client() as redis:
                line = await redis.get(self._prefix + self._key)
        # A client may have been told to decode what it reads.
        return line.decode(errors="replace") if isinstance(line, bytes) else line

    async def clean(self) -> None:
        """Forget the line.

        :raises TokenStorageError: Redis failed.
        """
        with _explained("clean"):
            async with self._connections.client() as redis:
                await redis.delete(self._prefix + self._key)

    def lock(self) -> AbstractAsyncContextManager[Lease | None]:
        """Return the lock of this slot, among all that share the server and the prefix.

        It is held by a lease, extended in the background for as long as it is held. `Lease.lost` is
        true once it may have ended: Redis could not be reached in time, or forgot it.

        :raises TokenStorageError: on entry, if Redis failed.
        """
        return self._lock()

    async def close(self) -> None:
        """Close the connections that were opened in the running loop for a URL, for all slots.

        A later call opens new ones. A client that was handed in stays open.
        """
        await self._connections.close()

    async def __aenter__(self) -> RedisTokenStorage:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @asynccontextmanager
    async def _lock(self) -> AsyncIterator[_Lease]:
        lease, owner = _Lease(self._lease, self._clock), secrets.token_hex(16)
        extension: asyncio.Task[None] | None = None
        asked, pause = True, _POLL
        try:
            with _explained("lock"):
                while not await self._hold(_ACQUIRE, owner, lease):
                    asked = False
                    await self._clock.sleep(random.uniform(pause / 2, pause))
                    pause, asked = min(2 * pause, _LONGEST_POLL), True
            extension = asyncio.create_task(self._keep_extended(owner, lease))
            yield lease
        finally:
            # Also if it was cancelled while Redis was asked: that may have given the lock to nobody then.
            # In a task of its own: a cancellation does not have to wait for Redis.
            lease.end()
            if asked:
                release = self._connections.in_background(self._release(owner, extension))
                if extension is not None:
                    await asyncio.shield(release)

    async def _hold(self, script: str, owner: str, lease: _Lease) -> bool:
        begun = (
            lease.now()
        )  # before it is sent: the lease at the server ends no sooner than this one
        if not await self._eval(script, owner, int(self._lease * 1000)):
            return False
        lease.begin(begun)
        return True

    async def _eval(self, script: str, *arguments: str | int) -> Any:
        async with self._connections.client() as redis:
            return await redis.eval(script, 1, f"{self._prefix}{self._key}:lock", *arguments)

    async def _keep_extended(self, owner: str, lease: _Lease) -> None:
        pause = self._lease / 3
        while not lease.lost:
            await self._clock.sleep(pause)
            pause = self._lease / 3
            try:
                if not await asyncio.wait_for(self._hold(_EXTEND, owner, lease), pause):
                    lease.end()
            except Exception:
                pause = self._lease / 10  # again soon, until the lease has run out

    async def _release(self, owner: str, extension: asyncio.Task[None] | None) -> None:
        if extension is not None:
            extension.cancel()
            await asyncio.wait([extension])
        try:
            await asyncio.wait_for(self._eval(_RELEASE, owner), self._lease)
        except Exception as error:  # if the lock was not had, `lock` has said why
            logger.log(
                logging.WARNING if extension is not None else logging.DEBUG,
                "A lock in Redis could not be released (%s); it ends by itself in %s seconds.",
                type(error).__name__,
                self._lease,
            )


class _Connections:
    """The one client that was handed in, or one for each event loop; shared by all slots."""

    def __init__(self, redis: Redis | RedisCluster | str) -> None:
        self._borrowed = None if isinstance(redis, str) else redis
        self._open = _opener(redis) if isinstance(redis, str) else None
        self._opened: dict[asyncio.AbstractEventLoop, Redis] = {}
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            WeakKeyDictionary()
        )
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Any]:  # Any: its answers are typed as "or an awaitable"
        """Wait until there is a connection to be had, and give the client of the running loop.

        A hundred managers that begin at the same moment would open a hundred connections each, or get an
        error: the package's pool does not wait.
        """
        loop = asyncio.get_running_loop()
        async with self._turns.setdefault(loop, asyncio.Semaphore(_AT_A_TIME)):
            yield self._client()

    def _client(self) -> Redis | RedisCluster:
        if self._open is None:
            assert self._borrowed is not None
            return self._borrowed
        loop = asyncio.get_running_loop()
        if loop not in self._opened:
            for other in [other for other in self._opened if other.is_closed()]:
                del self._opened[other]
            self._opened[loop] = self._open()
        return self._opened[loop]

    def in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop alone would let it be collected
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        if tasks := [task for task in self._tasks if task.get_loop() is loop]:
            await asyncio.wait(tasks)
        if client := self._opened.pop(loop, None):
            await client.aclose()


def _opener(url: str) -> Callable[[], Redis]:
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import ExponentialBackoff

    try:
        Redis.from_url(url)
    except ValueError:
        # Without the cause, and the URL: they may hold a password.
        raise ValueError("Not a Redis URL (redis://, rediss:// or unix://)") from None
    if "#" in url:  # what stands before it would be taken for the host, and be shown
        raise ValueError("Not a Redis URL: a '#' in the password is written %23")
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), 3)  # from_url() has none by itself
    return lambda: Redis.from_url(url, retry=retry)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    from redis import AuthenticationError, InvalidResponse, RedisError, ResponseError

    try:
        yield
    except (ResponseError, AuthenticationError, InvalidResponse) as error:
        # Without the cause: a server may repeat the command, and with it the token or a password.
        text = f"Redis refused to {what} a token ({type(error).__name__})"
        raise TokenStorageError(text) from None
    except (RedisError, OSError) as error:
        # These are the package's own words: they name the server, and what is wrong with the connection.
        text = f"Redis cannot be used ({type(error).__name__}: {str(error)[:200]})"
        raise TokenStorageError(text) from error
