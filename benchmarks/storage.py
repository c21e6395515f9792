"""What a storage backend does a second, beside the bare database doing the same work.

    python benchmarks/storage.py
    python benchmarks/storage.py --actors 64 --runs 20 --rounds 5
    python benchmarks/storage.py --postgres postgresql://postgres@localhost

Every actor has a thread and carries runs out on it, with the commits of a short run in between: the
run is accepted, its records are handed over, its end is committed. `bare` writes the same rows,
transaction by transaction, to a fresh file with the same tables, indexes and settings, from one
thread and with nothing in between: each row by a statement of its own, as programs do that use
SQLite directly; and `in bulk`, by the very statements that this took, which write many rows each.
Rounds alternate; figures are medians. SQLite is at synchronous=FULL. Memory has no bare form. On
PostgreSQL both send a transaction in one go, on a new database for each round, which is dropped
again.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import trio
from rich.console import Console
from rich.progress import track
from rich.table import Table

from greenroom.storage import (
    AppendLog,
    InsertThread,
    LogRow,
    MemoryStorage,
    Operation,
    PutRun,
    PutThread,
    Run,
    SqliteStorage,
    Storage,
    StorageSession,
    Thread,
    sqlite,
)

NOW = "2026-01-01T00:00:00.000000+00:00"
RECORD = b'{"about":{"step":1,"source":"loop","next":[["answer",null,null]]},"values":{"x":"%s"}}'
RECORD %= b"x" * 300

Statement = tuple[str, str, Any]  # method of a connection, SQL, values
Groups = Sequence[Sequence[Operation]]  # of a run
Made = tuple[InsertThread, list[Groups]]  # of an actor


class Recorder(sqlite3.Connection):
    """A connection that remembers what it executed."""

    statements: list[Statement]

    def execute(self, sql: str, values: Any = (), /) -> sqlite3.Cursor:
        self.statements.append(("execute", sql, values))
        return super().execute(sql, values)

    def executemany(self, sql: str, values: Any, /) -> sqlite3.Cursor:
        values = list(values)
        self.statements.append(("executemany", sql, values))
        return super().executemany(sql, values)


@attrs.frozen
class Load:
    """What the actors do. `groups`: commits in all."""

    actors: int
    runs: int

    @property
    def groups(self) -> int:
        return self.actors * (1 + 3 * self.runs)

    def made(self) -> list[Made]:
        """What each actor commits: its thread, and the groups of its runs."""
        made = []
        for at in range(self.actors):
            ident = f"thread-{at:04}"
            thread = Thread(thread_id=ident, created_at=NOW, updated_at=NOW, state_updated_at=NOW)
            runs = [self._run(thread, number) for number in range(self.runs)]
            made.append((InsertThread(thread), runs))
        return made

    async def work(self, session: StorageSession, made: Sequence[Made]) -> None:
        async with trio.open_nursery() as nursery:
            for insert, runs in made:
                nursery.start_soon(self._actor, session, insert, runs)

    async def _actor(
        self, session: StorageSession, insert: InsertThread, runs: list[Groups]
    ) -> None:
        await session.commit([insert])
        for accepted, under_way, ended in runs:
            await session.commit(accepted)
            commit = session.submit(under_way)
            await session.commit(ended)
            assert commit.done

    def _run(self, thread: Thread, number: int) -> Groups:
        run = Run(
            run_id=f"{thread.thread_id}-{number:04}",
            thread_id=thread.thread_id,
            assistant_id="a",
            seq=number + 1,
            status="pending",
            created_at=NOW,
            updated_at=NOW,
            multitask_strategy="enqueue",
            kwargs={"input": {"messages": [{"role": "user", "content": "x" * 300}]}},
        )
        rows = [
            LogRow(
                thread_id=thread.thread_id,
                seq=4 * number + at + 1,
                kind="checkpoint",
                ns="",
                checkpoint_id=f"{thread.thread_id}-{number:04}-{at}",
                base_seq=1,
                data=RECORD,
            )
            for at in range(4)
        ]
        busy = attrs.evolve(thread, status="busy")
        return (
            [PutRun(run), PutThread(busy)],
            [PutRun(attrs.evolve(run, status="running")), AppendLog(tuple(rows[:3]), 4 * number)],
            [
                AppendLog(tuple(rows[3:]), 4 * number + 3),
                PutRun(attrs.evolve(run, status="success")),
                PutThread(thread),
            ],
        )


def seconds(load: Load, storage: Storage) -> float:
    made = load.made()  # before the clock is started, as the bare forms have their rows ready

    async def measured() -> float:
        async with StorageSession(storage) as session:
            began = time.perf_counter()
            await load.work(session, made)
            return time.perf_counter() - began

    return trio.run(measured)


def recorded(load: Load, folder: Path) -> list[Statement]:
    """The statements that a load took on SQLite."""
    statements: list[Statement] = []
    connect: Callable[..., sqlite3.Connection] = sqlite.connect

    def recording(path: Path, *, writes: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, factory=Recorder
        )
        connection.statements = statements
        return connection

    sqlite.connect = recording  # type: ignore[attr-defined]
    try:
        seconds(load, SqliteStorage(folder / "recorded.db"))
    finally:
        sqlite.connect = connect  # type: ignore[attr-defined]
    start = next(
        at for at, (_, sql, _) in enumerate(statements) if sql == "SELECT epoch FROM lease"
    )
    return statements[start + 2 :]  # the lease was taken


def row_by_row(statements: Sequence[Statement]) -> Iterator[Statement]:
    """The same, where each writes a row at most."""
    rows = re.compile(r"VALUES (\([?, ]+\))(, \1)*")
    for method, sql, values in statements:
        if (found := rows.search(sql)) is None:
            yield method, sql, values
            continue
        columns = found[1].count("?")
        single = sql.replace(found[0], f"VALUES {found[1]}")
        for at in range(0, len(values), columns):
            yield method, single, values[at : at + columns]


def bare(statements: Sequence[Statement], path: Path) -> float:
    """Seconds that plain `sqlite3` takes for them, on a fresh file."""

    async def make() -> None:
        async with StorageSession(SqliteStorage(path)):
            pass

    trio.run(make)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    began = time.perf_counter()
    for method, sql, values in statements:
        if sql.startswith("SELECT"):
            connection.execute(sql, values).fetchall()
        else:
            getattr(connection, method)(sql, values)
    took = time.perf_counter() - began
    connection.close()
    return took


@contextmanager
def new_database(server: str, name: str = "greenroom_benchmark") -> Iterator[str]:
    """The address of a database that is dropped in the end."""
    import psycopg
    from psycopg.conninfo import make_conninfo

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield make_conninfo(server, dbname=name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def recorded_on_postgres(load: Load, server: str) -> list[list[tuple[str, Any]]]:
    """The statements that a load took on PostgreSQL, transaction by transaction."""
    import psycopg

    from greenroom.storage import postgres_connection
    from greenroom.storage.postgres import PostgresStorage

    transactions: list[list[tuple[str, Any]]] = [[]]

    class Recording(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            transactions[-1].append((query, params))
            if query == "COMMIT":
                transactions.append([])
            return super().execute(query, params, **options)

    class Recorded(postgres_connection.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.cursor_factory = Recording

    plain = postgres_connection.Connection
    postgres_connection.Connection = Recorded  # type: ignore[misc]
    try:
        with new_database(server) as dsn:
            seconds(load, PostgresStorage(dsn))
    finally:
        postgres_connection.Connection = plain  # type: ignore[misc]
    return transactions[1:-1]  # the lease was taken before and given back after


def bare_postgres(transactions: Sequence[Sequence[tuple[str, Any]]], server: str) -> float:
    """Seconds that plain psycopg takes for them, on a new database."""
    import psycopg

    from greenroom.storage.postgres import PostgresStorage

    with new_database(server) as dsn:
        storage = PostgresStorage(dsn)
        storage.open()
        storage.acquire_lease("bare")
        with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as connection:
            began = time.perf_counter()
            for statements in transactions:
                with connection.pipeline():
                    for sql, values in statements:
                        connection.execute(sql, values)
            took = time.perf_counter() - began
        storage.close()
    return took


@attrs.frozen
class Measured:
    """Seconds that one round took, and how many transactions the bare form of it was."""

    own: float
    bare: float = 0.0
    in_bulk: float = 0.0
    transactions: int = 0


def one_round(load: Load, postgres: str | None) -> Iterator[tuple[str, Measured]]:
    yield "memory", Measured(seconds(load, MemoryStorage()))
    folder = Path(tempfile.mkdtemp())
    try:
        statements = recorded(load, folder)
        own = seconds(load, SqliteStorage(folder / "greenroom.db"))
        commits = sum(sql == "COMMIT" for _, sql, _ in statements)
        singly = bare(list(row_by_row(statements)), folder / "bare.db")
        in_bulk = bare(statements, folder / "bulk.db")
        yield "sqlite", Measured(own, singly, in_bulk, commits)
    finally:
        shutil.rmtree(folder)
    if postgres is not None:
        from greenroom.storage.postgres import PostgresStorage

        transactions = recorded_on_postgres(load, postgres)
        with new_database(postgres) as dsn:
            own = seconds(load, PostgresStorage(dsn))
        plain = bare_postgres(transactions, postgres)
        yield "postgres", Measured(own, plain, transactions=len(transactions))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--actors", type=int, default=64, help="at once (default 64)")
    parser.add_argument("--runs", type=int, default=20, help="by each actor (default 20)")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--postgres", metavar="DSN", help="a server to measure PostgreSQL on")
    args = parser.parse_args()

    table = Table(title="commits a second, medians", highlight=False)
    columns = ("actors", "storage", "groups", "a transaction", "greenroom")
    for column in (*columns, "bare", "of bare", "in bulk", "of that"):
        table.add_column(column, justify="right")
    loads = {1: Load(1, 10 * args.runs), args.actors: Load(args.actors, args.runs)}
    rounds = [load for load in loads.values() for _ in range(args.rounds)]
    found: dict[tuple[int, str], list[Measured]] = {}
    for load in track(rounds, "measuring", transient=True):
        for name, measured in one_round(load, args.postgres):
            found.setdefault((load.actors, name), []).append(measured)
    for (actors, name), all_measured in found.items():
        groups = loads[actors].groups
        own = groups / statistics.median(one.own for one in all_measured)
        cells = [str(actors), name, f"{groups:,}", "", f"{own:,.0f}"]
        for form in ("bare", "in_bulk"):
            seconds_taken = [getattr(one, form) for one in all_measured]
            if all(seconds_taken):
                plain = groups / statistics.median(seconds_taken)
                cells += [f"{plain:,.0f}", f"{own / plain:.0%}"]
                transactions = statistics.median(one.transactions for one in all_measured)
                cells[3] = f"{groups / transactions:.1f}"
        table.add_row(*cells)
    Console().print(table)


if __name__ == "__main__":
    main()
