"""Stream mode `messages` as clients get it: each message whole, as far as it has come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["MessageEvents", "is_part"]

_CHUNK: Final = "AIMessageChunk"


class MessageEvents:
    """Puts the parts of a run's messages together, by message id."""

    def __init__(self) -> None:
        self._so_far: dict[str, Any] = {}

    def of(self, message: Any, metadata: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """The events of a message or a part of one: `messages/metadata` when its id is new, then
        `messages/partial`, or `messages/complete` for one that came whole.
        """
        ident = message["id"] if isinstance(message, dict) else message.id
        if ident not in self._so_far:
            yield "messages/metadata", {ident: {"metadata": metadata}}
        part = is_part(message)
        before = self._so_far.get(ident)
        self._so_far[ident] = _joined(before, message) if part and before else message
        kind = "messages/partial" if part else "messages/complete"
        yield kind, [_shown(self._so_far[ident])]


def is_part(message: Any) -> bool:
    """Whether a message is a part of one."""
    if isinstance(message, dict):
        return bool(message["type"] == _CHUNK)
    return type(message).__name__.endswith("Chunk")


def _joined(before: Any, part: Any) -> Any:
    if not isinstance(before, dict) or not isinstance(part, dict):
        return part if isinstance(before, dict) or isinstance(part, dict) else before + part
    return {**before, **part, "content": _longer(before["content"], part["content"])}


def _longer(before: Any, content: Any) -> Any:
    """Content is text, or a list of blocks."""
    if isinstance(before, str) and isinstance(content, str):
        return before + content
    return [*_blocks(before), *_blocks(content)]


def _blocks(content: Any) -> list[Any]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []


def _shown(message: Any) -> Any:
    """A message made of parts is a message like any other."""
    if isinstance(message, dict):
        return {**message, "type": "ai"} if message["type"] == _CHUNK else message
    if not is_part(message):
        return message
    whole = message.model_dump()
    return {**whole, "type": "ai"} if whole["type"] == _CHUNK else whole
