"""The page where a person types the code that a device shows (RFC 8628 section 3.3). Pure: no I/O."""

from __future__ import annotations

import html

from .grants import Grants
from .received import ReceivedRequest

__all__ = ("verification_page",)

_PAGE = (
    '<!DOCTYPE html><html lang="en"><title>Sign in a device</title><main>{content}</main></html>'
)
_FORM = """<h1>Sign in a device</h1><form method="post"><label>Code <input name="user_code" value="{code}">
</label> <button name="verdict" value="approve">Approve</button>
<button name="verdict" value="decline">Decline</button></form>"""


def verification_page(grants: Grants, received: ReceivedRequest) -> str:
    """Return the page; a form that was sent is noted."""
    form = received.form
    if received.method != "POST":
        return _PAGE.format(
            content=_FORM.format(code=html.escape(received.query.get("user_code", "")))
        )
    try:
        grants.decide(form.get("user_code", ""), form.get("verdict") == "approve")
    except ValueError as error:
        return _PAGE.format(content=f"<h1>{html.escape(str(error))}</h1>")
    return _PAGE.format(content="<h1>Done. You can close this page.</h1>")
