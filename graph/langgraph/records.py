"""LangGraph's checkpoints and writes as records of a thread's log, and back."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from typing import Any, Final, cast

import attrs
from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import ERROR_SOURCE_NODE, NULL_TASK_ID
from langgraph.checkpoint.base import Checkpoint as LangGraphCheckpoint
from langgraph.checkpoint.base import CheckpointMetadata, CheckpointTuple, PendingWrite
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, RESUME, _DeltaSnapshot
from langgraph.pregel._checkpoint import LATEST_VERSION
from langgraph.types import Command as LangGraphCommand
from langgraph.types import Interrupt as LangGraphInterrupt
from langgraph.types import Overwrite, Send, TimeoutPolicy

from ..checkpoint import Checkpoint, PendingWrites, Planned, Saved, Tried
from ..control import START, Command, Interrupt
from ..control import Send as OurSend
from ..declared import Messages
from ..failure import TaskError
from ..isolation import isolated
from ..objects import adopt
from .plain import plain

__all__ = [
    "OWN_TYPES",
    "Kept",
    "Written",
    "config_of",
    "filled",
    "interrupts_of",
    "metadata_of",
    "to_command",
    "to_record",
    "to_tuple",
]

# What comes back from storage as itself, whatever the schemas declare.
OWN_TYPES: Final = (
    Send,
    LangGraphInterrupt,
    LangGraphCommand,
    Overwrite,
    TimeoutPolicy,
    Document,
    Messages,
)
adopt(Send, {"node": None, "arg": None, "timeout": lambda _: None})


@attrs.frozen
class Kept:
    """What LangGraph needs to go on from a checkpoint and nobody else looks at.

    `channels`: those that are not of the state. `snapshots`: the delta channels.
    """

    v: int
    versions: Mapping[str, Any]
    seen: Mapping[str, Mapping[str, Any]]
    updated: Sequence[str] | None
    channels: Mapping[str, Any]
    snapshots: Sequence[str]


def filled(checkpoint: LangGraphCheckpoint, parent: Checkpoint | None) -> LangGraphCheckpoint:
    """With the delta channels that LangGraph leaves out where they have not changed."""
    if parent is None or not parent.engine.get("snapshots"):
        return checkpoint
    values = dict(checkpoint["channel_values"])
    for channel in parent.engine["snapshots"]:
        if channel not in values and channel in checkpoint["channel_versions"]:
            values[channel] = _DeltaSnapshot(parent.values[channel])
    return {**checkpoint, "channel_values": values}


def to_record(
    checkpoint: LangGraphCheckpoint,
    metadata: CheckpointMetadata,
    *,
    ns: str,
    parent_id: str | None,
    parent: Checkpoint | None,
    changed: Container[str],
    keys: Sequence[str] | None,
    planned: Sequence[Planned],
    about: Mapping[str, Any],
    empty: Mapping[str, Any],
) -> Checkpoint:
    """A checkpoint that LangGraph puts. `parent`: where it is at hand. `changed`: the channels that
    have a new version. `keys`: those of the state, None for all. `about`: the metadata of the run.
    `empty`: what the keys have that nothing was written to.
    """
    before = {} if parent is None else parent.values
    taken_in = any(task.node == START for task in planned)  # which has the input then
    values: dict[str, Any] = {}
    own: dict[str, Any] = {}
    snapshots = []
    for channel, value in checkpoint["channel_values"].items():
        if type(value) is _DeltaSnapshot:
            snapshots.append(channel)
            value = value.value
        if keys is not None and channel not in keys:
            if channel != START or not taken_in:
                own[channel] = plain(value)
        elif channel in before and channel not in changed:
            values[channel] = before[channel]
        else:
            values[channel] = plain(value)
    for channel, value in empty.items():
        if channel not in values:
            values[channel] = before[channel] if channel in before else plain(value)
    updated = checkpoint.get("updated_channels")
    kept = Kept(
        v=checkpoint["v"],
        versions=checkpoint["channel_versions"],
        seen=checkpoint["versions_seen"],
        updated=None if updated is None else list(updated),
        channels=own,
        snapshots=snapshots,
    )
    more = {key: value for key, value in metadata.items() if key not in ("source", "step")}
    return Checkpoint(
        id=checkpoint["id"],
        ns=ns,
        parent_id=parent_id,
        step=metadata.get("step", -1),
        source=metadata.get("source", "loop"),
        created_at=checkpoint["ts"],
        values=values,
        changed=tuple(key for key in values if key not in before or key in changed),
        next=tuple(planned),
        metadata={**about, **more},
        engine=attrs.asdict(kept, recurse=False),
    )


def to_tuple(saved: Saved, thread_id: str) -> CheckpointTuple:
    """A record as LangGraph put it: its own, to change as it likes."""
    record = saved.checkpoint
    # Of a graph of this engine, LangGraph takes over the state; what was planned next it cannot do.
    kept = Kept(**isolated(record.engine)) if record.engine else _unplanned(record)
    values = {**isolated(record.values), **kept.channels}
    for planned in record.next if record.engine else ():
        if planned.node == START and planned.arg is not None:
            values[START] = isolated(planned.arg)
    for channel in kept.snapshots:
        values[channel] = _DeltaSnapshot(values[channel])
    checkpoint: LangGraphCheckpoint = {
        "v": kept.v,
        "id": record.id,
        "ts": record.created_at,
        "channel_values": values,
        "channel_versions": dict(kept.versions),
        "versions_seen": {node: dict(seen) for node, seen in kept.seen.items()},
        "updated_channels": None if kept.updated is None else list(kept.updated),
    }
    return CheckpointTuple(
        config=config_of(thread_id, record.ns, record.id),
        checkpoint=checkpoint,
        metadata=isolated(metadata_of(saved)),
        parent_config=(
            config_of(thread_id, record.ns, record.parent_id) if record.parent_id else None
        ),
        pending_writes=[
            write
            for one in (saved.pending.values() if record.engine else ())
            for write in (*_writes_of(one), *_history_of(one))
        ],
    )


def _unplanned(record: Checkpoint) -> Kept:
    """Every channel is as it was written first, and no node has seen any."""
    return Kept(
        v=LATEST_VERSION,
        versions=dict.fromkeys(record.values, 1),
        seen={},
        updated=None,
        channels={},
        snapshots=(),
    )


def metadata_of(saved: Saved) -> Any:
    """A record's metadata as LangGraph has it."""
    record = saved.checkpoint
    return {"parents": {}, **record.metadata, "source": record.source, "step": record.step}


