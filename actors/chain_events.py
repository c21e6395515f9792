"""Stream mode `events`: a run as the events of langchain-core's `astream_events` (version 2).

The run is a chain, each task of a node a chain inside it, of graphs inside as well, and parts of
messages are what a chat model streams. Steps of chains within nodes are not seen. Graphs of
LangGraph's tell their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID, uuid5

import attrs

from greenroom.storage.records import Run

from .views import task_event
from .wire_messages import is_part

__all__ = ["NEEDED", "ChainEvents"]

NEEDED: Final = frozenset(("debug", "messages"))  # the graph's modes that these are made of

Event = dict[str, Any]


@attrs.define
class ChainEvents:
    """The events of one run."""

    run: Run
    _given: dict[str, Any] = attrs.field(init=False, factory=dict)  # to tasks under way, by id
    _place: dict[str, Event] = attrs.field(init=False, factory=dict)

    def began(self) -> Event:
        command = self.run.kwargs["command"]
        if command is None:
            return self._of_run("start", {"input": self.run.kwargs["input"]})
        whole = dict.fromkeys(("graph", "update", "resume", "goto"))
        return self._of_run("start", {"input": {**whole, **command}})

    def ended(self, output: Any) -> Event:
        return self._of_run("end", {"output": output})

    def of(self, mode: str, ns: tuple[str, ...], data: Any) -> Iterator[Event]:
        """What an event of the graph says."""
        if mode == "messages":
            message, metadata = data
            if is_part(message):
                ident = message["id"] if isinstance(message, dict) else message.id
                around = tuple(metadata["langgraph_checkpoint_ns"].split("|"))
                shown = {"chunk": message}
                kind = "on_chat_model_stream"
                yield self._event(kind, "ChatModel", ident, shown, metadata, around)
        elif mode == "debug" and data["type"] in ("task", "task_result"):
            task = task_event(data["payload"])
            ident = task["id"]
            if data["type"] == "task":
                self._given[ident] = {"input": task["input"]}
                self._place[ident] = _place_of(task, data["step"], ns)
                yield self._of_task("start", task, ns, self._given[ident])
                return
            given = self._given.pop(ident, {})
            if task["error"] is None and not task["interrupts"]:  # or it has come to no end
                chunk = task["result"]
                yield self._of_task("stream", task, ns, {"chunk": chunk})
                yield self._of_task("end", task, ns, {**given, "output": chunk})
            self._place.pop(ident, None)

    def _of_run(self, kind: str, data: Event) -> Event:
        name = self.run.metadata["graph_id"]
        event = self._event(f"on_chain_{kind}", name, self.run.run_id, data, {}, ())
        return {**event, "parent_ids": []}

    def _of_task(
        self, kind: str, task: Mapping[str, Any], ns: tuple[str, ...], data: Event
    ) -> Event:
        about = self._place.get(task["id"], {"langgraph_node": task["name"]})
        event = self._event(
            f"on_chain_{kind}", task["name"], self._chain_of(task["id"]), data, about, ns
        )
        step = about.get("langgraph_step")
        return event if step is None else {**event, "tags": [f"graph:step:{step}"]}

    def _chain_of(self, task_id: str) -> str:
        """The id of a task's chain: of its own in each run that the task is at work in."""
        return str(uuid5(UUID(self.run.run_id), task_id))

    def _event(
        self,
        event: str,
        name: str,
        ident: str,
        data: Event,
        metadata: Mapping[str, Any],
        ns: tuple[str, ...],
    ) -> Event:
        around = [self._chain_of(place.rpartition(":")[2]) for place in ns]
        own = {"run_id": self.run.run_id, "thread_id": self.run.thread_id}
        return {
            "event": event,
            "name": name,
            "run_id": ident,
            "data": data,
            "tags": [],
            "metadata": {**self.run.metadata, **own, **metadata},
            "parent_ids": [self.run.run_id, *around],
        }


def _place_of(task: Mapping[str, Any], step: int, ns: tuple[str, ...]) -> Event:
    name, triggers = task["name"], list(task["triggers"])
    about: Event = {
        "langgraph_node": name,
        "langgraph_step": step,
        "langgraph_triggers": triggers,
        "langgraph_checkpoint_ns": "|".join((*ns, f"{name}:{task['id']}")),
    }
    if triggers != ["__pregel_push"]:  # of a Send, the events do not say which
        about["langgraph_path"] = ["__pregel_pull", name]
    return about
