"""Message objects of langchain-core on their way to clients."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage

from greenroom.graph import CompiledStateGraph, get_stream_writer, push_message

from .conftest import State, chain, events_of

STORED = {"type": "ai", "content": "hi", "id": "m1", "tool_calls": []}


@pytest.fixture
def graphs() -> dict[str, CompiledStateGraph]:
    async def chat(state: State) -> None:
        message = push_message(AIMessage("hi", id="m1"), state_key=None)
        get_stream_writer()({"said": [message]})

    return {"chat": chain(chat=chat)}


@pytest.mark.parametrize(("mode", "event"), [("messages-tuple", "messages"), ("custom", "custom")])
async def test_message_objects_are_sent_as_dictionaries(
    mode: str, event: str, http: httpx.AsyncClient, thread: str
) -> None:
    body: Any = {"assistant_id": "chat", "input": {"log": []}, "stream_mode": mode}
    answer = await http.post(f"{thread}/runs/stream", json=body)
    (told,) = [json.loads(e["data"]) for e in events_of(answer.text) if e["event"] == event]
    message = told[0] if event == "messages" else told["said"][0]
    assert {key: message[key] for key in STORED} == STORED
