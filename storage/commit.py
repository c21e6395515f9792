"""A group of operations on its way to storage."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import trio

from .operations import Operation

__all__ = ["Commit"]


@attrs.define(eq=False)
class Commit:
    """Operations on their way to storage. `gathers`: still open for more. `done`: applied durably,
    or refused, with `error` then.
    """

    operations: list[Operation]
    _hurry: Callable[[], None]
    gathers: bool = attrs.field(init=False, default=False)
    done: bool = attrs.field(init=False, default=False)
    error: Exception | None = attrs.field(init=False, default=None)
    _waited_for: trio.Event | None = attrs.field(init=False, default=None)

    async def wait(self) -> None:
        """Wait until the operations are durable. Raises the StorageError that refused them.

        Being cancelled here cancels the wait, not the commit.
        """
        if self.done:
            await trio.lowlevel.checkpoint()
        else:
            self._hurry()
            if self._waited_for is None:
                self._waited_for = trio.Event()
            await self._waited_for.wait()
        if self.error is not None:
            raise self.error

    def finish(self, error: Exception | None) -> None:
        """For its session, which knows what became of it."""
        self.error = error
        self.done = True
        if self._waited_for is not None:
            self._waited_for.set()
