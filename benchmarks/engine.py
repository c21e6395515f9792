"""The graph engine beside langgraph's: the same graphs, case by case, round by round.

    python benchmarks/engine.py                                   # this engine alone
    python benchmarks/engine.py --peer /path/to/venv/bin/python   # beside langgraph, in that venv

The peer's environment needs `langgraph` and `langgraph-checkpoint-sqlite`. Every case runs in a
process of its own, the two engines in turn; every run checks its result. Greenroom's SQLite is at
synchronous=FULL, langgraph's saver as it comes. The last column is the ratio of the medians.
"""

from __future__ import annotations

import argparse
import functools
import json
import operator
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, Final, TypedDict

CASES = {  # name: runs counted
    "chain of 3": 600,
    "chain of 50": 60,
    "fan-out of 100": 60,
    "1,000 at once": 1000,
    "interrupt and resume": 300,
}
WARM_UP: Final = 10  # runs before these
KEPT = ("nothing", "memory", "sqlite")


class State(TypedDict, total=False):
    x: int
    items: Annotated[list[int], operator.add]


def graphs(lib: Any, saver: Any) -> dict[str, Callable[[Any], Awaitable[None]]]:
    """One run of each case, on a thread of its own."""

    def build() -> Any:
        return lib.StateGraph(State)

    def chain(length: int) -> Any:
        async def node(state: State) -> State:
            return {"x": state["x"] + 1}

        builder, before = build(), lib.START
        for at in range(length):
            builder.add_node(f"n{at}", node)
            builder.add_edge(before, f"n{at}")
            before = f"n{at}"
        return builder.compile(checkpointer=saver)

    def fan_out() -> Any:
        async def work(state: State) -> State:
            return {"items": [state["x"]]}

        def spread(state: State) -> list[Any]:
            return [lib.Send("work", {"x": at}) for at in range(100)]

        builder = build().add_node("work", work)
        return builder.add_conditional_edges(lib.START, spread, ["work"]).compile(
            checkpointer=saver
        )

    def asking() -> Any:
        async def ask(state: State) -> State:
            return {"x": lib.interrupt("?")}

        builder = build().add_node("ask", ask).add_edge(lib.START, "ask")
        return builder.compile(checkpointer=saver)

    three, fifty, fan, ask = chain(3), chain(50), fan_out(), asking()

    def config(thread: Any) -> dict[str, Any]:
        return {"configurable": {"thread_id": str(thread)}, "recursion_limit": 100}

    async def run_chain(graph: Any, length: int, thread: Any) -> None:
        assert (await graph.ainvoke({"x": 0}, config(thread)))["x"] == length

    async def run_fan(thread: Any) -> None:
        result = await fan.ainvoke({"x": 0}, config(thread))
        assert result["items"] == list(range(100))

    async def run_ask(thread: Any) -> None:
        assert "__interrupt__" in await ask.ainvoke({"x": 0}, config(thread))
        assert (await ask.ainvoke(lib.Command(resume=7), config(thread)))["x"] == 7

    return {
        "chain of 3": functools.partial(run_chain, three, 3),
        "chain of 50": functools.partial(run_chain, fifty, 50),
        "fan-out of 100": run_fan,
        "1,000 at once": functools.partial(run_chain, three, 3),
        "interrupt and resume": run_ask,
    }


async def measured(
    case: str, run: Callable[[Any], Awaitable[None]], at_once: Callable[..., Awaitable[None]]
) -> float:
    """Runs a second."""
    count = CASES[case]
    for number in range(WARM_UP):
        await run(f"warm-up {number}")
    began = time.perf_counter()
    if case == "1,000 at once":
        await at_once(run, range(count))
    else:
        for thread in range(count):
            await run(thread)
    return count / (time.perf_counter() - began)


async def of_greenroom(case: str, kept: str, folder: str) -> float:
    import trio

    from greenroom import graph as lib
    from greenroom.storage import SqliteStorage, StorageSaver, StorageSession

    async def at_once(run: Any, threads: Any) -> None:
        async with trio.open_nursery() as nursery:
            for thread in threads:
                nursery.start_soon(run, thread)

    async with AsyncExitStack() as stack:
        saver: Any = None
        if kept == "memory":
            saver = lib.InMemorySaver()
        elif kept == "sqlite":
            session = StorageSession(SqliteStorage(Path(folder) / "engine.db"))
            saver = StorageSaver(await stack.enter_async_context(session))
        return await measured(case, graphs(lib, saver)[case], at_once)


async def of_langgraph(case: str, kept: str, folder: str) -> float:
    import asyncio
    import types

    from langgraph import graph as builders
    from langgraph import types as control
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    lib = types.SimpleNamespace(
        StateGraph=builders.StateGraph,
        START=builders.START,
        Send=control.Send,
        Command=control.Command,
        interrupt=control.interrupt,
    )

    async def at_once(run: Any, threads: Any) -> None:
        await asyncio.gather(*map(run, threads))

    async with AsyncExitStack() as stack:
        saver: Any = None
        if kept == "memory":
            saver = InMemorySaver()
        elif kept == "sqlite":
            file = AsyncSqliteSaver.from_conn_string(f"{folder}/engine.db")
            saver = await stack.enter_async_context(file)
        return await measured(case, graphs(lib, saver)[case], at_once)


def one(engine: str, case: str, kept: str) -> float:
    """Run one case in this process."""
    with tempfile.TemporaryDirectory() as folder:
        if engine == "greenroom":
            import trio

            return trio.run(of_greenroom, case, kept, folder)
        import asyncio

        return asyncio.run(of_langgraph(case, kept, folder))


def in_process_of_its_own(python: str, engine: str, case: str, kept: str) -> float:
    command = [python, __file__, "--one", engine, case, kept]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{engine}, {case}, {kept}: {done.stderr.strip().splitlines()[-1]}")
    return float(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer", metavar="PYTHON", help="an interpreter that has langgraph")
    parser.add_argument("--rounds", type=int, default=3, help="per case and engine (default 3)")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name has this text")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(*args.one)))
        return

    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    engines = {"greenroom": sys.executable} | ({"langgraph": args.peer} if args.peer else {})
    cases = [
        (case, kept)
        for case in CASES
        for kept in KEPT
        if args.only in f"{case}, {kept}"
        and not (case == "interrupt and resume" and kept == "nothing")
    ]
    table = Table("case", "kept in", title="runs a second, medians", highlight=False)
    for column in (*engines, "ratio"):
        table.add_column(column, justify="right")
    for case, kept in track(cases, "measuring", transient=True):
        found: dict[str, list[float]] = {engine: [] for engine in engines}
        for _ in range(args.rounds):
            for engine, python in engines.items():
                found[engine].append(in_process_of_its_own(python, engine, case, kept))
        medians = [statistics.median(found[engine]) for engine in engines]
        ratio = f"{medians[0] / medians[1]:.1f}" if args.peer else ""
        table.add_row(case, kept, *(f"{median:,.0f}" for median in medians), ratio)
    Console().print(table)


if __name__ == "__main__":
    main()
