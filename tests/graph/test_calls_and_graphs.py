"""Tasks and steps that call graphs, programs inside graphs, and graphs beside tasks."""

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
    InvalidUpdateError,
    RetryPolicy,
    RunnableConfig,
    StateGraph,
    entrypoint,
    interrupt,
    step,
    task,
)
from greenroom.graph.job import Job
from greenroom.graph.world import World
from greenroom.storage import MemoryStorage, StorageSaver, StorageSession


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]


async def ask(state: Any) -> Any:
    return {"log": [interrupt(f"{state['log'][0]}?")]}


@pytest.fixture
def asking(wire: Any, says: Any) -> Any:
    """A graph that says `x` and asks."""
    return wire({"x": says("x"), "ask": ask}, (START, "x"), ("x", "ask"), checkpointer=None)


@pytest.fixture(params=["async", "plain"])
def graph_task(request: Any) -> Any:
    """Makes a task that calls a graph with a word and gives back its log."""

    def graph_task(graph: Any) -> Any:
        @task
        async def call(word: str) -> Any:
            return (await graph.ainvoke({"log": [word]}))["log"]

        @task(name="call")
        def call_in_thread(word: str) -> Any:
            return graph.invoke({"log": [word]})["log"]

        return call if request.param == "async" else call_in_thread

    return graph_task


def program(function: Any) -> Any:
    return entrypoint(checkpointer=InMemorySaver())(function)


def asked(result: Any) -> list[Any]:
    return [question.value for question in result["__interrupt__"]]


# What is known of them before they are called.


def called_by(program: Any, **options: Any) -> dict[str, Any]:
    return dict(program.get_subgraphs(**options))


def test_graphs_that_tasks_call_are_listed_under_their_callers(wire: Any, asking: Any) -> None:
    deep = wire({"sub": asking}, (START, "sub"), checkpointer=None)

    @task
    async def inner(word: str) -> Any:
        return [await deep.ainvoke({"log": [word]}), inner]

    @task
    def outer(word: str) -> Any:
        return [asking.invoke({"log": [word]}), inner(word).result(), outer]

    async def call(state: Any) -> Any:
        return {"log": [await outer("a")]}

    @entrypoint()
    async def main(word: str) -> Any:
        return [await inner(word), await outer(word)]

    graph = wire({"call": call, "none": lambda state: None}, (START, "call"), checkpointer=None)
    assert called_by(graph) == {"call|outer": asking, "call|outer|inner": deep}
    assert called_by(main) == {
        "main|inner": deep,
        "main|outer": asking,
        "main|outer|inner": deep,
    }
    assert called_by(main, recurse=True) == {
        **called_by(main),
        "main|inner|sub": asking,
        "main|outer|inner|sub": asking,
    }
    assert called_by(main, namespace="main|outer|inner") == {"main|outer|inner": deep}
    assert called_by(main, namespace="main|inner|sub", recurse=True) == {"main|inner|sub": asking}
    assert called_by(main, namespace="main|inner|sub") == {}


def test_a_graph_in_a_task_that_keeps_nothing_is_not_listed(wire: Any) -> None:
    inner = wire({"x": lambda state: None}, (START, "x"), checkpointer=False)

    @task
    async def call() -> Any:
        return await inner.ainvoke({})

    @entrypoint()
    async def main(given: Any) -> Any:
        return await call()

    assert called_by(main) == {}


async def test_what_is_listed_names_the_places_of_states(
    thread: Any, asking: Any, graph_task: Any
) -> None:
    call = graph_task(asking)
    main = program(lambda word: call(word).result())
    await main.ainvoke("a", thread)
    [listed] = [namespace async for namespace, _ in main.aget_subgraphs()]
    (question,) = (await main.aget_state(thread)).interrupts
    *around, _ = [place.partition(":")[0] for place in question.ns]
    assert listed == "|".join(around)


# Graphs that tasks call.


