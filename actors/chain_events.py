"""Stream mode `events`: a run as the events of langchain-core's `astream_events` (version 2).

The run is a chain, each task of a node a chain inside it, and parts of messages are what a chat
model streams. Steps of chains within nodes are not seen. Graphs of LangGraph's tell their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

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

    def began(self, given: Any) -> Event:
        return self._of_run("start", {"input": given})

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
            if data["type"] == "task":
                yield self._of_task("start", task, data["step"], ns, {"input": task["input"]})
                return
            if task["error"] is not None or task["interrupts"]:
                return  # it has come to no end
            chunk = task["result"]
            yield self._of_task("stream", task, data["step"], ns, {"chunk": chunk})
            yield self._of_task("end", task, data["step"], ns, {"output": chunk})
            if not ns:
                yield self._of_run("stream", {"chunk": {task["name"]: chunk}})

    def _of_run(self, kind: str, data: Event) -> Event:
        name = self.run.metadata["graph_id"]
        event = self._event(f"on_chain_{kind}", name, self.run.run_id, data, {}, ())
        return {**event, "parent_ids": []}

    def _of_task(
        self, kind: str, task: Mapping[str, Any], step: int, ns: tuple[str, ...], data: Event
    ) -> Event:
        about = {"langgraph_node": task["name"], "langgraph_step": step}
        event = self._event(f"on_chain_{kind}", task["name"], task["id"], data, about, ns)
        return {**event, "tags": [f"graph:step:{step}"]}

    def _event(
        self,
        event: str,
        name: str,
        ident: str,
        data: Event,
        metadata: Mapping[str, Any],
        ns: tuple[str, ...],
    ) -> Event:
        around = [place.rpartition(":")[2] for place in ns]
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
