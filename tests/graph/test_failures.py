"""Nodes that fail, are tried again, or are cut short, and runs that do not end."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
import trio
import trio.testing

from greenroom.graph import (
    END,
    START,
    Command,
    GraphRecursionError,
    InMemorySaver,
    InvalidUpdateError,
    RetryPolicy,
    StateGraph,
)


class State(TypedDict):
    log: Annotated[list[str], operator.add]


class Flaky:
    """A node that fails a number of times before it works; remembers when it was tried."""

    def __init__(self, failures: int, error: Callable[[str], Exception] = ConnectionError) -> None:
        self.left = failures
        self.error = error
        self.tried: list[float] = []

    async def __call__(self, state: Any) -> Any:
        self.tried.append(trio.current_time())
        if self.left > 0:
            self.left -= 1
            raise self.error(f"{self.left} more")
        return {"log": ["worked"]}

    @property
    def waits(self) -> list[float]:
        pairs = zip(self.tried, self.tried[1:], strict=False)
        return [pytest.approx(b - a) for a, b in pairs]


class Custom(Exception):
    pass


@pytest.mark.parametrize("error", [ValueError("boom"), Custom("boom"), KeyError("boom")])
@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_a_failing_node_raises_its_own_exception(
    wire: Any, thread: Any, says: Any, error: Exception, kind: str
) -> None:
    def plain(state: Any) -> None:
        raise error

    async def on_loop(state: Any) -> None:
        raise error

    node = plain if kind == "plain" else on_loop
    graph = wire({"a": says("a"), "b": node}, (START, "a"), ("a", "b"))
    with pytest.raises(type(error)) as caught:
        await graph.ainvoke({}, thread)
    assert caught.value is error
    state = await graph.aget_state(thread)
    (task,) = state.tasks
    assert (state.values, state.next) == ({"log": ["a"]}, ("b",))
    assert task.error == repr(error)


async def test_a_failed_thread_goes_on_with_the_failed_node(wire: Any, thread: Any) -> None:
    flaky = Flaky(1)
    graph = wire({"a": flaky}, (START, "a"))
    with pytest.raises(ConnectionError):
        await graph.ainvoke({}, thread)
    assert await graph.ainvoke(None, thread) == {"log": ["worked"]}


async def test_a_failed_thread_takes_new_input(wire: Any, thread: Any) -> None:
    graph = wire({"a": Flaky(1)}, (START, "a"))
    with pytest.raises(ConnectionError):
        await graph.ainvoke({"log": ["one"]}, thread)
    assert await graph.ainvoke({"log": ["two"]}, thread) == {"log": ["one", "two", "worked"]}


async def test_a_failing_node_cancels_its_siblings(
    wire: Any, thread: Any, autojump_clock: Any
) -> None:
    ended = []

    async def slow(state: Any) -> None:
        try:
            await trio.sleep(60)
        except trio.Cancelled:
            ended.append(trio.current_time())
            raise

    async def fails(state: Any) -> None:
        await trio.sleep(1)
        raise ValueError("boom")

    started = trio.current_time()
    graph = wire({"slow": slow, "fails": fails}, (START, "slow"), (START, "fails"))
    with pytest.raises(ValueError, match=r"^boom$"):
        await graph.ainvoke({}, thread)
    assert ended == [pytest.approx(started + 1)]
    errors = {task.name: task.error for task in (await graph.aget_state(thread)).tasks}
    assert errors["slow"] is None
    assert errors["fails"] == "ValueError('boom')"


async def test_siblings_that_had_finished_are_not_run_again(
    wire: Any, thread: Any, autojump_clock: Any
) -> None:
    quick, flaky, after = Flaky(0), Flaky(1), Flaky(0)

    async def fails(state: Any) -> Any:
        await trio.sleep(1)
        return await flaky(state)

    graph = wire(
        {"quick": quick, "fails": fails, "after": after},
        (START, "quick"),
        (START, "fails"),
        (["quick", "fails"], "after"),
    )
    with pytest.raises(ConnectionError):
        await graph.ainvoke({}, thread)
    state = await graph.aget_state(thread)
    assert state.next == ("fails",)
    assert [(t.name, t.result) for t in state.tasks if t.result] == [("quick", {"log": ["worked"]})]
    assert (await graph.ainvoke(None, thread))["log"] == ["worked"] * 3
    assert [len(node.tried) for node in (quick, flaky, after)] == [1, 2, 1]


async def test_what_a_task_came_to_is_kept_while_its_siblings_are_still_at_work(
    wire: Any, thread: Any, says: Any, autojump_clock: Any
) -> None:
    async def slow(state: Any) -> None:
        await trio.sleep(60)

    graph = wire({"quick": says("quick"), "slow": slow}, (START, "quick"), (START, "slow"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(graph.ainvoke, {"log": []}, thread)
        await trio.sleep(1)
        tasks = {task.name: task.result for task in (await graph.aget_state(thread)).tasks}
        assert tasks == {"quick": {"log": ["quick"]}, "slow": None}


async def test_a_value_that_the_log_cannot_take_is_the_failure_of_its_node(
    wire: Any, thread: Any, says: Any, autojump_clock: Any
) -> None:
    class Choosy:
        """A log that takes no word `bad` in what tasks came to."""

        def __init__(self, log: Any) -> None:
            self.log = log

        def __getattr__(self, name: str) -> Any:
            return getattr(self.log, name)

        def append(self, record: Any) -> None:
            if ("log", ["bad"]) in (getattr(record, "writes", None) or ()):
                raise ValueError("log[0]: bad cannot be stored")
            self.log.append(record)

    class Saver(InMemorySaver):
        def log(self, thread_id: str, declared: Any = ()) -> Any:
            return Choosy(super().log(thread_id, declared))

    async def slow(state: Any) -> None:
        await trio.sleep(60)

    graph = wire(
        {"bad": says("bad"), "good": says("good"), "slow": slow},
        *((START, name) for name in ("bad", "good", "slow")),
        checkpointer=Saver(),
    )
    with pytest.raises(ValueError, match="bad cannot be stored"):
        await graph.ainvoke({"log": []}, thread)
    assert trio.current_time() < 1
    tasks = {task.name: task for task in (await graph.aget_state(thread)).tasks}
    assert "log[0]: bad cannot be stored" in tasks["bad"].error
    assert tasks["good"].result == {"log": ["good"]}


async def test_tasks_whose_writes_do_not_go_together_are_not_run_again(
    wire: Any, thread: Any
) -> None:
    ran = []

    def writes(word: str) -> Any:
        async def node(state: Any) -> Any:
            ran.append(word)
            return {"value": word}

        return node

    graph = wire({"a": writes("a"), "b": writes("b")}, (START, "a"), (START, "b"))
    for _ in range(2):
        with pytest.raises(InvalidUpdateError, match="'value' was written more than once"):
            await graph.ainvoke({"log": []} if not ran else None, thread)
    assert sorted(ran) == ["a", "b"]


async def test_of_several_failures_the_first_by_name_is_raised_with_notes_of_the_others(
    wire: Any, thread: Any
) -> None:
    both = trio.Event()

    def fails(name: str) -> Any:
        async def node(state: Any) -> None:
            await both.wait()
            raise ValueError(f"{name} failed")

        return node

    async def go(state: Any) -> None:
        await trio.testing.wait_all_tasks_blocked()
        both.set()

    nodes = {"y": fails("y"), "x": fails("x"), "go": go}
    graph = wire(nodes, *((START, name) for name in nodes))
    with pytest.raises(ValueError, match=r"^x failed\n") as caught:
        await graph.ainvoke({}, thread)
    notes = "\n".join(caught.value.__notes__)
    assert "'y'" in notes
    assert "y failed" in notes
    errors = [t.error for t in (await graph.aget_state(thread)).tasks if t.error]
    assert errors == ["ValueError('x failed')", "ValueError('y failed')"]


async def test_a_nodes_own_exception_group_stays_what_it_is(wire: Any) -> None:
    group = ExceptionGroup("mine", [ValueError("one"), KeyError("two")])

    async def node(state: Any) -> None:
        raise group

    with pytest.raises(ExceptionGroup, match="mine") as caught:
        await wire({"a": node}, (START, "a"), checkpointer=None).ainvoke({})
    assert caught.value is group


async def test_a_conditional_edge_that_fails_fails_its_node(says: Any, thread: Any) -> None:
    def route(state: Any) -> str:
        raise ValueError("which way?")

    builder = StateGraph(State).add_node("a", says("a")).add_edge(START, "a")
    graph = builder.add_conditional_edges("a", route).compile(checkpointer=InMemorySaver())
    with pytest.raises(ValueError, match="which way"):
        await graph.ainvoke({"log": ["in"]}, thread)
    state = await graph.aget_state(thread)
    assert (state.values, state.next) == ({"log": ["in"]}, ("a",))


async def test_a_run_cancelled_from_outside_leaves_no_task_and_no_half_step(
    wire: Any, thread: Any, autojump_clock: Any
) -> None:
    quick, slow = Flaky(0), Flaky(0)

    async def waits(state: Any) -> Any:
        await trio.sleep(2)
        return await slow(state)

    graph = wire({"quick": quick, "slow": waits}, (START, "quick"), (START, "slow"))
    living = trio.lowlevel.current_statistics().tasks_living
    with trio.move_on_after(1) as scope:
        await graph.ainvoke({"log": ["in"]}, thread)
    assert scope.cancelled_caught
    assert trio.lowlevel.current_statistics().tasks_living == living
    state = await graph.aget_state(thread)
    assert (state.next, [task.error for task in state.tasks]) == (("slow",), [None, None])
    assert state.metadata["step"] == 0

    assert await graph.ainvoke(None, thread) == {"log": ["in", "worked", "worked"]}
    assert (len(quick.tried), len(slow.tried)) == (1, 1)


async def test_a_plain_node_does_not_hold_up_a_cancelled_run(wire: Any, thread: Any) -> None:
    entered, release = trio.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()

    def stuck(state: Any) -> Any:
        token.run_sync_soon(entered.set)
        release.wait(30)
        return {"log": ["too late"]}

    graph = wire({"stuck": stuck}, (START, "stuck"))
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(graph.ainvoke, {"log": ["in"]}, thread)
            await entered.wait()
            nursery.cancel_scope.cancel()
    finally:
        release.set()
    state = await graph.aget_state(thread)
    assert (state.values, state.next) == ({"log": ["in"]}, ("stuck",))


def retrying(node: Any, *policies: RetryPolicy) -> Any:
    builder = StateGraph(State)
    builder.add_node("a", node, retry_policy=policies if len(policies) > 1 else policies[0])
    return builder.add_edge(START, "a").compile()


@pytest.mark.parametrize("kind", ["async", "plain"])
async def test_a_node_is_tried_again_as_its_policy_says(kind: str, autojump_clock: Any) -> None:
    flaky = Flaky(2)

    async def on_loop(state: Any) -> Any:
        return await flaky(state)

    def plain(state: Any) -> Any:
        return trio.from_thread.run(flaky, state)

    policy = RetryPolicy(max_attempts=3, initial_interval=1, backoff_factor=3, jitter=False)
    graph = retrying(on_loop if kind == "async" else plain, policy)
    assert await graph.ainvoke({}) == {"log": ["worked"]}
    assert flaky.waits == [1, 3]


async def test_the_wait_grows_up_to_a_limit(autojump_clock: Any) -> None:
    flaky = Flaky(4)
    policy = RetryPolicy(max_attempts=5, initial_interval=1, max_interval=3, jitter=False)
    await retrying(flaky, policy).ainvoke({})
    assert flaky.waits == [1, 2, 3, 3]


async def test_the_last_failure_is_raised(autojump_clock: Any) -> None:
    flaky = Flaky(9)
    with pytest.raises(ConnectionError, match=r"^6 more$"):
        await retrying(flaky, RetryPolicy(max_attempts=3)).ainvoke({})
    assert len(flaky.tried) == 3


@pytest.mark.parametrize(
    ("retry_on", "error", "tried"),
    [
        (None, ConnectionError, 2), (None, OSError, 1), (None, Custom, 2),
        (None, ValueError, 1), (None, KeyError, 1), (None, TypeError, 1),
        (ValueError, ValueError, 2), (ValueError, ConnectionError, 1),
        ((KeyError, ValueError), ValueError, 2), ([KeyError], ValueError, 1),
        (lambda error: "more" in str(error), ValueError, 2),
        (lambda error: False, ConnectionError, 1),
    ],
)  # fmt: skip
async def test_a_policy_tries_again_after_what_it_names(
    retry_on: Any, error: type[Exception], tried: int, autojump_clock: Any
) -> None:
    flaky = Flaky(9, error)
    options = {} if retry_on is None else {"retry_on": retry_on}
    with pytest.raises(error):
        await retrying(flaky, RetryPolicy(max_attempts=2, **options)).ainvoke({})
    assert len(flaky.tried) == tried


@pytest.mark.parametrize("library", ["httpx", "requests"])
@pytest.mark.parametrize(("status", "tried"), [(404, 1), (503, 2), (None, 2)])
async def test_answers_that_blame_the_server_are_asked_for_again(
    library: str, status: int | None, tried: int, autojump_clock: Any
) -> None:
    module: Any = pytest.importorskip(library)
    kind = module.HTTPStatusError if library == "httpx" else module.HTTPError

    def refused(text: str) -> Exception:
        if library == "httpx":
            return kind(text, request=None, response=module.Response(status or 500))
        response = module.Response()
        response.status_code = status
        return kind(text, response=None if status is None else response)

    flaky = Flaky(9, refused)
    with pytest.raises(kind):
        await retrying(flaky, RetryPolicy(max_attempts=2)).ainvoke({})
    assert len(flaky.tried) == tried


@pytest.mark.parametrize("given", ["ValueError", 3, int, [ValueError, "x"], ValueError("x")])
def test_what_no_failure_can_be_held_against_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match=r"retry_on must be .* got"):
        RetryPolicy(retry_on=given)


async def test_the_first_policy_that_fits_decides(autojump_clock: Any) -> None:
    flaky = Flaky(2, ValueError)
    graph = retrying(
        flaky,
        RetryPolicy(retry_on=KeyError, max_attempts=1),
        RetryPolicy(retry_on=ValueError, initial_interval=5, backoff_factor=1, jitter=False),
    )
    await graph.ainvoke({})
    assert flaky.waits == [5, 5]


async def test_a_run_that_does_not_end_is_given_up(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"), ("a", "a"))
    with pytest.raises(GraphRecursionError, match="3"):
        await graph.ainvoke({}, {**thread, "recursion_limit": 3})
    state = await graph.aget_state(thread)
    assert (state.values, state.next) == ({"log": ["a"] * 3}, ("a",))


async def test_the_limit_is_10007_steps_unless_said_otherwise() -> None:
    class Count(TypedDict):
        n: int

    async def count(state: Count) -> Count:
        return {"n": state["n"] + 1}

    builder = StateGraph(Count).add_node(count).add_edge(START, "count")
    builder.add_conditional_edges("count", lambda state: END if state["n"] == 10_007 else "count")
    graph = builder.compile()
    assert await graph.ainvoke({"n": 0}) == {"n": 10_007}
    with pytest.raises(GraphRecursionError, match="10007"):
        await graph.ainvoke({"n": -1})


async def test_the_limit_counts_anew_in_each_run(wire: Any, thread: Any) -> None:
    graph = wire("ab", (START, "a"), ("a", "b"))
    config = {**thread, "recursion_limit": 3}
    for _ in range(3):
        result = await graph.ainvoke({}, config)
    assert result == {"log": ["a", "b"] * 3}


async def test_a_run_that_was_given_up_goes_on_where_it_stopped(wire: Any, thread: Any) -> None:
    async def node(state: Any) -> Command:
        return Command(update={"log": ["a"]}, goto="a" if len(state["log"]) < 4 else END)

    graph = wire({"a": node}, (START, "a"))
    with pytest.raises(GraphRecursionError):
        await graph.ainvoke({}, {**thread, "recursion_limit": 3})
    assert await graph.ainvoke(None, thread) == {"log": ["a"] * 5}


@pytest.mark.parametrize("limit", [0, -1, "many"])
async def test_a_limit_that_is_no_positive_number_is_refused(
    wire: Any, thread: Any, limit: Any
) -> None:
    graph = wire("a", (START, "a"))
    with pytest.raises((ValueError, TypeError), match=rf"recursion_limit.*{limit!r}"):
        await graph.ainvoke({}, {**thread, "recursion_limit": limit})
    assert (await graph.aget_state(thread)).created_at is None


async def test_a_run_lets_other_tasks_have_their_turn(wire: Any) -> None:
    graph = wire("a", (START, "a"), ("a", "a"), checkpointer=None)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(graph.ainvoke, {}, {"recursion_limit": 1000})
            await trio.lowlevel.checkpoint()
            scope.cancel()
    assert scope.cancelled_caught