async def test_a_question_of_a_graph_in_a_task_is_answered_on_resume(
    thread: Any, asking: Any, graph_task: Any
) -> None:
    call = graph_task(asking)

    @program
    async def main(word: str) -> Any:
        return [await call(word), interrupt("main?")]

    assert asked(await main.ainvoke("a", thread)) == ["a?"]
    assert asked(await main.ainvoke(Command(resume=1), thread)) == ["main?"]
    assert await main.ainvoke(Command(resume=2), thread) == [["a", "x", 1], 2]


async def test_questions_of_a_task_and_of_a_graph_come_together_and_are_answered_one_by_one(
    wire: Any, thread: Any, asking: Any, graph_task: Any
) -> None:
    call = graph_task(asking)

    @task
    async def plainly(word: str) -> str:
        return f"{word} {interrupt(word)}"

    async def node(state: Any) -> Any:
        futures: list[Any] = [call("a"), plainly("b"), call("c")]
        inner = await asking.ainvoke({"log": ["d"]})
        return {"log": [*[await future for future in futures], inner["log"]]}

    graph = wire({"node": node}, (START, "node"))
    result = await graph.ainvoke({}, thread)
    assert sorted(asked(result)) == ["a?", "b", "c?", "d?"]
    ids = {question.value: question.id for question in result["__interrupt__"]}
    for question in ("c?", "b", "d?"):
        answer = {ids[question]: question.upper()}
        result = await graph.ainvoke(Command(resume=answer), thread)
        assert all(ids[one.value] == one.id for one in result["__interrupt__"])
    assert asked(result) == ["a?"]
    result = await graph.ainvoke(Command(resume="A?"), thread)
    assert result["log"] == [["a", "x", "A?"], "b B", ["c", "x", "C?"], ["d", "x", "D?"]]


async def test_a_graph_that_a_task_calls_remembers(
    wire: Any, thread: Any, asking: Any, graph_task: Any
) -> None:
    call = graph_task(asking.builder.compile(checkpointer=True))

    async def node(state: Any) -> Any:
        return {"value": await call(state["value"])}

    graph = wire({"node": node}, (START, "node"))
    assert asked(await graph.ainvoke({"value": "a"}, thread)) == ["a?"]
    assert (await graph.ainvoke(Command(resume=1), thread))["value"] == ["a", "x", 1]
    assert asked(await graph.ainvoke({"value": "b"}, thread)) == ["a?"]  # the first of its log
    result = await graph.ainvoke(Command(resume=2), thread)
    assert result["value"] == ["a", "x", 1, "b", "x", 2]


async def test_a_graph_in_a_task_pauses_the_whole_at_its_breakpoints(
    thread: Any, wire: Any, graph_task: Any
) -> None:
    call = graph_task(
        wire(["x", "y"], (START, "x"), ("x", "y"), checkpointer=None, interrupt_before=["y"])
    )

    @program
    async def main(word: str) -> Any:
        future = call(word)
        return await future

    await main.ainvoke("a", thread)
    assert (await main.aget_state(thread)).next == ("main",)
    assert await main.ainvoke(None, thread) == ["a", "x", "y"]


async def test_a_config_that_is_handed_to_a_task_is_the_one_of_the_run(
    wire: Any, thread: Any, asking: Any
) -> None:
    asking = asking.builder.compile(checkpointer=InMemorySaver())

    @task
    async def call(word: str, around: RunnableConfig) -> Any:
        return (await asking.ainvoke({"log": [word]}, around))["log"]

    async def node(state: Any, config: RunnableConfig) -> Any:
        return {"value": await call("a", config)}

    graph = wire({"node": node}, (START, "node"))
    assert asked(await graph.ainvoke({}, thread)) == ["a?"]
    assert (await graph.ainvoke(Command(resume=1), thread))["value"] == ["a", "x", 1]


