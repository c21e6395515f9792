"""What threads of LangGraph's consist of, and what their delta channels are made of.

A delta channel's value is not in every checkpoint: it is the last one that is, and what tasks have
written since. A checkpoint whose ancestors are forgotten keeps that with itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import attrs
import msgspec

from ..contract import LogPage
from ..records import LogRow
from ..unfolded import Unfolded, unfold
from .stored import HISTORY, VERSION, Stored, about_of, folded_writes

__all__ = ["ChannelHistory", "by_namespace", "entries", "standing_alone", "walked"]


@attrs.define
class ChannelHistory:
    """What a delta channel is made of at a checkpoint: where it begins, in stored form, and the
    writes since as pairs of a task's id and a value, oldest first."""

    seed: bytes | None = None
    is_snapshot: bool = True
    writes: list[tuple[str, bytes]] = attrs.field(factory=list)


def by_namespace(log: Sequence[LogRow]) -> dict[str, list[Unfolded]]:
    """The checkpoints of a log, oldest first."""
    checkpoints: dict[str, list[LogRow]] = {}
    for row in log:
        if row.kind == "checkpoint":
            checkpoints.setdefault(row.ns, []).append(row)
    return {
        ns: unfold(
            LogPage(
                tuple(row.checkpoint_id for row in rows),
                tuple(rows),
                tuple(row for row in log if row.kind == "writes" and row.ns == ns),
                tuple(
                    row
                    for row in log
                    if row.base_seq is not None and row.kind != "checkpoint" and row.ns == ns
                ),
            )
        )
        for ns, rows in checkpoints.items()
    }


def entries(log: Sequence[LogRow]) -> list[Unfolded | LogRow]:
    """What a log consists of, in order: checkpoints and records of writes."""
    found: list[Unfolded | LogRow] = [row for row in log if row.kind == "writes"]
    for all_of in by_namespace(log).values():
        found += all_of
    return sorted(found, key=lambda entry: entry.seq)


def walked(
    one: Unfolded,
    channels: Collection[str],
    find: Callable[[Unfolded, str], Unfolded | None],
) -> dict[str, ChannelHistory]:
    """Goes from a checkpoint to its ancestors, until each channel has where it begins."""
    histories = {channel: ChannelHistory() for channel in channels}
    open_ones = set(channels)
    newest_first: dict[str, list[tuple[str, bytes]]] = {channel: [] for channel in channels}
    current: Unfolded | None = one
    while current is not None and open_ones:
        about = about_of(current)
        for channel in list(open_ones):
            history = histories[channel]
            if current is not one:
                writes = [
                    (task_id, raw)
                    for _, task_id, name, raw in folded_writes(current.pending)
                    if name == channel
                ]
                newest_first[channel] += reversed(writes)
                if channel in current.values and channel not in about.get("stale", ()):
                    history.seed = current.raw(channel)
                    history.is_snapshot = channel in about.get("snapshots", ())
                    open_ones.discard(channel)
                    continue
            if HISTORY + channel in current.values:
                kept = msgspec.json.decode(
                    current.raw(HISTORY + channel), type=list[tuple[str, msgspec.Raw]]
                )
                newest_first[channel] += [(task_id, bytes(raw)) for task_id, raw in reversed(kept)]
                if channel in current.values:
                    history.seed = current.raw(channel)
                open_ones.discard(channel)
        parent_id = about.get("parent", current.parent_id)
        current = None if parent_id is None or not open_ones else find(current, parent_id)
    for channel, history in histories.items():
        history.writes = newest_first[channel][::-1]
    return histories


def standing_alone(one: Unfolded, log: Sequence[LogRow], gone: set[tuple[str, str]]) -> Stored:
    """A checkpoint that is kept; if the one before it is not, with what its delta channels take
    from there."""
    stored = Stored.of(one)
    if stored.parent_id is None or (stored.ns, stored.parent_id) not in gone:
        return stored
    about, values = dict(stored.about), dict(stored.values)
    stale = set(about.get("stale", ()))
    absent = [
        name.removeprefix(VERSION)
        for name in values
        if name.startswith(VERSION)
        and (name.removeprefix(VERSION) not in values or name.removeprefix(VERSION) in stale)
    ]
    all_of = {other.row.checkpoint_id: other for other in by_namespace(log)[stored.ns]}
    for channel, history in walked(one, absent, lambda _, parent_id: all_of.get(parent_id)).items():
        if not history.writes and history.seed is None:
            continue
        pairs = [(task_id, msgspec.Raw(raw)) for task_id, raw in history.writes]
        values[HISTORY + channel] = msgspec.json.encode(pairs)
        values.pop(channel, None)
        stale.discard(channel)
        if history.seed is not None:
            values[channel] = history.seed
            stale.add(channel)
    return attrs.evolve(stored, about={**about, "stale": sorted(stale)}, values=values)
