"""What actors need of a graph. The engine's own compiled graphs are one implementation, graphs of
`langgraph` the other; actors cannot tell them apart.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol, Self, TypedDict, runtime_checkable

from .checkpoint import Checkpoint, CheckpointReader, StateSnapshot
from .context import RunnableConfig
from .control import StateUpdate
from .job import Finish, Job
from .store import BaseStore

__all__ = ["Graph", "Schemas"]


class Schemas(TypedDict):
    """The JSON Schemas of what a graph takes, gives back and remembers, and of `Runtime.context`,
    which is None where none is declared."""

    input: dict[str, Any]
    output: dict[str, Any]
    state: dict[str, Any]
    context: dict[str, Any] | None


@runtime_checkable
class Graph(Protocol):
    """A graph as actors see it. Its log is handed in with each call."""

    @property
    def declared(self) -> Collection[type]:
        """The classes whose objects come back from storage as themselves."""
        ...

    @property
    def has_own_store(self) -> bool:
        """Whether its nodes are given a store of its own, not the runtime's."""
        ...

    @property
    def takes_any(self) -> bool:
        """Whether any value is an input, not only an object of state keys."""
        ...

    @property
    def has_turns(self) -> bool:
        """Whether it has a state that an input becomes part of; a function has none."""
        ...

    @property
    def steerable(self) -> bool:
        """Whether a run takes more input in at its boundaries; see `Job.boundary`."""
        ...

    @property
    def made_per_run(self) -> bool:
        """Whether it is made of the config of each run, so that reads, edits and drawings need one
        too."""
        ...

    @property
    def tells_events(self) -> bool:
        """Whether it emits a mode `events` too, where the sink offers it: dictionaries as
        langchain-core's `astream_events` (version 2) gives them, those of the run itself among
        them."""
        ...

    def with_store(self, store: BaseStore) -> Self:
        """The same in a runtime that has this store, for what makes it where it is read, drawn or
        edited; runs are given theirs with the job."""
        ...

    async def perform(self, job: Job) -> Finish:
        """Run to the end, to a pause, or to an error, which is in the log when it is raised.

        Cancelled, it has stopped when this is over, and what its finished tasks did is in the log.
        """
        ...

    async def update(self, job: Job, supersteps: Sequence[Sequence[StateUpdate]]) -> Checkpoint:
        """Edit the state of `job.ns` in the job's log, at `job.checkpoint_id` where given, with a
        checkpoint for each super-step of updates, of which there is at least one. Returns the last.

        Raises NodeNotFoundError for a namespace that leads to no graph, InvalidUpdateError and
        ValueError for updates that cannot be, before anything is done.
        """
        ...

    async def take_in(self, job: Job) -> Checkpoint:
        """Append the job's input as one checkpoint without running a node."""
        ...

    async def read_state(
        self,
        log: CheckpointReader,
        thread_id: str,
        ns: str = "",
        checkpoint_id: str | None = None,
        *,
        subgraphs: bool = False,
        config: RunnableConfig | None = None,
    ) -> StateSnapshot:
        """The state of a graph or of one inside it, the newest where no id is given; empty where
        there is none. `config`: what it is made of, where it is `made_per_run`. Raises
        NodeNotFoundError for a namespace that leads to no graph, InvalidUpdateError where what the
        state holds fits no schema."""
        ...

    async def read_history(
        self,
        log: CheckpointReader,
        thread_id: str,
        ns: str = "",
        *,
        before: str | None = None,
        limit: int | None = None,
        config: RunnableConfig | None = None,
    ) -> list[StateSnapshot]:
        """The states of a namespace, newest first, which are the caller's own. Raises as
        `read_state`."""
        ...

    async def drawing(
        self, xray: int | bool = False, *, config: RunnableConfig | None = None
    ) -> dict[str, Any]:
        """Its nodes and edges as JSON; see `Inspection.get_graph`. `config`: as of `read_state`."""
        ...

    async def schemas(self, *, config: RunnableConfig | None = None) -> Schemas:
        """Perhaps the same at each call: not to be changed. `config`: as of `read_state`."""
        ...

    async def subgraph_schemas(
        self,
        namespace: str | None = None,
        *,
        recurse: bool = False,
        config: RunnableConfig | None = None,
    ) -> Mapping[str, Schemas]:
        """Of the graphs inside it, by namespace; see `Inspection.get_subgraphs`. `config`: as of
        `read_state`."""
        ...
