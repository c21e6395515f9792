"""Runnables of langchain-core as nodes and conditional edges."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from greenroom.graph import (
    END,
    START,
    InvalidUpdateError,
    MessagesState,
    StateGraph,
    interrupt,
    task,
)


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]


async def test_a_runnable_is_a_node_under_its_own_name() -> None:
    action = RunnableLambda(lambda state: {"log": [len(state["log"])]}, name="counts")
    graph = StateGraph(State).add_node(action).add_edge(START, "counts").compile()
    assert await graph.ainvoke({"log": ["in"]}) == {"log": ["in", 1]}


async def test_a_chain_is_a_node_whose_tokens_are_heard() -> None:
    prompt = ChatPromptTemplate.from_messages(
        [("system", "be kind"), ("placeholder", "{messages}")]
    )
    chain = prompt | FakeListChatModel(responses=["hi"])
    keep = chain | (lambda message: {"messages": message})
    graph = StateGraph(MessagesState).add_node("chat", keep).add_edge(START, "chat").compile()
    async with graph.astream({"messages": "hello"}, stream_mode="messages") as chunks:
        told = [(message.content, about["langgraph_node"]) async for message, about in chunks]
    assert told[:2] == [("h", "chat"), ("i", "chat")]
    result = await graph.ainvoke({"messages": "hello"})
    assert type(result["messages"][-1]) is AIMessage


async def test_a_runnable_is_given_the_config_of_its_task(thread: Any) -> None:
    def node(state: State, config: Any) -> State:
        return {"log": [config["configurable"]["mine"], config["metadata"]["langgraph_node"]]}

    graph = StateGraph(State).add_node("a", RunnableLambda(node)).add_edge(START, "a").compile()
    result = await graph.ainvoke({}, {"configurable": {"mine": 1}})
    assert result == {"log": [1, "a"]}


class Hears(BaseCallbackHandler):
    """Notes where chat models were asked, and which ids their runs had."""

    run_inline = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.runs: list[Any] = []

    def on_chat_model_start(self, *args: Any, metadata: Any, run_id: Any, **more: Any) -> None:
        self.asked.append(metadata["langgraph_node"])
        self.runs.append(run_id)


async def test_models_called_without_a_config_are_heard_as_those_of_the_run() -> None:
    model, hears = FakeListChatModel(responses=["hi"]), Hears()

    @task
    def called() -> None:
        model.invoke("?")

    def plain(state: State) -> None:
        model.invoke("?")
        called().result()
        model.invoke("?", {"tags": ["own"]})

    def route(state: State) -> str:
        model.invoke("?")
        return "inner"

    inner = StateGraph(State).add_node("in", lambda state: model.invoke("?") and None)
    builder = StateGraph(State).add_node("plain", plain).add_edge(START, "plain")
    builder.add_node("inner", inner.add_edge(START, "in").compile())
    graph = builder.add_conditional_edges("plain", route).compile()
    await graph.ainvoke({}, {"callbacks": [hears]})
    assert hears.asked == ["plain", "called", "plain", "plain", "in"]
    model.invoke("?")
    assert len(hears.asked) == 5


@pytest.mark.parametrize("passes", [True, False])
async def test_each_answer_of_a_model_has_an_id_of_its_own_in_a_run_with_an_id(
    passes: bool,
) -> None:
    model, hears = FakeListChatModel(responses=["one", "two"]), Hears()

    def node(state: MessagesState, config: Any) -> Any:
        own = [config] if passes else []
        return {"messages": [model.invoke("?", *own), model.invoke("?", *own)]}

    graph = StateGraph(MessagesState).add_node("a", node).add_edge(START, "a").compile()
    run = uuid4()
    config: Any = {"run_id": run, "callbacks": [hears]}
    result = await graph.ainvoke({"messages": []}, config)
    assert [message.content for message in result["messages"]] == ["one", "two"]
    assert len({run, *hears.runs}) == 3


async def test_a_runnable_says_where_to_go() -> None:
    builder = StateGraph(State).add_node("a", lambda state: {"log": ["a"]}).add_edge(START, "a")
    builder.add_conditional_edges(
        "a",
        RunnableLambda(lambda state: "again" if len(state["log"]) < 3 else "over"),
        {"again": "a", "over": END},
    )
    assert await builder.compile().ainvoke({}) == {"log": ["a", "a", "a"]}


async def test_a_runnable_can_ask(thread: Any, wire: Any) -> None:
    asks = RunnablePassthrough() | RunnableLambda(lambda state: {"log": [interrupt("well?")]})
    graph = wire({"a": asks}, (START, "a"), state=State)
    assert (await graph.ainvoke({}, thread))["__interrupt__"][0].value == "well?"


async def test_what_a_runnable_gives_back_is_checked_as_that_of_a_function() -> None:
    action = FakeListChatModel(responses=["hi"])
    graph = StateGraph(State).add_node("chat", RunnableLambda(lambda state: "x") | action)
    with pytest.raises(InvalidUpdateError, match="'chat' returned"):
        await graph.add_edge(START, "chat").compile().ainvoke({})
