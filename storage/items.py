"""Items of the user's store as rows: checked, put at a time, read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
import msgspec

from greenroom.graph.errors import InvalidItemError, InvalidNamespaceError
from greenroom.graph.store import Namespace, check_namespace

from .codec import encode_json
from .operations import ProlongItem
from .records import ItemRow

__all__ = [
    "checked_key",
    "checked_namespace",
    "fields_of",
    "item_row",
    "prolonged",
    "put_at",
    "time_text",
]

# What an item may have, in bytes of UTF-8; together they fit into the index of any database.
MAX_LABELS: Final = 16
MAX_NAMESPACE: Final = 1024
MAX_KEY: Final = 1024
MAX_VALUE: Final = 4 * 1024 * 1024  # as JSON


def item_row(
    namespace: Namespace, key: str, value: dict[str, Any], lifetime: timedelta | None
) -> ItemRow:
    """An item that has not been put yet. Raises InvalidNamespaceError, InvalidItemError, TypeError
    or Unstorable for what cannot be kept."""
    namespace, key = checked_namespace(namespace), checked_key(key)
    data = encode_json(value, "value")
    if len(data) > MAX_VALUE:
        raise InvalidItemError(
            f"The value of item {key!r} has {len(data)} bytes as JSON; {MAX_VALUE} are allowed"
        )
    ttl = None if lifetime is None else lifetime / timedelta(minutes=1)
    return ItemRow(namespace=namespace, key=key, value=data, created_at="", updated_at="", ttl=ttl)


def put_at(item: ItemRow, now: datetime) -> ItemRow:
    """The item as it is put now."""
    time = time_text(now)
    expires_at = None if item.ttl is None else time_text(now + timedelta(minutes=item.ttl))
    return attrs.evolve(item, created_at=time, updated_at=time, expires_at=expires_at)


def prolonged(rows: Sequence[ItemRow], now: datetime) -> list[ProlongItem]:
    """What starts the time of items anew, of those that expire."""
    return [
        ProlongItem(row.namespace, row.key, row.ttl, time_text(now + timedelta(minutes=row.ttl)))
        for row in rows
        if row.ttl is not None
    ]


def time_text(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")


def fields_of(row: ItemRow) -> dict[str, Any]:
    return {
        "namespace": row.namespace,
        "key": row.key,
        "value": msgspec.json.decode(row.value),
        "created_at": datetime.fromisoformat(row.created_at),
        "updated_at": datetime.fromisoformat(row.updated_at),
    }


def checked_namespace(namespace: Sequence[str]) -> Namespace:
    labels = check_namespace(namespace)
    if len(labels) > MAX_LABELS:
        raise InvalidNamespaceError(
            f"A namespace has at most {MAX_LABELS} labels; got {len(labels)}: {labels!r:.200}"
        )
    size = sum(_size(label, InvalidNamespaceError) for label in labels)
    if size > MAX_NAMESPACE:
        raise InvalidNamespaceError(
            f"The labels of a namespace have at most {MAX_NAMESPACE} bytes; "
            f"got {size}: {labels!r:.200}"
        )
    return labels


def checked_key(key: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"The key of an item is a string; got {key!r}")
    if "\0" in key:
        raise InvalidItemError(f"The key of an item may not contain NUL; got {key!r:.200}")
    if (size := _size(key, InvalidItemError)) > MAX_KEY:
        raise InvalidItemError(
            f"The key of an item has at most {MAX_KEY} bytes; got {size}: {key!r:.200}"
        )
    return key


def _size(text: str, error: type[Exception]) -> int:
    """How many bytes a label or a key takes."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise error(f"A lone surrogate cannot be stored; got {text!r:.200}") from None
