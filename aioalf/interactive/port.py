"""The loopback port that a redirect comes back to, and that no other program has (RFC 8252 section 7.3).

No import of ``aiohttp.web``: a manager checks its settings with this long before it needs a server.
"""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Sequence

from ..errors import TokenError

__all__ = ("LOOPBACK_HOSTS", "bind_first_free", "check_port_range", "check_redirect")

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")

_FAMILIES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}
_TRIES = 20  # a port that is free on one family may be taken on the other
_PATH = re.compile(r"(/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?")


def check_port_range(port_range: object) -> tuple[int, int]:
    """Return a port range as (first, last), both included; (0, 0) for None, which means any free port.

    :raises ValueError: it is not two ports from 1 to 65535 in ascending order.
    """
    if port_range is None:
        return 0, 0
    if isinstance(port_range, Sequence) and len(port_range) == 2:
        first, last = port_range
        if type(first) is int and type(last) is int and 1 <= first <= last <= 65535:
            return first, last
    raise ValueError(
        f"port_range is {port_range!r}; it must be two ports from 1 to 65535, the lower one first,"
        " such as (32000, 32009)"
    )


def check_redirect(host: str, path: str) -> tuple[str, str]:
    """Return the host and the path of a redirect URI in the form a URI has them, path as it was given.

    :param host: ``localhost``, ``127.0.0.1``, or ``[::1]`` with or without brackets.
    :param path: empty, or a path that starts with ``/``, without query and fragment.
    :raises TypeError: one of them is not a string.
    :raises ValueError: the host is not this machine's loopback, or the path is not one.
    """
    for name, value in (("redirect_host", host), ("redirect_path", path)):
        if not isinstance(value, str):
            raise TypeError(f"{name} takes a string, not a {type(value).__name__}.")
    host = "[::1]" if host == "::1" else host.lower()
    if host not in LOOPBACK_HOSTS:
        raise ValueError(
            f"redirect_host is {host!r}; it must be one of {', '.join(LOOPBACK_HOSTS)}:"
            " the receiver listens on no other interface"
        )
    if not _PATH.fullmatch(path):
        raise ValueError(
            f"redirect_path is {path!r}; it must be empty or a percent-encoded path that starts"
            " with '/', with no query and no fragment"
        )
    return host, path


def bind_first_free(port_range: tuple[int, int]) -> tuple[int, list[socket.socket]]:
    """Listen on the first free port of the range, on 127.0.0.1 and on ::1 if there is one.

    A port that is taken on one of the two counts as taken: the program that holds it there would get the
    redirect from a browser that prefers that family.

    :param port_range: the first and the last port, both included; (0, 0) for any port.
    :return: the port, and its listening, non-blocking sockets, which the caller closes.
    :raises TokenError: no port can be had; the message names the range, and the system's reason.
    """
    first, last = port_range
    reasons: set[str] = set()
    for port in range(first, last + 1) if last else [0] * _TRIES:
        if sockets := _listen(port, reasons):
            return sockets[0].getsockname()[1], sockets
    which = f"No port from {first} to {last} is" if last else "No port is"
    why = (
        "other programs, or other sign-ins, hold them all"
        if not reasons
        else "; ".join(sorted(reasons))
    )
    raise TokenError(f"{which} free to receive the sign-in on: {why}.")


def _listen(port: int, reasons: set[str]) -> list[socket.socket]:
    """Listen on both families, or return nothing if one of them cannot be had.

    :param port: the port; 0 for any that is free.
    :param reasons: gets why it cannot be had, if it is not taken.
    """
    sockets: list[socket.socket] = []
    try:
        for family, address in _FAMILIES:
            if (sock := _bound(family, address, port)) is not None:
                sockets.append(sock)
                port = sock.getsockname()[1]
        if os.name == "posix" and any(_answers(sock) for sock in sockets):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        for sock in sockets:
            # Of two sockets bound with SO_REUSEADDR the second one fails only here.
            sock.listen(100)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:  # a privileged port, a range that Windows has reserved
            reasons.add(error.strerror or type(error).__name__)
        for sock in sockets:
            sock.close()
        return []
    return sockets


def _bound(family: socket.AddressFamily, address: str, port: int) -> socket.socket | None:
    """Bind one family; None if this machine does not have it."""
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return None
    try:
        sock.setblocking(False)
        if os.name == "posix":
            # The connections of the sign-in before this one may still be in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        elif (exclusive := getattr(socket, "SO_EXCLUSIVEADDRUSE", None)) is not None:
            # On Windows SO_REUSEADDR would let two programs steal from each other.
            sock.setsockopt(socket.SOL_SOCKET, exclusive, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        if error.errno in _NOT_HERE:
            return None
        raise
    return sock


def _answers(bound: socket.socket) -> bool:
    """Return whether another program answers on an address that we have bound and do not listen on yet.

    Outside Linux a wildcard listener does not stop SO_REUSEADDR from binding the loopback address,
    and the port would be taken from under another program.
    """
    with socket.socket(bound.family, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.1)
        return probe.connect_ex(bound.getsockname()) == 0
