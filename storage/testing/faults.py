"""A storage with faults where a test wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event, Lock
from typing import Any, Final, Literal, NoReturn

import attrs
import trio

from ..contract import Lease, Storage, StorageError
from ..operations import Operation, Restore
from ..records import Assistant

__all__ = ["Crashed", "FaultyStorage", "Gate", "Point"]

Point = Literal["before", "middle", "after", "read"]
Groups = Sequence[Sequence[Operation]]

PATIENCE: Final = 10.0  # seconds
_OWN: Final = {"blocking", "reads_at_once", "open", "close", "acquire_lease", "commit"}


class Crashed(StorageError):
    """The process is dead, as far as the storage is concerned."""


class Gate:
    """Where a call stands until it is let through. Each side waits for the other for ten seconds
    at most, so that a test that has failed comes to its end.
    """

    def __init__(self) -> None:
        self._stands = Event()
        self._opened = Event()

    async def reached(self) -> None:
        """Until a call stands there. Raises StorageError if none comes."""
        if not await trio.to_thread.run_sync(self._stands.wait, PATIENCE):
            raise StorageError(f"Nothing came to the gate for {PATIENCE:g} s")

    def open(self) -> None:
        self._opened.set()

    def __call__(self) -> None:
        self._stands.set()
        if not self._opened.wait(PATIENCE):
            raise StorageError(f"Nobody opened the gate for {PATIENCE:g} s")


def _anything(_: Any) -> bool:
    return True


@attrs.define(eq=False)
class _Fault:
    at: Point
    do: Callable[[], object]
    when: Callable[[Any], bool]
    skip: int
    times: int | None

    def strikes(self, at: Point, what: Sequence[Any]) -> bool:
        """Whether it is this one's turn, which is used up then."""
        if at != self.at or self.times == 0 or not any(map(self.when, what)):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class _Trap(dict[str, Any]):
    """A record that cannot be read: whoever restores it finds out in the middle of a commit."""

    do: Callable[[], object]

    def __getitem__(self, key: str) -> NoReturn:
        self.do()
        raise StorageError("The group stopped in the middle")


def _passed_on(name: str) -> Any:
    """A read, with its faults; what is no call is the storage's own."""
    if name not in Storage.__abstractmethods__:
        return property(lambda self: getattr(self.storage, name))

    def read(self: FaultyStorage, *args: Any, **kwargs: Any) -> Any:
        self._check_alive()
        self._strike("read", [name])
        return getattr(self.storage, name)(*args, **kwargs)

    read.__name__ = name
    return read


_public = {name for name in vars(Storage) if not name.startswith("_")}
_PassesOn: Any = type("_PassesOn", (Storage,), {n: _passed_on(n) for n in _public - _OWN})


