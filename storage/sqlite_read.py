"""Searches and log pages as SQL. Every value is bound; nothing that a client sent is SQL text."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import attrs
import msgspec

from .codec import encode_json
from .contract import AssistantQuery, LogPage, StorageError, ThreadQuery
from .records import Assistant, LogRow, Run, Thread
from .rows import COLUMNS, contains, from_row

__all__ = ["RUNS", "Where", "add_functions", "checkpoint_page", "history_page", "select", "where"]

R = TypeVar("R", Thread, Run, Assistant)

_SELECT: Final[Mapping[type, str]] = {
    Thread: f"SELECT {', '.join(COLUMNS[Thread])} FROM threads",
    Run: "SELECT {} FROM runs r JOIN threads t ON t.id = r.thread".format(
        ", ".join("t.thread_id" if name == "thread_id" else f"r.{name}" for name in COLUMNS[Run])
    ),
    Assistant: f"SELECT {', '.join(COLUMNS[Assistant])} FROM assistants",
}
