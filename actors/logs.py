"""Which thread, and which run of it, a record in the log is about."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Final

__all__ = ["RunIds", "current_run", "current_thread"]

current_thread: Final[ContextVar[str | None]] = ContextVar("greenroom_thread", default=None)
current_run: Final[ContextVar[str | None]] = ContextVar("greenroom_run", default=None)


class RunIds(logging.Filter):
    """Gives records a `thread_id` and a `run_id`, for the handlers of a program of your own:

        handler.addFilter(RunIds())
        handler.setFormatter(logging.Formatter("%(levelname)s %(run_id)s %(message)s"))

    What nodes log has them, and what they call, in worker threads too; None elsewhere.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        given = vars(record)
        given.setdefault("thread_id", current_thread.get())
        given.setdefault("run_id", current_run.get())
        return True
