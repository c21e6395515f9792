"""Messages as state: the `add_messages` reducer, on plain dictionaries.

Messages are kept in the stored form of langchain-core (`{"type": "human", "content": …, "id": …}`),
so that its `convert_to_messages` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, TypedDict

from .world import current_world

__all__ = ["REMOVE_ALL_MESSAGES", "MessagesState", "add_messages"]

REMOVE_ALL_MESSAGES: Final = "__remove_all__"

Message = dict[str, Any]

_TYPES = {"user": "human", "assistant": "ai", "developer": "system"}
_COMMON: Mapping[str, Any] = {"additional_kwargs": {}, "response_metadata": {}, "name": None}
_BY_TYPE: Mapping[str, Mapping[str, Any]] = {
    "ai": {"tool_calls": [], "invalid_tool_calls": [], "usage_metadata": None},
    "tool": {"artifact": None, "status": "success"},
}


def add_messages(left: Any, right: Any) -> list[Message]:
    """Merge messages into messages: the same id replaces, a new id appends.

    Takes one message or a list of them: dictionaries with `type` or `role` and `content`,
    `(role, content)` pairs, or plain strings (from the human). Ids are given where missing.
    `{"type": "remove", "id": …}` deletes a message; the id `REMOVE_ALL_MESSAGES` deletes all before
    it. Meaning as `langgraph.graph.add_messages`.

    Raises ValueError for what is no message, and for the removal of an id that is not there.
    """
    merged = _messages(left)
    incoming = _messages(right)
    for at in range(len(incoming) - 1, -1, -1):
        if incoming[at]["type"] == "remove" and incoming[at]["id"] == REMOVE_ALL_MESSAGES:
            return [m for m in incoming[at + 1 :] if m["type"] != "remove"]
    places = {message["id"]: at for at, message in enumerate(merged)}
    removed = set()
    for message in incoming:
        ident = message["id"]
        if message["type"] == "remove":
            if ident not in places:
                raise ValueError(f"Cannot remove message {ident!r}: there is none of that id")
            removed.add(ident)
        elif ident in places:
            merged[places[ident]] = message
            removed.discard(ident)
        else:
            places[ident] = len(merged)
            merged.append(message)
    return [m for m in merged if m["id"] not in removed] if removed else merged


class MessagesState(TypedDict):
    """A state of messages alone; subclass it to add keys."""

    messages: Annotated[list[Any], add_messages]


def _messages(given: Any) -> list[Message]:
    many = given if isinstance(given, list) else [given]
    return [_message(one) for one in many]


def _message(given: Any) -> Message:
    match given:
        case {"type": str(), "id": str(), "content": _, "response_metadata": _}:
            return dict(given)  # in stored form already
        case {"type": str(kind)} | {"role": str(kind)}:
            body = {key: value for key, value in given.items() if key not in ("role", "type")}
        case str():
            kind, body = "human", {"content": given}
        case [str(kind), content]:
            body = {"content": content}
        case _:
            raise ValueError(
                "A message is a dict with 'role' or 'type' and 'content', a (role, content) pair "
                f"or a string; got {given!r}"
            )
    kind = _TYPES.get(kind, kind)
    if kind == "remove":
        if not body.get("id"):
            raise ValueError(f"A message that removes needs the 'id' to remove; got {given!r}")
        return {"type": kind, "id": body["id"]}
    if "content" not in body:
        raise ValueError(f"A message needs 'content'; got {given!r}")
    defaults = {key: _fresh(value) for key, value in {**_COMMON, **_BY_TYPE.get(kind, {})}.items()}
    body["id"] = body.get("id") or current_world().random_id()
    return {"type": kind, **defaults, **body}


def _fresh(default: Any) -> Any:
    return type(default)() if isinstance(default, (dict, list)) else default
