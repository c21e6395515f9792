"""Entrypoints and tasks: programs in place of graphs."""

from __future__ import annotations

import operator
import threading
from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

import attrs
import pytest
import trio

from greenroom.graph import (
    START,
    AsyncioNodeError,
    BaseStore,
    CachePolicy,
    Command,
    EmptyInputError,
    InMemoryCache,
    InMemorySaver,
    InMemoryStore,
    NodeTimeoutError,
    RetryPolicy,
    RunnableConfig,
    Runtime,
    StateGraph,
    StreamWriter,
    TimeoutPolicy,
    entrypoint,
    get_store,
    interrupt,
    task,
)
from greenroom.graph.job import Job
from greenroom.graph.world import World

from .conftest import State


@task
async def double(number: int) -> int:
    return number * 2


@task
def double_in_a_thread(number: int) -> int:
    return number * 2


async def stream(graph: Any, given: Any, config: Any = None, *, mode: Any) -> list[Any]:
    async with graph.astream(given, config, stream_mode=mode) as chunks:
        return [chunk async for chunk in chunks]


# Results.


@pytest.mark.parametrize("value", [5, "text", 0, "", [], {}, [1, {"a": (2,)}], {"a": [1]}])
async def test_an_entrypoint_takes_and_returns_any_value(value: Any, thread: Any) -> None:
    @entrypoint(checkpointer=InMemorySaver())
    async def same(given: Any) -> Any:
        return given

    assert await same.ainvoke(value, thread) == value
    assert (await same.aget_state(thread)).values == value


async def test_an_entrypoint_may_return_none(thread: Any) -> None:
    @entrypoint(checkpointer=InMemorySaver())
    async def nothing(given: Any) -> None: ...

    assert await nothing.ainvoke(1, thread) is None
    assert await stream(nothing, 1, thread, mode="updates") == [{"nothing": None}]


async def test_a_run_without_input_has_nothing_to_go_on_with(thread: Any) -> None:
    @entrypoint(checkpointer=InMemorySaver())
    async def same(given: Any) -> Any:
        return given

    with pytest.raises(EmptyInputError):
        await same.ainvoke(None, thread)


async def test_what_a_program_does_to_its_input_and_result_stays_with_it(thread: Any) -> None:
    kept: list[Any] = []

    @entrypoint(checkpointer=InMemorySaver())
    async def grows(given: list[int]) -> list[int]:
        given.append(1)
        interrupt("?")
        kept.append(given)
        return given

    mine = [0]
    await grows.ainvoke(mine, thread)
    mine.clear()
    result = await grows.ainvoke(Command(resume="!"), thread)
    kept[0].append("spoilt")
    result.append("spoilt")
    assert (await grows.aget_state(thread)).values == [0, 1]


@pytest.mark.parametrize("add", [double, double_in_a_thread])
async def test_an_async_program_awaits_its_tasks(add: Any) -> None:
    @entrypoint()
    async def program(numbers: list[int]) -> list[int]:
        futures = [add(number) for number in numbers]
        return [await future for future in futures]

    assert await program.ainvoke([1, 2, 3]) == [2, 4, 6]


@pytest.mark.parametrize("add", [double, double_in_a_thread])
def test_a_plain_program_asks_its_tasks_for_their_results(add: Any) -> None:
    @entrypoint()
    def program(numbers: list[int]) -> list[int]:
        futures = [add(number) for number in numbers]
        return [future.result() for future in futures]

    assert program.invoke([1, 2, 3]) == [2, 4, 6]


async def test_tasks_run_side_by_side() -> None:
    here = {"a": trio.Event(), "b": trio.Event()}

    @task
    async def meet(name: str, other: str) -> str:
        here[name].set()
        await here[other].wait()
        return name

    @entrypoint()
    async def program(_: Any) -> Any:
        first, second = meet("a", "b"), meet("b", "a")
        return [await second, await first]

    assert await program.ainvoke(0) == ["b", "a"]


async def test_tasks_call_tasks_and_graphs(wire: Any, says: Any) -> None:
    graph = wire({"node": says("inner")}, (START, "node"), checkpointer=None)

    @task
    async def deep(number: int) -> Any:
        return [await double(number), await graph.ainvoke({})]

    @entrypoint()
    async def program(number: int) -> Any:
        return await deep(number)

    assert await program.ainvoke(2) == [4, {"log": ["inner"]}]


