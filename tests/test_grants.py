"""Flows in which nobody takes part: JWT bearer, token exchange, a static token."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fakes import FakeClock
from joserfc import jwt
from joserfc.jwk import ECKey

from aioalf import (
    Client,
    ClientAssertion,
    ClientAuth,
    ClientSecretJWT,
    ClientSecretPost,
    FileTokenStorage,
    JWTBearerTokenManager,
    NoClientAuth,
    SecretFile,
    StaticTokenManager,
    TokenError,
    TokenExchangeManager,
    TokenHTTPError,
    TokenManager,
    TokenStorage,
)
from aioalf.testing import AuthorizationServer

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"


class Slots(TokenStorage):
    """A slot for each key, in memory."""

    def __init__(self) -> None:
        self.slots: dict[str, TokenStorage] = {}

    def for_key(self, key: str) -> TokenStorage:
        return self.slots.setdefault(key, TokenStorage())


def token_form(server: AuthorizationServer) -> dict[str, str]:
    """The form of the last token request."""
    return dict([request for request in server.log if request.kind == "token"][-1].form)


async def status_with(one: TokenManager, server: AuthorizationServer) -> int:
    """How the resource answers to the manager's token."""
    async with one, Client(token_manager=one) as client:
        return (await client.get(server.resource)).status


# -- JWT bearer


async def test_an_assertion_is_exchanged_for_a_token(server: AuthorizationServer) -> None:
    """RFC 7523 section 2.1; without a client id, as many servers want it."""
    server.assertions = ["a.b.c"]
    one = JWTBearerTokenManager(server.token_endpoint, assertion="a.b.c", scope="read")
    assert await status_with(one, server) == 200
    assert token_form(server) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": "a.b.c",
        "scope": "read",
    }
    assert "Authorization" not in server.log[0].headers


async def test_an_assertion_may_be_a_file_and_is_read_at_each_request(
    server: AuthorizationServer, clock: FakeClock, tmp_path: Path
) -> None:
    """Whatever refresh token came with the last one: the assertion is as good."""
    server.time = clock.time
    server.token_parameters = {"refresh_token": "not used"}
    path = tmp_path / "assertion"
    async with JWTBearerTokenManager(
        server.token_endpoint, assertion=SecretFile(path), clock=clock
    ) as one:
        for assertion in ("a.b.c", "d.e.f"):
            server.assertions = [assertion]
            path.write_text(assertion + "\r\n")
            await one.get()
            assert token_form(server)["assertion"] == assertion
            clock.advance(7200)
    assert [request.form["grant_type"][-10:] for request in server.log] == ["jwt-bearer"] * 2


async def test_an_assertion_is_signed_anew_for_each_token(
    server: AuthorizationServer, clock: FakeClock
) -> None:
    """By a callable, as a service account does it."""
    server.time = clock.time
    key = ECKey.import_key(ec.generate_private_key(ec.SECP256R1()))
    server.issuers = {"robot@example.com": key.as_dict(private=False)}

    async def signed() -> str:
        now, number = int(clock.time()), server.token_requests
        claims = {"iss": "robot@example.com", "sub": "robot@example.com", "jti": f"j{number}"}
        claims |= {"aud": server.token_endpoint, "iat": now, "exp": now + 60}  # type: ignore[dict-item]
        return jwt.encode({"alg": "ES256"}, claims, key)

    one = JWTBearerTokenManager(server.token_endpoint, assertion=signed, clock=clock)
    async with one, Client(token_manager=one) as client:
        for _ in range(3):
            assert (await client.get(server.resource)).status == 200
            clock.advance(7200)
    assert server.token_requests == 3


async def test_a_client_that_has_credentials_sends_them_too(server: AuthorizationServer) -> None:
    """RFC 7521 section 4.1: optional; Microsoft's on_behalf_of wants them."""
    server.assertions = ["a.b.c"]
    one = JWTBearerTokenManager(
        server.token_endpoint,
        server.client_id,
        server.client_secret,
        assertion="a.b.c",
        token_request_params={"requested_token_use": "on_behalf_of"},
    )
    assert await status_with(one, server) == 200
    assert token_form(server)["requested_token_use"] == "on_behalf_of"
    assert server.log[0].headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize("kind", [JWTBearerTokenManager, TokenExchangeManager])
