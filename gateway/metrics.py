"""What the server counts, as Prometheus reads it: needs the extra `metrics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import attrs
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Scope

from greenroom.actors import Greenroom
from greenroom.storage.timing import BOUNDS, Timing

from .sse import LiveAnswers
from .watching import RequestWatch

__all__ = ["CountRequests", "ServerMetrics"]

METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"))


@attrs.define(eq=False)
class ServerMetrics(Collector):
    """The figures of a room and of the app over it."""

    content_type: ClassVar[str] = CONTENT_TYPE_LATEST

    room: Greenroom
    live: LiveAnswers
    requests: Counter[tuple[str, str, str]] = attrs.field(init=False, factory=Counter)
    times: dict[tuple[str, str], Timing] = attrs.field(init=False, factory=dict)
    _registry: CollectorRegistry = attrs.field(init=False)

    @_registry.default
    def _make_registry(self) -> CollectorRegistry:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(self)
        return registry

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        census, meters = self.room.census(), self.room.meters
        for name, what, number in (
            ("actors", "Threads that are awake", census.actors),
            ("mailbox_messages", "Messages to threads that are not read yet", census.messages),
            ("live_answers", "HTTP answers under way that follow runs", len(self.live)),
            ("thread_followers", "Readers of whole threads", census.followers),
        ):
            yield GaugeMetricFamily(f"greenroom_{name}", what, value=number)
        runs = GaugeMetricFamily("greenroom_runs", "Runs that have not ended", labels=["status"])
        runs.add_metric(["running"], census.running)
        runs.add_metric(["pending"], census.pending)
        yield runs
        yield _counter("runs_ended", "Runs that have ended", ["status"], _one(meters.ended))
        labels = ["strategy", "outcome"]
        yield _counter("admissions", "Runs that arrived", labels, meters.admissions)
        fenced = "Writes refused of runs that were given up on"
        yield CounterMetricFamily("greenroom_fenced_writes", fenced, value=meters.fenced_writes)
        what = "From a run being told to stop until the next one starts"
        yield _histogram("hand_over_seconds", what, [], {(): meters.hand_overs})
        what = "Commits of storage"
        yield _histogram("commit_seconds", what, [], {(): self.room.commit_times})
        labels = ["method", "endpoint"]
        yield _counter("http_requests", "HTTP requests", [*labels, "status"], self.requests)
        yield _histogram("http_request_seconds", "HTTP requests", labels, self.times)


class CountRequests(RequestWatch):
    """Middleware: counts requests by method, endpoint and status, and how long they took."""

    def __init__(self, app: ASGIApp, metrics: ServerMetrics) -> None:
        super().__init__(app)
        self._metrics = metrics

    def seen(self, scope: Scope, status: int | None, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        place = (method, _name(scope.get("endpoint")))
        self._metrics.requests[*place, "none" if status is None else str(status)] += 1
        self._metrics.times.setdefault(place, Timing()).add(seconds)


def _name(endpoint: Any) -> str:
    """Of few values, whatever strangers ask for."""
    if endpoint is None:
        return "none"
    return f"{endpoint.__module__.rpartition('.')[2]}.{getattr(endpoint, '__name__', 'app')}"


def _one(counts: Counter[str]) -> Counter[tuple[str]]:
    return Counter({(name,): number for name, number in counts.items()})


def _counter(name: str, what: str, labels: list[str], counts: Counter[Any]) -> Metric:
    family = CounterMetricFamily(f"greenroom_{name}", what, labels=labels)
    for values, number in sorted(counts.items()):
        family.add_metric(list(values), number)
    return family


def _histogram(
    name: str, what: str, labels: list[str], times: dict[Any, Timing]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(f"greenroom_{name}", what, labels=labels)
    for values, timing in sorted(times.items()):
        total, buckets = 0, []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), timing.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family.add_metric(list(values), buckets, timing.seconds)
    return family
