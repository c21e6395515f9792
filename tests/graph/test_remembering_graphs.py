"""Graphs inside others that remember the thread (`checkpointer=True`) or keep nothing (`False`)."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest

from greenroom.graph import START, Command, Send, StateGraph, interrupt


class Memory(TypedDict, total=False):
    memory: Annotated[list[Any], operator.add]
    value: Any


class Outcomes(TypedDict, total=False):
    value: Annotated[Any, lambda old, new: new]


async def note(state: Any) -> Any:
    """Notes the value down, and gives back all that has been noted."""
    return {"memory": [state["value"]], "value": [*state["memory"], state["value"]]}


async def ask(state: Any) -> Any:
    return {"value": f"{state['value']} {interrupt('?')}"}


def remembering(*nodes: Any, checkpointer: Any = True, **options: Any) -> Any:
    builder = StateGraph(Memory).add_sequence(nodes).set_entry_point(nodes[0].__name__)
    return builder.compile(checkpointer=checkpointer, **options)


@pytest.fixture(params=["node", "called"])
def around(request: Any, wire: Any) -> Any:
    """Makes a graph around one, as a node or called in one, that gives it its `value`."""

    def around(inner: Any, **options: Any) -> Any:
        async def call(state: Any) -> Any:
            return await inner.ainvoke({"value": state["value"]})

        return wire(
            {"inner": inner if request.param == "node" else call}, (START, "inner"), **options
        )

    return around


async def run(graph: Any, given: Any, thread: Any) -> Any:
    result = await graph.ainvoke(given, thread)
    return [question.value for question in result.get("__interrupt__", ())] or result["value"]


async def test_a_graph_that_remembers_goes_on_from_the_turn_before(
    around: Any, thread: Any
) -> None:
    graph = around(remembering(note))
    assert await run(graph, {"value": "a"}, thread) == ["a"]
    assert await run(graph, {"value": "b"}, thread) == ["a", "b"]
    other = {"configurable": {"thread_id": "2"}}
    assert await run(graph, {"value": "c"}, other) == ["c"]


async def test_what_is_remembered_is_found_under_the_name_of_the_node(
    around: Any, thread: Any
) -> None:
    graph = around(remembering(note))
    for value in ("a", "b"):
        await run(graph, {"value": value}, thread)
    inner = {"configurable": {**thread["configurable"], "checkpoint_ns": "inner"}}
    state = await graph.aget_state(inner)
    assert state.values["memory"] == ["a", "b"]
    steps = [one.metadata["step"] async for one in graph.aget_state_history(inner)]
    assert steps == [4, 3, 2, 1, 0, -1][: len(steps)]
    assert len(steps) == 6


async def test_a_question_of_a_graph_that_remembers_is_answered_where_it_was_asked(
    around: Any, thread: Any
) -> None:
    graph = around(remembering(ask, note))
    for turn in ("a", "b"):
        assert await run(graph, {"value": turn}, thread) == ["?"]
        answered = await run(graph, Command(resume=turn.upper()), thread)
    assert answered == ["a A", "b B"]


async def test_new_input_at_a_question_is_a_new_turn_of_what_is_remembered(
    around: Any, thread: Any
) -> None:
    graph = around(remembering(note, ask))
    assert await run(graph, {"value": "a"}, thread) == ["?"]
    assert await run(graph, {"value": "b"}, thread) == ["?"]
    assert await run(graph, Command(resume="!"), thread) == "['a', 'b'] !"


async def test_two_graphs_called_in_a_node_remember_apart(wire: Any, thread: Any) -> None:
    first, second = remembering(note), remembering(note)

    async def call(state: Any) -> Any:
        one = await first.ainvoke({"value": state["value"]})
        two = await second.ainvoke({"value": state["value"] * 2})
        return {"value": (one["value"], two["value"])}

    graph = wire({"call": call}, (START, "call"))
    assert await run(graph, {"value": "a"}, thread) == (["a"], ["aa"])
    assert await run(graph, {"value": "b"}, thread) == (["a", "b"], ["aa", "bb"])


async def test_a_graph_inside_one_that_remembers_starts_afresh_unless_it_does_too(
    wire: Any, thread: Any
) -> None:
    forgetful, keen = remembering(note, checkpointer=None), remembering(note)

    def holding(inner: Any) -> Any:
        async def call(state: Any) -> Any:
            return await inner.ainvoke({"value": state["value"]})

        middle = StateGraph(Memory).add_node("call", call).add_edge(START, "call")
        return wire({"middle": middle.compile(checkpointer=True)}, (START, "middle"))

    for inner, last in ((forgetful, ["b"]), (keen, ["a", "b"])):
        graph = holding(inner)
        await run(graph, {"value": "a"}, thread)
        assert await run(graph, {"value": "b"}, thread) == last


async def test_tasks_side_by_side_use_what_is_remembered_one_after_the_other(
    wire: Any, thread: Any
) -> None:
    async def plan(state: Any) -> Command:
        return Command(goto=[Send("inner", {"value": n}) for n in range(5)])

    seen = []

    async def look(state: Any) -> None:
        seen.append(list(state["memory"]))

    builder = StateGraph(Memory, output_schema=TypedDict("Nothing", {"value": Any}))
    builder.add_sequence([look, note]).add_node("end", lambda state: {"value": None})
    inner = builder.add_edge(START, "look").add_edge("note", "end").compile(checkpointer=True)
    graph = wire({"plan": plan, "inner": inner}, (START, "plan"), state=Outcomes)
    await graph.ainvoke({}, thread)
    assert seen == [list(range(n)) for n in range(5)]


async def test_questions_of_tasks_side_by_side_find_their_task(wire: Any, thread: Any) -> None:
    async def plan(state: Any) -> Command:
        return Command(goto=[Send("call", value) for value in ("a", "b", "c")])

    inner = remembering(ask)

    async def call(state: Any) -> Any:
        return {"log": [(await inner.ainvoke({"value": state}))["value"]]}

    graph = wire({"plan": plan, "call": call}, (START, "plan"))
    questions = (await graph.ainvoke({}, thread))["__interrupt__"]
    answers = {question.id: n for n, question in enumerate(questions)}
    result = await graph.ainvoke(Command(resume=answers), thread)
    assert result["log"] == ["a 0", "b 1", "c 2"]


async def test_a_retry_or_resume_does_not_note_twice(around: Any, thread: Any) -> None:
    failing = [True]

    async def fails(state: Any) -> None:
        if failing.pop():
            failing.append(False)
            raise ConnectionError

    graph = around(remembering(note, fails))
    with pytest.raises(ConnectionError):
        await run(graph, {"value": "a"}, thread)
    assert await run(graph, None, thread) == ["a"]
    failing[:] = [False]
    assert await run(graph, {"value": "b"}, thread) == ["a", "b"]


async def test_with_durability_exit_it_remembers_too(around: Any, thread: Any) -> None:
    graph = around(remembering(note))
    for value, memory in (("a", ["a"]), ("b", ["a", "b"])):
        result = await graph.ainvoke({"value": value}, thread, durability="exit")
        assert result["value"] == memory


# Time travel.


async def before_inner(graph: Any, thread: Any, turn: int) -> Any:
    """The config of the checkpoint before `inner` ran in a turn."""
    states = [one async for one in graph.aget_state_history(thread)]
    return [one for one in reversed(states) if one.next == ("inner",)][turn].config


async def test_going_on_from_an_older_checkpoint_remembers_what_was_then(
    around: Any, thread: Any
) -> None:
    graph = around(remembering(note))
    for value in ("a", "b", "c"):
        await run(graph, {"value": value}, thread)
    assert await run(graph, None, await before_inner(graph, thread, 1)) == ["a", "b"]
    assert await run(graph, None, await before_inner(graph, thread, 0)) == ["a"]


async def test_after_time_travel_the_next_turn_goes_on_from_the_new_line(
    around: Any, thread: Any
) -> None:
    graph = around(remembering(note))
    for value in ("a", "b", "c"):
        await run(graph, {"value": value}, thread)
    await run(graph, None, await before_inner(graph, thread, 1))
    assert await run(graph, {"value": "d"}, thread) == ["a", "b", "d"]


async def test_a_past_checkpoint_shows_what_was_remembered_before_its_task_ran(
    around: Any, thread: Any
) -> None:
    graph = around(remembering(note), interrupt_before=["inner"])
    for value in ("a", "b", "c"):
        await graph.ainvoke({"value": value}, thread)
        if value != "b":  # its turn is given up
            await run(graph, None, thread)
    given_up = await before_inner(graph, thread, 1)
    (task,) = (await graph.aget_state(given_up, subgraphs=True)).tasks
    assert task.state.values["memory"] == ["a"]


async def test_an_edited_older_checkpoint_remembers_what_was_then(around: Any, thread: Any) -> None:
    graph = around(remembering(note))
    for value in ("a", "b"):
        await run(graph, {"value": value}, thread)
    older = await before_inner(graph, thread, 1)
    edited = await graph.aupdate_state(older, {"value": "x"}, as_node=START)
    assert await run(graph, None, edited) == ["a", "x"]
    # The same without the id: the edited checkpoint is the newest one.
    edited = await graph.aupdate_state(older, {"value": "y"}, as_node=START)
    await graph.aupdate_state(edited, {"value": "z"}, as_node=START)
    assert await run(graph, None, thread) == ["a", "z"]


async def test_an_edit_of_the_newest_checkpoint_forgets_nothing(around: Any, thread: Any) -> None:
    graph = around(remembering(note))
    await run(graph, {"value": "a"}, thread)
    await graph.aupdate_state(thread, {"value": "x"}, as_node=START)
    assert await run(graph, None, thread) == ["a", "x"]


async def test_a_copy_of_an_older_checkpoint_remembers_what_was_then(
    around: Any, thread: Any
) -> None:
    graph = around(remembering(note))
    for value in ("a", "b"):
        await run(graph, {"value": value}, thread)
    older = await before_inner(graph, thread, 1)
    copy = await graph.aupdate_state(older, None, as_node="__copy__")
    assert (await graph.aget_state(copy)).metadata["source"] == "fork"
    assert await run(graph, None, thread) == ["a", "b"]


async def test_within_a_run_from_an_older_checkpoint_it_remembers_the_run(
    wire: Any, thread: Any
) -> None:
    async def again(state: Any) -> Command | None:
        if state["value"][-1] == "again":
            return None
        return Command(update={"value": "again"}, goto="inner")

    nodes = {"inner": remembering(note), "again": again}
    graph = wire(nodes, (START, "inner"), ("inner", "again"))
    assert await run(graph, {"value": "a"}, thread) == ["a", "again"]
    both = ["a", "again", "b", "again"]
    assert await run(graph, {"value": "b"}, thread) == both
    first, loop = [await before_inner(graph, thread, turn) for turn in (2, 3)]
    assert await run(graph, None, first) == both
    assert await run(graph, None, loop) == both


async def test_a_question_asked_on_a_new_line_is_answered_on_it(around: Any, thread: Any) -> None:
    graph = around(remembering(ask, note))
    for value in ("a", "b"):
        await run(graph, {"value": value}, thread)
        await run(graph, Command(resume=1), thread)
    assert await run(graph, None, await before_inner(graph, thread, 1)) == ["?"]
    assert await run(graph, Command(resume=2), thread) == ["a 1", "b 2"]


async def test_an_answer_with_an_update_on_a_new_line_is_remembered_in_the_same_run(
    wire: Any, thread: Any
) -> None:
    async def again(state: Any) -> Command | None:
        if state["value"][-1].startswith("end"):
            return None
        return Command(update={"value": "end"}, goto="inner")

    nodes = {"inner": remembering(ask, note), "again": again}
    graph = wire(nodes, (START, "inner"), ("inner", "again"))

    async def turn(value: str) -> None:
        await run(graph, {"value": value}, thread)
        await run(graph, Command(resume=1), thread)
        await run(graph, Command(resume=2), thread)

    for value in ("a", "b"):
        await turn(value)
    assert await run(graph, None, await before_inner(graph, thread, 2)) == ["?"]
    await run(graph, Command(resume=3, update={"log": ["edited"]}), thread)
    (task,) = (await graph.aget_state(thread, subgraphs=True)).tasks
    assert task.state.values["memory"] == ["a 1", "end 2", "b 3"]


async def test_what_a_task_beside_a_question_noted_is_remembered_on_a_new_line(
    wire: Any, thread: Any
) -> None:
    async def asks(state: Any) -> Any:
        return {"log": [interrupt("?")]}

    async def again(state: Any) -> Command | None:
        return None if len(state["log"]) % 2 == 0 else Command(goto="inner", update={"log": [0]})

    nodes = {"inner": remembering(note), "asks": asks, "again": again}
    graph = wire(nodes, (START, "inner"), (START, "asks"), ("asks", "again"))
    for value in ("a", "b"):
        await graph.ainvoke({"value": value}, thread)
        await graph.ainvoke(Command(resume=1), thread)
    states = [one async for one in graph.aget_state_history(thread)]
    older = [one for one in reversed(states) if "asks" in [task.name for task in one.tasks]][1]
    await graph.ainvoke(None, older.config)
    result = await graph.ainvoke(Command(resume=2), thread)
    assert result["value"] == ["a", ["a"], "b", ["a", ["a"], "b"]]


async def test_tasks_side_by_side_that_call_one_graph_overwrite_nothing(
    wire: Any, thread: Any
) -> None:
    async def plan(state: Any) -> Command:
        return Command(goto=[Send("call", value) for value in range(4)])

    inner = remembering(note)

    async def call(state: Any) -> None:
        await inner.ainvoke({"value": state})

    graph = wire({"plan": plan, "call": call}, (START, "plan"))
    await graph.ainvoke({}, thread)
    place = {"configurable": {**thread["configurable"], "checkpoint_ns": "call"}}
    state = await graph.aget_state(place)
    assert sorted(state.values["memory"]) == [0, 1, 2, 3]


async def test_a_place_inside_is_gone_on_from_once(wire: Any, thread: Any) -> None:
    async def again(state: Any) -> Command | None:
        if len(state["value"]) == 2:
            return None
        return Command(update={"value": "again"}, goto="inner")

    nodes = {"inner": remembering(note), "again": again}
    graph = wire(nodes, (START, "inner"), ("inner", "again"))
    assert await run(graph, {"value": "a"}, thread) == ["a", "again"]
    inside = {"configurable": {**thread["configurable"], "checkpoint_ns": "inner"}}
    states = [one async for one in graph.aget_state_history(inside)]
    before = next(one for one in reversed(states) if one.next == ("note",))
    assert await run(graph, None, before.config) == ["a", "again"]


async def test_a_place_inside_remembers_what_came_before_it_in_the_same_turn(
    wire: Any, thread: Any
) -> None:
    keen = remembering(note)

    async def call(state: Any) -> Any:
        return await keen.ainvoke({"value": state["value"]})

    async def more(state: Any) -> Command | None:
        answer = interrupt("more?")
        return Command(goto="call", update={"value": answer}) if answer else None

    middle = StateGraph(Memory).add_sequence([call, more]).add_edge(START, "call")
    graph = wire({"middle": middle.compile(checkpointer=True)}, (START, "middle"))
    assert await run(graph, {"value": "a"}, thread) == ["more?"]
    (task,) = (await graph.aget_state(thread, subgraphs=True)).tasks
    place = task.state.config
    await run(graph, Command(resume="b"), thread)
    assert await run(graph, Command(resume=""), thread) == ["a", "b"]
    assert await run(graph, None, place) == ["more?"]
    await run(graph, Command(resume="c"), thread)
    assert await run(graph, Command(resume=""), thread) == ["a", "c"]


# Graphs that keep nothing.


async def test_a_graph_that_keeps_nothing_leaves_no_checkpoints(around: Any, thread: Any) -> None:
    graph = around(remembering(note, checkpointer=False))
    for _ in range(2):
        assert await run(graph, {"value": "a"}, thread) == ["a"]
    states = [state async for state in graph.aget_state_history(thread)]
    for task in (task for state in states for task in state.tasks if task.name == "inner"):
        assert task.state is None
        assert await graph.checkpointer.log("1").load(f"inner:{task.id}") is None


@pytest.mark.parametrize("by_id", [False, True])
async def test_a_graph_that_keeps_nothing_starts_anew_with_the_answer(
    around: Any, thread: Any, by_id: bool
) -> None:
    ran = []

    async def count(state: Any) -> None:
        ran.append(state["value"])

    graph = around(remembering(count, ask, checkpointer=False))
    (question,) = (await graph.ainvoke({"value": "a"}, thread))["__interrupt__"]
    answer = {question.id: "yes"} if by_id else "yes"
    assert await run(graph, Command(resume=answer), thread) == "a yes"
    assert ran == ["a", "a"]


# Graphs with nothing around them.


async def test_a_graph_that_remembers_needs_a_graph_around_it(thread: Any) -> None:
    graph = remembering(note)
    for call in (graph.ainvoke({"value": "a"}), graph.aget_state(thread)):
        with pytest.raises(RuntimeError, match="checkpointer=True is for graphs inside others"):
            await call


async def test_a_graph_alone_that_keeps_nothing_runs_and_has_no_state(thread: Any) -> None:
    graph = remembering(note, checkpointer=False)
    assert (await graph.ainvoke({"value": "a"}, thread))["value"] == ["a"]
    with pytest.raises(ValueError, match="keeps no threads"):
        await graph.aget_state(thread)


async def test_without_a_saver_around_there_is_nothing_to_remember(around: Any) -> None:
    graph = around(remembering(note), checkpointer=None)
    for _ in range(2):
        assert (await graph.ainvoke({"value": "a"}))["value"] == ["a"]
