"""The keywords that are handed on as ``**options``, with their types, for those who check types.

At run time the library imports nothing of this. A function of your own can use it to hand keywords on:
``def connect(**options: Unpack[ClientOptions]) -> Client``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    import ssl as _ssl
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from aiohttp import (
        BaseConnector,
        ClientMiddlewareType,
        ClientRequest,
        ClientResponse,
        ClientSession,
        ClientTimeout,
        ClientWebSocketResponse,
        ClientWSTimeout,
        Fingerprint,
        HttpVersion,
        TraceConfig,
    )
    from aiohttp.abc import AbstractCookieJar
    from aiohttp.client import UploadTracker
    from aiohttp.helpers import _SENTINEL, BasicAuth
    from aiohttp.typedefs import JSONEncoder, LooseCookies, LooseHeaders, Query, StrOrURL

    from .clock import Clock
    from .events import EventHook
    from .interactive.browser import BrowserOpener
    from .interactive.device import Prompt
    from .protocol.client_auth import ClientAuth, ClientSecret
    from .storage.base import TokenStorage

__all__ = (
    "AuthorizationCodeOptions",
    "ClientOptions",
    "DeviceOptions",
    "EndpointOptions",
    "FlowOptions",
    "ImplicitOptions",
    "ManagerOptions",
    "RequestOptions",
    "SessionOptions",
    "SignInOptions",
    "TokenOptions",
    "WebSocketOptions",
)


class RequestOptions(TypedDict, total=False):
    """What ``ClientSession.request`` takes, but for ``auth``: the Authorization header is the token's."""

    allow_redirects: bool
    auto_decompress: bool | None
    chunked: bool | None
    compress: str | bool | None
    cookies: LooseCookies | None
    data: Any
    expect100: bool
    headers: LooseHeaders | None
    json: Any
    max_field_size: int | None
    max_headers: int | None
    max_line_size: int | None
    max_redirects: int
    middlewares: Sequence[ClientMiddlewareType] | None
    params: Query
    proxy: StrOrURL | None
    proxy_auth: BasicAuth | None
    proxy_headers: LooseHeaders | None
    raise_for_status: bool | Callable[[ClientResponse], Awaitable[None]] | None
    read_bufsize: int | None
    read_until_eof: bool
    server_hostname: str | None
    skip_auto_headers: Iterable[str] | None
    ssl: _ssl.SSLContext | bool | Fingerprint
    timeout: ClientTimeout | _SENTINEL | None
    trace_request_ctx: object
    upload_tracker: UploadTracker | None


class WebSocketOptions(TypedDict, total=False):
    """What ``ClientSession.ws_connect`` takes, but for ``auth``, and for what aiohttp has deprecated."""

    autoclose: bool
    autoping: bool
    compress: int
    headers: LooseHeaders | None
    heartbeat: float | None
    max_msg_size: int
    method: str
    origin: str | None
    params: Query
    protocols: Iterable[str]
    proxy: StrOrURL | None
    proxy_auth: BasicAuth | None
    proxy_headers: LooseHeaders | None
    receive_timeout: float | None
    server_hostname: str | None
    ssl: _ssl.SSLContext | bool | Fingerprint
    timeout: ClientWSTimeout | _SENTINEL


class SessionOptions(TypedDict, total=False):
    """What ``ClientSession`` takes, but for ``auth``, ``loop``, and what aiohttp has deprecated."""

    auto_decompress: bool
    base_url: StrOrURL | None
    connector: BaseConnector | None
    connector_owner: bool
    cookie_jar: AbstractCookieJar | None
    cookies: LooseCookies | None
    fallback_charset_resolver: Callable[[ClientResponse, bytes], str]
    headers: LooseHeaders | None
    json_serialize: JSONEncoder
    json_serialize_bytes: Callable[[Any], bytes] | None
    max_field_size: int
    max_headers: int
    max_line_size: int
    middlewares: Sequence[ClientMiddlewareType]
    proxy: StrOrURL | None
    proxy_auth: BasicAuth | None
    raise_for_status: bool | Callable[[ClientResponse], Awaitable[None]]
    read_bufsize: int
    request_class: type[ClientRequest]
    requote_redirect_url: bool
    response_class: type[ClientResponse]
    skip_auto_headers: Iterable[str] | None
    ssl_shutdown_timeout: _SENTINEL | float | None
    timeout: ClientTimeout | _SENTINEL | None
    trace_configs: list[TraceConfig] | None
    trust_env: bool
    version: HttpVersion
    ws_response_class: type[ClientWebSocketResponse[Any]]


class TokenOptions(TypedDict, total=False):
    """What `TokenManager` takes and `Client` hands on; its docstring says what each is."""

    account: str | None
    clock: Clock | None
    discovery_url: StrOrURL | None
    expiry_margin: float
    issuer: str | None
    on_event: EventHook | None
    renewal_margin: float
    revocation_endpoint: StrOrURL | None


class EndpointOptions(TokenOptions, total=False):
    """What every flow takes beside its first five parameters and a storage."""

    client_auth: ClientAuth | None
    session: ClientSession | None
    token_request_params: Mapping[str, Any] | None
    token_retries: int


class ManagerOptions(EndpointOptions, total=False):
    """What `TokenManager` takes beside its first five parameters."""

    token_storage: TokenStorage | None


class SignInOptions(ManagerOptions, total=False):
    """What a flow takes in which a person takes part."""

    scope_on_refresh: bool
    unattended: bool


class _Person(TypedDict, total=False):
    authorization_timeout: float
    scope_on_refresh: bool
    unattended: bool


class _Browser(_Person, total=False):
    authorization_endpoint: StrOrURL | None
    open_browser: BrowserOpener | None
    redirect_host: str
    redirect_path: str


class _Code(_Browser, total=False):
    authorization_params: Mapping[str, Any] | None
    par: bool | None
    pushed_authorization_request_endpoint: StrOrURL | None


class _Device(_Person, total=False):
    device_authorization_endpoint: StrOrURL | None
    prompt: Prompt | None


class FlowOptions(EndpointOptions, total=False):
    """What can be said of a flow for all clients, beside the storage that they share."""

    client_id: str | None
    client_secret: ClientSecret | None
    http_options: Mapping[str, Any] | None
    scope: str | Sequence[str] | None
    token_endpoint: StrOrURL | None


class AuthorizationCodeOptions(FlowOptions, _Code, total=False):
    """What `use_authorization_code_flow` takes beside the parameters that it names."""

    response_mode: Literal["query", "form_post"] | None


class ImplicitOptions(FlowOptions, _Browser, total=False):
    """What `use_implicit_flow` takes beside the parameters that it names."""

    response_mode: Literal["fragment", "form_post"] | None


class DeviceOptions(FlowOptions, _Device, total=False):
    """What `use_device_flow` takes beside the parameters that it names."""


class ClientOptions(SessionOptions, TokenOptions, _Code, _Device, total=False):
    """What `Client` takes beside the parameters that it names.

    The keywords of a flow are among them: `use_device_flow` and its like make every client use one.
    """

    port_range: Sequence[int] | None
    response_mode: Literal["query", "fragment", "form_post"] | None
