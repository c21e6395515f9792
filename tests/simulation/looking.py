"""Clients look at threads and runs."""

from __future__ import annotations

from contextlib import aclosing

import trio

from .caller import Caller
from .readings import Reading

__all__ = ["Looking"]


class Looking(Caller):
    """Those who read states, and follow runs."""

    __slots__ = ()

    async def _get_state(self, thread_id: str) -> str:
        client, thread = await self._client(), self._thread(thread_id)
        log, place = thread.log, thread.undone
        state = await client.threads.get_state(thread_id)
        self._shown(thread, log, state["values"], place)
        return str(state["next"])

    async def _get_thread(self, thread_id: str) -> str:
        client, thread = await self._client(), self._thread(thread_id)
        log, before = thread.log, thread.undone
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
