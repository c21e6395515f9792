"""`GreenroomSaver`: a checkpointer of LangGraph's over our log."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any, ParamSpec, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from greenroom.graph.langgraph.records import OWN_TYPES, config_of

from ..blocking import BlockingSession
from ..codec import decode
from ..unfolded import Unfolded
from .stored import metadata_of, to_tuple
from .threads import PAGE, SavedThreads, is_of_runs

__all__ = ["GreenroomSaver"]

P = ParamSpec("P")
T = TypeVar("T")


class GreenroomSaver(BaseCheckpointSaver[Any]):
    """A checkpointer for graphs of LangGraph's own, sync and asyncio, over an open session:

        with BlockingSession(SqliteStorage("agent.db"), types=[State]) as session:
            graph = builder.compile(checkpointer=GreenroomSaver(session))

    What a call has put is durable when it returns. Values are stored as everywhere in Greenroom,
    without LangGraph's serializers: objects come back as themselves if the session's `types` name
    their class or it was registered with `register_type`, otherwise as plain data. Messages of
    langchain-core always do.

    Raises StorageError where storage fails, or a thread is not LangGraph's; Unstorable, naming the
    channel, for values that cannot be stored.
    """

    def __init__(self, session: BlockingSession) -> None:
        super().__init__()
        self._session = session
        self._threads = SavedThreads(session)
        session.storage.types.declare(OWN_TYPES)

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> GreenroomSaver:
        """Have objects of these classes, by module and name, come back as themselves."""
        found = (
            getattr(sys.modules.get(module), name, None) for module, name, *_ in extra_allowlist
        )
        self._threads.types.declare([kind for kind in found if isinstance(kind, type)])
        return self

    def get_next_version(self, current: int | str | None, channel: None) -> int | str:
        """1, 2, 3, …; a thread that came from elsewhere with strings goes on with strings."""
        if isinstance(current, str):
            return f"{int(current.split('.')[0]) + 1:032}"
        return 1 if current is None else current + 1

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        thread_id, ns, checkpoint_id = _place(config)
        one = self._threads.read(thread_id, ns, checkpoint_id)
        return None if one is None else to_tuple(one, self._threads.types)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, newest first: of a namespace; of all of a thread, one after the other, where
        none is given; of all threads, the newest first, without a config.
        """
        types, left = self._threads.types, limit
        for one in self._listed(config, before, None if filter else limit):
            if left is not None and left <= 0:
                return
            if filter:
                metadata = metadata_of(one, types)
                if any(metadata.get(key) != value for key, value in filter.items()):
                    continue
            yield to_tuple(one, types)
            left = None if left is None else left - 1

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        thread_id, ns, parent_id = _place(config)
        told = get_checkpoint_metadata(config, metadata)
        self._threads.put(thread_id, ns, parent_id, checkpoint, told, new_versions)
        return config_of(config["configurable"]["thread_id"], ns, checkpoint["id"])

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        thread_id, ns, checkpoint_id = _place(config)
        if checkpoint_id is None:
            raise ValueError("config: configurable.checkpoint_id is missing")
        self._threads.put_writes(thread_id, ns, checkpoint_id, writes, (task_id, task_path))

    def delete_thread(self, thread_id: str) -> None:
        self._threads.delete(str(thread_id))

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Reads every thread: the log does not know which ones a run wrote to."""
        types, wanted = self._threads.types, set(run_ids)
        for thread_id in self._threads.ids() if wanted else ():
            self._threads.keep(
                thread_id,
                lambda all_of: [
                    one.row.checkpoint_id for one in all_of if not is_of_runs(one, wanted, types)
                ],
            )

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Raises StorageError if there is no source, or a target already."""
        self._threads.copy(str(source_thread_id), str(target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delta channels keep their values."""
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"strategy: 'keep_latest' or 'delete'; got {strategy!r}")
        for thread_id in map(str, thread_ids):
            if strategy == "delete":
                self._threads.delete(thread_id)
            else:
                self._threads.keep(thread_id, lambda all_of: [all_of[-1].row.checkpoint_id])

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        types = self._threads.types
        answer: dict[str, DeltaChannelHistory] = {}
        for channel, found in self._threads.channel_histories(*_place(config), channels).items():
            answer[channel] = {
                "writes": [(task, channel, decode(raw, types)) for task, raw in found.writes]
            }
            if found.seed is not None:
                seed = decode(found.seed, types)
                answer[channel]["seed"] = _DeltaSnapshot(seed) if found.is_snapshot else seed
        return answer

    # asyncio: the same in worker threads.

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await self._apart(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        found = self.list(config, filter=filter, before=before, limit=limit)
        while (one := await self._apart(next, found, None)) is not None:
            yield one

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await self._apart(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        await self._apart(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        await self._apart(self.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        await self._apart(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await self._apart(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        await self._apart(self.prune, thread_ids, strategy=strategy)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        return await self._apart(self.get_delta_channel_history, config=config, channels=channels)

    async def _apart(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._session.storage.blocking:
            return await asyncio.to_thread(function, *args, **kwargs)
        return function(*args, **kwargs)

    def _listed(
        self, config: RunnableConfig | None, before: RunnableConfig | None, limit: int | None
    ) -> Iterator[Unfolded]:
        """`limit`: how many will be looked at, as far as is known."""
        bound = None if before is None else before["configurable"].get("checkpoint_id")
        page = PAGE if limit is None else max(1, min(limit, PAGE))
        for thread_id in self._threads.ids() if config is None else [_place(config)[0]]:
            given = {} if config is None else config["configurable"]
            ns, only = given.get("checkpoint_ns"), given.get("checkpoint_id")
            for one_ns in self._threads.namespaces(thread_id) if ns is None else [ns]:
                if only is None:
                    yield from self._threads.history(thread_id, one_ns, bound, page)
                elif (one := self._threads.read(thread_id, one_ns, only)) is not None and (
                    bound is None or only < bound
                ):
                    yield one


def _place(config: RunnableConfig) -> tuple[str, str, str | None]:
    """Thread, namespace and checkpoint of a config."""
    configurable = config.get("configurable", {})
    if configurable.get("thread_id") is None:
        raise ValueError("config: configurable.thread_id is missing")
    return (
        str(configurable["thread_id"]),
        configurable.get("checkpoint_ns") or "",
        configurable.get("checkpoint_id"),
    )