async def test_a_graph_in_a_task_speaks_to_the_graph_of_the_node(
    wire: Any, says: Any, thread: Any, graph_task: Any
) -> None:
    def up(state: Any) -> Any:
        return Command(graph=Command.PARENT, update={"log": ["up"]}, goto="there")

    call = graph_task(wire({"up": up}, (START, "up"), checkpointer=None))

    async def awaits(state: Any) -> Any:
        return {"log": [await call("a")]}

    async def leaves(state: Any) -> Any:
        call("a")

    for node in (awaits, leaves):
        graph = wire({"node": node, "there": says("there")}, (START, "node"))
        assert (await graph.ainvoke({"log": []}, thread))["log"] == ["up", "there"]


async def test_a_graph_in_an_entrypoint_has_no_graph_to_speak_to(wire: Any, thread: Any) -> None:
    def up(state: Any) -> Any:
        return Command(graph=Command.PARENT, update={"log": ["up"]})

    inner = wire({"up": up}, (START, "up"), checkpointer=None)

    @program
    async def main(word: str) -> Any:
        return await inner.ainvoke({"log": [word]})

    with pytest.raises(InvalidUpdateError, match="'main'"):
        await main.ainvoke("a", thread)


async def test_what_is_called_on_the_way_out_after_a_command_is_waited_for(
    wire: Any, says: Any, thread: Any
) -> None:
    done: list[str] = []

    def up(state: Any) -> Any:
        return Command(graph=Command.PARENT, update={"log": ["up"]})

    inner = wire({"up": up}, (START, "up"), checkpointer=None)

    @task
    async def late() -> None:
        await trio.testing.wait_all_tasks_blocked()
        done.append("late")

    async def choose(state: Any) -> str:
        late()
        return "there"

    async def there(state: Any) -> Any:
        return {"log": list(done)}

    async def node(state: Any) -> Any:
        await inner.ainvoke({"log": []})

    builder: Any = StateGraph(State)
    builder.add_node("node", node).add_node("there", there).add_edge(START, "node")
    graph = builder.add_conditional_edges("node", choose).compile()
    assert (await graph.ainvoke({"log": []}))["log"] == ["up", "late"]


async def test_graphs_side_by_side_in_a_task_find_their_own_runs(
    wire: Any, thread: Any, asking: Any
) -> None:
    words = [f"w{n}" for n in range(6)]

    @task
    async def call() -> Any:
        logs: dict[str, Any] = {}

        async def one(word: str) -> None:
            logs[word] = (await asking.ainvoke({"log": [word]}))["log"]

        async with trio.open_nursery() as nursery:
            for word in words:
                nursery.start_soon(one, word)
        return [logs[word] for word in words]

    async def node(state: Any) -> Any:
        return {"log": await call()}

    graph = wire({"node": node}, (START, "node"))
    result = await graph.ainvoke({}, thread)
    while questions := result.get("__interrupt__"):
        answer = {questions[-1].id: questions[-1].value.upper()}
        result = await graph.ainvoke(Command(resume=answer), thread)
    assert result["log"] == [[word, "x", f"{word.upper()}?"] for word in words]


async def test_a_graph_in_a_node_may_be_told_to_go_on_without_input(
    wire: Any, thread: Any, asking: Any
) -> None:
    given: list[Any] = [None, {"log": ["a"]}]

    async def node(state: Any) -> Any:
        return {"log": (await asking.ainvoke(given.pop()))["log"]}

    graph = wire({"node": node}, (START, "node"))
    assert asked(await graph.ainvoke({}, thread)) == ["a?"]
    assert (await graph.ainvoke(Command(resume=1), thread))["log"] == ["a", "x", 1]


async def test_a_graph_whose_own_config_names_a_thread_is_a_run_of_its_own(
    wire: Any, thread: Any
) -> None:
    own = {"configurable": {"thread_id": "its own"}}
    inner = wire(["x"], (START, "x")).with_config(own)

    async def node(state: Any) -> Any:
        return {"log": (await inner.ainvoke({"log": []}))["log"]}

    graph = wire({"node": node}, (START, "node"))
    await graph.ainvoke({"log": []}, thread)
    await graph.ainvoke({"log": []}, thread)
    assert (await inner.aget_state(own)).values["log"] == ["x", "x"]


