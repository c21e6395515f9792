"""Which objects are graphs that actors can perform."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .contract import Graph

__all__ = ["adopted", "is_langgraph", "made_by", "not_a_graph"]


def is_langgraph(value: object) -> bool:
    """Whether something is of the `langgraph` library, which is not imported for that."""
    return any(kind.__module__.split(".")[0] == "langgraph" for kind in type(value).__mro__)


def adopted(name: str, value: Any) -> Graph:
    """A compiled graph, of this engine or of LangGraph's, as actors see it.

    Raises TypeError for what is none.
    """
    if isinstance(value, Graph):
        return value
    if is_langgraph(value):
        from .langgraph import LangGraphGraph

        return LangGraphGraph(name, value)
    raise not_a_graph(name, value)


def not_a_graph(name: str, value: object) -> TypeError:
    return TypeError(
        f"Graph {name!r} is a {type(value).__name__}; expected a compiled graph "
        f"(StateGraph(...).compile())"
    )


def made_by(name: str, factory: Callable[..., Any]) -> Graph:
    """A graph of LangGraph's that a function makes for each run; see `langgraph.Factory`.

    Raises ModuleNotFoundError where `langgraph` is not installed, ValueError for a function that
    wants other arguments, TypeError for what makes no graph.
    """
    from .langgraph import LangGraphGraph

    return LangGraphGraph(name, factory)
