"""The URL of an endpoint of the authorization server: checked before anything is sent there."""

from __future__ import annotations

import ipaddress
import logging
from functools import lru_cache

from yarl import URL

from .errors import TokenError
from .protocol.token_endpoint import TOKEN_ENDPOINT
from .redaction import safe_url

__all__ = ("is_cleartext", "validate_url")

logger: logging.Logger = logging.getLogger("aioalf")


@lru_cache  # a manager may be made for each incoming request; and one warning of a URL is enough
def validate_url(url: str | URL, name: str = TOKEN_ENDPOINT) -> URL:
    """Return the URL of an endpoint (RFC 6749 section 3.2); warn once of one that is not https.

    :param url: the URL.
    :param name: what kind of endpoint it is, for messages.
    :raises TokenError: it is not an absolute http or https URL, or holds credentials.
    """
    try:
        endpoint = URL(url)
    except (TypeError, ValueError):
        endpoint = URL()
    if endpoint.scheme not in ("http", "https") or not endpoint.host:
        # Not shown: with the arguments in the wrong order, it is a client secret.
        order = (
            " Are the arguments in order?"
            " Client(client_id, client_secret, token_endpoint), but"
            " TokenManager(token_endpoint, client_id, client_secret)."
        )
        raise TokenError(
            f"The {name} is not an absolute http or https URL."
            + (order if name == TOKEN_ENDPOINT else "")
        )
    if endpoint.user is not None or endpoint.password is not None:
        raise TokenError(
            f"The {name} {safe_url(endpoint)} holds credentials in its URL: pass them as"
            " client_id and client_secret."
        )
    if is_cleartext(endpoint):
        logger.warning(
            "The %s %s is not https: the client's secret and its tokens can be read on the way"
            " (RFC 6749 section 3.2).",
            name,
            safe_url(endpoint),
        )
    return endpoint


def is_cleartext(url: URL) -> bool:
    """Return whether a request to a URL can be read on its way: it is http, and leaves this machine."""
    host = url.host or ""
    if url.scheme != "http" or host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
