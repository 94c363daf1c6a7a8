"""A real Chromium without a window, driven through Playwright, for tests.

In a test, take the fixture (one browser per test session; imported by the module that uses it)::

    from browser import Chromium, chromium

    async def test_something(chromium: Chromium) -> None:
        async with chromium.person() as person:
            await person.do(lambda page: page.goto("http://localhost:8000"))

Playwright's blocking interface runs in a thread of its own, so that the browser outlives the event
loop of a test and never stands in its way. A `Person` has a fresh profile: no cookies, no history.

Where Chromium or Playwright is not installed the test is skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ("Chromium", "Person", "chromium")

T = TypeVar("T")

_FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--no-sandbox",
]
_PATIENCE = 15_000  # milliseconds that anything in the browser may take


class Account(Protocol):
    """A server at which somebody can sign in: each of the tests' servers is one."""

    @property
    def username(self) -> str:
        """The name of its person."""

    @property
    def password(self) -> str:
        """The password of its person."""


class Person:
    """Somebody at a browser; hand `open` in as ``open_browser=``."""

    def __init__(self, page: Page, thread: ThreadPoolExecutor) -> None:
        self._page = page
        self._thread = thread
        self._news = asyncio.Event()
        #: The addresses that a program wanted opened.
        self.opened: list[str] = []
        #: Every URL that the browser asked for, without the fragment, which no request carries.
        self.requested: list[str] = []
        #: What the browser complained of: scripts that failed, content that a policy blocked.
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text))

    async def do(self, what: Callable[[Page], T]) -> T:
        """Do something at the page, in the thread where Playwright lives."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, what, self._page)

    async def open(self, url: str) -> bool:
        """Note what a program wants opened; `signs_in` or `visits` goes there."""
        self.opened.append(url)
        self._news.set()
        return True

    async def asked(self, count: int = 1) -> str:
        """Wait until a program has asked for its count-th address, and return that."""
        while len(self.opened) < count:
            self._news.clear()
            await self._news.wait()
        return self.opened[count - 1]

    async def visits(self, url: str) -> str:
        """Be sent there by a page, as by a redirect, and return the heading of the final page."""

        def go(page: Page) -> str:
            page.goto("about:blank")  # a change of the fragment alone would load nothing
            with page.expect_navigation(url=lambda now: now != "about:blank"):
                page.evaluate("url => location.assign(url)", url)
            return _heading(page)

        return await self.do(go)

    async def answers(
        self, url: str, username: str, password: str, button: str, user_code: str = ""
    ) -> str:
        """Sign in there if one must, press a button, and return the heading at the end.

        :param user_code: what a device shows, for the page that asks for it, if any does.
        """

        def go(page: Page) -> str:
            page.goto(url)
            # Each server asks in an order of its own, and some ask only once.
            while not page.locator("main[data-kind]").count():
                pressed = button
                if page.locator("#id_username").count():
                    page.fill("#id_username", username)
                    page.fill("#id_password", password)
                    pressed = "Sign in"
                elif page.locator("#id_user_code").count():
                    page.fill("#id_user_code", user_code)
                if not page.get_by_role("button", name=pressed).count():
                    pressed = "Continue"
                with page.expect_navigation():
                    page.get_by_role("button", name=pressed).click()
                page.wait_for_selector("main")
            return _heading(page)

        return await self.do(go)

    async def approves(self, url: str, server: Account, user_code: str = "") -> str:
        """Sign in there as the server's person and say yes; return the heading at the end."""
        return await self.answers(url, server.username, server.password, "Approve", user_code)

    async def denies(self, url: str, server: Account, user_code: str = "") -> str:
        """The same, and say no."""
        return await self.answers(url, server.username, server.password, "Deny", user_code)

    async def back_list(self) -> list[str]:
        """Every URL in the back list of the tab, as the browser itself keeps it."""

        def read(page: Page) -> list[str]:
            session = page.context.new_cdp_session(page)
            history = session.send("Page.getNavigationHistory")
            session.detach()
            return [entry["url"] for entry in history["entries"]]

        return await self.do(read)


def _heading(page: Page) -> str:
    page.wait_for_selector("main[data-kind]:not([data-kind=waiting]) h1")
    return page.inner_text("h1")


class Chromium:
    """A running browser; see the top of this file."""

    def __init__(self, browser: Browser, thread: ThreadPoolExecutor) -> None:
        self._browser = browser
        self._thread = thread

    @contextlib.asynccontextmanager
    async def person(
        self,
        *,
        scripts: bool = True,
        scheme: Literal["light", "dark"] = "light",
        width: int = 1000,
        height: int = 700,
    ) -> AsyncIterator[Person]:
        """Somebody with a fresh profile and one tab.

        :param scripts: whether JavaScript is on.
        :param scheme: which colours the person prefers.
        :param width: of the window, in pixels; the height likewise.
        """

        def come() -> Page:
            context = self._browser.new_context(
                java_script_enabled=scripts,
                color_scheme=scheme,
                viewport={"width": width, "height": height},
            )
            context.set_default_timeout(_PATIENCE)
            return context.new_page()

        page = await asyncio.get_running_loop().run_in_executor(self._thread, come)
        person = Person(page, self._thread)
        try:
            yield person
        finally:
            await person.do(lambda page: page.context.close())


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A browser, one for all tests."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("Chromium is not installed")
    with ThreadPoolExecutor(1, thread_name_prefix="playwright") as thread:
        playwright = thread.submit(lambda: sync_api.sync_playwright().start()).result()
        try:
            browser = thread.submit(
                lambda: playwright.chromium.launch(executable_path=executable, args=_FLAGS)
            ).result()
            try:
                yield Chromium(browser, thread)
            finally:
                thread.submit(browser.close).result()
        finally:
            thread.submit(playwright.stop).result()
