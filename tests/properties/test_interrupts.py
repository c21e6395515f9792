"""Questions may be answered in any order and company: the state is as if the answers were there."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from greenroom.graph import Command, Interrupt

from .building import THREAD, Effects, build, saver
from .model import play
from .shapes import Shape, answer, inputs, shapes
from .test_cancel import After


def pick(chance: Random, questions: list[Any]) -> Any:
    """A resume that answers some of the questions."""
    if len(questions) == 1 and chance.random() < 0.5:
        return answer(questions[0].value)
    some = chance.sample(questions, chance.randint(1, len(questions)))
    return {one.id: answer(one.value) for one in some}


@given(
    keeps=st.sampled_from(["memory", "storage", "sqlite"]),
    shape=shapes(nodes=5, depth=2, asks=3, writers=False),
    given=inputs,
    durability=st.sampled_from(["sync", "async", "exit"]),
    cuts=st.booleans(),
    seed=st.integers(0, 999),
)
async def test_answers_in_any_order_lead_to_the_same_end(
    keeps: str, shape: Shape, given: Any, durability: Any, cuts: bool, seed: int
) -> None:
    told = play(shape, given)
    assume(told.asked and not told.errors and told.tasks <= 12)
    # Not Hypothesis': how many rounds it takes depends on where worker threads have come to.
    chance, effects = Random(seed), Effects()
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            graph = build(shape, await saver(stack, keeps, Path(folder) / "log.db"), effects)
            result = await graph.ainvoke(given, THREAD, durability=durability)
            asked: set[str] = set()
            rounds = 0
            while questions := result.pop("__interrupt__", None):
                state = await graph.aget_state(THREAD)
                assert list(state.interrupts) == questions
                asked |= {one.id for one in questions}
                rounds += 1
                assert rounds <= told.asked
                await check_spent(graph, asked - {one.id for one in questions}, effects, result)
                resume = Command(resume=pick(chance, questions))
                if cuts:
                    given_now, tries = answers(resume, questions), effects.started.copy()
                    turns = chance.randint(1, 40)
                    await After(turns).perform(graph.ainvoke, resume, THREAD, durability=durability)
                    left = (await graph.aget_state(THREAD)).interrupts
                    # What a node has been answered is not asked again.
                    again = {one.id: given_now[one.id] for one in left if one.id in given_now}
                    waiting = [task(one) for one in left if one.id in again]
                    assert all(effects.started[ident] == tries[ident] for ident in waiting)
                    resume = Command(resume=again) if again else None
                result = await graph.ainvoke(resume, THREAD, durability=durability)
            assert result == told.final
            assert len(asked) == told.asked
            if not cuts:
                assert sum(effects.started.values()) == told.tasks + told.asked
            await check_spent(graph, asked, effects, result)


def task(question: Interrupt) -> str:
    return question.ns[-1].partition(":")[2]


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
