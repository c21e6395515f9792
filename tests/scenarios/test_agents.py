"""An assistant as an agent, by the published client of Agent2Agent."""

from __future__ import annotations

import httpx
import pytest

from .server import Server
from .test_seed_flows import python, run

pytest.importorskip("a2a", reason="a2a-sdk is not there")


def test_an_agent_talks_asks_is_followed_and_stops(server: Server, http: httpx.Client) -> None:
    _, report = run(python("agent"), server)
    thread = f"/threads/{report.pop('context_id')}"
    assert report == {
        "hello": ["TASK_STATE_COMPLETED", "hello there"],
        "asked": ["TASK_STATE_INPUT_REQUIRED", "what?"],
        "replied": ["TASK_STATE_COMPLETED", "so this"],
        "same": [True, True],
        "unknown": True,
        "heard": [[False, "one "], [True, "two "], [False, "one two"]],
        "states": ["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", "TASK_STATE_COMPLETED"],
        "cancelled": "TASK_STATE_CANCELED",
        "over": True,
    }
    messages = http.get(thread).json()["values"]["messages"]
    said = ["hello there", "hello there", "ask", "so this", "one two", "one two"]
    assert [message["content"] for message in messages] == said