async def test_a_client_without_a_secret_names_itself_in_the_form(
    server: AuthorizationServer, kind: Any
) -> None:
    """It is a public one (RFC 6749 section 3.2.1)."""
    server.allow_public = True
    server.assertions = server.subject_tokens = ["a.b.c"]
    source = "assertion" if kind is JWTBearerTokenManager else "subject_token"
    one = kind(server.token_endpoint, server.client_id, **{source: "a.b.c"})
    assert await status_with(one, server) == 200
    assert token_form(server)["client_id"] == server.client_id
    assert "Authorization" not in server.log[0].headers


async def test_a_refused_assertion_is_the_servers_error(server: AuthorizationServer) -> None:
    """It is not a refresh token: nothing is forgotten, nothing tried again."""
    async with JWTBearerTokenManager(server.token_endpoint, assertion="x.y.z") as one:
        with pytest.raises(TokenHTTPError, match="invalid_grant"):
            await one.get()
    assert server.token_requests == 1


# -- token exchange


async def test_a_callers_token_is_exchanged(server: AuthorizationServer) -> None:
    """RFC 8693 section 2.1."""
    subject = server.issue()
    one = TokenExchangeManager(
        server.token_endpoint,
        server.client_id,
        server.client_secret,
        subject_token=subject,
        scope="read",
        token_request_params={"audience": "orders"},
    )
    assert await status_with(one, server) == 200
    assert token_form(server) == {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": subject,
        "subject_token_type": ACCESS_TOKEN,
        "scope": "read",
        "audience": "orders",
    }


async def test_a_projected_file_is_the_subject_and_there_is_no_client(
    server: AuthorizationServer, clock: FakeClock, tmp_path: Path
) -> None:
    """Google's STS; the file is replaced about once an hour."""
    server.time = clock.time
    path = tmp_path / "token"
    one = TokenExchangeManager(
        server.token_endpoint,
        subject_token=SecretFile(path),
        subject_token_type=JWT,
        requested_token_type=ACCESS_TOKEN,
        clock=clock,
    )
    async with one:
        for token in ("first.a.b", "second.a.b"):
            server.subject_tokens = [token]
            path.write_text(token + "\n")
            await one.get()
            clock.advance(7200)
    form = token_form(server)
    assert (form["subject_token"], form["subject_token_type"]) == ("second.a.b", JWT)
    assert form["requested_token_type"] == ACCESS_TOKEN
    assert "client_id" not in form


async def test_an_actor_is_named_with_its_type(server: AuthorizationServer) -> None:
    """RFC 8693 section 2.1: delegation."""
    one = TokenExchangeManager(
        server.token_endpoint,
        subject_token=server.issue(),
        actor_token=lambda: "an.actor\n",
        actor_token_type=JWT,
    )
    server.subject_tokens = ["an.actor"]
    async with one:
        await one.get()
    assert token_form(server)["actor_token"] == "an.actor"
    assert token_form(server)["actor_token_type"] == JWT


@pytest.mark.parametrize("kind", ["N_A", "n_a"])
async def test_what_is_not_an_access_token_is_refused_with_the_remedy(
    server: AuthorizationServer, kind: str
) -> None:
    """RFC 8693 section 2.2.1: N_A, in any case; it is not stored either."""
    server.token_parameters = {"token_type": kind}
    storage = TokenStorage()
    one = TokenExchangeManager(
        server.token_endpoint,
        subject_token=server.issue(),
        requested_token_type=JWT,
        token_storage=storage,
    )
    async with one:
        with pytest.raises(TokenError, match=r"its token_type is N_A.*requested_token_type="):
            await one.get()
    assert storage.token is None


async def test_an_answer_need_not_say_what_it_is(server: AuthorizationServer) -> None:
    """``issued_token_type`` is required, and left out by some."""
    server.answer_next(200, {"Content-Type": "application/json"}, '{"access_token": "t"}')
    async with TokenExchangeManager(server.token_endpoint, subject_token="s") as one:
        assert (await one.get()).access_token == "t"


