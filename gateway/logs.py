"""The server's log: lines to read, or JSON objects, with the ids of the thread and the run."""

from __future__ import annotations

import logging
import sys
from typing import Final, Literal
from urllib.parse import quote

import structlog
from starlette.types import Scope
from structlog.typing import EventDict, WrappedLogger

from greenroom.actors import RunIds

from .watching import RequestWatch

__all__ = ["LEVELS", "LogFormat", "LogRequests", "set_up_logging"]

logger = logging.getLogger("greenroom.requests")

LogFormat = Literal["text", "json"]
LEVELS: Final = ("debug", "info", "warning", "error")


def set_up_logging(form: LogFormat, level: str) -> None:
    """Write what Greenroom, the graphs and their libraries log to stderr, from `level` on.

    `text`: a line each, with colours on a terminal. `json`: an object each, with `timestamp` (UTC),
    `level`, `logger`, `event`, and where they are known `thread_id`, `run_id` and `exception`.
    """
    errors: list[structlog.typing.Processor]
    if form == "json":
        errors = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=plain, pad_event_to=0
        )
        errors = [renderer]
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
                *errors,
            ],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # It would name the addresses of webhooks, which may hold secrets.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _known(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    return {key: value for key, value in event.items() if value is not None}


class LogRequests(RequestWatch):
    """Middleware: a line for each request, when it is answered."""

    def seen(self, scope: Scope, status: int | None, seconds: float) -> None:
        # Quoted again: a stranger's line breaks and escape codes are not for who reads the log.
        params = scope.get("path_params", {})
        ids = {name: quote(str(params[name])) for name in ("thread_id", "run_id") if name in params}
        logger.info(
            "%s %s %s",
            scope["method"],
            quote(scope["path"]),
            "left" if status is None else status,
            extra={"status": status, "seconds": round(seconds, 4), **ids},
        )