async def test_nodes_of_a_graph_call_tasks(wire: Any) -> None:
    async def on_the_loop(state: State) -> Any:
        return {"log": [await double(1)]}

    def in_a_thread(state: State) -> Any:
        return {"log": [double_in_a_thread(2).result()]}

    graph = wire({"a": on_the_loop, "b": in_a_thread}, (START, "a"), ("a", "b"))
    assert (await graph.ainvoke({}, {"configurable": {"thread_id": "1"}}))["log"] == [2, 4]


async def test_an_entrypoint_is_a_node_of_a_graph(thread: Any) -> None:
    @entrypoint()
    async def program(state: State) -> State:
        return {"log": [await double(len(state["log"])), interrupt("?")]}

    builder = StateGraph(State).add_node("program", program).add_edge(START, "program")
    graph = builder.compile(checkpointer=InMemorySaver())
    await graph.ainvoke({"log": ["in"]}, thread)
    done = await graph.ainvoke(Command(resume="yes"), thread)
    assert done["log"] == ["in", 2, "yes"]


async def test_arguments_and_results_are_copies() -> None:
    go_on = trio.Event()

    @task
    async def grows(items: list[int], *, more: list[int]) -> list[int]:
        await go_on.wait()
        items += more
        return items

    @entrypoint()
    async def program(_: Any) -> Any:
        items = [1]
        future = grows(items, more=[2])
        items.append("spoilt")  # type: ignore[arg-type]
        go_on.set()
        (await future).append(3)
        return await future, items

    assert await program.ainvoke(0) == ([1, 2], [1, "spoilt"])


async def test_what_a_task_does_to_its_result_later_is_not_recorded(thread: Any) -> None:
    kept: list[Any] = ["mine"]

    @task
    async def gives() -> list[Any]:
        return kept

    @entrypoint(checkpointer=InMemorySaver())
    async def program(_: Any) -> Any:
        result = await gives()
        interrupt("?")
        return result

    await program.ainvoke(0, thread)
    kept.append("spoilt")
    assert await program.ainvoke(Command(resume="!"), thread) == ["mine"]


async def test_a_task_that_nobody_awaits_is_waited_for() -> None:
    done: list[int] = []

    @task
    async def slow(number: int) -> None:
        await trio.testing.wait_all_tasks_blocked()
        done.append(number)

    @entrypoint()
    async def program(number: int) -> str:
        slow(number)
        return "fine"

    assert await program.ainvoke(5) == "fine"
    assert done == [5]


async def test_a_task_of_an_error_handler_is_waited_for(wire: Any) -> None:
    done: list[str] = []

    @task
    async def slow() -> None:
        await trio.testing.wait_all_tasks_blocked()
        done.append("slow")

    async def fails(state: State) -> None:
        raise KeyError("lost")

    async def handle(state: State) -> Any:
        slow()
        return {"log": ["handled"]}

    builder = StateGraph(State).add_node("fails", fails, error_handler=handle)
    graph = builder.add_edge(START, "fails").compile()
    assert (await graph.ainvoke({}))["log"] == ["handled"]
    assert done == ["slow"]


async def test_a_name_can_be_given() -> None:
    @task(name="twice")
    async def double(number: int) -> int:
        return number * 2

    @entrypoint(name="calculator")
    async def program(number: int) -> int:
        return await double(number)

    assert program.name == "calculator"
    told = await stream(program, 2, mode="updates")
    assert told == [{"twice": 4}, {"calculator": 4}]


async def test_methods_and_callable_objects_can_be_tasks() -> None:
    @attrs.define
    class Adder:
        amount: int

        def add(self, number: int) -> int:
            return self.amount + number

        async def __call__(self, number: int) -> int:
            return self.amount + number

    adder = Adder(10)
    method, called = task(adder.add), task(adder)

    @entrypoint()
    async def program(number: int) -> list[int]:
        return [await method(number), await called(number)]

    assert await program.ainvoke(1) == [11, 11]


# Errors.


@task
async def fails(text: str) -> None:
    raise KeyError(text)


async def test_an_error_of_a_task_may_be_caught_where_it_is_awaited(thread: Any) -> None:
    @entrypoint(checkpointer=InMemorySaver())
    async def program(text: str) -> Any:
        try:
            await fails(text)
        except KeyError as error:
            return [error.args, await double(1)]

    assert await program.ainvoke("lost", thread) == [("lost",), 2]


@pytest.mark.parametrize("awaits", [True, False])
async def test_an_error_that_nobody_caught_fails_the_run(thread: Any, awaits: bool) -> None:
    @entrypoint(checkpointer=InMemorySaver())
    async def program(text: str) -> str:
        future = fails(text)
        if awaits:
            await future
        return "fine"

    with pytest.raises(KeyError, match="lost"):
        await program.ainvoke("lost", thread)
    [shown] = (await program.aget_state(thread)).tasks
    assert shown.error is not None
    assert shown.error.type == "KeyError"


