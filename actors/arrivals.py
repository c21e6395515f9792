"""Runs as they arrive at a thread: their records, and the thread's with them."""

from __future__ import annotations

import attrs

from greenroom.graph.contract import Graph
from greenroom.storage.records import Run, Thread

from .errors import Invalid
from .joining import without_host
from .mailbox import Submit
from .multitask import Strategy
from .remote import going_on
from .state import ThreadState

__all__ = ["busy_with", "check_strategy", "record_of"]


def check_strategy(strategy: Strategy, graph_id: str, graph: Graph) -> None:
    """Raises Invalid for one that runs of the graph cannot have."""
    if strategy == "steer" and not graph.steerable:
        raise Invalid(
            f"multitask_strategy: 'steer' is not possible with graph {graph_id!r}, whose runs take "
            "nothing in between super-steps"
        )


def record_of(
    message: Submit, thread: Thread, state: ThreadState, *, seq: int, strategy: Strategy
) -> Run:
    """The run as it is let in, bound to what the thread asks now."""
    run = going_on(message.run, message.answers, state.log.head)
    return attrs.evolve(
        run,
        seq=seq,
        bound=state.bound(run),
        multitask_strategy=strategy,
        metadata=without_host({**message.below, **thread.metadata, **run.metadata}),
    )


def busy_with(run: Run, thread: Thread, now: str) -> Thread:
    """The thread, with a run to do, and the config of it but for what may be private."""
    asked = {key: run.metadata[key] for key in ("graph_id", "assistant_id")}
    given = {key: value for key, value in run.kwargs["config"].items() if value}
    return attrs.evolve(
        thread,
        status="busy",
        metadata={**thread.metadata, **asked},
        config={**thread.config, **given, "configurable": {}},
        updated_at=now,
    )
