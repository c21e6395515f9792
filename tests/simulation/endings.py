"""What must be there once everything has come to rest."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from random import Random

import trio

from greenroom.actors import Client, NotFound, StreamPart
from greenroom.actors.events import DONE
from greenroom.storage.codec import to_json

from .courses import Course, SeenThread
from .readings import Reading
from .witness import Witness

__all__ = ["look_at_all", "look_at_events"]


async def look_at_all(
    client: Client,
    witness: Witness,
    thread_ids: Sequence[str],
    acknowledged: Sequence[Course],
) -> None:
    """Every accepted run has an end, and clients are shown what the witness has seen."""
    for course in acknowledged:
        witness.check(course.end is not None, f"{course.order.tag} was accepted, and has no end")
        if course.temporary:
            await _look_for_nothing(client, witness, course)
    for thread_id in thread_ids:
        thread = witness.threads.get(thread_id)
        try:
            shown = await client.threads.get(thread_id)
        except NotFound:
            witness.check(thread is None, f"{thread_id} is lost")
            continue
        if thread is None:
            witness.refute(f"{thread_id} was deleted, and is there")
            continue
        log = tuple((shown["values"] or {}).get("log", ()))
        witness.check(log == thread.log, f"in the end there is {log}; it was {thread.log}")
        witness.check(shown["status"] != "busy", f"{thread_id} is busy for ever")
        await _look_at_questions(client, witness, thread, shown["status"])
        await _look_at_history(client, witness, thread)
        await _look_at_runs(client, witness, thread)


async def _look_for_nothing(client: Client, witness: Witness, course: Course) -> None:
    """A run on a thread of its own alone has left nothing."""
    for ask in (partial(client.runs.get, None), partial(client.runs.get, course.run.thread_id)):
        try:
            await ask(course.run.run_id)
        except NotFound:
            continue
        witness.refute(f"{course.order.tag} was to be gone with its thread, and is there")


async def _look_at_questions(
    client: Client, witness: Witness, thread: SeenThread, status: str
) -> None:
    """What is asked is what the last run has asked, and the thread says so."""
    state = await client.threads.get_state(thread.thread_id)
    asked = {question["id"]: question["value"] for question in state["interrupts"]}
    witness.check(asked == thread.questions, f"{asked} is asked; it was {thread.questions}")
    tasks = [task["name"] for task in state["tasks"]]  # one that is done waits for its siblings
    witness.check(bool(tasks) != thread.place.done, f"{tasks} are next, at {thread.place.step}")
    if asked and not thread.place.failed:
        witness.check(status == "interrupted", f"{asked} is asked, and the thread is {status}")


async def _look_at_history(client: Client, witness: Witness, thread: SeenThread) -> None:
    """There is nothing of runs that were rolled back, and it is the same from memory."""
    history = await client.threads.get_history(thread.thread_id, limit=1000)
    for _ in range(2):
        kept = await client.threads.get_history_json(thread.thread_id, limit=1000)
        witness.check(kept == to_json(history), "the history that is kept is another")
    left = [
        state["checkpoint"]["checkpoint_id"]
        for state in history
        if (state["metadata"] or {}).get("run_id") in thread.undone
        or any(entry.split(" ")[-1] in thread.undone for entry in state["values"].get("log", ()))
    ]
    witness.check(not left, f"checkpoints {left} are of runs that were rolled back")


async def _look_at_runs(client: Client, witness: Witness, thread: SeenThread) -> None:
    runs = {run["run_id"]: run for run in await client.runs.list(thread.thread_id, limit=1000)}
    for course in thread.courses:
        tag, run = course.order.tag, runs.pop(course.run.run_id, None)
        if course.deleted:
            witness.check(run is None, f"{tag} was deleted, and is there")
        elif run is None:
            witness.refute(f"{tag} is lost, which had ended {course.end}")
        else:
            end = run["status"]
            witness.check(end == course.end, f"{tag} is {end}; it was {course.end}")
    witness.check(not runs, f"there are runs {list(runs)}, which nobody has seen")


async def look_at_events(
    client: Client, witness: Witness, readings: Sequence[Reading], random: Random
) -> None:
    """Whoever comes back is shown what live readers were shown."""
    kept: dict[str, list[int]] = {}
    for course in witness.courses.values():
        run = course.run
        if course.deleted or not run.kwargs["resumable"]:
            continue
        ids = kept[run.run_id] = await _replay(client, witness, course, 0)
        if ids:
            at = random.randrange(len(ids))
            later = await _replay(client, witness, course, ids[at])
            witness.check(
                later == ids[at + 1 :],
                f"after event {at} of {course.order.tag} come {later}, of {ids}",
            )
    for thread_id in {course.run.thread_id: None for course in witness.courses.values()}:
        await _look_at_thread_events(client, witness, thread_id, kept, random)
    for reading in readings:
        _check_reading(witness, reading, kept.get(reading.run_id))


async def _look_at_thread_events(
    client: Client, witness: Witness, thread_id: str, kept: dict[str, list[int]], random: Random
) -> None:
    """Whoever follows a thread from an event on is shown what all of its runs have kept since, but
    for what a run was told as part of another, which is shown once, and the end of each."""
    thread = witness.threads.get(thread_id)
    if thread is None:
        return
    parts = await _replay_thread(client, witness, thread_id, 0)
    found = [part.id for part in parts]
    witness.check(found == sorted(set(found)), f"a thread's events come as {found}")
    ends = {part.id: part.data["run_id"] for part in parts if part.data.get("status") == DONE}
    there = [course for course in thread.courses if course.run.run_id in kept]
    began = {course.run.run_id for course in there if course.started or course.host}
    told = sorted(ends.values())  # of one that never had its turn it is told, and maybe not kept
    witness.check(told == sorted(set(told)), f"a thread shows the ends {told}")
    witness.check(
        began <= set(told) <= {course.run.run_id for course in there},
        f"of {sorted(began)} a thread shows the ends {told}",
    )
    for ident, run_id in ends.items():
        last = max(kept[run_id], default=0)
        witness.check(last < ident, f"event {last} of {run_id} comes after its end {ident}")

    ids = {
        ident for one in thread.courses if not one.host for ident in kept.get(one.run.run_id, ())
    }
    of_parts = {
        ident for one in thread.courses if one.host for ident in kept.get(one.run.run_id, ())
    }
    shown = set(found).difference(ends, of_parts - ids)
    witness.check(shown == ids, f"of a thread come {sorted(shown)}, not {sorted(ids)}")

    after = random.choice([0, *found])
    later = [part.id for part in await _replay_thread(client, witness, thread_id, after)]
    wanted = [ident for ident in found if ident > after]
    witness.check(later == wanted, f"after {after} of a thread come {later}, not {wanted}")


async def _replay_thread(
    client: Client, witness: Witness, thread_id: str, after: int
) -> list[StreamPart]:
    found: list[StreamPart] = []
    with trio.move_on_after(1):  # there is no end
        async with aclosing(client.threads.join_stream(thread_id, last_event_id=after)) as parts:
            async for part in parts:
                found.append(part)
                witness.told(part.id, part.event, part.json)
    return found


async def _replay(client: Client, witness: Witness, course: Course, after: int) -> list[int]:
    run, ids = course.run, list[int]()
    parts = client.runs.join_stream(run.thread_id, run.run_id, last_event_id=after)
    async for part in parts:
        ids.append(part.id)
        witness.told(part.id, part.event, part.json)
    return ids


def _check_reading(witness: Witness, reading: Reading, kept: list[int] | None) -> None:
    ids = [part.id for part in reading.parts]
    course = witness.courses[reading.run_id]
    tag = course.order.tag
    witness.check(ids == sorted(set(ids)), f"a reader of {tag} was shown {ids}")
    if kept is None or course.born != course.died:
        return  # what a process had not stored when it died is lost, also of what it has shown
    if ids:
        start = kept.index(ids[0]) if ids[0] in kept else 0
        part = kept[start : start + len(ids)]
        witness.check(ids == part, f"a reader of {tag} was shown {ids}; kept is {kept}")
    if reading.after is not None:
        rest = [ident for ident in kept if ident > reading.after]
        wanted = rest if reading.whole else rest[: len(ids)]
        witness.check(ids == wanted, f"after {reading.after} of {tag} came {ids}, not {wanted}")
