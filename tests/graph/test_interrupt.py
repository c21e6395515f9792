"""Dynamic interrupts: a node asks, a human answers."""

from __future__ import annotations

import re
from typing import Any

import pytest
import trio

from greenroom.graph import START, Command, Interrupt, InvalidResumeError, Send, interrupt


def asks(*questions: Any) -> Any:
    """A node that writes the answers to its questions, asked one after the other."""

    async def node(state: Any) -> Any:
        return {"log": [interrupt(question) for question in questions]}

    return node


def asked(result: dict[str, Any]) -> list[Any]:
    return [question.value for question in result["__interrupt__"]]


async def test_an_interrupt_pauses_the_run_and_shows_its_question(wire: Any, thread: Any) -> None:
    graph = wire({"ask": asks({"text": "sure?"})}, (START, "ask"))
    result = await graph.ainvoke({"log": ["in"]}, thread)
    (question,) = result.pop("__interrupt__")
    assert result == {"log": ["in"]}
    assert isinstance(question, Interrupt)
    assert question.value == {"text": "sure?"}
    assert re.fullmatch("[0-9a-f]{32}", question.id)

    state = await graph.aget_state(thread)
    (task,) = state.tasks
    assert question.ns == (f"ask:{task.id}",)
    assert question == Interrupt({"text": "sure?"}, question.id)
    assert (state.next, state.interrupts, task.interrupts) == (("ask",), (question,), (question,))


@pytest.mark.parametrize("answer", ["yes", "", 0, False, [], ["a"], {"a": 1}, {}])
async def test_any_answer_reaches_the_node(wire: Any, thread: Any, answer: Any) -> None:
    graph = wire({"ask": asks("?")}, (START, "ask"))
    await graph.ainvoke({}, thread)
    assert await graph.ainvoke(Command(resume=answer), thread) == {"log": [answer]}
    state = await graph.aget_state(thread)
    assert (state.next, state.interrupts) == ((), ())


async def test_an_interrupt_works_in_a_plain_node(wire: Any, thread: Any) -> None:
    def ask(state: Any) -> Any:
        return {"log": [interrupt("?")]}

    graph = wire({"ask": ask}, (START, "ask"))
    assert asked(await graph.ainvoke({}, thread)) == ["?"]
    assert await graph.ainvoke(Command(resume="yes"), thread) == {"log": ["yes"]}


async def test_questions_of_one_node_are_asked_and_answered_in_order(
    wire: Any, thread: Any
) -> None:
    graph = wire({"ask": asks("first", "second", "third")}, (START, "ask"))
    results = [await graph.ainvoke({}, thread)]
    for answer in (1, 2):
        results.append(await graph.ainvoke(Command(resume=answer), thread))
    assert [asked(result) for result in results] == [["first"], ["second"], ["third"]]
    assert len({result["__interrupt__"][0].id for result in results}) == 3
    assert await graph.ainvoke(Command(resume=3), thread) == {"log": [1, 2, 3]}


async def test_a_node_can_ask_until_it_likes_the_answer(wire: Any, thread: Any) -> None:
    async def ask(state: Any) -> Any:
        question = "age?"
        while not isinstance(answer := interrupt(question), int):
            question = f"not {answer}"
        return {"value": answer}

    graph = wire({"ask": ask}, (START, "ask"))
    assert asked(await graph.ainvoke({}, thread)) == ["age?"]
    assert asked(await graph.ainvoke(Command(resume="old"), thread)) == ["not old"]
    assert (await graph.ainvoke(Command(resume=7), thread))["value"] == 7


async def test_the_next_visit_to_a_node_asks_again(wire: Any, thread: Any) -> None:
    graph = wire({"ask": asks("?")}, (START, "ask"))
    ids = set()
    for answer in ("one", "two"):
        ids.add((await graph.ainvoke({}, thread))["__interrupt__"][0].id)
        result = await graph.ainvoke(Command(resume=answer), thread)
    assert result == {"log": ["one", "two"]}
    assert len(ids) == 2


@pytest.fixture
def both(wire: Any) -> Any:
    """Two nodes that ask at the same time, and one that comes after both."""
    nodes = {"a": asks("a?"), "b": asks("b?"), "after": asks()}
    return wire(nodes, (START, "a"), (START, "b"), (["a", "b"], "after"))


async def test_several_nodes_ask_at_once(both: Any, thread: Any) -> None:
    result = await both.ainvoke({}, thread)
    assert asked(result) == ["a?", "b?"]
    first, second = result["__interrupt__"]
    answers = {second.id: "B", first.id: "A"}
    assert await both.ainvoke(Command(resume=answers), thread) == {"log": ["A", "B"]}


