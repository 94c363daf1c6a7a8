"""Show the person an address: in a browser or, if there is none, on stderr."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

__all__ = ("BrowserOpener", "check_opener", "open_in_browser", "present_url")

logger: logging.Logger = logging.getLogger("aioalf")

BrowserOpener = Callable[[str], "Awaitable[object] | object"]

_CONSOLE_BROWSERS = {"www-browser", "links", "links2", "elinks", "lynx", "w3m", "browsh"}


def check_opener(opener: BrowserOpener | None) -> BrowserOpener | None:
    """Return ``open_browser=`` if it can be called.

    :raises TypeError: it cannot; a browser's name goes into the variable ``BROWSER``.
    """
    if opener is not None and not callable(opener):
        raise TypeError(
            f"open_browser takes a function of the address, not a {type(opener).__name__}. The name of a"
            " browser goes into the environment variable BROWSER."
        )
    return opener


def open_in_browser(url: str) -> bool:
    """Open an address in the person's browser, as ``webbrowser`` finds it.

    Blocking: it may start programs and wait for them. Over ssh nothing is opened, as the browser
    would come up on the wrong machine, unless ``BROWSER`` names one. A console browser (lynx, w3m)
    is never opened: it would take over the terminal of the program.

    :return: whether a browser was started.
    """
    import webbrowser

    if "BROWSER" not in os.environ and {"SSH_CONNECTION", "SSH_TTY"} & os.environ.keys():
        return False
    try:
        name = getattr(webbrowser.get(), "name", "")
    except webbrowser.Error:
        name = ""  # none found: open() says so
    if os.path.basename(str(name)) in _CONSOLE_BROWSERS:
        return False
    return webbrowser.open(url)


@asynccontextmanager
async def present_url(
    url: str,
    opener: BrowserOpener | None,
    *,
    port: int,
    timeout: float,
    take: Callable[[str], str | None],
) -> AsyncIterator[None]:
    """Show an address while the body runs; the body does not wait for the browser to come up.

    :param url: what to open. It is printed if it cannot be opened, so it must hold no secret.
    :param opener: opens it: a plain function, called in a thread of its own, or an ``async`` one.
        False means that it could not; an exception means the same. A string is the address at which the
        browser has ended. None: `open_in_browser`.
    :param port: the loopback port waited on, for the hint about ssh.
    :param timeout: how long the program waits, in seconds, for the same text.
    :param take: takes the address at which the browser has ended, and says what is wrong with it.
    """
    task = asyncio.create_task(_show(url, opener or open_in_browser, port, timeout, take))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _show(
    url: str,
    opener: BrowserOpener,
    port: int,
    timeout: float,
    take: Callable[[str], str | None],
) -> None:
    try:
        opened = await _call(opener, url)
    except Exception as error:
        # Not its message: that may quote whatever the opener was given.
        logger.warning("The browser could not be opened (%s).", type(error).__name__)
        opened = False
    if isinstance(opened, str):
        if (wrong := take(opened)) is not None:
            logger.warning("The address that open_browser returned was ignored. %s", wrong)
        return
    # 'None' is what most functions return that do open one.
    if opened is not False:
        logger.info("A browser was asked to open the sign-in page.")
        return
    _print(
        "To sign in, open this address in a browser on this machine:\n\n"
        f"    {url}\n\n"
        f"The program waits up to {timeout:g} seconds. If you are connected to it by ssh, first\n"
        "forward the port, on the machine that has the browser:\n\n"
        f"    ssh -L {port}:localhost:{port} THIS-MACHINE\n"
    )
    if (terminal := _terminal()) is not None:
        _print(
            "\nOr open it in any browser, and paste here the address at which that ends, also if the\n"
            "page cannot be shown there. (The device flow needs no such thing.)\n"
        )
        await _read_addresses(terminal, take)


def _terminal() -> int | None:
    """Return the file descriptor of the terminal that a person sits at; None if there is none."""
    try:
        if sys.stdin.isatty() and sys.stderr.isatty():
            return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):  # None (no console), closed, replaced
        pass
    return None


async def _read_addresses(terminal: int, take: Callable[[str], str | None]) -> None:
    """Read lines until one is taken. No thread: that could not be stopped, and would take further input."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    try:
        loop.add_reader(terminal, lambda: lines.put_nowait(os.read(terminal, 65_536)))
    except (NotImplementedError, OSError):  # Windows
        return
    try:
        while line := await lines.get():
            if line.strip():
                if (wrong := take(line.decode("utf-8", "replace"))) is None:
                    return
                _print(f"That is not the address. {wrong}\n")
    finally:
        loop.remove_reader(terminal)


def _print(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):  # None (no console), closed, a broken pipe
        logger.warning("Nobody can be told the address to sign in at: stderr cannot be written to.")


async def _call(opener: BrowserOpener, url: str) -> object:
    if inspect.iscoroutinefunction(opener):
        return await opener(url)
    opened = await _in_daemon_thread(opener, url)
    return await opened if inspect.isawaitable(opened) else opened


async def _in_daemon_thread(function: Callable[[str], Any], argument: str) -> Any:
    """Call a blocking function in a thread that the end of the program does not wait for.

    The executor of the event loop would be waited for, and some browsers return only when they are
    closed.
    """
    loop = asyncio.get_running_loop()
    # Neither a result of a future nor an argument of a callback: asyncio's debug mode logs both, and the
    # address at which the browser has ended holds the answer of the sign-in.
    done: asyncio.Future[None] = loop.create_future()
    outcome: list[Any] = []
    failure: list[Exception] = []

    def settle() -> None:
        if not done.done():
            done.set_result(None)

    def run() -> None:
        try:
            outcome.append(function(argument))
        except Exception as error:
            failure.append(error)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle)

    threading.Thread(target=run, name="aioalf: browser", daemon=True).start()
    await done
    if failure:
        raise failure[0]
    return outcome[0]
