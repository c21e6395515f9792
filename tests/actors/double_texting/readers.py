"""Those who follow the runs of a thread, each its own, and one who follows the thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

import attrs
import trio

from greenroom.actors import RunHandle
from greenroom.actors.events import StreamPart

__all__ = ["Reader", "check"]


@attrs.define(eq=False)
class Reader:
    """Follows a run from its start. `row`: that of the run, read as soon as its stream had ended;
    `over`: it was."""

    handle: RunHandle
    read_row: Callable[[], Awaitable[str]]
    parts: list[StreamPart] = attrs.field(factory=list)
    row: str | None = None
    over: trio.Event = attrs.field(factory=trio.Event)

    async def follow(self) -> None:
        async for batch in self.handle.events():
            self.parts += batch
        self.row = await self.read_row()
        self.over.set()

    @property
    def states(self) -> list[Any]:
        return self._data("values")

    @property
    def told(self) -> list[Any]:
        """What nodes have told by themselves."""
        return self._data("custom")

    def _data(self, event: str) -> list[Any]:
        return [part.data for part in self.parts if part.event == event]

    def seen(self, shown: Callable[[Mapping[str, Any]], str], result: Mapping[str, Any]) -> str:
        """As the table has it: with what the last state had, unless that is the run's result."""
        if not self.parts:
            return "nothing"
        if not self.states:
            return "`metadata` alone"
        many = f"{len(self.states)} states"
        last = shown(self.states[-1])
        return many if last == shown(result) else f"{many}, to {last}"

    def check(self, word: str, host: str | None) -> None:
        """What holds of any reader, whatever has become of the run, whose text is `word`. `host`:
        the id of the run that it was part of."""
        about = {} if host is None else {"answered_by_run_id": host}
        for part in self.parts[:1]:
            assert part.event == "metadata"
            assert part.data == {"run_id": self.handle.run_id, "attempt": 1, **about}
        assert {part.event for part in self.parts[1:]} <= {"values", "custom"}
        logs = [state["log"] for state in self.states]
        assert all(word in log for log in logs)
        for (before, after), state in zip(pairwise(logs), self.states[1:], strict=True):
            assert after[: len(before)] == before
            assert after != before or "__interrupt__" in state
        assert all("__interrupt__" not in state for state in self.states[:-1])


def check(
    readers: Mapping[str, Reader], of_thread: Sequence[StreamPart], hosts: Mapping[str, str]
) -> None:
    """Runs have told their readers one after the other, and the reader of the thread, who is told
    of each end, the same: nothing has come late. `hosts`: by those that were part of them."""
    parts = [(word, part) for word, reader in readers.items() for part in reader.parts]
    owners = {part.id: word for word, part in parts}
    assert len(owners) == len(parts)
    ids = [part.id for part in of_thread]
    assert ids == sorted(set(ids))
    ends = [part for part in of_thread if part.event == "metadata" and "status" in part.data]
    own = sorted((part for word, part in parts if word not in hosts), key=lambda part: part.id)
    assert [part for part in of_thread if part not in ends] == own
    words = {reader.handle.run_id: word for word, reader in readers.items()}
    owners |= {part.id: words[part.data["run_id"]] for part in ends}
    assert all(part.data["status"] == "run_done" for part in ends)
    over = [word for word, reader in readers.items() if reader.row is not None]
    assert sorted(owners[part.id] for part in ends) == sorted(over)
    spoken = [word for word, _ in groupby(owners[ident] for ident in ids)]
    assert len(spoken) == len(set(spoken)), spoken
