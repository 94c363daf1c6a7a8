"""The events of a manager as metrics and spans of OpenTelemetry. Needs ``aio-alf[otel]``.

OpenTelemetry has no names for OAuth clients, so these begin with the library's own, as its conventions ask
of a library. Attributes have few values: none is a token, a user or a URL.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from opentelemetry import metrics, trace

from .events import (
    Event,
    EventHook,
    RejectionKept,
    RequestResent,
    SignInDone,
    SignInFailed,
    StorageFailed,
    TokenObtained,
    TokenRequestFailed,
)

__all__ = ("telemetry",)


def telemetry(
    *,
    meter_provider: metrics.MeterProvider | None = None,
    tracer_provider: trace.TracerProvider | None = None,
) -> EventHook:
    """Return a hook for ``on_event=`` that counts, measures and traces. One may serve many managers.

    Counters: ``aioalf.tokens`` (by ``reason`` and ``source``), ``aioalf.rejections`` (by ``outcome``),
    ``aioalf.sign_ins`` (by ``outcome``), ``aioalf.storage.failures`` (by ``call``). A histogram in seconds:
    ``aioalf.token.duration`` (by ``reason`` and ``source``, or ``error.type`` if it failed). A span for
    each renewal, ``aioalf.token``, whose parent is the span of the task that began the renewal.

    An exporter that is gone is the SDK's matter: nothing here waits for it.

    :param meter_provider: by default the global one.
    :param tracer_provider: by default the global one.
    """
    meter = metrics.get_meter("aioalf", meter_provider=meter_provider)
    tracer = trace.get_tracer("aioalf", tracer_provider=tracer_provider)
    tokens = meter.create_counter("aioalf.tokens", "{token}", "Tokens that were obtained.")
    rejections = meter.create_counter(
        "aioalf.rejections", "{rejection}", "Requests whose token was rejected."
    )
    sign_ins = meter.create_counter("aioalf.sign_ins", "{sign_in}", "Sign-ins of a person.")
    storage = meter.create_counter(
        "aioalf.storage.failures", "{failure}", "Calls of a token storage that failed."
    )
    duration = meter.create_histogram("aioalf.token.duration", "s", "How long a renewal took.")

    def renewal(event: TokenObtained | TokenRequestFailed, attributes: Mapping[str, str]) -> None:
        duration.record(event.seconds, attributes)
        end = time.time_ns()
        span = tracer.start_span(
            "aioalf.token", attributes=attributes, start_time=end - int(event.seconds * 1e9)
        )
        if isinstance(event, TokenRequestFailed):
            span.set_status(trace.StatusCode.ERROR, event.message)
        span.end(end)

    def hook(event: Event) -> None:
        if isinstance(event, TokenObtained):
            of = {"reason": event.reason, "source": event.source}
            tokens.add(1, of)
            renewal(event, of)
        elif isinstance(event, TokenRequestFailed):
            error = _code(event.error) or (str(event.status) if event.status else "no_answer")
            renewal(event, {"reason": event.reason, "error.type": error})
        elif isinstance(event, RequestResent):
            rejections.add(1, {"outcome": "accepted" if event.accepted else "rejected_again"})
        elif isinstance(event, RejectionKept):
            rejections.add(1, {"outcome": f"kept_{event.reason}"})
        elif isinstance(event, (SignInDone, SignInFailed)):
            outcome = "done" if isinstance(event, SignInDone) else _code(event.error) or "no_answer"
            sign_ins.add(1, {"outcome": outcome})
        elif isinstance(event, StorageFailed):
            storage.add(1, {"call": event.call})

    return hook


def _code(error: str | None) -> str | None:
    """Return an error code as an attribute; servers put all kinds of text into one."""
    return "_OTHER" if error and not re.fullmatch("[a-z_]{1,40}", error) else error
