"""What entrypoints are given, what their threads show, and states of one value."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

import pytest

from greenroom.graph import (
    START,
    BaseStore,
    Command,
    InMemorySaver,
    InMemoryStore,
    RunnableConfig,
    Runtime,
    StateGraph,
    StreamWriter,
    entrypoint,
    get_store,
    interrupt,
    task,
)
from greenroom.graph.job import Job


@task
async def double(number: int) -> int:
    return number * 2


async def stream(graph: Any, given: Any, config: Any = None, *, mode: Any) -> list[Any]:
    async with graph.astream(given, config, stream_mode=mode) as chunks:
        return [chunk async for chunk in chunks]


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


async def test_an_update_before_the_first_run_is_what_that_finds_as_previous(thread: Any) -> None:
    @entrypoint(checkpointer=InMemorySaver())
    async def program(given: str, *, previous: Any) -> Any:
        return [given, previous]

    await program.aupdate_state(thread, "edited")
    state = await program.aget_state(thread)
    assert (state.values, state.next) == ("edited", ())
    assert await program.ainvoke("a", thread) == ["a", "edited"]


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
    assert graph.get_input_jsonschema() == {"type": "array", "items": {}}
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