async def test_a_cancelled_run_that_goes_on_finds_the_graph_of_its_task(
    wire: Any, thread: Any, says: Any
) -> None:
    ran: list[str] = []
    stuck = trio.Event()

    def once(state: Any) -> Any:
        ran.append("once")
        return {"log": ["once"]}

    async def waits(state: Any) -> Any:
        if len(ran) == 1:
            ran.append("waits")
            stuck.set()
            await trio.sleep_forever()
        return {"log": ["waits"]}

    nodes = {"once": once, "waits": waits}
    inner = wire(nodes, (START, "once"), ("once", "waits"), checkpointer=None)

    @task
    async def call(word: str) -> Any:
        return (await inner.ainvoke({"log": [word]}))["log"]

    @program
    async def main(word: str) -> Any:
        return await call(word)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(main.ainvoke, "a", thread)
        await stuck.wait()
        nursery.cancel_scope.cancel()
    assert await main.ainvoke(None, thread) == ["a", "once", "waits"]
    assert ran == ["once", "waits"]


async def test_a_graph_in_a_task_is_streamed_with_the_run(
    wire: Any, thread: Any, asking: Any, graph_task: Any
) -> None:
    call = graph_task(asking)

    @program
    async def main(word: str) -> Any:
        return await call(word)

    async with main.astream("a", thread, subgraphs=True) as stream:
        chunks = [(ns, chunk) async for ns, chunk in stream]
    places = [[part.partition(":")[0] for part in ns] for ns, _ in chunks]
    assert (places[0], chunks[0][1]) == (["main", "call"], {"x": {"log": ["x"]}})


# Where they are, and going back to them.


async def test_the_state_of_a_graph_in_a_task_is_read_and_edited_at_its_place(
    wire: Any, thread: Any, asking: Any, graph_task: Any
) -> None:
    call = graph_task(asking)

    @program
    async def main(word: str) -> Any:
        return await call(word)

    (question,) = (await main.ainvoke("a", thread))["__interrupt__"]
    place = {"configurable": {"thread_id": "1", "checkpoint_ns": "|".join(question.ns[:-1])}}
    state = await main.aget_state(place)
    assert (state.values["log"], state.next) == (["a", "x"], ("ask",))
    await main.aupdate_state(place, {"log": ["edited"]}, as_node="x")
    assert asked(await main.ainvoke(None, thread)) == ["a?"]
    assert await main.ainvoke(Command(resume=1), thread) == ["a", "x", "edited", 1]


async def test_a_run_goes_on_from_a_checkpoint_of_a_graph_in_a_task(
    thread: Any, wire: Any, graph_task: Any
) -> None:
    ran: list[str] = []

    def node(name: str) -> Any:
        def node(state: Any) -> Any:
            ran.append(name)
            return {"log": [f"{name} {len(ran)}"]}

        return node

    nodes = {name: node(name) for name in ("x", "y")}
    call = graph_task(wire(nodes, (START, "x"), ("x", "y"), checkpointer=None))

    @program
    async def main(word: str) -> Any:
        return await call(word)

    seen: list[Any] = []
    async with main.astream("a", thread, stream_mode="checkpoints", subgraphs=True) as stream:
        async for ns, chunk in stream:
            if ns and chunk["next"] == ["y"]:
                seen.append(chunk["config"])
    assert await main.ainvoke(None, seen[0]) == ["a", "x 1", "y 3"]
    assert ran == ["x", "y", "y"]


async def test_a_branch_from_before_a_question_asks_it_anew(
    thread: Any, asking: Any, graph_task: Any
) -> None:
    call, made = graph_task(asking), []

    @task
    async def first() -> int:
        made.append("first")
        return len(made)

    @program
    async def main(word: str) -> Any:
        return [await first(), await call(word)]

    await main.ainvoke("a", thread)
    assert await main.ainvoke(Command(resume="b"), thread) == [1, ["a", "x", "b"]]
    history = [state async for state in main.aget_state_history(thread)]
    before = history[-1].config
    (question,) = (await main.ainvoke(None, before))["__interrupt__"]
    assert question.value == "a?"
    assert await main.ainvoke(Command(resume="c"), thread) == [2, ["a", "x", "c"]]