def to_command(
    given: Command[Any], answers: Mapping[str, Any] | None = None
) -> LangGraphCommand[Any]:
    """A command of ours as LangGraph's. `answers`: by interrupt id."""
    goto = [
        Send(to.node, isolated(to.arg)) if isinstance(to, OurSend) else to for to in given.targets()
    ]
    return LangGraphCommand(
        update=_update(isolated(given.update)),
        resume=dict(answers) if answers else None,
        goto=cast(Any, goto),
    )


def _update(given: Any) -> Any:
    """The update of a command: pairs that have come as JSON are lists."""
    if isinstance(given, list) and all(
        isinstance(one, (list, tuple)) and len(one) == 2 and isinstance(one[0], str)
        for one in given
    ):
        return [(channel, value) for channel, value in given]
    return given


def config_of(thread_id: str, ns: str, checkpoint_id: str | None = None) -> RunnableConfig:
    """What LangGraph calls a checkpoint by."""
    own = {"thread_id": thread_id, "checkpoint_ns": ns}
    if checkpoint_id is not None:
        own["checkpoint_id"] = checkpoint_id
    return {"configurable": own}


def interrupts_of(
    asked: Any, ns: tuple[str, ...] = (), places: Mapping[str, tuple[str, ...]] | None = None
) -> tuple[Interrupt, ...]:
    """Questions of LangGraph's. `ns`: of the task that asks, or of the one around it; `places`:
    what is known of that by interrupt id."""
    several = asked if isinstance(asked, (list, tuple)) else (asked,)
    return tuple(
        Interrupt(
            value=one.value,
            id=one.id,
            ns=(places or {}).get(one.id, ns),
            response_schema=one.response_schema if isinstance(one.response_schema, dict) else None,
        )
        for one in several
    )


