"""The checkpointer that LangGraph's graphs are given: it writes to the log of one thread.

LangGraph calls it on the asyncio loop, or from threads of its own; the log is trio's.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import attrs
from langchain_core.runnables import RunnableConfig, ensure_config
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.base import Checkpoint as LangGraphCheckpoint

from ..asyncio_thread import AsyncioThread
from ..checkpoint import Checkpoint, CheckpointReader, PendingWrites, Saved
from ..here import on_asyncio, stall_for_trio, tell_trio, tell_trio_later, to_trio, work_for
from ..job import Job
from .factories import AnyPregel
from .records import Written, config_of, filled, metadata_of, to_record, to_tuple
from .tasks import node_at, tasks_of

__all__ = ["LogReader", "LogWriter"]

HANDED_OVER: Final = 0.005  # seconds that records wait for more, or for the end of their run
_PAGE: Final = 20  # checkpoints read at a time


class LogReader(BaseCheckpointSaver[int]):
    """Reads the log of a thread."""

    def __init__(self, log: CheckpointReader, thread_id: str) -> None:
        # Not the base's, which gets a serializer ready: records have their own form.
        self.log = log
        self.thread_id = thread_id
        self._read: tuple[Saved | None, ...] = ()  # the newest checkpoint, where it has been read

    async def read_anew(self) -> None:
        """What the log holds in memory was read before the classes of the graph were known."""
        self._read = tuple(await to_trio(partial(self.log.history, limit=1)))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self._tuple(await self._load(*_place(config)))

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self._tuple(stall_for_trio(self.log.load, *_place(config)))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        for saved in await to_trio(self._listed, config, filter, before, limit):
            yield to_tuple(saved, self.thread_id)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        for saved in stall_for_trio(self._listed, config, filter, before, limit):
            yield to_tuple(saved, self.thread_id)

    async def _listed(
        self,
        config: RunnableConfig | None,
        wanted: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> Sequence[Saved]:
        assert config is not None, "there is one thread"
        ns, ident = _place(config)
        if ident is not None:
            saved = await self.log.load(ns, ident)
            return () if saved is None else (saved,)
        start = None if before is None else _place(before)[1]
        lower: str | None = None
        if start is not None and await self.log.load(ns, start) is None:
            # It is of another namespace: those made before it, by their ids, as LangGraph's savers
            # do.
            lower, start = start, None
        fits = (wanted or {}).items()
        found: list[Saved] = []
        size = _PAGE if limit is None or wanted or lower else limit
        while limit is None or len(found) < limit:
            page = await self.log.history(ns, before=start, limit=size)
            found += [
                one
                for one in page
                if (lower is None or one.checkpoint.id < lower) and fits <= metadata_of(one).items()
            ]
            if len(page) < size:
                break
            start = page[-1].checkpoint.id
        return found[:limit]

    async def _load(self, ns: str, ident: str | None) -> Saved | None:
        read, self._read = self._read, ()
        if read and not ns and ident in (None, read[0] and read[0].checkpoint.id):
            return read[0]
        return await to_trio(self.log.load, ns, ident)

    def _tuple(self, saved: Saved | None) -> CheckpointTuple | None:
        return None if saved is None else to_tuple(saved, self.thread_id)


class LogWriter(LogReader):
    """Writes to the log of a job too.

    `error`: what the log has raised for a record. `failed`: called with it then, on trio. `made`:
    the last checkpoint of the job's namespace. `over`: nothing more comes. `places`: which tasks
    asked, as namespaces, by interrupt id. `thread`: what is written once that has died does not
    count.
    """

    def __init__(self, job: Job, thread_id: str, *head: Saved | None) -> None:
        """`head`: the newest checkpoint, where it has been read."""
        assert job.log is not None
        super().__init__(job.log, thread_id)
        self.made: Checkpoint | None = None
        self.over = False
        self._due = False
        self.error: Exception | None = None
        self.failed: Callable[[Exception], None] = lambda _: None
        self.stopped: Callable[[], bool] = lambda: False  # whether its run was told to
        self.thread: AsyncioThread | None = None
        self._writes_to = job.log
        self._job = job
        self._heads: dict[str, Saved] = {}  # by namespace, for what follows to be compared with
        self._graph: AnyPregel | None = None
        self._keys: Sequence[str] = ()
        self._about: Mapping[str, Any] = job.metadata
        self.places: dict[str, tuple[str, ...]] = {}
        self._empty: Mapping[str, Any] = {}
        self._read = head
        self._written: dict[tuple[str, str, str], Written] = {}
        # Graphs that nodes call by `invoke` write from several threads, and what tasks came to
        # maybe before the checkpoint that it belongs to.
        self._lock = threading.Lock()
        self._early: dict[tuple[str, str | None], list[tuple[Any, str, str]]] = {}

    def serve(self, graph: AnyPregel, empty: Mapping[str, Any]) -> None:
        """The outermost graph whose checkpoints are to come. `empty`: see `empty_values`."""
        self._graph, self._keys = graph, graph.stream_channels_list
        self._about = {**(graph.config or {}).get("metadata", {}), **self._job.metadata}
        self._empty = empty

    def get_next_version(self, current: int | None, channel: None) -> int:
        """Asked for between two super-steps. In a graph inside, none begins after a node that has
        swallowed its cancellation; see `Performance._watched` for the outermost."""
        if self.stopped() and on_asyncio():
            inside = ensure_config().get("configurable", {}).get("checkpoint_ns")
            if inside:
                raise asyncio.CancelledError
        return super().get_next_version(current, channel)

    def _tuple(self, saved: Saved | None) -> CheckpointTuple | None:
        if saved is not None:
            self._heads[saved.checkpoint.ns] = saved
        return super()._tuple(saved)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: LangGraphCheckpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        with self._lock:
            record = self._record(config, checkpoint, metadata, new_versions)
            self._tell(record)
            self._settle(record)
        await self._hand_over()
        return config_of(self.thread_id, record.ns, record.id)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: LangGraphCheckpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        self._arrive()
        with self._lock:
            record = self._record(config, checkpoint, metadata, new_versions)
            self._tell(record)
            self._settle(record)
            for early in self._early.pop((record.ns, record.id), ()):
                self._tell_writes(config_of(self.thread_id, record.ns, record.id), *early)
        stall_for_trio(self._writes_to.flush)
        return config_of(self.thread_id, record.ns, record.id)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        with self._lock:
            told = self._tell_writes(config, writes, task_id, task_path)
        if told:
            await self._hand_over()

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        self._arrive()
        with self._lock:
            place = _place(config)
            known = self._heads.get(place[0])
            if known is None or known.checkpoint.id != place[1]:
                self._early.setdefault(place, []).append((writes, task_id, task_path))
                return
            told = self._tell_writes(config, writes, task_id, task_path)
        if told:
            stall_for_trio(self._writes_to.flush)

    def _tell_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str,
    ) -> bool:
        """Whether there was something to tell."""
        record = self._pending(config, writes, task_id, task_path)
        if record is not None:
            self._tell(record)
        return record is not None

    def _settle(self, made: Checkpoint) -> None:
        """What a graph inside asked before it went on waits no more, at the tasks around it."""
        if not made.ns or made.source != "loop":
            return
        place = tuple(made.ns.split("|"))
        for depth in range(len(place)):
            around = self._heads.get("|".join(place[:depth]))
            for task in () if around is None else around.pending.values():
                over = {one.id for one in task.interrupts if one.ns[:-1] == place}
                if over:
                    written = self._so_far(task.ns, task.checkpoint_id, task.task_id)
                    if written.settle(over):
                        self._tell(self._placed(written.record()))

    def _arrive(self) -> None:
        if self.thread is not None:  # LangGraph's own threads do not say for whom they work
            work_for(self.thread)

    def _tell(self, record: Checkpoint | PendingWrites) -> None:
        # What is told comes in order: LangGraph puts writes while their checkpoint is on its way.
        tell_trio_later(HANDED_OVER, self._append, record)

    async def _hand_over(self) -> None:
        if self._job.durability == "sync":
            await to_trio(self._writes_to.flush)
        elif not on_asyncio():  # a loop of the node's own, which may be over before that is due
            tell_trio(self._give)
        elif not self._due:
            self._due = True
            asyncio.get_running_loop().call_later(HANDED_OVER, self._come_due)

    def _come_due(self) -> None:
        self._due = False
        if not self.over:  # or they go with the end of the run
            tell_trio(self._give)

    def _give(self) -> None:
        with self._noting_failure():
            self._writes_to.hand_over()

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.error = error
            self.failed(error)

    def _append(self, record: Checkpoint | PendingWrites) -> None:
        if self.thread is not None and self.thread.dead is not None:
            return  # what stopping with its loop comes to is no progress
        with self._noting_failure():
            self._writes_to.append(record)
        if (
            self.error is None
            and isinstance(record, Checkpoint)
            and not record.ns
            and record.source == "loop"
        ):
            self._job.progress()

    def _record(
        self,
        config: RunnableConfig,
        checkpoint: LangGraphCheckpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> Checkpoint:
        ns, parent_id = _place(config)
        known = self._heads.get(ns)
        is_child = known is not None and known.checkpoint.id == parent_id
        parent = known.checkpoint if known is not None and is_child else None
        checkpoint = filled(checkpoint, parent)
        graph = None if ns else self._graph
        record = to_record(
            checkpoint,
            metadata,
            ns=ns,
            parent_id=parent_id,
            parent=parent,
            changed=new_versions,
            # Of graphs inside it nobody but LangGraph reads the records.
            keys=None if graph is None else self._keys,
            planned=() if graph is None else tasks_of(graph, checkpoint, config, metadata),
            about={**self._about, **_caller(config)} if ns else self._about,
            empty={} if graph is None else self._empty,
        )
        self._heads[ns] = Saved(record)
        self._written = {key: one for key, one in self._written.items() if key[0] != ns}
        if ns == "|".join(self._job.ns):
            self.made = record
        return record

    def _pending(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str,
    ) -> PendingWrites | None:
        # A task that was told to stop has not failed.
        writes = [one for one in writes if not isinstance(one[1], asyncio.CancelledError)]
        if not writes:
            return None
        ns, ident = _place(config)
        assert ident is not None
        written = self._so_far(ns, ident, task_id, task_path)
        written.add(writes)
        return self._placed(written.record())

    def _so_far(self, ns: str, ident: str, task_id: str, task_path: str = "") -> Written:
        key = (ns, ident, task_id)
        if key not in self._written:
            known = self._heads.get(ns)
            saved = known if known is not None and known.checkpoint.id == ident else None
            so_far = None if saved is None else saved.pending.get(task_id)
            if so_far is not None:
                self.places.update({one.id: one.ns for one in so_far.interrupts})
                self._written[key] = Written.of(so_far)
            else:
                planned = () if saved is None else saved.checkpoint.next
                node = next((task.node for task in planned if task.id == task_id), None)
                if node is None:  # what is planned inside is not in our records
                    node = node_at(task_path, saved)
                self._written[key] = Written(ns, ident, task_id, node)
        return self._written[key]

    def _placed(self, record: PendingWrites) -> PendingWrites:
        """With the places of its questions."""
        if not record.interrupts:
            return record
        if record.node:
            for one in record.interrupts:  # a graph inside comes before the task that calls it
                self.places.setdefault(one.id, one.ns)
        asked = [attrs.evolve(one, ns=self.places.get(one.id, one.ns)) for one in record.interrupts]
        return attrs.evolve(record, interrupts=tuple(asked))


def _place(config: RunnableConfig) -> tuple[str, str | None]:
    own = config["configurable"]
    return own.get("checkpoint_ns", ""), own.get("checkpoint_id")


def _caller(config: RunnableConfig) -> dict[str, Any]:
    """What a checkpoint of a graph inside says of the task that calls it."""
    about = config.get("metadata") or {}
    return {key: value for key, value in about.items() if key.startswith("langgraph_")}
