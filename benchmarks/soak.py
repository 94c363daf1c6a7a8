"""The soak: ``python -m benchmarks.soak``. Memory and open connections stay flat, or it exits with 1.

First an outage that lasts a simulated day: the token endpoint answers 503 with a page of almost 1 MiB,
as often as the circuit breaker lets a token request through. Then a token is exchanged for each of 100,000
requests, by a manager that is made for it. Then a client and a middleware work for
minutes on tokens that live a second, with revocations, outages, cancelled requests and rejected posts in
between. Now and then the garbage is collected and a sample is taken.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import statistics
import sys
import tracemalloc
from collections import Counter
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from aiohttp import ClientError, ClientSession

from aioalf import Client, Clock, OAuth2Middleware, TokenError, TokenManager

from .environments import BUILD
from .process import Child, cores

__all__ = ("Sample", "exchanges", "main", "outage", "soak", "verdict")

_TASKS = 20
_PAUSE = 31.0  # seconds: the circuit breaker lets one token request through each time
_PAGE = (1 << 20) - 1000  # bytes: with the rest of the body less than what is read of an answer


class Sample(NamedTuple):
    """What is held at one moment, after a garbage collection."""

    seconds: float
    kib: float
    connections: int
    descriptors: int
    tasks: int
    token_requests: int

    def __str__(self) -> str:
        return (
            f"{self.seconds:8,.1f} s  {self.kib:8,.0f} KiB  {self.connections:3} connections"
            f"  {self.descriptors:3} descriptors  {self.tasks:3} tasks"
        )


async def outage(server: Child, port: int, seconds: float, interval: float) -> list[Sample]:
    """Be refused a token for as long as a day lasts, on a clock that is set forward.

    :param seconds: of the simulated clock.
    :param interval: simulated seconds from sample to sample.
    """
    origin = f"http://127.0.0.1:{port}"
    now = sampled = 0.0
    manager = TokenManager(
        f"{origin}/token", "id", "secret", clock=Clock(lambda: now, lambda: 1e9 + now)
    )
    await asyncio.to_thread(server.ask, "reset", outage=True, outage_bytes=_PAGE)
    samples: list[Sample] = []
    turn = 0
    async with Client(token_manager=manager, raise_token_errors=True) as client:
        calls = (manager.get, manager.reset_token, lambda: client.get(f"{origin}/resource"))
        tracemalloc.start()
        while now < seconds:
            now += _PAUSE
            turn += 1
            with suppress(TokenError):
                await calls[turn % len(calls)]()
            if now - sampled >= interval:
                sampled = now
                samples.append(await _sample(server, now))
                print(f"{samples[-1]}  {samples[-1].token_requests:,} token requests", flush=True)
        tracemalloc.stop()
    return samples


async def exchanges(server: Child, port: int, number: int, interval: int) -> list[Sample]:
    """Exchange a token for each of so many incoming requests, with a manager each, and drop the managers.

    :param interval: exchanges from sample to sample.
    """
    from aioalf import TokenExchangeManager

    origin = f"http://127.0.0.1:{port}"
    await asyncio.to_thread(server.ask, "reset")
    samples: list[Sample] = []
    async with ClientSession() as tokens, ClientSession() as session:
        tracemalloc.start()
        for turn in range(1, number + 1):
            manager = TokenExchangeManager(
                f"{origin}/token", "id", "secret", subject_token=f"user-{turn}", session=tokens
            )
            client = Client(token_manager=manager, session=session)
            response = await client.get(f"{origin}/resource")
            await response.read()
            if turn % 2:  # the others are dropped as they are
                await client.close()
                await manager.close()
            if turn % interval == 0:
                samples.append(await _sample(server, turn))
                print(f"{turn:8,} exchanges  {samples[-1].kib:8,.0f} KiB", flush=True)
        tracemalloc.stop()
    return samples


async def soak(server: Child, port: int, seconds: float, interval: float) -> list[Sample]:
    """Work, and take a sample at each interval.

    :param seconds: for how long.
    :param interval: seconds from sample to sample.
    """
    origin = f"http://127.0.0.1:{port}"
    manager = TokenManager(f"{origin}/token", "id", "secret")
    middleware = OAuth2Middleware(manager, origins=origin)
    until = monotonic() + seconds
    outcomes: Counter[str] = Counter()
    samples: list[Sample] = []
    async with (
        Client("id", "secret", f"{origin}/token") as client,
        manager,
        ClientSession(middlewares=(middleware,)) as session,
    ):
        workers = [
            asyncio.create_task(_work(each, f"{origin}/resource", until, number, outcomes))
            for number in range(_TASKS)
            for each in (client, session)
        ]
        disturbance = asyncio.create_task(_disturb(server, until))
        tracemalloc.start()
        begun = monotonic()
        while monotonic() < until:
            await asyncio.sleep(min(interval, max(0.0, until - monotonic())))
            samples.append(await _sample(server, monotonic() - begun))
            print(f"{samples[-1]}  {sum(outcomes.values()):,} requests", flush=True)
        tracemalloc.stop()
        await asyncio.gather(*workers, disturbance)
    print(", ".join(f"{count:,} x {name}" for name, count in outcomes.most_common()))
    return samples


async def _work(
    client: Client | ClientSession, url: str, until: float, number: int, outcomes: Counter[str]
) -> None:
    turn = number
    while monotonic() < until:
        turn += 1
        method, data = ("POST", b"x" * 1000) if turn % 5 == 0 else ("GET", None)
        request = _request(client, method, url, data)
        try:
            if turn % 7 == 0:  # a caller that has no patience
                outcomes[await asyncio.wait_for(request, 0.0005)] += 1
            else:
                outcomes[await request] += 1
        except (ClientError, asyncio.TimeoutError) as error:
            outcomes[type(error).__name__] += 1
        await asyncio.sleep(0.01)


async def _request(
    client: Client | ClientSession, method: str, url: str, data: bytes | None
) -> str:
    async with client.request(method, url, data=data) as response:
        await response.read()
        return str(response.status)


async def _disturb(server: Child, until: float) -> None:
    """A revocation every second, a bad token endpoint now and then, large rejections always."""
    turn = 0
    while monotonic() < until:
        turn += 1
        outage = turn % 10 in (7, 8)
        settings = {"lifetime": 1.0, "latency": 0.05, "rejection_bytes": 5000, "outage": outage}
        await asyncio.to_thread(server.ask, "reset", **settings)
        await asyncio.sleep(min(1.0, max(0.0, until - monotonic())))


async def _sample(server: Child, seconds: float) -> Sample:
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] / 1024
    counters = await asyncio.to_thread(server.ask, "counters")
    tasks = len(asyncio.all_tasks())
    return Sample(
        seconds, held, counters["connections"], _descriptors(), tasks, counters["token_requests"]
    )


def _descriptors() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


def verdict(samples: list[Sample]) -> list[str]:
    """What is not flat: the last third of the samples against the second one.

    The first third is warming up. A leak grows without end: it shows in the medians of thirds.
    """
    third = len(samples) // 3
    if third == 0:
        return ["too few samples to tell"]
    middle, last = samples[-2 * third : -third], samples[-third:]
    complaints = []
    for at, (name, grace) in enumerate(
        (("KiB", 256.0), ("connections", 10.0), ("descriptors", 10.0), ("tasks", 5.0)), start=1
    ):
        before = statistics.median(sample[at] for sample in middle)
        after = statistics.median(sample[at] for sample in last)
        if after > before * 1.1 + grace:
            complaints.append(f"{name} grew from {before:,.0f} to {after:,.0f}")
    return complaints


def main() -> int:
    """Soak, and say whether all was flat."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0, help="for how long (180)")
    parser.add_argument(
        "--outage", type=float, default=86400.0, help="simulated seconds of the outage (86400)"
    )
    parser.add_argument("--exchanges", type=int, default=100_000, help="how many (100,000)")
    given = parser.parse_args()
    logging.getLogger("aioalf").setLevel(logging.CRITICAL)  # the outages are meant
    BUILD.mkdir(parents=True, exist_ok=True)
    log: Path = BUILD / "soak.log"
    with Child(sys.executable, "benchmarks.server", cores()[0], log) as server:
        port = server.ask("reset")["port"]
        print("An outage of a day, on a clock that is set forward:")
        day = asyncio.run(outage(server, port, given.outage, given.outage / 36))
        print("An exchange for each request:")
        exchanged = asyncio.run(
            exchanges(server, port, given.exchanges, given.exchanges // 10 or 1)
        )
        print("Bad days:")
        days = asyncio.run(soak(server, port, given.seconds, given.seconds / 36))
    complaints = verdict(day) + verdict(exchanged) + verdict(days)
    for complaint in complaints:
        print(f"Not flat: {complaint}.")
    if not complaints:
        print("Flat: memory, connections, descriptors, tasks.")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
