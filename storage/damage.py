"""Records of the log that are read, and what is said of one that cannot be."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from .codec import Types, decode
from .errors import StorageError
from .records import LogRow

__all__ = ["damaged", "decoded", "read_record"]

S = TypeVar("S")


def read_record(decoder: msgspec.json.Decoder[S], row: LogRow) -> S:
    """What a record holds. Raises StorageError if it is damaged."""
    try:
        return decoder.decode(row.data)
    except msgspec.MsgspecError as error:
        raise damaged(row, error) from error


def damaged(row: LogRow, error: Exception) -> StorageError:
    return StorageError(f"The log of thread {row.thread_id} is damaged at {row.seq}: {error}")


def decoded(row: LogRow, what: str, data: bytes | msgspec.Raw, types: Types) -> Any:
    """A value in stored form. StorageError says in which record, and `what` it is there."""
    try:
        return decode(data, types)
    except StorageError as error:
        raise StorageError(
            f"Record {row.seq} of the log of thread {row.thread_id} cannot be read: {what}: {error}"
        ) from error
