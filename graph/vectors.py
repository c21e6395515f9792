"""Search by meaning: texts out of items, vectors out of a function that the user supplies."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Required, TypedDict, cast

import attrs
import trio

__all__ = ["IndexConfig", "Vector", "VectorIndex", "texts_at"]

Vectors = Sequence[Sequence[float]]
Embed = Callable[[list[str]], Vectors] | Callable[[list[str]], Awaitable[Vectors]]


class IndexConfig(TypedDict, total=False):
    """How a store finds items by meaning.

    `embed`: from texts to one vector for each; an async function serves the store's async methods
    only. `dims`: how long the vectors are. `fields`: paths of the texts in an item, as `title`,
    `author.name`, `chapters[*].text`, `chapters[0].text`, or `$` for the whole item (the default).
    """

    embed: Required[Embed]
    dims: int
    fields: list[str]


@attrs.frozen
class Vector:
    """A direction, as a vector of length 1 (or 0)."""

    parts: tuple[float, ...]

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Vector:
        length = math.hypot(*numbers)
        return cls(tuple(float(number) / (length or 1.0) for number in numbers))

    def best_match(self, others: Sequence[Vector]) -> float | None:
        """The highest cosine similarity to any of them, None if there are none."""
        return max((self._cosine(other) for other in others), default=None)

    def _cosine(self, other: Vector) -> float:
        return sum(a * b for a, b in zip(self.parts, other.parts, strict=True))


@attrs.frozen
class VectorIndex:
    """From items and queries to vectors."""

    embed: Embed
    dims: int | None
    fields: tuple[str, ...]

    @classmethod
    def of(cls, config: IndexConfig) -> VectorIndex:
        """Raises TypeError where `embed` is no function."""
        if not callable(config.get("embed")):
            raise TypeError(f"index['embed'] must be a function; got {config.get('embed')!r}")
        return cls(config["embed"], config.get("dims"), tuple(config.get("fields") or ("$",)))

    def vectors(
        self, value: Mapping[str, Any], fields: Literal[False] | Sequence[str] | None
    ) -> tuple[Vector, ...]:
        """A vector for each text of an item. `fields`: in place of the configured ones, or
        False."""
        texts = self.texts(value, fields)
        return self._checked(texts, self._embed(texts)) if texts else ()

    async def avectors(
        self, value: Mapping[str, Any], fields: Literal[False] | Sequence[str] | None
    ) -> tuple[Vector, ...]:
        texts = self.texts(value, fields)
        return self._checked(texts, await self._aembed(texts)) if texts else ()

    def query(self, text: str) -> Vector:
        return self._checked([text], self._embed([text]))[0]

    async def aquery(self, text: str) -> Vector:
        return self._checked([text], await self._aembed([text]))[0]

    def texts(
        self, value: Mapping[str, Any], fields: Literal[False] | Sequence[str] | None
    ) -> list[str]:
        """The texts of an item that vectors are made of; `fields` as in `vectors`."""
        if fields is False:
            return []
        paths = self.fields if fields is None else fields
        return [text for path in paths for text in texts_at(value, path)]

    def _embed(self, texts: list[str]) -> Vectors:
        if inspect.iscoroutinefunction(self.embed):
            raise TypeError(
                "index['embed'] is an async function: use the store's async methods (aput, asearch)"
            )
        return cast(Vectors, self.embed(texts))

    async def _aembed(self, texts: list[str]) -> Vectors:
        if inspect.iscoroutinefunction(self.embed):
            return cast(Vectors, await self.embed(texts))
        return await trio.to_thread.run_sync(self._embed, texts)

    def _checked(self, texts: list[str], vectors: Vectors) -> tuple[Vector, ...]:
        if len(vectors) != len(texts):
            raise ValueError(f"index['embed'] gave {len(vectors)} vectors for {len(texts)} texts")
        for vector in vectors:
            if self.dims is not None and len(vector) != self.dims:
                raise ValueError(
                    f"index['embed'] gave a vector of {len(vector)} numbers; "
                    f"index['dims'] says {self.dims}"
                )
        return tuple(map(Vector.of, vectors))


def texts_at(value: Any, path: str) -> Iterator[str]:
    """The texts at a path of an item; see `IndexConfig`."""
    steps = re.findall(r"\[(\*|-?\d+)\]|([^.\[\]]+)", path)
    found = [value]
    for index, name in steps if path != "$" else ():
        found = [inner for outer in found for inner in _inner(outer, index, name)]
    for one in found:
        if isinstance(one, str):
            yield one
        elif one is not None:
            yield json.dumps(one, sort_keys=True, ensure_ascii=False, default=str)


def _inner(outer: Any, index: str, name: str) -> Sequence[Any]:
    if name:
        return [outer[name]] if isinstance(outer, Mapping) and name in outer else []
    if not isinstance(outer, (list, tuple)):
        return []
    if index == "*":
        return outer
    at = int(index)
    return [outer[at]] if -len(outer) <= at < len(outer) else []
