"""Double-texting: what the second text costs under each strategy, and whether all comes out right.

    python benchmarks/double_texting                                     # this project
    python benchmarks/double_texting served-sqlite reference=http://127.0.0.1:9401
    python benchmarks/double_texting sqlite --threads 256 --rounds 10000
    python benchmarks/double_texting --from one.json other.json --plots docs/benchmarks

Targets are `memory` and `sqlite` (this runtime in process), `served-memory` and `served-sqlite`
(`greenroom serve` in a process of its own) and `NAME=URL` for any server that speaks the API and
serves the graph of `talk.py`; docs/benchmarks/double_texting.md says how to start those that we
know. They are measured in turns, one strategy and number of threads at a time. Exit status: 1 if a
round of this project came out wrong, 2 if something cannot be measured.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import msgspec
import trio
from results import Cell, Tally, load, remarks, save, table
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rounds import STRATEGIES, Round, texted_twice
from targets import OWN, Target, Unexpected, opened

THREADS = (1, 16, 256, 1024)
WARM_UP = 4  # rounds of each strategy, which are not counted


async def measured(
    target: Target, strategy: str, threads: int, rounds: int, advance: Callable[[], None]
) -> tuple[Tally, float]:
    """Tally and wall seconds of `rounds`, on `threads` threads at a time."""
    tally, left = Tally(), iter(range(rounds))

    async def work() -> None:
        for _ in left:
            try:
                one = await texted_twice(target, strategy, threads)
            except Exception as error:
                one = Round(None, 0.0, None, {"failed": reason(error)})
            tally.rounds.append(one)
            advance()

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(threads):
            nursery.start_soon(work)
    return tally, trio.current_time() - began


def reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}".removeprefix("Unexpected: ")


async def sitting(args: argparse.Namespace, console: Console) -> list[Cell]:
    """Measure every target with every strategy and number of threads. Raises Unexpected for a
    target that cannot be measured."""
    cells = []
    sizes = [
        (threads, max(threads, args.rounds or max(40, 2 * threads))) for threads in args.threads
    ]
    each = len(args.targets) * len(args.strategies)
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with AsyncExitStack() as stack:
        targets: dict[str, Target] = {}
        for name, url in args.targets:
            targets[name] = target = await stack.enter_async_context(opened(name, url))
            try:
                for strategy in args.strategies * WARM_UP:
                    await texted_twice(target, strategy, 1)
            except Exception as error:  # whatever it is, there is nothing to be measured
                raise Unexpected(f"cannot be measured: {url or name}: {reason(error)}") from error
        with Progress(*columns, console=console, transient=True) as progress:
            bar = progress.add_task("", total=each * sum(rounds for _, rounds in sizes))
            for (threads, rounds), strategy in product(sizes, args.strategies):
                for name, target in targets.items():
                    progress.update(bar, description=f"{name}, {strategy}, {threads:,} threads")
                    tally, wall = await measured(
                        target, strategy, threads, rounds, lambda: progress.advance(bar)
                    )
                    cells.append(tally.cell(name, strategy, threads, wall))
                    if args.json:  # what there is so far: a sitting may take long
                        save(cells, args.json)
    return cells


def target(text: str) -> tuple[str, str | None]:
    if text.startswith("http://"):
        return text.removeprefix("http://").partition("/")[0], text
    name, _, url = text.partition("=")
    if not url and name not in OWN:
        raise argparse.ArgumentTypeError(f"{text!r}: expected {', '.join(OWN)} or [NAME=]URL")
    if url and (name in OWN or not name or not url.startswith("http://")):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a name of its own and an http:// URL")
    return name, url or None


def number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from 1")
    return int(text)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("targets", nargs="*", type=target, help="what to measure; by default all of this project")
    add("--threads", nargs="+", type=number, default=THREADS, help="at a time (1 16 256 1024)")
    add("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    add("--rounds", type=number, help="of each strategy, at least 1 a thread (2, but 40 in all)")
    add("--json", type=Path, metavar="FILE", help="where to write the results")
    add("--plots", type=Path, metavar="FOLDER", help="where to draw them")
    add("--from", dest="kept", nargs="+", type=Path, metavar="FILE", help="show what these have")
    args = parser.parse_args(given)
    args.targets = args.targets or [(name, None) for name in OWN]
    names = [name for name, _ in args.targets]
    if len(set(names)) < len(names):
        parser.error("targets: two have the same name")
    if args.plots and find_spec("matplotlib") is None:
        parser.error("--plots: needs matplotlib, of the extra `bench`")
    return args


def kept(files: Sequence[Path]) -> list[Cell]:
    try:
        return [cell for path in files for cell in load(path)]
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Unexpected(f"--from: {error}") from error


def show(cells: Sequence[Cell], console: Console) -> None:
    for threads in dict.fromkeys(cell.threads for cell in cells):
        console.print(table(cells, threads))
    for remark in remarks(cells):
        console.print(remark, markup=False)


def main() -> int:
    args = arguments()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))  # servers of our own inherit it
    try:
        cells = kept(args.kept) if args.kept else trio.run(sitting, args, console)
    except Unexpected as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 2
    show(cells, console)
    if args.json:
        save(cells, args.json)
    if args.plots:
        from plots import draw

        for path in draw(cells, args.plots):
            console.print(f"drawn in {path}")
    wrong = any(cell.rounds > cell.right for cell in cells if cell.target in OWN)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
