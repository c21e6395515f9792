"""Records as the dictionaries that clients get; shapes follow the LangGraph Agent Server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from greenroom.graph import Interrupt, StateSnapshot
from greenroom.graph.checkpoint import Saved, StateTask
from greenroom.graph.failure import TaskError
from greenroom.graph.isolation import isolated
from greenroom.graph.root import asking
from greenroom.storage.records import Assistant, AssistantVersion, Cron, Run, Thread

__all__ = [
    "ASSISTANT_FIELDS",
    "CRON_FIELDS",
    "RUN_FIELDS",
    "STATE_FIELDS",
    "THREAD_FIELDS",
    "assistant_view",
    "chain_event",
    "cron_view",
    "debug_event",
    "error_view",
    "ids_of",
    "interrupt_event",
    "result_view",
    "run_view",
    "state_view",
    "task_event",
    "thread_interrupts",
    "thread_view",
]

# The bookkeeping of runs, which clients do not see.
_INTERNAL = {"seq", "bound", "attempt", "stalled", "started_from", "first_log_seq", "stop", "error"}


THREAD_FIELDS = (*(field.name for field in attrs.fields(Thread)), "values")
RUN_FIELDS = (
    *(field.name for field in attrs.fields(Run) if field.name not in _INTERNAL),
    "langsmith_session_name",
)
STATE_FIELDS = (
    "values",
    "next",
    "tasks",
    "metadata",
    "created_at",
    "checkpoint",
    "parent_checkpoint",
    "interrupts",
    "checkpoint_id",
    "parent_checkpoint_id",
)
ASSISTANT_FIELDS = tuple(field.name for field in attrs.fields(Assistant))
CRON_FIELDS = (*(field.name for field in attrs.fields(Cron)), "user_id")


def thread_view(thread: Thread, values: Any) -> dict[str, Any]:
    """A thread; `values` is its newest state, None if nothing has run on it. `ttl` is there where
    it has one. All but the values is a copy: the record may be one that an actor goes by."""
    record = attrs.asdict(thread, recurse=False)
    shown = {**{key: isolated(value) for key, value in record.items()}, "values": values}
    if thread.ttl is None:
        del shown["ttl"]
    return shown


def run_view(run: Run) -> dict[str, Any]:
    """A run, the caller's own: the record may be one that an actor goes by."""
    shown = attrs.asdict(run, recurse=False, filter=lambda field, _: field.name not in _INTERNAL)
    view = {**shown, "kwargs": _kwargs_view(run), "langsmith_session_name": None}
    return {key: isolated(value) for key, value in view.items()}


def ids_of(run: Run) -> dict[str, str]:
    """What nodes find in `configurable` of every run."""
    return {
        "thread_id": run.thread_id,
        "run_id": run.run_id,
        "graph_id": run.metadata["graph_id"],
        "assistant_id": run.assistant_id,
    }


def _kwargs_view(run: Run) -> dict[str, Any]:
    """What a run was asked to do, with what its nodes find in its config."""
    config = run.kwargs["config"]
    return {
        **run.kwargs,
        "config": {
            **config,
            "configurable": {**config["configurable"], **ids_of(run)},
            "metadata": run.metadata,
        },
        "checkpoint_during": run.kwargs["checkpoint_during"] is not False,
    }


def assistant_view(assistant: Assistant | AssistantVersion) -> dict[str, Any]:
    return attrs.asdict(assistant, recurse=False)


def cron_view(cron: Cron) -> dict[str, Any]:
    """A cron; `payload` has the id that its runs find in their config."""
    payload = cron.payload
    config = payload.get("config") or {}
    configurable = {**(config.get("configurable") or {}), "cron_id": cron.cron_id}
    return {
        **attrs.asdict(cron, recurse=False),
        "payload": {**payload, "config": {**config, "configurable": configurable}},
        "user_id": None,
    }


