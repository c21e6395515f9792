"""Parts of threads that a search is asked for by path."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from greenroom.storage.codec import as_json

from ..errors import Invalid

__all__ = ["checked_paths", "extracted"]

MOST: Final = 10  # paths
LONGEST: Final = 500  # characters of a path

_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(-?\d{1,9})\]")

Paths = Mapping[str, tuple[str, Sequence[str | int]]]  # a field, and the steps from there


def checked_paths(given: Mapping[str, str], fields: Collection[str]) -> Paths:
    """Paths such as `values.messages[-1].content`, by name. Raises Invalid.

    `fields`: those that a path may begin with.
    """
    if not isinstance(given, Mapping):
        raise Invalid(f"extract: {given!r} is not an object")
    if len(given) > MOST:
        raise Invalid(f"extract: {len(given)} paths; at most {MOST} are taken")
    return {name: _checked(name, path, fields) for name, path in given.items()}


def _checked(name: str, path: Any, fields: Collection[str]) -> tuple[str, Sequence[str | int]]:
    if not isinstance(path, str) or len(path) > LONGEST:
        raise Invalid(f"extract.{name}: {path!r} is no path of at most {LONGEST} characters")
    field = re.split(r"[.\[]", path, maxsplit=1)[0]
    if field not in fields:
        raise Invalid(f"extract.{name}: {path!r} begins with none of {', '.join(fields)}")
    steps: list[str | int] = []
    at = len(field)
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            raise Invalid(f"extract.{name}: {path!r} cannot be followed from {path[at:]!r} on")
        steps.append(found[1] if found[1] is not None else int(found[2]))
        at = found.end()
    return field, steps


def extracted(view: Mapping[str, Any], paths: Paths) -> dict[str, Any]:
    """`{"extracted": {name: what lies there, or None}}`; nothing where there are no paths."""
    if not paths:
        return {}
    return {"extracted": {name: _follow(view.get(at), on) for name, (at, on) in paths.items()}}


def _follow(value: Any, steps: Sequence[str | int]) -> Any:
    found = as_json(value)
    for step in steps:
        if isinstance(step, str) and isinstance(found, dict):
            found = found.get(step)
        elif isinstance(step, int) and isinstance(found, list) and -len(found) <= step < len(found):
            found = found[step]
        else:
            return None
    return found
