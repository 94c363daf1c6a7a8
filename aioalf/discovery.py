"""`Discovery`: where the endpoints of an authorization server are, as it says itself (RFC 8414)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yarl import URL

from .endpoint import EndpointClient
from .errors import TokenError
from .protocol.metadata import check_issuer, endpoint_from, metadata_urls, read_metadata
from .redaction import safe_url

__all__ = ("Discovery",)

_NAME = "metadata"


class Discovery:
    """Reads the metadata of a server once, when an endpoint is needed first.

    :param client: sends the request.
    :param issuer: the issuer identifier, or None: then it is taken from the metadata.
    :param discovery_url: where the metadata is, instead of where `issuer` says.
    :raises ValueError: the issuer is not an https URL, without query and fragment.
    """

    def __init__(
        self, client: EndpointClient, issuer: str | None, discovery_url: str | URL | None
    ) -> None:
        if issuer is not None:
            check_issuer(issuer)
        self._client = client
        self._configured = issuer
        self._url = None if discovery_url is None else str(discovery_url)
        self._metadata: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """What stored tokens are bound to in place of a token endpoint; no URL looks like it."""
        return f"issuer {self._configured or self._url}"

    @property
    def issuer(self) -> str | None:
        """The issuer identifier; None if it was not given and is not found out yet."""
        if self._configured is None and self._metadata is not None:
            return str(self._metadata["issuer"])
        return self._configured

    async def find(self, name: str, *, mtls: bool = False) -> str | None:
        """Return the URL of an endpoint; None if the server has none of that name.

        :param name: such as ``"token endpoint"``.
        :param mtls: whether it is for a client with a certificate (RFC 8705 section 5).
        :raises TokenError: the metadata cannot be had, or the endpoint is not https.
        """
        return endpoint_from(await self.metadata(), name.replace(" ", "_"), self.issuer, mtls=mtls)

    async def metadata(self) -> Mapping[str, Any]:
        """Return the metadata, read once: a manager asks for it inside its single flight.

        :raises TokenError: the server gave none, or that of another issuer.
        """
        if self._metadata is None:
            self._metadata = await self._read()
        return self._metadata

    async def _read(self) -> Mapping[str, Any]:
        urls = metadata_urls(self._configured or "") if self._url is None else [self._url]
        for url in urls:
            status, body = await self._client.get(url, _NAME)
            found = read_metadata(status, body, issuer=self._configured, url=url)
            if found is not None:
                return found
        tried = ", ".join(safe_url(url) for url in urls)
        raise TokenError(
            f"The server has no metadata at {tried}. Is the issuer right? Else give the endpoints"
            " themselves, or discovery_url=."
        )

    def forget(self) -> None:
        """Read the metadata anew at the next need: an endpoint was not where it said."""
        self._metadata = None
