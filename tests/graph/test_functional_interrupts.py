"""Questions of entrypoints and tasks, and what streams tell of both."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from greenroom.graph import (
    Command,
    InMemorySaver,
    InvalidResumeError,
    StreamWriter,
    emit_message,
    entrypoint,
    interrupt,
    task,
)


@task
async def ask(*questions: str) -> list[Any]:
    return [interrupt(question) for question in questions]


@task
def ask_in_a_thread(*questions: str) -> list[Any]:
    return [interrupt(question) for question in questions]


@task
async def double(number: int) -> int:
    return number * 2


def program_of(body: Any) -> Any:
    return entrypoint(checkpointer=InMemorySaver(), name="program")(body)


def questions(result: Any) -> list[Any]:
    return [question.value for question in result["__interrupt__"]]


async def waiting(program: Any, thread: Any) -> dict[str, str]:
    """The ids of the questions that wait, by question."""
    state = await program.aget_state(thread)
    return {question.value: question.id for question in state.interrupts}


@pytest.mark.parametrize("asks", [ask, ask_in_a_thread])
async def test_an_interrupt_inside_a_task_is_answered_on_resume(asks: Any, thread: Any) -> None:
    @program_of
    async def program(_: Any) -> Any:
        return await asks("name?")

    assert questions(await program.ainvoke(0, thread)) == ["name?"]
    assert await program.ainvoke(Command(resume="Ada"), thread) == ["Ada"]


async def test_a_plain_program_is_paused_by_its_task(thread: Any) -> None:
    @program_of
    def program(_: Any) -> Any:
        return ask_in_a_thread("name?").result()

    assert questions(await program.ainvoke(0, thread)) == ["name?"]
    assert await program.ainvoke(Command(resume="Ada"), thread) == ["Ada"]


async def test_a_task_asks_several_times_and_so_does_its_program(thread: Any) -> None:
    @program_of
    async def program(_: Any) -> Any:
        return [interrupt("0"), *await ask("1", "2"), interrupt("3")]

    paused = await program.ainvoke(0, thread)
    for number in range(3):
        assert questions(paused) == [str(number)]
        paused = await program.ainvoke(Command(resume=f"answer {number}"), thread)
    assert questions(paused) == ["3"]
    done = await program.ainvoke(Command(resume="answer 3"), thread)
    assert done == [f"answer {number}" for number in range(4)]


async def test_the_questions_of_several_tasks_come_together(thread: Any) -> None:
    @program_of
    async def program(_: Any) -> Any:
        futures = [ask("a"), ask("b"), double(2)]
        return [await future for future in futures]

    assert questions(await program.ainvoke(0, thread)) == ["a", "b"]
    with pytest.raises(RuntimeError, match="2 interrupts wait") as caught:
        await program.ainvoke(Command(resume="which?"), thread)
    assert isinstance(caught.value, InvalidResumeError)
    ids = await waiting(program, thread)
    answers = {ident: question.upper() for question, ident in ids.items()}
    assert await program.ainvoke(Command(resume=answers), thread) == [["A"], ["B"], 4]


async def test_one_of_several_questions_is_answered_by_its_id(thread: Any) -> None:
    asked: list[str] = []

    @task
    async def notes(question: str) -> Any:
        answer = interrupt(question)
        asked.append(question)
        return answer

    @program_of
    async def program(_: Any) -> Any:
        futures = [notes("a"), notes("b")]
        return [await future for future in futures]

    await program.ainvoke(0, thread)
    ids = await waiting(program, thread)
    paused = await program.ainvoke(Command(resume={ids["b"]: "B"}), thread)
    assert questions(paused) == ["a"]
    assert await waiting(program, thread) == {"a": ids["a"]}
    assert await program.ainvoke(Command(resume="A"), thread) == ["A", "B"]
    assert asked == ["b", "a"]


async def test_a_task_that_nobody_awaits_asks_all_the_same(thread: Any) -> None:
    @program_of
    async def program(_: Any) -> str:
        ask("?")
        return "done"

    assert questions(await program.ainvoke(0, thread)) == ["?"]
    assert await program.ainvoke(Command(resume="!"), thread) == "done"


async def test_a_program_and_its_task_ask_at_the_same_time(thread: Any) -> None:
    @program_of
    async def program(_: Any) -> Any:
        future = ask("task?")
        return [interrupt("own?"), await future]

    assert questions(await program.ainvoke(0, thread)) == ["task?", "own?"]
    ids = await waiting(program, thread)
    answers = {ids["task?"]: 1, ids["own?"]: 2}
    assert await program.ainvoke(Command(resume=answers), thread) == [2, [1]]


async def test_a_question_counts_for_more_than_an_error_that_nobody_has_seen(thread: Any) -> None:
    @task
    async def fails() -> None:
        raise KeyError("lost")

    @program_of
    async def program(_: Any) -> Any:
        asks, failing = ask("?"), fails()
        answer = await asks
        try:
            await failing
        except KeyError as error:
            return [answer, error.args]

    assert questions(await program.ainvoke(0, thread)) == ["?"]
    assert await program.ainvoke(Command(resume="!"), thread) == [["!"], ("lost",)]


async def test_tasks_of_tasks_ask_too(thread: Any) -> None:
    @task
    async def outer() -> Any:
        return [await ask("inner"), interrupt("outer")]

    @program_of
    async def program(_: Any) -> Any:
        return await outer()

    assert questions(await program.ainvoke(0, thread)) == ["inner"]
    [asked] = (await program.aget_state(thread)).interrupts
    assert [level.partition(":")[0] for level in asked.ns] == ["program", "outer", "ask"]
    assert questions(await program.ainvoke(Command(resume=1), thread)) == ["outer"]
    assert await program.ainvoke(Command(resume=2), thread) == [[1], 2]


async def test_an_answer_is_not_lost_if_the_run_is_cut_short_before_the_task_is_called_again(
    thread: Any,
) -> None:
    ready, open_at_first = trio.Event(), trio.Event()
    gates = [open_at_first]
    open_at_first.set()

    @program_of
    async def program(_: Any) -> Any:
        ready.set()
        await gates[0].wait()
        return await ask("?")

    await program.ainvoke(0, thread)
    ready, gates[0] = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(program.ainvoke, Command(resume="!"), thread)
        await ready.wait()
        nursery.cancel_scope.cancel()
    gates[0].set()
    assert await program.ainvoke(None, thread) == ["!"]


async def test_the_state_shows_the_questions_of_tasks_once(thread: Any) -> None:
    @program_of
    async def program(_: Any) -> Any:
        return await ask("?")

    await program.ainvoke(0, thread)
    state = await program.aget_state(thread)
    assert (state.values, state.next) == (None, ("program",))
    [shown] = state.tasks
    assert [question.value for question in shown.interrupts] == ["?"]


async def test_an_older_question_is_answered_with_the_tasks_that_were_done_then(
    thread: Any,
) -> None:
    done: list[str] = []

    @task
    async def work(name: str) -> None:
        done.append(name)

    @program_of
    async def program(name: str) -> Any:
        await work(name)
        return [name, *await ask("?")]

    await program.ainvoke("first", thread)
    paused = (await program.aget_state(thread)).config
    await program.ainvoke("second", thread)
    assert await program.ainvoke(Command(resume="yes"), paused) == ["first", "yes"]
    assert done == ["first", "second"]
    assert questions(await program.ainvoke(None, paused)) == ["?"]
    assert done == ["first", "second", "first"]  # a branch begins anew


# Streams.


async def chunks_of(program: Any, given: Any, thread: Any, mode: Any) -> list[Any]:
    async with program.astream(given, thread, stream_mode=mode) as chunks:
        return [chunk async for chunk in chunks]


@pytest.fixture
def program() -> Any:
    @program_of
    async def program(number: int, *, writer: StreamWriter) -> Any:
        writer("begins")
        return [await double(number), await double(number + 1), interrupt("sure?")]

    return program


async def test_updates_tell_of_each_finished_task_and_of_the_program(
    program: Any, thread: Any
) -> None:
    first = await chunks_of(program, 1, thread, "updates")
    assert first[:2] == [{"double": 2}, {"double": 4}]
    assert questions(first[2]) == ["sure?"]
    second = await chunks_of(program, Command(resume="yes"), thread, "updates")
    assert second == [{"program": [2, 4, "yes"]}]


async def test_values_are_what_the_program_has_returned(program: Any, thread: Any) -> None:
    [asked] = await chunks_of(program, 1, thread, "values")
    assert questions(asked) == ["sure?"]
    second = await chunks_of(program, Command(resume="yes"), thread, "values")
    assert second == [None, [2, 4, "yes"]]


async def test_tasks_tell_of_calls_as_of_nodes(program: Any, thread: Any) -> None:
    async def told(given: Any) -> list[Any]:
        chunks = await chunks_of(program, given, thread, "tasks")
        idents = {chunk["id"] for chunk in chunks}
        assert len(idents) == len(
            {(c["name"], str(c.get("input"))) for c in chunks if "input" in c}
        )
        return [
            (chunk["name"], chunk["input"], chunk["triggers"])
            if "input" in chunk
            else (chunk["name"], chunk["result"], [q["value"] for q in chunk["interrupts"]])
            for chunk in chunks
        ]

    start = ("program", 1, ("__start__",))
    assert await told(1) == [
        start,
        ("double", ((1,), {}), ("__pregel_push",)),
        ("double", {"__return__": 2}, []),
        ("double", ((2,), {}), ("__pregel_push",)),
        ("double", {"__return__": 4}, []),
        ("program", {}, ["sure?"]),
    ]
    assert await told(Command(resume="yes")) == [
        start,
        ("program", {"__end__": [2, 4, "yes"]}, []),
    ]


async def test_a_failed_task_is_told_of_though_its_error_is_caught(thread: Any) -> None:
    @task
    async def fails() -> None:
        raise KeyError("lost")

    @program_of
    async def program(_: Any) -> str:
        try:
            await fails()
        except KeyError:
            return "caught"
        return "fine"

    chunks = await chunks_of(program, 0, thread, ["tasks", "updates"])
    ends = [chunk for mode, chunk in chunks if mode == "tasks" and "error" in chunk]
    assert [(end["name"], repr(end["error"])) for end in ends] == [
        ("fails", "KeyError('lost')"),
        ("program", "None"),
    ]
    assert [chunk for mode, chunk in chunks if mode == "updates"] == [{"program": "caught"}]


async def test_a_task_that_asks_is_told_of_with_its_question(thread: Any) -> None:
    @program_of
    async def program(_: Any) -> Any:
        return await ask("?")

    chunks = await chunks_of(program, 0, thread, "tasks")
    ends = [chunk for chunk in chunks if "interrupts" in chunk]
    assert [(end["name"], [q["value"] for q in end["interrupts"]]) for end in ends] == [
        ("ask", ["?"]),
        ("program", ["?"]),
    ]


async def test_checkpoints_and_debug_count_one_step_for_a_run(program: Any, thread: Any) -> None:
    await chunks_of(program, 1, thread, "debug")
    chunks = await chunks_of(program, Command(resume="yes"), thread, "debug")
    assert [(chunk["type"], chunk["step"]) for chunk in chunks] == [
        ("checkpoint", -1),
        ("task", 0),
        ("task_result", 0),
        ("checkpoint", 0),
    ]
    assert chunks[-1]["payload"]["values"] == [2, 4, "yes"]


async def test_messages_of_programs_and_tasks_are_told_once(thread: Any) -> None:
    @task
    async def answer() -> Any:
        emit_message({"type": "ai", "content": "hel", "id": "1"})
        return {"type": "ai", "content": "hello", "id": "1"}

    @task
    async def ends() -> Any:
        return {"type": "ai", "content": "bye"}

    @program_of
    async def program(_: Any) -> Any:
        return {"messages": [await answer(), await ends()], "count": 2}

    chunks = await chunks_of(program, 0, thread, "messages")
    assert [(m["content"], about["langgraph_node"]) for m, about in chunks] == [
        ("hel", "answer"),
        ("bye", "ends"),
    ]
    result = (await program.aget_state(thread)).values
    shown = {about["langgraph_node"]: message["id"] for message, about in chunks}
    assert [message["id"] for message in result["messages"]] == ["1", shown["ends"]]


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ({"type": "ai", "content": "hi"}, ["hi"]),
        ([{"type": "ai", "content": "hi"}, {"type": "ai", "content": "ho"}], ["hi", "ho"]),
        ({"messages": [{"type": "ai", "content": "hi"}], "count": 1}, ["hi"]),
        (entrypoint.final(value=1, save={"type": "ai", "content": "hi"}), []),
        (entrypoint.final(value={"type": "ai", "content": "hi"}, save=1), ["hi"]),
    ],
)
async def test_messages_that_a_program_returns_are_told(
    returned: Any, told: list[str], thread: Any
) -> None:
    program = program_of(lambda _: returned)
    chunks = await chunks_of(program, 0, thread, "messages")
    assert [message["content"] for message, _ in chunks] == told


async def test_a_pause_shows_what_the_last_run_returned_if_it_has_keys(thread: Any) -> None:
    @program_of
    async def program(number: int) -> Any:
        return {"number": number if number == 1 else interrupt("?")}

    await program.ainvoke(1, thread)
    paused = await program.ainvoke(2, thread)
    assert (paused["number"], questions(paused)) == (1, ["?"])


def test_a_plain_program_streams(thread: Any) -> None:
    @task
    def triple(number: int) -> int:
        return number * 3

    @program_of
    def program(number: int) -> int:
        return triple(number).result()

    assert list(program.stream(1, thread)) == [{"triple": 3}, {"program": 3}]
