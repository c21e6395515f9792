"""What readers see of runs of LangGraph's graphs."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest
import trio
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.config import get_stream_writer
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt
from trio.testing import wait_all_tasks_blocked

from greenroom.actors import Client

from ..conftest import Serve
from ..stage import State, new_thread, says, text
from .stage import AsyncioHold, chain


class Chat(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


def model() -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter([AIMessage("Hello dear Ada", id="m1")] * 2))


async def speaks(state: Chat) -> Any:
    return {"messages": [await model().ainvoke(state["messages"])]}


def speaks_plainly(state: Chat) -> Any:
    return {"messages": [model().invoke(state["messages"])]}


async def streamed(client: Client, *args: Any, **how: Any) -> list[tuple[str, Any]]:
    return [(part.event, part.data) async for part in client.runs.stream(*args, **how)]


def words(parts: list[tuple[str, Any]], event: str) -> list[str]:
    return [data[0]["content"] for name, data in parts if name == event]


@pytest.mark.parametrize("node", [speaks, speaks_plainly])
async def test_tokens_of_a_chat_model_are_streamed(serve: Serve, node: Any) -> None:
    async with serve(chain(state=Chat, speak=node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        given = {"messages": [{"role": "user", "content": "hi"}]}
        parts = await streamed(
            client, thread_id, "agent", input=given, stream_mode=["messages-tuple", "values"]
        )
        said = [data for name, data in parts if name == "messages"]
        assert "".join(chunk["content"] for chunk, _ in said) == "Hello dear Ada"
        assert len(said) >= 5  # word by word, and the spaces between them
        assert {chunk["id"] for chunk, _ in said} == {said[0][0]["id"]}
        assert {about["langgraph_node"] for _, about in said} == {"speak"}
        values = [data for name, data in parts if name == "values"][-1]
        assert [one["content"] for one in values["messages"]] == ["hi", "Hello dear Ada"]
        assert values["messages"][1]["id"] == said[0][0]["id"]


async def test_tokens_in_the_older_form_grow(serve: Serve) -> None:
    async with serve(chain(state=Chat, speak=speaks)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(
            client, thread_id, "agent", input={"messages": []}, stream_mode="messages"
        )
        partial = words(parts, "messages/partial")
        assert partial[0] == "Hello"
        assert partial[-1] == "Hello dear Ada"
        assert partial == sorted(partial, key=len)


async def test_tokens_come_from_a_graph_inside_if_asked(serve: Serve) -> None:
    inner = chain(state=Chat, speak=speaks)
    async with serve(chain(state=Chat, call=inner)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(
            client,
            thread_id,
            "agent",
            input={"messages": []},
            stream_mode="messages-tuple",
            stream_subgraphs=True,
        )
        inside = {name for name, _ in parts if name.startswith("messages")}
        assert all(name.startswith("messages|call:") for name in inside)
        assert "".join(data[0]["content"] for name, data in parts if name in inside) == (
            "Hello dear Ada"
        )


async def asks_first(state: Chat) -> Any:
    return {"messages": [AIMessage(interrupt("who?"), id="m0")]}


@pytest.mark.parametrize("modes", [["messages-tuple"], ["messages-tuple", "events"]])
async def test_what_a_graph_inside_says_comes_whole_where_it_is_not_followed_also_on_a_resume(
    serve: Serve, modes: list[str]
) -> None:
    asker = chain(state=Chat, call=chain(state=Chat, ask=asks_first, speak=speaks))
    talker = chain(state=Chat, call=chain(state=Chat, speak=speaks))
    async with serve({"agent": asker, "talker": talker}) as room:
        client = room.client
        how: dict[str, Any] = {"stream_mode": modes}
        thread_id = await new_thread(client)
        parts = await streamed(client, thread_id, "talker", input={"messages": []}, **how)
        assert words(parts, "messages") == ["Hello dear Ada"]

        thread_id = await new_thread(client)
        parts = await streamed(client, thread_id, "agent", input={"messages": []}, **how)
        assert words(parts, "messages") == []
        parts = await streamed(client, thread_id, "agent", command={"resume": "Ada"}, **how)
        assert words(parts, "messages") == ["Ada", "Hello dear Ada"]


async def test_a_model_tells_its_events(serve: Serve) -> None:
    async with serve(chain(state=Chat, speak=speaks)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(
            client, thread_id, "agent", input={"messages": []}, stream_mode="events"
        )
        events = [data for name, data in parts if name == "events"]
        kinds = [event["event"] for event in events]
        assert kinds[0] == "on_chain_start"
        assert kinds[-1] == "on_chain_end"
        spoken = [e for e in events if e["event"] == "on_chat_model_stream"]
        assert "".join(e["data"]["chunk"]["content"] for e in spoken) == "Hello dear Ada"
        assert "speak" in {e["name"] for e in events}


async def talks(state: State) -> State:
    get_stream_writer()({"said": "hello"})
    return {"log": ["talked"]}


async def test_all_modes_at_once(serve: Serve) -> None:
    modes = ["values", "updates", "custom", "tasks", "checkpoints", "debug"]
    async with serve(chain(talk=talks)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(client, thread_id, "agent", input=text("x"), stream_mode=modes)
        by_mode = {name: [data for n, data in parts if n == name] for name, _ in parts}
        assert by_mode.keys() == {"metadata", *modes}
        assert [one["log"] for one in by_mode["values"]] == [["x"], ["x", "talked"]]
        assert by_mode["updates"] == [{"talk": {"log": ["talked"]}}]
        assert by_mode["custom"] == [{"said": "hello"}]
        assert [one["name"] for one in by_mode["tasks"]] == ["talk", "talk"]
        assert [one["next"] for one in by_mode["checkpoints"]] == [["__start__"], ["talk"], []]
        kinds = [one["type"] for one in by_mode["debug"]]
        assert kinds.count("checkpoint") == 3
        assert kinds.count("task") == kinds.count("task_result") == 1


@pytest.mark.parametrize("asked", [False, True])
async def test_graphs_inside_stream_under_their_namespace_if_asked(
    serve: Serve, asked: bool
) -> None:
    async with serve(chain(call=chain(talk=talks), after=says("after"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(
            client,
            thread_id,
            "agent",
            input=text("x"),
            stream_mode=["custom", "updates"],
            stream_subgraphs=asked,
        )
        names = [name.partition(":")[0] for name, _ in parts]
        inside = ["custom|call", "updates|call"] if asked else []
        assert names == ["metadata", *inside, "updates", "updates"]


async def test_a_question_is_streamed_in_the_form_of_this_engine(serve: Serve) -> None:
    async def ask(state: State) -> State:
        return {"log": [interrupt({"question": "sure?"})]}

    async with serve(chain(ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(
            client, thread_id, "agent", input=text("x"), stream_mode=["updates", "values"]
        )
        [update] = [data["__interrupt__"] for name, data in parts if name == "updates"]
        asked = [data for name, data in parts if name == "values"][-1]["__interrupt__"]
        assert update == asked
        assert asked[0]["value"] == {"question": "sure?"}
        assert asked[0]["resumable"] is True


async def test_who_comes_in_the_middle_of_a_run_that_nobody_followed_sees_the_rest(
    serve: Serve,
) -> None:
    hold = AsyncioHold()
    async with serve(chain(a=says("a"), hold=hold.node, c=says("c"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(
            thread_id, "agent", input=text("slow"), stream_mode=["values", "updates"]
        )
        await hold.reached.wait()
        handle = await client.runs.attach(thread_id, run["run_id"])
        seen: list[tuple[str, Any]] = []

        async def follow() -> None:
            async for batch in handle.events():
                seen.extend((part.event, part.data) for part in batch)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await wait_all_tasks_blocked()
            hold.open()
        logs = [data["log"] for name, data in seen if name == "values"]
        assert logs == [["slow", "a", "did slow"], ["slow", "a", "did slow", "c"]]
        assert [next(iter(data)) for name, data in seen if name == "updates"] == ["hold", "c"]


async def test_a_resumable_stream_is_replayed_after_a_restart(serve: Serve) -> None:
    graph = chain(a=says("a"), b=says("b"))
    async with serve(graph) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(
            thread_id, "agent", input=text("x"), stream_resumable=True, stream_mode="updates"
        )
        first = [
            p async for p in client.runs.join_stream(thread_id, run["run_id"], last_event_id=0)
        ]
    async with serve(graph) as room:
        again = [
            part
            async for part in room.client.runs.join_stream(
                thread_id, run["run_id"], last_event_id=first[1].id
            )
        ]
        assert [part.data for part in again] == [{"b": {"log": ["b"]}}]
        assert [part.id for part in again] == [part.id for part in first[2:]]


async def test_a_state_graph_s_own_reducer_runs_beside_its_siblings(serve: Serve) -> None:
    class Sum(TypedDict):
        total: Annotated[int, operator.add]

    async def one(state: Sum) -> Sum:
        return {"total": 1}

    builder = StateGraph(Sum)
    for name in "abc":
        builder.add_node(name, one).add_edge(START, name)
    async with serve(builder.compile()) as room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(
            client, thread_id, "agent", input={"total": 10}, stream_mode=["updates", "values"]
        )
        assert sorted(next(iter(d)) for n, d in parts if n == "updates") == ["a", "b", "c"]
        assert [d["total"] for n, d in parts if n == "values"] == [10, 13]


async def test_tokens_in_the_older_form_have_no_namespace(serve: Serve) -> None:
    async with serve(chain(state=Chat, call=chain(state=Chat, speak=speaks))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        how: dict[str, Any] = {"stream_mode": "messages", "stream_subgraphs": True}
        parts = await streamed(client, thread_id, "agent", input={"messages": []}, **how)
        assert words(parts, "messages/partial")[-1] == "Hello dear Ada"
        assert not [name for name, _ in parts if "|" in name]


class Question(TypedDict):
    question: str


class Answer(TypedDict):
    answer: str


class Thought(Question, Answer):
    secret: str


def thinks(state: Thought) -> Any:
    return {"secret": "s", "answer": "42"}


def asks(state: Thought) -> Any:
    return {"answer": interrupt("sure?")}


def thinker(**nodes: Any) -> Any:
    builder = StateGraph(Thought, input_schema=Question, output_schema=Answer)
    return builder.add_sequence(list(nodes.items())).add_edge(START, next(iter(nodes))).compile()


async def test_what_is_no_output_of_a_graph_is_shown_in_its_state_alone(serve: Serve) -> None:
    async with serve(thinker(think=thinks, ask=asks)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        how: dict[str, Any] = {"stream_mode": ["values", "updates"]}
        parts = await streamed(client, thread_id, "agent", input={"question": "?"}, **how)
        shown = [data for name, data in parts if name != "metadata"]
        assert {"answer": "42"} in shown
        assert "secret" not in str(shown)
        waited = await client.runs.wait(thread_id, "agent", command={"resume": "43"})
        assert waited == {"answer": "43"}
        state = await client.threads.get_state(thread_id)
        assert state["values"] == {"question": "?", "secret": "s", "answer": "43"}


async def test_debug_says_where_the_graph_inside_a_task_is(serve: Serve) -> None:
    async with serve(chain(call=chain(talk=talks))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(client, thread_id, "agent", input=text("x"), stream_mode="debug")
        made = [data["payload"] for name, data in parts[1:] if data["type"] == "checkpoint"]
        [task] = next(one["tasks"] for one in made if one["next"] == ["call"])
        assert task["checkpoint"] == {
            "thread_id": thread_id,
            "checkpoint_ns": f"call:{task['id']}",
        }
        assert "state" not in task


async def test_values_are_streamed_where_no_mode_is_named(serve: Serve) -> None:
    async with serve(chain(talk=talks)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(client, thread_id, "agent", input=text("x"), stream_mode=[])
        assert [name for name, _ in parts] == ["metadata", "values", "values"]


async def test_the_error_of_a_task_that_is_tried_again_is_shown_as_in_its_state(
    serve: Serve,
) -> None:
    def fails(state: State) -> State:
        raise ZeroDivisionError("division by zero")

    async with serve(chain(fails=fails)) as room:
        client = room.client
        thread_id = (await client.threads.create())["thread_id"]
        await client.runs.wait(thread_id, "agent", input={"log": []}, raise_error=False)
        told = await streamed(client, thread_id, "agent", stream_mode="checkpoints")
        [task] = told[1][1]["tasks"]
        [in_state] = (await client.threads.get_state(thread_id))["tasks"]
        assert task["error"] == in_state["error"] == "ZeroDivisionError('division by zero')"