class FaultyStorage(_PassesOn):  # type: ignore[misc]
    """Passes everything on to `storage`, and fails, stands still or dies where it is told to.

    A fault strikes at a point: `before` a group of operations is applied; in the `middle`, when the
    backend has been given the first half of it and nothing is certain; `after` it was applied,
    durably, when nobody has heard of it yet; before a `read`. Groups come one by one to where a
    fault strikes; otherwise a batch is passed on whole.

    `when`: which groups are meant, by one of their operations, or which reads, by their name.
    `skip`: how many of these pass first. `times`: how often it strikes then; None for always.

    `blocking`: whether calls may wait, as in `Storage`; by default as `storage` has it.
    `applied`: the groups that were applied, in order, but for empty ones. `crashed`: set when it
    has died.
    """

    def __init__(self, storage: Storage, *, blocking: bool | None = None) -> None:
        self.storage = storage
        self.blocking = storage.blocking if blocking is None else blocking
        self.reads_at_once = storage.reads_at_once
        self.applied: list[tuple[Operation, ...]] = []
        self.crashed = Event()
        self._faults: list[_Fault] = []
        self._lock = Lock()

    # What is to go wrong.

    def plan(
        self,
        at: Point,
        do: Callable[[], object],
        when: Callable[[Any], bool] = _anything,
        *,
        skip: int = 0,
        times: int | None = 1,
    ) -> None:
        """Call `do` there; what it raises is the answer."""
        self._faults.append(_Fault(at, do, when, skip, times))

    def fail(
        self,
        at: Point,
        when: Callable[[Any], bool] = _anything,
        *,
        error: StorageError | None = None,
        skip: int = 0,
        times: int | None = 1,
    ) -> None:
        """Refuse with a StorageError: `after`, what was refused is there all the same."""
        raised = error or StorageError("the disk is full")

        def fail() -> NoReturn:
            raise raised

        self.plan(at, fail, when, skip=skip, times=times)

    def hold(self, at: Point, when: Callable[[Any], bool] = _anything, *, skip: int = 0) -> Gate:
        """Stand still until the gate that is returned is opened."""
        self._check_waits(at)
        gate = Gate()
        self.plan(at, gate, when, skip=skip)
        return gate

    def delay(
        self,
        at: Point,
        seconds: float,
        when: Callable[[Any], bool] = _anything,
        *,
        skip: int = 0,
        times: int | None = 1,
    ) -> None:
        """Take that long, by trio's clock."""
        self._check_waits(at)
        self.plan(
            at, lambda: trio.from_thread.run(trio.sleep, seconds), when, skip=skip, times=times
        )

    def crash(self, at: Point, when: Callable[[Any], bool] = _anything, *, skip: int = 0) -> None:
        """Die: from then on nothing is applied and nothing answered but with Crashed."""

        def crash() -> NoReturn:
            self.crashed.set()
            raise Crashed("The process has died")

        self.plan(at, crash, when, skip=skip)

    def heal(self) -> None:
        """Forget what is planned. What is dead stays dead."""
        self._faults.clear()

    def _check_waits(self, at: Point) -> None:
        if at == "middle":
            raise ValueError("In the middle a storage can fail or crash; it cannot wait there")
        if not self.blocking:
            raise ValueError("This storage is called on the event loop: make it with blocking=True")

    # The storage.

    def open(self) -> None:
        self._check_alive()
        self.storage.open()

    def close(self) -> None:
        self.storage.close()  # the dead let go of what they held

    def acquire_lease(self, owner: str) -> Lease:
        self._check_alive()
        return self.storage.acquire_lease(owner)

    def commit(self, groups: Groups, epoch: int) -> list[StorageError | None]:
        self._check_alive()
        if not self._faults or not groups:
            return self._pass(groups, epoch)
        answers: list[StorageError | None] = []
        for group in groups:
            try:
                answers += self._commit_group(group, epoch)
            except StorageError as error:
                if self.crashed.is_set():
                    raise  # who waits for the groups before does not hear of them either
                answers.append(error)
        return answers

    def _commit_group(self, group: Sequence[Operation], epoch: int) -> list[StorageError | None]:
        self._strike("before", group)
        if traps := self._striking("middle", group):
            half = (len(group) + 1) // 2
            trap = _Trap()
            trap.do = traps[0]
            group = [*group[:half], Restore(Assistant, trap), *group[half:]]
        answers = self._pass([group], epoch)
        self._check_alive()  # it may have died in the middle
        if answers == [None]:
            self._strike("after", group)
        return answers

    def _pass(self, groups: Groups, epoch: int) -> list[StorageError | None]:
        answers = self.storage.commit(groups, epoch)
        for group, answer in zip(groups, answers, strict=True):
            if answer is None and group:
                self.applied.append(tuple(group))
        return answers

    def _strike(self, at: Point, what: Sequence[Any]) -> None:
        for do in self._striking(at, what):
            do()

    def _striking(self, at: Point, what: Sequence[Any]) -> list[Callable[[], object]]:
        with self._lock:
            return [fault.do for fault in self._faults if fault.strikes(at, what)]

    def _check_alive(self) -> None:
        if self.crashed.is_set():
            raise Crashed("The process has died")
