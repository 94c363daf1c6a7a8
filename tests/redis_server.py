"""A real Redis for the tests, on a socket of its own."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

__all__ = ("running_redis",)


@contextmanager
def running_redis(port: int = 0) -> Iterator[str]:
    """Start ``redis-server`` and give its URL; stop it afterwards. Skips where there is none.

    :param port: where it listens on loopback, beside its socket; 0: nowhere.
    """
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed")
    # A socket in a new directory is free without asking, and its name short enough.
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:
        path = f"{directory}/socket"
        options = [
            "--bind",
            "127.0.0.1",
            "--port",
            str(port),
            "--unixsocket",
            path,
            "--unixsocketperm",
            "700",
        ]
        options += ["--save", "", "--appendonly", "no", "--dir", directory]
        server = subprocess.Popen([binary, *options], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            said = []
            for line in server.stdout:
                said.append(line)
                if "eady to accept connections" in line:
                    break
            else:
                pytest.fail(f"redis-server did not start: {''.join(said)}")
            yield f"unix://{path}"
        finally:
            server.terminate()
            server.communicate()
