"""Every cell of the truth table: the expectations are read from `docs/double-texting.md`."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest
from trio.testing import MockClock

from greenroom.actors.multitask import STRATEGIES
from greenroom.storage import Storage

from .page import table
from .phases import PHASES, Phase, played


@pytest.mark.parametrize("kind", PHASES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: f"{strategy}-while")
async def test_a_second_text_does_what_the_page_says(
    open_storage: Callable[[], Storage],
    mock_clock: MockClock,
    strategy: str,
    kind: type[Phase],
) -> None:
    cell = await played(kind(), strategy, open_storage(), mock_clock)
    said = table(strategy).get(kind.name)
    assert cell == said, f"| {' | '.join((kind.name, *attrs.astuple(cell)))} |"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_page_has_every_phase_in_order_and_no_other(strategy: str) -> None:
    assert list(table(strategy)) == [kind.name for kind in PHASES]
