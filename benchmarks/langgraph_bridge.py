"""What it costs to serve a graph of langgraph's: the same graph in a room, and by plain `ainvoke`.

    python benchmarks/langgraph_bridge.py

Both run in this environment, every case in a process of its own, the two in turn; every run checks
its result. A run in a room is stored, queued, streamed and settled as any run of a thread; plain
`ainvoke` only keeps checkpoints. Greenroom's SQLite is at synchronous=FULL, langgraph's saver as it
comes. The last column is what a run takes in a room over what it takes without, as the ratio of the
medians.
"""

from __future__ import annotations

import argparse
import json
import operator
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, Final, TypedDict

CASES = {  # name: runs counted, and how many at once
    "chain of 3": (300, 1),
    "chain of 20": (60, 1),
    "chain of 3, 16 at once": (480, 16),
    "interrupt and resume": (150, 1),
}
WARM_UP: Final = 10  # runs before these
KEPT = ("memory", "sqlite")
WAYS = ("ainvoke", "room")

Run = Callable[[str], Awaitable[None]]


class State(TypedDict, total=False):
    x: int
    log: Annotated[list[int], operator.add]


def builder(case: str) -> Any:
    from langgraph.graph import START, StateGraph
    from langgraph.types import interrupt

    async def node(state: State) -> State:
        return {"x": state["x"] + 1, "log": [state["x"]]}

    async def ask(state: State) -> State:
        return {"x": interrupt("?")}

    graph = StateGraph(State)
    if case == "interrupt and resume":
        return graph.add_node("ask", ask).add_edge(START, "ask")
    before = START
    for at in range(length_of(case)):
        graph.add_node(f"n{at}", node)
        graph.add_edge(before, f"n{at}")
        before = f"n{at}"
    return graph


def length_of(case: str) -> int:
    return 20 if case == "chain of 20" else 3


def check(case: str, values: Any) -> None:
    assert values["x"] == length_of(case) == len(values["log"]), values


async def by_ainvoke(case: str, kept: str, folder: str) -> float:
    import asyncio

    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.types import Command

    async with AsyncExitStack() as stack:
        saver: Any = InMemorySaver()
        if kept == "sqlite":
            file = AsyncSqliteSaver.from_conn_string(f"{folder}/bridge.db")
            saver = await stack.enter_async_context(file)
        graph = builder(case).compile(checkpointer=saver)

        async def run(thread: str) -> None:
            config: Any = {"configurable": {"thread_id": thread}}
            if case == "interrupt and resume":
                assert "__interrupt__" in await graph.ainvoke({"x": 0}, config)
                assert (await graph.ainvoke(Command(resume=7), config))["x"] == 7
            else:
                check(case, await graph.ainvoke({"x": 0, "log": []}, config))

        async def several(threads: Iterable[str]) -> None:
            for thread in threads:
                await run(thread)

        async def at_once(shares: list[list[str]]) -> None:
            await asyncio.gather(*map(several, shares))

        return await measured(case, run, at_once)


async def in_a_room(case: str, kept: str, folder: str) -> float:
    import trio

    from greenroom.actors import Greenroom
    from greenroom.storage import MemoryStorage, SqliteStorage

    storage = SqliteStorage(Path(folder) / "bridge.db") if kept == "sqlite" else MemoryStorage()
    async with Greenroom({"agent": builder(case).compile()}, storage=storage) as room:
        wait = room.client.runs.wait

        async def run(thread: str) -> None:
            ident = (await room.client.threads.create())["thread_id"]
            if case == "interrupt and resume":
                assert "__interrupt__" in await wait(ident, "agent", input={"x": 0})
                assert (await wait(ident, "agent", command={"resume": 7}))["x"] == 7
            else:
                check(case, await wait(ident, "agent", input={"x": 0, "log": []}))

        async def several(threads: Iterable[str]) -> None:
            for thread in threads:
                await run(thread)

        async def at_once(shares: list[list[str]]) -> None:
            async with trio.open_nursery() as nursery:
                for share in shares:
                    nursery.start_soon(several, share)

        return await measured(case, run, at_once)


async def measured(
    case: str, run: Run, at_once: Callable[[list[list[str]]], Awaitable[None]]
) -> float:
    """Milliseconds a run."""
    count, width = CASES[case]
    for number in range(WARM_UP):
        await run(f"warm-up {number}")
    threads = [str(number) for number in range(count)]
    began = time.perf_counter()
    await at_once([threads[at::width] for at in range(width)])
    return (time.perf_counter() - began) / count * 1000


def one(way: str, case: str, kept: str) -> float:
    """Run one case in this process."""
    with tempfile.TemporaryDirectory() as folder:
        if way == "room":
            import trio

            return trio.run(in_a_room, case, kept, folder)
        import asyncio

        return asyncio.run(by_ainvoke(case, kept, folder))


def in_process_of_its_own(way: str, case: str, kept: str) -> float:
    command = [sys.executable, __file__, "--one", way, case, kept]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{way}, {case}, {kept}: {done.stderr.strip().splitlines()[-1]}")
    return float(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="per case and way (default 3)")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name has this text")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(*args.one)))
        return

    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    cases = [(case, kept) for case in CASES for kept in KEPT if args.only in f"{case}, {kept}"]
    table = Table("case", "kept in", title="ms a run, medians", highlight=False)
    for column in (*WAYS, "ratio"):
        table.add_column(column, justify="right")
    for case, kept in track(cases, "measuring", transient=True):
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(args.rounds):
            for way in WAYS:
                found[way].append(in_process_of_its_own(way, case, kept))
        plain, served = (statistics.median(found[way]) for way in WAYS)
        table.add_row(case, kept, f"{plain:.2f}", f"{served:.2f}", f"{served / plain:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
