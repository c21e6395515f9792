"""Objects in the state of a graph outlive the process, wherever a checkpoint holds them."""

from __future__ import annotations

import enum
import operator
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

import attrs
import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from greenroom.graph import (
    START,
    Command,
    CompiledStateGraph,
    Overwrite,
    Send,
    StateGraph,
    interrupt,
    register_type,
)
from greenroom.storage import (
    SqliteStorage,
    Storage,
    StorageError,
    StorageSaver,
    StorageSession,
    Unstorable,
)

CONFIG: Any = {"configurable": {"thread_id": "t"}}

Opened = Callable[[StateGraph], AbstractAsyncContextManager[CompiledStateGraph]]


class Mood(enum.StrEnum):
    GOOD = "good"


@dataclass
class Item:
    name: str
    tags: list[str] = field(default_factory=list)


@attrs.frozen
class Order:
    items: tuple[Item, ...]
    mood: Mood = Mood.GOOD


@dataclass
class Undeclared:
    """That no schema names."""

    name: str


@register_type
@dataclass
class Question:
    text: str


class State(TypedDict, total=False):
    order: Order
    items: Annotated[list[Item], operator.add]
    messages: Annotated[list[AnyMessage], operator.add]
    anything: Any
    log: Annotated[list[Any], operator.add]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """A graph over the thread's file, each time as if in a process of its own."""

    @asynccontextmanager
    async def as_process(builder: StateGraph) -> AsyncIterator[CompiledStateGraph]:
        async with StorageSession(SqliteStorage(tmp_path / "graph.db")) as session:
            yield builder.compile(checkpointer=StorageSaver(session))

    return as_process


def graph_of(*nodes: Callable[..., Any]) -> StateGraph:
    """The nodes one after the other."""
    return StateGraph(State).add_sequence(nodes).add_edge(START, nodes[0].__name__)


ITEM = Item("tea", ["hot"])
ORDER = Order((ITEM,))


async def test_declared_objects_in_the_state_come_back_as_themselves(opened: Opened) -> None:
    def order(state: State) -> Any:
        return {
            "order": ORDER,
            "items": [ITEM],
            "messages": [HumanMessage("hi", id="1"), AIMessage("ho", id="2")],
        }

    builder = graph_of(order)
    async with opened(builder) as graph:
        made = await graph.ainvoke({"items": [Item("milk")]}, CONFIG)
    async with opened(builder) as graph:
        state = await graph.aget_state(CONFIG)
        history = [one.values async for one in graph.aget_state_history(CONFIG)]
    assert state.values == made == history[0]
    assert state.values["items"] == [Item("milk"), ITEM]
    assert type(state.values["order"].mood) is Mood
    assert state.values["messages"] == [HumanMessage("hi", id="1"), AIMessage("ho", id="2")]


async def test_objects_in_sends_questions_answers_and_waiting_writes_come_back(
    opened: Opened,
) -> None:
    def spread(state: State) -> Any:
        return Command(
            update=[("items", [ITEM]), ("anything", ORDER)],
            goto=[Send("use", {"items": [ITEM], "anything": Mood.GOOD}), "done", "ask"],
        )

    def use(state: State) -> Any:
        item, mood = state["items"][0], state["anything"]
        answer = interrupt(Question(f"{type(item).__name__} {type(mood).__name__}"))
        return {"log": [answer, type(answer).__name__]}

    def done(state: State) -> Any:
        return {"log": Overwrite([ITEM]), "order": ORDER}

    def ask(state: State) -> Any:
        return {"items": [interrupt(ITEM)]}

    builder = StateGraph(State)
    for node in (spread, use, done, ask):
        builder.add_node(node)
    builder.add_edge(START, "spread")
    async with opened(builder) as graph:
        paused = await graph.ainvoke({}, CONFIG)
    async with opened(builder) as graph:
        state = await graph.aget_state(CONFIG)
        assert list(state.interrupts) == paused["__interrupt__"]
        assert {repr(one.value) for one in state.interrupts} == {
            repr(Question("Item Mood")),
            repr(ITEM),
        }
        asked = {type(one.value).__name__: one.id for one in state.interrupts}
        await graph.ainvoke(Command(resume={asked["Question"]: Question("yes")}), CONFIG)
    async with opened(builder) as graph:
        values = await graph.ainvoke(Command(resume=Item("cup")), CONFIG)
    assert values["items"] == [ITEM, Item("cup")]
    assert values["anything"] == values["order"] == ORDER
    assert values["log"] == [ITEM]


