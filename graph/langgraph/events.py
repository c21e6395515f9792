"""Stream mode `events`: what langchain-core tells of a run and all that runs inside its nodes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final

from ..isolation import isolated

__all__ = ["told_by"]

_HIDDEN: Final = "langsmith:hidden"


async def told_by(
    graph: Any,
    given: Any,
    asked: Any,
    config: Mapping[str, Any],
    tell: Callable[[dict[str, Any]], None],
    how: Mapping[str, Any],
) -> AsyncGenerator[Any, None]:
    """What `graph.astream(given, config, **how)` streams, while `tell` is given the events.

    `asked`: what the run was given, which its first event shows. What the run itself streams is no
    event, as on the reference server.
    """
    root = None
    stream = graph.astream_events(given, config, version="v2", **how)
    async with aclosing(stream):
        async for event in stream:
            if root is None:
                root = event["run_id"]
                event = {**event, "data": {**event["data"], "input": asked}}
            if event["run_id"] == root and event["event"] == "on_chain_stream":
                yield event["data"]["chunk"]
            elif _HIDDEN not in event["tags"]:
                tell(_shown(event))


def _shown(event: Mapping[str, Any]) -> dict[str, Any]:
    """The reader's own, with the exception that a tool may have failed with."""
    return {**event, "data": isolated(event["data"]), "metadata": dict(event["metadata"])}
