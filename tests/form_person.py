"""Somebody who signs in without a browser: fills in the forms of a server's pages, as HTML alone.

It does in some milliseconds what a `browser.Person` does in a second, at the pages of the servers for
tests that need no script (django-oauth-toolkit and oidc-provider; ``better_auth_server.py`` has
methods of its own). Hand `open` in as ``open_browser=``::

    async with FormPerson(oidc_server) as person:
        manager = ...(open_browser=person.open)

What happens to a page in a real browser is for tests with Chromium.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

import aiohttp
from browser import Account

__all__ = ("FormPerson",)


class FormPerson:
    """Somebody with an account at a server and a cookie jar; an asynchronous context manager.

    :param decision: what this person does if a program asks, "Approve" or "Deny".
    """

    def __init__(self, server: Account, decision: str = "Approve") -> None:
        self._account = server
        self._decision = decision
        #: The addresses that a program wanted opened.
        self.opened: list[str] = []

    async def __aenter__(self) -> FormPerson:
        jar = aiohttp.CookieJar(unsafe=True)  # servers for tests are known by their IP address
        self._session = aiohttp.ClientSession(cookie_jar=jar)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def open(self, url: str) -> bool:
        """Sign in where a program wants it, and come back when that is done."""
        self.opened.append(url)
        await self._answers(url, self._decision, "")
        return True

    async def approves(self, url: str, user_code: str = "") -> str:
        """Sign in there and say yes; return the heading at the end."""
        return await self._answers(url, "Approve", user_code)

    async def denies(self, url: str, user_code: str = "") -> str:
        """The same, and say no."""
        return await self._answers(url, "Deny", user_code)

    async def _answers(self, url: str, button: str, user_code: str) -> str:
        known = {
            "id_username": self._account.username,
            "id_password": self._account.password,
            "id_user_code": user_code,
        }
        page = await self._load(self._session.get(url))
        for _ in range(10):
            if page.done or page.action is None:
                return page.heading.strip()
            form = dict(page.fields)
            for name, identifier in page.identifiers.items():
                form[name] = known.get(identifier) or form[name]
            for text in (button, "Sign in", "Continue"):
                if text in page.buttons:
                    form.update(page.buttons[text])
                    break
            page = await self._load(self._session.post(urljoin(page.url, page.action), data=form))
        raise AssertionError(f"no end of forms at {page.url}: {page.heading}")

    async def _load(self, request: Awaitable[aiohttp.ClientResponse]) -> _Page:
        response = await request
        page = _Page(str(response.url))
        page.feed(await response.text())
        return page


@dataclass
class _Page(HTMLParser):
    """A page with one form at most."""

    url: str
    done: bool = False
    heading: str = ""
    action: str | None = None  # of its form; an empty one is the page's own address
    fields: dict[str, str] = field(default_factory=dict)
    identifiers: dict[str, str] = field(default_factory=dict)  # of fields, by their names
    buttons: dict[str, dict[str, str]] = field(default_factory=dict)  # what each adds, by its text

    def __post_init__(self) -> None:
        super().__init__()
        self._within = ""
        self._adds: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._within = tag
        if tag == "main":
            self.done = "data-kind" in values
        elif tag == "form":
            self.action = values.get("action", "")
        elif tag == "input":
            self.fields[values["name"]] = values.get("value", "")
            self.identifiers[values["name"]] = values.get("id", "")
        elif tag == "button":
            self._adds = {values["name"]: values.get("value", "")} if "name" in values else {}

    def handle_data(self, data: str) -> None:
        if self._within == "button":
            self.buttons[data.strip()] = self._adds
        elif self._within == "h1":
            self.heading += data

    def handle_endtag(self, tag: str) -> None:
        self._within = ""
