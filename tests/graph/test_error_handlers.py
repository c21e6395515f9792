"""Error handlers that ask, are stopped or fail: their node has failed for good and stays that."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import attrs
import pytest
import trio
import trio.testing

from greenroom.graph import (
    START,
    Command,
    InMemorySaver,
    InvalidAnswerError,
    NodeError,
    NodeTimeoutError,
    StateGraph,
    interrupt,
    step,
)
from greenroom.graph.failure import TaskError
from greenroom.storage import MemoryStorage, StorageSaver, StorageSession


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]


class NoStock(LookupError):
    def __init__(self, item: str, *, left: int) -> None:
        super().__init__(f"{left} of {item} left")
        self.left = left


class Node:
    """A node that fails; remembers how often it ran."""

    def __init__(self) -> None:
        self.ran = 0

    async def __call__(self, state: Any) -> Any:
        self.ran += 1
        raise NoStock("tea", left=self.ran)


@pytest.fixture
def node() -> Node:
    return Node()


def graph_of(node: Any, handler: Any, **options: Any) -> Any:
    builder = StateGraph(State).add_node("buy", node, error_handler=handler)
    return builder.add_edge(START, "buy").compile(**{"checkpointer": InMemorySaver(), **options})


def said(error: BaseException) -> tuple[str, str, str]:
    return type(error).__name__, str(error), repr(error)


def asked(result: Any) -> list[Any]:
    return [question.value for question in result["__interrupt__"]]


# Handlers that ask.


@pytest.mark.parametrize("plain", [False, True])
async def test_a_handler_goes_on_with_its_answers_and_the_same_error(
    thread: Any, node: Node, plain: bool
) -> None:
    seen: list[Any] = []

    def handle_in_thread(state: State, error: NodeError) -> Any:
        seen.append((error.node, *said(error.error), isinstance(error.error, LookupError)))
        return {"log": [interrupt("what then?"), interrupt("how much?")]}

    async def handle(state: State, error: NodeError) -> Any:
        return handle_in_thread(state, error)

    graph = graph_of(node, handle_in_thread if plain else handle)
    assert asked(await graph.ainvoke({"log": ["in"]}, thread)) == ["what then?"]
    assert asked(await graph.ainvoke(Command(resume="coffee"), thread)) == ["how much?"]
    done = await graph.ainvoke(Command(resume=2), thread)
    assert done["log"] == ["in", "coffee", 2]
    assert node.ran == 1
    text = "1 of tea left"
    assert seen == [("buy", "NoStock", text, f"NoStock({text!r})", True)] * 3


async def test_the_state_shows_the_error_with_the_question_about_it(
    thread: Any, node: Node
) -> None:
    async def handle(state: State) -> Any:
        return {"log": [interrupt("what then?")]}

    graph = graph_of(node, handle)
    (question,) = (await graph.ainvoke({}, thread))["__interrupt__"]
    for _ in range(2):
        state = await graph.aget_state(thread)
        (shown,) = state.tasks
        assert (state.next, shown.interrupts) == (("buy",), (question,))
        assert shown.error == "NoStock('1 of tea left')"
        await graph.ainvoke(Command(resume={"0" * 32: "to nobody"}), thread)
    await graph.ainvoke(Command(resume="tea"), thread)
    assert (await graph.aget_state(thread)).tasks == ()


async def test_what_the_node_was_answered_is_not_for_its_handler(thread: Any) -> None:
    ran: list[str] = []

    async def node(state: State) -> Any:
        ran.append("node")
        if len(ran) == 1:
            interrupt("sure?")
        raise ConnectionError("before it could ask")

    async def handle(state: State) -> Any:
        return {"log": [interrupt("what then?")]}

    graph = graph_of(node, handle)
    await graph.ainvoke({}, thread)
    assert asked(await graph.ainvoke(Command(resume="yes"), thread)) == ["what then?"]
    assert (await graph.ainvoke(Command(resume="tea"), thread))["log"] == ["tea"]
    assert ran == ["node", "node"]


async def test_in_a_graph_that_keeps_nothing_the_handler_asks_its_own(thread: Any) -> None:
    async def node(state: State) -> Any:
        raise ConnectionError(interrupt("sure?"))

    async def handle(state: State) -> Any:
        return {"log": [interrupt("what then?")]}

    inner = graph_of(node, handle, checkpointer=False)
    builder = StateGraph(State).add_node("inner", inner).add_edge(START, "inner")
    graph = builder.compile(InMemorySaver())
    (first,) = (await graph.ainvoke({}, thread))["__interrupt__"]
    (second,) = (await graph.ainvoke(Command(resume="yes"), thread))["__interrupt__"]
    assert (first.value, second.value) == ("sure?", "what then?")
    assert first.id != second.id


async def test_an_answer_that_does_not_fit_leaves_the_handler_s_question(
    thread: Any, node: Node
) -> None:
    async def handle(state: State, error: NodeError) -> Any:
        return {"log": [str(error.error), interrupt("how much?", response_schema=int)]}

    graph = graph_of(node, handle)
    (question,) = (await graph.ainvoke({}, thread))["__interrupt__"]
    with pytest.raises(InvalidAnswerError):
        await graph.ainvoke(Command(resume="much"), thread)
    assert (await graph.aget_state(thread)).interrupts == (question,)
    done = await graph.ainvoke(Command(resume=2), thread)
    assert done["log"] == ["1 of tea left", 2]
    assert node.ran == 1


async def test_a_handler_asks_on_while_the_state_is_edited(thread: Any, node: Node) -> None:
    async def handle(state: State, error: NodeError) -> Any:
        return {"log": [str(error.error), interrupt("what then?")]}

    graph = graph_of(node, handle)
    await graph.ainvoke({"log": ["in"]}, thread)
    done = await graph.ainvoke(Command(resume="coffee", update={"log": ["edited"]}), thread)
    assert done["log"] == ["in", "edited", "1 of tea left", "coffee"]
    assert node.ran == 1


async def test_a_branch_tries_the_node_anew(thread: Any, node: Node) -> None:
    async def handle(state: State, error: NodeError) -> Any:
        return {"log": [str(error.error), interrupt("what then?")]}

    graph = graph_of(node, handle)
    await graph.ainvoke({}, thread)
    await graph.ainvoke(Command(resume="coffee"), thread)
    history = [state async for state in graph.aget_state_history(thread)]
    (before,) = [state.config for state in history if state.next == ("buy",)]
    assert asked(await graph.ainvoke(None, before)) == ["what then?"]
    assert (await graph.ainvoke(Command(resume="water"), thread))["log"] == [
        "2 of tea left",
        "water",
    ]


async def test_a_step_of_a_handler_is_made_once(thread: Any, node: Node) -> None:
    paid: list[int] = []

    async def handle(state: State) -> Any:
        await step("pay back", paid.append, 5)
        return {"log": [interrupt("what then?")]}

    graph = graph_of(node, handle)
    assert asked(await graph.ainvoke({}, thread)) == ["what then?"]
    done = await graph.ainvoke(Command(resume="tea"), thread)
    assert done["log"] == ["tea"]
    assert paid == [5]


# Handlers that were cut short.


@pytest.mark.parametrize("given", [None, Command(resume="of nothing")])
async def test_a_handler_that_was_stopped_starts_again_and_its_node_does_not(
    thread: Any, node: Node, given: Any
) -> None:
    seen: list[str] = []

    async def handle(state: State, error: NodeError) -> Any:
        seen.append(str(error.error))
        if len(seen) == 1:
            await trio.sleep_forever()
        return {"log": ["handled"]}

    graph = graph_of(node, handle)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(graph.ainvoke, {}, thread)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert (await graph.ainvoke(given, thread))["log"] == ["handled"]
    assert (node.ran, seen) == (1, ["1 of tea left"] * 2)


async def test_a_handler_that_failed_is_tried_again_with_the_error_of_its_node(
    thread: Any, node: Node
) -> None:
    async def handle(state: State, error: NodeError) -> Any:
        if is_down:
            raise OSError("down")
        return {"log": [str(error.error)]}

    graph, is_down = graph_of(node, handle), True
    for run in ({}, None):
        with pytest.raises(OSError, match="down"):
            await graph.ainvoke(run, thread)
        (shown,) = (await graph.aget_state(thread)).tasks
        assert shown.error == "OSError('down')"
    is_down = False
    assert (await graph.ainvoke(None, thread))["log"] == ["1 of tea left"]
    assert node.ran == 1


async def test_a_node_whose_handler_is_gone_is_tried_again(thread: Any, node: Node) -> None:
    saver = InMemorySaver()

    async def handle(state: State) -> Any:
        interrupt("what then?")

    await graph_of(node, handle, checkpointer=saver).ainvoke({}, thread)

    async def mended(state: State) -> Any:
        return {"log": [interrupt("fine?")]}

    graph = graph_of(mended, None, checkpointer=saver)
    assert asked(await graph.ainvoke(Command(resume="tea"), thread)) == ["fine?"]
    assert (await graph.ainvoke(Command(resume="yes"), thread))["log"] == ["yes"]


# Graphs that handlers call.


async def ask(state: State) -> Any:
    return {"log": [interrupt(f"{(state['log'] or ['nothing'])[-1]}?")]}


def asking() -> Any:
    return StateGraph(State).add_node("ask", ask).add_edge(START, "ask").compile()


async def test_a_graph_that_a_handler_calls_is_another_than_its_node_s(thread: Any) -> None:
    inner = asking()

    async def node(state: State) -> Any:
        raise ValueError((await inner.ainvoke({"log": ["node"]}))["log"])

    async def handle(state: State, error: NodeError) -> Any:
        return {"log": [str(error.error), (await inner.ainvoke({"log": ["handler"]}))["log"]]}

    graph = graph_of(node, handle)
    assert asked(await graph.ainvoke({}, thread)) == ["node?"]
    paused = await graph.ainvoke(Command(resume="a"), thread)
    assert asked(paused) == ["handler?"]
    done = await graph.ainvoke(Command(resume="b"), thread)
    assert done["log"] == ["['node', 'a']", ["handler", "b"]]


async def test_graphs_that_a_handler_calls_side_by_side_find_their_own_runs() -> None:
    inner = asking()
    found: dict[str, Any] = {}

    async def fails(state: State) -> Any:
        raise ValueError("inside")

    async def call(word: str) -> None:
        found[word] = (await inner.ainvoke({"log": [word]}))["log"]

    async def handle(state: State) -> Any:
        async with trio.open_nursery() as nursery:  # which starts them in any order
            for word in "abcdef":
                nursery.start_soon(call, word)

    node = StateGraph(State).add_node("fails", fails).add_edge(START, "fails").compile()
    graph = graph_of(node, handle)
    for thread_id in range(10):
        thread: Any = {"configurable": {"thread_id": str(thread_id)}}
        found.clear()
        result = await graph.ainvoke({}, thread)
        assert asked(result)
        while questions := result.get("__interrupt__"):
            answers = {question.id: question.value.upper() for question in questions}
            result = await graph.ainvoke(Command(resume=answers), thread)
        assert found == {word: [word, f"{word.upper()}?"] for word in "abcdef"}


async def test_the_graph_of_a_handler_is_listed_and_its_state_can_be_read(
    thread: Any, node: Node
) -> None:
    inner = asking()

    async def handle(state: State) -> Any:
        return await inner.ainvoke({"log": ["handler"]})

    graph = graph_of(node, handle)
    assert dict(graph.get_subgraphs()) == {"__error_handler__buy": inner}
    (question,) = (await graph.ainvoke({}, thread))["__interrupt__"]
    (shown,) = (await graph.aget_state(thread, subgraphs=True)).tasks
    assert shown.state.values == {"log": ["handler"]}
    assert shown.state.interrupts == (question,)
    assert question.ns == (f"__error_handler__buy:{shown.id}", f"ask:{shown.state.tasks[0].id}")
    named = StateGraph(State).set_node_defaults(error_handler=handle)
    named = named.add_node("a", node).add_node("b", node).add_edge(START, "a")
    listed = [name for name, _ in named.compile().get_subgraphs()]
    assert listed == ["__error_handler__a", "__error_handler__b"]


@attrs.frozen
class Order:
    item: str


class Orders(TypedDict, total=False):
    made: Order


async def test_objects_of_a_graph_that_only_a_handler_calls_come_back_as_themselves(
    thread: Any, node: Node
) -> None:
    seen: list[Any] = []
    builder: Any = StateGraph(Orders).add_node("make", lambda state: {"made": Order("tea")})
    builder.add_node("ask", lambda state: seen.append(state["made"]) or interrupt("?"))
    inner = builder.add_edge(START, "make").add_edge("make", "ask").compile()

    async def handle(state: State) -> Any:
        await inner.ainvoke({})

    storage = MemoryStorage()
    for run in ({}, Command(resume={"made": None})):
        async with StorageSession(storage) as session:
            await graph_of(node, handle, checkpointer=StorageSaver(session)).ainvoke(run, thread)
    assert seen == [Order("tea")] * 2


# The error, as it is recorded.


def slow() -> NodeTimeoutError:
    return NodeTimeoutError("buy", 2.0, kind="run", run_timeout=1.0)


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (ValueError("x"), ValueError),
        (KeyError("x"), KeyError),
        (FileNotFoundError(2, "not there", "a.txt"), FileNotFoundError),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "why"), UnicodeDecodeError),
        (NoStock("tea", left=3), LookupError),
        (slow(), NodeTimeoutError),
        (ExceptionGroup("several", [ValueError("x")]), Exception),
        (type("ValueError", (Exception,), {})("not Python's own"), Exception),
        (type("Bare", (TimeoutError,), {})(), TimeoutError),
    ],
    ids=repr,
)
def test_a_recorded_error_says_the_same_again(error: Exception, base: type[Exception]) -> None:
    recorded = TaskError.of(error)
    again = recorded.exception()
    assert said(again) == said(error)
    assert isinstance(again, base)
    assert isinstance(again, ValueError) == (base in (ValueError, UnicodeDecodeError))
    assert TaskError.of(again) == recorded
    with pytest.raises(base):
        raise again


@pytest.mark.parametrize("base", ["NoStock", "GraphInterrupt", "ExceptionGroup", "os", "eval", ""])
def test_a_record_names_no_class_that_is_not_known(base: str) -> None:
    again = TaskError("NoStock", "text", "NoStock()", base).exception()
    assert type(again).__mro__[2:] == (Exception, BaseException, object)
