"""A run of any graph, as the model plays it."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from greenroom.graph import START, InMemorySaver

from .building import THREAD, Effects, build, saver
from .model import Told, play
from .shapes import Shape, inputs, shapes


async def follow(graph: Any, given: Any, **options: Any) -> tuple[dict[str, list[Any]], Any]:
    """The chunks of a run by stream mode, and the error that it ended with."""
    told: dict[str, list[Any]] = {"updates": [], "values": [], "debug": []}
    try:
        async with graph.astream(given, stream_mode=list(told), **options) as chunks:
            async for mode, chunk in chunks:
                told[mode].append(chunk)
    except Exception as error:
        return told, error
    return told, None


def steps(debug: list[Any]) -> list[tuple[str, ...]]:
    """The nodes that ran, by super-step."""
    by_step: dict[int, list[str]] = {}
    for event in debug:
        if event["type"] == "task":
            by_step.setdefault(event["step"], []).append(event["payload"]["name"])
    first = min(by_step, default=0)
    assert list(by_step) == list(range(first, first + len(by_step)))
    return [tuple(names) for names in by_step.values()]


def check(told: Told, seen: dict[str, list[Any]], error: Any) -> None:
    assert steps(seen["debug"]) == told.steps
    assert seen["values"] == told.values
    assert {type(error)} <= (told.errors or {type(None)})
    if not told.within:
        assert seen["updates"] == told.updates
    else:  # those of the last super-step may have been cut short
        assert seen["updates"][: len(told.updates)] == told.updates


@given(
    keeps=st.sampled_from(["none", "memory", "storage", "sqlite"]),
    shape=shapes(troubles=True),
    given=inputs,
    durability=st.sampled_from(["sync", "async", "exit"]),
    limit=st.sampled_from([25, 25, 3]),
)
async def test_a_run_goes_as_the_model_says(
    keeps: str, shape: Shape, given: Any, durability: Any, limit: int
) -> None:
    told = play(shape, given, limit=limit)
    assume(told.tasks <= 40)
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            log = await saver(stack, keeps, Path(folder) / "log.db")
            effects = Effects()
            graph = build(shape, log, effects)
            config = {**THREAD, "recursion_limit": limit}
            seen, error = await follow(graph, given, config=config, durability=durability)
            check(told, seen, error)
            if not told.within:
                assert effects.tries == told.attempts
            if log is not None:
                await check_log(graph, told, durability)


async def check_log(graph: Any, told: Told, durability: str) -> None:
    history = [state async for state in graph.aget_state_history(THREAD)][::-1]
    states = [state.values for state in history]
    if durability == "exit":
        assert states == [told.final] if told.states else len(states) == 1
        return
    assert states[1:] == told.states
    planned = [tuple(task.name for task in state.tasks) for state in history[1:]]
    assert planned[: len(told.shown)] == told.shown
    over = len(told.steps) - told.within  # of a super-step that failed, `next` has what is left
    assert [state.next for state in history[1 : 1 + over]] == told.shown[:over]
    assert [state.metadata["step"] for state in history] == list(range(-1, len(told.states)))
    assert history[0].next == (START,)


@given(shape=shapes(writers=False), turns=st.lists(inputs, min_size=2, max_size=3))
async def test_turns_follow_each_other_as_the_model_says(shape: Shape, turns: list[Any]) -> None:
    graph, held = build(shape, InMemorySaver()), None
    arrived: dict[int, set[str]] = {}
    for turn in turns:
        told = play(shape, turn, held, arrived=arrived)
        assume(told.tasks <= 40)
        seen, error = await follow(graph, turn, config=THREAD)
        check(told, seen, error)
        held = told.final
        assert (await graph.aget_state(THREAD)).values == held