@attrs.define
class Written:
    """What a task of a checkpoint has written so far."""

    ns: str
    checkpoint_id: str
    task_id: str
    node: str
    _output: dict[int, tuple[str, Any]] = attrs.field(factory=dict)  # by place
    _control: dict[str, Any] = attrs.field(factory=dict)
    _failed: TaskError | None = None  # before it was tried again
    _settled: tuple[Interrupt, ...] = ()  # what graphs inside asked before they went on

    @classmethod
    def of(cls, record: PendingWrites) -> Written:
        """As a log has it."""
        written = cls(record.ns, record.checkpoint_id, record.task_id, record.node)
        written.add([(channel, value) for _, channel, value in _writes_of(record)])
        if record.tried is not None:
            written._settled = record.tried.interrupts
            written._failed = record.tried.error
        return written

    def add(self, writes: Sequence[tuple[str, Any]]) -> None:
        """Of output in one place the first counts, of anything else the last. What a task comes to
        when it is tried again makes a failure good."""
        if self.task_id == NULL_TASK_ID:  # it is given whole each time
            self._output.clear()
        channels = {channel for channel, _ in writes}
        if not channels <= {ERROR, ERROR_SOURCE_NODE, RESUME} and ERROR not in channels:
            failed = self._control.pop(ERROR, None)
            self._failed = self._failed if failed is None else TaskError.of(failed)
        for at, (channel, value) in enumerate(writes):
            if channel in (ERROR, ERROR_SOURCE_NODE):
                self._control[channel] = value
            elif channel in (INTERRUPT, RESUME):
                self._control[channel] = plain(value)
            else:
                self._output.setdefault(at, (channel, plain(value)))

    def settle(self, ids: Collection[str]) -> bool:
        """Graphs inside have gone on from where they asked these questions. Whether any waited."""
        asked = self._control.get(INTERRUPT, ())
        over = [one for one in asked if one.id in ids]
        if over:
            self._settled = (*self._settled, *interrupts_of(over))
            self._control[INTERRUPT] = [one for one in asked if one.id not in ids]
        return bool(over)

    def record(self) -> PendingWrites:
        control = self._control
        answers = control.get(RESUME, ())
        failure = TaskError.of(control[ERROR]) if ERROR in control else None
        own = f"{self.node}:{self.task_id}" if self.node else ""
        own_ns = tuple(filter(None, (*self.ns.split("|"), own)))
        asked = interrupts_of(control[INTERRUPT], own_ns) if INTERRUPT in control else ()
        past = asked or self._settled
        over = bool(self._output and (past or self._failed)) or bool(self._settled and not asked)
        return PendingWrites(
            checkpoint_id=self.checkpoint_id,
            ns=self.ns,
            task_id=self.task_id,
            node=self.node,
            writes=tuple(self._output.values()) if self._output else None,
            resumes=tuple(answers) if isinstance(answers, (list, tuple)) else (answers,),
            interrupts=() if self._output else asked,
            error=None if ERROR_SOURCE_NODE in control else failure,
            handles=failure if ERROR_SOURCE_NODE in control else None,
            tried=Tried(past, self._failed) if over else None,
        )


def _writes_of(record: PendingWrites) -> Iterator[PendingWrite]:
    ident = record.task_id
    for channel, value in record.writes or ():
        yield ident, channel, isolated(value)
    if record.interrupts:
        yield ident, INTERRUPT, _asked(record.interrupts)
    if record.resumes:
        answers = [isolated(answer) for answer in record.resumes]
        yield ident, RESUME, answers[0] if ident == NULL_TASK_ID else answers
    if record.error is not None:
        yield ident, ERROR, record.error.exception()
    if record.handles is not None:
        yield ident, ERROR, record.handles.exception()
        yield ident, ERROR_SOURCE_NODE, record.node


def _history_of(record: PendingWrites) -> Iterator[PendingWrite]:
    """What a task that has finished had come to before, which LangGraph's savers keep too."""
    tried = Tried() if record.tried is None or record.writes is None else record.tried
    if tried.interrupts:
        yield record.task_id, INTERRUPT, _asked(tried.interrupts)
    if tried.error is not None:
        yield record.task_id, ERROR, tried.error.exception()


def _asked(interrupts: Sequence[Interrupt]) -> list[LangGraphInterrupt]:
    return [
        LangGraphInterrupt(one.value, one.id, response_schema=_plain(one.response_schema))
        for one in interrupts
    ]


def _plain(schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if schema is None else dict(schema)
