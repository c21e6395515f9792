"""Our log as a LangGraph checkpoint saver, for plain sync and asyncio programs of LangGraph's own.

Needs the extra `langgraph`. See `docs/langgraph.md`.
"""

from __future__ import annotations

from ..blocking import BlockingSession
from .saver import GreenroomSaver

__all__ = ["BlockingSession", "GreenroomSaver"]
