"""The tables of `docs/double-texting.md`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from .scene import Cell

__all__ = ["of_langgraph", "table"]

PAGE = Path(__file__).parents[3] / "docs/double-texting.md"


@cache
def table(strategy: str) -> Mapping[str, Cell]:
    """What the page says of a strategy, by phase."""
    return {phase: Cell(*cells) for phase, *cells in _rows(f"`{strategy}`")}


@cache
def of_langgraph() -> Mapping[tuple[str, str], Cell]:
    """What it says of graphs of LangGraph's, by strategy and phase, where that is another."""
    rows = _rows("Graphs of LangGraph")
    return {(strategy.strip("`"), phase): Cell(*cells) for strategy, phase, *cells in rows}


def _rows(title: str) -> list[list[str]]:
    _, _, section = PAGE.read_text().partition(f"\n### {title}\n")
    section, _, _ = section.partition("\n#")
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
