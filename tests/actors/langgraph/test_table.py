"""The truth table of `docs/double-texting.md`, for graphs of LangGraph's."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
from trio.testing import MockClock

from greenroom.actors.multitask import STRATEGIES
from greenroom.storage import Storage

from ..double_texting.page import of_langgraph, table
from ..double_texting.phases import PHASES, BetweenSteps, Phase, played
from .stage import LANGGRAPH

# Of `BetweenSteps`, a cache of this engine's says when it is. Nothing of LangGraph's does.
KINDS = [kind for kind in PHASES if kind is not BetweenSteps]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    "strategy", [one for one in STRATEGIES if one != "steer"], ids=lambda one: f"{one}-while"
)
async def test_a_second_text_does_what_the_page_says(
    open_storage: Callable[[], Storage],
    mock_clock: MockClock,
    strategy: str,
    kind: type[Phase],
) -> None:
    cell = await played(kind(LANGGRAPH), strategy, open_storage(), mock_clock)
    usual = table(strategy)[kind.name]
    said = of_langgraph().get((strategy, kind.name), usual)
    assert cell == said, f"| `{strategy}` | {' | '.join((kind.name, *attrs.astuple(cell)))} |"


def test_the_page_says_what_differs_and_nothing_that_does_not() -> None:
    for (strategy, phase), cell in of_langgraph().items():
        assert table(strategy)[phase] != cell