# Programs inside graphs.


@pytest.mark.parametrize("calls", [False, True], ids=["as a node", "called"])
async def test_a_program_inside_a_graph_asks_and_goes_on(
    wire: Any, thread: Any, calls: bool
) -> None:
    made: list[str] = []

    @task
    async def once(word: str) -> str:
        made.append(word)
        return word.upper()

    @entrypoint()
    async def inner(given: Any) -> Any:
        word = await once(given["value"] if isinstance(given, dict) else given)
        return {"value": f"{word} {interrupt('sure?')}"}

    async def call(state: Any) -> Any:
        return await inner.ainvoke(state["value"])

    graph = wire({"node": call if calls else inner}, (START, "node"))
    (question,) = (await graph.ainvoke({"value": "a"}, thread))["__interrupt__"]
    state = await graph.aget_state(thread, subgraphs=True)
    assert state.tasks[0].state.next == ("inner",)
    assert question.value == "sure?"
    assert (await graph.ainvoke(Command(resume="yes"), thread))["value"] == "A yes"
    assert made == ["a"]


async def test_programs_side_by_side_find_their_own_runs(wire: Any, thread: Any) -> None:
    @entrypoint()
    async def inner(word: str) -> str:
        return f"{word} {interrupt(f'{word}?')}"

    words = [f"w{n}" for n in range(6)]

    async def call(state: Any) -> Any:
        said: dict[str, Any] = {}

        async def one(word: str) -> None:
            said[word] = await inner.ainvoke(word)

        async with trio.open_nursery() as nursery:
            for word in words:
                nursery.start_soon(one, word)
        return {"log": [said[word] for word in words]}

    graph = wire({"call": call}, (START, "call"))
    result = await graph.ainvoke({}, thread)
    while questions := result.get("__interrupt__"):
        answer = {questions[-1].id: questions[-1].value.upper()}
        result = await graph.ainvoke(Command(resume=answer), thread)
    assert result["log"] == [f"{word} {word.upper()}?" for word in words]


async def test_a_program_inside_a_graph_may_remember_what_it_returned(
    wire: Any, thread: Any
) -> None:
    @entrypoint(checkpointer=True)
    async def inner(word: str, *, previous: list[str] | None = None) -> list[str]:
        return [*(previous or []), word]

    async def call(state: Any) -> Any:
        return {"value": await inner.ainvoke(state["value"])}

    graph = wire({"call": call}, (START, "call"))
    await graph.ainvoke({"value": "a"}, thread)
    assert (await graph.ainvoke({"value": "b"}, thread))["value"] == ["a", "b"]


# Steps beside graphs.


async def test_a_step_and_a_graph_of_one_node_are_each_done_once(
    wire: Any, thread: Any, asking: Any
) -> None:
    made: list[str] = []

    async def node(state: Any) -> Any:
        before = await step("charge", made.append, "charged")
        log = (await asking.ainvoke({"log": ["a"]}))["log"]
        after = await step("charge", lambda: len(made))
        return {"log": [before, log, after]}

    graph = wire({"node": node}, (START, "node"))
    assert asked(await graph.ainvoke({}, thread)) == ["a?"]
    assert (await graph.ainvoke(Command(resume=1), thread))["log"] == [None, ["a", "x", 1], 1]


@pytest.mark.parametrize("plain", [False, True], ids=["async", "plain"])
async def test_a_step_takes_a_graph_with_a_thread_of_its_own_only(
    wire: Any, thread: Any, plain: bool
) -> None:
    inner = wire(["x"], (START, "x"))
    own = {"configurable": {"thread_id": "its own"}}

    def call_in_thread(config: Any) -> Any:
        return inner.invoke({"log": []}, config)["log"]

    async def call(config: Any) -> Any:
        return (await inner.ainvoke({"log": []}, config))["log"]

    async def node(state: Any) -> Any:
        return {"log": await step("call", call_in_thread if plain else call, state["value"])}

    graph = wire({"node": node}, (START, "node"))
    assert (await graph.ainvoke({"value": own}, thread))["log"] == ["x"]
    with pytest.raises(RuntimeError, match="'LangGraph' was called inside step 'call'"):
        await graph.ainvoke({"value": None}, thread)


