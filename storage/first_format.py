"""Checkpoints as the first version of the log had them, made into those of today.

There a checkpoint said all about itself each time: its parent, its metadata, and the ids of its
tasks, which are made of what is stored today.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import attrs
import msgspec

from greenroom.graph.checkpoint import Planned

from .contract import StorageError

__all__ = ["renew"]

_CHECKPOINTS: Final = """
    SELECT id, thread, ns, checkpoint_id, base_seq = seq FROM log
    WHERE kind = 'checkpoint' ORDER BY thread, seq
"""
_DEFAULTS: Final = (b"[]", b"{}")

_encoder: Final = msgspec.json.Encoder()
_parts: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_tasks: Final = msgspec.json.Decoder(list[tuple[str, int | None, msgspec.Raw, str]])


@attrs.define
class _Chain:
    """What came before in a namespace. `tasks`: the checkpoints that planned them, by id."""

    checkpoint_id: str
    nth: int
    metadata: bytes
    tasks: dict[str, str]


def renew(connection: sqlite3.Connection) -> None:
    """Rewrite the checkpoints of the first version, inside the transaction that is open.

    Raises StorageError for one that cannot be read.
    """
    chains: dict[tuple[int, str], _Chain] = {}
    thread = None
    for ident, of, ns, checkpoint_id, full in connection.execute(_CHECKPOINTS).fetchall():
        if of != thread:
            chains, thread = {}, of
        (data,) = connection.execute("SELECT data FROM log WHERE id = ?", (ident,)).fetchone()
        try:
            old = _parts.decode(data)
            if "nth" in old:
                continue
            stored, chain = _renewed(old, checkpoint_id, chains.get((of, ns)), full=bool(full))
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            text = f"Checkpoint {checkpoint_id} of the first version cannot be read: {error}"
            raise StorageError(text) from error
        chains[of, ns] = chain
        connection.execute("UPDATE log SET data = ? WHERE id = ?", (_encoder.encode(stored), ident))


def _renewed(
    old: dict[str, msgspec.Raw], checkpoint_id: str, before: _Chain | None, *, full: bool
) -> tuple[dict[str, Any], _Chain]:
    about = _parts.decode(old["about"])
    parent, metadata = msgspec.json.decode(about.pop("parent")), bytes(about.pop("metadata"))
    tasks = {} if before is None else before.tasks
    planned = []
    for node, index, arg, ident in _tasks.decode(about["next"]):
        origin = checkpoint_id
        if Planned(node, index, origin=checkpoint_id).id != ident:
            origin = tasks[ident]
        tasks[ident] = origin
        planned.append((node, index, arg, *(() if origin == checkpoint_id else (origin,))))
    new: dict[str, Any] = {
        name: raw
        for name, raw in about.items()
        if bytes(raw) not in _DEFAULTS or name in ("step", "source", "created_at")
    }
    if planned:
        new["next"] = planned
    if full:
        nth = 1
        if parent is not None:
            new["parent"] = parent
    elif before is None or before.checkpoint_id != parent:
        raise ValueError("the checkpoint before it is not there")
    else:
        nth = before.nth + 1
    stored: dict[str, Any] = {"about": new, "nth": nth}
    stored |= {
        name: old[name]
        for name in ("values", "grown", "gone")
        if name in old and bytes(old[name]) not in _DEFAULTS
    }
    if full or before is None or metadata != before.metadata:
        stored["metadata"] = msgspec.Raw(metadata)
    return stored, _Chain(checkpoint_id, nth, metadata, tasks)
