"""Double-texting: what the second text costs under each strategy, and whether the outcome is right.

    python benchmarks/double_texting.py                          # in process, on SQLite
    python benchmarks/double_texting.py --storage memory
    greenroom serve --config benchmarks/greenroom.json &         # over HTTP
    python benchmarks/double_texting.py --url http://127.0.0.1:2024

A round is one new thread: a first text that thinks, and a second one while it does. The time is
that of the second text, from sending it to its end; for `enqueue`, from the end of the first. The
same code drives the in-process client on trio and the published client on asyncio.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import attrs
import httpx
from graphs import talk
from langgraph_sdk import get_client
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from greenroom.actors import Conflict, Greenroom, NotFound
from greenroom.storage import MemoryStorage, SqliteStorage

STRATEGIES = ("reject", "enqueue", "interrupt", "rollback")
LONG, SHORT = 30.0, 0.1  # seconds of thought: to be cut short, and to be waited for


@attrs.define
class Tally:
    """What came of the rounds of one strategy. `times`: seconds, of those that came out right."""

    times: list[float] = attrs.field(factory=list)
    wrong: list[str] = attrs.field(factory=list)


def text(name: str, seconds: float = 0.0) -> dict[str, Any]:
    return {"text": name, "seconds": seconds, "log": []}


async def status_of(call: Awaitable[Any]) -> int:
    """What a call came to, as an HTTP status, whichever client made it."""
    try:
        await call
    except Conflict:
        return 409
    except NotFound:
        return 404
    except Exception as error:
        response = getattr(error, "response", None)
        if not isinstance(response, httpx.Response):
            raise
        return response.status_code
    return 200


async def texted_twice(client: Any, strategy: str) -> tuple[float, str | None]:
    """One round: the seconds that the second text took, and what was wrong, if anything."""
    thread = (await client.threads.create())["thread_id"]
    thinking = SHORT if strategy == "enqueue" else LONG
    first = await client.runs.create(thread, "talk", input=text("one", thinking))
    while (await client.threads.get_state(thread))["next"] != ["think"]:  # noqa: ASYNC110 - by URL too
        await anyio.sleep(0.01)
    began = time.perf_counter()
    create = functools.partial(
        client.runs.create, thread, "talk", input=text("two"), multitask_strategy=strategy
    )
    if strategy == "reject":
        status = await status_of(create())
        took = time.perf_counter() - began
        await client.runs.cancel(thread, first["run_id"], wait=True)
        return took, None if status == 409 else f"the second text was answered {status}"
    second = await create()
    if strategy == "enqueue":
        await client.runs.join(thread, first["run_id"])
        began = time.perf_counter()
    await client.runs.join(thread, second["run_id"])
    took = time.perf_counter() - began
    log = (await client.threads.get_state(thread))["values"]["log"]
    both = {
        "enqueue": ["heard one", "answered one", "heard two", "answered two"],
        "interrupt": ["heard one", "heard two", "answered two"],
        "rollback": ["heard two", "answered two"],
    }
    if log != both[strategy]:
        return took, f"the state is {log}"
    if strategy == "rollback":
        gone = await status_of(client.runs.get(thread, first["run_id"]))
        return took, None if gone == 404 else "the first run is still there"
    ended = (await client.runs.get(thread, first["run_id"]))["status"]
    wanted = "success" if strategy == "enqueue" else "interrupted"
    return took, None if ended == wanted else f"the first run ended {ended}"


async def measure(
    client: Any, rounds: int, threads: int, advance: Callable[[], None]
) -> dict[str, tuple[Tally, float]]:
    """Tally and wall seconds of each strategy, `threads` rounds at a time."""
    results = {}
    for strategy in STRATEGIES:
        tally, left = Tally(), iter(range(rounds))

        async def work(strategy: str = strategy, tally: Tally = tally, left: Any = left) -> None:
            for _ in left:
                try:
                    took, wrong = await texted_twice(client, strategy)
                except Exception as error:
                    wrong = f"{type(error).__name__}: {error}"
                if wrong is None:
                    tally.times.append(took)
                else:
                    tally.wrong.append(wrong)
                advance()

        began = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for _ in range(threads):
                tasks.start_soon(work)
        results[strategy] = tally, time.perf_counter() - began
    return results


def show(console: Console, title: str, results: dict[str, tuple[Tally, float]]) -> bool:
    """Print the table; returns whether every round came out right."""
    table = Table("strategy", title=title)
    for column in ("right", "wrong", "p50 ms", "p95 ms", "rounds/s"):
        table.add_column(column, justify="right")
    for strategy, (tally, wall) in results.items():
        times = sorted(1000 * seconds for seconds in tally.times) or [float("nan")]
        table.add_row(
            strategy,
            str(len(tally.times)),
            str(len(tally.wrong)),
            f"{statistics.median(times):.1f}",
            f"{times[int(0.95 * (len(times) - 1))]:.1f}",
            f"{len(tally.times) / wall:.0f}",
        )
    console.print(table)
    wrong = [line for tally, _ in results.values() for line in tally.wrong]
    for line in dict.fromkeys(wrong[:5]):
        console.print(f"[red]wrong:[/red] {line}")
    return not wrong


async def in_process(args: argparse.Namespace, advance: Callable[[], None]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        if args.storage == "memory":
            storage: Any = MemoryStorage()
        else:
            storage = SqliteStorage(Path(folder) / "benchmark.db")
        async with Greenroom({"talk": talk}, storage=storage) as room:
            return await measure(room.client, args.rounds, args.threads, advance)


async def over_http(args: argparse.Namespace, advance: Callable[[], None]) -> Any:
    async with get_client(url=args.url) as client:
        await client.assistants.get("talk")  # is there a server, and does it serve the graph?
        return await measure(client, args.rounds, args.threads, advance)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="a server to measure; without it, this runtime in process")
    parser.add_argument("--storage", choices=("sqlite", "memory"), default="sqlite")
    parser.add_argument("--rounds", type=int, default=100, help="per strategy (default 100)")
    parser.add_argument("--threads", type=int, default=4, help="at the same time (default 4)")
    args = parser.parse_args()
    console = Console()
    where = args.url or f"in process, {args.storage}"
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task(f"texting twice, {where}", total=args.rounds * len(STRATEGIES))
        run, backend = (over_http, "asyncio") if args.url else (in_process, "trio")
        try:
            results = anyio.run(run, args, lambda: progress.advance(bar), backend=backend)
        except httpx.HTTPError as error:
            console.print(f"[red]{args.url} cannot be measured:[/red] {error}")
            return 2
    right = show(console, f"The second text, {args.threads} threads at a time, {where}", results)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