# Answers that are to be of a type.


async def test_an_answer_that_does_not_fit_leaves_the_question_of_a_task_waiting(
    thread: Any,
) -> None:
    @task
    async def number(word: str) -> int:
        return interrupt(word, response_schema=int)

    @program
    async def main(words: Any) -> Any:
        futures = [number(word) for word in words]
        return [await future for future in futures]

    result = await main.ainvoke(["a", "b"], thread)
    ids = {question.value: question.id for question in result["__interrupt__"]}
    with pytest.raises(InvalidAnswerError):
        await main.ainvoke(Command(resume={ids["a"]: 1, ids["b"]: "no"}), thread)
    waiting = (await main.aget_state(thread)).interrupts
    assert ids["b"] in {question.id for question in waiting}
    result = await main.ainvoke(Command(resume={ids["b"]: 2, ids["a"]: 1}), thread)
    assert result == [1, 2]


async def test_a_task_that_has_finished_is_not_asked_again_though_another_answer_did_not_fit(
    thread: Any,
) -> None:
    @task
    async def number(word: str) -> int:
        return interrupt(word, response_schema=int)

    @program
    async def main(words: Any) -> Any:
        futures = [number(word) for word in words]
        first = await futures[0]
        return [first, await number("c"), await futures[1]]

    result = await main.ainvoke(["a", "b"], thread)
    ids = {question.value: question.id for question in result["__interrupt__"]}
    result = await main.ainvoke(Command(resume={ids["a"]: 1}), thread)
    ids |= {question.value: question.id for question in result["__interrupt__"]}
    with pytest.raises(InvalidAnswerError):
        await main.ainvoke(Command(resume={ids["c"]: 3, ids["b"]: "no"}), thread)
    result = await main.ainvoke(Command(resume={ids["c"]: 3, ids["b"]: 2}), thread)
    assert result == [1, 3, 2]


async def test_a_task_asks_side_by_side_and_each_question_keeps_its_id(thread: Any) -> None:
    @task
    async def several() -> dict[str, Any]:
        answers = {}

        async def one(word: str) -> None:
            answers[word] = interrupt(word)

        async with trio.open_nursery() as nursery:
            for word in ("a", "b", "c"):
                nursery.start_soon(one, word)
        return answers

    @program
    async def main(given: Any) -> Any:
        return await several()

    result = await main.ainvoke(0, thread)
    ids = {question.value: question.id for question in result["__interrupt__"]}
    assert len(ids) == 3
    result = await main.ainvoke(Command(resume={ids["b"]: "B"}), thread)
    assert {one.value: one.id for one in result["__interrupt__"]} == {
        word: ids[word] for word in ("a", "c")
    }
    result = await main.ainvoke(Command(resume={ids["a"]: "A", ids["c"]: "C"}), thread)
    assert result == {"a": "A", "b": "B", "c": "C"}


async def test_an_answer_that_does_not_fit_is_told_apart_in_a_nursery_too(thread: Any) -> None:
    @program
    async def main(given: Any) -> Any:
        async with trio.open_nursery() as nursery:

            async def one() -> None:
                interrupt("number", response_schema=int)

            nursery.start_soon(one)
        return "done"

    await main.ainvoke(0, thread)
    with pytest.raises(InvalidAnswerError):
        await main.ainvoke(Command(resume="no"), thread)
    assert await main.ainvoke(Command(resume=1), thread) == "done"


# Retries, batches, threads, storage.


