"""The types of keywords in `aioalf.options` are of the keywords that there are: no more, no fewer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

import aioalf
from aioalf import AuthorizationCodeTokenManager, Client, DeviceTokenManager, TokenManager, options
from aioalf.interactive.implicit import OAuthImplictTokenManager

FIRST_FIVE = {"token_endpoint", "client_id", "client_secret", "http_options", "scope"}
# What the oldest supported aiohttp does not know.
NEWER = {"json_serialize_bytes", "max_headers", "upload_tracker"}


def keywords(*dicts: Any) -> set[str]:
    """The keys of typed dictionaries."""
    return {key for each in dicts for key in each.__annotations__}


def parameters(function: Callable[..., Any]) -> set[str]:
    """The names of all parameters of a function that has no ``**options``, or of those that it names."""
    named = inspect.signature(function).parameters.values()
    return {p.name for p in named if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)} - {"self"}


@pytest.mark.parametrize(
    ("typed", "function", "left_out"),
    [
        (
            options.RequestOptions,
            "_request",
            "method str_or_url verify_ssl fingerprint ssl_context",
        ),
        (
            options.WebSocketOptions,
            "_ws_connect",
            "url verify_ssl fingerprint ssl_context decode_text",
        ),
        (options.SessionOptions, "__init__", "loop read_timeout conn_timeout"),
    ],
)
def test_the_keywords_of_aiohttp_are_offered_but_for_auth_and_deprecated_ones(
    typed: Any, function: str, left_out: str
) -> None:
    """A keyword that a new aiohttp brings fails this test, and is then added."""
    theirs = parameters(getattr(aiohttp.ClientSession, function)) - {"auth", *left_out.split()}
    assert theirs - keywords(typed) == set()
    assert keywords(typed) - theirs <= NEWER


def test_the_keywords_of_a_manager_are_offered() -> None:
    """Beside the first five, which are named where they are taken by position."""
    assert keywords(options.ManagerOptions) | FIRST_FIVE == parameters(TokenManager)


@pytest.mark.parametrize(
    ("typed", "switch", "flow"),
    [
        (
            options.AuthorizationCodeOptions,
            aioalf.use_authorization_code_flow,
            AuthorizationCodeTokenManager,
        ),
        (options.DeviceOptions, aioalf.use_device_flow, DeviceTokenManager),
        (options.ImplicitOptions, aioalf.use_implicit_flow, OAuthImplictTokenManager),
    ],
)
def test_a_switch_offers_the_keywords_of_its_flow(typed: Any, switch: Any, flow: Any) -> None:
    """Those that it names, and those that it hands on."""
    offered = parameters(switch) | keywords(typed)
    assert offered == parameters(flow) | keywords(options.SignInOptions)
    assert parameters(switch) & keywords(typed) == set()


def test_a_client_offers_the_keywords_of_its_session_its_manager_and_the_flows_of_a_person() -> (
    None
):
    """A switch may put a flow into the place of its manager class; ``session`` is the client's own."""
    named = parameters(Client)
    flows = keywords(
        options.AuthorizationCodeOptions, options.DeviceOptions, options.ImplicitOptions
    )
    offered = {*flows, *keywords(options.ManagerOptions, options.SessionOptions), "port_range"}
    assert named & keywords(options.ClientOptions) == set()
    assert keywords(options.ClientOptions) == offered - named
