"""What stream modes `tasks`, `checkpoints` and `debug` show, in LangGraph's shapes. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from .checkpoint import Planned, StateSnapshot, StateTask
from .context import RunnableConfig
from .control import PREVIOUS, START, Interrupt
from .parts import CheckpointPayload, CheckpointTask, DebugPayload, TaskPayload, TaskResultPayload

__all__ = ["checkpoint_payload", "result_payload", "task_payload", "triggers", "wrapped"]

# What a task's metadata repeats of its own fields and of where it is.
_OF_PLACE: Final = frozenset(
    (
        "checkpoint_id",
        "checkpoint_map",
        "checkpoint_ns",
        "langgraph_checkpoint_ns",
        "langgraph_node",
        "langgraph_path",
        "langgraph_step",
        "langgraph_triggers",
        "thread_id",
    )
)


def task_payload(planned: Planned, given: Any, config: RunnableConfig) -> TaskPayload:
    """A task that starts. `given`: what its node reads. `config`: what its node is given."""
    metadata = config.get("metadata", {})
    shown = {key: value for key, value in metadata.items() if key not in _OF_PLACE}
    tags = [tag for tag in config.get("tags", ()) if not tag.startswith("seq:step")]
    if tags:
        shown["tags"] = tags
    payload = TaskPayload(
        id=planned.id,
        name=planned.node,
        input=given,
        triggers=tuple(metadata["langgraph_triggers"]),
    )
    return {**payload, "metadata": shown} if shown else payload


def result_payload(
    planned: Planned,
    writes: Sequence[tuple[str, Any]] = (),
    *,
    error: Exception | None = None,
    interrupts: Sequence[Interrupt] = (),
) -> TaskResultPayload:
    """What a task came to. A key that it wrote more than once has `{"$writes": [...]}`."""
    by_key: dict[str, list[Any]] = {}
    for key, value in writes:
        if key == PREVIOUS:
            continue
        by_key.setdefault(key, []).append(value)
    return {
        "id": planned.id,
        "name": planned.node,
        "error": error,
        "result": {
            key: values[0] if len(values) == 1 else {"$writes": values}
            for key, values in by_key.items()
        },
        "interrupts": [_interrupt(one) for one in interrupts],
    }


def checkpoint_payload(state: StateSnapshot, *, is_new: bool) -> CheckpointPayload:
    """A checkpoint as the run has come to it; `next` has finished tasks too. One that `is_new` says
    nothing of the run, which is known; one that was there has all of its metadata."""
    about = dict(state.metadata or {})
    if is_new:
        about = {key: about[key] for key in ("source", "step", "parents")}
    return {
        "config": state.config,
        "parent_config": state.parent_config,
        "values": state.values,
        "metadata": about,
        "next": [task.name for task in state.tasks],
        "tasks": [_task(task) for task in state.tasks],
    }


def wrapped(
    kind: Literal["checkpoint", "task", "task_result"],
    step: int,
    timestamp: str,
    payload: CheckpointPayload | TaskPayload | TaskResultPayload,
) -> DebugPayload:
    """A payload as mode `debug` shows it; `kind`: `checkpoint`, `task` or `task_result`."""
    return {"step": step, "timestamp": timestamp, "type": kind, "payload": payload}


def triggers(planned: Planned) -> tuple[str, ...]:
    """What made a task run, under LangGraph's names."""
    if planned.index is not None:
        return ("__pregel_push",)
    return (f"branch:to:{planned.node}",)


def _task(task: StateTask) -> CheckpointTask:
    shown = CheckpointTask(id=task.id, name=task.name, state=task.state)
    if task.error is not None:
        return {**shown, "error": task.error}
    if task.result and task.name != START:
        shown["result"] = task.result
    return {**shown, "interrupts": tuple(_interrupt(one) for one in task.interrupts)}


def _interrupt(interrupt: Interrupt) -> dict[str, Any]:
    return {
        "value": interrupt.value,
        "id": interrupt.id,
        "response_schema": interrupt.response_schema,
    }
