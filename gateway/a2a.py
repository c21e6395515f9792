"""Runs as the tasks of Agent2Agent, and its messages as what a graph takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final
from uuid import uuid4

import msgspec
from a2a.compat.v0_3.types import (
    AgentCapabilities,
    AgentCard,
    AgentSkill,
    Artifact,
    ContentTypeNotSupportedError,
    DataPart,
    Message,
    Part,
    Role,
    Task,
    TaskNotFoundError,
    TaskState,
    TaskStatus,
    TextPart,
)

from greenroom.storage.codec import to_json

from .decoding import shown
from .errors import told
from .jsonrpc import INVALID_PARAMS, RpcError

__all__ = [
    "agent_card",
    "answer_of",
    "artifact",
    "input_of",
    "split_id",
    "task_id",
    "task_of",
    "text_of",
]

MODES: Final = ["text/plain", "application/json"]
STATES: Final = {
    "pending": TaskState.submitted,
    "running": TaskState.working,
    "success": TaskState.completed,
    "interrupted": TaskState.canceled,
}


def task_id(thread_id: str, run_id: str) -> str:
    """A run's id as a task's. It has the thread's in it, because clients that ask for a task name
    nothing else."""
    return f"{thread_id}:{run_id}"


def split_id(given: str, context_id: Any) -> tuple[str, str]:
    """The ids of thread and run. A run's id alone will do beside a `contextId`. Raises RpcError."""
    thread_id, colon, run_id = given.rpartition(":")
    if not colon and context_id is None:
        raise _no_task(f"{shown(given)} is the id of no task, or contextId is missing")
    if colon and context_id not in (None, thread_id):
        raise _no_task(f"{shown(given)} is no task of {shown(context_id)}")
    return thread_id if colon else str(context_id), run_id


def _no_task(text: str) -> RpcError:
    return RpcError(TaskNotFoundError().code, text)


# Messages.


def input_of(message: Message, keys: Collection[str] | None) -> dict[str, Any]:
    """A new turn: texts are a message of the graph's `messages`, data the values of keys.

    `keys`: those that the graph takes, if it is known. Raises RpcError.
    """
    text, data = _said(message)
    if text is None:
        return data
    if keys is not None and "messages" not in keys:
        known = ", ".join(keys)
        raise RpcError(INVALID_PARAMS, f"message.parts: the agent takes no text, but data: {known}")
    role = "user" if message.role == Role.user else "assistant"
    return {"messages": [{"role": role, "content": text}], **data}


def answer_of(message: Message) -> Any:
    """What answers a question: a text, or data. Raises RpcError for both."""
    text, data = _said(message)
    if text is not None and data:
        raise RpcError(INVALID_PARAMS, "message.parts: an answer is text or data, not both")
    return data if text is None else text


def _said(message: Message) -> tuple[str | None, dict[str, Any]]:
    texts: list[str] = []
    data: dict[str, Any] = {}
    for at, part in enumerate(message.parts):
        if isinstance(part.root, TextPart):
            texts.append(part.root.text)
        elif isinstance(part.root, DataPart):
            data |= part.root.data
        else:
            where = f"message.parts.{at}: files are not taken"
            raise RpcError(ContentTypeNotSupportedError().code, where)
    if not message.parts:
        raise RpcError(INVALID_PARAMS, "message.parts: a message has at least one")
    return "\n".join(texts) if texts else None, data


def text_of(message: Any) -> str:
    """The text of a message of the state, without what it calls."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "".join(
        str(block.get("text", ""))
        for block in blocks
        if isinstance(block, dict) and block.get("type") == "text"
    )


# Tasks.


def task_of(run: Mapping[str, Any], *, result: Any = None, is_newest: bool = True) -> Task:
    """A run as a task. `result`: what it came to, if it has ended. `is_newest`: no other has
    followed it, so that the thread's values are its own."""
    context_id, run_id = run["thread_id"], run["run_id"]
    said: list[Part] = []
    made: list[Artifact] | None = None
    state = STATES.get(run["status"], TaskState.failed)
    result = msgspec.json.decode(to_json(result))
    values = result if isinstance(result, dict) else {}
    if state == TaskState.failed:
        if "__error__" in values:
            said = [_text(told(values["__error__"]))]
    elif state == TaskState.completed and is_newest:
        if "__interrupt__" in values:
            state = TaskState.input_required
            said = [_part(question["value"]) for question in values["__interrupt__"]]
        else:
            made = [artifact(run_id, _output(result))]
    ident = task_id(context_id, run_id)
    message = None
    if said:
        message = Message(
            message_id=str(uuid4()),
            role=Role.agent,
            parts=said,
            context_id=context_id,
            task_id=ident,
        )
    status = TaskStatus(state=state, message=message, timestamp=run["updated_at"])
    return Task(id=ident, context_id=context_id, status=status, artifacts=made)


def artifact(run_id: str, part: Part) -> Artifact:
    return Artifact(artifact_id=run_id, name="output", parts=[part])


def _output(result: Any) -> Part:
    """The text that the agent said last; of a graph that says none, the whole output."""
    messages = result.get("messages") if isinstance(result, dict) else None
    last = messages[-1] if isinstance(messages, list) and messages else None
    if isinstance(last, dict) and last.get("type") == "ai" and (text := text_of(last)):
        return _text(text)
    return _part(result)


def _part(value: Any) -> Part:
    if isinstance(value, str):
        return _text(value)
    data = value if isinstance(value, dict) else {"result": value}
    return Part(root=DataPart(data=data))


def _text(text: str) -> Part:
    return Part(root=TextPart(text=text))


def agent_card(assistant: Mapping[str, Any], url: str) -> AgentCard:
    """What an assistant says of itself. `url`: where it is called."""
    name = assistant["name"]
    description = assistant["description"] or f"The assistant {name}"
    return AgentCard(
        name=name,
        description=description,
        url=url,
        version=str(assistant["version"]),
        preferred_transport="JSONRPC",
        capabilities=AgentCapabilities(streaming=True, push_notifications=False),
        default_input_modes=MODES,
        default_output_modes=MODES,
        skills=[
            AgentSkill(
                id=assistant["graph_id"],
                name=name,
                description=description,
                tags=[assistant["graph_id"]],
            )
        ],
    )
