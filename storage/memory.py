"""Storage in memory: for tests, and for work that may be lost with the process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import attrs

from .contract import Lease, StaleEpoch, StorageError, StorageHeld
from .memory_care import MemoryCare
from .memory_rows import Undo
from .memory_write import apply
from .operations import Operation

__all__ = ["MemoryStorage"]


@attrs.define
class MemoryStorage(MemoryCare):
    """Keeps everything while the object lives, closed or not.

    Records are kept in their stored form, as a database would: what is given and what is returned
    shares nothing with what is kept.
    """

    blocking: ClassVar[bool] = False

    _lease: Lease | None = attrs.field(init=False, default=None)
    _epoch: int = attrs.field(init=False, default=0)

    def open(self) -> None:
        if self._lease is not None:
            raise StorageHeld(f"The storage in memory is in use by {self._lease.owner}")

    def close(self) -> None:
        self._lease = None

    def acquire_lease(self, owner: str) -> Lease:
        if self._lease is not None:
            raise StorageHeld(f"The storage in memory is in use by {self._lease.owner}")
        self._epoch += 1
        self._lease = Lease(owner, self._epoch)
        return self._lease

    def _holder(self) -> str | None:
        return None if self._lease is None else self._lease.owner

    def commit(
        self, groups: Sequence[Sequence[Operation]], epoch: int
    ) -> list[StorageError | None]:
        with self._lock:
            if self._lease is None or self._lease.epoch != epoch:
                raise StaleEpoch(f"The lease of epoch {epoch} on the storage in memory has ended")
            return [self._commit_group(group) for group in groups]

    def _commit_group(self, group: Sequence[Operation]) -> StorageError | None:
        undo: Undo = []
        try:
            for operation in group:
                apply(self._records, operation, undo)
        except Exception as error:
            for step in reversed(undo):
                step()
            if isinstance(error, StorageError):
                return error
            return StorageError(f"{type(error).__name__}: {error}")
        return None

    def vacuum(self, epoch: int) -> None:
        self.commit([], epoch)
