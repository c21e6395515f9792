"""Every cell of the truth table: the expectations are read from `docs/double-texting.md`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import attrs
import pytest
import trio

from greenroom.actors import Greenroom
from greenroom.actors.multitask import STRATEGIES
from greenroom.storage import Storage
from greenroom.storage.checking import check
from greenroom.storage.testing import FaultyStorage

from .phases import PHASES, Phase
from .scene import Cell, Scene, SendingWorld

PAGE = Path(__file__).parents[3] / "docs/double-texting.md"


@cache
def table(strategy: str) -> dict[str, Cell]:
    """What the page says of a strategy, by phase."""
    _, _, section = PAGE.read_text().partition(f"\n### `{strategy}`\n")
    section, _, _ = section.partition("\n#")
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {phase: Cell(*cells) for phase, *cells in rows}


@pytest.mark.parametrize("kind", PHASES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: f"{strategy}-while")
async def test_a_second_text_does_what_the_page_says(
    open_storage: Callable[[], Storage], strategy: str, kind: type[Phase]
) -> None:
    phase, world = kind(), SendingWorld()
    storage = FaultyStorage(open_storage(), blocking=True)
    options = {"storage": storage, "world": world, **phase.options}
    async with Greenroom({"agent": phase.graph()}, **options) as room, trio.open_nursery() as tasks:
        scene = Scene(room, storage, world, tasks, phase.whole, strategy)
        await scene.set_up()
        await phase.bring(scene)
        await phase.text_again(scene)
        if phase.lasts and strategy in ("interrupt", "rollback"):
            await scene.runs["new"].result()
        await phase.let_go()
        await scene.rest()
        cell = await scene.cell(begun=phase.begun, ended=phase.ended, order=phase.hold.order)
        assert list(check(storage, lambda _: None)) == []

    said = table(strategy).get(kind.name)
    assert cell == said, f"| {' | '.join((kind.name, *attrs.astuple(cell)))} |"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_page_has_every_phase_in_order_and_no_other(strategy: str) -> None:
    assert list(table(strategy)) == [kind.name for kind in PHASES]
