"""A chat model that follows a script: no key, no network, always the same answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable

from travel_agent.tools import FLIGHTS

SECONDS = 0.05  # for a word


class ScriptedModel(BaseChatModel):
    """Looks a flight up when a city is named, books when asked to book a number, and reports what
    its tools say, word by word."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=answer(messages))])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        said = answer(messages)
        if said.tool_calls:
            chunk = AIMessageChunk("", tool_calls=said.tool_calls)
            yield ChatGenerationChunk(message=chunk)
        for word in re.findall(r"\S+\s*", said.text):
            yield ChatGenerationChunk(message=AIMessageChunk(word))
            await asyncio.sleep(SECONDS)


def answer(messages: list[BaseMessage]) -> AIMessage:
    last = messages[-1]
    text = last.text
    if last.type == "tool":
        return AIMessage(text if last.name == "book_flight" else f"{text} Shall I book it?")
    if booked := re.search(r"book\W+([A-Z]{2}\d+)", text):
        return calls("book_flight", len(messages), flight=booked[1])
    for city in FLIGHTS:
        if city in text.lower():
            return calls("find_flight", len(messages), city=city.title())
    return AIMessage(f"I fly to {' and '.join(city.title() for city in FLIGHTS)}. Where to?")


def calls(tool: str, number: int, **args: str) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": tool, "args": args, "id": f"call_{number}"}])
