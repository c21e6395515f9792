"""What a request says beside its body: ids in its path, query parameters, headers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, get_args, get_origin
from uuid import UUID

import attrs
import msgspec
from starlette.requests import Request

from greenroom.actors import GreenroomError, Invalid
from greenroom.storage.codec import INT_MAX

from .decoding import shown

__all__ = ["Parameter", "Read"]

NULL: Final = {"type": "null"}


@attrs.frozen
class Read:
    """In the annotation of an argument: how it is read, where that is not as usual.

    `header`: it is this header's value. `error`: what a value that does not fit raises.
    """

    header: str | None = None
    error: type[GreenroomError] = Invalid


@attrs.frozen
class Parameter:
    """An argument of an endpoint that a request gives. `schema`: the JSON Schema of its type, which
    it is read by. `default`: where the request does not say; NOTHING if it must.
    """

    name: str
    place: Literal["path", "query", "header"]
    schema: Mapping[str, Any]
    default: Any
    error: type[GreenroomError]

    @classmethod
    def of(cls, name: str, hint: Any, default: Any, path: Collection[str]) -> Parameter:
        """Of the argument `name`; `path`: the names in the path."""
        marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        how = next((mark for mark in marks if isinstance(mark, Read)), Read())
        schema = msgspec.json.schema(hint)
        if NULL in schema.get("anyOf", ()):  # leaving it out says this
            (one,) = (shape for shape in schema.pop("anyOf") if shape != NULL)
            schema |= one
        place: Any = "path" if name in path else "header" if how.header else "query"
        return cls(how.header or name, place, schema, default, how.error)

    @property
    def is_required(self) -> bool:
        return self.default is attrs.NOTHING

    @property
    def may_misfit(self) -> bool:
        """There are values that raise `error`, or none does."""
        is_text = {**self.schema, "description": ""} == {"type": "string", "description": ""}
        return not is_text or (self.is_required and self.place != "path")

    def read(self, request: Request) -> Any:
        """Its value. Raises `error`, naming the parameter and the value."""
        given = self._given(request)
        if not given:
            if self.is_required:
                raise self.error(f"{self.name}: required, and missing")
            return self.default
        try:
            if self.schema.get("type") == "array":
                return _list(given, self.schema["items"]) or self.default
            return _value(given[0], self.schema)
        except ValueError as error:
            raise self.error(f"{self.name}: {error}") from None

    def _given(self, request: Request) -> Sequence[str]:
        match self.place:
            case "path":
                return [request.path_params[self.name]]
            case "query":
                return request.query_params.getlist(self.name)
            case "header":
                return [text for text in request.headers.getlist(self.name) if text]


# These raise ValueError.


def _value(text: str, schema: Mapping[str, Any]) -> Any:
    match schema:
        case {"type": "integer"}:
            return _integer(text, schema)
        case {"type": "boolean"}:
            return _flag(text)
        case {"anyOf": [{"type": "integer"} as number, {"type": "boolean"}]}:
            return _integer(text, number) if text.isdecimal() else _flag(text)
        case {"format": "uuid"}:
            return _uuid(text)
        case {"enum": choices}:
            return _choice(text, choices)
    return text


def _integer(text: str, schema: Mapping[str, Any]) -> int:
    least, most = schema.get("minimum", -INT_MAX), schema.get("maximum", INT_MAX)
    if text.removeprefix("-").isdecimal() and len(text) <= 20 and least <= int(text) <= most:
        return int(text)
    bounds = " and".join(
        f" {sign} {bound}" for sign, bound in ((">=", least), ("<=", most)) if abs(bound) != INT_MAX
    )
    raise ValueError(f"expected integer{bounds}, got {shown(text)}")


def _flag(text: str) -> bool:
    if text.lower() not in ("0", "1", "false", "true"):
        raise ValueError(f"expected true or false, got {shown(text)}")
    return text.lower() in ("1", "true")


def _uuid(text: str) -> str:
    """In its usual spelling."""
    try:
        return str(UUID(text))
    except ValueError:
        raise ValueError(f"expected a UUID, got {shown(text)}") from None


def _choice(text: str, choices: Sequence[str]) -> str:
    if text not in choices:
        raise ValueError(f"{shown(text)} is none of {', '.join(choices)}")
    return text


def _list(given: Sequence[str], schema: Mapping[str, Any]) -> list[Any]:
    """Values as clients write them: the name repeated (Python) or, of known words, one JSON array
    (JavaScript) or one text with commas."""
    if "enum" not in schema:
        return list(given)
    texts: list[str] = []
    for text in given:
        if text.startswith("["):
            try:
                texts += msgspec.json.decode(text, type=list[str])
            except msgspec.DecodeError:
                raise ValueError(f"expected an array of strings, got {shown(text)}") from None
        elif text:
            texts += text.split(",")
    return [_choice(text, schema["enum"]) for text in texts]