async def test_callers_do_not_get_each_others_token(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """Though they share client and storage: the subject is a part of the key, hashed."""
    storage = FileTokenStorage(tmp_path / "tokens")
    subjects = [server.issue(), server.issue()]
    tokens = []
    for subject in (*subjects, subjects[0]):
        one = TokenExchangeManager(
            server.token_endpoint, subject_token=subject, token_storage=storage
        )
        async with one:
            tokens.append((await one.get()).access_token)
    assert tokens[0] == tokens[2] != tokens[1]
    assert not [subject for subject in subjects if subject in (tmp_path / "tokens").read_text()]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"subject_token": "a"}, {"subject_token": "b"}),
        ({"subject_token": "a"}, {"subject_token": "a", "actor_token": "b"}),
        ({"subject_token": "ab"}, {"subject_token": "a", "actor_token": "b"}),
        ({"subject_token": lambda: "a", "account": "x"}, {"subject_token": lambda: "a"}),
        ({"subject_token": "a", "account": "x"}, {"subject_token": "a", "account": "y"}),
        ({"subject_token": "a"}, {"subject_token": "a", "scope": "read"}),
        (
            {"subject_token": "a"},
            {"subject_token": "a", "requested_token_type": ACCESS_TOKEN},
        ),
    ],
)
async def test_what_tells_exchanges_apart_tells_stored_tokens_apart(
    server: AuthorizationServer, one: dict[str, Any], other: dict[str, Any]
) -> None:
    """Another string, account, scope or type to ask for: another token."""
    server.subject_tokens = ["a", "b", "ab"]
    storage = Slots()
    for options in (one, other, one, other):
        async with TokenExchangeManager(
            server.token_endpoint, token_storage=storage, **options
        ) as manager:
            await manager.get()
    assert server.token_requests == 2


@pytest.mark.parametrize("account", [None, "robot"])
async def test_assertions_that_are_strings_tell_stored_tokens_apart(
    server: AuthorizationServer, account: str | None
) -> None:
    """Unless an account does: then another assertion is of the same robot."""
    server.assertions = ["a.b.c", "d.e.f"]
    storage = Slots()
    for assertion in server.assertions:
        async with JWTBearerTokenManager(
            server.token_endpoint, assertion=assertion, account=account, token_storage=storage
        ) as one:
            await one.get()
    assert server.token_requests == (2 if account is None else 1)


def raising() -> str:
    """A source that is broken."""
    raise RuntimeError("s3cr3t")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (raising, r"The callable given as \w+ failed \(RuntimeError\)"),
        (lambda: None, "Missing"),
        (lambda: "", "Missing"),
        (lambda: 5, "is a int, not a string"),
        (SecretFile("/nowhere/token"), "/nowhere/token cannot be read"),
    ],
)
async def test_a_source_that_gives_nothing_is_named(
    server: AuthorizationServer, source: Any, message: str
) -> None:
    """And nothing is sent."""
    managers = (
        TokenExchangeManager(server.token_endpoint, subject_token=source),
        TokenExchangeManager(server.token_endpoint, subject_token="s", actor_token=source),
        JWTBearerTokenManager(server.token_endpoint, assertion=source),
        StaticTokenManager(source),
    )
    for one in managers:
        async with one:
            with pytest.raises(TokenError, match=message) as caught:
                await one.get()
        assert "s3cr3t" not in str(caught.value)
    assert server.token_requests == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: TokenExchangeManager("https://a.example", subject_token=5),  # type: ignore[arg-type]
        lambda: TokenExchangeManager("https://a.example", subject_token="s", actor_token=5),  # type: ignore[arg-type]
        lambda: JWTBearerTokenManager("https://a.example", assertion=b"x"),  # type: ignore[arg-type]
        lambda: StaticTokenManager(Path("token")),  # type: ignore[arg-type]
    ],
)
def test_a_source_is_a_string_or_a_callable(make: Any) -> None:
    """It is told at construction."""
    with pytest.raises(TypeError, match="takes a string, or a callable"):
        make()


