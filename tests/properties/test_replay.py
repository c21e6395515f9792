"""Going on from any checkpoint of a thread repeats what followed it, beside what is there."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from .building import THREAD, Effects, build, saver
from .model import play
from .shapes import Shape, inputs, shapes


async def history(graph: Any) -> list[Any]:
    return [state async for state in graph.aget_state_history(THREAD)]


def ident(config: Any) -> str | None:
    return None if config is None else config["configurable"]["checkpoint_id"]


@given(
    keeps=st.sampled_from(["memory", "storage", "sqlite"]),
    shape=shapes(nodes=6, writers=False),
    turns=st.lists(inputs, min_size=1, max_size=2),
)
async def test_going_on_from_any_checkpoint_repeats_what_followed(
    keeps: str, shape: Shape, turns: list[Any]
) -> None:
    arrived: dict[int, set[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            effects = Effects()
            graph = build(shape, await saver(stack, keeps, Path(folder) / "log.db"), effects)
            ends, lefts, held = [], [], None
            for turn in turns:
                told = play(shape, turn, held, arrived=arrived)
                assume(not told.errors and told.tasks <= 20)
                await graph.ainvoke(turn, THREAD)
                held = told.final
                ends += [held] * (len(told.states) + 1)
                later = [len(step) for step in told.steps]
                lefts += [told.tasks, *(sum(later[at:]) for at in range(len(later) + 1))]
            originals = (await history(graph))[::-1]
            assert len(originals) == len(ends)
            tips = []
            for start, end, left in zip(originals, ends, lefts, strict=True):
                before = effects.started.total()
                assert await graph.ainvoke(None, start.config) == end
                assert effects.started.total() == before + left
                tips.append(ident((await graph.aget_state(THREAD)).config))
            now = await history(graph)
            assert now[-len(originals) :][::-1] == originals
            by_id = {ident(state.config): state for state in now}
            assert [await graph.aget_state(one.config) for one in originals] == originals
            for at, tip in enumerate(tips):
                check_branch(by_id, tip, originals, at)


def check_branch(by_id: Mapping[Any, Any], tip: Any, originals: list[Any], at: int) -> None:
    """The branch hangs on the checkpoint that it started from, and goes as the original went."""
    branch, start = [], ident(originals[at].config)
    while tip != start:
        branch.insert(0, by_id[tip])
        tip = ident(by_id[tip].parent_config)
    turn = [n for n, state in enumerate(originals) if state.metadata["source"] == "input"]
    until = next((n for n in turn if n > at), len(originals))
    went = [outline(one, later=1) for one in originals[at:until]]  # the fork is a step as well
    assert [outline(state) for state in branch] == went
    assert [one.metadata["source"] for one in branch] == ["fork", *["loop"] * (until - at - 1)]


def outline(state: Any, later: int = 0) -> Any:
    return state.values, state.next, state.metadata["step"] + later
