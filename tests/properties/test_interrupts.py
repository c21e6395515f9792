"""Questions may be answered in any order and company: the state is as if the answers were there."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from greenroom.graph import Command

from .building import THREAD, Effects, build, saver
from .model import play
from .shapes import Shape, answer, inputs, shapes
from .test_cancel import After


async def pick(data: st.DataObject, questions: list[Any]) -> Any:
    """A resume that answers some of the questions."""
    if len(questions) == 1 and data.draw(st.booleans(), label="as a plain value"):
        return answer(questions[0].value)
    some = data.draw(
        st.lists(st.sampled_from(questions), min_size=1, unique_by=lambda one: one.id),
        label="answered",
    )
    return {one.id: answer(one.value) for one in some}


@given(
    keeps=st.sampled_from(["memory", "storage", "sqlite"]),
    shape=shapes(nodes=5, depth=2, asks=3, writers=False),
    given=inputs,
    durability=st.sampled_from(["sync", "async", "exit"]),
    cuts=st.booleans(),
    data=st.data(),
)
async def test_answers_in_any_order_lead_to_the_same_end(
    keeps: str, shape: Shape, given: Any, durability: Any, cuts: bool, data: st.DataObject
) -> None:
    told = play(shape, given)
    assume(told.asked and not told.errors and told.tasks <= 12)
    effects = Effects()
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            graph = build(shape, await saver(stack, keeps, Path(folder) / "log.db"), effects)
            result = await graph.ainvoke(given, THREAD, durability=durability)
            asked: set[str] = set()
            while questions := result.pop("__interrupt__", None):
                state = await graph.aget_state(THREAD)
                assert list(state.interrupts) == questions
                asked |= {one.id for one in questions}
                await check_spent(graph, asked - {one.id for one in questions}, effects, result)
                resume = Command(resume=await pick(data, questions))
                if cuts:
                    turns = data.draw(st.integers(1, 40), label="turns")
                    await After(turns).perform(graph.ainvoke, resume, THREAD, durability=durability)
                    left = (await graph.aget_state(THREAD)).interrupts
                    again = {k: v for k, v in answers(resume, questions).items() if k in ids(left)}
                    resume = Command(resume=again) if again else None
                result = await graph.ainvoke(resume, THREAD, durability=durability)
            assert result == told.final
            assert len(asked) == told.asked
            if not cuts:
                assert sum(effects.started.values()) == told.tasks + told.asked
            await check_spent(graph, asked, effects, result)


def ids(questions: Any) -> set[str]:
    return {one.id for one in questions}


def answers(resume: Command[Any], questions: list[Any]) -> dict[str, Any]:
    """A resume by id, even where it was a plain value."""
    if isinstance(resume.resume, dict) and set(resume.resume) <= ids(questions):
        return resume.resume
    return {questions[0].id: resume.resume}


async def check_spent(graph: Any, spent: set[str], effects: Effects, result: Any) -> None:
    """Answers to what was answered before change nothing and run nothing."""
    if not spent:
        return
    started, before = effects.started.copy(), await graph.aget_state(THREAD)
    again = await graph.ainvoke(Command(resume=dict.fromkeys(spent, "again")), THREAD)
    again.pop("__interrupt__", None)
    assert (again, effects.started) == (result, started)
    assert await graph.aget_state(THREAD) == before
