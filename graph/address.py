"""Which thread, and which checkpoint on it, a config names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["Address"]


@attrs.frozen
class Address:
    """A place on a thread. `ns`: "" for the outermost graph.

    `start_id`: the checkpoint of the outermost graph that a run starts from, None for the newest.
    `travels`: those that graphs inside it go on from then, by namespace.
    """

    thread_id: str
    ns: str
    checkpoint_id: str | None
    start_id: str | None
    travels: Mapping[str, str]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Address:
        """Raises ValueError for a config that names no thread."""
        own = config.get("configurable") or {}
        if not own.get("thread_id"):
            raise ValueError(
                "A graph with a checkpointer needs a thread: configurable.thread_id in the config"
            )
        ns, ident = own.get("checkpoint_ns") or "", own.get("checkpoint_id")
        if not ns:
            return cls(str(own["thread_id"]), ns, ident, ident, {})
        # A place inside says with `checkpoint_map` where the graphs around it were.
        ids = dict(own.get("checkpoint_map") or {})
        start_id = ids.pop("", None)
        return cls(str(own["thread_id"]), ns, ident, start_id, ids if start_id else {})
