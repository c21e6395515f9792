"""Who sends requests, and holds the runtime to what it is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from random import Random
from typing import TYPE_CHECKING, Any, Final

import attrs

from greenroom.actors import Client, Conflict, NotFound
from greenroom.actors.events import StreamPart

from .courses import Course, SeenThread
from .model import RULES
from .readings import Reading

if TYPE_CHECKING:
    from .simulation import Simulation

__all__ = ["THOUGHTS", "Caller"]

THOUGHTS: Final = (0, 0, 0.001, 0.01, 0.1, 0.3, 1.0)  # seconds between two operations


@attrs.define(eq=False)
class Caller:
    name: str
    random: Random
    simulation: Simulation

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

    def _accepted(self, run_id: str, tag: str) -> str:
        course = self._witness.courses.get(run_id)
        if course is None:
            self._witness.refute(f"{tag} was accepted, and is not stored")
        else:
            self.simulation.acknowledged.append(course)
            self.simulation.adopt(course.run.thread_id, course.thread.place.graph)
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

    def _shown(
        self, thread: SeenThread, log: tuple[str, ...], values: Any, rolled_back: set[str]
    ) -> None:
        """A reader saw these values, who had known of that log."""
        found = tuple(values.get("log", ()))
        if thread.gone or self._witness.threads.get(thread.thread_id) is not thread:
            return
        self._witness.check(
            thread.branches or found[: len(log)] == log,
            f"a reader was shown {found}; there had been {log}",
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

    async def _older_state(self, thread_id: str) -> dict[str, Any]:
        """One that a branch is to begin from."""
        client, thread = await self._client(), self._thread(thread_id)
        states = json.loads(await client.threads.get_history_json(thread_id, limit=50))
        if not states:
            raise NotFound("no checkpoint, as far as is known")
        thread.branches = True
        asked = [state for state in states if state["interrupts"]]
        return self.random.choice(asked if asked and self.random.random() < 0.4 else states)

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

    client: Caller
    thread_id: str
    strategy: str
    _before: tuple[bool, int] = (False, 0)

    async def __aenter__(self) -> None:
        self._before = self.client._busy(self.thread_id)

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, Conflict):
            self.client._was_busy(self.thread_id, self._before)
            self.client._witness.check(
                RULES[self.strategy].refused or self._is_of_another_run(),
                f"{self.strategy} was refused: {error}",
            )

    def _is_of_another_run(self) -> bool:
        thread = self.client._witness.threads.get(self.thread_id)
        return thread is None or thread.temporary
