"""Runs as they arrive at a thread: their records, and the thread's with them."""

from __future__ import annotations

import attrs

from greenroom.graph.checkpoint import Saved
from greenroom.graph.contract import Graph
from greenroom.graph.resume import waiting
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


async def record_of(
    message: Submit,
    thread: Thread,
    state: ThreadState,
    *,
    seq: int,
    strategy: Strategy,
    active: Run | None,
    undone: bool,
) -> Run:
    """The run as it is let in, bound to what is asked now where it is to go on. `active`: the run
    under way; `undone`: it is rolled back first, and what it has answered is asked again."""
    start = state.log.head
    if message.answers is not None or resumes(message.run):
        start = await state.start_of(message.run, active if undone else None)
    run = going_on(message.run, message.answers, start)
    bound = bound_to(run, start)
    if bound == () and active is not None and not undone and _is_newest(start, state):
        # Meant for what that one is answering: it does not tell the thread to go on.
        bound = active.bound or ()
    return attrs.evolve(
        run,
        seq=seq,
        bound=bound,
        multitask_strategy=strategy,
        metadata=without_host({**message.below, **thread.metadata, **run.metadata}),
    )


def resumes(run: Run) -> bool:
    """Whether it answers questions."""
    command = run.kwargs["command"]
    return command is not None and command.get("resume") is not None


def bound_to(run: Run, start: Saved | None) -> tuple[str, ...] | None:
    """The questions that a run answers which goes on from there; None where it is no resume."""
    if not resumes(run):
        return None
    return () if start is None else tuple(one.id for one in waiting(start))


def _is_newest(start: Saved | None, state: ThreadState) -> bool:
    head = state.log.head
    return start is not None and head is not None and start.checkpoint.id == head.checkpoint.id


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
