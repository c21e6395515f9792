"""Answers: what they are checked against, and which question each is for."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import attrs
import pytest
import trio

from greenroom.graph import (
    START,
    Command,
    GraphInterrupt,
    InvalidAnswerError,
    InvalidResumeError,
    RetryPolicy,
    Send,
    StateGraph,
    interrupt,
)
from greenroom.graph.job import Job
from greenroom.graph.saver import InMemorySaver


def asked(result: Any) -> list[Any]:
    return [question.value for question in result["__interrupt__"]]


# What an answer is to look like.


@dataclass
class Data:
    approved: bool
    note: str = ""


@attrs.frozen
class Attrs:
    approved: bool
    note: str = ""


class Typed(TypedDict):
    approved: bool


def asks_for(schema: Any) -> Any:
    async def ask(state: Any) -> Any:
        return {"value": interrupt("ok?", response_schema=schema)}

    return ask


@pytest.mark.parametrize(
    ("schema", "answer", "value"),
    [
        (Data, {"approved": True}, Data(True)),
        (Attrs, {"approved": True, "note": "n"}, Attrs(True, "n")),
        (Typed, {"approved": False}, {"approved": False}),
        (int, 7, 7),
        (Literal["yes", "no"], "yes", "yes"),
        (list[int], [1, 2], [1, 2]),
        (Data, Data(False), Data(False)),
    ],
)
async def test_an_answer_is_returned_as_the_type_that_was_asked_for(
    wire: Any, thread: Any, schema: Any, answer: Any, value: Any
) -> None:
    graph = wire({"ask": asks_for(schema)}, (START, "ask"))
    await graph.ainvoke({}, thread)
    assert (await graph.ainvoke(Command(resume=answer), thread))["value"] == value


async def test_a_pydantic_model_checks_answers_too(wire: Any, thread: Any) -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Model", approved=(bool, ...))
    graph = wire({"ask": asks_for(model)}, (START, "ask"))
    (question,) = (await graph.ainvoke({}, thread))["__interrupt__"]
    assert question.response_schema == model.model_json_schema()
    with pytest.raises(InvalidAnswerError, match="is no Model"):
        await graph.ainvoke(Command(resume={"approved": "perhaps"}), thread)
    result = await graph.ainvoke(Command(resume={"approved": True}), thread)
    assert result["value"] == model(approved=True)


async def test_a_question_says_what_its_answer_is_to_look_like(wire: Any, thread: Any) -> None:
    graph = wire({"ask": asks_for(Data)}, (START, "ask"))
    (question,) = (await graph.ainvoke({}, thread))["__interrupt__"]
    schema = question.response_schema
    assert (schema["title"], schema["required"]) == ("Data", ["approved"])
    assert (await graph.aget_state(thread)).interrupts[0].response_schema == schema


async def test_a_json_schema_is_passed_on_and_checks_nothing(wire: Any, thread: Any) -> None:
    schema = {"type": "integer"}
    graph = wire({"ask": asks_for(schema)}, (START, "ask"))
    (question,) = (await graph.ainvoke({}, thread))["__interrupt__"]
    assert question.response_schema == schema
    assert (await graph.ainvoke(Command(resume="text"), thread))["value"] == "text"


@pytest.mark.parametrize("inside", [False, True])
async def test_an_answer_that_does_not_fit_fails_the_run_and_the_question_waits_on(
    wire: Any, thread: Any, inside: bool
) -> None:
    graph = wire({"ask": asks_for(Data)}, (START, "ask"), checkpointer=InMemorySaver())
    if inside:
        inner = wire({"ask": asks_for(Data)}, (START, "ask"), checkpointer=None)
        graph = wire({"inner": inner}, (START, "inner"))
    (question,) = (await graph.ainvoke({}, thread))["__interrupt__"]
    for bad in ("yes", {"approved": 1}, {}, {question.id: None}):
        with pytest.raises(InvalidAnswerError, match="is no Data"):
            await graph.ainvoke(Command(resume=bad), thread)
        assert (await graph.aget_state(thread)).interrupts == (question,)
    result = await graph.ainvoke(Command(resume={"approved": True}), thread)
    assert result["value"] == Data(True)


async def test_an_answer_that_does_not_fit_is_not_tried_again_nor_handled(
    wire: Any, thread: Any
) -> None:
    ran = []

    async def ask(state: Any) -> None:
        ran.append("ask")
        interrupt("?", response_schema=int)

    async def handle(state: Any) -> None:
        ran.append("handle")

    builder = StateGraph(Typed).add_edge(START, "ask")
    policy = RetryPolicy(retry_on=Exception, initial_interval=0, jitter=False)
    builder.add_node("ask", ask, retry_policy=policy, error_handler=handle)
    graph = builder.compile(checkpointer=InMemorySaver())
    await graph.ainvoke({}, thread)
    with pytest.raises(InvalidAnswerError):
        await graph.ainvoke(Command(resume="text"), thread)
    assert ran == ["ask", "ask"]


async def test_a_retry_has_the_answers_of_the_attempt_before(wire: Any, thread: Any) -> None:
    attempts = []

    async def ask(state: Any) -> Any:
        answer = interrupt("?")
        attempts.append(answer)
        if len(attempts) == 1:
            raise ConnectionError
        return {"approved": answer}

    policy = RetryPolicy(initial_interval=0, jitter=False)
    builder = StateGraph(Typed).add_node("ask", ask, retry_policy=policy).add_edge(START, "ask")
    graph = builder.compile(checkpointer=InMemorySaver())
    await graph.ainvoke({}, thread)
    assert await graph.ainvoke(Command(resume=True), thread) == {"approved": True}
    assert attempts == [True, True]


async def test_answers_beside_one_that_does_not_fit_count(wire: Any, thread: Any) -> None:
    ran = []

    def asking(name: str) -> Any:
        async def node(state: Any) -> Any:
            answer = interrupt(name, response_schema=int)
            await trio.lowlevel.checkpoint()
            ran.append(name)
            return {"log": [answer]}

        return node

    nodes = {name: asking(name) for name in ("a", "b")}
    graph = wire(nodes, (START, "a"), (START, "b"))
    first, second = (await graph.ainvoke({}, thread))["__interrupt__"]
    with pytest.raises(InvalidAnswerError):
        await graph.ainvoke(Command(resume={first.id: "bad", second.id: 2}), thread)
    assert ran == ["b"]
    assert (await graph.aget_state(thread)).interrupts == (first,)
    assert (await graph.ainvoke(Command(resume=1), thread))["log"] == [1, 2]


# Questions in a nursery of the node's own.


@pytest.fixture
def side_by_side() -> Any:
    """Makes a node that asks several questions in a nursery and gives back all answers."""

    def side_by_side(*questions: Any) -> Any:
        async def ask(state: Any) -> Any:
            answers: dict[int, Any] = {}

            async def one(at: int, question: Any) -> None:
                answers[at] = interrupt(question)

            async with trio.open_nursery() as nursery:
                for at, question in enumerate(questions):
                    nursery.start_soon(one, at, question)
            return {"log": [answers[at] for at in range(len(questions))]}

        return ask

    return side_by_side


async def test_a_question_in_a_nursery_pauses_the_run(
    wire: Any, thread: Any, side_by_side: Any
) -> None:
    graph = wire({"ask": side_by_side("only?")}, (START, "ask"))
    assert asked(await graph.ainvoke({}, thread)) == ["only?"]
    assert (await graph.ainvoke(Command(resume="yes"), thread))["log"] == ["yes"]


async def test_each_answer_finds_its_question_whatever_the_order_they_are_asked_in(
    wire: Any, thread: Any, side_by_side: Any
) -> None:
    questions = [f"q{n}" for n in range(8)]
    graph = wire({"ask": side_by_side(*questions)}, (START, "ask"))
    result = await graph.ainvoke({}, thread)
    assert sorted(asked(result)) == questions
    while waiting := result.get("__interrupt__"):
        assert len({question.id for question in waiting}) == len(waiting)
        answers = {question.id: question.value.upper() for question in waiting[::2]}
        result = await graph.ainvoke(Command(resume=answers), thread)
    assert result["log"] == [question.upper() for question in questions]


async def test_a_question_that_waits_on_keeps_its_id(
    wire: Any, thread: Any, side_by_side: Any
) -> None:
    graph = wire({"ask": side_by_side("a", "b")}, (START, "ask"))
    ids = {q.value: q.id for q in (await graph.ainvoke({}, thread))["__interrupt__"]}
    (waiting,) = (await graph.ainvoke(Command(resume={ids["b"]: "B"}), thread))["__interrupt__"]
    assert (waiting.value, waiting.id) == ("a", ids["a"])
    result = await graph.ainvoke(Command(resume={ids["a"]: "A"}), thread)
    assert result["log"] == ["A", "B"]


async def test_questions_that_cannot_be_compared_are_told_apart_too(
    wire: Any, thread: Any, side_by_side: Any
) -> None:
    graph = wire({"ask": side_by_side({1: "a"}, {2: "b"})}, (START, "ask"))
    questions = (await graph.ainvoke({}, thread))["__interrupt__"]
    answers = {question.id: str(question.value) for question in questions}
    result = await graph.ainvoke(Command(resume=answers), thread)
    assert result["log"] == ["{1: 'a'}", "{2: 'b'}"]


async def test_a_question_may_change_its_words_between_runs(wire: Any, thread: Any) -> None:
    asked_so_far = []

    async def ask(state: Any) -> Any:
        asked_so_far.append("?")
        return {"log": [interrupt(f"{len(asked_so_far)}."), interrupt("last")]}

    graph = wire({"ask": ask}, (START, "ask"))
    assert asked(await graph.ainvoke({}, thread)) == ["1."]
    assert asked(await graph.ainvoke(Command(resume="a"), thread)) == ["last"]
    assert (await graph.ainvoke(Command(resume="b"), thread))["log"] == ["a", "b"]


async def test_an_error_in_the_nursery_counts_for_more_than_a_question(
    wire: Any, thread: Any
) -> None:
    async def ask(state: Any) -> None:
        async def fails() -> None:
            raise ValueError("boom")

        async def asks() -> None:
            interrupt("?")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails)
            nursery.start_soon(asks)

    graph = wire({"ask": ask}, (START, "ask"))
    with pytest.raises(ExceptionGroup) as caught:
        await graph.ainvoke({}, thread)
    assert caught.group_contains(ValueError, match="boom")
    assert not caught.group_contains(GraphInterrupt)
    assert (await graph.aget_state(thread)).interrupts == ()


async def test_a_run_that_is_cancelled_does_not_pause(wire: Any, thread: Any) -> None:
    async def ask(state: Any) -> None:
        async def asks() -> None:
            try:
                await trio.sleep_forever()
            finally:
                interrupt("?")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(asks)
            nursery.start_soon(trio.sleep_forever)
            started.set()

    started = trio.Event()
    graph = wire({"ask": ask}, (START, "ask"))
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(graph.ainvoke, {}, thread)
            await started.wait()
            scope.cancel()
    assert scope.cancelled_caught


async def test_a_plain_node_may_ask_in_a_group_too(wire: Any, thread: Any) -> None:
    def ask(state: Any) -> Any:
        try:
            return {"log": [interrupt("?")]}
        except GraphInterrupt as pause:
            raise ExceptionGroup("of its own", [pause]) from None

    graph = wire({"ask": ask}, (START, "ask"))
    assert asked(await graph.ainvoke({}, thread)) == ["?"]
    assert (await graph.ainvoke(Command(resume=1), thread))["log"] == [1]


# Answers that answer nothing.


async def test_an_unknown_id_is_warned_of_and_the_rest_answers(
    wire: Any, thread: Any, caplog: Any, side_by_side: Any
) -> None:
    graph = wire({"ask": side_by_side("a")}, (START, "ask"))
    (question,) = (await graph.ainvoke({}, thread))["__interrupt__"]
    unknown = "0" * 32
    result = await graph.ainvoke(Command(resume={unknown: 1, question.id: 2}), thread)
    assert result["log"] == [2]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert unknown in record.message
    assert question.id not in record.message


async def test_a_spent_answer_is_warned_of_and_runs_nothing(
    wire: Any, thread: Any, caplog: Any, side_by_side: Any
) -> None:
    graph = wire({"ask": side_by_side("a")}, (START, "ask"))
    (question,) = (await graph.ainvoke({}, thread))["__interrupt__"]
    for _ in range(2):
        await graph.ainvoke(Command(resume={question.id: 1}), thread)
    assert [record.message for record in caplog.records] == [
        "The resume answers no interrupt that waits"
    ]


async def test_who_carries_out_a_job_is_told_of_answers_that_answer_nothing(
    wire: Any, side_by_side: Any
) -> None:
    graph, log = wire({"ask": side_by_side("a")}, (START, "ask")), InMemorySaver().log("1")
    (question,) = (await graph.perform(Job(input={}, log=log))).interrupts
    unknown = "0" * 32
    resume = Command(resume={unknown: 1, question.id: 2})
    finish = await graph.perform(Job(input=resume, log=log))
    assert unknown in str(finish.warning)
    finish = await graph.perform(Job(input={"log": []}, log=log))
    assert finish.warning is None


async def test_a_resume_at_a_breakpoint_says_to_go_on(
    wire: Any, thread: Any, caplog: Any, says: Any
) -> None:
    inner = wire("xy", (START, "x"), ("x", "y"), checkpointer=None, interrupt_before=["y"])
    nodes = {"a": says("a"), "inner": inner, "b": says("b")}
    edges = ((START, "a"), ("a", "inner"), ("inner", "b"))
    graph = wire(nodes, *edges, interrupt_before=["inner"])
    await graph.ainvoke({"log": []}, thread)
    assert (await graph.ainvoke(Command(resume=True), thread))["log"] == ["a"]
    result = await graph.ainvoke(Command(resume=True), thread)
    assert result["log"][-3:] == ["x", "y", "b"]
    assert caplog.records == []


async def test_a_plain_answer_to_questions_inside_and_outside_names_them_all(
    wire: Any, thread: Any
) -> None:
    async def ask(state: Any) -> Any:
        return {"log": [interrupt("?")]}

    inner = wire({"ask": ask}, (START, "ask"), checkpointer=None)

    async def call(state: Any) -> Any:
        return {"log": (await inner.ainvoke({}))["log"]}

    nodes = {"a": ask, "b": inner, "c": call}
    graph = wire(nodes, *((START, name) for name in nodes))
    questions = (await graph.ainvoke({}, thread))["__interrupt__"]
    with pytest.raises(InvalidResumeError) as caught:
        await graph.ainvoke(Command(resume="yes"), thread)
    assert len(questions) == 3
    assert all(question.id in str(caught.value) for question in questions)
    for n, question in enumerate(questions):
        result = await graph.ainvoke(Command(resume={question.id: n}), thread)
    assert result["log"] == [0, 1, 2]


# Commands beside what waits.


async def test_a_goto_to_a_deferred_node_waits_for_the_others(wire: Any, thread: Any) -> None:
    async def ask(state: Any) -> Any:
        return {"log": [interrupt("?")]}

    builder = StateGraph(wire("a", (START, "a")).state_schema)
    builder.add_node("ask", ask).add_node("a", lambda state: {"log": ["a"]})
    builder.add_node("last", lambda state: {"log": ["last"]}, defer=True)
    builder.add_edge(START, "ask").add_edge("ask", "a")
    graph = builder.compile(checkpointer=InMemorySaver())
    await graph.ainvoke({"log": []}, thread)
    result = await graph.ainvoke(Command(goto="last"), thread)
    assert asked(result) == ["?"]
    assert (await graph.ainvoke(Command(resume="r"), thread))["log"] == ["r", "a", "last"]
    assert (await graph.ainvoke(Command(goto=["last", "a"]), thread))["log"][3:] == ["a", "last"]
    assert (await graph.ainvoke(Command(goto="last"), thread))["log"][5:] == ["last"]


@pytest.mark.parametrize("when", ["interrupt_before", "interrupt_after"])
async def test_breakpoints_at_all_nodes_of_a_graph_inside_pause_at_each(
    wire: Any, thread: Any, says: Any, when: str
) -> None:
    inner = wire("xy", (START, "x"), ("x", "y"), checkpointer=None, **{when: "*"})
    graph = wire({"inner": inner, "z": says("z")}, (START, "inner"), ("inner", "z"))
    assert await graph.ainvoke({"log": []}, thread) == {"log": []}
    assert await graph.ainvoke(None, thread) == {"log": []}
    assert (await graph.aget_state(thread)).next == ("inner",)
    assert await graph.ainvoke(None, thread) == {"log": ["x", "y", "z"]}


async def test_a_breakpoint_after_the_last_node_of_a_graph_inside_pauses(
    wire: Any, thread: Any, says: Any
) -> None:
    inner = wire("x", (START, "x"), checkpointer=None, interrupt_after=["x"])
    graph = wire({"inner": inner, "z": says("z")}, (START, "inner"), ("inner", "z"))
    assert await graph.ainvoke({"log": []}, thread) == {"log": []}
    state = await graph.aget_state(thread, subgraphs=True)
    assert state.tasks[0].state.values["log"] == ["x"]
    assert await graph.ainvoke(None, thread) == {"log": ["x", "z"]}


async def test_a_command_at_a_breakpoint_passes_it(wire: Any, thread: Any) -> None:
    graph = wire("abc", (START, "a"), ("a", "b"), interrupt_before=["b", "c"])
    await graph.ainvoke({"log": []}, thread)
    result = await graph.ainvoke(Command(goto="c"), thread)
    assert result == {"log": ["a", "b", "c"]}


async def test_sent_tasks_of_one_graph_are_answered_one_by_one(wire: Any, thread: Any) -> None:
    async def ask(state: Any) -> Any:
        return {"log": [(state["value"], interrupt("first")), interrupt("second")]}

    async def plan(state: Any) -> Command:
        return Command(goto=[Send("call", {"value": n}) for n in range(3)])

    inner = wire({"ask": ask}, (START, "ask"), checkpointer=None)

    async def call(state: Any) -> Any:
        return {"log": (await inner.ainvoke(state))["log"]}

    graph = wire({"plan": plan, "call": call}, (START, "plan"))
    result = await graph.ainvoke({"log": []}, thread)
    while waiting := result.get("__interrupt__"):
        result = await graph.ainvoke(Command(resume={waiting[-1].id: len(waiting)}), thread)
    assert result["log"] == [(0, 1), 1, (1, 2), 2, (2, 3), 3]
