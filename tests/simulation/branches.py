"""Where runs, edits and copies begin that do not go on from the end of a thread."""

from __future__ import annotations

import attrs

from greenroom.graph import START
from greenroom.graph.checkpoint import Saved
from greenroom.graph.resume import waiting
from greenroom.storage import Storage, read_saved

from .courses import SeenThread
from .graphs import GRAPHS
from .model import Place

__all__ = ["Base", "base_at", "branched", "end_of", "is_of"]


@attrs.frozen
class Base:
    """What a thread had come to at a checkpoint. `questions`: that were open, by id."""

    head: str | None
    log: tuple[str, ...]
    questions: dict[str, str]
    place: Place


def end_of(thread: SeenThread) -> Base:
    return Base(thread.head, thread.log, thread.questions, thread.place)


def base_at(storage: Storage, thread: SeenThread, checkpoint_id: str | None = None) -> Base | None:
    """A checkpoint that is stored, the newest by default; None if there is none. Whoever has had a
    run on the thread may have worked on it."""
    saved = read_saved(storage, thread.thread_id, "", checkpoint_id)
    if saved is None:
        return None
    place = _place(saved, thread.place.graph)
    return Base(
        saved.checkpoint.id,
        tuple(saved.checkpoint.values.get("log", ())),
        {question.id: str(question.value) for question in waiting(saved)},
        attrs.evolve(place, tags=thread.tags),
    )


def branched(storage: Storage, thread: SeenThread, head: str | None, root: str | None) -> bool:
    """Whether the newest checkpoint has come of an older one past what had been the newest."""
    while head is not None and head not in (root, thread.head):
        saved = read_saved(storage, thread.thread_id, "", head)
        head = None if saved is None else saved.checkpoint.parent_id
    return head == root


def is_of(storage: Storage, copy: Base, thread: SeenThread) -> bool:
    """Whether a copy may have been made of a thread as it is now."""
    if not thread.unfinished:
        return (copy.head, copy.log, copy.questions) == (thread.head, thread.log, thread.questions)
    there = base_at(storage, thread, copy.head)
    newest = base_at(storage, thread)
    if there is None or newest is None or there.log != copy.log:
        return False
    whole = copy.log[: len(thread.log)] == thread.log and newest.log[: len(copy.log)] == copy.log
    return whole or thread.branches


def _place(saved: Saved, graph: str) -> Place:
    planned = saved.checkpoint.next
    text = saved.checkpoint.values.get("text")
    failed = any(record.error is not None for record in saved.pending.values())
    if planned and planned[0].node == START:
        given = planned[0].arg  # unless it was taken in already
        if given is not None:
            return Place(graph, text, given=given["text"], failed=failed)
        return Place(graph, text, 0, failed=failed)
    nodes = {"x" if task.node == "inner" else task.node for task in planned}
    steps = GRAPHS[graph]
    step = next((at for at, names in enumerate(steps) if nodes & set(names)), len(steps))
    return Place(graph, text, step, failed=failed)
