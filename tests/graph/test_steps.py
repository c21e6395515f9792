"""Steps: calls that are made once for a task, however often the task starts again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from greenroom.graph import (
    START,
    Command,
    InMemorySaver,
    RetryPolicy,
    StateGraph,
    TimeoutPolicy,
    entrypoint,
    interrupt,
    step,
    task,
)

from .conftest import State

ENTER = ((START, "node"),)
QUICKLY = RetryPolicy(initial_interval=0, jitter=False, retry_on=OSError)


@attrs.define
class Till:
    """Something outside that counts what is done to it. `troubles`: raised by the next charges."""

    charged: list[Any] = attrs.field(factory=list)
    keys: list[str] = attrs.field(factory=list)
    troubles: list[Exception] = attrs.field(factory=list)

    def charge(self, amount: int, *, idempotency_key: str) -> dict[str, Any]:
        self.keys.append(idempotency_key)
        if self.troubles:
            raise self.troubles.pop(0)
        self.charged.append(amount)
        return {"charged": [amount]}

    async def acharge(self, amount: int, *, idempotency_key: str) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        return self.charge(amount, idempotency_key=idempotency_key)


@pytest.fixture
def till() -> Till:
    return Till()


def nodes(charge: Any, then: Callable[[], Any]) -> dict[str, Any]:
    """The same node twice: async and plain. It makes a step and goes on with `then`."""

    async def on_the_loop(state: State) -> Any:
        return {"log": [await step("charge", charge, 5), then()]}

    def in_a_thread(state: State) -> Any:
        return {"log": [step("charge", charge, 5), then()]}

    return {"async": on_the_loop, "plain": in_a_thread}


in_both_kinds_of_nodes = pytest.mark.parametrize("kind", ["async", "plain"])


@in_both_kinds_of_nodes
@pytest.mark.parametrize("function", ["charge", "acharge"])
async def test_a_step_before_an_interrupt_is_not_made_again_on_resume(
    wire: Any, thread: Any, till: Till, kind: str, function: str
) -> None:
    node = nodes(getattr(till, function), lambda: interrupt("sure?"))[kind]
    graph = wire({"node": node}, *ENTER)
    await graph.ainvoke({}, thread)
    assert till.charged == [5]
    done = await graph.ainvoke(Command(resume="yes"), thread)
    assert done["log"] == [{"charged": [5]}, "yes"]
    assert till.charged == [5]


@in_both_kinds_of_nodes
async def test_a_retry_finds_what_the_step_came_to(
    wire: Any, thread: Any, till: Till, kind: str
) -> None:
    troubles: list[Exception] = [OSError("net"), OSError("net")]

    def then() -> str:
        if troubles:
            raise troubles.pop()
        return "fine"

    builder = StateGraph(State).add_edge(START, "node")
    builder.add_node("node", nodes(till.charge, then)[kind], retry_policy=QUICKLY)
    done = await builder.compile().ainvoke({}, thread)
    assert done["log"] == [{"charged": [5]}, "fine"]
    assert till.charged == [5]


async def test_a_failed_run_that_goes_on_does_not_make_the_step_again(
    wire: Any, thread: Any, till: Till
) -> None:
    troubles = [KeyError("lost")]

    def then() -> str:
        if troubles:
            raise troubles.pop()
        return "fine"

    graph = wire({"node": nodes(till.acharge, then)["async"]}, *ENTER)
    with pytest.raises(KeyError, match="lost"):
        await graph.ainvoke({}, thread)
    assert (await graph.ainvoke(None, thread))["log"] == [{"charged": [5]}, "fine"]
    assert till.charged == [5]


async def test_a_cancelled_run_that_goes_on_does_not_make_the_step_again(
    wire: Any, thread: Any, till: Till
) -> None:
    charged, go_on = trio.Event(), trio.Event()

    async def node(state: State) -> Any:
        receipt = await step("charge", till.charge, 5)
        charged.set()
        await go_on.wait()
        return {"log": [receipt]}

    graph = wire({"node": node}, *ENTER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(graph.ainvoke, {}, thread)
        await charged.wait()
        nursery.cancel_scope.cancel()
    go_on.set()
    assert (await graph.ainvoke(None, thread))["log"] == [{"charged": [5]}]
    assert till.charged == [5]


async def test_steps_of_one_name_are_told_apart_by_their_order(wire: Any, thread: Any) -> None:
    made: list[int] = []

    def square(number: int) -> int:
        made.append(number)
        return number * number

    async def node(state: State) -> Any:
        squares = [await step("square", square, number) for number in (2, 3, 4)]
        return {"log": [*squares, interrupt("?"), await step("square", square, 5)]}

    graph = wire({"node": node}, *ENTER)
    await graph.ainvoke({}, thread)
    assert (await graph.ainvoke(Command(resume="!"), thread))["log"] == [4, 9, 16, "!", 25]
    assert made == [2, 3, 4, 5]


async def test_tasks_of_one_super_step_have_steps_of_their_own(
    wire: Any, thread: Any, till: Till
) -> None:
    a, b = (nodes(till.charge, then)["async"] for then in (lambda: "a", lambda: interrupt("?")))
    graph = wire({"a": a, "b": b}, (START, "a"), (START, "b"))
    await graph.ainvoke({}, thread)
    await graph.ainvoke(Command(resume="b"), thread)
    assert till.charged == [5, 5]
    assert len(set(till.keys)) == 2


async def test_the_next_turn_makes_its_steps_anew(wire: Any, thread: Any, till: Till) -> None:
    graph = wire({"node": nodes(till.charge, lambda: 0)["async"]}, *ENTER)
    for _ in range(2):
        await graph.ainvoke({}, thread)
    assert till.charged == [5, 5]
    assert len(set(till.keys)) == 2


async def test_a_step_that_failed_is_made_again_under_the_same_key(
    wire: Any, thread: Any, till: Till
) -> None:
    till.troubles = [ConnectionError("no answer")]
    graph = wire({"node": nodes(till.charge, lambda: "fine")["async"]}, *ENTER)
    with pytest.raises(ConnectionError):
        await graph.ainvoke({}, thread)
    await graph.ainvoke(None, thread)
    assert till.charged == [5]
    assert till.keys[0] == till.keys[1]


async def test_each_step_has_a_key_of_its_own_unless_the_caller_gives_one(
    wire: Any, thread: Any, till: Till
) -> None:
    async def node(state: State) -> None:
        await step("charge", till.charge, 1)
        await step("charge", till.charge, 2)
        await step("deposit", till.charge, 3)
        await step("mine", till.charge, 4, idempotency_key="order 66")

    await wire({"node": node}, *ENTER).ainvoke({}, thread)
    assert till.keys[3] == "order 66"
    assert len(set(till.keys)) == 4


async def test_what_a_node_does_to_a_result_is_not_recorded(
    wire: Any, thread: Any, till: Till
) -> None:
    async def node(state: State) -> Any:
        receipt = await step("charge", till.charge, 5)
        receipt["charged"].append("spoilt")
        interrupt("?")
        interrupt("?")
        return {"log": [receipt]}

    graph = wire({"node": node}, *ENTER)
    await graph.ainvoke({}, thread)
    await graph.ainvoke(Command(resume=1), thread)
    done = await graph.ainvoke(Command(resume=2), thread)
    assert done["log"] == [{"charged": [5, "spoilt"]}]


async def test_a_result_may_be_none(wire: Any, thread: Any) -> None:
    made: list[int] = []

    async def node(state: State) -> Any:
        nothing = await step("note", made.append, 1)
        return {"log": [nothing, interrupt("?")]}

    graph = wire({"node": node}, *ENTER)
    await graph.ainvoke({}, thread)
    assert (await graph.ainvoke(Command(resume=1), thread))["log"] == [None, 1]
    assert made == [1]


async def test_a_graph_that_keeps_no_threads_makes_its_steps(wire: Any, till: Till) -> None:
    graph = wire({"node": nodes(till.charge, lambda: 0)["plain"]}, *ENTER, checkpointer=None)
    assert (await graph.ainvoke({}))["log"] == [{"charged": [5]}, 0]


async def test_a_step_in_a_graph_called_as_a_node_is_not_made_again(
    wire: Any, thread: Any, till: Till
) -> None:
    inner = wire({"node": nodes(till.charge, lambda: interrupt("?"))["async"]}, *ENTER)
    graph = wire({"inner": inner}, (START, "inner"))
    await graph.ainvoke({}, thread)
    done = await graph.ainvoke(Command(resume="yes"), thread)
    assert done["log"] == [{"charged": [5]}, "yes"]
    assert till.charged == [5]


async def test_with_durability_exit_what_siblings_came_to_after_a_step_is_there_for_a_retry(
    wire: Any, thread: Any, till: Till
) -> None:
    charged = trio.Event()
    ran: list[str] = []

    async def pays(state: State) -> Any:
        receipt = await step("charge", till.charge, 5)
        charged.set()
        await trio.testing.wait_all_tasks_blocked()
        ran.append("pays")
        if ran.count("pays") == 1:
            raise OSError("net")
        return {"log": [receipt]}

    async def waits(state: State) -> Any:
        await charged.wait()
        ran.append("waits")
        return {"log": ["waited"]}

    inner = wire({"pays": pays, "waits": waits}, (START, "pays"), (START, "waits"))
    builder = StateGraph(State).add_edge(START, "inner")
    builder.add_node("inner", inner, retry_policy=QUICKLY)
    graph = builder.compile(checkpointer=InMemorySaver())
    done = await graph.ainvoke({}, thread, durability="exit")
    assert done["log"] == [{"charged": [5]}, "waited"]
    assert sorted(ran) == ["pays", "pays", "waits"]
    assert till.charged == [5]


async def test_an_answer_that_edits_the_state_too_leaves_the_step_made(
    wire: Any, thread: Any, till: Till
) -> None:
    graph = wire({"node": nodes(till.charge, lambda: interrupt("?"))["async"]}, *ENTER)
    await graph.ainvoke({}, thread)
    done = await graph.ainvoke(Command(resume="yes", update={"log": ["edit"]}), thread)
    assert done["log"] == ["edit", {"charged": [5]}, "yes"]
    assert till.charged == [5]


async def test_a_branch_from_before_the_step_makes_it_under_a_key_of_its_own(
    wire: Any, thread: Any, till: Till
) -> None:
    graph = wire({"node": nodes(till.charge, lambda: 0)["async"]}, *ENTER)
    await graph.ainvoke({}, thread)
    history = [state async for state in graph.aget_state_history(thread)]
    [before] = [state.config for state in history if state.next == ("node",)]
    await graph.ainvoke(None, before)
    assert till.charged == [5, 5]
    assert len(set(till.keys)) == 2


async def test_the_state_of_a_thread_shows_the_node_and_not_its_steps(
    wire: Any, thread: Any, till: Till
) -> None:
    graph = wire({"node": nodes(till.charge, lambda: interrupt("?"))["async"]}, *ENTER)
    await graph.ainvoke({}, thread)
    state = await graph.aget_state(thread)
    assert state.next == ("node",)
    [shown] = state.tasks
    assert (shown.name, len(shown.interrupts), shown.error) == ("node", 1, None)


async def test_an_error_handler_makes_steps_of_its_own(thread: Any, till: Till) -> None:
    async def node(state: State) -> Any:
        await step("charge", till.charge, 5)
        raise ValueError("too dear")

    async def pay_back(state: State) -> Any:
        return {"log": [await step("charge", till.charge, -5)]}

    builder = StateGraph(State).add_edge(START, "node")
    builder.add_node("node", node, error_handler=pay_back)
    graph = builder.compile(checkpointer=InMemorySaver())
    assert (await graph.ainvoke({}, thread))["log"] == [{"charged": [-5]}]
    assert till.charged == [5, -5]


async def test_entrypoints_and_tasks_make_steps(thread: Any, till: Till) -> None:
    @task
    async def pay(amount: int) -> Any:
        return [await step("charge", till.charge, amount), interrupt("sure?")]

    @entrypoint(checkpointer=InMemorySaver())
    def buy(amount: int) -> Any:
        return [step("charge", till.charge, 1), pay(amount).result()]

    await buy.ainvoke(5, thread)
    done = await buy.ainvoke(Command(resume="yes"), thread)
    assert done == [{"charged": [1]}, [{"charged": [5]}, "yes"]]
    assert till.charged == [1, 5]
    assert len(set(till.keys)) == 2


# What is refused.


async def failing_node(wire: Any, node: Any) -> str:
    with pytest.raises(RuntimeError) as caught:
        await wire({"node": node}, *ENTER, checkpointer=None).ainvoke({})
    return str(caught.value)


@in_both_kinds_of_nodes
@pytest.mark.parametrize(
    ("inside", "refused"),
    [
        (partial(interrupt, "?"), "interrupt() inside step 'charge'"),
        (partial(step, "deposit", print), "Inside step 'charge'"),
        (task(print, name="print"), "Inside step 'charge'"),
    ],
    ids=["interrupt", "step", "task"],
)
async def test_a_step_can_neither_ask_nor_make_calls(
    wire: Any, kind: str, inside: Any, refused: str
) -> None:
    assert refused in await failing_node(wire, nodes(lambda _: inside(), lambda: 0)[kind])


async def test_steps_of_one_name_side_by_side_are_refused(wire: Any) -> None:
    async def node(state: State) -> None:
        first = step("wait", trio.sleep_forever)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def one() -> None:
                    await first

                nursery.start_soon(one)
                await trio.testing.wait_all_tasks_blocked()
                try:
                    await step("wait", trio.sleep_forever)
                finally:
                    scope.cancel()

    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="'wait' is at work already")):
        await wire({"node": node}, *ENTER, checkpointer=None).ainvoke({})


async def test_a_name_is_free_again_after_its_step_has_failed(wire: Any, till: Till) -> None:
    async def node(state: State) -> Any:
        try:
            await step("charge", till.charge, 5)
        except ConnectionError:
            return {"log": [await step("charge", till.charge, 4)]}

    till.troubles = [ConnectionError()]
    graph = wire({"node": node}, *ENTER, checkpointer=None)
    assert (await graph.ainvoke({}))["log"] == [{"charged": [4]}]


@pytest.mark.parametrize("when", ["begin", "end"])
async def test_a_thread_that_was_left_behind_can_make_no_steps(
    wire: Any, thread: Any, autojump_clock: Any, when: str
) -> None:
    left, refused = threading.Event(), threading.Event()
    in_time = trio.Event()
    texts: list[str] = []

    def waits() -> str:
        if when == "end":
            trio.from_thread.run_sync(in_time.set)
            left.wait()
        return "done"

    def node(state: State) -> None:
        if when == "begin":
            trio.from_thread.run_sync(in_time.set)
            left.wait()
        try:
            step("late", waits)
        except RuntimeError as error:
            texts.append(str(error))
        finally:
            refused.set()

    graph = wire({"node": node}, *ENTER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(graph.ainvoke, {}, thread)
        await in_time.wait()
        nursery.cancel_scope.cancel()
    left.set()
    await trio.to_thread.run_sync(refused.wait)
    assert len(texts) == 1
    assert "'late' in node 'node' came after its time" in texts[0]


async def test_a_step_cut_short_by_a_timeout_is_made_again(
    wire: Any, thread: Any, autojump_clock: Any
) -> None:
    starts: list[float] = []

    async def slow() -> str:
        starts.append(trio.current_time())
        if len(starts) == 1:
            await trio.sleep_forever()
        return "done"

    async def node(state: State) -> Any:
        return {"log": [await step("slow", slow)]}

    builder = StateGraph(State).add_edge(START, "node")
    policy = RetryPolicy(retry_on=Exception)
    builder.add_node("node", node, timeout=TimeoutPolicy(run_timeout=5), retry_policy=policy)
    graph = builder.compile(checkpointer=InMemorySaver())
    assert (await graph.ainvoke({}, thread))["log"] == ["done"]
    assert len(starts) == 2


async def test_a_step_counts_as_progress(thread: Any, autojump_clock: Any) -> None:
    async def node(state: State) -> None:
        for _ in range(3):
            await step("wait", trio.sleep, 4)

    builder = StateGraph(State).add_edge(START, "node")
    builder.add_node("node", node, timeout=TimeoutPolicy(idle_timeout=5))
    await builder.compile().ainvoke({}, thread)


def test_a_step_is_for_nodes() -> None:
    with pytest.raises(RuntimeError, match=r"'charge'.* was called outside a node"):
        step("charge", print)


@pytest.mark.parametrize("name", ["", None, print])
def test_a_step_needs_a_name(name: Any) -> None:
    with pytest.raises(TypeError, match="needs a name"):
        step(name, print)


def test_a_step_needs_a_function(till: Till) -> None:
    with pytest.raises(TypeError, match="Step 'charge' needs a function; got 5"):
        step("charge", 5)  # type: ignore[arg-type]


@in_both_kinds_of_nodes
async def test_a_function_that_returns_a_coroutine_is_refused(
    wire: Any, thread: Any, till: Till, kind: str
) -> None:
    node = nodes(lambda amount: till.acharge(amount, idempotency_key=""), lambda: 0)[kind]
    with pytest.raises(TypeError, match="step 'charge' returned a coroutine"):
        await wire({"node": node}, *ENTER).ainvoke({}, thread)