async def test_a_plain_answer_to_several_questions_is_refused(both: Any, thread: Any) -> None:
    questions = (await both.ainvoke({}, thread))["__interrupt__"]
    before = await both.aget_state(thread)
    with pytest.raises(InvalidResumeError) as caught:
        await both.ainvoke(Command(resume="yes"), thread)
    assert all(question.id in str(caught.value) for question in questions)
    assert await both.aget_state(thread) == before


async def test_answers_may_come_one_by_one(both: Any, thread: Any) -> None:
    first, second = (await both.ainvoke({}, thread))["__interrupt__"]
    result = await both.ainvoke(Command(resume={second.id: "B"}), thread)
    assert result["__interrupt__"] == [first]
    assert await both.ainvoke(Command(resume="A"), thread) == {"log": ["A", "B"]}


async def test_only_answered_tasks_run_again(wire: Any, thread: Any) -> None:
    ran = []

    def counted(name: str) -> Any:
        async def node(state: Any) -> Any:
            ran.append(name)
            return {"log": [interrupt(name)]}

        return node

    graph = wire({"a": counted("a"), "b": counted("b")}, (START, "a"), (START, "b"))
    first, second = (await graph.ainvoke({}, thread))["__interrupt__"]
    ran.clear()
    await graph.ainvoke(Command(resume={second.id: "B"}), thread)
    assert ran == ["b"]
    await graph.ainvoke(Command(resume={first.id: "A"}), thread)
    assert ran == ["b", "a"]


async def test_an_answer_to_an_unknown_question_answers_nothing(both: Any, thread: Any) -> None:
    questions = (await both.ainvoke({}, thread))["__interrupt__"]
    result = await both.ainvoke(Command(resume={"0" * 32: "yes"}), thread)
    assert result["__interrupt__"] == questions
    assert (await both.aget_state(thread)).interrupts == tuple(questions)


