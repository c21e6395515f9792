"""The keys of the configuration file that have an effect."""

from __future__ import annotations

from typing import Annotated, Literal

import attrs
from msgspec import Meta

from greenroom.actors import MAX_QUEUED_RUNS
from greenroom.actors.event_ttl import EVENT_TTL
from greenroom.actors.events import MAX_KEPT_EVENTS
from greenroom.actors.runtime import RUN_TIMEOUT
from greenroom.actors.ttl import LONGEST

__all__ = ["Keys", "NamedGraph", "WebhookURL", "Webhooks"]


@attrs.frozen(kw_only=True)
class NamedGraph:
    path: str
    description: str | None = None


@attrs.frozen(kw_only=True)
class Index:
    embed: str
    dims: Annotated[int, Meta(ge=1)] | None = None
    fields: list[str] | None = None


@attrs.frozen(kw_only=True)
class StoreTTL:
    refresh_on_read: bool | None = None
    default_ttl: Annotated[float, Meta(gt=0)] | None = None
    sweep_interval_minutes: Annotated[float, Meta(gt=0)] | None = None


@attrs.frozen(kw_only=True)
class Store:
    index: Index | None = None
    ttl: StoreTTL | None = None


@attrs.frozen(kw_only=True)
class ThreadTTL:
    strategy: Literal["delete", "keep_latest"] | None = None
    default_ttl: Annotated[float, Meta(gt=0, le=LONGEST)] | None = None
    sweep_interval_minutes: Annotated[float, Meta(gt=0)] | None = None


@attrs.frozen(kw_only=True)
class Checkpointer:
    ttl: ThreadTTL | None = None


@attrs.frozen(kw_only=True)
class WebhookURL:
    require_https: bool = True
    allowed_domains: list[str] | None = None
    allowed_ports: list[Annotated[int, Meta(ge=1, le=65535)]] | None = None
    max_url_length: Annotated[int, Meta(ge=1)] = 65536
    disable_loopback: bool = True
    allowed_networks: list[str] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class Webhooks:
    env_prefix: Annotated[str, Meta(min_length=1)] = "LG_WEBHOOK_"
    url: WebhookURL | None = None
    headers: dict[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Cors:
    allow_origins: list[str] | None = None
    allow_origin_regex: str | None = None
    allow_methods: list[str] | None = None
    allow_headers: list[str] | None = None
    allow_credentials: bool | None = None
    expose_headers: list[str] | None = None
    max_age: Annotated[int, Meta(ge=0)] | None = None


@attrs.frozen(kw_only=True)
class Http:
    app: str | None = None
    cors: Cors | None = None
    mount_prefix: Annotated[str, Meta(pattern="^/[^?#]*$")] | None = None
    disable_meta: bool | None = None
    disable_threads: bool | None = None
    disable_runs: bool | None = None
    disable_assistants: bool | None = None
    disable_store: bool | None = None
    disable_mcp: bool | None = None
    disable_a2a: bool | None = None
    max_body_size: Annotated[int, Meta(ge=1)] | None = None
    body_timeout: Annotated[float, Meta(gt=0)] | None = None
    max_open_streams: Annotated[int, Meta(ge=1)] | None = None
    max_header_size: Annotated[int, Meta(ge=1024)] | None = None
    log_requests: bool | None = None


@attrs.frozen(kw_only=True)
class Keys:
    graphs: dict[str, str | NamedGraph]
    dependencies: list[str] = attrs.field(factory=list)
    env: dict[str, str] | str = attrs.field(factory=dict)
    store: Store | None = None
    checkpointer: Checkpointer | None = None
    run_timeout: Annotated[float, Meta(gt=0)] | None = RUN_TIMEOUT
    event_ttl: Annotated[float, Meta(gt=0)] | None = EVENT_TTL
    max_kept_events: Annotated[int, Meta(ge=1)] = MAX_KEPT_EVENTS
    webhooks: Webhooks | None = None
    http: Http | None = None
    max_queued_runs: Annotated[int, Meta(ge=1)] = MAX_QUEUED_RUNS