async def test_an_answer_that_was_given_before_a_restart_comes_back(opened: Opened) -> None:
    def ask(state: State) -> Any:
        first, second = interrupt("first"), interrupt("second")
        return {"items": [first, second]}

    builder = graph_of(ask)
    async with opened(builder) as graph:
        await graph.ainvoke({}, CONFIG)
    async with opened(builder) as graph:
        await graph.ainvoke(Command(resume=Item("one")), CONFIG)
    async with opened(builder) as graph:
        values = await graph.ainvoke(Command(resume=Item("two")), CONFIG)
    assert values["items"] == [Item("one"), Item("two")]


async def test_undeclared_objects_are_plain_data_after_their_run_restarted_or_not(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    def note(state: State) -> Any:
        seen.append(state.get("anything"))
        return {"anything": Undeclared("a")} if len(seen) < 4 else {"log": [1]}

    def look(state: State) -> Any:
        seen.append(state["anything"])

    builder = graph_of(note, look)
    async with opened(builder) as graph:
        await graph.ainvoke({}, CONFIG)
        await graph.ainvoke({"log": [0]}, CONFIG)
        values = (await graph.aget_state(CONFIG)).values
    async with opened(builder) as graph:
        assert (await graph.aget_state(CONFIG)).values == values
        await graph.ainvoke({}, CONFIG)
    plain = {"name": "a"}
    assert seen == [None, Undeclared("a"), plain, Undeclared("a"), plain, plain]
    assert values["anything"] == plain
    [told] = [record.getMessage() for record in caplog.records]
    assert told.startswith("channel 'anything' holds a tests.storage.test_objects_in_the_log.")


async def test_undeclared_objects_in_sends_and_waiting_writes_are_plain_data(
    opened: Opened,
) -> None:
    def spread(state: State) -> Any:
        return Command(goto=[Send("use", {"anything": Undeclared("sent")}), "done"])

    def use(state: State) -> Any:
        return {"log": [state["anything"], interrupt(Undeclared("asked"))]}

    def done(state: State) -> Any:
        return {"anything": Undeclared("written")}

    builder = StateGraph(State).add_node(spread).add_node(use).add_node(done)
    builder.add_edge(START, "spread")
    async with opened(builder) as graph:
        await graph.ainvoke({}, CONFIG)
        before = await graph.aget_state(CONFIG)
        assert [one.value for one in before.interrupts] == [{"name": "asked"}]
        assert {"anything": {"name": "written"}} in [task.result for task in before.tasks]
        values = await graph.ainvoke(Command(resume="yes"), CONFIG)
    assert values == {
        "items": [],
        "messages": [],
        "anything": {"name": "written"},
        "log": [{"name": "sent"}, "yes"],
    }


async def log_rows(session: StorageSession) -> list[bytes]:
    def read(storage: Storage) -> list[bytes]:
        return [row.data for row in storage.read_history("t", "", limit=None).checkpoints]

    return await session.read(read)


async def test_a_list_of_messages_that_grows_is_stored_as_what_was_added(tmp_path: Path) -> None:
    def answer(state: State) -> Any:
        return {"messages": [AIMessage(f"answer {len(state['messages'])}")]}

    async with StorageSession(SqliteStorage(tmp_path / "graph.db")) as session:
        graph = graph_of(answer).compile(checkpointer=StorageSaver(session))
        for n in range(5):
            await graph.ainvoke({"messages": [HumanMessage(f"question {n}")]}, CONFIG)
        rows = await log_rows(session)
        assert sum(b"question 0" in row for row in rows) <= 3  # as an input, too
        assert sum(b"answer 1" in row for row in rows) == 1
    async with StorageSession(SqliteStorage(tmp_path / "graph.db")) as session:
        graph = graph_of(answer).compile(checkpointer=StorageSaver(session))
        messages = (await graph.aget_state(CONFIG)).values["messages"]
    assert [type(message) for message in messages] == [HumanMessage, AIMessage] * 5
    assert messages[-1].content == "answer 9"


@attrs.define(eq=False)
class Odd:
    """Equal to everything, but not in any truth value."""

    n: int

    def __eq__(self, other: object) -> Any:
        raise ValueError("the truth of this comparison is ambiguous")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ([1], [True]),
        ([1, 2], [1.0, 2, 3]),
        ((1,), [1]),
        (Mood.GOOD, "good"),
        (b"YQ==", "YQ=="),
        ({"a": 1}, {"a": True}),
        (Order((), mood=True), Order((), mood=1)),  # type: ignore[arg-type]
    ],
    ids=repr,
)
async def test_a_value_that_is_equal_but_not_the_same_is_a_change(
    opened: Opened, before: Any, after: Any
) -> None:
    builder = graph_of(lambda_returning(after))
    async with opened(builder) as graph:
        await graph.ainvoke({"anything": before}, CONFIG)
    async with opened(builder) as graph:
        values = [one.values.get("anything") async for one in graph.aget_state_history(CONFIG)]
    assert [repr(value) for value in values[:2]] == [repr(after), repr(before)]


