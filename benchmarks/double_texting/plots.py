"""Drawings of results, the same to the byte for the same results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results import Cell

__all__ = ["draw"]

QUANTITIES = {
    "end": "milliseconds to the second text's end, p50",
    "first_event": "milliseconds to its first event, p50",
    "hand_over": "milliseconds from run to run, p50",
    "per_s": "right rounds a second",
}


def draw(cells: Sequence[Cell], folder: Path) -> list[Path]:
    """Draw all there is to `folder`; returns the files. Needs matplotlib, of the extra `bench`."""
    import matplotlib
    from matplotlib import pyplot

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "greenroom", "svg.fonttype": "none"})
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name in [*QUANTITIES, "right"]:
        figure = _shares(pyplot, cells) if name == "right" else _lines(pyplot, cells, name)
        path = folder / f"double_texting_{name}.svg"
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
        drawn.append(path)
    return drawn


def _each(cells: Sequence[Cell], field: str) -> list[Any]:
    """The values of a field, in the order in which they come."""
    return list(dict.fromkeys(getattr(cell, field) for cell in cells))


def _lines(pyplot: Any, cells: Sequence[Cell], quantity: str) -> Any:
    """A line for each target over the number of threads, in a picture for each strategy."""
    strategies, targets = _each(cells, "strategy"), _each(cells, "target")
    figure, axes = pyplot.subplots(
        1,
        len(strategies),
        figsize=(3.2 * len(strategies), 4),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, strategy in zip(axes[0], strategies, strict=True):
        for number, target in enumerate(targets):
            points = [
                (cell.threads, value)
                for cell in cells
                if (cell.strategy, cell.target) == (strategy, target)
                and (value := _value(cell, quantity))
            ]
            axis.plot(*zip(*points, strict=True) if points else ([], []), "o-", ms=3,
                      color=f"C{number}", label=target)  # fmt: skip
        axis.set(title=strategy, xlabel="threads at a time", xscale="log", yscale="log")
        threads = _each(cells, "threads")
        axis.set_xticks(threads, [f"{one:,}" for one in threads])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel(QUANTITIES[quantity])
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(targets), frameon=False)
    return figure


def _value(cell: Cell, quantity: str) -> float | None:
    found = getattr(cell, quantity)
    return found if found is None or quantity == "per_s" else found.p50


def _shares(pyplot: Any, cells: Sequence[Cell]) -> Any:
    """The share of right rounds of each target, all sizes together."""
    strategies, targets = _each(cells, "strategy"), _each(cells, "target")
    figure, axis = pyplot.subplots(figsize=(12.8, 3.5), layout="constrained")
    width = 0.8 / len(targets)
    for number, target in enumerate(targets):
        shares = []
        for strategy in strategies:
            of = [cell for cell in cells if (cell.strategy, cell.target) == (strategy, target)]
            rounds = sum(cell.rounds for cell in of)
            shares.append(100 * sum(cell.right for cell in of) / rounds if rounds else 0)
        places = [at + (number + 0.5) * width - 0.4 for at in range(len(strategies))]
        axis.bar(places, shares, width * 0.9, label=target)
    axis.set(ylabel="% of rounds that came out right", ylim=(0, 105))
    axis.set_xticks(range(len(strategies)), strategies)
    figure.legend(loc="outside lower center", ncols=len(targets), frameon=False)
    return figure
