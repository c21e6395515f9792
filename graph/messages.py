"""Messages on their way to stream mode `messages`: tokens, and whole messages that nodes return.

A message is a dict in the stored form (`type`, `content`, `id`) or one of langchain-core's objects;
dicts that have a `role` in place of the type are passed over, as LangGraph does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from .checkpoint import RETURN
from .context import RunnableConfig, current_task
from .control import END, PREVIOUS
from .isolation import isolated

__all__ = [
    "CHUNK",
    "TAG_NOSTREAM",
    "as_chunk",
    "emit_message",
    "ident_of",
    "is_object",
    "known",
    "metadata_of",
    "stamped",
    "whole",
    "with_callback",
]

TAG_NOSTREAM: Final = "nostream"  # of a chat model that is not to be heard
CHUNK: Final = "AIMessageChunk"  # the type of a part of a message, as langchain-core calls it

# Of `configurable`, what a message is shown with.
_RUN_IDS: Final = ("thread_id", "run_id", "assistant_id", "graph_id", "task_id")
_TYPES: Final = frozenset(("ai", "human", "system", "tool", "function", "chat", CHUNK))
Emit = Callable[[Any, Mapping[str, Any], bool], None]

_FROM_AI: Final = ("ai", "assistant", CHUNK)


def emit_message(chunk: Any) -> None:
    """Send a part of a message to readers of stream mode `messages`, from an async or a plain node.

    `chunk`: a dict with `type` (or `role`) and `content`, or a message object of langchain-core.
    Parts of one message have the same `id`; those without one have the id of their task. The whole
    message is not shown again when the node returns it under that id.

    Raises RuntimeError outside a node, ValueError for what is no message.
    """
    current_task("emit_message()").emit_message(chunk)


def as_chunk(given: Any, ident: str) -> Any:
    """What was given to `emit_message`, as it is streamed; its id is `ident` by default."""
    if is_object(given):
        return given if given.id else given.model_copy(update={"id": ident})
    kind = (given.get("type") or given.get("role")) if isinstance(given, Mapping) else None
    if not isinstance(kind, str) or "content" not in given:
        raise ValueError(
            "emit_message() takes a dict with 'type' and 'content' or a message object; "
            f"got {given!r}"
        )
    body = {key: isolated(value) for key, value in given.items() if key != "role"}
    return {**body, "type": CHUNK if kind in _FROM_AI else kind, "id": given.get("id") or ident}


def whole(writes: Iterable[tuple[str, Any]]) -> Iterator[Any]:
    """The messages in what a node wrote: values that are one, and lists of them. What an entrypoint
    or a task returned may have them by key.
    """
    for key, value in writes:
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if is_object(one) or _is_dict_message(one):
                if key != PREVIOUS:
                    yield one
            elif key in (END, RETURN) and one is value and isinstance(one, dict):
                yield from whole(one.items())


def stamped(message: Any, new_id: Callable[[], str]) -> str:
    """The id of a message, which is given one in place if it has none."""
    ident = ident_of(message)
    if not ident:
        ident = new_id()
        if isinstance(message, dict):
            message["id"] = ident
        else:
            message.id = ident
    return ident


def known(state: Any) -> set[str]:
    """The ids of the messages that a node reads: they are not news if it returns them."""
    if not isinstance(state, Mapping):
        return set()
    return {ident for message in whole(state.items()) if (ident := ident_of(message))}


def ident_of(message: Any) -> str | None:
    ident: str | None = message.get("id") if isinstance(message, dict) else message.id
    return ident


def metadata_of(config: RunnableConfig) -> dict[str, Any]:
    """What a message of a task is shown with: the run's metadata and where the task is."""
    own = config.get("configurable", {})
    metadata = {name: own[name] for name in _RUN_IDS if own.get(name)}
    metadata.update(config.get("metadata", {}))
    return metadata


def with_callback(config: RunnableConfig, emit: Emit) -> RunnableConfig:
    """A task's config through which its chat models are heard: `emit(message, metadata, once)` gets
    their tokens and, with `once`, their whole answers. The same config where langchain-core is not
    in use.
    """
    if "langchain_core" not in sys.modules:
        return config
    from .langchain import heard

    return heard(config, emit)


def is_object(value: Any) -> bool:
    """Whether it is a message object of langchain-core."""
    if type(value) is dict:
        return False
    module = sys.modules.get("langchain_core.messages")  # nobody has such an object without it
    return module is not None and isinstance(value, module.BaseMessage)


def _is_dict_message(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") in _TYPES and "content" in value
