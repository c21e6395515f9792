"""JSON into attrs classes, with errors that a person can act on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from greenroom.storage.codec import MAX_DEPTH

__all__ = ["BrokenJson", "DecodingError", "decode", "shown"]

T = TypeVar("T")


class DecodingError(ValueError):
    """Bytes that do not fit the shape asked for; the text names the field and the value."""


class BrokenJson(DecodingError):
    """Bytes that are no JSON, or nested too deep to be read."""


def decode(data: bytes, shape: type[T]) -> T:
    """Decode JSON as the attrs class `shape`, or a list of one, strictly: `"5"` is no integer.

    Unknown keys are ignored. Raises DecodingError.
    """
    try:
        value = _decode(data, shape)
    except RecursionError:
        value = None
    if value is None or _is_deeper_than(data, MAX_DEPTH):
        raise BrokenJson(f"JSON nested deeper than {MAX_DEPTH} levels")
    return value


def shown(value: Any) -> str:
    """A value as JSON, cut short, for the text of an error."""
    text = json.dumps(value, ensure_ascii=False).encode(errors="replace").decode()
    return text if len(text) <= 80 else f"{text[:79]}…"


def _decode(data: bytes, shape: type[T]) -> T:
    try:
        if not data.isascii():
            data.decode()  # msgspec does not look into what it passes over
        return msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # The standard library says where by line and column; it takes a little more than JSON.
        try:
            raw = json.loads(data)
        except json.JSONDecodeError as where:
            text = f"broken JSON at line {where.lineno}, column {where.colno}: {where.msg}"
        except UnicodeDecodeError as where:
            text = f"broken JSON: not UTF-8 at byte {where.start}"
        else:
            if isinstance(error, msgspec.ValidationError):
                try:  # 1.0 is an integer in JSON, but not to msgspec
                    msgspec.json.decode(data)  # the rest is JSON, too
                    return msgspec.convert(json.loads(data, parse_float=_number), shape)
                except (msgspec.DecodeError, OverflowError):
                    raise DecodingError(_misfit(str(error), raw, shape)) from None
            if str(error) == "Input data was truncated":
                text = "broken JSON: half of a surrogate pair in a string"
            else:
                text = f"broken JSON: {str(error).removeprefix('JSON is malformed: ')}"
        raise BrokenJson(text) from None


def _number(text: str) -> float:
    """What JSON writes with a point or an exponent; an int where it is whole. Raises OverflowError
    where it is out of range."""
    number = float(text)
    whole = int(number)
    return whole if whole == number else number


# Everything but the brackets that are not part of a string.
_NO_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[^][{}"]+', re.DOTALL)
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")


def _is_deeper_than(data: bytes, limit: int) -> bool:
    if data.count(b"[") + data.count(b"{") <= limit:
        return False
    brackets = _NO_BRACKETS.sub(b"", data).translate(_TO_SQUARE)
    for _ in range(limit):  # peels off the innermost level
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


_JSON_NAMES = {
    "int": "integer",
    "float": "number",
    "str": "string",
    "bool": "boolean",
}


def _misfit(message: str, raw: Any, shape: type) -> str:
    """msgspec's message with the field first, JSON's names for types, and the value."""
    problem, _, path = message.partition(" - at `$")
    path = path.rstrip("`").removeprefix(".")
    field = path or "the body"
    if missing := re.fullmatch(r"Object missing required field `(.+)`", problem):
        name = f"{path}.{missing[1]}" if path else missing[1]
        return f"{name}: required, and missing"
    value = shown(_look_up(raw, path))
    if problem.startswith("Invalid enum value"):
        return f"{field}: {value} is none of {', '.join(_choices(shape, path))}"
    if expected := re.fullmatch(r"Expected `(.+?)`(.*?)(?:, got .+)?", problem):
        names = [_JSON_NAMES.get(name, name) for name in expected[1].split(" | ")]
        return f"{field}: expected {' or '.join(names)}{expected[2]}, got {value}"
    return f"{field}: {problem[0].lower()}{problem[1:]}"


def _look_up(value: Any, path: str) -> Any:
    for key, index in re.findall(r"([^.\[\]]+)|\[(\d+|\.\.\.)\]", path):
        if index == "...":  # any of an object's values: msgspec does not say which
            return value
        value = value[int(index)] if index else value[key]
    return value


def _choices(shape: type, path: str) -> list[str]:
    if get_origin(shape) is list:
        (shape,), path = get_args(shape), path.partition("].")[2]
    field = re.split(r"[.\[]", path)[0]
    return [str(choice) for choice in _literals(get_type_hints(shape)[field])]


def _literals(hint: Any) -> Iterator[Any]:
    if get_origin(hint) is Literal:
        yield from get_args(hint)
    else:
        for part in get_args(hint):
            yield from _literals(part)
