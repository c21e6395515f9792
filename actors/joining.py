"""Runs that become part of another, their host: which may, when those that wait for more to come
are due, and what their records say. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import attrs

from greenroom.storage.records import Run

from .schedule import iso

__all__ = [
    "HOST",
    "LONGEST_WAIT",
    "alone",
    "due_times",
    "host_of",
    "is_to_wait",
    "merges",
    "part_of",
    "sent_at",
    "steers",
    "without_host",
]

HOST: Final = "answered_by_run_id"  # in the metadata of a run; nobody but its thread sets it
LONGEST_WAIT: Final = 10  # times its own `after_seconds` that a run waits for others at most

_ALIKE: Final = ("config", "context", "interrupt_before", "interrupt_after", "durability")

Together = Callable[[Run, Run], bool]


def host_of(run: Run) -> str | None:
    """The id of the run that it is part of."""
    return run.metadata.get(HOST)


def part_of(host: Run, run: Run) -> Run:
    """The run, as part of its host."""
    return attrs.evolve(run, metadata={**run.metadata, HOST: host.run_id})


def alone(run: Run) -> Run:
    """The run, as part of no other."""
    return attrs.evolve(run, metadata=without_host(run.metadata))


def without_host(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key != HOST}


def merges(first: Run, second: Run) -> bool:
    """Whether two runs that wait, one behind the other, become one."""
    both = (first, second)
    return all(map(_waits_to_merge, both)) and _alike(first, second)


def steers(host: Run, run: Run) -> bool:
    """Whether a run that waits may become part of the one under way."""
    return run.multitask_strategy == "steer" and _is_new_text(run) and _alike(host, run)


def is_to_wait(run: Run) -> bool:
    """Whether a run that has not ended was sent to start later, and has not."""
    return "after_seconds" in run.kwargs and run.attempt == 0 and run.stop is None


def sent_at(run: Run) -> str:
    """When a run was sent, whenever it is to start."""
    if "after_seconds" not in run.kwargs:
        return run.created_at
    wait = timedelta(seconds=run.kwargs["after_seconds"])
    return iso(datetime.fromisoformat(run.created_at) - wait)


def due_times(runs: Sequence[Run], together: Together) -> dict[str, str]:
    """When those runs are due that are to start later, by id. `runs`: those of a thread that wait,
    in any order. `together`: as `merges`, for two that come one after the other.

    Runs that become one are due together: when the last of them is, but no later than ten times
    its `after_seconds` after any of them was sent.
    """
    late = sorted(filter(is_to_wait, runs), key=lambda run: run.seq)
    groups = [[run] for run in late[:1]]
    for before, run in pairwise(late):
        if together(before, run):
            groups[-1].append(run)
        else:
            groups.append([run])
    return {run.run_id: _due(group) for group in groups for run in group}


def _due(group: Sequence[Run]) -> str:
    last = max(run.created_at for run in group)
    return last if len(group) == 1 else min(last, *map(_latest, group))


def _latest(run: Run) -> str:
    more = (LONGEST_WAIT - 1) * timedelta(seconds=run.kwargs["after_seconds"])
    return iso(datetime.fromisoformat(run.created_at) + more)


def _waits_to_merge(run: Run) -> bool:
    return run.multitask_strategy in ("merge", "debounce") and _is_new_text(run)


def _is_new_text(run: Run) -> bool:
    """Whether a run has not started and brings an input, and nothing else, to the newest state."""
    kwargs = run.kwargs
    brings = kwargs["input"] is not None and kwargs["command"] is None
    newest = "checkpoint_id" not in kwargs["config"]["configurable"]
    return brings and newest and run.attempt == 0 and run.stop is None


def _alike(one: Run, other: Run) -> bool:
    """Whether one can be carried out as part of the other: by the same graph, in the same way."""
    if one.assistant_id != other.assistant_id or one.kwargs["temporary"]:
        return False
    same_graph = one.metadata["graph_id"] == other.metadata["graph_id"]
    return same_graph and all(one.kwargs[key] == other.kwargs[key] for key in _ALIKE)
