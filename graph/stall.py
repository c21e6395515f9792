"""Notices that an asyncio loop in another thread has stopped answering."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

import attrs
import trio

__all__ = ["STALL", "StallWatch"]

STALL: Final = 1.0  # seconds

logger = logging.getLogger(__name__)


@attrs.define(eq=False)
class StallWatch:
    """Asks a loop every `STALL` seconds of trio's clock, while calls to it are in flight, and warns
    where it has not answered by then: once until it does.

    `soon`: has the loop call a function.
    """

    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    soon: Callable[[Callable[[], object]], None]
    _in_flight: int = 0
    _wanted: trio.Event = attrs.field(factory=trio.Event)

    def begin(self) -> None:
        """A call is in flight."""
        self._in_flight += 1
        self._wanted.set()

    def end(self) -> None:
        """It is no more."""
        self._in_flight -= 1

    async def keep(self) -> None:
        answered = threading.Event()
        answered.set()
        warned = False
        while True:
            await self._wanted.wait()
            self._wanted = trio.Event()
            while self._in_flight:
                if answered.is_set():
                    answered, warned = threading.Event(), False
                    self.soon(answered.set)
                await trio.sleep(STALL)
                if not answered.is_set() and not warned:
                    warned = self._warn()

    def place(self) -> str:
        """Where the loop's thread is now: file and line."""
        frame = self._frame()
        return "no code" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"

    def _warn(self) -> bool:
        """Whether there was something to warn of: where somebody turns trio's clock, the loop may
        just not have come to answer."""
        task, frame, place = asyncio.current_task(self.loop), self._frame(), self.place()
        if task is None and (frame is None or frame.f_globals.get("__name__") == "selectors"):
            return False
        who = "a callback" if task is None else f"asyncio task {task.get_name()!r}"
        if (node := _node_at(frame)) is not None:
            who = f"node {node!r}"
        logger.warning(
            "%s has blocked the asyncio loop for %g s, at %s: "
            "await what takes long, or move it to a thread with 'asyncio.to_thread'",
            who,
            STALL,
            place,
        )
        return True

    def _frame(self) -> FrameType | None:
        return sys._current_frames().get(self.thread.ident or 0)


def _node_at(frame: FrameType | None) -> str | None:
    """The node of a graph that is at work there: those who call it have a config that names it."""
    while frame is not None:
        config = frame.f_locals.get("config")
        about = config.get("metadata") if isinstance(config, dict) else None
        if isinstance(about, dict) and "langgraph_node" in about:
            return str(about["langgraph_node"])
        frame = frame.f_back
    return None
