"""A graph that is a node of another program's graph, by LangGraph's `RemoteGraph`: what a run is
told when the graph around it is resumed. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from greenroom.graph.checkpoint import Saved
from greenroom.graph.resume import waiting
from greenroom.storage.records import Run

from .errors import Invalid

__all__ = ["going_on", "take_answers"]

# As they are called on the wire, in a run's `configurable`.
RESUMING: Final = "__pregel_resuming"
ANSWERS: Final = "__pregel_resume_map"


def take_answers(configurable: dict[str, Any]) -> dict[str, Any] | None:
    """Takes out what is said of a resumption: the answers to all questions of the graph around, by
    id. None where the run is none of a resumption. Raises Invalid."""
    resuming, answers = configurable.pop(RESUMING, None), configurable.pop(ANSWERS, None)
    if not resuming:
        return None
    if not isinstance(answers, Mapping | None):
        raise Invalid(f"config.configurable.{ANSWERS}: {answers!r} is not an object")
    return dict(answers or {})


def going_on(run: Run, answers: Mapping[str, Any] | None, head: Saved | None) -> Run:
    """The run as it goes on where its thread is, if it is one of a resumption: its input is what
    the node was given before. A command of its own counts for more.

    What none of the answers is meant for asks again.
    """
    if answers is None or head is None or run.kwargs["command"] is not None:
        return run
    own = {one.id: answers[one.id] for one in waiting(head) if one.id in answers}
    command = {"resume": own} if own else None
    return attrs.evolve(run, kwargs={**run.kwargs, "input": None, "command": command})
