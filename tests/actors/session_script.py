"""A session in which everything happens once, and what its caller was told by which commit."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from typing import Annotated, Any, TypedDict
from uuid import UUID

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Client, Conflict, Greenroom
from greenroom.actors.events import DONE
from greenroom.actors.joining import HOST
from greenroom.graph import START, CompiledStateGraph, Send, StateGraph, interrupt
from greenroom.graph.world import World
from greenroom.storage import UNFINISHED, Run, Storage, Thread, ThreadQuery, read_saved
from greenroom.storage.testing import FaultyStorage

from .stage import chain

__all__ = ["Found", "Ledger", "Script", "make_graphs"]

FOREVER = 10**9


@attrs.define
class CountingWorld(World):
    """Ids are numbers, so that every session is the same."""

    last: int = 0

    def record_id(self) -> str:
        self.last += 1
        return str(UUID(int=self.last))

    checkpoint_id = random_id = record_id


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    text: str
    fails: bool


@attrs.define(eq=False)
class Stage:
    """What nodes meet: nothing, or the script, which holds them."""

    held: set[str] = attrs.field(factory=set)
    reached: dict[str, trio.Event] = attrs.field(factory=dict)
    opened: dict[str, trio.Event] = attrs.field(factory=dict)
    session: Any = None
    clock: MockClock | None = None

    async def stored(self) -> None:
        """Until storage has what was handed over."""
        if self.session is not None:
            await self.session.commit([])

    async def siblings_stored(self) -> None:
        """Until storage has what the tasks beside this one have come to."""
        if self.clock is not None:
            await wait_all_tasks_blocked()
            await self.stored()  # what was handed over before is a commit of its own
            self.clock.jump(0.01)
            await wait_all_tasks_blocked()
            await self.stored()

    async def held_up(self, word: str) -> None:
        await self.stored()
        if word in self.held:
            self.reached[word].set()
            await self.opened[word].wait()


def make_graphs(stage: Stage | None = None) -> dict[str, CompiledStateGraph]:
    """`steps`: three in a row, of which the second may be held. `fan`: three side by side, of which
    the second asks.
    """
    stage = stage or Stage()

    def says(name: str) -> Any:
        async def node(state: State) -> State:
            await stage.held_up(f"{name} {state['text']}")
            if state.get("fails"):
                raise ValueError("no such colour")
            return {"log": [f"{name} {state['text']}"]}

        return node

    async def work(number: int) -> State:
        if number == 1:
            return {"log": [interrupt("how?")]}
        if number == 2:
            await stage.siblings_stored()
        return {"log": [f"work {number}"]}

    def share_out(state: State) -> list[Send]:
        return [Send("work", number) for number in range(3)]

    fan = StateGraph(State).add_node("work", work).add_node("sum", says("sum"))
    fan.add_conditional_edges(START, share_out, ["work"]).add_edge("work", "sum")
    steps = chain(state=State, a=says("a"), b=says("b"), c=says("c"))
    return {"steps": steps, "fan": fan.compile()}


def said(word: str, nodes: Collection[str] = "abc") -> list[str]:
    """What a run leaves in the log that comes as far as the last of these nodes."""
    return [word, *(f"{node} {word}" for node in nodes)]


@attrs.frozen
class Found:
    """What a storage holds when every run has come to its end."""

    threads: dict[str, Thread]
    runs: dict[str, Run]
    logs: dict[str, list[str]]  # what was said, by thread
    events: dict[str, list[int]]  # ids by run
    posts: list[str]  # ids of runs

    @classmethod
    def of(cls, storage: Storage) -> Found:
        threads = {one.thread_id: one for one in storage.search_threads(ThreadQuery(limit=None))}
        runs = {
            run.run_id: run for ident in threads for run in storage.list_runs(ident, limit=None)
        }
        heads = {ident: read_saved(storage, ident) for ident in threads}
        return cls(
            threads,
            runs,
            {ident: head.checkpoint.values["log"] if head else [] for ident, head in heads.items()},
            {
                run.run_id: [
                    event.event_id
                    for event in storage.read_events(run.thread_id, run.run_id)
                    if event.name != DONE
                ]
                for run in runs.values()
            },
            [row["post_id"] for row in storage.scan_posts()],
        )


@attrs.define(eq=False)
class Promise:
    """What a caller was told, after commit `since`, and may rely on up to commit `until`."""

    text: str
    holds: Callable[[Found], bool]
    since: int
    until: int = FOREVER


@attrs.define(eq=False)
class Ledger:
    """Everything that the caller was told. `storage` knows how many commits there were."""

    storage: FaultyStorage
    promises: list[Promise] = attrs.field(factory=list)
    words: dict[str, str] = attrs.field(factory=dict)  # what each run said, by run
    deleted: set[str] = attrs.field(factory=set)  # runs whose state stays

    def told(self, text: str, holds: Callable[[Found], bool]) -> Promise:
        promise = Promise(text, holds, len(self.storage.applied))
        self.promises.append(promise)
        return promise

    def may_change(self, *promises: Promise) -> None:
        """What was promised is about to be changed by what the caller asks for."""
        for promise in promises:
            promise.until = min(promise.until, len(self.storage.applied))

    def check(self, found: Found, commit: int) -> None:
        """What was promised up to a commit holds, and nothing is there by halves."""
        for promise in self.promises:
            if promise.since <= commit <= promise.until:
                assert promise.holds(found), f"told by commit {promise.since}: {promise.text}"
        for thread_id, log in found.logs.items():
            assert len(set(log)) == len(log), f"said twice on {thread_id}: {log}"
            assert found.threads[thread_id].status != "busy"
        everything = [entry for log in found.logs.values() for entry in log]
        hosts = {run.run_id: run.metadata.get(HOST) for run in found.runs.values()}
        for run in found.runs.values():
            assert run.status not in UNFINISHED
            ids = found.events[run.run_id]
            assert ids == sorted(set(ids))
            word = run.kwargs["input"] and run.kwargs["input"]["text"]
            if word and run.status != "interrupted":
                assert word in everything, f"the input of run {word} is lost"
            is_one = hosts[run.run_id] or run.run_id in hosts.values()  # with others
            if is_one:
                host = found.runs[hosts[run.run_id] or run.run_id]
                assert run.status == host.status == "success"
            elif word and run.status == "success" and run.metadata["graph_id"] == "steps":
                assert set(said(word)) <= set(everything), f"run {word} is not complete"
        for run_id, word in self.words.items():
            if run_id not in found.runs and run_id not in self.deleted:
                assert not [entry for entry in everything if word in entry.split()]


@attrs.define(eq=False)
class Accepted:
    run_id: str
    thread_id: str
    word: str
    promise: Promise


@attrs.define(eq=False)
class Script:
    """Plays the session. Whatever the client has answered goes into the ledger at once."""

    room: Greenroom
    ledger: Ledger
    stage: Stage

    @property
    def client(self) -> Client:
        return self.room.client

    async def play(self) -> None:
        await self.every_durability()
        await self.edits()
        await self.failure()
        await self.questions()
        await self.enqueue_and_reject()
        await self.interrupt()
        await self.rollback()
        await self.merge()
        await self.steer()
        await self.cancel()
        await self.deletions()
        await self.streams()
        await self.temporary()
        await self.webhook()

    # What is asked for.

    async def thread(self) -> str:
        made: str = (await self.client.threads.create(metadata={"edition": 1}))["thread_id"]
        self.ledger.told("there is a thread", lambda found: made in found.threads)
        return made

    async def send(self, thread_id: str, word: str, graph: str = "steps", **how: Any) -> Accepted:
        given = {"log": [word], "text": word, **how.pop("input", {})}
        run = await self.client.runs.create(thread_id, graph, input=given, **how)
        run_id: str = run["run_id"]
        self.ledger.words[run_id] = word
        promise = self.ledger.told(
            f"run {word} was accepted",
            lambda found: run_id in found.runs and found.logs[thread_id].count(word) == 1,
        )
        return Accepted(run_id, thread_id, word, promise)

    async def ended(self, run: Accepted, status: str = "success") -> list[str]:
        """Wait for a run, and believe what is answered."""
        result = await self.client.runs.join(run.thread_id, run.run_id, raise_error=False)
        log: list[str] = result.get("log", [])
        self.ledger.told(
            f"run {run.word} ended {status}",
            lambda found: (
                found.runs[run.run_id].status == status
                and found.logs[run.thread_id][: len(log)] == log
            ),
        )
        return log

    def hold(self, word: str, node: str = "b") -> str:
        place = f"{node} {word}"
        self.stage.held.add(place)
        self.stage.reached[place], self.stage.opened[place] = trio.Event(), trio.Event()
        return place

    async def send_held(self, thread_id: str, word: str, **how: Any) -> Accepted:
        """A run that stands still in the middle."""
        place = self.hold(word)
        run = await self.send(thread_id, word, **how)
        await self.stage.reached[place].wait()
        return run

    def let_go(self, run: Accepted) -> None:
        self.stage.opened[f"b {run.word}"].set()

    # The scenes.

    async def every_durability(self) -> None:
        thread_id, log = await self.thread(), list[str]()
        for durability in ("sync", "async", "exit"):
            run = await self.send(thread_id, durability, durability=durability)
            log += said(durability)
            assert await self.ended(run) == log

    async def edits(self) -> None:
        thread_id = await self.thread()
        await self.ended(await self.send(thread_id, "before"))
        await self.client.threads.update(thread_id, metadata={"edition": 2})
        self.ledger.told(
            "the metadata was changed",
            lambda found: found.threads[thread_id].metadata["edition"] == 2,
        )
        await self.client.threads.update_state(thread_id, {"log": ["edited"]})
        self.ledger.told("the state was edited", lambda found: "edited" in found.logs[thread_id])

    async def failure(self) -> None:
        thread_id = await self.thread()
        run = await self.send(thread_id, "doomed", input={"fails": True})
        await self.ended(run, "error")
        self.ledger.told("it failed", lambda found: found.threads[thread_id].status == "error")

    async def questions(self) -> None:
        thread_id = await self.thread()
        paused = await self.send(thread_id, "fan", graph="fan")
        result = await self.client.runs.join(thread_id, paused.run_id)
        [question] = result["__interrupt__"]
        asked = self.ledger.told(
            "it asks",
            lambda found: (
                found.runs[paused.run_id].status == "success"
                and [i["id"] for one in found.threads[thread_id].interrupts.values() for i in one]
                == [question["id"]]
            ),
        )
        self.ledger.may_change(asked)
        command = {"resume": "so"}
        values = await self.client.runs.wait(thread_id, "fan", command=command)
        answered = ["fan", "work 0", "so", "work 2", "sum fan"]
        assert values["log"] == answered
        self.ledger.told("it was answered", lambda found: found.logs[thread_id] == answered)

    async def enqueue_and_reject(self) -> None:
        thread_id = await self.thread()
        first = await self.send_held(thread_id, "first")
        second = await self.send(thread_id, "second", multitask_strategy="enqueue")
        third = await self.send(thread_id, "third", multitask_strategy="enqueue")
        with pytest.raises(Conflict):
            await self.send(thread_id, "rejected", multitask_strategy="reject")
        self.ledger.told("it was rejected", lambda found: "rejected" not in found.logs[thread_id])
        self.let_go(first)
        for run in (first, second, third):
            await self.ended(run)
        order = said("first") + said("second") + said("third")
        self.ledger.told("in order of arrival", lambda found: found.logs[thread_id] == order)

    async def interrupt(self) -> None:
        thread_id = await self.thread()
        stopped = await self.send_held(thread_id, "stopped")
        queued = await self.send(thread_id, "queued")
        newest = await self.send(thread_id, "newest", multitask_strategy="interrupt")
        for run in (stopped, queued):
            self.ledger.told(
                f"run {run.word} is stopped",
                lambda found, run=run: found.runs[run.run_id].status == "interrupted",  # type: ignore[misc]
            )
        log = [*said("stopped", "a"), "queued", *said("newest")]
        assert await self.ended(newest) == log

    async def rollback(self) -> None:
        thread_id = await self.thread()
        await self.ended(await self.send(thread_id, "base"))
        undone = await self.send_held(thread_id, "undone")
        queued = await self.send(thread_id, "undone-too")
        self.ledger.may_change(undone.promise, queued.promise)
        newest = await self.send(thread_id, "instead", multitask_strategy="rollback")
        log = said("base") + said("instead")
        self.ledger.told(
            "they are rolled back",
            lambda found: (
                found.logs[thread_id] == log
                and not {undone.run_id, queued.run_id} & found.runs.keys()
            ),
        )
        assert await self.ended(newest) == log

    async def merge(self) -> None:
        thread_id = await self.thread()
        first = await self.send_held(thread_id, "talks")
        runs = [
            await self.send(thread_id, word, multitask_strategy="merge", webhook="anywhere")
            for word in ("and", "then", "some")
        ]
        self.let_go(first)
        log = [*said("talks"), "and", "then", *said("some")]
        for run in runs:
            assert await self.ended(run) == log
        self.ledger.told(
            "all are to be posted", lambda found: {run.run_id for run in runs} <= {*found.posts}
        )
        self.ledger.told(
            "the last has answered all",
            lambda found: (
                [found.runs[run.run_id].metadata.get(HOST) for run in runs]
                == [runs[2].run_id, runs[2].run_id, None]
            ),
        )

    async def steer(self) -> None:
        for durability in ("sync", "async", "exit"):
            words = f"hosts-{durability}", f"steers-{durability}"
            thread_id = await self.thread()
            host = await self.send_held(thread_id, words[0], durability=durability)
            steers = await self.send(
                thread_id, words[1], durability=durability, multitask_strategy="steer"
            )
            self.let_go(host)
            log = [*said(words[0], "ab"), words[1], f"c {words[1]}"]
            for run in (host, steers):
                assert await self.ended(run) == log

        thread_id = await self.thread()
        undone = await self.send_held(thread_id, "undone-host")
        place = self.hold("steers-on", "c")
        steers = await self.send(thread_id, "steers-on", multitask_strategy="steer")
        self.let_go(undone)
        await self.stage.reached[place].wait()
        self.ledger.may_change(undone.promise)
        await self.client.runs.cancel(thread_id, undone.run_id, action="rollback")
        self.ledger.told("the host is rolled back", lambda found: undone.run_id not in found.runs)
        self.stage.opened[place].set()
        assert await self.ended(steers) == said("steers-on")

    async def cancel(self) -> None:
        thread_id = await self.thread()
        cut = await self.send_held(thread_id, "cut")
        waits, gone = await self.send(thread_id, "waits"), await self.send(thread_id, "gone")
        last = await self.send(thread_id, "last")
        self.ledger.may_change(waits.promise, gone.promise)
        await self.client.runs.cancel(thread_id, gone.run_id, action="rollback")
        self.ledger.told("it is gone", lambda found: gone.run_id not in found.runs)
        await self.client.runs.cancel(thread_id, waits.run_id)
        await self.client.runs.cancel(thread_id, cut.run_id, wait=True)
        for run in (waits, cut):
            self.ledger.told(
                f"run {run.word} is stopped",
                lambda found, run=run: found.runs[run.run_id].status == "interrupted",  # type: ignore[misc]
            )
        assert await self.ended(last) == said("cut", "a") + said("last")

    async def deletions(self) -> None:
        thread_id = await self.thread()
        under_way = await self.send_held(thread_id, "under-way")
        after = await self.send(thread_id, "after")
        self.ledger.may_change(under_way.promise)
        self.ledger.deleted.add(under_way.run_id)
        await self.client.runs.delete(thread_id, under_way.run_id)
        self.ledger.told("the run is deleted", lambda found: under_way.run_id not in found.runs)
        await self.ended(after)

        other = str(UUID(int=2**64))
        whole = await self.send_held(other, "whole", if_not_exists="create")
        more = await self.send(other, "more")
        self.ledger.may_change(whole.promise, more.promise)
        await self.client.threads.delete(other)
        self.ledger.told("the thread is deleted", lambda found: other not in found.threads)

    async def streams(self) -> None:
        thread_id = await self.thread()
        for word in ("seen", "seen-again"):
            run = await self.send(thread_id, word, stream_resumable=True)
            parts = self.client.runs.join_stream(thread_id, run.run_id, last_event_id=0)
            ids = [part.id async for part in parts]
            self.ledger.told(
                f"the events of run {word} were all read",
                lambda found, run=run, ids=ids: found.events[run.run_id] == ids,  # type: ignore[misc]
            )

    async def temporary(self) -> None:
        for word, way in (("passing", "success"), ("cut-off", "interrupt"), ("undone", "rollback")):
            place = self.hold(word)
            given = {"log": [word], "text": word}
            run = await self.client.runs.create(None, "steps", input=given)
            thread_id, run_id = run["thread_id"], run["run_id"]
            self.ledger.told(
                f"run {word} leaves nothing",
                lambda found, thread_id=thread_id: thread_id not in found.threads,  # type: ignore[misc]
            )
            await self.stage.reached[place].wait()
            if way == "success":
                handle = await self.client.runs.attach(thread_id, run_id)
                self.stage.opened[place].set()
                assert await handle.result() == {"log": said(word), "text": word}
            else:
                await self.client.runs.cancel(thread_id, run_id, wait=True, action=way)

    async def webhook(self) -> None:
        thread_id = await self.thread()
        run = await self.send(thread_id, "told", webhook="anywhere")
        await self.ended(run)
        self.ledger.told("it is to be posted", lambda found: run.run_id in found.posts)
