"""Everything in a store, in order, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter, itemgetter, methodcaller
from typing import Any, Final, TypeVar

from .contract import Storage
from .operations import PutItem
from .records import Event, LogRow, Row

__all__ = [
    "assistants",
    "crons",
    "events",
    "items",
    "log",
    "posts",
    "runs",
    "threads",
    "versions",
]

PAGE: Final = 500  # records read at a time

T = TypeVar("T")


def _pages(
    scan: Callable[..., list[T]], place: Callable[[T], Any], start: Any
) -> Iterator[list[T]]:
    """`place`: that of a record in the order that `scan` gives them in."""
    while page := scan(after=start, limit=PAGE):
        yield page
        start = place(page[-1])


def _each(storage: Storage, scan: str, key: str) -> Iterator[tuple[Storage, Row]]:
    """Each with the storage as it is at that moment, to read what belongs to it."""
    after = ""
    while True:
        with storage.moment() as then:
            found = methodcaller(scan, after=after, limit=1)(then)
            if not found:
                return
            yield then, found[0]
            after = found[0][key]


def assistants(storage: Storage) -> Iterator[tuple[Storage, Row]]:
    """Each with the storage as it is at that moment, to read its versions."""
    return _each(storage, "scan_assistants", "assistant_id")


def versions(storage: Storage, assistant_id: str) -> Iterator[list[Row]]:
    return _pages(partial(storage.scan_assistant_versions, assistant_id), itemgetter("version"), 0)


def crons(storage: Storage) -> Iterator[list[Row]]:
    return _pages(storage.scan_crons, itemgetter("cron_id"), "")


def posts(storage: Storage) -> Iterator[list[Row]]:
    return _pages(storage.scan_posts, itemgetter("post_id"), "")


def items(storage: Storage) -> Iterator[list[tuple[int, PutItem]]]:
    """With their places."""
    return _pages(storage.scan_items, itemgetter(0), 0)


def threads(storage: Storage) -> Iterator[tuple[Storage, Row]]:
    """Each with the storage as it is at that moment, to read what belongs to the thread."""
    return _each(storage, "scan_threads", "thread_id")


def runs(storage: Storage, thread_id: str) -> Iterator[list[Row]]:
    return _pages(partial(storage.scan_runs, thread_id), itemgetter("seq"), 0)


def log(storage: Storage, thread_id: str) -> Iterator[list[LogRow]]:
    return _pages(partial(storage.scan_log, thread_id), attrgetter("seq"), 0)


def events(storage: Storage, thread_id: str) -> Iterator[list[Event]]:
    """Those that are kept."""
    scan = partial(storage.read_thread_events, thread_id)
    return _pages(scan, attrgetter("event_id"), 0)
