"""What a storage backend does: one atomic commit and a handful of reads.

A backend is plain blocking code. `session.StorageSession` puts trio, group commit and the lease
around it; `testing` has the suite that proves a backend.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar

import attrs

from .codec.types import Types
from .errors import StorageError
from .operations import Operation, PutItem
from .queries import AssistantQuery, CronQuery, ItemQuery, NamespaceQuery, ThreadQuery
from .records import (
    Assistant,
    AssistantVersion,
    Cron,
    Event,
    ItemRow,
    LogRow,
    Post,
    Row,
    Run,
    RunStatus,
    Thread,
)

__all__ = [
    "FoundItem",
    "Lease",
    "LogPage",
    "RecordExists",
    "StaleEpoch",
    "Stats",
    "Storage",
    "StorageAway",
    "StorageError",
    "StorageHeld",
]


class StorageAway(StorageError):
    """The store cannot be reached at the moment; the same may be asked again."""


class StorageHeld(StorageError):
    """Another process holds the store; the text names it.

    `renewals`: rises whenever the holder renews its lease. None where a lease is not renewed but
    ends with its holder.
    """

    def __init__(self, text: str, renewals: int | None = None) -> None:
        super().__init__(text)
        self.renewals = renewals


class StaleEpoch(StorageError):
    """Somebody else has taken the lease since: this holder must stop."""


class RecordExists(StorageError):
    """An insert found a record of that id."""


@attrs.frozen
class FoundItem:
    """`score`: None if nothing was to be matched, or it has nothing to match it by."""

    item: ItemRow
    score: float | None = None


@attrs.frozen
class LogPage:
    """Log records that belong together, oldest first.

    `checkpoints`: those asked for and all that reading them needs, from the full snapshot on.
    `writes`: the pending writes of the checkpoints asked for. `wanted`: the ids asked for, newest
    first. `lists`: the `list`, `splice` and `pack` records of the long lists that the checkpoints
    asked for name, as far as the last of those checkpoints. `list` and `pack` records of one list
    that follow each other may come as one `array`, at the position of the first, where no splice
    and no checkpoint asked for lies between them.
    """

    wanted: tuple[str, ...]
    checkpoints: tuple[LogRow, ...]
    writes: tuple[LogRow, ...]
    lists: tuple[LogRow, ...] = ()


@attrs.frozen
class Lease:
    """The right to write. `epoch` rises whenever the lease is taken; every commit carries it.

    `lasts`: seconds that it lasts after it was taken and after every commit, by the store's own
    clock. None: as long as its holder.
    """

    owner: str
    epoch: int
    lasts: float | None = None


@attrs.frozen(kw_only=True)
class Stats:
    """What a store holds. `threads`, `runs`, `log`: how many by status or kind. `bytes`: of what is
    stored, by table. `oldest`, `newest`: when the first thread was made, and the last one changed.
    `holder`: who has the lease, if anybody does.
    """

    threads: Mapping[str, int]
    runs: Mapping[str, int]
    log: Mapping[str, int]
    events: int
    assistants: int
    assistant_versions: int
    crons: int
    posts: int
    items: int
    bytes: Mapping[str, int]
    oldest: str | None
    newest: str | None
    holder: str | None


class Storage(ABC):
    """A storage backend.

    `commit` and the lease calls come from one thread at a time; reads may come from any number of
    threads at once, and see what was committed. They need no lease: what another process holds can
    be read.

    `blocking`: False if no call ever waits for a disk or a network, so that it may be made on the
    event loop. `reads_at_once`: how many reads are made side by side, up to 4, where none takes
    long: 1 if they hardly wait for anything but the interpreter.
    """

    blocking: ClassVar[bool] = True
    reads_at_once: ClassVar[int] = 4

    @cached_property
    def types(self) -> Types:
        """The classes that stored objects come back as: who serves the storage declares them, and
        reads hand them to `rows.from_row`."""
        return Types()

    @abstractmethod
    def open(self) -> None:
        """Make ready, creating or migrating the schema. StorageError says what is in the way;
        StorageHeld if it is open already."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything, the lease included. Closing twice is no error."""

    @abstractmethod
    def acquire_lease(self, owner: str) -> Lease:
        """Take the lease, raising the epoch. StorageHeld names a holder that is still there."""

    @abstractmethod
    def commit(
        self, groups: Sequence[Sequence[Operation]], epoch: int
    ) -> list[StorageError | None]:
        """Apply groups of operations in order; each group wholly or not at all, and durably.

        Returns for each group None or why it was refused; a refused group leaves the others alone.
        Raises StaleEpoch where `epoch` is not the lease's, and StorageError where storage itself
        fails, with nothing applied. Raises StorageAway where it cannot be reached: whether the
        groups were applied is then open, and the next call must bring the same ones, which are
        applied once. No groups at all renew the lease. Operations on threads that do not exist are
        accepted and change nothing that can be read; so are events of runs that do not exist.
        """

    @abstractmethod
    def get_thread(self, thread_id: str) -> Thread | None: ...

    @abstractmethod
    def search_threads(self, query: ThreadQuery) -> list[Thread]: ...

    @abstractmethod
    def count_threads(self, query: ThreadQuery) -> int:
        """How many threads fit, whatever the query's limit and offset."""

    @abstractmethod
    def expired_threads(self, now: str, *, limit: int, offset: int = 0) -> list[str]:
        """The threads whose `ttl` had run out at `now`, those that expired first first."""

    @abstractmethod
    def next_thread_expiry(self) -> str | None:
        """When the first thread expires or has expired; None if none does."""

    @abstractmethod
    def get_run(self, thread_id: str, run_id: str) -> Run | None: ...

    @abstractmethod
    def list_runs(
        self,
        thread_id: str,
        *,
        status: RunStatus | None = None,
        limit: int | None = 10,
        offset: int = 0,
    ) -> list[Run]:
        """The runs of a thread, newest first (by `seq`)."""

    @abstractmethod
    def unfinished_runs(self, thread_id: str | None = None) -> list[Run]:
        """Runs pending or running, of one thread or of all, oldest first on each thread."""

    @abstractmethod
    def last_run_seq(self, thread_id: str) -> int:
        """The highest `seq` of a thread's runs, 0 if it has none."""

    @abstractmethod
    def get_assistant(self, assistant_id: str) -> Assistant | None: ...

    @abstractmethod
    def search_assistants(self, query: AssistantQuery) -> list[Assistant]: ...

    @abstractmethod
    def count_assistants(self, query: AssistantQuery) -> int: ...

    @abstractmethod
    def get_assistant_version(self, assistant_id: str, version: int) -> AssistantVersion | None: ...

    @abstractmethod
    def list_assistant_versions(
        self,
        assistant_id: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        limit: int | None = 10,
        offset: int = 0,
    ) -> list[AssistantVersion]:
        """The versions of an assistant, the highest first; `metadata` as in `ThreadQuery`."""

    @abstractmethod
    def get_cron(self, cron_id: str) -> Cron | None: ...

    @abstractmethod
    def search_crons(self, query: CronQuery) -> list[Cron]: ...

    @abstractmethod
    def count_crons(self, query: CronQuery) -> int: ...

    @abstractmethod
    def due_crons(self, now: str, *, limit: int) -> list[Cron]:
        """The crons that are enabled and due at `now`, those that were due first first."""

    @abstractmethod
    def get_post(self, post_id: str) -> Post | None: ...

    @abstractmethod
    def last_log_seq(self, thread_id: str) -> int:
        """The highest `seq` of a thread's log, 0 if it is empty."""

    @abstractmethod
    def read_checkpoint(
        self, thread_id: str, ns: str, checkpoint_id: str | None = None, *, following: bool = False
    ) -> LogPage | None:
        """One checkpoint, the newest (highest `seq`) of the namespace where no id is given.
        `following`: the next one there (by `seq`) after that of the id."""

    @abstractmethod
    def read_history(
        self, thread_id: str, ns: str, *, before: str | None = None, limit: int | None = 10
    ) -> LogPage:
        """Checkpoints of a namespace, newest first, older (by `seq`) than `before` where given."""

    @abstractmethod
    def read_log(self, thread_id: str) -> list[LogRow]:
        """All records of a thread's log, in order."""

    @abstractmethod
    def read_events(
        self, thread_id: str, run_id: str, *, after: int = 0, limit: int = 1000
    ) -> list[Event]:
        """The kept events of a run with an id above `after`, in order."""

    @abstractmethod
    def read_thread_events(
        self, thread_id: str, *, after: int = 0, limit: int = 1000
    ) -> list[Event]:
        """The kept events of all runs of a thread with an id above `after`, in order."""

    @abstractmethod
    def oldest_event(self) -> int | None:
        """The id of an event that has been kept for as long as any; None where none is kept."""

    # The user's store. Items that have expired at the `now` of a read are not there for it.

    @abstractmethod
    def get_item(self, namespace: tuple[str, ...], key: str, now: str) -> ItemRow | None: ...

    @abstractmethod
    def search_items(self, query: ItemQuery) -> list[FoundItem]: ...

    @abstractmethod
    def list_namespaces(self, query: NamespaceQuery) -> list[tuple[str, ...]]: ...

    @abstractmethod
    def next_expiry(self) -> str | None:
        """When the first item that is still kept expires or has expired; None if none does."""

    # For looking after a store. Rows are as they are stored, so that nothing is lost in passing.

    @contextmanager
    def moment(self) -> Iterator[Storage]:
        """Reads through what this gives are of one moment, where the backend can do that."""
        yield self

    @abstractmethod
    def scan_threads(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        """Threads with an id above `after`, in order of their ids."""

    @abstractmethod
    def scan_runs(self, thread_id: str, *, after: int = 0, limit: int = 1000) -> list[Row]:
        """The runs of a thread with a `seq` above `after`, in order."""

    @abstractmethod
    def scan_log(self, thread_id: str, *, after: int = 0, limit: int = 1000) -> list[LogRow]:
        """All records of a thread's log above `after`, in order. `run_id`: where the input is that
        of a run that is there."""

    @abstractmethod
    def scan_assistants(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        """Assistants with an id above `after`, in order of their ids."""

    @abstractmethod
    def scan_assistant_versions(
        self, assistant_id: str, *, after: int = 0, limit: int = 1000
    ) -> list[Row]:
        """The versions of an assistant above `after`, in order."""

    @abstractmethod
    def scan_crons(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        """Crons with an id above `after`, in order of their ids."""

    @abstractmethod
    def scan_posts(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        """Posts with an id above `after`, in order of their ids."""

    @abstractmethod
    def scan_items(self, *, after: int = 0, limit: int = 1000) -> list[tuple[int, PutItem]]:
        """The items of the user's store in the order in which they were made, expired or not, with
        their place in it: those above `after`. Their texts are their words, a space between."""

    @abstractmethod
    def stats(self) -> Stats: ...

    @abstractmethod
    def faults(self) -> list[str]:
        """What the backend itself finds damaged, a line each: its files, and records of threads,
        runs and assistants that are not there."""

    @abstractmethod
    def vacuum(self, epoch: int) -> None:
        """Give back the space of what was deleted. Raises StaleEpoch as `commit` does."""
