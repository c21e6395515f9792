"""Clients start runs."""

from __future__ import annotations

from typing import Any

import trio

from .caller import THOUGHTS, Caller
from .model import RULES
from .posts import url_of
from .readings import Reading

__all__ = ["Starting"]


class Starting(Caller):
    """Those who start runs, and may wait for them."""

    __slots__ = ()

    async def _create(self, thread_id: str) -> str:
        request = self._request(thread_id)
        client, tag = await self._client(), request["metadata"]["tag"]
        whose = self._thread_or_none(thread_id, request)
        async with self._refusals(thread_id, request):
            run = await client.runs.create(whose, **request)
        return self._accepted(run["run_id"], tag)

    async def _burst(self, thread_id: str) -> str:
        """Several texts, one right after the other, with one and the same strategy."""
        strategy, told = self.random.choice(list(RULES)), list[str]()
        for _ in range(self.random.randint(2, 3)):
            request = {**self._request(thread_id), "multitask_strategy": strategy}
            if RULES[strategy].waits:
                request.setdefault("after_seconds", 0.3)
            client, tag = await self._client(), request["metadata"]["tag"]
            async with self._refusals(thread_id, request):
                run = await client.runs.create(thread_id, **request)
            told.append(self._accepted(run["run_id"], tag))
        return ", ".join(told)

    async def _wait(self, thread_id: str) -> str:
        request = self._request(thread_id)
        client, tag = await self._client(), request["metadata"]["tag"]
        leaves = "cancel" if self.random.random() < 0.5 else "continue"
        if leaves == "cancel":
            self._witness.cut.add((tag, "interrupt"))
        whose = self._thread_or_none(thread_id, request)
        async with self._refusals(thread_id, request):
            result = await client.runs.wait(
                whose, on_disconnect=leaves, raise_error=False, **request
            )
        course = self._course(tag)
        if course is None:
            self._witness.refute(f"{tag} was waited for, and was never accepted")
            return ""
        self._ended(course)
        if course.temporary and "__error__" not in result:
            self._witness.came_alone_to(course, result)
        if course.end != "rolled back" and not course.deleted and "__error__" not in result:
            log = tuple(result.get("log", ()))
            several = len(result.get("__interrupt__", ())) > 1
            if "__interrupt__" in result and course.log is not None:
                log = log[: len(course.log)]  # then come tasks beside the one that asks
            self._witness.check(
                # A process that has lost its lease shows what has come of the thread elsewhere.
                several or self._witness.taken_over or course.log in (None, log),
                f"{tag} was answered {log}; its end was {course.log}",
            )
        return f"{tag} {course.end}"

    async def _stream(self, thread_id: str) -> str:
        request = self._request(thread_id)
        client, tag = await self._client(), request["metadata"]["tag"]
        cancels = self.random.random() < 0.5
        if cancels:
            self._witness.cut.add((tag, "interrupt"))
        whose = self._thread_or_none(thread_id, request)
        async with self._refusals(thread_id, request):
            handle = await client.runs.start(whose, **request)
        self._accepted(handle.run_id, tag)
        reading = Reading(handle.run_id, 0 if handle.resumable else None)
        await self._read(reading, handle.parts(cancels=cancels))
        return f"{tag} {len(reading.parts)} events"

    def _thread_or_none(self, thread_id: str, request: dict[str, Any]) -> str | None:
        """None where it is to have a thread of its own."""
        if self.random.random() < 0.9:
            return thread_id
        request["on_completion"] = self.random.choice(("delete", "keep"))
        return None

    def _request(self, thread_id: str, tag: str | None = None) -> dict[str, Any]:
        chance, simulation = self.random.random, self.simulation
        tag = tag or simulation.new_tag()
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
        if chance() < 0.2:
            request["webhook"] = url_of(tag)
        if chance() < 0.05:
            request["interrupt_before"] = ["b", "sum"]
        if chance() < 0.85:
            request["input"] = {"log": [tag], "text": tag}
        return request

    async def _fork(self, thread_id: str) -> str:
        """Go on from an older checkpoint, or answer what waits there."""
        state = await self._older_state(thread_id)
        tag, asked = self.simulation.new_tag(), [one["id"] for one in state["interrupts"]]
        request = self._request(thread_id, tag)
        request["checkpoint_id"] = state["checkpoint"]["checkpoint_id"]
        if asked and self.random.random() < 0.6:
            request["input"] = None
            request["command"] = {"resume": {ident: f"re:{tag}:{ident}" for ident in asked}}
        await trio.sleep(self.random.choice(THOUGHTS))
        client = await self._client()
        async with self._refusals(thread_id, request):
            run = await client.runs.create(thread_id, **request)
        return self._accepted(run["run_id"], tag)

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
        request = {**self._request(thread_id, tag), "command": {"resume": answer}}
        request |= {"input": None, "strict_resume": self.random.random() < 0.4}
        async with self._refusals(thread_id, request):
            run = await client.runs.create(thread_id, **request)
        return self._accepted(run["run_id"], tag)
