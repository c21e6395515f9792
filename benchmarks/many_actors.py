"""What a thread takes of the memory of a process that serves very many, asleep, awake and at work.

    python benchmarks/many_actors.py
    python benchmarks/many_actors.py --threads 10000 --active 1000 --json

First all threads are made, 500 at a time; each is woken for it, and asleep again afterwards. A new
process then wakes some of them with a message, and has each of these begin a run, which waits in an
async node. A figure is what the process has grown by (resident memory), divided by the number of
threads. They are on SQLite, in a file that is deleted in the end.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import trio
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from greenroom.actors import Greenroom
from greenroom.graph import START, MessagesState, StateGraph
from greenroom.storage import SqliteStorage

AT_ONCE: Final = 500
PARTS: Final = {  # what is measured in which process
    "made": ["asleep"],
    "woken": ["awake, with nothing to do", "awake, with a run under way"],
}


def resident() -> int:
    """Bytes."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def waits(state: MessagesState) -> MessagesState:
    await trio.sleep_forever()
    raise AssertionError


GRAPHS: Final = {
    "agent": StateGraph(MessagesState).add_node(waits).add_edge(START, "waits").compile()
}
INPUT: Final = {"messages": [{"role": "user", "content": "what is the weather in sf?"}]}


async def each(what: str, threads: Sequence[str], do: Callable[[str], Awaitable[object]]) -> None:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(what, total=len(threads))
        for start in range(0, len(threads), AT_ONCE):
            async with trio.open_nursery() as nursery:
                for thread_id in threads[start : start + AT_ONCE]:
                    nursery.start_soon(do, thread_id)
            progress.advance(bar, AT_ONCE)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  (nothing tells of it)
        await trio.sleep(0.05)


def thread_ids(number: int) -> list[str]:
    return [f"00000000-0000-4000-8000-{at:012x}" for at in range(number)]


async def made(file: Path, number: int) -> list[float]:
    """What threads that are asleep take each."""
    threads = thread_ids(number)
    async with Greenroom(GRAPHS, storage=SqliteStorage(file), idle_timeout=0) as room:
        client = room.client

        async def make(thread_id: str) -> None:
            await client.threads.create(thread_id=thread_id, graph_id="agent")

        await make(threads[0])  # so that what all share is there
        before = resident()
        await each("making threads", threads[1:], make)
        await until(lambda: not room.census().actors)
        return [(resident() - before) / number]


async def woken(file: Path, number: int) -> list[float]:
    """What threads that are awake take each, and those that have a run under way."""
    threads = thread_ids(number)
    async with Greenroom(GRAPHS, storage=SqliteStorage(file), idle_timeout=3600) as room:
        client = room.client

        async def wake(thread_id: str) -> None:
            await client.threads.update(thread_id, metadata={"seen": True})

        async def begin(thread_id: str) -> None:
            await client.runs.create(thread_id, "agent", input=INPUT)

        await begin(threads[0])
        before = resident()
        await each("waking threads", threads[1:], wake)
        assert room.census().actors == number
        awake = (resident() - before) / number
        await each("beginning runs", threads[1:], begin)
        await until(lambda: room.census().running == number)
        return [awake, (resident() - before) / number]


def measure(part: str, file: Path, number: int) -> list[float]:
    """In a process of its own."""
    command = [sys.executable, __file__, "--part", part, str(file), str(number)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: list[float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=100_000, help="default 100,000")
    parser.add_argument("--active", type=int, default=5000, help="of these; default 5,000")
    parser.add_argument("--json", action="store_true", help="instead of a table")
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not 0 < args.active <= args.threads:
        parser.error(f"--active: expected 1 to {args.threads:,} (--threads), got {args.active:,}")
    if args.part is not None:
        name, file, number = args.part
        part = {"made": made, "woken": woken}[name]
        print(json.dumps(trio.run(part, Path(file), int(number))))
        return
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "many.db"
        for part, number in (("made", args.threads), ("woken", args.active)):
            figures = measure(part, file, number)
            rows += [
                {"threads": number, "state": state, "bytes": round(figure)}
                for state, figure in zip(PARTS[part], figures, strict=True)
            ]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("threads", "each", "bytes each", title="memory of a process")
    for row in rows:
        table.add_row(f"{row['threads']:,}", row["state"], f"{row['bytes']:,}")
    Console().print(table)


if __name__ == "__main__":
    main()