def test_a_task_may_end_the_process() -> None:
    @task
    async def ends() -> None:
        raise SystemExit(3)

    @entrypoint()
    async def program(_: Any) -> None:
        await ends()

    with pytest.raises(SystemExit, match="3"):
        program.invoke(0)


async def test_a_program_that_fails_cuts_its_tasks_short() -> None:
    ended: list[str] = []
    started = trio.Event()

    @task
    async def endless() -> None:
        try:
            started.set()
            await trio.sleep_forever()
        finally:
            ended.append("task")

    @entrypoint()
    async def program(_: Any) -> None:
        endless()
        await started.wait()
        raise KeyError("lost")

    with pytest.raises(KeyError):
        await program.ainvoke(0)
    assert ended == ["task"]


async def test_a_cancelled_run_has_no_task_left() -> None:
    ended: list[str] = []
    started = trio.Event()

    @task
    async def endless() -> None:
        try:
            started.set()
            await trio.sleep_forever()
        finally:
            ended.append("task")

    @entrypoint()
    async def program(_: Any) -> None:
        await endless()

    async def cancelled() -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(program.ainvoke, 0)
                await started.wait()
                scope.cancel()
        ended.append("run")

    await cancelled()
    assert ended == ["task", "run"]


async def test_a_timeout_of_the_program_cuts_its_tasks_short(autojump_clock: Any) -> None:
    ended: list[float] = []

    @task
    async def slow() -> None:
        try:
            await trio.sleep(100)
        finally:
            ended.append(trio.current_time())

    @entrypoint(timeout=5)
    async def program(_: Any) -> None:
        await slow()

    started = trio.current_time()
    with pytest.raises(NodeTimeoutError, match="'program'"):
        await program.ainvoke(0)
    assert ended == [started + 5]


async def test_a_timeout_counts_for_tasks_that_nobody_awaits_too(autojump_clock: Any) -> None:
    ended: list[float] = []

    @task
    async def slow() -> None:
        try:
            await trio.sleep(100)
        finally:
            ended.append(trio.current_time())

    @entrypoint(timeout=5)
    async def program(_: Any) -> None:
        slow()

    started = trio.current_time()
    with pytest.raises(NodeTimeoutError, match="'program'"):
        await program.ainvoke(0)
    assert ended == [started + 5]


async def test_a_running_task_has_no_result_to_be_asked_for_on_the_loop() -> None:
    @entrypoint()
    async def program(number: int) -> Any:
        future = double(number)
        with pytest.raises(RuntimeError, match=r"'double' is at work.* await it"):
            future.result()
        await future
        return future.result(), future.done()

    assert await program.ainvoke(2) == (4, True)


async def test_a_task_is_for_programs_that_run() -> None:
    with pytest.raises(RuntimeError, match="'double' was called outside a node"):
        double(1)


async def test_a_thread_that_was_left_behind_can_call_no_tasks(autojump_clock: Any) -> None:
    left, refused = threading.Event(), threading.Event()
    texts: list[str] = []

    @entrypoint(timeout=1)
    def program(_: Any) -> None:
        left.wait()
        try:
            double(1)
        except RuntimeError as error:
            texts.append(str(error))
        finally:
            refused.set()

    with pytest.raises(NodeTimeoutError):
        await program.ainvoke(0)
    left.set()
    with trio.fail_after(float("inf")):
        await trio.to_thread.run_sync(refused.wait)
    assert texts == ["A call of 'double' in node 'program' came after its time"]


async def test_asyncio_in_a_task_gets_an_error_that_says_so() -> None:
    @task
    async def sleeps() -> None:
        import asyncio

        await asyncio.sleep(1)

    @entrypoint()
    async def program(_: Any) -> None:
        await sleeps()

    with pytest.raises(AsyncioNodeError, match="'sleeps'"):
        await program.ainvoke(0)


async def first(given: Any) -> Any:
    yield given


def plain(given: Any) -> Any:
    yield given


@pytest.mark.parametrize("decorated", [entrypoint(), task])
@pytest.mark.parametrize("function", [first, plain])
def test_generators_are_refused(decorated: Any, function: Any) -> None:
    with pytest.raises(NotImplementedError, match=f"'{function.__name__}' is a generator"):
        decorated(function)


def no_input() -> None: ...
def too_much(given: Any, more: Any) -> None: ...


