"""The URL of an endpoint: as it may be used, and as it may be shown. Pure."""

from __future__ import annotations

import ipaddress

from yarl import URL

from .errors import TokenError

__all__ = ("checked_url", "sent_in_clear", "shown_url")


def checked_url(url: str | URL) -> URL:
    """The URL of a token endpoint (RFC 6749 section 3.2).

    :raises TokenError: it is no absolute http or https URL, or holds credentials.
    """
    try:
        endpoint = URL(url)
    except (TypeError, ValueError):
        endpoint = URL()
    if endpoint.scheme not in ("http", "https") or not endpoint.host:
        # Not shown: with the arguments in the wrong order, it is a client secret.
        raise TokenError(
            "The token endpoint is not an absolute http or https URL. Are the arguments in order?"
            " Client(client_id, client_secret, token_endpoint), but"
            " TokenManager(token_endpoint, client_id, client_secret)."
        )
    if endpoint.user is not None or endpoint.password is not None:
        raise TokenError(
            f"The token endpoint {shown_url(endpoint)} holds credentials in its URL: pass them as"
            " client_id and client_secret."
        )
    return endpoint


def shown_url(url: str | URL) -> str:
    """A URL as far as it may be shown: without user, password, query and fragment."""
    try:
        return str(URL(url).with_user(None).with_query(None).with_fragment(None))
    except (TypeError, ValueError):
        return "(not an absolute URL)"


def sent_in_clear(url: URL) -> bool:
    """Whether what is sent to a URL can be read on its way: it is http, and leaves this machine."""
    host = url.host or ""
    if url.scheme != "http" or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
