"""The classes whose objects come back from storage as themselves: those that schemas name, and
those that the application has registered. Stored data can only choose among them.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from types import SimpleNamespace
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from typing_extensions import is_typeddict

from .channels import Channel
from .chat import MessageReducer, add_messages
from .objects import form_of, is_pydantic

__all__ = [
    "Messages",
    "declared_types",
    "message_class",
    "register_declared",
    "register_lasting",
    "register_type",
    "registered",
    "type_name",
]

T = TypeVar("T", bound=type)

_MESSAGE: Final = "message:"
_registered: Final[dict[str, type]] = {}


class Messages:
    """Among declared classes: all message classes of langchain-core, which need not be in use."""


def register_type(kind: T, name: str | None = None) -> T:
    """Let objects of a class come back from storage as themselves though no schema names it.

    Works as a decorator, for the whole program. `name`: what stored objects call their class, where
    it has moved since: its module and name of then, as in `"shop.models.Order"`. Returns the class.

    Raises TypeError for what is no attrs class, dataclass, Pydantic model, named tuple or enum.
    """
    if not isinstance(kind, type) or not _is_storable(kind):
        raise TypeError(
            f"An attrs class, dataclass, Pydantic model, named tuple or enum can be registered; "
            f"got {kind!r}"
        )
    _registered[type_name(kind)] = kind
    if name is not None:
        _registered[name] = kind
    return kind


def register_declared(annotation: Any) -> None:
    """Register the classes that an annotation speaks of, for what is in no graph's schemas."""
    for kind in declared_types([annotation]):
        _registered[type_name(kind)] = kind


def register_lasting(kinds: Iterable[type]) -> bool:
    """Register those of the classes that are to be found in their modules. Others may be made anew
    under the same name. Whether there were any, beside those of messages."""
    found = False
    for kind in kinds:
        name = type_name(kind)
        if not name.startswith(_MESSAGE) and _is_lasting(kind):
            _registered[name] = kind
            found = True
    return found


def _is_lasting(kind: type) -> bool:
    place: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        place = getattr(place, name, None)
    return place is kind


def registered(name: str) -> type | None:
    """The class that was registered under a name."""
    return _registered.get(name)


def _type_name(kind: type) -> str:
    """What stored objects call their class. The message classes of langchain-core go by their type,
    in whatever module a version of it has them."""
    if kind.__module__.startswith("langchain_core.messages") and is_pydantic(kind):
        field = kind.model_fields.get("type")  # type: ignore[attr-defined]
        if field is not None and isinstance(field.default, str):
            return _MESSAGE + field.default
    return f"{kind.__module__}.{kind.__qualname__}"


type_name: Callable[[type], str] = functools.lru_cache(maxsize=1024)(_type_name)


def message_class(name: str) -> type | None:
    """The message class that stored objects call by this name; None if it is no such name or
    langchain-core is not in use."""
    module = sys.modules.get("langchain_core.messages")
    if module is None or not name.startswith(_MESSAGE):
        return None
    return _message_classes(module).get(name)


@functools.cache
def _message_classes(module: Any) -> Mapping[str, type]:
    names = [name for name in module.__all__ if name.endswith(("Message", "MessageChunk"))]
    found = [one for name in names if isinstance(one := getattr(module, name), type)]
    return {type_name(one): one for one in found}


def declared_types(annotations: Iterable[Any]) -> frozenset[type]:
    """The classes whose objects annotations speak of, at any depth: in unions, in containers and in
    the fields of classes. Where `BaseMessage` is one, or a key has the reducer `add_messages`,
    `Messages` is among them.
    """
    found: set[type] = set()
    for annotation in annotations:
        _find(annotation, found)
    return frozenset(kind for kind in found if kind is Messages or _is_storable(kind))


def _is_storable(kind: type) -> bool:
    return issubclass(kind, Enum) or form_of(kind) is not None


def _find(annotation: Any, found: set[type]) -> None:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        found.update(type(one) for one in inner)
    elif origin is Annotated:
        _find(inner[0], found)
        if any(_is_add_messages(extra) for extra in inner[1:]):
            found.add(Messages)
        for extra in inner[1:]:
            if isinstance(extra, Channel):
                _find(getattr(extra, "kind", None), found)
    elif origin is not None and origin is not ClassVar:
        for one in (origin, *inner):
            _find(one, found)
    elif isinstance(annotation, type):
        if annotation not in found:
            found.add(annotation)
            if _is_any_message(annotation):
                found.add(Messages)
            for one in _annotations(annotation):
                _find(one, found)
    elif isinstance(annotation, TypeVar):
        for one in (annotation.__bound__, *annotation.__constraints__):
            _find(one, found)
    else:
        _find_meant(annotation, found)


def _find_meant(alias: Any, found: set[type]) -> None:
    """By a NewType or a type alias."""
    for name in ("__supertype__", "__value__"):
        try:
            meant = getattr(alias, name, None)
        except NameError:  # it is resolved only now
            continue
        if meant is not None:
            _find(meant, found)


def _is_add_messages(extra: Any) -> bool:
    while isinstance(extra, functools.partial):
        extra = extra.func
    return extra is add_messages or isinstance(extra, MessageReducer)


def _is_any_message(kind: type) -> bool:
    module = sys.modules.get("langchain_core.messages")
    return module is not None and kind is module.BaseMessage


def _annotations(kind: Any) -> Iterator[Any]:
    """Of the fields of a class."""
    if is_pydantic(kind):  # it has resolved names that nobody else can
        for field in kind.model_fields.values():
            yield field.annotation
    if is_typeddict(kind) or form_of(kind) is not None:
        yield from _hints(kind)


def _hints(kind: type) -> Iterable[Any]:
    """The annotations of a class, without those that cannot be resolved from here."""
    try:
        return get_type_hints(kind, include_extras=True).values()
    except Exception:  # resolving an annotation runs it
        return [hint for base in kind.__mro__ for hint in _resolvable(base)]


def _resolvable(kind: type) -> Iterator[Any]:
    module = vars(sys.modules.get(kind.__module__, SimpleNamespace()))
    for hint in vars(kind).get("__annotations__", {}).values():
        alone = SimpleNamespace(__annotations__={"hint": hint})
        try:
            yield get_type_hints(alone, module, dict(vars(kind)), include_extras=True)["hint"]
        except Exception:
            continue
