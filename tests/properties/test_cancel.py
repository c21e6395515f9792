"""A run may be cut short anywhere, and goes on as if nothing had happened."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import attrs
import trio
from hypothesis import assume, given
from hypothesis import strategies as st

from greenroom.graph import START

from .building import THREAD, Effects, build, saver
from .model import Told, play
from .shapes import Shape, inputs, shapes


@attrs.define(eq=False)
class After(trio.abc.Instrument):
    """Cancels when trio has given a turn to some task so many times."""

    turns: int
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.turns -= 1
        if self.turns == 0:
            self.scope.cancel()

    async def perform(self, function: Any, *args: Any, **options: Any) -> bool:
        """Call and cut short. Returns whether the call came to its end before."""
        trio.lowlevel.add_instrument(self)
        try:
            with self.scope:
                await function(*args, **options)
        finally:
            trio.lowlevel.remove_instrument(self)
        return not self.scope.cancelled_caught


def finished(state: Any) -> set[str]:
    """The ids of tasks whose nodes need not run again: they are done, or their handlers at work."""
    known = (t for t in state.tasks if t.result is not None or t.error is not None)
    return {t.id for t in known if t.name != START}


@given(
    keeps=st.sampled_from(["memory", "storage", "sqlite"]),
    shape=shapes(nodes=5, depth=2, fails=True, writers=False),
    given=inputs,
    durability=st.sampled_from(["sync", "async", "exit"]),
    first=st.integers(1, 7),
    stride=st.integers(3, 12),
)
async def test_a_run_that_is_cut_short_anywhere_comes_to_the_same_end(
    keeps: str, shape: Shape, given: Any, durability: Any, first: int, stride: int
) -> None:
    told = play(shape, given)
    assume(not told.errors and told.attempts.total() <= 20)
    turns, over = first, False
    while not over:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "log.db"
            over = await cut_short(shape, given, durability, keeps, file, turns, told)
        turns += stride if keeps != "sqlite" else 5 * stride


async def cut_short(
    shape: Shape, given: Any, durability: Any, keeps: str, file: Path, turns: int, told: Told
) -> bool:
    effects = Effects()
    async with AsyncExitStack() as stack:
        log = await saver(stack, keeps, file)
        graph = build(shape, log, effects, wait=0)
        over = await After(turns).perform(graph.ainvoke, given, THREAD, durability=durability)
        before = await graph.aget_state(THREAD)
        if keeps == "sqlite":  # what was done is in the file
            await stack.aclose()
            log = await saver(stack, keeps, file)
            graph = build(shape, log, effects, wait=0)
            assert await graph.aget_state(THREAD) == before
        done = finished(before)
        ended = {task.id for task in before.tasks if effects.ended[task.id]}
        if len(before.tasks) > 1:
            assert ended <= done | routed(shape, before)
        started = effects.started.copy()
        again = given if before.created_at is None else None
        assert await graph.ainvoke(again, THREAD, durability=durability) == told.final
        assert all(effects.started[task] == started[task] for task in done)
        assert all(tries <= 2 * told.attempts[node] for node, tries in effects.tries.items())
    return over


def routed(shape: Shape, state: Any) -> set[str]:
    """Tasks whose conditional edges may have been cut short."""
    sources = {route.source for route in shape.routes}
    return {task.id for task in state.tasks if task.name in sources}