def lambda_returning(value: Any) -> Callable[..., Any]:
    def change(state: State) -> Any:
        return {"anything": value}

    return change


async def test_objects_are_never_compared_with_what_their_class_calls_equal(
    opened: Opened,
) -> None:
    class OddState(TypedDict, total=False):
        odd: Odd
        odds: Annotated[list[Odd], operator.add]

    def change(state: OddState) -> Any:
        return {"odd": Odd(state["odd"].n + 1), "odds": [Odd(2)]}

    builder = StateGraph(OddState).add_node(change).add_edge(START, "change")
    async with opened(builder) as graph:
        await graph.ainvoke({"odd": Odd(1), "odds": [Odd(1)]}, CONFIG)
    async with opened(builder) as graph:
        values = (await graph.aget_state(CONFIG)).values
    assert (values["odd"].n, [odd.n for odd in values["odds"]]) == (2, [1, 2])


async def test_an_object_that_a_node_changes_in_place_stays_as_it_was_for_all_others(
    opened: Opened,
) -> None:
    def spoil(state: State) -> Any:
        state["order"].items[0].tags.append("spoiled")
        state["items"][0].name = "spoiled"
        state["messages"][0].content = "spoiled"
        return {"log": [1]}

    def look(state: State) -> Any:
        return {"log": [state["order"], state["items"][0], state["messages"][0]]}

    given = {"order": ORDER, "items": [ITEM], "messages": [HumanMessage("hi", id="1")]}
    builder = graph_of(spoil, look)
    async with opened(builder) as graph:
        first = await graph.ainvoke(given, CONFIG)
        first["items"][0].name = "spoiled"
        now = (await graph.aget_state(CONFIG)).values
        now["order"].items[0].tags.append("spoiled")
        values = (await graph.aget_state(CONFIG)).values
    seen = [1, ORDER, ITEM, HumanMessage("hi", id="1")]
    assert values == {**given, "log": seen}
    assert given["items"] == [Item("tea", ["hot"])]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_value_that_cannot_be_stored_fails_the_run_and_names_the_channel_and_the_type(
    opened: Opened, durability: Any
) -> None:
    def first(state: State) -> Any:
        return {"log": [1]}

    def second(state: State) -> Any:
        return {"anything": [Item("a", [object()])]}  # type: ignore[list-item]

    builder = graph_of(first, second)
    async with opened(builder) as graph:
        with pytest.raises(Unstorable, match=r"^anything\[0\].tags\[0\]: an object cannot be"):
            await graph.ainvoke({}, CONFIG, durability=durability)
    if durability != "exit":
        async with opened(builder) as graph:
            state = await graph.aget_state(CONFIG)
        assert state.values["log"] == [1]
        assert "anything" not in state.values
        assert state.next == ("second",)


async def test_a_record_that_does_not_fit_its_class_any_more_fails_with_its_place(
    opened: Opened,
) -> None:
    def made(*fields: str) -> type:
        return attrs.make_class("Changing", fields, frozen=True)

    def graph_with(kind: type, value: Any = None) -> StateGraph:
        builder = StateGraph(
            attrs.make_class("State", {"changing": attrs.field(type=kind, default=None)})
        )
        builder.add_node("make", lambda state: {"changing": value})
        return builder.add_edge(START, "make")

    old = made("old", "stays")
    async with opened(graph_with(old, old(1, 2))) as graph:
        await graph.ainvoke({}, CONFIG)
    async with opened(graph_with(made("stays"))) as graph:
        with pytest.raises(StorageError) as unreadable:
            await graph.aget_state(CONFIG)
    text = str(unreadable.value)
    assert text.startswith("Record 3 of the log of thread t cannot be read: channel 'changing': ")
    assert "test_objects_in_the_log.Changing has no field 'old'" in text
    async with opened(graph_with(old)) as graph:
        assert (await graph.aget_state(CONFIG)).values == {"changing": old(1, 2)}
