"""What a long conversation takes on disk."""

from __future__ import annotations

import os

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph

from greenroom.storage.langgraph import GreenroomSaver

CONFIG = {"configurable": {"thread_id": "1"}}
TURNS = 60


def talk(saver):
    def answer(state):
        return {"messages": [AIMessage("a" * 1000)]}

    graph = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer")
    graph = graph.compile(checkpointer=saver)
    for _ in range(TURNS):
        graph.invoke({"messages": [HumanMessage("h" * 1000)]}, CONFIG)
    assert len(graph.get_state(CONFIG).values["messages"]) == 2 * TURNS


def test_a_conversation_grows_by_what_was_said(tmp_path, path, opened):
    with opened():
        pass
    with opened() as session:
        empty = os.path.getsize(path)
        talk(GreenroomSaver(session))
        kinds = [row.kind for row in session.storage.read_log("1")]
        assert kinds.count("pack") == 1  # what many records are put together from is slow
        assert kinds.count("list") < 64
    with SqliteSaver.from_conn_string(os.fspath(tmp_path / "theirs.db")) as theirs:
        talk(theirs)
    ours, others = (os.path.getsize(one) for one in (path, tmp_path / "theirs.db"))
    # Each message is in an input, a write and the list.
    assert ours - empty < 5.5 * TURNS * 2000
    assert others > 15 * ours
