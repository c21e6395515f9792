"""Stream modes beside `values`, `updates` and `custom`: tasks, checkpoints, debug, messages."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import trio
import trio.testing
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from greenroom.graph import (
    START,
    Command,
    InMemorySaver,
    MessagesState,
    Send,
    StateGraph,
    emit_message,
    get_stream_writer,
    interrupt,
)

AB = ((START, "a"), ("a", "b"))


async def streamed(graph: Any, given: Any, config: Any = None, **options: Any) -> list[Any]:
    async with graph.astream(given, config, **options) as chunks:
        return [chunk async for chunk in chunks]


def start_of(node: str, ident: str, given: Any, **more: Any) -> dict[str, Any]:
    triggers = (f"branch:to:{node}",)
    return {"id": ident, "name": node, "input": given, "triggers": triggers, **more}


def end_of(node: str, ident: str, result: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": ident,
        "name": node,
        "error": None,
        "result": result,
        "interrupts": [],
        **more,
    }


def of_messages(node: Any, **options: Any) -> Any:
    return StateGraph(MessagesState).add_node("a", node).add_edge(START, "a").compile(**options)


async def test_each_task_shows_as_it_starts_and_as_it_ends(wire: Any) -> None:
    graph = wire("ab", *AB, checkpointer=None)
    config = {"metadata": {"who": "me"}}
    chunks = await streamed(graph, {"log": ["in"]}, config, stream_mode="tasks")
    a, b = chunks[0]["id"], chunks[2]["id"]
    assert chunks == [
        start_of("a", a, {"log": ["in"]}, metadata={"who": "me"}),
        end_of("a", a, {"log": ["a"]}),
        start_of("b", b, {"log": ["in", "a"]}, metadata={"who": "me"}),
        end_of("b", b, {"log": ["b"]}),
    ]


async def test_a_task_started_by_a_send_shows_what_it_was_sent(wire: Any) -> None:
    builder = StateGraph(MessagesState)
    builder.add_node("m", lambda state: None)
    builder.add_conditional_edges(START, lambda state: [Send("m", 1), Send("m", 2)], ["m"])
    chunks = await streamed(builder.compile(), {}, stream_mode="tasks")
    starts = [(chunk["input"], chunk["triggers"]) for chunk in chunks if "input" in chunk]
    assert starts == [(1, ("__pregel_push",)), (2, ("__pregel_push",))]


async def test_the_path_of_a_task_says_which_send_it_is_of(wire: Any, thread: Any) -> None:
    builder = StateGraph(MessagesState)
    builder.add_node("m", lambda state: None)
    builder.add_conditional_edges(START, lambda state: [Send("m", 1), Send("m", 2)], ["m"])
    graph = builder.compile(checkpointer=InMemorySaver())
    await graph.ainvoke({}, thread, interrupt_before=["m"])
    paths = [task.path for task in (await graph.aget_state(thread)).tasks]
    assert paths == [("__pregel_push", 0, False), ("__pregel_push", 1, False)]


async def test_a_task_shows_the_tags_and_the_metadata_of_its_run(wire: Any) -> None:
    graph = wire("a", (START, "a"), checkpointer=None).with_config(tags=["mine", "seq:step:1"])
    start, end = await streamed(graph, {}, {"metadata": {"user": "u"}}, stream_mode="tasks")
    assert start["metadata"] == {"user": "u", "tags": ["mine"]}
    assert "metadata" not in end


async def test_a_task_that_wrote_a_key_twice_shows_both(wire: Any) -> None:
    def twice(state: Any) -> Any:
        return [{"log": ["p"]}, Command(update={"log": ["q"]})]

    graph = wire({"a": twice}, (START, "a"), checkpointer=None)
    chunks = await streamed(graph, {}, stream_mode="tasks")
    assert chunks[-1]["result"] == {"log": {"$writes": [["p"], ["q"]]}}


async def test_a_task_that_asks_ends_with_its_question(wire: Any, thread: Any) -> None:
    graph = wire({"a": lambda state: {"log": [interrupt("q")]}}, (START, "a"))
    _, end = await streamed(graph, {}, thread, stream_mode="tasks")
    (question,) = (await graph.aget_state(thread)).interrupts
    shown = {"value": "q", "id": question.id, "response_schema": None}
    assert end == end_of("a", end["id"], {}, interrupts=[shown])


async def test_a_task_that_fails_ends_with_its_error(wire: Any) -> None:
    error = ValueError("no")

    def fails(state: Any) -> None:
        raise error

    graph = wire({"a": fails}, (START, "a"), checkpointer=None)
    got: list[Any] = []

    async def follow() -> None:
        async with graph.astream({}, stream_mode="tasks") as chunks:
            async for chunk in chunks:
                got.append(chunk)

    with pytest.raises(ValueError, match="no"):
        await follow()
    assert got[-1] == end_of("a", got[0]["id"], {}, error=error)


async def test_checkpoints_are_those_of_the_history(wire: Any, thread: Any) -> None:
    graph = wire("ab", *AB)
    chunks = await streamed(graph, {"log": ["in"]}, thread, stream_mode="checkpoints")
    history = [state async for state in graph.aget_state_history(thread)]
    assert [chunk["config"] for chunk in chunks] == [state.config for state in reversed(history)]
    first, *_, before, last = chunks
    assert (first["next"], first["metadata"]) == (
        ["__start__"],
        {"source": "input", "step": -1, "parents": {}},
    )
    assert first["parent_config"] is None
    assert first["tasks"][0].keys() == {"id", "name", "interrupts", "state"}
    assert (before["next"], before["values"]) == (["b"], {"log": ["in", "a"]})
    assert (last["next"], last["tasks"]) == ([], [])
    assert last["parent_config"] == before["config"]


async def test_a_graph_that_keeps_no_threads_shows_no_checkpoints(wire: Any) -> None:
    graph = wire("a", (START, "a"), checkpointer=None)
    assert await streamed(graph, {}, stream_mode="checkpoints") == []


async def test_a_resumed_run_starts_with_the_checkpoint_that_it_goes_on_from(
    wire: Any, thread: Any
) -> None:
    graph = wire({"a": lambda state: {"log": [interrupt("q")]}}, (START, "a"))
    *_, left = await streamed(graph, {}, thread, stream_mode="checkpoints")
    taken_up, last = await streamed(graph, Command(resume=1), thread, stream_mode="checkpoints")
    assert taken_up["config"] == left["config"]
    assert [one["value"] for one in taken_up["tasks"][0]["interrupts"]] == ["q"]
    assert last["values"] == {"log": [1]}


async def test_the_checkpoint_that_a_run_goes_on_from_has_all_of_its_metadata(
    wire: Any, thread: Any
) -> None:
    graph = wire({"a": lambda state: {"log": [interrupt("q")]}}, (START, "a"))
    await graph.ainvoke({}, {**thread, "metadata": {"who": "first"}})
    own = {**thread, "metadata": {"who": "second"}}
    taken_up, last = await streamed(graph, Command(resume=1), own, stream_mode="checkpoints")
    assert taken_up["metadata"]["who"] == "first"
    assert last["metadata"].keys() == {"source", "step", "parents"}


async def test_debug_has_checkpoints_and_tasks_with_step_and_time(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"))
    modes = ["debug", "tasks", "checkpoints"]
    chunks = await streamed(graph, {}, thread, stream_mode=modes)
    debug = [chunk for mode, chunk in chunks if mode == "debug"]
    assert [(chunk["type"], chunk["step"]) for chunk in debug] == [
        ("checkpoint", -1),
        ("checkpoint", 0),
        ("task", 1),
        ("task_result", 1),
        ("checkpoint", 1),
    ]
    plain = [chunk for mode, chunk in chunks if mode != "debug"]
    assert [chunk["payload"] for chunk in debug] == plain
    times = [chunk["timestamp"] for chunk in debug]
    assert times == sorted(times)


async def test_the_modes_of_a_step_come_in_one_order(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"))
    modes = ["values", "updates", "tasks", "checkpoints"]
    chunks = await streamed(graph, {"log": []}, thread, stream_mode=modes)
    assert [mode for mode, _ in chunks] == [
        *("checkpoints", "values", "checkpoints"),
        *("tasks", "updates", "tasks", "values", "checkpoints"),
    ]


async def test_tasks_side_by_side_report_in_task_order(wire: Any, says: Any) -> None:
    done = trio.Event()

    async def slow(state: Any) -> Any:
        await done.wait()
        return {"log": ["a"]}

    async def fast(state: Any) -> Any:
        get_stream_writer()("live")
        done.set()
        return {"log": ["b"]}

    nodes = {"a": slow, "b": fast}
    graph = wire(nodes, (START, "a"), (START, "b"), checkpointer=None)
    chunks = await streamed(graph, {}, stream_mode=["updates", "tasks", "custom"])
    assert [
        (mode, chunk if mode == "custom" else chunk.get("name") or next(iter(chunk)))
        for mode, chunk in chunks
    ] == [
        *(("tasks", "a"), ("tasks", "b"), ("custom", "live")),
        *(("updates", "a"), ("tasks", "a"), ("updates", "b"), ("tasks", "b")),
    ]


async def test_what_a_task_did_is_told_though_one_before_it_was_cut_short(wire: Any) -> None:
    async def forever(state: Any) -> None:
        await trio.sleep_forever()

    async def done(state: Any) -> Any:
        return {"log": ["b"]}

    async def fails(state: Any) -> None:
        await trio.testing.wait_all_tasks_blocked()
        raise ValueError("boom")

    edges = ((START, "a"), (START, "b"), (START, "c"))
    graph = wire({"a": forever, "b": done, "c": fails}, *edges, checkpointer=None)
    got: list[Any] = []

    async def follow() -> None:
        async with graph.astream({}) as chunks:
            async for chunk in chunks:
                got.append(chunk)

    with pytest.raises(ValueError, match="boom"):
        await follow()
    assert got == [{"b": {"log": ["b"]}}]


async def test_graphs_called_as_nodes_stream_under_their_namespace(wire: Any, thread: Any) -> None:
    inner = wire("i", (START, "i"), checkpointer=None)
    graph = wire({"sub": inner}, (START, "sub"))
    modes = ["tasks", "checkpoints"]
    outer = await streamed(graph, {}, thread, stream_mode=modes)
    assert {chunk["name"] for mode, chunk in outer if mode == "tasks"} == {"sub"}

    other = {"configurable": {"thread_id": "2"}}
    chunks = await streamed(graph, {}, other, stream_mode=modes, subgraphs=True)
    (ns,) = {ns for ns, _, _ in chunks if ns}
    inside = [(mode, chunk) for at, mode, chunk in chunks if at == ns]
    assert [mode for mode, _ in inside] == [
        *("checkpoints", "checkpoints", "tasks", "tasks", "checkpoints"),
    ]
    assert inside[-1][1]["config"]["configurable"]["checkpoint_ns"] == ns[0]
    before = next(c for _, mode, c in chunks if mode == "checkpoints" and c["next"] == ["sub"])
    configurable = {"thread_id": "2", "checkpoint_ns": ns[0]}
    assert before["tasks"][0]["state"] == {"configurable": configurable}


async def test_a_breakpoint_inside_is_told_once_and_by_the_outermost_graph(
    wire: Any, thread: Any
) -> None:
    inner = wire("xy", (START, "x"), ("x", "y"), checkpointer=None, interrupt_before=["y"])
    graph = wire({"sub": inner}, (START, "sub"))
    modes = ["updates", "tasks"]
    chunks = await streamed(graph, {}, thread, stream_mode=modes, subgraphs=True)
    told = [(bool(ns), mode, chunk.get("name", [*chunk])) for ns, mode, chunk in chunks]
    assert told == [
        (False, "tasks", "sub"),
        (True, "tasks", "x"),
        (True, "updates", ["x"]),
        (True, "tasks", "x"),
        (False, "updates", ["__interrupt__"]),
    ]
    assert chunks[-1][-1] == {"__interrupt__": ()}


async def test_messages_that_a_node_returns_are_shown_with_where_they_come_from() -> None:
    graph = of_messages(lambda state: {"messages": [{"type": "ai", "content": "x", "id": "1"}]})
    own = {"thread_id": "t", "run_id": "r", "assistant_id": "s", "key": "secret"}
    config = {"configurable": own, "metadata": {"graph_id": "g"}}
    ((message, metadata),) = await streamed(graph, {}, config, stream_mode="messages")
    assert message == {"type": "ai", "content": "x", "id": "1"}
    ns = metadata.pop("langgraph_checkpoint_ns")
    assert ns.startswith("a:")
    assert metadata == {
        "graph_id": "g",
        "thread_id": "t",
        "run_id": "r",
        "assistant_id": "s",
        "langgraph_node": "a",
        "langgraph_path": ("__pregel_pull", "a"),
        "langgraph_step": 1,
        "langgraph_triggers": ("branch:to:a",),
    }


async def test_messages_without_a_type_are_passed_over() -> None:
    graph = of_messages(lambda state: {"messages": [{"role": "assistant", "content": "x"}]})
    assert await streamed(graph, {}, stream_mode="messages") == []


async def test_a_message_is_shown_once_and_under_the_id_that_the_state_has() -> None:
    def again(state: Any) -> Any:
        return {"messages": [*state["messages"], {"type": "ai", "content": "new"}]}

    graph = of_messages(again)
    given = {"messages": [{"type": "human", "content": "hi", "id": "h"}]}
    chunks = await streamed(graph, given, stream_mode=["messages", "values"])
    ((message, _),) = [chunk for mode, chunk in chunks if mode == "messages"]
    assert message["content"] == "new"
    assert message["id"] == chunks[-1][1]["messages"][-1]["id"]


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_parts_of_a_message_come_as_they_are_emitted(kind: str) -> None:
    def plain(state: Any) -> Any:
        for token in ("he", "llo"):
            emit_message({"role": "assistant", "content": token, "id": "m"})
        return {"messages": [{"type": "ai", "content": "hello", "id": "m"}]}

    async def on_loop(state: Any) -> Any:
        return plain(state)

    graph = of_messages(plain if kind == "plain" else on_loop)
    chunks = await streamed(graph, {}, stream_mode="messages")
    assert [message for message, _ in chunks] == [
        {"type": "AIMessageChunk", "content": "he", "id": "m"},
        {"type": "AIMessageChunk", "content": "llo", "id": "m"},
    ]
    assert (await graph.ainvoke({}))["messages"][0]["content"] == "hello"


async def test_parts_without_an_id_belong_together() -> None:
    def node(state: Any) -> Any:
        emit_message({"type": "ai", "content": "a"})
        emit_message({"type": "ai", "content": "b"})

    chunks = await streamed(of_messages(node), {}, stream_mode="messages")
    (ident,) = {message["id"] for message, _ in chunks}
    assert len(chunks) == 2
    assert ident


@pytest.mark.parametrize("given", ["text", {"content": "x"}, {"type": "ai"}, None])
async def test_what_is_no_message_cannot_be_emitted(given: Any) -> None:
    graph = of_messages(lambda state: emit_message(given))
    with pytest.raises(ValueError, match="emit_message"):
        await graph.ainvoke({})


def test_a_message_is_emitted_only_inside_a_node() -> None:
    with pytest.raises(RuntimeError, match="emit_message"):
        emit_message({"type": "ai", "content": "x"})


@pytest.mark.parametrize("by", ["context", "config"])
async def test_chat_models_called_in_plain_nodes_are_heard(by: str) -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("hello big world")]))
    threads = []

    def chat(state: Any, config: Any) -> Any:
        threads.append(threading.current_thread())
        answer = model.invoke("hi", config) if by == "config" else model.invoke("hi")
        return {"messages": [{"type": "ai", "content": answer.content, "id": answer.id}]}

    graph = of_messages(chat)
    chunks = await streamed(graph, {}, stream_mode="messages")
    assert "".join(message.content for message, _ in chunks) == "hello big world"
    assert len(chunks) == 5
    assert {metadata["langgraph_node"] for _, metadata in chunks} == {"a"}
    assert threads[0] is not threading.main_thread()


async def test_a_chat_model_tagged_nostream_is_not_heard() -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("hello world")]))

    def chat(state: Any) -> Any:
        model.invoke("hi", {"tags": ["nostream"]})

    assert await streamed(of_messages(chat), {}, stream_mode="messages") == []


async def test_message_objects_that_a_node_returns_are_shown(wire: Any) -> None:
    class Keeps(MessagesState):
        kept: Any

    def node(state: Any) -> Any:
        return {"kept": [AIMessage("whole", id="o")]}

    graph = StateGraph(Keeps).add_node("a", node).add_edge(START, "a").compile()
    chunks = await streamed(graph, {}, stream_mode="messages")
    assert [(message.content, message.id) for message, _ in chunks] == [("whole", "o")]


async def test_messages_of_inner_graphs_come_with_their_namespace_where_asked_for() -> None:
    inner = of_messages(lambda state: emit_message({"type": "ai", "content": "x"}))
    graph = StateGraph(MessagesState).add_node("sub", inner).add_edge(START, "sub").compile()
    assert await streamed(graph, {}, stream_mode="messages") == []
    ((ns, (message, _)),) = await streamed(graph, {}, stream_mode="messages", subgraphs=True)
    assert ns[0].startswith("sub:")
    assert message["content"] == "x"


async def test_what_a_model_inside_says_is_shown_with_the_place_of_its_node_only() -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("hello")]))
    inner = of_messages(lambda state: model.invoke("hi") and None)
    graph = StateGraph(MessagesState).add_node("sub", inner).add_edge(START, "sub").compile()
    ((_, (_, metadata)), *_) = await streamed(graph, {}, stream_mode="messages", subgraphs=True)
    assert metadata["langgraph_checkpoint_ns"].count("|") == 1
    assert "parents" not in metadata


async def test_models_of_a_graph_that_a_node_calls_are_heard_where_it_is_asked_for() -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("deep")] * 4))
    inner = of_messages(lambda state: model.invoke("hi") and None)

    def calls(state: Any) -> Any:
        inner.invoke({})
        return model.invoke("hi") and None

    async def told(**options: Any) -> list[Any]:
        chunks = await streamed(of_messages(calls), {}, stream_mode="messages", **options)
        return [chunk for chunk in chunks if (chunk[1] if options else chunk)[0].content]

    assert len(await told()) == 1
    assert [len(ns) for ns, _ in await told(subgraphs=True)] == [1, 0]
