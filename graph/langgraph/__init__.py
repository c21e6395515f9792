"""Graphs of the `langgraph` library, performed as they are. Needs the extra `langgraph`."""

from __future__ import annotations

from .graph import LangGraphGraph

__all__ = ["LangGraphGraph"]
