"""Whatever user code does in place to what it was given, or has given, nobody else sees it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextlib import AsyncExitStack
from copy import deepcopy
from typing import Annotated, Any

import attrs
from hypothesis import assume, given
from hypothesis import strategies as st

from greenroom.graph import Command, Overwrite, Send

from .building import THREAD, Effects, build, saver
from .model import play
from .shapes import Shape, State, answer, inputs, merged, shapes


def spoil(thing: Any) -> None:
    """Change everything in `thing` that can be changed in place."""
    match thing:
        case dict():
            for item in list(thing.values()):
                spoil(item)
            thing["spoilt"] = ["spoilt"]
        case list():
            for item in thing:
                spoil(item)
            thing.append("spoilt")
        case tuple():
            for item in thing:
                spoil(item)
        case set():
            thing.add("spoilt")
        case Command():
            spoil(thing.update)
            spoil(thing.goto)
        case Send():
            spoil(thing.arg)
        case Overwrite():
            spoil(thing.value)


def spoiling(reducer: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A reducer that works as `reducer` does, and spoils what it was given."""

    def reduce(held: Any, given: Any) -> Any:
        made = reducer(deepcopy(held), deepcopy(given))
        spoil(held)
        spoil(given)
        return made

    return reduce


class SpoiltState(State, total=False):
    replies: Annotated[list[Any], spoiling(operator.add)]
    log: Annotated[list[Any], spoiling(operator.add)]
    names: Annotated[set[str], spoiling(operator.or_)]
    tree: Annotated[dict[str, Any], spoiling(merged)]


@attrs.define
class Spoiler:
    """Spoils what user code was given at once, and what it gave in the super-step after."""

    step: str = ""
    returned: list[Any] = attrs.field(factory=list)

    def __call__(self, seen: Any, made: Any, step: str | None) -> None:
        spoil(seen)
        if step not in (None, self.step):
            spoil(self.returned)
            self.step, self.returned = str(step), []
        self.returned.append(made)


@given(
    keeps=st.sampled_from(["none", "memory", "storage"]),
    shape=shapes(nodes=5, writers=False),
    given=inputs,
)
async def test_a_graph_of_spoilers_does_what_a_graph_of_others_does(
    keeps: str, shape: Shape, given: Any
) -> None:
    told = play(shape, deepcopy(given))
    assume(not told.errors and told.tasks <= 20)
    async with AsyncExitStack() as stack:
        log = await saver(stack, keeps)
        graph = build(shape, log, Effects(spoil=Spoiler()), state=SpoiltState)
        modes: Any = {"values": [], "updates": [], "checkpoints": [], "tasks": []}
        mine = deepcopy(given)
        async with graph.astream(mine, THREAD, stream_mode=list(modes)) as chunks:
            async for mode, chunk in chunks:
                modes[mode].append(deepcopy(chunk))
                spoil(chunk)
        assert mine == given
        spoil(mine)
        assert modes["values"] == told.values
        assert modes["updates"] == told.updates
        if log is None:
            return
        for _ in range(2):  # what was shown and spoilt is shown again as it was
            history = [state async for state in graph.aget_state_history(THREAD)][::-1]
            assert [state.values for state in history[1:]] == told.states
            for state, step in zip(history[1:], told.shown, strict=False):
                assert tuple(task.name for task in state.tasks) == step
            results = [task.result for state in history for task in state.tasks]
            assert "spoilt" not in repr(results)
            for state in history:
                spoil(state.values)
                spoil([task.result for task in state.tasks])
        result = await graph.ainvoke(None, THREAD)
        assert result == told.final
        spoil(result)
        assert await graph.ainvoke(None, history[0].config) == told.final
        assert (await graph.aget_state(THREAD)).values == told.final


@given(
    keeps=st.sampled_from(["memory", "storage"]),
    shape=shapes(nodes=4, depth=2, asks=2, writers=False),
    given=inputs,
)
async def test_questions_and_answers_that_are_spoilt_are_so_for_nobody_else(
    keeps: str, shape: Shape, given: Any
) -> None:
    told = play(shape, given)
    assume(told.asked and not told.errors and told.tasks <= 12)
    async with AsyncExitStack() as stack:
        graph = build(shape, await saver(stack, keeps), Effects(spoil=Spoiler()))
        result = await graph.ainvoke(given, THREAD)
        for _ in range(told.asked):
            questions = result.pop("__interrupt__")
            answers = {one.id: answer(deepcopy(one.value)) for one in questions}
            spoil([one.value for one in questions])
            for one in (await graph.aget_state(THREAD)).interrupts:
                assert answers[one.id] == answer(one.value)
                spoil(one.value)
            # One at a time, so that a task that asks more is begun again with earlier answers.
            first = {questions[0].id: answers[questions[0].id]}
            result = await graph.ainvoke(Command(resume=first), THREAD)
            spoil(first)
        assert result == told.final
