"""Stream mode `events`: what LangChain tells of runs of LangGraph's graphs."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any, TypedDict

import trio
from langchain_core.callbacks import adispatch_custom_event
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt

from greenroom.actors import Client

from ..conftest import Serve
from ..stage import State, log_of, new_thread, says, text
from .stage import StubbornHold, chain

Event = dict[str, Any]


class Chat(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    said: str


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    await adispatch_custom_event("adding", {"a": a})
    return a + b


@tool
def divide(a: int, b: int) -> float:
    """Divide two numbers."""
    return a / b


def calls(name: str) -> Any:
    call = {"name": name, "args": {"a": 1, "b": 0}, "id": f"call-{name}"}
    return lambda state: {"messages": [AIMessage("", id=name, tool_calls=[call])]}


async def speaks(state: Chat) -> Any:
    model = GenericFakeChatModel(messages=iter([AIMessage("Hello dear Ada", id="m")]))
    loud = RunnableLambda(str.upper).with_config(run_name="loud", tags=["mine"])
    prompt = ChatPromptTemplate.from_messages([("human", "Greet {name}")])
    said = await (prompt | model | StrOutputParser() | loud).ainvoke({"name": "Ada"})
    return {"said": said}


def speaks_plainly(state: Chat) -> Any:
    model = GenericFakeChatModel(messages=iter([AIMessage("Hello", id="n")]))
    return {"said": (model | StrOutputParser()).invoke("hi")}


def talker() -> Any:
    tools = ToolNode([add, divide], handle_tool_errors=True)
    inner = chain(state=Chat, plainly=speaks_plainly)
    builder = StateGraph(Chat).add_sequence(
        [
            ("ask", calls("add")),
            ("tools", tools),
            ("again", calls("divide")),
            ("more", tools),
            ("speak", speaks),
            ("call", inner),
        ]
    )
    builder.add_edge(START, "ask").add_conditional_edges("call", lambda state: "__end__")
    return builder.compile(name="agent")


def told(events: list[Event]) -> list[Any]:
    """What events say, but for ids and what a server adds."""
    names = {event["run_id"]: event["name"] for event in reversed(events)}
    return [
        (
            event["event"],
            event["name"],
            [names[ident] for ident in event["parent_ids"]],
            event["tags"],
            sorted(key for key in event["metadata"] if key.startswith(("langgraph_", "ls_"))),
            sorted(event["data"]),
        )
        for event in events
    ]


async def streamed(client: Client, thread_id: str, **how: Any) -> list[tuple[str, Any]]:
    stream = client.runs.stream(thread_id, "agent", **how)
    return [(part.event, part.data) async for part in stream]


async def test_events_are_those_that_langchain_tells_of_the_same_graph(serve: Serve) -> None:
    async def plainly() -> list[Event]:
        stream = talker().astream_events({"messages": []}, version="v2")
        return [dict(event) async for event in stream]

    events = await trio.to_thread.run_sync(partial(asyncio.run, plainly()))
    root = events[0]["run_id"]
    wanted = [e for e in events if (e["run_id"], e["event"]) != (root, "on_chain_stream")]
    kinds = {event["event"] for event in wanted}
    assert {"on_tool_error", "on_custom_event", "on_prompt_start", "on_parser_end"} <= kinds

    async with serve(talker()) as room:
        thread_id = await new_thread(room.client)
        parts = await streamed(
            room.client, thread_id, input={"messages": []}, stream_mode=["events", "values"]
        )
        served = [data for name, data in parts if name == "events"]
        assert told(served) == told(wanted)
        assert {name for name, _ in parts} == {"metadata", "events", "values"}
        assert served[0]["run_id"] == parts[0][1]["run_id"]
        for event in served:
            assert event["metadata"]["thread_id"] == thread_id
        [failed] = [event["data"] for event in served if event["event"] == "on_tool_error"]
        assert failed["error"] == {"error": "ZeroDivisionError", "message": "division by zero"}
        chunks = [e["data"]["chunk"] for e in served if e["event"] == "on_chat_model_stream"]
        assert "".join(one["content"] for one in chunks) == "Hello dear AdaHello"


async def test_a_run_that_was_told_to_stop_begins_no_other_node(serve: Serve) -> None:
    hold = StubbornHold()
    async with serve(chain(hold=hold.node, b=says("b")), grace_period=60.0) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(
            thread_id, "agent", input=text("slow"), stream_mode=["events"]
        )
        await hold.reached.wait()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(client.runs.cancel, thread_id, run["run_id"], wait=True))
            await hold.told.wait()
            hold.open()
        assert await log_of(client, thread_id) == ["slow", "did slow"]


async def test_a_resume_that_answers_nothing_shows_what_there_is(serve: Serve) -> None:
    async def ask(state: State) -> State:
        return {"log": [interrupt("sure?")]}

    async with serve(chain(ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        yes: dict[str, Any] = {"command": {"resume": "yes"}}
        values = await client.runs.wait(thread_id, "agent", **yes)
        before = await client.threads.get_history(thread_id)

        modes = ["values", "updates", "checkpoints", "events"]
        parts = await streamed(client, thread_id, **yes, stream_mode=modes)
        names = [data["event"] if name == "events" else name for name, data in parts]
        assert names == ["metadata", "on_chain_start", "values", "checkpoints", "on_chain_end"]
        assert parts[2][1] == parts[3][1]["values"] == values
        given = {"graph": None, "update": None, "resume": "yes", "goto": None}
        assert parts[1][1]["data"] == {"input": given}
        assert await client.threads.get_history(thread_id) == before
        [run, *_] = await client.runs.list(thread_id)
        assert run["metadata"]["warning"] == "The resume answers no interrupt that waits"


async def test_a_resume_at_a_breakpoint_goes_on_without_a_warning(serve: Serve) -> None:
    async with serve(chain(a=says("a"), b=says("b"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"), interrupt_before=["b"])
        values = await client.runs.wait(thread_id, "agent", command={"resume": "yes"})
        assert values["log"] == ["x", "a", "b"]
        [run, *_] = await client.runs.list(thread_id)
        assert "warning" not in run["metadata"]
