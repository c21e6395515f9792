"""LangGraph's snapshots as ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from langgraph.types import StateSnapshot as LangGraphSnapshot

from ..checkpoint import StateSnapshot, StateTask
from .records import interrupts_of

__all__ = ["snapshot"]


def snapshot(state: LangGraphSnapshot) -> StateSnapshot:
    """A state as `get_state` of this engine shows it."""
    tasks = tuple(
        StateTask(
            id=task.id,
            name=task.name,
            path=cast("tuple[str | int | bool, ...]", task.path),
            error=None if task.error is None else repr(task.error),
            interrupts=interrupts_of(task.interrupts, (f"{task.name}:{task.id}",)),
            state=_inner(task.state),
            result=task.result,
        )
        for task in state.tasks
    )
    return StateSnapshot(
        values=state.values,
        next=tuple(state.next),
        config=_place(state.config),
        metadata=None if state.metadata is None else dict(state.metadata),
        created_at=state.created_at,
        parent_config=None if state.parent_config is None else _place(state.parent_config),
        tasks=tasks,
        interrupts=tuple(asked for task in tasks for asked in task.interrupts),
    )


def _inner(state: Any) -> Any:
    return snapshot(state) if isinstance(state, LangGraphSnapshot) else state


def _place(config: Mapping[str, Any]) -> dict[str, Any]:
    """Only what names the checkpoint."""
    own = config["configurable"]
    names = ("thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")
    return {"configurable": {name: own[name] for name in names if name in own}}
