"""Which proxy a request goes through: the one of --proxy, or the one that the environment names."""

from __future__ import annotations

from argparse import ArgumentTypeError
from urllib.request import getproxies, proxy_bypass

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from yarl import URL

from .argument_types import proxy_url
from .errors import CommandError, ExitStatus

__all__ = ("Proxies",)


class Proxies:
    """Chooses a proxy for each URL.

    aiohttp's ``trust_env`` is not used: it takes credentials for the API from ``~/.netrc`` as well,
    which do not go together with a token.

    :param option: a proxy for all URLs in place of those of the environment, or None. NO_PROXY is
        honoured in both cases, as curl does.
    """

    def __init__(self, option: URL | None) -> None:
        self._option = option

    def for_url(self, url: str | URL) -> URL | None:
        """Return the proxy for a URL, with its credentials, or None.

        :raises CommandError: the environment names something that cannot be used.
        """
        url = URL(url)
        host = url.host_subcomponent or ""  # with brackets, if it is an IPv6 address
        if any(map(proxy_bypass, (url.host or "", host, f"{host}:{url.port}"))):
            return None
        named = getproxies().get(url.scheme)
        if self._option or not named:
            return self._option
        try:
            return proxy_url(named)
        except ArgumentTypeError as error:
            variable = f"{url.scheme}_proxy".upper()
            raise CommandError(ExitStatus.USAGE, f"{variable}: {error}") from None

    async def middleware(
        self, request: ClientRequest, handler: ClientHandlerType
    ) -> ClientResponse:
        """Choose for each hop: a redirect may lead to another scheme, or to a host in NO_PROXY."""
        request.proxy = self.for_url(request.url)
        return await handler(request)
