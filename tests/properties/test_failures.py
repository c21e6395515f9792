"""Nodes that fail are tried again as often, and after as long, as their policies say."""

from __future__ import annotations

from typing import Any

import attrs
import trio
from hypothesis import assume, given
from hypothesis import strategies as st
from trio.testing import MockClock

from greenroom.graph import InMemorySaver

from .building import THREAD, Effects, build
from .model import play
from .shapes import Shape, inputs, shapes
from .test_runs import check, follow


def on_the_loop(shape: Shape) -> Shape:
    """Without worker threads, for which a `MockClock` does not wait."""
    return attrs.evolve(
        shape,
        roles=tuple(attrs.evolve(role, is_async=True) for role in shape.roles),
        routes=tuple(attrs.evolve(route, is_async=True) for route in shape.routes),
    )


def mended(shape: Shape) -> Shape:
    """Nodes that end a run by failing do not fail."""
    last = [role for role in shape.roles if role.fails >= role.attempts and role.handled is None]
    roles = (attrs.evolve(role, fails=0) if role in last else role for role in shape.roles)
    return attrs.evolve(shape, roles=tuple(roles))


@given(shape=shapes(fails=True, writers=False), given=inputs, threads=st.booleans())
def test_failing_nodes_are_tried_again_as_the_model_says(
    shape: Shape, given: Any, threads: bool
) -> None:
    told = play(shape, given)
    assume(told.tasks <= 40)
    shape = shape if threads else on_the_loop(shape)

    async def run() -> None:
        effects = Effects()
        graph = build(shape, None, effects)
        started = trio.current_time()
        seen, error = await follow(graph, given)
        check(told, seen, error)
        if not told.errors:
            assert effects.tries == told.attempts
        if not told.errors and not threads:
            assert trio.current_time() - started == told.waited

    trio.run(run, clock=MockClock(autojump_threshold=0))


@given(shape=shapes(fails=True, writers=False, nodes=5), given=inputs)
def test_a_run_that_failed_goes_on_once_its_nodes_are_mended(shape: Shape, given: Any) -> None:
    told, after = play(shape, given), play(mended(shape), given)
    assume(told.within and not after.errors and after.tasks <= 40)

    async def run() -> None:
        effects, saver = Effects(), InMemorySaver()
        _, error = await follow(build(shape, saver, effects), given, config=THREAD)
        assert {type(error)} <= told.errors
        graph = build(mended(shape), saver, effects)
        [began, *_] = [one async for one in graph.aget_state_history(THREAD, limit=1)]
        assert began.values == told.final
        state = await graph.aget_state(THREAD)
        done = {task.id for task in state.tasks if task.result is not None}
        tries = effects.started.copy()
        assert await graph.ainvoke(None, THREAD) == after.final
        assert all(effects.started[task] == tries[task] for task in done)

    trio.run(run, clock=MockClock(autojump_threshold=0))
