"""The plain face of a storage backend: the lease and group commit, for threads without a loop."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from contextlib import suppress
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Self

import attrs

from greenroom.graph.declared import declared_types

from .contract import Lease, Storage, StorageAway, StorageError
from .operations import Operation
from .session import RENEW_AFTER

__all__ = ["BlockingSession", "Group"]


@attrs.define(eq=False)
class Group:
    """Operations on their way to storage. `error`: why they were refused, once they are done."""

    operations: Sequence[Operation]
    done: bool = False
    error: BaseException | None = None


class BlockingSession:
    """What a process holds while it uses a store without trio; a context manager.

    Takes the lease on entry: StorageHeld names who has it. Any number of threads may commit and
    read at the same time. Commits are applied in the order in which they were submitted; those that
    wait while one is on its way to the disk go there together. A lease that runs out is renewed by
    a thread of the session's own. Storage that cannot be reached when something is committed ends
    the session with StorageAway: it is for the program to open another.

    `types`: classes, and schemas that name them, whose objects come back from storage as
    themselves. `owner`: what a second process is told about this one; by default its process id and
    host.
    """

    def __init__(
        self, storage: Storage, *, types: Iterable[Any] = (), owner: str | None = None
    ) -> None:
        self.storage = storage
        self.owner = owner or f"process {os.getpid()} on {platform.node()}"
        storage.types.declare(declared_types(types))
        self._lease: Lease | None = None
        self._queue: list[Group] = []
        self._queueing = Lock()
        self._writing = Lock()
        self._over = Event()
        self._renewing: Thread | None = None

    def __enter__(self) -> Self:
        self.storage.open()
        try:
            self._lease = self.storage.acquire_lease(self.owner)
        except BaseException:
            self.storage.close()
            raise
        if self._lease.lasts is not None:
            self._over.clear()
            self._renewing = Thread(target=self._renew, args=(self._lease.lasts,), daemon=True)
            self._renewing.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._renewing is not None:
            self._renewing.join()
            self._renewing = None
        with self._writing:
            self._write_queued()
            self._lease = None
            self.storage.close()

    @property
    def opened(self) -> Storage:
        """The storage, to read from. Raises StorageError where the session is not open."""
        self._check()
        return self.storage

    @property
    def epoch(self) -> int:
        """Of the lease. Raises StorageError where the session is not open."""
        return self._check().epoch

    def submit(self, operations: Sequence[Operation]) -> Group:
        """Queue a group of operations, to be applied wholly or not at all by the next `wait`."""
        self._check()
        group = Group(operations)
        with self._queueing:
            self._queue.append(group)
        return group

    def wait(self, group: Group) -> None:
        """Have a group applied durably. Raises the StorageError that refused it."""
        with self._writing:
            if not group.done:
                self._write_queued()
        if group.error is not None:
            raise group.error

    def commit(self, operations: Sequence[Operation]) -> None:
        """Apply a group durably. Raises the StorageError that refused it."""
        self.wait(self.submit(operations))

    def vacuum(self) -> None:
        """As the storage's. Nothing is committed meanwhile."""
        with self._writing:
            self.storage.vacuum(self.epoch)

    def flush(self) -> None:
        """Have everything applied that was submitted, so that reads see it."""
        with self._writing:
            self._write_queued()

    def _write_queued(self) -> None:
        with self._queueing:
            batch, self._queue = self._queue, []
        if not batch:
            return
        errors: Sequence[BaseException | None] = [
            StorageError("The commit was broken off; it may have been applied or not")
        ] * len(batch)
        try:
            errors = self.storage.commit([group.operations for group in batch], self.epoch)
        except StorageAway as error:
            self._lease = None  # what was applied is not known, so that nothing may follow it
            errors = [error] * len(batch)
        except Exception as error:  # whatever it is, those who wait are told
            errors = [error] * len(batch)
        finally:
            for group, refusal in zip(batch, errors, strict=True):
                group.done, group.error = True, refusal

    def _renew(self, lasts: float) -> None:
        while not self._over.wait(lasts * RENEW_AFTER):
            # What is wrong, the next commit says.
            with self._writing, suppress(StorageError):
                self.storage.commit([], self.epoch)

    def _check(self) -> Lease:
        if self._lease is None:
            raise StorageError("The storage session is not open")
        return self._lease
