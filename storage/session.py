"""The trio face of a storage backend: the lease, group commit and reads."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from time import perf_counter
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Protocol, Self, TypeVar

import trio

from .commit import Commit
from .contract import Lease, StaleEpoch, Storage, StorageAway, StorageError, StorageHeld
from .known import KnownThreads
from .operations import Operation
from .readers import Readers
from .timing import Timing

__all__ = ["RunBlocking", "StorageSession"]

logger = logging.getLogger(__name__)

BATCH: Final = 256  # groups of one commit at most
COMPANY: Final = 0.005  # seconds that a commit which nobody waits for waits for others
FIRST_WAIT: Final = 0.1  # seconds before storage that is away is asked again, doubled each time
LONGEST_WAIT: Final = 2.0  # seconds
LOOK: Final = 1.0  # seconds between looks whether a lease has been renewed
RENEW_AFTER: Final = 1 / 6  # of the time that a lease lasts
STOP_AFTER: Final = 2 / 3  # of that time: what is left is for stopping
LAST_TRY: Final = 1.0  # seconds to ask whether a lease still stands, after the process was frozen

P = ParamSpec("P")
T = TypeVar("T")


async def _in_thread(function: Callable[..., T], *args: Any) -> T:
    return await trio.to_thread.run_sync(function, *args)


def _closed() -> Exception:
    return StorageError("The storage session is closed")


class RunBlocking(Protocol):
    """Runs a function that may block, and waits for it."""

    def __call__(self, function: Callable[..., T], *args: Any) -> Awaitable[T]: ...


class StorageSession:
    """What a process holds while it serves a store; an async context manager.

    Takes the lease on entry; one that is not renewed is waited for until it runs out. Commits are
    applied in the order in which they were submitted, all that wait in one call of
    `storage.commit`. On exit everything submitted is committed, also when the exit is a
    cancellation, and the storage is closed.

    `owner`: what a second process is told about this one; by default its process id and host.
    `run_blocking`: how blocking calls are run; by default in threads of the session's own: one that
    writes, and up to 4 that read. A storage that does not block is called on the event loop.
    `closed`: what is raised to who comes when it has been left; by default a StorageError.
    `stale`: set when somebody else has taken the lease, or may soon because it could not be
    renewed; work must stop then. `why`: the reason. `away`: why storage cannot be reached at the
    moment, if so; commits and reads wait meanwhile. `commit_times`: how long commits took.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        owner: str | None = None,
        run_blocking: RunBlocking | None = None,
        closed: Callable[[], Exception] = _closed,
    ) -> None:
        self.storage = storage
        self.closed = closed
        self.owner = owner or f"process {os.getpid()} on {platform.node()}"
        self.stale = trio.Event()
        self.why: StaleEpoch | None = None
        self.away: StorageAway | None = None
        self.commit_times = Timing()
        self._lease: Lease | None = None
        self._closed = False
        self._threaded = storage.blocking and run_blocking is None
        self._run_blocking: RunBlocking = run_blocking or _in_thread
        self._gathering: list[Commit] = []
        self._gatherer: trio.CancelScope | None = None
        self._known = KnownThreads()
        self._learner: trio.CancelScope | None = None
        self._queue: SimpleQueue[list[Commit] | None] = SimpleQueue()
        self._queued = trio.Event()  # for the writer that is a task
        self._renewing = trio.CancelScope(shield=True)  # also while the writer finishes

    @property
    def epoch(self) -> int:
        """The epoch of the lease, which rises whenever it is taken."""
        if self._lease is None:
            raise RuntimeError("The storage session has not been entered")
        return self._lease.epoch

    async def __aenter__(self) -> Self:
        began, self._lease = await self._take_lease()
        self._nursery_manager = trio.open_nursery()
        nursery = self._nursery = await self._nursery_manager.__aenter__()
        if self._lease.lasts is not None:
            nursery.start_soon(self._keep_lease, began, self._lease.lasts)
        self._readers = Readers(nursery, self.storage.reads_at_once)
        if self._threaded:
            nursery.start_soon(self._keep_writer_thread, trio.lowlevel.current_trio_token())
        elif self.storage.blocking:
            nursery.start_soon(self._write_in_task)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True
        self._hurry()
        for helper in (self._gatherer, self._learner):
            if helper is not None:
                helper.cancel()
        self._queue.put(None)
        self._queued.set()
        self._readers.close()
        self._nursery.cancel_scope.shield = True
        # The error is not told to the nursery: the writer finishes whatever happened outside.
        await self._nursery_manager.__aexit__(None, None, None)
        with trio.CancelScope(shield=True):
            await self._call(self.storage.close)

    def submit(self, operations: Sequence[Operation]) -> Commit:
        """Queue a group of operations, to be applied wholly or not at all. Does not wait.

        Until somebody waits for a commit, or five milliseconds have passed, groups gather to be
        committed together. Neither the operations nor what their records hold may be changed
        afterwards.
        """
        commit = self._taken(operations)
        if self._gathering and self._gatherer is None:
            self._gatherer = trio.CancelScope()
            self._nursery.start_soon(self._gather, self._gatherer)
        return commit

    async def commit(self, operations: Sequence[Operation]) -> None:
        """Apply a group of operations and wait until it is durable.

        Raises the StorageError that refused it.
        """
        await self._taken(operations).wait()

    async def read(
        self, function: Callable[Concatenate[Storage, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`function(storage, *args, **kwargs)`, off the event loop where the storage blocks.

        A read of the contract is named as `Storage.get_thread`. Sees every commit that is done. It
        is made again while storage is away; StorageAway once work must stop.
        """
        self._check_open()
        name = getattr(function, "__name__", "")
        if getattr(Storage, name, None) is function:  # abstract there: the backend's is meant
            function = getattr(type(self.storage), name)
        wait = FIRST_WAIT
        while True:
            try:
                return await self._read(partial(function, self.storage, *args, **kwargs))
            except StorageAway as away:
                if self.stale.is_set() or self._closed:
                    raise
                wait = await self._wait_out(away, wait)

    def lacks_thread(self, thread_id: str) -> bool:
        """Whether storage certainly has no thread of that id, and need not be asked. It is never
        certain before `learn_threads`."""
        return self._known.lacks(thread_id)

    def learn_threads(self) -> None:
        """Find out which threads there are: one was looked for in vain, and others may be."""
        if self._learner is None and not self._closed:
            self._learner = trio.CancelScope()
            self._nursery.start_soon(self._learn, self._learner)

    async def check(self) -> None:
        """Ask storage something. Raises StorageAway at once if it does not answer."""
        self._check_open()
        if self.away is not None:
            raise self.away
        await self._read(lambda: self.storage.get_assistant(""))

    def _taken(self, operations: Sequence[Operation]) -> Commit:
        """A commit that waits to be written, or has been where storage does not block."""
        self._check_open()
        commit = Commit(list(operations), self._hurry)
        if self.storage.blocking:
            commit.gathers = True
            self._gathering.append(commit)
        else:
            self._settle([commit], self._apply([commit]))
        return commit

    def _check_open(self) -> None:
        if self._closed or self._lease is None:
            raise self.closed()

    async def _read(self, reading: Callable[[], T]) -> T:
        return await (self._readers.run(reading) if self._threaded else self._call(reading))

    async def _call(self, function: Callable[[], T]) -> T:
        if self.storage.blocking:
            return await self._run_blocking(function)
        await trio.lowlevel.checkpoint()
        return function()

    def _take(self) -> Lease:
        self.storage.open()
        try:
            return self.storage.acquire_lease(self.owner)
        except BaseException:
            self.storage.close()
            raise

    async def _take_lease(self) -> tuple[float, Lease]:
        """The lease, and when it was asked for."""
        seen = None
        while True:
            began = trio.current_time()
            try:
                return began, await self._call(self._take)
            except StorageHeld as held:
                if held.renewals is None or seen not in (None, held.renewals):
                    raise
                if seen is None:
                    logger.warning("%s; waiting, in case that is not there any more", held)
                seen = held.renewals
            await trio.sleep(LOOK)

    async def _learn(self, scope: trio.CancelScope) -> None:
        with scope:
            await self._known.learn(self)

    async def _keep_lease(self, began: float, lasts: float) -> None:
        """Renew the lease in time, or have work stop before it runs out."""
        with self._renewing:
            stop_at = began + lasts * STOP_AFTER
            while not self.stale.is_set():
                await trio.sleep(lasts * RENEW_AFTER)
                began = trio.current_time()
                reason: object = self.away or "storage does not answer"
                with trio.move_on_at(max(stop_at, began + LAST_TRY)):
                    reason = await self._renew()
                if reason is None:
                    stop_at = began + lasts * STOP_AFTER
                elif trio.current_time() >= stop_at:
                    reason = self.away or reason
                    self._lose(StaleEpoch(f"The lease could not be renewed in time: {reason}"))

    async def _renew(self) -> StorageError | None:
        """Why the lease could not be renewed."""
        if self._closed:  # the writer has its last commits, and renews the lease with them
            await trio.sleep_forever()
        try:
            await self.commit([])
        except StorageError as error:
            return error
        return None

    def _lose(self, why: StaleEpoch) -> None:
        if self.why is None:
            self.why = why
            self.stale.set()

    async def _wait_out(self, away: StorageAway, wait: float) -> float:
        """Wait before storage is asked again, unless work must stop; returns the next wait."""
        if self.away is None:
            logger.warning("%s; trying again until it is back", away)
        self.away = away
        with trio.move_on_after(wait):
            await self.stale.wait()
        return min(wait * 2, LONGEST_WAIT)

    async def _keep_writer_thread(self, token: trio.lowlevel.TrioToken) -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(
                self._write_in_thread, token, limiter=trio.CapacityLimiter(1)
            )
        self._renewing.cancel()

    def _write_in_thread(self, token: trio.lowlevel.TrioToken) -> None:
        last = False
        while not last:
            batch, last = self._next_batch()
            wait = FIRST_WAIT
            while True:
                try:
                    errors = self._apply(batch)
                    break
                except StorageAway as away:
                    wait = trio.from_thread.run(self._wait_out, away, wait)
            token.run_sync_soon(self._settle, batch, errors)

    async def _gather(self, scope: trio.CancelScope) -> None:
        with scope:
            await trio.sleep(COMPANY)
        self._gatherer = None
        self._hurry()

    def _hurry(self) -> None:
        """Give what has gathered to the writer."""
        if self._gathering:
            for commit in self._gathering:
                commit.gathers = False
            self._queue.put(self._gathering)
            self._gathering = []
            self._queued.set()

    async def _write_in_task(self) -> None:
        with trio.CancelScope(shield=True):
            last = False
            while not last:
                await self._queued.wait()
                self._queued = trio.Event()
                while not last and not self._queue.empty():
                    batch, last = self._next_batch()
                    wait = FIRST_WAIT
                    while True:
                        try:
                            errors = await self._run_blocking(self._apply, batch)
                            break
                        except StorageAway as away:
                            wait = await self._wait_out(away, wait)
                    self._settle(batch, errors)
        self._renewing.cancel()

    def _next_batch(self) -> tuple[list[Commit], bool]:
        """Waits for a commit; returns all that have queued up, and whether these were the last."""
        batch: list[Commit] = []
        commits = self._queue.get()
        while commits is not None:
            batch += commits
            if len(batch) >= BATCH:
                break
            try:
                commits = self._queue.get_nowait()
            except Empty:
                break
        return batch, commits is None

    def _apply(self, batch: Sequence[Commit]) -> Sequence[Exception | None]:
        """What each commit was refused with, if anything. StorageAway: ask the same again."""
        if not batch:
            return []
        if self.why is not None:
            return [self.why] * len(batch)
        groups = [commit.operations for commit in batch]
        self._known.heed(groups)
        began = perf_counter()  # it runs in a thread, where trio's clock is not to be had
        try:
            return self.storage.commit(groups, self.epoch)
        except StorageAway:
            raise
        except Exception as error:
            # Whatever it is, the callers are told and the next batch is tried.
            return [error] * len(batch)
        finally:
            self.commit_times.add(perf_counter() - began)

    def _settle(self, batch: Sequence[Commit], errors: Sequence[Exception | None]) -> None:
        if self.away is not None and self.why is None:
            logger.warning("storage is back")
            self.away = None
        for commit, error in zip(batch, errors, strict=True):
            if isinstance(error, StaleEpoch):
                self._lose(error)
            commit.finish(error)
