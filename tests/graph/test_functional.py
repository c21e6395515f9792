"""Entrypoints and tasks: programs in place of graphs."""

from __future__ import annotations

import threading
from typing import Any

import attrs
import pytest
import trio

from greenroom.graph import (
    START,
    AsyncioNodeError,
    Command,
    EmptyInputError,
    InMemorySaver,
    NodeTimeoutError,
    StateGraph,
    entrypoint,
    interrupt,
    task,
)

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
    assert shown.error == "KeyError('lost')"


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
