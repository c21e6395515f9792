"""Clients that do what they like, and hold the runtime to what it has told them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from random import Random
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from greenroom.actors import Client, Closed, Conflict, GreenroomError, NotFound
from greenroom.actors.events import StreamPart
from greenroom.storage import StorageError

from .courses import Course, SeenThread
from .graphs import GRAPHS
from .model import RULES
from .readings import Reading

if TYPE_CHECKING:
    from .simulation import Simulation

__all__ = ["SimulatedClient"]

THOUGHTS: Final = (0, 0, 0.001, 0.01, 0.1, 0.3, 1.0)  # seconds between two operations
PATIENCE: Final = (0, 0.001, 0.05, 0.5)  # seconds, of those who leave
FOREVER: Final = 10_000.0  # seconds


@attrs.define(eq=False)
class SimulatedClient:
    name: str
    random: Random
    simulation: Simulation

    async def play(self, operations: int) -> None:
        kinds = list(OPERATIONS)
        weights = [OPERATIONS[kind] for kind in kinds]
        for _ in range(operations):
            await trio.sleep(self.random.choice(THOUGHTS))
            [kind] = self.random.choices(kinds, weights)
            await self._do(kind)

    async def _do(self, kind: str) -> None:
        thread_id = self.random.choice(self.simulation.thread_ids)
        patience = self.random.choice(PATIENCE) if self.random.random() < 0.15 else FOREVER
        operation: Callable[[str], Awaitable[Any]] = getattr(self, f"_{kind}")
        say = f"{self.name}: {kind} {thread_id[-4:]}"
        self._say(say)
        with trio.move_on_after(patience) as scope:
            try:
                answer = await operation(thread_id)
                self._say(f"{say} -> {answer}")
            except (Closed, StorageError) as error:
                self._say(f"{say}: it is not known, {type(error).__name__}")
            except GreenroomError as error:
                self._say(f"{say}: {type(error).__name__}: {error}")
        if scope.cancelled_caught:
            self._say(f"{say}: left")

    # Runs are started.

    async def _create(self, thread_id: str) -> str:
        request = self._request(thread_id)
        client, tag = await self._client(), request["metadata"]["tag"]
        async with self._refusals(thread_id, request):
            run = await client.runs.create(thread_id, **request)
        return self._accepted(thread_id, run["run_id"], tag)

    async def _wait(self, thread_id: str) -> str:
        request = self._request(thread_id)
        client, tag = await self._client(), request["metadata"]["tag"]
        leaves = "cancel" if self.random.random() < 0.5 else "continue"
        if leaves == "cancel":
            self._witness.cut.add((tag, "interrupt"))
        async with self._refusals(thread_id, request):
            result = await client.runs.wait(
                thread_id, on_disconnect=leaves, raise_error=False, **request
            )
        course = self._course(tag)
        if course is None:
            self._witness.refute(f"{tag} was waited for, and was never accepted")
            return ""
        self._ended(course)
        if course.end != "rolled back" and not course.deleted and "__error__" not in result:
            log = tuple(result.get("log", ()))
            several = len(result.get("__interrupt__", ())) > 1
            self._witness.check(
                several or course.log in (None, log),
                f"{tag} was answered {log}; its end was {course.log}",
            )
        return f"{tag} {course.end}"

    async def _stream(self, thread_id: str) -> str:
        request = self._request(thread_id)
        client, tag = await self._client(), request["metadata"]["tag"]
        cancels = self.random.random() < 0.5
        if cancels:
            self._witness.cut.add((tag, "interrupt"))
        async with self._refusals(thread_id, request):
            handle = await client.runs.start(thread_id, **request)
        self._accepted(thread_id, handle.run_id, tag)
        reading = Reading(handle.run_id, 0 if handle.resumable else None)
        await self._read(reading, handle.parts(cancels=cancels))
        return f"{tag} {len(reading.parts)} events"

    def _request(self, thread_id: str) -> dict[str, Any]:
        chance, simulation = self.random.random, self.simulation
        tag = simulation.new_tag()
        request: dict[str, Any] = {
            "assistant_id": simulation.graph_of(thread_id),
            "metadata": {"tag": tag},
            "multitask_strategy": self.random.choice(list(RULES)),
            "durability": simulation.durability_of(thread_id)
            if chance() < 0.8
            else self.random.choice(("async", "sync", "exit")),
            "stream_resumable": chance() < 0.5,
            "stream_mode": self.random.choice(("values", "updates", ["values", "tasks"])),
        }
        if chance() < 0.1 or RULES[request["multitask_strategy"]].waits:
            request["after_seconds"] = self.random.choice((0.01, 0.3, 2))
        if chance() < 0.05:
            request["interrupt_before"] = ["b", "sum"]
        if chance() < 0.85:
            request["input"] = {"log": [tag], "text": tag}
        return request

    async def _resume(self, thread_id: str) -> str:
        """Answer what waits, if anything does."""
        client = await self._client()
        state = await client.threads.get_state(thread_id)
        tag, asked = self.simulation.new_tag(), [one["id"] for one in state["interrupts"]]
        answer: Any = f"re:{tag}:"
        if asked and (len(asked) > 1 or self.random.random() < 0.5):
            some = self.random.sample(asked, self.random.randint(1, len(asked)))
            answer = {ident: f"re:{tag}:{ident}" for ident in some}
        await trio.sleep(self.random.choice(THOUGHTS))
        client = await self._client()
        request = {**self._request(thread_id), "command": {"resume": answer}}
        request["metadata"] = {"tag": tag}
        request["input"] = None
        async with self._refusals(thread_id, request):
            run = await client.runs.create(thread_id, **request)
        return self._accepted(thread_id, run["run_id"], tag)

    # Runs are cut short.

    async def _cancel(self, thread_id: str) -> str:
        client, course = await self._client(), self._any_course(thread_id)
        action, wait = self.random.choice(("interrupt", "rollback")), self.random.random() < 0.5
        tag = course.order.tag
        self._witness.cut.add((tag, action))
        before = course.end
        await client.runs.cancel(thread_id, course.run.run_id, wait=wait, action=action)
        told = (
            course.end is not None
            or course.joins
            or course.run.stop in (action, "rollback", "timeout")
        )
        self._witness.check(told, f"{tag} is not to stop, and its client was told so")
        if wait:
            self._ended(course)
        self._witness.check(before is None, f"{tag} was cancelled and had ended {before}")
        if action == "rollback":
            self._witness.check(
                course.end in (None, "rolled back", "deleted"), f"{tag} was to be rolled back"
            )
        return f"{tag} {action} {course.end}"

    async def _cancel_many(self, thread_id: str) -> str:
        client = await self._client()
        courses = [self._any_course(thread_id) for _ in range(2)]
        action = self.random.choice(("interrupt", "rollback"))
        self._witness.cut |= {(course.order.tag, action) for course in courses}
        ids = [course.run.run_id for course in courses]
        await client.runs.cancel_many(thread_id=thread_id, run_ids=ids, action=action)
        return f"{[course.order.tag for course in courses]} {action}"

    async def _delete_run(self, thread_id: str) -> str:
        client, course = await self._client(), self._any_course(thread_id)
        self._witness.cut.add((course.order.tag, "delete"))
        await client.runs.delete(thread_id, course.run.run_id)
        self._witness.check(course.deleted, f"{course.order.tag} is there, and was deleted")
        return course.order.tag

    # Threads.

    async def _make_thread(self, thread_id: str) -> str:
        client = await self._client()
        await self.simulation.make_thread(thread_id, client)
        return "there"

    async def _delete_thread(self, thread_id: str) -> str:
        client, thread = await self._client(), self._thread(thread_id)
        self._witness.cut |= {(course.order.tag, "thread") for course in thread.courses}
        await client.threads.delete(thread_id)
        self._witness.check(thread.gone, "a thread is there, and was deleted")
        return "gone"

    async def _edit(self, thread_id: str) -> str:
        client, tag = await self._client(), self.simulation.new_tag()
        graph = self.simulation.graph_of(thread_id)
        steps = [("inner",) if "x" in step else step for step in GRAPHS[graph]]
        node = self.random.choice([step[0] for step in steps if len(step) == 1])
        self._witness.edits[tag] = node
        before = self._busy(thread_id)
        try:
            await client.threads.update_state(thread_id, {"log": [f"edit {tag}"]}, as_node=node)
        except Conflict:
            self._was_busy(thread_id, before)
            raise
        return f"{tag} as {node}"

    async def _patch(self, thread_id: str) -> str:
        client = await self._client()
        await client.threads.update(thread_id, metadata={"mood": self.random.random()})
        return "patched"

    async def _prune(self, thread_id: str) -> str:
        client = await self._client()
        return str(await client.threads.prune([thread_id], strategy="keep_latest"))

    # Readers.

    async def _get_state(self, thread_id: str) -> str:
        client, thread = await self._client(), self._thread(thread_id)
        log, place = thread.log, self._rolled_back()
        state = await client.threads.get_state(thread_id)
        self._shown(thread, log, state["values"], place)
        return str(state["next"])

    async def _get_thread(self, thread_id: str) -> str:
        client, thread = await self._client(), self._thread(thread_id)
        log, before = thread.log, self._rolled_back()
        shown = await client.threads.get(thread_id)
        self._shown(thread, log, shown["values"] or {}, before)
        return str(shown["status"])

    async def _list_runs(self, thread_id: str) -> str:
        client, thread = await self._client(), self._thread(thread_id)
        ended = {c.run.run_id: c for c in thread.courses if c.end is not None}
        runs = await client.runs.list(thread_id, limit=1000)
        for run in runs:
            course = ended.get(run["run_id"])
            if course is None or thread.gone:
                continue
            self._witness.check(
                run["status"] == course.end,
                f"{course.order.tag} is shown as {run['status']} and has ended {course.end}",
            )
        return f"{len(runs)} runs"

    async def _join(self, thread_id: str) -> str:
        client, course = await self._client(), self._any_course(thread_id)
        await client.runs.join(thread_id, course.run.run_id, raise_error=False)
        self._ended(course)
        return f"{course.order.tag} {course.end}"

    async def _join_stream(self, thread_id: str) -> str:
        client, course = await self._client(), self._any_course(thread_id)
        seen = [ident for r in self.simulation.readings for ident in (p.id for p in r.parts)]
        after = self.random.choice([None, 0, *seen[-5:]])
        if not course.run.kwargs["resumable"]:
            after = None
        reading = Reading(course.run.run_id, after)
        parts = client.runs.join_stream(thread_id, course.run.run_id, last_event_id=after)
        await self._read(reading, parts)
        return f"{course.order.tag} {len(reading.parts)} events"

    async def _follow_thread(self, thread_id: str) -> str:
        client = await self._client()
        ids: list[int] = []
        with trio.move_on_after(self.random.choice((0.1, 1, 5))):
            parts = client.threads.join_stream(
                thread_id, last_event_id=self.random.choice((None, 0))
            )
            async with aclosing(parts):
                async for part in parts:
                    ids.append(part.id)
                    self._witness.told(part.id, part.event, part.json)
        self._witness.check(ids == sorted(set(ids)), f"a thread's events come as {ids}")
        return f"{len(ids)} events"

    async def _read(self, reading: Reading, parts: AsyncIterator[StreamPart]) -> None:
        self.simulation.readings.append(reading)
        async with aclosing(parts):  # type: ignore[type-var]
            async for part in parts:
                self._witness.told(part.id, part.event, part.json)
                reading.parts.append(part)
        course = self._witness.courses[reading.run_id]
        self._ended(course)
        reading.whole = True

    # What they were told.

    def _accepted(self, thread_id: str, run_id: str, tag: str) -> str:
        course = self._witness.courses.get(run_id)
        if course is None:
            self._witness.refute(f"{tag} was accepted, and is not stored")
        else:
            self.simulation.acknowledged.append(course)
        return tag

    def _ended(self, course: Course) -> None:
        self._witness.check(
            course.end is not None or course.deleted,
            f"{course.order.tag} was said to be over, and is not",
        )

    def _refusals(self, thread_id: str, request: Mapping[str, Any]) -> _Refusals:
        return _Refusals(self, thread_id, request["multitask_strategy"])

    def _busy(self, thread_id: str) -> tuple[bool, int]:
        thread = self._witness.threads.get(thread_id)
        busy = thread is not None and bool(thread.unfinished)
        return busy, self._witness.changes.get(thread_id, 0)

    def _was_busy(self, thread_id: str, before: tuple[bool, int]) -> None:
        """A client was told that a thread was."""
        idle = not before[0] and self._busy(thread_id) == before
        self._witness.check(not idle, f"{thread_id} was said to be busy, and was not")

    def _rolled_back(self) -> set[str]:
        return set(self._witness.rolled_back)

    def _shown(
        self, thread: SeenThread, log: tuple[str, ...], values: Any, rolled_back: set[str]
    ) -> None:
        """A reader saw these values, who had known of that log."""
        found = tuple(values.get("log", ()))
        if thread.gone or self._witness.threads.get(thread.thread_id) is not thread:
            return
        self._witness.check(
            found[: len(log)] == log, f"a reader was shown {found}; there had been {log}"
        )
        left = [entry for entry in found if entry.split(" ")[-1] in rolled_back]
        self._witness.check(not left, f"a reader was shown {left} of runs rolled back before")

    # Whom and what they have.

    async def _client(self) -> Client:
        return await self.simulation.client()

    @property
    def _witness(self) -> Any:
        return self.simulation.witness

    def _say(self, text: str) -> None:
        self._witness.say(text)

    def _thread(self, thread_id: str) -> SeenThread:
        thread: SeenThread | None = self._witness.threads.get(thread_id)
        if thread is None:
            raise NotFound("no such thread, as far as is known")
        return thread

    def _course(self, tag: str) -> Course | None:
        found = [c for c in self._witness.courses.values() if c.order.tag == tag]
        return found[0] if found else None

    def _any_course(self, thread_id: str) -> Course:
        """A run, most likely one that is not over."""
        thread = self._thread(thread_id)
        courses = thread.courses
        if thread.unfinished and self.random.random() < 0.8:
            courses = thread.unfinished
        if not courses:
            raise NotFound("no run, as far as is known")
        return self.random.choice(courses)


@attrs.define(eq=False)
class _Refusals:
    """`reject` refuses a run on a thread that is busy, and nothing else does."""

    client: SimulatedClient
    thread_id: str
    strategy: str
    _before: tuple[bool, int] = (False, 0)

    async def __aenter__(self) -> None:
        self._before = self.client._busy(self.thread_id)

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, Conflict):
            self.client._was_busy(self.thread_id, self._before)
            self.client._witness.check(
                RULES[self.strategy].refused, f"{self.strategy} was refused: {error}"
            )


# What they do, and how often.
OPERATIONS: Final[Mapping[str, int]] = {
    "create": 30,
    "wait": 12,
    "stream": 10,
    "resume": 12,
    "cancel": 10,
    "cancel_many": 2,
    "delete_run": 3,
    "make_thread": 2,
    "delete_thread": 1,
    "edit": 5,
    "patch": 1,
    "prune": 1,
    "get_state": 4,
    "get_thread": 4,
    "list_runs": 3,
    "join": 4,
    "join_stream": 6,
    "follow_thread": 3,
}
