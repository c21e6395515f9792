"""How a thread's storage grows: a chat of many turns, beside langgraph's SQLite saver.

    python benchmarks/log_growth.py                                # this log alone
    python benchmarks/log_growth.py --peer /path/to/venv/bin/python --plot growth.svg

Every turn is a message of 1 KB from the human and one back. The first table says what the whole
thread comes to; the second what a turn costs early and late: bytes, and seconds inside storage
(encoding records, and committing them), without the reducers and the answer. Greenroom serves the
thread with its runs at synchronous=FULL; langgraph runs its graph alone, as its saver comes. The
peer's environment needs `langgraph` and `langgraph-checkpoint-sqlite`; a plot needs the extra
`bench`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WINDOW = 10  # turns that a figure about one turn is the median of


def words(random: random.Random) -> str:
    return "".join(random.choice("abcdefghijklmnopqrstuvwxyz     ") for _ in range(1024))


def answering(chance: random.Random) -> Callable[[Any], Any]:
    async def answer(state: Any) -> Any:
        return {"messages": [{"role": "assistant", "content": words(chance)}]}

    return answer


def settled(path: Path) -> int:
    """The bytes of a database, its write-ahead log folded in."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.stat().st_size


def best(*works: Callable[[], Any]) -> list[float]:
    """Seconds that each takes when nothing disturbs it, measured in turns."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(25):
        for work, took in zip(works, times, strict=True):
            began = time.perf_counter()
            work()
            took.append(time.perf_counter() - began)
    return list(map(min, times))


class Spent:
    """Seconds inside storage and bytes of the database, turn by turn."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds = 0.0
        self.times: list[float] = []
        self.sizes: list[int] = []
        self._last = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - began

        return call

    def timed_async(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return await function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - began

        return call

    def turn(self) -> None:
        self.times.append(self.seconds - self._last)
        self._last = self.seconds
        wal = self.path.with_name(self.path.name + "-wal")
        self.sizes.append(self.path.stat().st_size + (wal.stat().st_size if wal.exists() else 0))

    def report(self, messages: list[Any], read: float, decode: float) -> dict[str, Any]:
        return {
            "messages": len(json.dumps(messages, separators=(",", ":"))),
            "file": settled(self.path),
            "read": read,
            "decode": decode,
            "times": self.times,
            "sizes": self.sizes,
        }


async def of_greenroom(turns: int, folder: Path) -> dict[str, Any]:
    import msgspec

    from greenroom.actors import Greenroom
    from greenroom.graph import START, MessagesState, StateGraph
    from greenroom.storage import SqliteStorage, ThreadLog, read_saved

    chance = random.Random(1)
    spent = Spent(folder / "greenroom.db")
    storage = SqliteStorage(spent.path)
    builder = StateGraph(MessagesState).add_node("answer", answering(chance))
    graph = builder.add_edge(START, "answer").compile()
    SqliteStorage.commit = spent.timed(SqliteStorage.commit)  # type: ignore[method-assign]
    ThreadLog.append = spent.timed(ThreadLog.append)  # type: ignore[method-assign]
    async with Greenroom({"chat": graph}, storage=storage) as room:
        thread = (await room.client.threads.create())["thread_id"]
        for _ in range(turns):
            text = {"messages": [{"role": "user", "content": words(chance)}]}
            state = await room.client.runs.wait(thread, "chat", input=text)
            spent.turn()
        assert len(state["messages"]) == 2 * turns
        raw = msgspec.json.encode(state)
        read, decode = best(lambda: read_saved(storage, thread), lambda: msgspec.json.decode(raw))
    return spent.report(state["messages"], read, decode)


async def of_langgraph(turns: int, folder: Path) -> dict[str, Any]:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import START, MessagesState, StateGraph

    chance = random.Random(1)
    spent = Spent(folder / "langgraph.db")
    thread = {"configurable": {"thread_id": "1"}}
    async with AsyncSqliteSaver.from_conn_string(str(spent.path)) as saver:
        builder = StateGraph(MessagesState).add_node("answer", answering(chance))
        graph = builder.add_edge(START, "answer").compile(checkpointer=saver)
        saver.aput = spent.timed_async(saver.aput)
        saver.aput_writes = spent.timed_async(saver.aput_writes)
        for _ in range(turns):
            text = {"messages": [{"role": "user", "content": words(chance)}]}
            state = await graph.ainvoke(text, thread)
            spent.turn()
        began = time.perf_counter()
        found = await saver.aget_tuple(thread)
        read = time.perf_counter() - began
        kind, raw = saver.serde.dumps_typed(found.checkpoint["channel_values"])
        (decode,) = best(lambda: saver.serde.loads_typed((kind, raw)))
    messages = [message.model_dump() for message in state["messages"]]
    return spent.report(messages, read, decode)


def one(engine: str, turns: int) -> dict[str, Any]:
    """Measure one engine in this process."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        if engine == "greenroom":
            import trio

            return trio.run(of_greenroom, turns, Path(folder))
        import asyncio

        return asyncio.run(of_langgraph(turns, Path(folder)))


def at(series: list[float], turn: int) -> float:
    """A figure about one turn: the median of those around it."""
    end = min(max(turn + WINDOW // 2, WINDOW), len(series))
    return statistics.median(series[max(end - WINDOW, 0) : end])


def plot(found: dict[str, dict[str, Any]], path: str) -> None:
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    for engine, result in found.items():
        turns = range(1, len(result["sizes"]) + 1)
        left.plot(turns, [size / 1e6 for size in result["sizes"]], label=engine)
        right.plot(turns, [seconds * 1e3 for seconds in result["times"]], label=engine, lw=0.6)
    left.set(xlabel="turn", ylabel="megabytes in the database", yscale="log")
    right.set(xlabel="turn", ylabel="milliseconds in storage", yscale="log")
    left.legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer", metavar="PYTHON", help="an interpreter that has langgraph")
    parser.add_argument("--turns", type=int, default=1000, help="default 1000")
    parser.add_argument("--plot", metavar="FILE", help="draw it too: .svg or .png")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.turns < 2 * WINDOW:
        parser.error(f"--turns must be at least {2 * WINDOW}")
    if args.one:
        print(json.dumps(one(args.one, args.turns)))
        return

    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    engines = {"greenroom": sys.executable} | ({"langgraph": args.peer} if args.peer else {})
    found: dict[str, dict[str, Any]] = {}
    for engine, python in track(engines.items(), "measuring", transient=True):
        command = [python, __file__, "--one", engine, "--turns", str(args.turns)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{engine}: {done.stderr.strip().splitlines()[-1]}")
        found[engine] = json.loads(done.stdout.splitlines()[-1])

    whole = Table(title=f"a thread of {args.turns:,} turns", highlight=False)
    each = Table(title="a turn", highlight=False)
    for column in ("", "messages", "file", "file / messages", "reading it", "/ decoding it"):
        whole.add_column(column, justify="right")
    for column in ("", "turn", "bytes", "ms in storage"):
        each.add_column(column, justify="right")
    for engine, result in found.items():
        whole.add_row(
            engine,
            f"{result['messages']:,}",
            f"{result['file']:,}",
            f"{result['file'] / result['messages']:.2f}",
            f"{result['read'] * 1e3:.1f} ms",
            f"{result['read'] / result['decode']:.2f}",
        )
        sizes = result["sizes"]
        for turn in (10, args.turns // 2, args.turns):
            since = max(turn - 10 * WINDOW, 0)  # files grow by pages and in bursts
            grew = (sizes[turn - 1] - sizes[since]) / max(turn - 1 - since, 1)
            spent = at(result["times"], turn) * 1e3
            each.add_row(engine, f"{turn:,}", f"{grew:,.0f}", f"{spent:.2f}")
    console = Console()
    console.print(whole, each)
    if args.plot:
        plot(found, args.plot)
        console.print(f"drawn in {args.plot}")


if __name__ == "__main__":
    main()
