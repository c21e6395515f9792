"""Our log as a checkpoint saver of LangGraph's, and our items as its store, for plain sync and
asyncio programs.

Needs the extra `langgraph`. See `docs/langgraph.md`.
"""

from __future__ import annotations

from ..blocking import BlockingSession
from .saver import GreenroomSaver
from .store import GreenroomStore

__all__ = ["BlockingSession", "GreenroomSaver", "GreenroomStore"]
