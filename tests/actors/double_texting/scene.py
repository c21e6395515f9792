"""A thread with a run under way, another one queued, and what a third does to both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby, pairwise
from typing import Any, Final

import attrs
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Conflict, Greenroom, NotFound, RunHandle
from greenroom.actors.events import StreamPart
from greenroom.graph.world import World
from greenroom.storage.testing import FaultyStorage

from ..stage import new_thread, status, text
from .readers import Reader, check

__all__ = ["Cell", "Scene", "SendingWorld"]

WAIT: Final = 2.0  # seconds that texts wait for others with `debounce`


@attrs.frozen
class Cell:
    """A row of a table of `docs/double-texting.md`, after the phase: what became of the run under
    way, of the one queued behind it, of the new one, and of the state."""

    run: str
    row: str
    checkpoints: str
    readers: str
    waiters: str
    queued: str
    queued_readers: str
    new: str
    new_readers: str
    state: str


class SendingWorld(World):
    """Says when a run has got its id, upon which it is sent without a wait."""

    def __init__(self) -> None:
        super().__init__()
        self.sends = trio.Event()

    def record_id(self) -> str:
        self.sends.set()
        return super().record_id()


@attrs.define(eq=False)
class Scene:
    """`one` is the run under way, `two` waits behind it, `new` is what they are texted with.

    `whole`: what a run that gets to its end leaves in the log after its text, by its first words.
    `strategy`: that of `new`. `options`: what all runs are sent with from now on. `readers`: one
    for each of them, from its start; `of_thread`: what the reader of the thread was shown.
    """

    room: Greenroom
    storage: FaultyStorage
    world: SendingWorld
    nursery: trio.Nursery
    clock: MockClock
    whole: Sequence[str]
    strategy: str
    thread_id: str = ""
    runs: dict[str, RunHandle] = attrs.field(factory=dict)
    options: dict[str, Any] = attrs.field(factory=dict)
    readers: dict[str, Reader] = attrs.field(factory=dict)
    of_thread: list[StreamPart] = attrs.field(factory=list)
    _answered: dict[str, trio.Event] = attrs.field(factory=dict)

    @property
    def like_new(self) -> dict[str, Any]:
        """What `two` is sent with: it too may become part of another."""
        joins = self.strategy in ("merge", "debounce", "steer")
        return self._as_new if joins else {}

    @property
    def _as_new(self) -> dict[str, Any]:
        wait = {"after_seconds": WAIT} if self.strategy == "debounce" else {}
        return {"multitask_strategy": self.strategy, **wait}

    async def set_up(self) -> None:
        """The thread has had a run, whose end the others begin from."""
        self.thread_id = await new_thread(self.room.client)
        await self.text("before")
        await self.runs["before"].result()
        del self.readers["before"]
        self.nursery.start_soon(self._follow_thread)
        await wait_all_tasks_blocked()

    async def _follow_thread(self) -> None:
        async for batch in self.room.client.threads.events(self.thread_id):
            self.of_thread += batch

    async def text_again(self) -> None:
        """Send `new`, and hear whether it is accepted."""
        await self.send_new()
        await self.hear("new")

    async def send_new(self) -> None:
        if self.strategy == "debounce":
            self.clock.jump(WAIT / 2)
        await self.send("new", **self._as_new)

    async def text(self, word: str, **request: Any) -> None:
        """Send a run, and hear whether it is accepted."""
        await self.send(word, **request)
        await self.hear(word)

    async def send(self, word: str, **request: Any) -> None:
        """Send a run; the thread has read the message, unless it is at something else."""
        self.world.sends = trio.Event()
        self._answered[word] = trio.Event()
        self.nursery.start_soon(self._start, word, request)
        await self.world.sends.wait()
        await wait_all_tasks_blocked()

    async def hear(self, word: str) -> None:
        await self._answered[word].wait()

    async def _start(self, word: str, request: Mapping[str, Any]) -> None:
        try:
            self.runs[word] = await self.room.client.runs.start(
                self.thread_id, "agent", input=text(word), **self.options, **request
            )
        except Conflict:
            assert word == "new"
        else:
            reader = self.readers[word] = Reader(self.runs[word], partial(self._row, word))
            self.nursery.start_soon(reader.follow)
        self._answered[word].set()

    async def over(self) -> None:
        """Until the task of the run under way is over."""
        actor = self.room._supervisor._loaded(self.thread_id)
        assert actor is not None
        assert actor.runs.active is not None
        await actor.runs.active.over.wait()

    # What has become of them.

    async def rest(self) -> None:
        """Until all is done that is not for later."""
        for word, reader in self.readers.items():
            if not await self._waits(word):
                await reader.over.wait()
        if self.strategy == "debounce":
            await self._time_comes()
        await wait_all_tasks_blocked()  # those that were left behind

    async def _time_comes(self) -> None:
        """That of `new`, which has restarted the wait of `two`: till then, neither begins."""
        late = [word for word in self.runs if word != "one" and await self._waits(word)]
        if not self.readers["one"].over.is_set():
            late.remove("two")  # which waits for a time of its own
        assert "new" in late
        for _ in range(2):
            assert not any(self.readers[word].parts for word in late)
            assert [await self._row(word) for word in late] == ["`pending`"] * len(late)
            self.clock.jump(WAIT / 2)
            await wait_all_tasks_blocked()
        for word in late:
            await self.readers[word].over.wait()

    async def _waits(self, word: str) -> bool:
        late = "after_seconds" in self.runs[word].run["kwargs"]
        return late and await self._row(word) == "`pending`"

    async def cell(self, *, begun: bool, ended: bool, order: Sequence[str]) -> Cell:
        """What has become of all; `begun` and `ended` as in `Phase`."""
        over = self.readers["one"].over.is_set()
        cell = Cell(
            run=await self._fate(begun, ended, order),
            row=await self._row("one"),
            checkpoints=await self._checkpoints("one"),
            readers=await self._seen("one"),
            waiters=self._shown(await self.runs["one"].result()) if over else "nothing yet",
            queued=await self._row("two"),
            queued_readers=await self._seen("two"),
            new=await self._row("new"),
            new_readers=await self._seen("new"),
            state=self._shown((await self.room.client.threads.get(self.thread_id))["values"]),
        )
        busy = await status(self.room.client, self.thread_id) == "busy"
        assert busy is any([await self._waits(word) for word in self.runs])
        await self._check_readers(cell)
        return cell

    async def _seen(self, word: str) -> str:
        reader = self.readers.get(word)
        if reader is None:
            return "none"
        if not reader.over.is_set():
            return "nothing yet"
        return reader.seen(self._shown, await self.runs[word].result())

    async def _check_readers(self, cell: Cell) -> None:
        """The legend of the table: what they saw agrees with what has become of the runs."""
        hosts: dict[str, str] = {}
        for word, reader in self.readers.items():
            if not reader.over.is_set():
                assert (reader.parts, await self._row(word)) == ([], "`pending`")
                continue
            row = await self._row(word)
            assert reader.row == row != "`pending`"
            if ", part of " in row:
                hosts[word] = self.runs[row.partition(", part of ")[2]].run_id
            reader.check(word, hosts.get(word))
            result = await self.runs[word].result()
            if row != "deleted":
                assert set(reader.told) <= set(result["log"])
            if "success" in row:
                assert self._shown(reader.states[-1]) == self._shown(result)
            elif row == "`interrupted`" and reader.states:
                seen = reader.states[-1]["log"]
                assert result["log"][: len(seen)] == seen
        if cell.run == "is left behind":
            assert self.readers["one"].told == []
        check(self.readers, self.of_thread, hosts)

    async def _fate(self, begun: bool, ended: bool, order: Sequence[str]) -> str:
        row = await self._row("one")
        overlaps = any(
            one.endswith(" begins") and other != one.replace("begins", "ends")
            for one, other in pairwise(order)
        )
        if overlaps:
            return "is left behind"
        if row == "`pending`":
            return "waits on"
        if ended:
            return "had ended"
        if row == "`success`":
            return "goes on"
        return "is stopped" if begun else "never starts"

    async def _row(self, word: str) -> str:
        if word not in self.runs:
            return "refused" if word == "new" else "none"
        try:
            run = await self.room.client.runs.get(self.thread_id, self.runs[word].run_id)
        except NotFound:
            return "deleted"
        host = run["metadata"].get("answered_by_run_id")
        hosts = [word for word, handle in self.runs.items() if handle.run_id == host]
        return f"`{run['status']}`{''.join(f', part of {word}' for word in hosts)}"

    async def _checkpoints(self, word: str) -> str:
        history = await self.room.client.threads.get_history(self.thread_id, limit=1000)
        own = [s for s in reversed(history) if s["metadata"]["run_id"] == self.runs[word].run_id]
        if not own:
            return "none"
        following = " and ".join(f"`{node}`" for node in own[-1]["next"])
        return f"{len(own)}, next is {following}" if following else f"all {len(own)}"

    def _shown(self, values: Mapping[str, Any]) -> str:
        """What of each run is there, after that of the run before them."""
        by_run = groupby(values["log"], key=lambda entry: entry.split()[-1])
        first, *parts = [self._part(word, list(entries)) for word, entries in by_run]
        assert first == "before"
        if "__interrupt__" in values:
            parts.append("its question")
        return ", ".join(parts) or "as before"

    def _part(self, word: str, entries: Sequence[str]) -> str:
        text, *done = entries
        assert text == word  # first the text, and never twice
        verbs = [entry.split()[0] for entry in done]
        if verbs == list(self.whole):
            return word
        if not verbs:
            return f"text of {word}"
        return f"{word} up to `{verbs[-1]}`"