@pytest.mark.parametrize(
    ("decorate", "error", "text"),
    [
        (lambda: entrypoint()(no_input), ValueError, "'no_input' needs a parameter"),
        (lambda: entrypoint()(too_much), TypeError, "'too_much' asks for 'more'"),
        (lambda: entrypoint()(5), TypeError, "must be a function; got 5"),  # type: ignore[arg-type]
        (lambda: task(5), TypeError, "must be a function; got 5"),  # type: ignore[call-overload]
        (lambda: task(name="a:b")(no_input), ValueError, "Task name 'a:b' may not contain ':'"),
        (lambda: entrypoint(name="a|b")(plain), ValueError, "Entrypoint name 'a|b' may not"),
        (lambda: entrypoint(timeout=0), ValueError, "must be more than 0"),
        (lambda: task(timeout=-1), ValueError, "must be more than 0"),
    ],
)
def test_what_can_be_neither_is_refused(decorate: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        decorate()


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
        work.troubles = [OSError("net")] * 2

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
    work.troubles = [OSError("net"), OSError("net")]

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


# What is given.


async def test_programs_and_tasks_are_given_what_they_ask_for(thread: Any) -> None:
    @task
    def stored(key: str, config: RunnableConfig, *, kept: BaseStore, previous: Any) -> Any:
        assert kept is get_store()
        return [key, config["configurable"]["thread_id"], previous]

    @entrypoint(checkpointer=InMemorySaver(), store=InMemoryStore(), context_schema=dict)
    async def program(
        key: str, writer: StreamWriter, *, runtime: Runtime[Mapping[str, str]], previous: Any
    ) -> Any:
        writer(runtime.context["who"])
        return await stored(key)

    async with program.astream(
        "a", thread, context={"who": "ada"}, stream_mode=["custom", "values"]
    ) as chunks:
        assert [chunk async for chunk in chunks] == [
            ("custom", "ada"),
            ("values", ["a", "1", None]),
        ]
    again = await program.ainvoke("b", thread, context={"who": "ada"})
    assert again == ["b", "1", ["a", "1", None]]


async def test_what_a_call_gives_itself_is_not_replaced() -> None:
    @task
    async def configured(config: Any, store: Any = None) -> Any:
        return [config, store]

    @entrypoint()
    async def program(_: Any) -> Any:
        return await configured("mine", store="mine too")

    assert await program.ainvoke(0) == ["mine", "mine too"]


async def test_previous_is_what_the_last_finished_run_returned(thread: Any) -> None:
    @entrypoint(checkpointer=InMemorySaver())
    async def program(given: str, *, previous: Any = None) -> Any:
        if given == "ask":
            interrupt("?")
        if given == "fail":
            previous.append("spoilt")
            raise KeyError
        return [given, *(previous or [])]

    assert await program.ainvoke("a", thread) == ["a"]
    await program.ainvoke("ask", thread)
    with pytest.raises(KeyError):
        await program.ainvoke("fail", thread)
    assert await program.ainvoke("b", thread) == ["b", "a"]
    assert await program.ainvoke("c", {"configurable": {"thread_id": "2"}}) == ["c"]


async def test_final_saves_something_else_than_it_returns(thread: Any) -> None:
    @entrypoint(checkpointer=InMemorySaver())
    async def program(number: int, *, previous: Any) -> entrypoint.final[Any, int]:
        return entrypoint.final(value=previous, save=2 * number)

    assert [await program.ainvoke(number, thread) for number in (3, 1, 0)] == [None, 6, 2]
    assert (await program.aget_state(thread)).values == 2


# Looking at it.


async def test_an_update_of_the_state_is_what_the_program_might_have_returned(thread: Any) -> None:
    @entrypoint(checkpointer=InMemorySaver())
    async def program(given: str, *, previous: Any) -> Any:
        return [given, previous]

    await program.ainvoke("a", thread)
    await program.aupdate_state(thread, "edited")
    assert (await program.aget_state(thread)).values == "edited"
    assert await program.ainvoke("b", thread) == ["b", "edited"]


async def test_the_history_of_a_thread(thread: Any) -> None:
    @entrypoint(checkpointer=InMemorySaver())
    async def program(given: str) -> str:
        await double(1)
        return given.upper()

    await program.ainvoke("a", thread)
    await program.ainvoke("b", thread)
    history = [state async for state in program.aget_state_history(thread)]
    assert [(s.values, s.next, s.metadata["source"], s.metadata["step"]) for s in history] == [
        ("B", (), "loop", 2),
        ("A", ("program",), "input", 1),
        ("A", (), "loop", 0),
        (None, ("program",), "input", -1),
    ]
    assert await program.ainvoke(None, history[3].config) == "A"


async def test_a_program_stops_at_a_breakpoint(thread: Any) -> None:
    @entrypoint(checkpointer=InMemorySaver())
    async def program(given: str) -> str:
        return given.upper()

    assert await program.ainvoke("a", thread, interrupt_before=["program"]) is None
    assert (await program.aget_state(thread)).next == ("program",)
    assert await program.ainvoke(None, thread) == "A"


class Order(TypedDict):
    amount: int


def test_schemas_and_drawing_follow_the_annotations() -> None:
    @entrypoint()
    def program(order: Order) -> entrypoint.final[list[str], int]:
        return entrypoint.final(value=[], save=0)

    @entrypoint()
    def unknown(given, previous=None):  # type: ignore[no-untyped-def]
        return given

    given = program.get_input_jsonschema()
    assert (given["title"], given["required"]) == ("Order", ["amount"])
    assert program.get_output_jsonschema() == {"type": "array", "items": {"type": "string"}}
    assert unknown.get_input_jsonschema() == {}
    assert [(e.source, e.target) for e in program.get_graph().edges] == [
        ("__start__", "program"),
        ("program", "__end__"),
    ]


async def test_an_input_that_was_only_taken_in_is_what_the_next_run_gets(thread: Any) -> None:
    saver = InMemorySaver()

    @entrypoint(checkpointer=saver)
    async def program(given: str) -> str:
        return given.upper()

    await program.take_in(Job(input="a", log=saver.log("1")))
    assert (await program.aget_state(thread)).next == ("program",)
    assert await program.ainvoke(None, thread) == "A"


# A graph whose state is one value.


async def test_a_graph_whose_state_is_one_value(thread: Any) -> None:
    async def measure(items: list[Any]) -> list[Any]:
        items.append("spoilt")
        return [len(items)]

    async def leave(items: list[Any]) -> Any:
        return [Command(goto="__end__"), Command(update=[items[-1]])]

    builder = StateGraph(Annotated[list[Any], operator.add])
    builder.add_node("measure", measure).add_node("leave", leave)
    builder.add_edge(START, "measure").add_edge("measure", "leave")
    graph = builder.compile(checkpointer=InMemorySaver())
    assert await graph.ainvoke(["a"], thread) == ["a", 2, 2]
    assert await stream(graph, ["b"], thread, mode="updates") == [{"measure": [5]}, {"leave": [5]}]
    assert (await graph.aget_state(thread)).values == ["a", 2, 2, "b", 5, 5]
    await graph.aupdate_state(thread, ["edit"], as_node="leave")
    assert (await graph.aget_state(thread)).values[-1] == "edit"
    outer = StateGraph(Annotated[list[Any], operator.add]).add_node("inner", builder.compile())
    assert await outer.add_edge(START, "inner").compile().ainvoke([1]) == [1, 1, 2, 2]
    assert graph.get_input_jsonschema() == {"type": "array"}
    saver = graph.checkpointer
    assert saver is not None
    await graph.take_in(Job(input=["taken"], log=saver.log("taken")))
    taken = {"configurable": {"thread_id": "taken"}}
    assert await graph.ainvoke(None, taken) == ["taken", 2, 2]
    new = {"configurable": {"thread_id": "new"}}
    assert await graph.ainvoke(Command(update=["a"]), new) == ["a", 2, 2]


async def test_the_state_of_a_graph_of_one_value_shows_what_tasks_have_come_to(thread: Any) -> None:
    async def gives(items: list[Any]) -> list[Any]:
        return ["given"]

    async def asks(items: list[Any]) -> list[Any]:
        return [interrupt("?")]

    builder = StateGraph(Annotated[list[Any], operator.add])
    builder.add_node("gives", gives).add_node("asks", asks)
    builder.add_edge(START, "gives").add_edge(START, "asks")
    graph = builder.compile(checkpointer=InMemorySaver())
    assert [q.value for q in (await graph.ainvoke([1], thread))["__interrupt__"]] == ["?"]
    tasks = (await graph.aget_state(thread)).tasks
    assert {shown.name: shown.result for shown in tasks} == {"gives": ["given"], "asks": None}
    done = await graph.ainvoke(Command(resume="!"), thread)
    assert sorted(map(str, done)) == ["!", "1", "given"]


@pytest.mark.parametrize("state", [int, list, "text", Annotated])
def test_other_states_without_keys_are_refused(state: Any) -> None:
    with pytest.raises(TypeError, match="Annotated"):
        StateGraph(state)
