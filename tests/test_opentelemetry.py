"""`aioalf.opentelemetry`, with the real SDK."""

from __future__ import annotations

from typing import Any

import pytest
from managing import manager_for

from aioalf import Client, TokenHTTPError, TokenStorage
from aioalf.events import RejectionKept, SignInDone, SignInFailed, StorageFailed, TokenRequestFailed
from aioalf.testing import AuthorizationServer

sdk_metrics = pytest.importorskip("opentelemetry.sdk.metrics")
export_metrics = pytest.importorskip("opentelemetry.sdk.metrics.export")
sdk_trace = pytest.importorskip("opentelemetry.sdk.trace")
export_trace = pytest.importorskip("opentelemetry.sdk.trace.export")
in_memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")


class Collected:
    """A hook, and what has come of its events."""

    def __init__(self) -> None:
        from aioalf.opentelemetry import telemetry

        self._reader = export_metrics.InMemoryMetricReader()
        self._spans = in_memory.InMemorySpanExporter()
        self.provider = sdk_trace.TracerProvider()
        self.provider.add_span_processor(export_trace.SimpleSpanProcessor(self._spans))
        meters = sdk_metrics.MeterProvider([self._reader])
        self.hook = telemetry(meter_provider=meters, tracer_provider=self.provider)

    def points(self, name: str) -> dict[tuple[tuple[str, Any], ...], Any]:
        """The points of a metric, by their attributes."""
        data = self._reader.get_metrics_data()
        (resource,) = data.resource_metrics
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.name == name:
                    return {
                        tuple(sorted(point.attributes.items())): point
                        for point in metric.data.data_points
                    }
        return {}

    def counts(self, name: str) -> dict[tuple[tuple[str, Any], ...], int]:
        """The values of a counter, by their attributes."""
        return {of: point.value for of, point in self.points(name).items()}

    @property
    def spans(self) -> list[Any]:
        """The spans that have ended."""
        return list(self._spans.get_finished_spans())


async def test_tokens_and_rejections_are_counted(server: AuthorizationServer) -> None:
    """By reason and source; and a 401 that was answered by a second sending."""
    collected = Collected()
    manager = manager_for(server, on_event=collected.hook, token_storage=TokenStorage())
    async with manager, Client(token_manager=manager) as client:
        await client.get(server.resource)
        server.revoke_all()
        await client.get(server.resource)
    assert collected.counts("aioalf.tokens") == {
        (("reason", "first"), ("source", "endpoint")): 1,
        (("reason", "rejected"), ("source", "endpoint")): 1,
    }
    assert collected.counts("aioalf.rejections") == {(("outcome", "accepted"),): 1}
    (first, _) = collected.points("aioalf.token.duration").values()
    assert first.count == 1


async def test_a_renewal_is_a_span_under_that_of_the_task_that_began_it(
    server: AuthorizationServer,
) -> None:
    """The token request serves many; the span belongs to the one that had to begin it."""
    collected = Collected()
    tracer = collected.provider.get_tracer("test")
    async with manager_for(server, on_event=collected.hook) as manager:
        with tracer.start_as_current_span("incoming") as incoming:
            await manager.get()
    token, outer = collected.spans
    assert (token.name, outer.name) == ("aioalf.token", "incoming")
    assert token.parent.span_id == incoming.get_span_context().span_id
    assert outer.start_time <= token.start_time <= token.end_time


async def test_a_failure_has_its_error_code_and_no_secret(server: AuthorizationServer) -> None:
    """In the histogram and in the span."""
    collected = Collected()
    async with Client(
        "who", "s3cr3t", server.token_endpoint, on_event=collected.hook, raise_token_errors=True
    ) as client:
        with pytest.raises(TokenHTTPError):
            await client.get(server.resource)
    assert list(collected.points("aioalf.token.duration")) == [
        (("error.type", "invalid_client"), ("reason", "first"))
    ]
    (span,) = collected.spans
    assert not span.status.is_ok
    assert "s3cr3t" not in span.to_json()


def test_an_error_code_that_is_no_code_is_not_an_attribute() -> None:
    """A server may put the number of the request into it: each would be a metric of its own."""
    collected = Collected()
    for number in range(3):
        text = f"invalid_grant: request {number}"
        collected.hook(SignInFailed(text, 2.0))
        collected.hook(TokenRequestFailed("first", text, 400, "no", 0.1, 0.0, 0.0))
    assert collected.counts("aioalf.sign_ins") == {(("outcome", "_OTHER"),): 3}
    (attributes,) = collected.points("aioalf.token.duration")
    assert attributes == (("error.type", "_OTHER"), ("reason", "first"))


def test_every_other_event_has_its_counter() -> None:
    """Sign-ins, a storage, and a 401 that is kept."""
    collected = Collected()
    for event in (
        SignInDone(3.0),
        SignInFailed("access_denied", 2.0),
        SignInFailed(None, 300.0),
        StorageFailed("load", "gone", False),
        RejectionKept("body", "POST", "api.example.com", 401),
    ):
        collected.hook(event)
    assert collected.counts("aioalf.sign_ins") == {
        (("outcome", "done"),): 1,
        (("outcome", "access_denied"),): 1,
        (("outcome", "no_answer"),): 1,
    }
    assert collected.counts("aioalf.storage.failures") == {(("call", "load"),): 1}
    assert collected.counts("aioalf.rejections") == {(("outcome", "kept_body"),): 1}
