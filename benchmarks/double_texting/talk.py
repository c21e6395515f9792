"""The graph that is texted twice: it hears, thinks for a while, and answers.

Made of the parts of whichever library serves it, so that all servers run the same nodes. A node
says what it does on the `custom` stream, and measures by the server's own clock how long a chat
was left alone between one text and the next.
"""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import anyio

__all__ = ["talk_of"]


class Talk(TypedDict):
    chat: str
    text: str
    seconds: float
    log: Annotated[list[str], operator.add]


def talk_of(library: Any, get_stream_writer: Callable[[], Callable[[Any], None]]) -> Any:
    """The compiled graph. `library`: has `StateGraph`, `START` and `END`."""
    thinking: set[str] = set()  # chats of which a text is thought about
    left: dict[str, float] = {}  # when that was over

    async def hear(state: Talk) -> dict[str, list[str]]:
        chat, now = state["chat"], time.perf_counter()
        since = left.pop(chat, None)
        get_stream_writer()(
            {
                "hears": state["text"],
                "alone": None if since is None else now - since,
                "at_once": chat in thinking,
            }
        )
        return {"log": [f"heard {state['text']}"]}

    async def think(state: Talk) -> dict[str, list[str]]:
        chat = state["chat"]
        if state["seconds"]:
            thinking.add(chat)
            get_stream_writer()({"thinks": state["text"]})
            try:
                await anyio.sleep(state["seconds"])
            finally:
                thinking.discard(chat)
                left[chat] = time.perf_counter()
        return {"log": []}

    async def answer(state: Talk) -> dict[str, list[str]]:
        return {"log": [f"answered {state['text']}"]}

    builder = library.StateGraph(Talk)
    nodes = {"hear": hear, "think": think, "answer": answer}
    for name, node in nodes.items():
        builder.add_node(name, node)
    for source, target in zip([library.START, *nodes], [*nodes, library.END], strict=True):
        builder.add_edge(source, target)
    return builder.compile()
