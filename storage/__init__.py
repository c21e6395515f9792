"""What is remembered: records, the checkpoint log, and the backends that keep them."""

from __future__ import annotations

from .codec import Types, Unstorable, decode, encode, to_json
from .contract import (
    AppendEvents,
    AppendLog,
    AssistantQuery,
    DeleteRun,
    DeleteThread,
    InsertThread,
    Lease,
    LogPage,
    Operation,
    PutAssistant,
    PutRun,
    PutThread,
    RecordExists,
    Restore,
    StaleEpoch,
    Stats,
    Storage,
    StorageHeld,
    ThreadQuery,
    TruncateLog,
)
from .errors import StorageError
from .log import ThreadLog, decode_page, read_history, read_saved
from .memory import MemoryStorage
from .records import (
    UNFINISHED,
    Assistant,
    Event,
    LogRow,
    Run,
    RunStatus,
    Thread,
    ThreadStatus,
)
from .saver import StorageSaver
from .session import Commit, StorageSession
from .sqlite import SqliteStorage

__all__ = [
    "UNFINISHED",
    "AppendEvents",
    "AppendLog",
    "Assistant",
    "AssistantQuery",
    "Commit",
    "DeleteRun",
    "DeleteThread",
    "Event",
    "InsertThread",
    "Lease",
    "LogPage",
    "LogRow",
    "MemoryStorage",
    "Operation",
    "PutAssistant",
    "PutRun",
    "PutThread",
    "RecordExists",
    "Restore",
    "Run",
    "RunStatus",
    "SqliteStorage",
    "StaleEpoch",
    "Stats",
    "Storage",
    "StorageError",
    "StorageHeld",
    "StorageSaver",
    "StorageSession",
    "Thread",
    "ThreadLog",
    "ThreadQuery",
    "ThreadStatus",
    "TruncateLog",
    "Types",
    "Unstorable",
    "decode",
    "decode_page",
    "encode",
    "read_history",
    "read_saved",
    "to_json",
]
