"""The tasks that LangGraph plans."""

from __future__ import annotations

from typing import Final, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint as LangGraphCheckpoint
from langgraph.checkpoint.base import CheckpointMetadata
from langgraph.checkpoint.serde.types import TASKS
from langgraph.pregel._algo import prepare_next_tasks
from langgraph.pregel._checkpoint import channels_from_checkpoint

from ..checkpoint import Planned, Saved
from ..control import START
from .factories import AnyPregel

__all__ = ["node_at", "tasks_of"]

PULLED: Final = "~__pregel_pull, "  # paths of tasks begin so, with the node behind it,
PUSHED: Final = "~__pregel_push, "  # or so, with the place of their `Send`, or with a call's path


def node_at(path: str, saved: Saved | None) -> str:
    """The node of a task, by its path; empty where that does not tell, as of a `@task`."""
    if path.startswith(PULLED):
        return path.removeprefix(PULLED)
    place = path.removeprefix(PUSHED).partition(", ")[0]
    sends = () if saved is None else saved.checkpoint.values.get(TASKS, ())
    if place.isdecimal() and int(place) < len(sends):
        return cast(str, sends[int(place)].node)
    return ""


def tasks_of(
    graph: AnyPregel,
    checkpoint: LangGraphCheckpoint,
    config: RunnableConfig,
    metadata: CheckpointMetadata,
) -> list[Planned]:
    """The tasks that a checkpoint has to do next."""
    channels, managed = channels_from_checkpoint(graph.channels, checkpoint)
    step = metadata.get("step", -1) + 1
    tasks = prepare_next_tasks(
        checkpoint,
        [],
        graph.nodes,
        channels,
        managed,
        config,
        step,
        step,
        for_execution=False,
        trigger_to_nodes=graph.trigger_to_nodes,
        updated_channels=set(checkpoint.get("updated_channels") or ()) or None,
    )
    return [
        Planned(
            task.name,
            task.path[1] if isinstance(task.path[1], int) else None,
            checkpoint["channel_values"].get(START) if task.name == START else None,
            given_id=task.id,
        )
        for task in tasks.values()
    ]
