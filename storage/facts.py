"""What metadata says, leaf by leaf, as numbers that an index finds threads by.

Metadata that contains other metadata has all of its facts. The reverse need not be so: numbers may
coincide, and two facts about a list may be about different elements. So they say where to look.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

__all__ = ["MANY", "MANY_FACTS", "ORDERS", "fact_at", "facts_of", "facts_text", "facts_wanted"]

MANY_FACTS: Final = 256  # metadata that says more is known by the fact MANY alone
MANY: Final = 0
# Facts are kept once for each of these orders of threads: by the whole time where it never changes,
# and by its day where every run changes it, so that this is written once a day.
ORDERS: Final = ("created_at", "updated_at", "state_updated_at")
_DAY: Final = len("2026-01-01")

_ELEMENT: Final = 0  # a step into a list, whichever element it is; other steps are strings


@functools.lru_cache(maxsize=256)  # the commits of a run bring the same again
def facts_of(metadata: str) -> tuple[int, ...]:
    """The facts of stored metadata. Of what cannot be read there are none."""
    try:
        value = msgspec.json.decode(metadata)
    except msgspec.DecodeError:
        return ()
    found: set[int] = set()
    for path, leaf in _leaves((), value, wanted=False):
        found.add(_number(path, leaf))
        if len(found) > MANY_FACTS:
            return (MANY,)
    return tuple(sorted(found))


def facts_text(metadata: str) -> str:
    """The same as a JSON array."""
    return msgspec.json.encode(facts_of(metadata)).decode()


def facts_wanted(metadata: Mapping[str, Any]) -> list[int]:
    """The facts that metadata has if it contains `metadata`, without MANY."""
    leaves = _leaves((), metadata, wanted=True)
    return list(dict.fromkeys(_number(path, leaf) for path, leaf in leaves))


def fact_at(order: str, row: str) -> str:
    """Where a thread, which SQL knows as `row`, stands in an order among those of a fact."""
    return f"{row}.{order}" if order == "created_at" else f"substr({row}.{order}, 1, {_DAY})"


Path = tuple[str | int, ...]


def _leaves(path: Path, value: Any, *, wanted: bool) -> Iterator[tuple[Path, Any]]:
    """Scalars and containers by their path. Of what is wanted only containers that are empty, as
    others are implied by what is in them."""
    if isinstance(value, (Mapping, list)):
        if path and not (wanted and value):
            yield path, type(value)()
        if isinstance(value, list):
            for item in value:
                yield from _leaves((*path, _ELEMENT), item, wanted=wanted)
        else:
            for key, item in value.items():
                yield from _leaves((*path, key), item, wanted=wanted)
    elif isinstance(value, float) and value.is_integer():
        yield path, int(value)  # 1.0 is 1
    else:
        yield path, value


def _number(path: Path, leaf: Any) -> int:
    text = msgspec.json.encode((path, leaf))
    number = int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)
    return number or 1  # 0 is MANY
