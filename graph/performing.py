"""A compiled graph of this engine as actors see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, cast

import attrs

from .checkpoint import Checkpoint, CheckpointReader, StateSnapshot
from .context import RunnableConfig
from .contract import Schemas
from .control import StateUpdate
from .execute import Execution
from .exitlog import ExitLog
from .inspection import Inspection
from .job import Finish, Job
from .jsonschema import state_title
from .states import locate, read_checkpoint, read_history, read_state
from .update import check_updates, take_in, update_state

if TYPE_CHECKING:
    from .compiled import CompiledStateGraph
    from .store import BaseStore

__all__ = ["Performing"]


class Performing(Inspection):
    """What a runtime asks of a graph: see `contract.Graph`."""

    __slots__ = ()

    if TYPE_CHECKING:
        store: BaseStore | None

    @property
    def has_own_store(self) -> bool:
        return self.store is not None

    @property
    def takes_any(self) -> bool:
        return self.topology.whole

    @property
    def has_turns(self) -> bool:
        return not self.topology.is_function

    @property
    def steerable(self) -> bool:
        return self.has_turns

    @property
    def made_per_run(self) -> bool:
        return False

    @property
    def tells_events(self) -> bool:
        return False

    def with_store(self, store: BaseStore) -> Self:
        return self  # it is made already

    async def perform(self, job: Job) -> Finish:
        """Do a job; see `ainvoke` for what it raises."""
        if job.durability != "exit" or job.log is None:
            return await Execution(self._compiled, job).run()
        log = ExitLog(job.log)
        try:
            return await Execution(self._compiled, attrs.evolve(job, log=log)).run()
        finally:
            log.settle()

    async def update(self, job: Job, supersteps: Sequence[Sequence[StateUpdate]]) -> Checkpoint:
        """See `update.update_state`."""
        assert job.log is not None
        place = locate(self._compiled, "|".join(job.ns))
        for updates in supersteps:
            check_updates(updates, place.graph.topology)
        saved = await read_checkpoint(job.log, place, job.checkpoint_id)
        job = attrs.evolve(
            job,
            ns=tuple(filter(None, place.ns.split("|"))),
            checkpoint_id=job.checkpoint_id if saved is None else saved.checkpoint.id,
        )
        for updates in supersteps:
            made = await update_state(place.graph, job, updates)
            job = attrs.evolve(job, checkpoint_id=made.id)
        return made

    async def take_in(self, job: Job) -> Checkpoint:
        """See `update.take_in`."""
        return await take_in(self._compiled, job)

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
        return await read_state(
            log, self._compiled, thread_id, ns, checkpoint_id, subgraphs=subgraphs
        )

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
        place = locate(self._compiled, ns)
        return await read_history(log, place, thread_id, before=before, limit=limit, is_own=True)

    async def drawing(
        self, xray: int | bool = False, *, config: RunnableConfig | None = None
    ) -> dict[str, Any]:
        return self.get_graph(xray=xray).to_json()

    async def schemas(self, *, config: RunnableConfig | None = None) -> Schemas:
        return {
            "input": self.get_input_jsonschema(),
            "output": self.get_output_jsonschema(),
            "state": _on_a_thread(self._compiled.name, self.get_state_jsonschema()),
            "context": self.get_context_jsonschema(),
        }

    async def subgraph_schemas(
        self,
        namespace: str | None = None,
        *,
        recurse: bool = False,
        config: RunnableConfig | None = None,
    ) -> Mapping[str, Schemas]:
        found = self.get_subgraphs(namespace=namespace, recurse=recurse)
        return {place: await graph.schemas() for place, graph in found}

    @property
    def _compiled(self) -> CompiledStateGraph:
        return cast("CompiledStateGraph", self)


def _on_a_thread(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A state as a thread has it, where any key may be missing; in LangGraph's form."""
    if "properties" not in schema:
        return schema
    keys = {key: {**of, "default": None} for key, of in schema["properties"].items()}
    whole = {key: of for key, of in schema.items() if key != "required"}
    return {**whole, "title": state_title(name), "properties": keys}