async def test_a_retry_finds_steps_tasks_and_graphs_side_by_side(wire: Any, thread: Any) -> None:
    made: list[str] = []
    attempts: list[str] = []

    def work(state: Any) -> Any:
        made.append(state["value"])
        return {"log": [state["value"]]}

    inner = wire({"work": work}, (START, "work"), checkpointer=None)

    @task
    async def called(word: str) -> Any:
        return (await inner.ainvoke({"value": word}))["log"]

    async def node(state: Any) -> Any:
        attempts.append("attempt")
        logs: dict[str, Any] = {}

        async def one(word: str) -> None:
            logs[word] = (await inner.ainvoke({"value": word}))["log"]

        stepped = await step("step", lambda: made.append("step"))
        future = called("task")
        words = [f"w{n}" for n in range(5)]
        async with trio.open_nursery() as nursery:
            for word in words if len(attempts) == 1 else reversed(words):
                nursery.start_soon(one, word)
        logs["task"] = await future
        if len(attempts) < 3:
            raise ValueError("again")
        return {"log": [stepped, *[logs[word] for word in (*words, "task")]]}

    builder: Any = StateGraph(State)
    policy = RetryPolicy(initial_interval=0, jitter=False, retry_on=ValueError)
    builder.add_node("node", node, retry_policy=policy)
    builder.add_edge(START, "node")
    graph = builder.compile(checkpointer=InMemorySaver())
    result = await graph.ainvoke({"log": []}, thread)
    assert result["log"] == [None, *[[f"w{n}"] for n in range(5)], ["task"]]
    assert sorted(made) == ["step", "task", *[f"w{n}" for n in range(5)]]


async def test_questions_of_a_batch_in_a_node_come_together(
    wire: Any, thread: Any, asking: Any
) -> None:
    async def node(state: Any) -> Any:
        made = await asking.abatch([{"log": [word]} for word in "abc"], return_exceptions=True)
        return {"log": [one["log"] for one in made]}

    graph = wire({"node": node}, (START, "node"))
    result = await graph.ainvoke({}, thread)
    assert sorted(asked(result)) == ["a?", "b?", "c?"]
    answers = {question.id: question.value.upper() for question in result["__interrupt__"]}
    result = await graph.ainvoke(Command(resume=answers), thread)
    assert result["log"] == [[word, "x", f"{word.upper()}?"] for word in "abc"]


@pytest.mark.parametrize("streams", [False, True])
async def test_plain_nodes_that_wait_for_graphs_of_plain_nodes_need_no_thread_meanwhile(
    wire: Any, streams: bool
) -> None:
    inner = wire({"say": lambda state: {"log": ["said"]}}, (START, "say"), checkpointer=None)

    def node(state: Any) -> Any:
        given = {"log": []}
        return {"log": list(inner.stream(given)) if streams else [inner.invoke(given)]}

    graph = wire({"node": node}, (START, "node"), checkpointer=None)
    finish = await graph.perform(Job(input={"log": []}, world=World(threads=1)))
    said = {"log": ["said"]}
    assert finish.values["log"] == [{"say": said} if streams else said]


@attrs.frozen
class Order:
    item: str


@attrs.frozen
class Receipt:
    order: str


class Orders(TypedDict, total=False):
    made: Order
    said: Any


async def test_objects_of_tasks_and_of_graphs_in_them_come_back_as_themselves(
    thread: Any,
) -> None:
    builder: Any = StateGraph(Orders)
    builder.add_node("make", lambda state: {"made": Order("inner")})
    builder.add_node("ask", lambda state: {"said": interrupt("inner?")})
    inner = builder.add_edge(START, "make").add_edge("make", "ask").compile()

    @task
    async def receipt(item: str) -> Receipt:
        return Receipt(item)

    @task
    async def deeper() -> Any:
        return (await inner.ainvoke({}))["made"]

    @task
    async def called() -> Any:
        return await deeper()

    async with StorageSession(MemoryStorage()) as session:

        @entrypoint(checkpointer=StorageSaver(session))
        async def main(item: str) -> Any:
            return [await receipt(item), await called()]

        await main.ainvoke("mine", thread)
        result = await main.ainvoke(Command(resume=1), thread)
    assert result == [Receipt("mine"), Order("inner")]