# -- a token that is there already


async def test_a_static_token_is_used_as_it_is(server: AuthorizationServer) -> None:
    """A personal access token, or a test's; white space around it is no part of it."""
    token = server.issue()
    assert await status_with(StaticTokenManager(f" {token}\t"), server) == 200
    assert server.token_requests == 0


async def test_after_a_401_the_source_is_asked_again(
    server: AuthorizationServer, tmp_path: Path
) -> None:
    """The file holds a new token by then."""
    path = tmp_path / "token"
    path.write_text(server.issue() + "\n")
    one = StaticTokenManager(SecretFile(path))
    async with one, Client(token_manager=one) as client:
        assert (await client.get(server.resource)).status == 200
        server.revoke_all()
        path.write_text(server.issue())
        assert (await client.get(server.resource)).status == 200


async def test_a_static_token_that_is_rejected_is_a_401(server: AuthorizationServer) -> None:
    """There is no other one."""
    one = StaticTokenManager("wrong")
    async with one, Client(token_manager=one) as client:
        for _ in range(3):
            assert (await client.get(server.resource)).status == 401


async def test_a_static_token_with_a_character_that_it_must_not_have_is_refused() -> None:
    """A header cannot carry it."""
    async with StaticTokenManager("two words") as one:
        with pytest.raises(TokenError, match="token that was given holds a character it must not"):
            await one.get()


async def test_a_static_token_can_be_asked_for_anew(server: AuthorizationServer) -> None:
    """By a subclass with a step of 0.4.0 as well, though there is no endpoint."""

    class Stepwise(StaticTokenManager):
        async def get_token(self) -> str:
            return await super().get_token()

    for kind in (StaticTokenManager, Stepwise):
        given = [server.issue(), server.issue()]
        one = kind(partial(given.pop, 0))
        async with one, Client(token_manager=one) as client:
            assert (await client.get(server.resource)).status == 200
            server.revoke_all()
            given[0] = server.issue()
            assert (await client.get(server.resource)).status == 200
        assert not given


def test_a_static_token_is_not_stored() -> None:
    """A token stored before would be used in place of the one given, and it lies about in a file."""
    with pytest.raises(TypeError, match="StaticTokenManager takes no token_storage"):
        StaticTokenManager("token", token_storage=TokenStorage())  # type: ignore[call-arg]


# -- who asks


@pytest.mark.parametrize("flow", [TokenExchangeManager, JWTBearerTokenManager])
async def test_an_assertion_of_the_client_needs_no_client_id(
    server: AuthorizationServer, flow: type[TokenManager]
) -> None:
    """RFC 7521 section 4.2: the assertion says who asks, and an empty client_id is not sent."""
    server.assertions = ["client.as.sertion", "g.ran.t"]
    server.subject_tokens = ["sub.je.ct"]
    options: dict[str, Any] = (
        {"assertion": "g.ran.t"}
        if flow is JWTBearerTokenManager
        else {"subject_token": "sub.je.ct", "subject_token_type": JWT}
    )
    auth = ClientAssertion("client.as.sertion")
    async with flow(server.token_endpoint, client_auth=auth, **options) as one:
        await one.get()
    form = token_form(server)
    assert form["client_assertion"] == "client.as.sertion"
    assert "client_id" not in form


async def test_client_credentials_need_no_client_id_beside_an_assertion(
    server: AuthorizationServer,
) -> None:
    """RFC 7521 section 4.2."""
    server.assertions = ["client.as.sertion"]
    auth = ClientAssertion("client.as.sertion")
    async with TokenManager(server.token_endpoint, client_auth=auth) as one:
        await one.get()
    assert "client_id" not in token_form(server)


@pytest.mark.parametrize("auth", [ClientSecretPost(), NoClientAuth(), ClientSecretJWT()])
def test_a_client_that_is_not_named_cannot_authenticate(auth: ClientAuth) -> None:
    """It was not applied, and nothing said so."""
    with pytest.raises(TypeError, match=f"{type(auth).__name__} as client_auth needs a client_id"):
        TokenExchangeManager("http://localhost/", subject_token="a", client_auth=auth)
