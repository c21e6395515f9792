"""`python -m tests.simulation SEEDS`: play histories, see `make simulate`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from .simulation import simulate

LARGEST = 2**63


def seeds_of(text: str) -> list[range]:
    """The seeds that `17,100-199` names. Raises ValueError."""
    found: list[range] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"{part!r} is neither a seed nor a range of seeds")
        ends = int(first), int(last if dash else first)
        if not ends[0] <= ends[1] < LARGEST:
            raise ValueError(f"{part!r} is no range of seeds from 0 to {LARGEST - 1}")
        found.append(range(ends[0], ends[1] + 1))
    return found


@click.command()
@click.argument("seeds")
@click.option("--history", is_flag=True, help="Print what happened, a line each.")
def main(seeds: str, history: bool) -> None:
    """Play the histories of SEEDS, such as 17,100-199, up to the first with something wrong."""
    try:
        ranges = seeds_of(seeds)
    except ValueError as error:
        click.echo(f"SEEDS={seeds}: {error}; expected something like 17,100-199", err=True)
        sys.exit(2)

    def all_seeds() -> Iterator[int]:
        for some in ranges:
            yield from some

    many = sum(some.stop - some.start for some in ranges)
    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task("histories", total=many)
        for seed in all_seeds():
            outcome = simulate(seed)
            if history:
                click.echo("\n".join(outcome.history))
            if outcome.wrong is not None:
                progress.stop()
                click.echo(f"seed {seed}: {outcome.wrong}")
                click.echo(f"To see it again: make simulate SEEDS={seed} HISTORY=--history")
                sys.exit(1)
            progress.advance(task)
    if not history:
        click.echo(f"{many} histories, and nothing wrong")


if __name__ == "__main__":
    main()
