"""What a seed decides beside the faults: the order in which tasks take turns, ids and the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, TypeVar
from uuid import UUID

import attrs
import trio
from trio._core import _run

from greenroom.graph.world import World

__all__ = ["BEGAN", "SimulatedWorld", "seeded_schedule"]

T = TypeVar("T")

BEGAN: Final = datetime(2030, 1, 1, tzinfo=UTC)


@contextmanager
def seeded_schedule(seed: str) -> Iterator[None]:
    """Whatever trio runs inside, its tasks take turns as the seed says.

    Trio has this for Hypothesis, and has not promised the names to anybody else.
    """
    found: Any = vars(_run)
    turns = found.get("_r")
    if not isinstance(turns, Random) or "_ALLOW_DETERMINISTIC_SCHEDULING" not in found:
        raise RuntimeError(f"trio {trio.__version__} cannot be told how its tasks take turns")
    before = found["_ALLOW_DETERMINISTIC_SCHEDULING"], turns.getstate()
    turns.seed(seed)
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    try:
        yield
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING, state = before  # type: ignore[misc]
        turns.setstate(state)


@attrs.define
class SimulatedWorld(World):
    """Time is trio's alone, ids count up, and blocking calls are made on the loop. `ids`: shared by
    the worlds of all processes of a history."""

    ids: Iterator[int] = attrs.field(kw_only=True)

    def at(self, time: float) -> datetime:
        return BEGAN + timedelta(microseconds=int(time * 1e6))

    def timestamp(self) -> str:
        return self.now().isoformat(timespec="microseconds")

    def heed_wall_clock(self) -> None: ...

    def record_id(self) -> str:
        return str(UUID(int=next(self.ids)))

    checkpoint_id = random_id = record_id

    async def run_blocking(self, function: Callable[..., T], *args: object) -> T:
        await trio.sleep(self.random.choice((0, 0.001, 0.1)))
        return function(*args)
