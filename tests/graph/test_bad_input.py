"""Programs that are wrong: refused as early as can be, with an error that names what is wrong."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypedDict

import langgraph.channels
import langgraph.managed
import langgraph.types
import pydantic
import pytest

from greenroom.graph import (
    END,
    START,
    CachePolicy,
    Command,
    CompiledStateGraph,
    EmptyInputError,
    InMemorySaver,
    InMemoryStore,
    InvalidUpdateError,
    NodeNotFoundError,
    Overwrite,
    RetryPolicy,
    Send,
    StateGraph,
)


class State(TypedDict, total=False):
    value: Any
    log: Annotated[list[Any], operator.add]


class Subtracted(TypedDict):
    log: Annotated[list[Any], operator.sub]


def node(state: State) -> dict[str, Any]:
    return {"value": 1}


def route(state: State) -> str:
    return END


def leads_nowhere(state: State) -> Command[Literal["nowhere"]]:
    return Command()


def answers_nowhere(state: State) -> Literal["nowhere"]:
    return "nowhere"


def start() -> StateGraph:
    return StateGraph(State).add_node("a", node).add_node("b", node).add_edge(START, "a")


Build = Callable[[], Any]


class OneArgument(TypedDict):
    key: Annotated[list[Any], lambda one: one]


Reserved = TypedDict("Reserved", {"__interrupt__": int})
Root = TypedDict("Root", {"__root__": Annotated[list[Any], operator.add]})


class NotPorted(TypedDict):
    key: Annotated[list[Any], langgraph.channels.Topic(str)]


class HalfPorted(TypedDict):
    steps: langgraph.managed.RemainingSteps


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda: StateGraph(int), TypeError, "int"),
        (lambda: StateGraph(None), TypeError, "None"),  # type: ignore[arg-type]
        (lambda: StateGraph({"a": int}), TypeError, "TypedDict.*'a'"),  # type: ignore[arg-type]
        (lambda: StateGraph(OneArgument), ValueError, "'key' must take two arguments"),
        (lambda: StateGraph(Reserved), ValueError, "State key '__interrupt__' is reserved"),
        (lambda: StateGraph(Root), ValueError, r"'__root__' is reserved.*Annotated"),
        (lambda: StateGraph(NotPorted), TypeError, "'key' is annotated .* greenroom.graph"),
        (lambda: StateGraph(HalfPorted), TypeError, "'steps' is annotated .* greenroom.graph"),
        (lambda: StateGraph(State, input_schema=Subtracted), ValueError, "'log' of Subtracted"),
        (lambda: start().add_node("a", node), ValueError, "node 'a' already"),
        (lambda: start().add_node(START, node), ValueError, "'__start__' is reserved"),
        (lambda: start().add_node(END, node), ValueError, "'__end__' is reserved"),
        (lambda: start().add_node("__input__", node), ValueError, "'__input__' is reserved"),
        (lambda: start().add_node("__interrupt__", node), ValueError, "is reserved"),
        (lambda: start().add_node("__error_handler__a", node), ValueError, "is reserved"),
        (lambda: start().add_node("a:b", node), ValueError, "'a:b' may not contain ':'"),
        (lambda: start().add_node("a|b", node), ValueError, r"'a\|b' may not contain '\|'"),
        (lambda: start().add_node("c"), TypeError, "'c' needs an action"),
        (lambda: start().add_node("c", 5), TypeError, "'c' must be a function; got 5"),  # type: ignore[arg-type]
        (lambda: start().add_node("c", lambda: None), TypeError, "'c' must take the state"),
        (lambda: start().add_node("c", lambda state, x: None), TypeError, "'c' asks for 'x'"),
        (lambda: start().add_node("c", node, timeout=-1), ValueError, "run_timeout.*-1"),
        (lambda: start().add_node("c", node, timeout="1"), TypeError, "run_timeout.*'1'"),  # type: ignore[arg-type]
        (lambda: start().add_node("c", node, retry_policy=5), TypeError, "retry_policy.*5"),  # type: ignore[arg-type]
        (lambda: start().add_node("c", node, retry_policy=[None]), TypeError, "retry_policy"),  # type: ignore[list-item]
        (lambda: start().add_node("c", node, cache_policy=True), TypeError, "cache_policy.*True"),  # type: ignore[arg-type]
        (lambda: start().add_node("c", node, error_handler=5), TypeError, "error handler.*'c'"),  # type: ignore[arg-type]
        (lambda: start().set_node_defaults(retry_policy=5), TypeError, "retry_policy.*5"),  # type: ignore[arg-type]
        (lambda: start().set_node_defaults(cache_policy=5), TypeError, "cache_policy.*5"),  # type: ignore[arg-type]
        (lambda: start().add_sequence([]), ValueError, "at least one"),
        (lambda: start().add_sequence([node, node]), ValueError, "'node' already"),
        (lambda: start().add_edge(END, "a"), ValueError, "END"),
        (lambda: start().add_edge(["a", END], "b"), ValueError, "END"),
        (lambda: start().add_edge("a", START), ValueError, "START"),
        (lambda: start().add_edge([], "a"), ValueError, "at least one source"),
        (lambda: start().add_edge(5, "a"), TypeError, "got 5"),  # type: ignore[arg-type]
        (lambda: start().add_conditional_edges(END, route), ValueError, "END"),
        (lambda: start().add_conditional_edges("a", 5), TypeError, "'a' must be a function"),  # type: ignore[arg-type]
        (
            lambda: start().add_conditional_edges("a", route).add_conditional_edges("a", route),
            ValueError,
            "'a' has this conditional edge already.*route",
        ),
    ],
)
def test_a_wrong_part_is_refused_where_it_is_added(
    build: Build, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        build()


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: StateGraph(State), "no way in"),
        (lambda: StateGraph(State).add_node("a", node), "no way in"),
        (lambda: start().add_edge("nowhere", "a"), "'nowhere' -> 'a' starts at an unknown"),
        (lambda: start().add_edge("a", "nowhere"), "'a' -> 'nowhere' ends at an unknown"),
        (lambda: start().add_edge(["a", "nowhere"], "b"), "'nowhere' -> 'b' starts"),
        (lambda: start().add_edge(["a", "b"], "nowhere"), "'a' -> 'nowhere' ends"),
        (lambda: start().set_entry_point("nowhere"), "'__start__' -> 'nowhere' ends"),
        (lambda: start().set_finish_point("nowhere"), "'nowhere' -> '__end__' starts"),
        (lambda: start().add_conditional_edges("nowhere", route), "starts at .* 'nowhere'"),
        (lambda: start().add_conditional_edges("a", route, ["x"]), "from 'a' ends at .* 'x'"),
        (lambda: start().add_conditional_edges("a", answers_nowhere), "ends at .* 'nowhere'"),
        (lambda: start().add_node("c", node, destinations=["x"]), "'c' has an .* 'x'"),
        (lambda: start().add_node("c", leads_nowhere), "'c' has an unknown .* 'nowhere'"),
    ],
)
def test_edges_that_lead_nowhere_are_refused_when_the_graph_is_compiled(
    build: Callable[[], StateGraph], text: str
) -> None:
    builder = build()
    with pytest.raises(ValueError, match=text):
        builder.compile()
    with pytest.raises(ValueError, match=text):
        builder.validate()


def test_a_graph_that_is_in_order_is_valid() -> None:
    builder = start()
    assert builder.validate(["a", "b"]) is builder
    with pytest.raises(ValueError, match="interrupt names 'nowhere'"):
        builder.validate(["nowhere"])


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"interrupt_before": ["nowhere"]}, ValueError, "interrupt_before names 'nowhere'"),
        ({"interrupt_after": [START]}, ValueError, "interrupt_after names '__start__'"),
        ({"interrupt_after": "a"}, ValueError, "interrupt_after is a list .*'a'"),
        ({"checkpointer": 5}, TypeError, "checkpointer .*5"),
        ({"checkpointer": InMemorySaver}, TypeError, r"checkpointer .*InMemorySaver\(\)"),
        ({"store": 5}, TypeError, "store .*5"),
        ({"store": InMemoryStore}, TypeError, r"store .*InMemoryStore\(\)"),
        ({"cache": {}}, TypeError, r"cache .*\{\}"),
    ],
)
def test_wrong_options_are_refused_when_the_graph_is_compiled(
    options: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        start().compile(**options)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"interrupt_after": "a"}, ValueError, "interrupt_after is a list .*'a'"),
        ({"durability": "often"}, ValueError, "durability .*'often'"),
        ({"config": "thread"}, TypeError, "config .*'thread'"),
        ({"config": {"recursion_limit": 0}}, ValueError, "recursion_limit .* 0"),
        ({"config": {"recursion_limit": "5"}}, ValueError, "recursion_limit .* '5'"),
        ({"config": {"max_concurrency": 0}}, ValueError, "max_concurrency .* 0"),
        ({"unheard_of": 1}, TypeError, "unheard_of"),
    ],
)
async def test_wrong_options_of_a_run_are_refused(
    options: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        await start().compile().ainvoke({"value": 0}, **options)


class Context(pydantic.BaseModel):
    user: str


@pytest.mark.parametrize("context", [{}, {"user": 5}])
async def test_a_context_that_its_schema_does_not_take_is_refused(context: Any) -> None:
    graph = StateGraph(State, Context).add_node("a", node).add_edge(START, "a").compile()
    with pytest.raises(pydantic.ValidationError, match="user") as caught:
        await graph.ainvoke({}, context=context)
    assert caught.value.__notes__ == ["Raised when the context of the run was made into Context"]


@pytest.mark.parametrize("mode", ["everything", ["values", "everything"]])
def test_an_unknown_stream_mode_is_refused(mode: Any) -> None:
    with pytest.raises(ValueError, match="'everything'"):
        start().compile().astream({}, stream_mode=mode)


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (5, r"'a' returned 5 \(int\)"),
        ("text", r"'a' returned 'text' \(str\)"),
        ([], r"'a' returned \[\] \(list\)"),
        ([{"value": 1}], "'a' returned"),
        (False, "'a' returned False"),
        (Send("b", {}), "'a' returned Send"),
        (Command(update="text"), "'a' returned a Command whose update is 'text'"),
        (Command(update=["text"]), "'a' returned a Command whose update is"),
        (Command(goto=5), "'a' returned a Command with goto=5"),
        (Command(goto=["b", None]), r"'a' returned a Command with goto=\['b', None\]"),
        (Command(graph="other"), "'a' returned a Command with graph='other'"),
        (Command(graph=Command.PARENT), "'a' returned a Command for the graph around this one"),
        ([Command(), 5], "'a' returned 5"),
    ],
)
@pytest.mark.parametrize("blocking", [True, False])
async def test_what_is_no_update_fails_the_run(returned: Any, text: str, blocking: bool) -> None:
    async def on_trio(state: State) -> Any:
        return returned

    builder = StateGraph(State).add_edge(START, "a").add_node("b", node)
    graph = builder.add_node("a", (lambda state: returned) if blocking else on_trio).compile()
    with pytest.raises(InvalidUpdateError, match=text):
        await graph.ainvoke({"value": 0})


@pytest.mark.parametrize(
    ("answer", "path_map", "text"),
    [
        (None, None, "'answer' from node 'a' answered None"),
        ([None], None, "answered None"),
        (5, None, r"answered 5 \(int\)"),
        ({"b"}, None, r"answered {'b'}"),
        (["b", ["b"]], None, r"answered \['b'\]"),
        ("b", ["a"], r"answered 'b' .* its path map has \['a'\]"),
        ({}, ["a"], r"answered {} \(dict\), which is no target; its path map"),
        ("nowhere", None, "'a' leads to 'nowhere'"),
        (START, None, "'a' leads to '__start__'"),
        (Send("nowhere", {}), None, "'a' leads to 'nowhere'"),
        (Send(END, {}), None, "'a' leads to '__end__'"),
    ],
)
async def test_a_conditional_edge_that_leads_nowhere_fails_the_run(
    answer: Any, path_map: Any, text: str
) -> None:
    def to(state: State) -> Any:
        return answer

    to.__name__ = "answer"
    graph = start().add_conditional_edges("a", to, path_map).compile()
    with pytest.raises(InvalidUpdateError, match=text):
        await graph.ainvoke({"value": 0})


async def test_a_number_may_be_an_answer_where_a_path_map_has_it() -> None:
    graph = start().add_conditional_edges("a", lambda state: 5, {5: "b"}).compile()
    async with graph.astream({"value": 0}) as chunks:
        assert [list(chunk) async for chunk in chunks] == [["a"], ["b"]]


THREAD: Any = {"configurable": {"thread_id": "1"}}


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        (None, EmptyInputError, "no input"),
        ("text", InvalidUpdateError, "input of a graph .* got str"),
        ([("value", 1)], InvalidUpdateError, "input of a graph .* got list"),
        (Command(resume=1), EmptyInputError, "nothing on the thread"),
        (Command(goto="nowhere"), NodeNotFoundError, "given as input leads to 'nowhere'"),
        (Command(goto=5), InvalidUpdateError, "The input is a Command with goto=5"),
        (Command(update=5), InvalidUpdateError, "The input is a Command whose update is 5"),
        (Command(graph=Command.PARENT), InvalidUpdateError, "cannot address a parent"),
    ],
)
async def test_a_wrong_input_is_refused_and_leaves_nothing(
    given: Any, error: type[Exception], text: str
) -> None:
    graph = start().compile(checkpointer=InMemorySaver())
    with pytest.raises(error, match=text):
        await graph.ainvoke(given, THREAD)
    assert [state async for state in graph.aget_state_history(THREAD)] == []


async def test_an_answer_needs_a_graph_that_keeps_threads() -> None:
    with pytest.raises(RuntimeError, match="checkpointer"):
        await start().compile().ainvoke(Command(resume=1))


@pytest.mark.parametrize("config", [{}, {"configurable": {"thread_id": ""}}])
async def test_a_graph_that_keeps_threads_needs_to_know_which(config: Any) -> None:
    graph = start().compile(checkpointer=InMemorySaver())
    for ask in (graph.ainvoke({}, config), graph.aget_state(config)):
        with pytest.raises(ValueError, match=r"configurable\.thread_id"):
            await ask


async def test_a_graph_that_keeps_no_threads_has_no_state() -> None:
    graph = start().compile()
    for ask in (graph.aget_state(THREAD), graph.aupdate_state(THREAD, {})):
        with pytest.raises(ValueError, match="keeps no threads"):
            await ask


@pytest.mark.parametrize(
    ("values", "as_node", "text"),
    [
        ({"value": 1}, "nowhere", "'nowhere' is no node"),
        (5, None, "The update is 5"),
        (5, "a", "'a' returned 5"),
        (Command(graph=Command.PARENT), "a", "parent"),
    ],
)
async def test_a_wrong_update_of_the_state_is_refused(
    values: Any, as_node: str | None, text: str
) -> None:
    graph = start().compile(checkpointer=InMemorySaver())
    with pytest.raises(InvalidUpdateError, match=text):
        await graph.aupdate_state(THREAD, values, as_node)


def side_by_side(write: Any) -> CompiledStateGraph:
    builder = StateGraph(State).add_edge(START, "a").add_edge(START, "b")
    return builder.add_node("a", lambda s: write).add_node("b", lambda s: write).compile()


@pytest.mark.parametrize(
    ("write", "text"),
    [
        ({"value": 1}, "'value' .* by 'a', 'b'"),
        ({"log": Overwrite([])}, "'log' .* more than one Overwrite .* by 'a', 'b'"),
    ],
)
async def test_two_writers_where_there_is_room_for_one_are_named(write: Any, text: str) -> None:
    with pytest.raises(InvalidUpdateError, match=text):
        await side_by_side(write).ainvoke({})


def test_policies_that_are_some_are_taken() -> None:
    several = [RetryPolicy(), RetryPolicy(max_attempts=1)]
    start().add_node("c", node, retry_policy=several, cache_policy=CachePolicy())


async def test_what_a_half_ported_node_returns_is_named_with_where_it_is_from(wire: Any) -> None:
    def half_ported(state: State) -> Any:
        return langgraph.types.Command(goto=END)

    with pytest.raises(InvalidUpdateError, match=r"'a' returned .*\(langgraph\.types\.Command\)"):
        await wire({"a": half_ported}, (START, "a"), checkpointer=None).ainvoke({})
