"""Records with everything filled in, and a storage that is ready for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import attrs
import msgspec
import pytest

from ..contract import Storage
from ..operations import Operation
from ..records import Assistant, Cron, Event, ItemRow, LogRow, Post, Run, Thread

__all__ = [
    "Open",
    "OpenStorage",
    "make_assistant",
    "make_checkpoint_row",
    "make_cron",
    "make_event",
    "make_item",
    "make_list_row",
    "make_post",
    "make_run",
    "make_thread",
    "make_writes_row",
]


def make_thread(thread_id: str = "t", **changes: Any) -> Thread:
    time = changes.pop("time", "2026-01-01T00:00:00.000000+00:00")
    given = {"created_at": time, "updated_at": time, "state_updated_at": time, **changes}
    return Thread(thread_id=thread_id, **given)


def make_run(run_id: str = "r", thread_id: str = "t", seq: int = 1, **changes: Any) -> Run:
    given: dict[str, Any] = {
        "assistant_id": "a",
        "status": "pending",
        "created_at": "2026-01-01T00:00:00.000000+00:00",
        "updated_at": "2026-01-01T00:00:00.000000+00:00",
        "multitask_strategy": "enqueue",
        "kwargs": {},
        **changes,
    }
    return Run(run_id=run_id, thread_id=thread_id, seq=seq, **given)


def make_assistant(assistant_id: str = "a", **changes: Any) -> Assistant:
    given: dict[str, Any] = {
        "graph_id": "g",
        "created_at": "2026-01-01T00:00:00.000000+00:00",
        "updated_at": "2026-01-01T00:00:00.000000+00:00",
        "name": "n",
        **changes,
    }
    return Assistant(assistant_id=assistant_id, **given)


def make_cron(cron_id: str = "c", **changes: Any) -> Cron:
    given: dict[str, Any] = {
        "assistant_id": "a",
        "schedule": "0 9 * * *",
        "created_at": "2026-01-01T00:00:00.000000+00:00",
        "updated_at": "2026-01-01T00:00:00.000000+00:00",
        "payload": {},
        **changes,
    }
    return Cron(cron_id=cron_id, **given)


def make_post(post_id: str = "p", **changes: Any) -> Post:
    given: dict[str, Any] = {
        "url": "https://example.com/",
        "body": {},
        "created_at": "2026-01-01T00:00:00.000000+00:00",
        **changes,
    }
    return Post(post_id=post_id, **given)


def make_checkpoint_row(
    seq: int,
    checkpoint_id: str,
    *,
    base_seq: int | None = None,
    ns: str = "",
    thread_id: str = "t",
    **more: Any,
) -> LogRow:
    return LogRow(
        thread_id=thread_id,
        seq=seq,
        kind="checkpoint",
        ns=ns,
        checkpoint_id=checkpoint_id,
        base_seq=seq if base_seq is None else base_seq,
        data=b"{}",
        **more,
    )


def make_list_row(
    seq: int, list_id: int, data: bytes, *, kind: Literal["list", "splice"] = "list", ns: str = ""
) -> LogRow:
    return LogRow(
        thread_id="t", seq=seq, kind=kind, ns=ns, checkpoint_id="", base_seq=list_id, data=data
    )


def make_writes_row(seq: int, checkpoint_id: str, *, ns: str = "", thread_id: str = "t") -> LogRow:
    return LogRow(
        thread_id=thread_id,
        seq=seq,
        kind="writes",
        ns=ns,
        checkpoint_id=checkpoint_id,
        base_seq=None,
        data=b'{"w":1}',
    )


def make_event(event_id: int, run_id: str = "r", thread_id: str = "t") -> Event:
    return Event(
        thread_id=thread_id, event_id=event_id, run_id=run_id, name="values", data=b'{"n":1}'
    )


def make_item(
    namespace: tuple[str, ...], key: str, value: Mapping[str, Any] | None = None, **changes: Any
) -> ItemRow:
    time = changes.pop("time", "2026-01-01T00:00:00.000000+00:00")
    given = {"created_at": time, "updated_at": time, **changes}
    data = msgspec.json.encode(value or {})
    return ItemRow(namespace=namespace, key=key, value=data, **given)


@attrs.frozen
class Open:
    """A storage that is open, with its lease taken."""

    storage: Storage
    epoch: int

    def commit(self, *operations: Operation) -> None:
        """Commit one group; raises what refused it."""
        (error,) = self.storage.commit([operations], self.epoch)
        if error is not None:
            raise error


class OpenStorage:
    """The fixtures of the suite."""

    @pytest.fixture
    def new_storage(self) -> Callable[[], Storage]:
        raise NotImplementedError("override the fixture `new_storage`")

    @pytest.fixture
    def lose_lease(self) -> Callable[[Storage], None]:
        """Has a holder lose its lease as the world takes it away from this backend, unheard: a lock
        that is forgotten, a lease that runs out. By default the holder lets go of it.
        """
        return lambda storage: storage.close()

    @pytest.fixture
    def opened(self, new_storage: Callable[[], Storage]) -> Iterator[Open]:
        storage = new_storage()
        storage.open()
        yield Open(storage, storage.acquire_lease("tests").epoch)
        storage.close()
