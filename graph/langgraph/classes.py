"""The classes that graphs of LangGraph's speak of, whose objects come back as themselves."""

from __future__ import annotations

import functools
from collections.abc import Collection, Hashable, Iterator
from typing import Any

from ..declared import declared_types, register_lasting
from .factories import AnyPregel
from .records import OWN_TYPES

__all__ = ["declared_by", "make_known"]


def declared_by(graph: AnyPregel) -> Collection[type]:
    """Those that the schemas of a graph and of the ones inside it name."""
    return declared_types(_schemas(graph))


def make_known(graph: AnyPregel) -> bool:
    """Register those of a graph that was made for one run. Whether objects of them may be in its
    state, which come back as plain data where they were read before."""
    found = [schema for schema in _schemas(graph) if _register(schema)]
    return bool(found)


@functools.lru_cache(maxsize=1024)
def _register(schema: Hashable) -> bool:
    return register_lasting(declared_types([schema]).difference(OWN_TYPES))


def _schemas(graph: AnyPregel) -> Iterator[Any]:
    for one in (graph, *(inner for _, inner in graph.get_subgraphs(recurse=True))):
        yield from getattr(getattr(one, "builder", None), "schemas", ())
