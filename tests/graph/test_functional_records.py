"""What entrypoints do not do again, and the policies of tasks."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio

from greenroom.graph import (
    START,
    CachePolicy,
    Command,
    InMemoryCache,
    InMemorySaver,
    NodeTimeoutError,
    RetryPolicy,
    Runtime,
    StreamWriter,
    TimeoutPolicy,
    entrypoint,
    interrupt,
    task,
)
from greenroom.graph.job import Job
from greenroom.graph.world import World

from .conftest import State


@task
def double_in_a_thread(number: int) -> int:
    return number * 2


# What is done is not done again.


@attrs.define
class Work:
    """Tasks that note that they were called, and fail as often as told."""

    done: list[Any] = attrs.field(factory=list)
    troubles: list[Exception] = attrs.field(factory=list)

    def task(self, **policies: Any) -> Any:
        @task(**policies)
        async def work(thing: Any) -> Any:
            self.done.append(thing)
            if self.troubles:
                raise self.troubles.pop()
            return [thing]

        return work

    def fail(self) -> None:
        if self.troubles:
            raise self.troubles.pop()


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_resumed_program_does_not_repeat_finished_tasks(
    thread: Any, work: Work, durability: Any
) -> None:
    do = work.task()

    @entrypoint(checkpointer=InMemorySaver())
    async def program(things: list[str]) -> Any:
        futures = [do(thing) for thing in things]
        return [[await future for future in futures], interrupt("?"), await do("last")]

    await program.ainvoke(["a", "b"], thread, durability=durability)
    done = await program.ainvoke(Command(resume="yes"), thread, durability=durability)
    assert done == [[["a"], ["b"]], "yes", ["last"]]
    assert sorted(work.done) == ["a", "b", "last"]


async def test_a_plain_program_does_not_repeat_finished_tasks(thread: Any, work: Work) -> None:
    do = work.task()

    @entrypoint(checkpointer=InMemorySaver())
    def program(thing: str) -> Any:
        return [do(thing).result(), interrupt("?")]

    await program.ainvoke("a", thread)
    assert await program.ainvoke(Command(resume="yes"), thread) == [["a"], "yes"]
    assert work.done == ["a"]


async def test_a_failed_run_that_goes_on_repeats_only_what_failed(thread: Any, work: Work) -> None:
    do = work.task()

    @entrypoint(checkpointer=InMemorySaver())
    async def program(_: Any) -> Any:
        first = await do("first")
        work.troubles = [KeyError("lost")] if "second" not in work.done else []
        return [first, await do("second")]

    with pytest.raises(KeyError):
        await program.ainvoke(0, thread)
    assert await program.ainvoke(None, thread) == [["first"], ["second"]]
    assert work.done == ["first", "second", "second"]


async def test_a_cancelled_run_that_goes_on_keeps_finished_tasks(thread: Any, work: Work) -> None:
    do = work.task()
    ready, go_on = trio.Event(), trio.Event()

    @task
    async def waits() -> str:
        ready.set()
        await go_on.wait()
        return "waited"

    @entrypoint(checkpointer=InMemorySaver())
    async def program(_: Any) -> Any:
        first = await do("first")
        return [first, await waits()]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(program.ainvoke, 0, thread)
        await ready.wait()
        nursery.cancel_scope.cancel()
    go_on.set()
    assert await program.ainvoke(None, thread) == [["first"], "waited"]
    assert work.done == ["first"]


async def test_tasks_called_by_tasks_and_nodes_are_not_repeated(
    wire: Any, thread: Any, work: Work
) -> None:
    do = work.task()

    @task
    async def outer(thing: str) -> Any:
        return [await do(thing), interrupt("?")]

    async def node(state: State) -> Any:
        return {"log": [await outer("a")]}

    graph = wire({"node": node}, (START, "node"))
    await graph.ainvoke({}, thread)
    assert (await graph.ainvoke(Command(resume="yes"), thread))["log"] == [[["a"], "yes"]]
    assert work.done == ["a"]


async def test_tasks_of_tasks_are_not_repeated_when_an_answer_edits_the_state(
    wire: Any, thread: Any, work: Work
) -> None:
    do = work.task()

    @task
    async def outer(thing: str) -> Any:
        return [await do(thing), interrupt("?")]

    async def node(state: State) -> Any:
        return {"log": [await outer("a")]}

    graph = wire({"node": node}, (START, "node"))
    await graph.ainvoke({}, thread)
    done = await graph.ainvoke(Command(resume="yes", update={"log": ["edit"]}), thread)
    assert done["log"] == ["edit", [["a"], "yes"]]
    assert work.done == ["a"]


async def test_a_program_tried_again_finds_its_finished_tasks(work: Work) -> None:
    do = work.task()

    @entrypoint(retry_policy=RetryPolicy(initial_interval=0, jitter=False))
    async def program(_: Any) -> Any:
        first = await do("first")
        work.fail()
        return [first, await do("second")]

    work.troubles = []
    assert await program.ainvoke(0) == [["first"], ["second"]]
    work.done.clear()

    @task
    async def trouble() -> None:
        work.troubles = [ConnectionError("net")] * 2

    @entrypoint(retry_policy=RetryPolicy(initial_interval=0, jitter=False))
    async def troubled(_: Any) -> Any:
        await trouble()
        work.fail()
        return await do("first")

    assert await troubled.ainvoke(0) == ["first"]
    assert work.done == ["first"]


async def test_the_next_turn_calls_its_tasks_anew(thread: Any, work: Work) -> None:
    do = work.task()

    @entrypoint(checkpointer=InMemorySaver())
    async def program(thing: str) -> Any:
        return await do(thing)

    assert await program.ainvoke("a", thread) == ["a"]
    assert await program.ainvoke("b", thread) == ["b"]


# Policies.


async def test_a_task_is_tried_again_by_its_own_policy(work: Work) -> None:
    do = work.task(retry_policy=RetryPolicy(initial_interval=0, jitter=False))
    work.troubles = [ConnectionError("net"), ConnectionError("net")]

    @entrypoint()
    async def program(thing: str) -> Any:
        return await do(thing)

    assert await program.ainvoke("a") == ["a"]
    assert work.done == ["a"] * 3


@pytest.mark.parametrize(
    ("policy", "calls"),
    [(CachePolicy(), 2), (CachePolicy(key_func=lambda thing: thing.lower()), 1)],
)
async def test_a_cache_remembers_a_task_by_its_arguments(
    work: Work, policy: CachePolicy, calls: int
) -> None:
    do = work.task(cache_policy=policy)
    cache = InMemoryCache()

    @entrypoint(cache=cache)
    async def program(things: list[str]) -> Any:
        return [(await do(thing))[0].lower() for thing in things]

    for _ in range(2):
        assert await program.ainvoke(["a", "A", "a"]) == ["a", "a", "a"]
    assert len(work.done) == calls
    do.clear_cache(cache)
    await program.ainvoke(["a"])
    await do.aclear_cache(cache)
    await program.ainvoke(["a"])
    assert len(work.done) == calls + 2


async def test_a_cache_remembers_what_a_program_returned(work: Work) -> None:
    @entrypoint(cache=InMemoryCache(), cache_policy=CachePolicy())
    async def program(thing: str) -> str:
        work.done.append(thing)
        return thing

    assert [await program.ainvoke(thing) for thing in "aba"] == ["a", "b", "a"]
    assert work.done == ["a", "b"]


async def test_a_task_that_takes_too_long_fails_where_it_is_awaited(autojump_clock: Any) -> None:
    @task(timeout=5)
    async def slow() -> None:
        await trio.sleep_forever()

    @entrypoint()
    async def program(_: Any) -> str:
        try:
            await slow()
        except NodeTimeoutError as error:
            return error.node
        return "done"

    assert await program.ainvoke(0) == "slow"


async def test_what_a_task_does_is_progress_of_its_caller(autojump_clock: Any) -> None:
    @task
    async def slow(*, writer: StreamWriter, runtime: Runtime[Any]) -> None:
        await trio.sleep(4)
        writer("on")
        await trio.sleep(4)
        runtime.heartbeat()
        await trio.sleep(4)

    @entrypoint(timeout=TimeoutPolicy(idle_timeout=5))
    async def program(_: Any) -> str:
        await slow()
        await slow()
        return "done"

    assert await program.ainvoke(0) == "done"


async def test_max_concurrency_limits_the_tasks_of_a_caller() -> None:
    at_work: list[int] = [0, 0]

    @task
    async def inner() -> None: ...

    @task
    async def counted() -> None:
        at_work[0] += 1
        at_work[1] = max(at_work)
        await trio.testing.wait_all_tasks_blocked()
        await inner()
        at_work[0] -= 1

    @entrypoint()
    async def program(_: Any) -> None:
        for future in [counted() for _ in range(6)]:
            await future

    await program.ainvoke(0, {"max_concurrency": 2})
    assert at_work == [0, 2]


async def test_plain_programs_that_wait_for_plain_tasks_need_no_thread_meanwhile() -> None:
    @entrypoint()
    def program(number: int) -> int:
        return double_in_a_thread(number).result()

    world = World(threads=1)
    finishes = []

    async def run(number: int) -> None:
        finish = await program.perform(Job(input=number, world=world))
        finishes.append(finish.values)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(run, number)
    assert sorted(finishes) == [0, 2, 4, 6, 8]