async def test_an_answer_on_a_finished_thread_changes_nothing(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"))
    await graph.ainvoke({}, thread)
    assert await graph.ainvoke(Command(resume="yes"), thread) == {"log": ["a"]}


async def test_siblings_of_a_node_that_asks_finish_and_do_not_run_again(
    wire: Any, thread: Any, autojump_clock: Any
) -> None:
    ran = []

    async def work(state: Any) -> Any:
        await trio.sleep(1)
        ran.append("work")
        return {"log": ["worked"]}

    graph = wire({"ask": asks("?"), "work": work}, (START, "ask"), (START, "work"))
    assert asked(await graph.ainvoke({}, thread)) == ["?"]
    state = await graph.aget_state(thread)
    assert [(task.name, task.result) for task in state.tasks] == [
        ("ask", None),
        ("work", {"log": ["worked"]}),
    ]
    assert state.next == ("ask",)
    assert await graph.ainvoke(Command(resume="yes"), thread) == {"log": ["yes", "worked"]}
    assert ran == ["work"]


async def test_going_on_without_an_answer_asks_the_same_again(wire: Any, thread: Any) -> None:
    graph = wire({"ask": asks("one", "two")}, (START, "ask"))
    await graph.ainvoke({}, thread)
    paused = await graph.ainvoke(Command(resume=1), thread)
    assert await graph.ainvoke(None, thread) == paused
    assert await graph.ainvoke(Command(resume=2), thread) == {"log": [1, 2]}


async def test_new_input_drops_the_question(wire: Any, thread: Any) -> None:
    graph = wire({"ask": asks("?")}, (START, "ask"))
    first = (await graph.ainvoke({"log": ["one"]}, thread))["__interrupt__"][0]
    result = await graph.ainvoke({"log": ["two"]}, thread)
    assert result["log"] == ["one", "two"]
    (second,) = result["__interrupt__"]
    assert second.id != first.id
    result = await graph.ainvoke(Command(resume={first.id: "late"}), thread)
    assert result["__interrupt__"] == [second]


async def test_an_answer_may_bring_an_update(wire: Any, thread: Any) -> None:
    graph = wire({"ask": asks("?")}, (START, "ask"))
    await graph.ainvoke({}, thread)
    result = await graph.ainvoke(Command(resume="yes", update={"value": 1}), thread)
    assert result == {"log": ["yes"], "value": 1}


async def test_no_update_of_several_answers_is_lost(wire: Any, thread: Any) -> None:
    graph = wire({name: asks(name) for name in "abc"}, *((START, name) for name in "abc"))
    questions = (await graph.ainvoke({}, thread))["__interrupt__"]
    for question in questions:
        answer = {question.id: question.value}
        update = {"log": [f"with {question.value}"], "value": question.value}
        result = await graph.ainvoke(Command(resume=answer, update=update), thread)
    assert result == {"log": ["with a", "with b", "with c", "a", "b", "c"], "value": "c"}


async def test_tasks_that_were_sent_ask_each_for_itself(wire: Any, thread: Any) -> None:
    async def ask(item: Any) -> Any:
        return {"log": [(item, interrupt(item))]}

    async def fan_out(state: Any) -> Any:
        return Command(goto=[Send("ask", n) for n in (1, 2, 3)])

    graph = wire({"fan_out": fan_out, "ask": ask}, (START, "fan_out"))
    result = await graph.ainvoke({}, thread)
    assert asked(result) == [1, 2, 3]
    answers = {question.id: question.value * 10 for question in result["__interrupt__"]}
    result = await graph.ainvoke(Command(resume=answers), thread)
    assert result == {"log": [(1, 10), (2, 20), (3, 30)]}


async def test_an_answered_question_is_not_answered_again_from_its_checkpoint(
    wire: Any, thread: Any
) -> None:
    graph = wire({"ask": asks("?")}, (START, "ask"))
    await graph.ainvoke({}, thread)
    paused = (await graph.aget_state(thread)).config
    await graph.ainvoke(Command(resume="yes"), thread)
    before = [s async for s in graph.aget_state_history(thread)]
    await graph.ainvoke(Command(resume="no"), paused)
    assert [s async for s in graph.aget_state_history(thread)] == before


async def test_a_question_that_was_dropped_can_be_answered_from_its_checkpoint(
    wire: Any, thread: Any
) -> None:
    graph = wire({"ask": asks("?")}, (START, "ask"))
    await graph.ainvoke({"log": ["one"]}, thread)
    paused = (await graph.aget_state(thread)).config
    await graph.ainvoke({"log": ["two"]}, thread)
    assert await graph.ainvoke(Command(resume="yes"), paused) == {"log": ["one", "yes"]}
    assert (await graph.aget_state(thread)).values == {"log": ["one", "yes"]}


async def test_an_answer_is_kept_when_the_node_then_fails(wire: Any, thread: Any) -> None:
    failures = [ValueError("boom")]

    async def ask(state: Any) -> Any:
        answer = interrupt("?")
        if failures:
            raise failures.pop()
        return {"log": [answer]}

    graph = wire({"ask": ask}, (START, "ask"))
    await graph.ainvoke({}, thread)
    with pytest.raises(ValueError, match="boom"):
        await graph.ainvoke(Command(resume="yes"), thread)
    assert await graph.ainvoke(None, thread) == {"log": ["yes"]}


async def test_an_answer_is_kept_when_the_run_is_then_cancelled(
    wire: Any, thread: Any, autojump_clock: Any
) -> None:
    async def ask(state: Any) -> Any:
        answer = interrupt("?")
        await trio.sleep(10)
        return {"log": [answer]}

    graph = wire({"ask": ask}, (START, "ask"))
    await graph.ainvoke({}, thread)
    with trio.move_on_after(1):
        await graph.ainvoke(Command(resume="yes"), thread)
    state = await graph.aget_state(thread)
    assert (state.next, state.interrupts) == (("ask",), ())
    assert await graph.ainvoke(None, thread) == {"log": ["yes"]}


async def test_an_answer_may_send_more_tasks_beside_those_that_wait(wire: Any, thread: Any) -> None:
    async def ask(item: Any) -> Any:
        return {"log": [(item, interrupt(item))]}

    async def fan_out(state: Any) -> Any:
        return Command(goto=[Send("ask", 1), Send("ask", 2)])

    graph = wire({"fan_out": fan_out, "ask": ask}, (START, "fan_out"))
    first, second = (await graph.ainvoke({}, thread))["__interrupt__"]
    both = {first.id: "one", second.id: "two"}
    result = await graph.ainvoke(Command(resume=both, goto=Send("ask", 3)), thread)
    assert asked(result) == [3]
    assert list((await graph.aget_state(thread)).interrupts) == result["__interrupt__"]
    result = await graph.ainvoke(Command(resume="three"), thread)
    assert result == {"log": [(1, "one"), (2, "two"), (3, "three")]}


async def test_a_resume_that_answers_nothing_leaves_no_trace(wire: Any, thread: Any) -> None:
    graph = wire({"ask": asks("?")}, (START, "ask"))
    await graph.ainvoke({}, thread)
    before = [s async for s in graph.aget_state_history(thread)]
    await graph.ainvoke(Command(resume={"0" * 32: "yes"}), thread)
    assert [s async for s in graph.aget_state_history(thread)] == before


async def test_without_a_saver_an_interrupt_ends_the_run(wire: Any) -> None:
    graph = wire({"ask": asks("?")}, (START, "ask"), checkpointer=None)
    assert asked(await graph.ainvoke({})) == ["?"]


def test_an_interrupt_outside_a_node_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="interrupt"):
        interrupt("?")
