"""Real Redis servers for the tests: one on a socket of its own, a cluster, and one with a sentinel."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

__all__ = ("free_port", "running_cluster", "running_redis", "running_sentinel", "started")


@contextmanager
def running_redis(port: int = 0) -> Iterator[str]:
    """Start ``redis-server`` and give its URL; stop it afterwards. Skips where there is none.

    :param port: where it listens on loopback, beside its socket; 0: nowhere.
    """
    # A socket in a new directory is free without asking, and its name short enough.
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:
        path = f"{directory}/socket"
        with started(directory, "--port", str(port), "--unixsocket", path):
            yield f"unix://{path}"


@contextmanager
def started(directory: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run a server until this is left; it accepts connections when it is given."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed")
    command = [binary, *options]
    if "--sentinel" not in options:
        command += ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        said = []
        for line in server.stdout:
            said.append(line)
            if "eady to accept connections" in line or "Sentinel ID is" in line:
                break
        else:
            pytest.fail(f"redis-server did not start: {''.join(said)}")
        yield server
    finally:
        server.terminate()
        server.communicate()


def free_port() -> int:
    """A port that nobody listens on, and whose bus port (10,000 above) is one."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 55_000:
            return port


@contextmanager
def running_cluster() -> Iterator[list[int]]:
    """Start three masters that share the slots, and give their ports."""
    with tempfile.TemporaryDirectory(prefix="redis-") as directory, ExitStack() as servers:
        ports = [free_port() for _ in range(3)]
        for port in ports:
            config = ("--cluster-enabled", "yes", "--cluster-config-file", f"{port}.conf")
            servers.enter_context(started(directory, "--port", str(port), *config))
        nodes: list[Any] = [redis.Redis(port=port) for port in ports]
        bounds = [0, 5461, 10923, 16384]
        for number, node in enumerate(nodes):
            first, last = bounds[number], bounds[number + 1] - 1
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            node.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0])
        for node in nodes:
            _until(lambda node=node: _knows_all(node))  # type: ignore[misc]
            node.close()
        yield ports


def _knows_all(node: Any) -> bool:
    about = str(node.execute_command("CLUSTER", "INFO"))
    return "cluster_state:ok" in about and "cluster_known_nodes:3" in about


@contextmanager
def running_sentinel() -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Start a master named "tokens", its replica and a sentinel; give that one's port, and the master."""
    with tempfile.TemporaryDirectory(prefix="redis-") as directory, ExitStack() as servers:
        master, replica, sentinel = (free_port() for _ in range(3))
        process = servers.enter_context(started(directory, "--port", str(master)))
        follow = ("--port", str(replica), "--replicaof", "127.0.0.1", str(master))
        servers.enter_context(started(directory, *follow))
        config = Path(directory) / "sentinel.conf"
        config.write_text(
            f"bind 127.0.0.1\nport {sentinel}\nsentinel monitor tokens 127.0.0.1 {master} 1\n"
            "sentinel down-after-milliseconds tokens 300\nsentinel failover-timeout tokens 5000\n"
        )
        servers.enter_context(started(directory, str(config), "--sentinel"))
        with redis.Redis(port=replica) as one:
            _until(lambda: one.info("replication")["master_link_status"] == "up")
        with redis.Redis(port=sentinel) as watching:
            _until(lambda: len(watching.sentinel_slaves("tokens")) == 1)
        yield sentinel, process


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
