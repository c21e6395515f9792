"""The server's log: lines to read, or JSON objects, with the ids of the thread and the run."""

from __future__ import annotations

import logging
import sys
from typing import Final, Literal

import structlog
from structlog.typing import EventDict, WrappedLogger

from greenroom.actors import RunIds

__all__ = ["LEVELS", "LogFormat", "set_up_logging"]

LogFormat = Literal["text", "json"]
LEVELS: Final = ("debug", "info", "warning", "error")


def set_up_logging(form: LogFormat, level: str) -> None:
    """Write what Greenroom, the graphs and their libraries log to stderr, from `level` on.

    `text`: a line each, with colours on a terminal. `json`: an object each, with `timestamp` (UTC),
    `level`, `logger`, `event`, and where they are known `thread_id`, `run_id` and `exception`.
    """
    rendering: list[structlog.typing.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    if form == "text":
        rendering = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,
                pad_event_to=0,
            )
        ]
    handler = logging.StreamHandler()
    handler.addFilter(RunIds())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _known,
                *rendering,
            ],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # It would name the addresses of webhooks, which may hold secrets.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _known(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    return {key: value for key, value in event.items() if value is not None}
