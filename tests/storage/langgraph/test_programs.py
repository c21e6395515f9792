"""Programs of LangGraph's own, as its documentation has them, sync and asyncio."""

from __future__ import annotations

import asyncio
import operator
import threading
from typing import Annotated, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt

from greenroom.storage.langgraph import GreenroomSaver

CONFIG = {"configurable": {"thread_id": "1"}}


class State(TypedDict):
    parts: Annotated[list[str], operator.add]
    name: str


def ask(state):
    return {"name": interrupt("Who is it?")}


def greet(state):
    return {"parts": [f"Hello {state['name']}"]}


def asking():
    builder = StateGraph(State).add_node(ask).add_node(greet)
    return builder.add_edge(START, "ask").add_edge("ask", "greet")


def test_a_question_is_answered_after_a_restart(opened):
    with opened() as session:
        graph = asking().compile(checkpointer=GreenroomSaver(session))
        asked = graph.invoke({"parts": ["Knock"]}, CONFIG)["__interrupt__"]
    assert asked[0].value == "Who is it?"
    with opened() as session:
        graph = asking().compile(checkpointer=GreenroomSaver(session))
        state = graph.get_state(CONFIG)
        assert state.next == ("ask",)
        assert state.interrupts == tuple(asked)
        answer = graph.invoke(Command(resume={asked[0].id: "Ada"}), CONFIG)
    assert answer == {"parts": ["Knock", "Hello Ada"], "name": "Ada"}


def test_an_asyncio_program_asks_and_goes_on(session):
    async def program():
        graph = asking().compile(checkpointer=GreenroomSaver(session))
        asked = await graph.ainvoke({"parts": ["Knock"]}, CONFIG)
        answer = await graph.ainvoke(Command(resume="Ada"), CONFIG)
        history = [state async for state in graph.aget_state_history(CONFIG)]
        return asked["__interrupt__"][0].value, answer, history

    question, answer, history = asyncio.run(program())
    assert question == "Who is it?"
    assert answer["parts"] == ["Knock", "Hello Ada"]
    assert [state.next for state in history] == [(), ("greet",), ("ask",), ("__start__",)]
    assert history[1].parent_config == history[2].config


