"""Agents as published packages make them. Their model is scripted, and what they look up can be
held: the tool waits for a file, its gate, to appear in the folder that the variable GATES names.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, SummarizationMiddleware
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.prebuilt import create_react_agent
from langgraph.types import interrupt
from langgraph_supervisor import create_supervisor
from langgraph_swarm import create_handoff_tool, create_swarm

GATES: Final = Path(os.environ["GATES"])
ACT: Final = "what the text says"


class Scripted(BaseChatModel):
    """Asked something such as `look_up rome` it calls its tools one by one, with ACT for the one
    that the text names, and then says that this is all. It knows no more than the messages, so that
    it goes on where it was in another process."""

    moves: Sequence[str]

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> BaseChatModel:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])

    def _stream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> Iterator[ChatGenerationChunk]:
        answer = self._answer(messages)
        for word in answer.text.split(" "):
            chunk = AIMessageChunk(f"{word} " if word else "", tool_calls=answer.tool_calls)
            yield ChatGenerationChunk(message=chunk)

    def _answer(self, messages: list[BaseMessage]) -> AIMessage:
        asked = max(at for at, message in enumerate(messages) if message.type == "human")
        text = messages[asked].text
        verb, what = text.split()
        note(what, "asked")
        made = [
            call["name"]
            for message in messages[asked:]
            if isinstance(message, AIMessage)
            for call in message.tool_calls
        ]
        for move in (verb if move == ACT else move for move in self.moves):
            if move not in made:
                args = {"what": what}
                if move == "task":
                    args = {"description": text, "subagent_type": "clerk"}
                call = {"name": move, "args": args, "id": f"{move} {what}"}
                return AIMessage("", tool_calls=[call])
        return AIMessage(f"So much for {what}")


def note(what: str, happened: str) -> None:
    with (GATES / f"{what}.notes").open("a") as notes:
        notes.write(f"{happened}\n")


@tool
async def look_up(what: str) -> str:
    """Look something up."""
    note(what, "began")
    while not (GATES / what).exists():  # noqa: ASYNC110  (another process opens it)
        await asyncio.sleep(0.01)
    note(what, "done")
    return f"{what} is found"


@tool("look_up")
def look_up_in_a_thread(what: str) -> str:
    """Look something up."""
    note(what, "began")
    while not (GATES / what).exists():
        time.sleep(0.01)
    note(what, "done")
    return f"{what} is found"


@tool
def book(what: str) -> str:
    """Book something, if that is approved."""
    answer = interrupt(f"book {what}?")
    note(what, "done")
    return f"{what} is booked: {answer}"


@tool
def buy(what: str) -> str:
    """Buy something."""
    note(what, "done")
    return f"{what} is bought"


react = create_react_agent(Scripted(moves=[ACT]), [look_up])

middleware = create_agent(
    Scripted(moves=[ACT]),
    [look_up_in_a_thread, buy],
    middleware=[
        HumanInTheLoopMiddleware({"buy": True}),
        SummarizationMiddleware(
            FakeListChatModel(responses=["the story so far"]),
            trigger=("messages", 7),
            keep=("messages", 3),
        ),
    ],
)

clerk = create_agent(Scripted(moves=[ACT]), [look_up, book], name="clerk")
supervisor = create_supervisor([clerk], model=Scripted(moves=["transfer_to_clerk"])).compile(
    checkpointer=InMemorySaver()
)

porter = create_agent(
    Scripted(moves=["transfer_to_clerk"]), [create_handoff_tool(agent_name="clerk")], name="porter"
)
swarm = create_swarm([porter, clerk], default_active_agent="porter")

deep = create_deep_agent(
    Scripted(moves=["task"]),
    subagents=[
        {
            "name": "clerk",
            "description": "Looks things up and buys them",
            "system_prompt": "You are a clerk.",
            "tools": [look_up, buy],
            "model": Scripted(moves=[ACT]),
        }
    ],
    interrupt_on={"buy": True},
)
