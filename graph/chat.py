"""Messages as state: the `add_messages` reducer.

Messages are kept as plain dictionaries in the stored form of langchain-core (`{"type": "human",
"content": …, "id": …}`), so that its `convert_to_messages` reads them, or as its message objects,
where a program uses these.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from operator import attrgetter, itemgetter
from typing import Annotated, Any, ClassVar, Final, Literal, TypedDict, get_args

import attrs
import msgspec

from .context import current_task
from .messages import is_object
from .world import current_world

__all__ = ["REMOVE_ALL_MESSAGES", "MessageReducer", "MessagesState", "add_messages", "push_message"]

REMOVE_ALL_MESSAGES: Final = "__remove_all__"

Format = Literal["langchain-openai"]
Getter = Callable[[str], Callable[[Any], Any]]

_CORE: Final = "langchain_core.messages"
_TYPES = {"user": "human", "assistant": "ai", "developer": "system"}
_KINDS: Final = frozenset(("human", "ai", "system", "tool", "function", "chat", "remove"))
_COMMON: Mapping[str, Any] = {"additional_kwargs": {}, "response_metadata": {}, "name": None}
_BY_TYPE: Mapping[str, Mapping[str, Any]] = {
    "ai": {"tool_calls": [], "invalid_tool_calls": [], "usage_metadata": None},
    "tool": {"artifact": None, "status": "success"},
}


def add_messages(left: Any = None, right: Any = None, *, format: Format | None = None) -> Any:
    """Merge messages into messages: the same id replaces, a new id appends.

    Takes one message or a list of them: dictionaries with `type` or `role` and `content`,
    `(role, content)` pairs, plain strings (from the human), or message objects of langchain-core.
    Ids are given where missing. `{"type": "remove", "id": …}` or a `RemoveMessage` deletes a
    message; the id `REMOVE_ALL_MESSAGES` deletes all before it. The result is dictionaries in the
    stored form; objects, all of them, where one is an object, a state declares the key as a list of
    them (`list[AnyMessage]`), or `format="langchain-openai"` asks for the contents of that API.
    Without messages: a reducer with that format. Meaning as `langgraph.graph.add_messages`.

    Raises ValueError for what is no message, for the removal of an id that is not there, and for an
    unknown format.
    """
    reducer = MessageReducer(format)
    if left is None and right is None:
        return reducer
    if left is None or right is None:
        missing = "left" if left is None else "right"
        raise ValueError(f"add_messages() merges two lists of messages; {missing} is None")
    return reducer(left, right)


@attrs.frozen
class MessageReducer:
    """`add_messages` with what was decided beforehand. `objects`: whether dictionaries become
    objects in any case."""

    only_adds: ClassVar[bool] = True  # see `channels`

    format: Format | None = None
    objects: bool = attrs.field(default=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if self.format not in (None, "langchain-openai"):
            raise ValueError(f"format must be 'langchain-openai' or None; got {self.format!r}")

    @classmethod
    def declared(cls, operator: Callable[..., Any], kind: Any) -> Callable[..., Any]:
        """A reducer of a state key that holds `kind`: where it is `add_messages`, objects are made
        for a type that has some in it."""
        if operator is add_messages:
            operator = cls()
        if isinstance(operator, cls) and _has_objects(kind):
            return attrs.evolve(operator, objects=True)
        return operator

    def __call__(self, left: Any, right: Any) -> list[Any]:
        held, incoming = _many(left), _many(right)
        as_objects = self.objects or self.format or any(map(is_object, (*held, *incoming)))
        read, get = (_object, attrgetter) if as_objects else (_message, itemgetter)
        merged = _merged([read(one) for one in held], [read(one) for one in incoming], get)
        if self.format is None:
            return merged
        return _formatted(merged)


class MessagesState(TypedDict):
    """A state of messages alone; subclass it to add keys."""

    messages: Annotated[list[Any], add_messages]


def push_message(message: Any, *, state_key: str | None = "messages") -> Any:
    """Show a whole message in stream mode `messages` before the node is done, and write it to a key
    of the state, before what the node returns. Returns the message.

    `message`: as for `add_messages`, with an id. `state_key`: None writes it nowhere; a key that
    the state does not have is passed over. Works in async nodes and plain ones.

    Raises RuntimeError outside a node, ValueError for what is no message or has no id.
    """
    task = current_task("push_message()")
    ident = message.id if is_object(message) else isinstance(message, dict) and message.get("id")
    if not ident:
        raise ValueError(f"push_message() needs a message with an id; got {message!r}")
    pushed = _object(message) if is_object(message) else _message(message)
    task.push_message(pushed)
    if state_key is not None:
        task.push_write(state_key, pushed)
    return pushed


def _merged(merged: list[Any], incoming: list[Any], get: Getter) -> list[Any]:
    """`get`: makes what gets a field of these messages, which are all dicts or all objects."""
    ident_of, kind_of = get("id"), get("type")
    for at in range(len(incoming) - 1, -1, -1):
        if kind_of(incoming[at]) == "remove" and ident_of(incoming[at]) == REMOVE_ALL_MESSAGES:
            return [one for one in incoming[at + 1 :] if kind_of(one) != "remove"]
    places = {ident_of(message): at for at, message in enumerate(merged)}
    removed = set()
    for message in incoming:
        ident = ident_of(message)
        if kind_of(message) == "remove":
            if ident not in places:
                raise ValueError(f"Cannot remove message {ident!r}: there is none of that id")
            removed.add(ident)
        elif ident in places:
            merged[places[ident]] = message
            removed.discard(ident)
        else:
            places[ident] = len(merged)
            merged.append(message)
    return [one for one in merged if ident_of(one) not in removed] if removed else merged


def _formatted(merged: list[Any]) -> list[Any]:
    """One message may become several, of which at most one keeps the id."""
    core = importlib.import_module(_CORE)
    told = core.convert_to_openai_messages(merged, include_id=True)
    return [_object(message) for message in core.convert_to_messages(told)]


def _many(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _object(given: Any) -> Any:
    """A message as an object with an id; what is given is left as it is."""
    core = importlib.import_module(_CORE)
    if not is_object(given):
        is_stored = isinstance(given, dict) and {"type", "response_metadata"} <= given.keys()
        if isinstance(given, dict) and given.get("type") == "remove":
            given, is_stored = _message(given), True
        try:
            if is_stored:  # by its fields; the other way takes those that no API has for extras
                data = {key: value for key, value in given.items() if key != "type"}
                (given,) = core.messages_from_dict([{"type": given["type"], "data": data}])
            else:
                (given,) = core.convert_to_messages([given])
        except (ValueError, NotImplementedError, TypeError, KeyError) as error:
            raise ValueError(f"{_EXPECTED}; got {given!r}") from error
    if isinstance(given, core.BaseMessageChunk):
        given = core.message_chunk_to_message(given)
    return given if given.id else given.model_copy(update={"id": current_world().random_id()})


def _has_objects(kind: Any) -> bool:
    core = sys.modules.get(_CORE)  # nobody can name such a type without it
    if core is None:
        return False
    if isinstance(kind, type) and not get_args(kind):
        return issubclass(kind, core.BaseMessage)
    return any(map(_has_objects, get_args(kind)))


_EXPECTED: Final = (
    "A message is a dict with 'role' or 'type' and 'content', a (role, content) pair, a string or "
    "a message object of langchain-core"
)


def _message(given: Any) -> Any:
    match given:
        case {"type": str(), "id": str(), "content": _, "response_metadata": _}:
            return given  # in stored form already
        case {"type": str(kind)} | {"role": str(kind)}:
            body = {key: value for key, value in given.items() if key not in ("role", "type")}
        case str():
            kind, body = "human", {"content": given}
        case [str(kind), content]:
            body = {"content": content}
        case _:
            raise ValueError(f"{_EXPECTED}; got {given!r}")
    kind = _TYPES.get(kind, kind)
    if kind not in _KINDS and not kind.endswith("MessageChunk"):
        raise ValueError(f"{kind!r} is no role or type of messages; got {given!r}")
    if kind == "remove":
        if not body.get("id"):
            raise ValueError(f"A message that removes needs the 'id' to remove; got {given!r}")
        return {"type": kind, "id": body["id"]}
    if "content" not in body:
        raise ValueError(f"A message needs 'content'; got {given!r}")
    defaults = {key: _fresh(value) for key, value in {**_COMMON, **_BY_TYPE.get(kind, {})}.items()}
    body["id"] = body.get("id") or current_world().random_id()
    if body["content"] is None:  # as APIs have it beside tool calls
        body["content"] = ""
    if kind == "ai" and body.get("tool_calls"):
        body["tool_calls"] = [_tool_call(call) for call in _many(body["tool_calls"])]
    return {"type": kind, **defaults, **body}


def _tool_call(call: Any) -> Any:
    """A tool call in the stored form; it may be in that of OpenAI's API, with its arguments as
    text."""
    if not isinstance(call, dict):
        raise ValueError(f"A tool call is a dict with 'name', 'args' and 'id'; got {call!r}")
    if "function" not in call:
        return {**call, "type": "tool_call"}
    try:
        name, args = call["function"]["name"], call["function"]["arguments"]
        args = msgspec.json.decode(args) if isinstance(args, str) else args
    except (KeyError, TypeError, msgspec.DecodeError) as error:
        raise ValueError(f"A tool call's 'function' has no name or arguments: {call!r}") from error
    return {"name": name, "args": args, "id": call.get("id"), "type": "tool_call"}


def _fresh(default: Any) -> Any:
    return type(default)() if isinstance(default, (dict, list)) else default