def test_going_back_in_time_makes_a_branch_and_leaves_the_rest(saver):
    graph = asking().compile(checkpointer=saver)
    graph.invoke({"parts": []}, CONFIG)
    graph.invoke(Command(resume="Ada"), CONFIG)
    before = list(graph.get_state_history(CONFIG))
    waiting = next(state for state in before if state.next == ("greet",))
    changed = graph.update_state(waiting.config, {"name": "Eve"})
    assert graph.invoke(None, changed)["parts"] == ["Hello Eve"]
    after = list(graph.get_state_history(CONFIG))
    assert after[-len(before) :] == before
    assert graph.get_state(before[0].config).values["parts"] == ["Hello Ada"]
    assert graph.get_state(CONFIG).values["parts"] == ["Hello Eve"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_every_durability_keeps_the_state(saver, durability):
    graph = asking().compile(checkpointer=saver)
    graph.invoke({"parts": ["a"]}, CONFIG, durability=durability)
    result = graph.invoke(Command(resume="Ada"), CONFIG, durability=durability)
    assert result["parts"] == ["a", "Hello Ada"]
    assert graph.get_state(CONFIG).values == result


def test_what_was_sent_is_still_sent_after_a_restart(opened):
    def build():
        builder = StateGraph(State)
        builder.add_node("work", lambda sent: {"parts": [sent["word"].upper()]})
        builder.add_conditional_edges(
            START, lambda state: [Send("work", {"word": word}) for word in state["parts"]]
        )
        return builder

    with opened() as session:
        graph = build().compile(checkpointer=GreenroomSaver(session), interrupt_before=["work"])
        graph.invoke({"parts": ["a", "b"]}, CONFIG)
    with opened() as session:
        graph = build().compile(checkpointer=GreenroomSaver(session), interrupt_before=["work"])
        assert graph.get_state(CONFIG).next == ("work", "work")
        assert graph.invoke(None, CONFIG)["parts"] == ["a", "b", "A", "B"]


def test_a_subgraph_that_asks_goes_on_where_it_was(opened):
    def build():
        inner = asking().compile()
        return StateGraph(State).add_node("inner", inner).add_edge(START, "inner")

    with opened() as session:
        build().compile(checkpointer=GreenroomSaver(session)).invoke({"parts": []}, CONFIG)
    with opened() as session:
        saver = GreenroomSaver(session)
        graph = build().compile(checkpointer=saver)
        inside = graph.get_state(CONFIG, subgraphs=True).tasks[0].state
        assert inside.next == ("ask",)
        assert graph.invoke(Command(resume="Ada"), CONFIG)["parts"] == ["Hello Ada"]
        spaces = {one.config["configurable"]["checkpoint_ns"] for one in saver.list(CONFIG)}
        assert spaces == {"", inside.config["configurable"]["checkpoint_ns"]}


def test_a_failed_task_is_tried_again_and_its_finished_sibling_is_not(session):
    calls, stored = [], threading.Event()

    class Telling(GreenroomSaver):
        def put_writes(self, config, writes, task_id, task_path=""):
            super().put_writes(config, writes, task_id, task_path)
            if ("parts", ["steady"]) in writes:
                stored.set()

    def steady(state):
        calls.append("steady")
        return {"parts": ["steady"]}

    def shaky(state):
        calls.append("shaky")
        if calls.count("shaky") == 1:
            stored.wait()
            raise OSError("gone")
        return {"parts": ["shaky"]}

    builder = StateGraph(State).add_node(steady).add_node(shaky)
    builder.add_edge(START, "steady").add_edge(START, "shaky")
    graph = builder.compile(checkpointer=Telling(session))
    with pytest.raises(OSError, match="gone"):
        graph.invoke({"parts": []}, CONFIG)
    assert "OSError('gone')" in [task.error for task in graph.get_state(CONFIG).tasks]
    assert graph.invoke(None, CONFIG)["parts"] == ["shaky", "steady"]
    assert calls.count("steady") == 1


def test_messages_are_messages_after_a_restart(opened):
    def chat(state):
        said = AIMessage(f"You said {state['messages'][-1].text}", usage_metadata=None)
        return {"messages": [said]}

    builder = StateGraph(MessagesState).add_node(chat).add_edge(START, "chat")
    with opened() as session:
        graph = builder.compile(checkpointer=GreenroomSaver(session))
        first = graph.invoke({"messages": [HumanMessage("hi")]}, CONFIG)["messages"]
    with opened() as session:
        graph = builder.compile(checkpointer=GreenroomSaver(session))
        assert graph.get_state(CONFIG).values["messages"] == first
        second = graph.invoke({"messages": [HumanMessage("ho")]}, CONFIG)["messages"]
    assert second[:2] == first
    assert second[3].text == "You said ho"


def test_a_functional_program_does_not_repeat_its_tasks(opened):
    called = []

    @task
    def fetch(number):
        called.append(number)
        return number * 10

    def build(saver):
        @entrypoint(checkpointer=saver)
        def program(number):
            found = fetch(number).result()
            return [found, interrupt("and?")]

        return program

    with opened() as session:
        build(GreenroomSaver(session)).invoke(4, CONFIG)
    with opened() as session:
        answer = build(GreenroomSaver(session)).invoke(Command(resume="so"), CONFIG)
    assert answer == [40, "so"]
    assert called == [4]


def test_what_a_node_changes_in_place_beside_its_update_is_stored_with_it(opened):
    """As with LangGraph's own savers; no graph of Greenroom's would let it."""

    def spoil(state):
        state["items"][0]["text"] = "changed " * 100
        return {"items": [{"text": "more"}]}

    class Items(TypedDict):
        items: Annotated[list[dict], operator.add]

    builder = StateGraph(Items).add_node(spoil).add_edge(START, "spoil").add_edge("spoil", END)
    with opened() as session:
        graph = builder.compile(checkpointer=GreenroomSaver(session))
        graph.invoke({"items": [{"text": "first " * 100}, {"text": "second " * 100}]}, CONFIG)
        result = graph.invoke({"items": []}, CONFIG)
    with opened() as session:
        graph = builder.compile(checkpointer=GreenroomSaver(session))
        assert graph.get_state(CONFIG).values == result