def interrupt_event(interrupt: Interrupt) -> dict[str, Any]:
    """A question in results and events, with the keys of older clients too."""
    return {
        "value": interrupt.value,
        "id": interrupt.id,
        "response_schema": interrupt.response_schema,
        "resumable": True,
        "ns": list(interrupt.ns),
        "when": "during",
    }


def task_event(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A task in stream mode `tasks`; why it failed is shown as the error of a run is."""
    error = payload.get("error")
    if not isinstance(error, Exception):
        return dict(payload)
    return {**payload, "error": error_view(error)}


def chain_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event of stream mode `events`; why a tool failed is shown likewise."""
    if event["event"] != "on_tool_error":
        return dict(event)
    return {**event, "data": task_event(event["data"])}


def error_view(error: Exception) -> dict[str, Any]:
    """An error as threads, runs, results and events show it: its type's name and its text. An error
    of the user's own has as its `base` the nearest of its classes that all programs have, but for
    Exception."""
    known = TaskError.of(error)
    shown = {"error": known.type, "message": known.message}
    return shown if known.base in (known.type, "Exception") else {**shown, "base": known.base}


def debug_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """What stream mode `debug` shows; checkpoints have their ids without a config around them."""
    payload = event["payload"]
    if event["type"] != "checkpoint":
        return {**event, "payload": task_event(payload)}
    own, parent = _checkpoint(payload["config"]), _checkpoint(payload["parent_config"])
    tasks = [_placed(task) for task in payload["tasks"]]
    shown = {**payload, "checkpoint": own, "parent_checkpoint": parent, "tasks": tasks}
    return {**event, "payload": shown}


def _placed(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task of a checkpoint: where the graph inside it is, without a config around it."""
    place = (task.get("state") or {}).get("configurable")
    if not place:
        return dict(task)
    rest = {key: value for key, value in task.items() if key != "state"}
    return {**rest, "checkpoint": place}


def thread_interrupts(saved: Saved) -> dict[str, list[dict[str, Any]]]:
    """The questions that wait, by task id, as a thread shows them."""
    asked = {ident: _interrupts(writes.interrupts) for ident, writes in saved.pending.items()}
    return {ident: interrupts for ident, interrupts in asked.items() if interrupts}


def result_view(values: Any, interrupts: Iterable[Interrupt]) -> Any:
    """What waiting for a run answers: its values, and the questions it paused at. Where several
    wait the questions come alone, as from the reference."""
    asked = [interrupt_event(interrupt) for interrupt in interrupts]
    if not asked:
        return values
    return asking({} if len(asked) > 1 else values, asked)


def state_view(state: StateSnapshot) -> dict[str, Any]:
    """A thread state, with those of graphs inside its tasks where it has them."""
    checkpoint, parent = _checkpoint(state.config), _checkpoint(state.parent_config)
    return {
        "values": state.values,
        "next": list(state.next),
        "tasks": [_task(task) for task in state.tasks],
        "metadata": state.metadata,
        "created_at": state.created_at,
        "checkpoint": checkpoint,
        "parent_checkpoint": parent,
        "interrupts": _interrupts(state.interrupts),
        "checkpoint_id": checkpoint["checkpoint_id"] if checkpoint else None,
        "parent_checkpoint_id": parent["checkpoint_id"] if parent else None,
    }


def _task(task: StateTask) -> dict[str, Any]:
    inner, place = None, task.state
    if isinstance(place, StateSnapshot):
        inner, place = place, None
    return {
        "id": task.id,
        "name": task.name,
        "path": list(task.path),
        "error": task.error,
        "interrupts": _interrupts(task.interrupts),
        "checkpoint": None if place is None else dict(place["configurable"]),
        "state": None if inner is None else state_view(inner),
        "result": task.result,
    }


def _interrupts(interrupts: Iterable[Interrupt]) -> list[dict[str, Any]]:
    return [{"id": interrupt.id, "value": interrupt.value} for interrupt in interrupts]


def _checkpoint(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if config is None or "checkpoint_id" not in config["configurable"]:
        return None
    return dict(config["configurable"])
