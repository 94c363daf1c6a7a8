"""The page that a person sees at the end of a sign-in: its words, its look and its script.

Nothing is loaded from elsewhere. The script and the style are constants, so the
Content-Security-Policy names them by hash; whatever a server said is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from dataclasses import asdict, dataclass, replace
from typing import Literal

__all__ = ("CALLBACK_PATH", "HEADERS", "Page", "already", "failed", "refused", "render", "to_json")

# The script posts the fragment here; nobody would register this path.
CALLBACK_PATH = "/.aioalf/response"


@dataclass(frozen=True)
class Page:
    """What to tell the person.

    :param kind: which of the four symbols goes with it.
    :param title: what happened, in a few words.
    :param text: what it means and what to do next.
    :param detail: what the authorization server said about it, not trusted, or None.
    """

    kind: Literal["waiting", "done", "refused", "unknown"]
    title: str
    text: str
    detail: str | None = None


WAITING = Page("waiting", "Finishing the sign-in…", "This takes a moment.")
DONE = Page("done", "You are signed in.", "You can close this tab and go back to the program.")
DENIED = Page(
    "refused",
    "You are not signed in.",
    "Access was not granted, and the program has been told. You can close this tab. If you did not"
    " mean to refuse, go back to the program, start the sign-in again and allow it.",
)
FAILED = Page(
    "refused",
    "The sign-in did not work.",
    "The program has been told why. You can close this tab, go back to the program and try again."
    " If it happens again, show this message to the people who run the service.",
)
NOT_AWAITED = Page(
    "unknown",
    "This is not the sign-in the program is waiting for.",
    "Nothing was changed. It may come from an old tab or an old link: close this tab, and sign in"
    " from the window that the program opened last.",
)
NOTHING = Page(
    "unknown",
    "No answer came with this page.",
    "This is where a sign-in ends, but there was nothing to pass on; perhaps the page was reloaded"
    " or opened by hand. Go back to the program: if it still waits, sign in from the window that it"
    " opened.",
)
GONE = Page(
    "unknown",
    "The program is no longer waiting.",
    "If you have just signed in, it has what it needs and you can close this tab. Otherwise it gave"
    " up waiting or was stopped: go back to it and start the sign-in again.",
)


def already(page: Page) -> Page:
    """Return what to say when an answer that was taken arrives once more."""
    return replace(page, title="You are already signed in.") if page.kind == "done" else page


def refused(error: str, description: str | None) -> Page:
    """Return the page of an error answer (RFC 6749 section 4.2.2.1).

    :param error: the error code.
    :param description: the server's text, or None.
    """
    page = DENIED if error == "access_denied" else FAILED
    return replace(page, detail=f"{description} ({error})" if description else error)


def failed(reason: str) -> Page:
    """Return the page of an answer that cannot be used."""
    return replace(FAILED, detail=reason)


# The address is cleaned before anything else happens; everything after that may take its time. The
# mode of fetch() stays 'cors': with 'same-origin' the Referrer-Policy would make the Origin "null".
_SCRIPT = """
(() => {
  "use strict";
  const fragment = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  const loaded = new Promise((done) => addEventListener("DOMContentLoaded", done));
  const show = (page) => {
    const main = document.querySelector("main");
    main.dataset.kind = page.kind;
    main.querySelector("h1").textContent = document.title = page.title;
    main.querySelector("p").textContent = page.text;
    const detail = main.querySelector("blockquote");
    detail.textContent = page.detail || "";
    detail.hidden = !page.detail;
  };
  const send = async () => {
    const response = await fetch("CALLBACK", {
      method: "POST",
      headers: {"Content-Type": "application/json"},
      body: JSON.stringify({params: [...new URLSearchParams(fragment)]}),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
    return response.json();
  };
  loaded.then(() => {
    // A page that already tells how it ended has had its answer in another way.
    if (document.querySelector("main").dataset.kind !== "waiting") return;
    if (fragment) send().catch(() => (GONE)).then(show);
    else show(NOTHING);
  });
})();
"""

_STYLE = """
:root {
  color-scheme: light dark;
  --back: #eef1f6; --card: #ffffff; --edge: #dde2eb; --ink: #1b2130; --soft: #545d70;
  --done: #137a43; --refused: #b3261e; --unknown: #8a5a00; --waiting: #2f5fd0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #11141b; --card: #1b202b; --edge: #303849; --ink: #eef1f7; --soft: #a8b1c3;
    --done: #58d08d; --refused: #ff8a80; --unknown: #f3bd57; --waiting: #8fb0ff;
  }
}
* { box-sizing: border-box; margin: 0; }
body {
  min-height: 100vh; min-height: 100dvh; display: grid; place-items: center; padding: 1.25rem;
  background: var(--back); color: var(--ink);
  font: 1.0625rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main, .plain {
  width: 100%; max-width: 30rem; padding: 2.75rem 2.25rem 2.5rem; text-align: center;
  background: var(--card); border: 1px solid var(--edge); border-radius: 1.25rem;
  box-shadow: 0 1px 2px rgb(0 0 0 / 6%), 0 12px 32px rgb(0 0 0 / 8%);
}
h1 { font-size: 1.5rem; line-height: 1.25; font-weight: 650; letter-spacing: -0.01em;
  text-wrap: balance; }
p { margin-top: 0.75rem; color: var(--soft); text-wrap: balance; }
blockquote {
  margin-top: 1.5rem; padding: 0.75rem 1rem; text-align: left; font-size: 0.9375rem;
  background: var(--back); border-left: 3px solid var(--sign); border-radius: 0.375rem;
  overflow-wrap: anywhere; white-space: pre-line;
}
svg { width: 4rem; height: 4rem; margin-bottom: 1.25rem; color: var(--sign); fill: none;
  stroke: currentColor; stroke-width: 3; stroke-linecap: round; stroke-linejoin: round; }
svg .disc { fill: currentColor; opacity: 0.13; stroke: none; }
svg g { display: none; }
[data-kind="waiting"] { --sign: var(--waiting); }
[data-kind="done"] { --sign: var(--done); }
[data-kind="refused"] { --sign: var(--refused); }
[data-kind="unknown"] { --sign: var(--unknown); }
[data-kind="waiting"] .waiting, [data-kind="done"] .done,
[data-kind="refused"] .refused, [data-kind="unknown"] .unknown { display: inline; }
.waiting { transform-origin: 32px 32px; animation: turn 1.1s linear infinite; }
@keyframes turn { to { transform: rotate(360deg); } }
@media (prefers-reduced-motion: reduce) { .waiting { animation: none; } }
@media (max-width: 26rem) { main, .plain { padding: 2rem 1.25rem; border-radius: 1rem; } }
@media (scripting: none) { main[data-kind="waiting"] { display: none; } }
"""

_SYMBOLS = (
    '<svg viewBox="0 0 64 64" aria-hidden="true"><circle class="disc" cx="32" cy="32" r="30"/>'
    '<g class="waiting"><path d="M32 16a16 16 0 1 1-16 16"/></g>'
    '<g class="done"><path d="m20 33 8.5 8.5L45 24"/></g>'
    '<g class="refused"><path d="m23 23 18 18M41 23 23 41"/></g>'
    '<g class="unknown"><path d="M25.5 25.5a6.6 6.6 0 1 1 10 5.6c-2.4 1.5-3.5 2.8-3.5 5.4"/>'
    '<path d="M32 44.5v.1"/></g></svg>'
)

_NO_SCRIPT = (
    '<noscript><div class="plain"><h1>One more step.</h1><p>The answer of the sign-in is in a part'
    " of the address that only a script of this page can read, and scripts are switched off. Allow"
    " JavaScript for this address (it is a program on your own computer) and reload the page.</p>"
    "</div></noscript>"
)


def to_json(page: Page) -> str:
    """Return a page as the script reads it."""
    return json.dumps(asdict(page))


_CODE = (
    _SCRIPT.replace("CALLBACK", CALLBACK_PATH)
    .replace("NOTHING", to_json(NOTHING))
    .replace("GONE", to_json(GONE))
)


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; script-src {_hash(_CODE)}; style-src {_hash(_STYLE)};"
        " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def render(page: Page) -> str:
    """Return a page as HTML. Its script cleans the address, and passes on the fragment it had."""
    title, text, detail = (html.escape(part or "") for part in (page.title, page.text, page.detail))
    hidden = "" if detail else " hidden"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<script>{_CODE}</script>\n"
        f"<title>{title}</title>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="robots" content="noindex">\n<style>{_STYLE}</style>\n</head>\n<body>\n'
        f'<main data-kind="{page.kind}">{_SYMBOLS}<div role="status" aria-live="polite">\n'
        f"<h1>{title}</h1>\n<p>{text}</p>\n<blockquote{hidden}>{detail}</blockquote>\n</div></main>\n"
        f"{_NO_SCRIPT if page.kind == 'waiting' else ''}\n</body>\n</html>\n"
    )
