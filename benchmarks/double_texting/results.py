"""What the rounds of a target came to, as a table and as JSON."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import attrs
import msgspec
from rich import box
from rich.table import Table
from rounds import FAULTS, Round

__all__ = ["Cell", "Tally", "load", "remarks", "save", "table"]


@attrs.frozen
class Spread:
    """Of times, in milliseconds."""

    p50: float
    p95: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread | None:
        if not seconds:
            return None
        times = sorted(1000 * one for one in seconds)
        return cls(round(statistics.median(times), 3), round(times[(len(times) - 1) * 19 // 20], 3))


@attrs.frozen
class Cell:
    """One strategy on one target with so many threads at a time.

    `right`: rounds that came out as they must; `per_s`, rounds a second, is of these alone, and the
    times of those among them that were not `late`. `faults`: how often each was seen; one round may
    have several. `examples`: of what was wrong.
    """

    target: str
    strategy: str
    threads: int
    rounds: int
    right: int
    late: int
    faults: dict[str, int]
    examples: list[str]
    first_event: Spread | None
    end: Spread | None
    hand_over: Spread | None
    per_s: float


@attrs.define
class Tally:
    """Rounds as they come in."""

    rounds: list[Round] = attrs.field(factory=list)

    def cell(self, target: str, strategy: str, threads: int, wall: float) -> Cell:
        """`wall`: seconds that all of it took."""
        right = [one for one in self.rounds if not one.faults]
        timed = [one for one in right if not one.late]
        explained = (f"{f}: {why}" for one in self.rounds for f, why in one.faults.items())
        return Cell(
            target,
            strategy,
            threads,
            len(self.rounds),
            len(right),
            sum(one.late for one in self.rounds),
            dict(Counter(fault for one in self.rounds for fault in one.faults)),
            list(dict.fromkeys(explained))[:3],
            Spread.of([one.first_event for one in timed if one.first_event is not None]),
            Spread.of([one.end for one in timed]),
            Spread.of([one.hand_over for one in timed if one.hand_over is not None]),
            round(len(right) / wall, 1),
        )


def save(cells: Sequence[Cell], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = msgspec.json.encode({"cells": cells})
    path.write_bytes(msgspec.json.format(raw, indent=1) + b"\n")


def load(path: Path) -> list[Cell]:
    return msgspec.convert(msgspec.json.decode(path.read_bytes())["cells"], list[Cell])


def table(cells: Sequence[Cell], threads: int) -> Table:
    """Times are in milliseconds, p50 and, of the end, p95."""
    title = f"Texted twice, {threads:,} at a time"
    shown = Table("strategy", "target", title=title, box=box.SIMPLE)
    for column in ("right", "wrong", "first event", "end", "hand-over", "rounds/s"):
        shown.add_column(column, justify="right")
    of_this = [cell for cell in cells if cell.threads == threads]
    for cell, following in zip_longest(of_this, of_this[1:]):
        wrong = cell.rounds - cell.right
        shown.add_row(
            cell.strategy,
            cell.target,
            f"{cell.right:,}",
            f"[red]{wrong:,}" if wrong else "0",
            _shown(cell.first_event),
            f"{_shown(cell.end)} / {cell.end.p95:.1f}" if cell.end else "",
            _shown(cell.hand_over),
            f"{cell.per_s:.0f}",
            end_section=following is not None and following.strategy != cell.strategy,
        )
    return shown


def remarks(cells: Sequence[Cell]) -> Iterator[str]:
    """What was wrong in each cell, and how much of it came too late to be timed."""
    for cell in cells:
        counts = {**cell.faults, "late": cell.late}
        said = [f"{counts[name]:,} {name}" for name in (*FAULTS, "late") if counts.get(name)]
        if said:
            yield f"{cell.target}, {cell.strategy}, {cell.threads:,} threads: {', '.join(said)}"
            yield from (f"    {example}" for example in cell.examples)


def _shown(spread: Spread | None) -> str:
    return "" if spread is None else f"{spread.p50:.1f}"
