"""Runs the code in documents as it is printed, on an internet that is all on loopback.

The addresses in the code stay as they are. Names are resolved to loopback: `socket.getaddrinfo` says
that every host is there, port 80 at an `AuthorizationServer`, port 443 at another one with TLS and
the same tokens. So aiohttp connects, verifies a certificate and sends the Host header as it would out
there. On those servers any path ending in ``/token`` is the token endpoint, and any path they do not
know is a protected resource.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib.util
import inspect
import ipaddress
import socket
import ssl
import threading
from collections.abc import Coroutine, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import docutils.core
import docutils.nodes
import pytest
import trustme
from aiohttp import web

from aioalf.testing import AuthorizationServer, ReceivedRequest

__all__ = ("Internet", "code_blocks", "internet", "parse", "run_code")

T = TypeVar("T")

# Who is there with TLS. No other name can be called over https in a document.
HOSTS = (
    "example.com *.example.com token.endpoint *.auth0.com login.microsoftonline.com graph.microsoft.com "
    "*.okta.com accounts.google.com *.googleapis.com github.com api.github.com *.my.salesforce.com"
).split()
_HOST: ContextVar[str] = ContextVar("host", default="login.example.com")


def parse(path: Path, *, strict: bool = True) -> docutils.nodes.document:
    """Read a reStructuredText document.

    :param strict: false: pass over what docutils does not know, which is Sphinx's.
    :raises docutils.utils.SystemMessage: a package index would not render it.
    """
    settings = {"halt_level": 2 if strict else 5, "report_level": 5, "raw_enabled": False}
    return docutils.core.publish_doctree(
        path.read_text(encoding="utf-8"), str(path), settings_overrides=settings
    )


def code_blocks(document: docutils.nodes.document, language: str) -> list[str]:
    """The text of each ``code-block`` of that language, in order.

    Left out is what works only with an older aiohttp, where that is not the one at hand, and what has a
    name: that is a file, which is run as one.
    """
    left_out = set() if importlib.util.find_spec("aioresponses") else {"aioresponses"}
    return [
        block.astext()
        for block in document.findall(docutils.nodes.literal_block)
        if {"code", language} <= set(block["classes"])
        and not left_out & set(block["classes"])
        and not block["names"]
    ]


class _EveryHost(AuthorizationServer):
    """An authorization server that finds itself in whatever path it is asked for.

    Devices are approved at once.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        #: What was answered with an error, though it had a token or needs none: "METHOD path status".
        self.refused: list[str] = []

    @property
    def url(self) -> str:
        """Where the documents say that it is: at whatever host is asked."""
        return f"http{'s' if self.ssl_context else ''}://{_HOST.get()}"

    async def _device(
        self, request: web.BaseRequest, received: ReceivedRequest
    ) -> web.StreamResponse:
        response = await super()._device(request, received)
        for device in self._grants.devices.values():
            device.verdict = True
        return response

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        _HOST.set(request.host)
        path = request.path.rstrip("/")
        known = path in self._routes or path.startswith(("/resource/", "/.well-known/"))
        if not known:
            asks = request.method == "POST" and request.content_type.endswith("urlencoded")
            if path.endswith(("/token", "/access_token")) or (asks and not path):
                request = request.clone(rel_url="/token")
            elif path.endswith("/device/code"):
                request = request.clone(rel_url="/device_authorization")
            elif path.endswith("/authorize"):
                request = request.clone(rel_url=request.rel_url.with_path("/authorize"))
            else:
                request = request.clone(rel_url="/resource" + str(request.rel_url))
        response = await super()._dispatch(request)
        without_token = (
            request.path.startswith("/resource") and "Authorization" not in request.headers
        )
        if response.status >= 400 and "/.well-known/" not in path and not without_token:
            self.refused.append(f"{request.method} {request.path} {response.status}")
        return response


class Internet:
    """Two servers in a thread of their own, so that code which starts an event loop meets them."""

    def __init__(self, certificate: ssl.SSLContext) -> None:
        options: dict[str, Any] = {"allow_public": True, "device_interval": 0.01}
        self.plain = _EveryHost(**options)
        self.secure = _EveryHost(ssl_context=certificate, **options)
        self.secure._grants = self.plain._grants
        #: Where on loopback a port is of which there is one server only.
        self.ports: dict[int, int] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def client_is(self, client_id: str, client_secret: str) -> None:
        """Say who is known to the servers."""
        for server in (self.plain, self.secure):
            server.client_id, server.client_secret = client_id, client_secret

    @property
    def log(self) -> list[str]:
        """What arrived, first on the plain server: "METHOD path"."""
        return [f"{each.method} {each.path}" for each in [*self.plain.log, *self.secure.log]]

    @property
    def refused(self) -> list[str]:
        """What was answered with an error. A client may hand that on, and an example not look at it."""
        return [*self.plain.refused, *self.secure.refused]

    def __enter__(self) -> Internet:
        self._thread.start()
        self._call(self.plain.start())
        self._call(self.secure.start())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._call(self.plain.close())
        self._call(self.secure.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)


@contextlib.contextmanager
def internet(patch: pytest.MonkeyPatch) -> Iterator[Internet]:
    """Put an `Internet` where this process looks for the real one."""
    authority = trustme.CA()
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*HOSTS).configure_cert(served)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    authority.cert_pem.write_to_path("ca.pem")
    # What aiohttp verifies certificates with where it was not told: made once, when it is imported.
    patch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
    look_up = socket.getaddrinfo

    with Internet(served) as world:

        def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
            name = host.decode() if isinstance(host, bytes) else host
            if name in (None, "", "localhost") or _is_address(name):
                return look_up(host, port, *args, **options)
            local = {80: world.plain.port, 443: world.secure.port, **world.ports}[int(port)]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", local))]

        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield world


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def run_code(
    blocks: list[str], name: str, namespace: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Run blocks of code one after the other, statement by statement, and give their names back.

    A statement that awaits runs in an event loop, the same for all; any other runs with no loop
    running, as a module does when it is imported. Functions called ``test_...`` without parameters
    are called in the end. What is left open is closed.
    """
    names: dict[str, Any] = {"__name__": "example"} if namespace is None else namespace
    loop = asyncio.new_event_loop()
    try:
        for number, block in enumerate(blocks, 1):
            for statement in ast.parse(block).body:
                code = compile(
                    ast.Module([statement], []),
                    f"{name}, example {number}",
                    "exec",
                    flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
                    dont_inherit=True,
                )
                if code.co_flags & inspect.CO_COROUTINE:
                    loop.run_until_complete(eval(code, names))
                else:
                    exec(code, names)
        for key, value in list(names.items()):
            if key.startswith("test_") and inspect.iscoroutinefunction(value):
                loop.run_until_complete(value())
    finally:
        for value in list(names.values()):
            if getattr(value, "closed", None) is False and hasattr(value, "close"):
                loop.run_until_complete(value.close())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    return names
