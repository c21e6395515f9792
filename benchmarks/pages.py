"""What a page of a search of threads costs as there come to be more of them.

    python benchmarks/pages.py
    python benchmarks/pages.py --threads 100000 --only metadata
    python benchmarks/pages.py --postgres postgresql://postgres@localhost

Two stores, of 1,000 threads and of many, are searched in turns for the first ten threads of each
kind, in each order, up and down. A cell has the milliseconds that the larger store takes, and how
many times as long that is as the smaller one: medians, of the way that fares worse. Ten and more
threads are found in both stores, where any are, so that the pages are the same. `count` counts what
fits. The last lines are commits a second in the larger store, of one thread each. PostgreSQL uses
new databases, which are dropped again.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console
from rich.progress import track
from rich.table import Table
from storage import new_database

from greenroom.storage import InsertThread, PutThread, SqliteStorage, Storage, Thread, ThreadQuery

SMALL = 1000
FEW = 50  # threads of each store that something rare is true of
SORTS = ("created_at", "updated_at", "state_updated_at", "status", "thread_id")
FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "status, common": {"status": "idle"},
    "status, rare": {"status": "error"},
    "metadata, half": {"metadata": {"channel": "web"}},
    "metadata, a tenth": {"metadata": {"tenth": 3}},
    "metadata, a hundredth": {"metadata": {"hundredth": 33}},
    "metadata, the oldest half": {"metadata": {"era": "old"}},
    "metadata, rare": {"metadata": {"ticket": "few"}},
    "metadata, absent": {"metadata": {"user_id": "nobody"}},
    "metadata, graph and assistant": {"metadata": {"graph_id": "agent", "assistant_id": "3"}},
    "metadata, half and half": {"metadata": {"channel": "web", "plan": "free"}},
    "metadata, half and rare": {"metadata": {"channel": "web", "ticket": "few"}},
    "metadata, two never together": {"metadata": {"tenth": 3, "same": 4}},
    "metadata, nested": {"metadata": {"about": {"customer": {"tier": "few"}}}},
    "metadata, in a list": {"metadata": {"tags": ["few"]}},
    "metadata, half, status, rare": {"metadata": {"channel": "web"}, "status": "error"},
}


def threads(number: int) -> Iterator[Thread]:
    chance = random.Random(number)
    for at in range(number):
        ticket = "few" if at % (number // FEW) == 0 else f"{chance.getrandbits(40):x}"
        changed = moment(at + chance.randrange(1000))
        yield Thread(
            thread_id=f"{chance.getrandbits(128):032x}",
            created_at=moment(at),
            updated_at=changed,
            state_updated_at=changed,
            status="error" if at % (number // FEW // 2) == 1 else "idle",
            metadata={
                "graph_id": chance.choice(("agent", "agent", "triage", "report")),
                "assistant_id": str(chance.randrange(20)),
                "user_id": f"user-{chance.randrange(1000)}",
                "channel": chance.choice(("web", "mail")),
                "plan": chance.choice(("free", "paid")),
                "tenth": (tenth := chance.randrange(10)),
                "same": tenth,
                "hundredth": at % 100,
                "era": "old" if at < number // 2 else "new",
                "ticket": ticket,
                "about": {"title": f"Question {at}", "customer": {"tier": ticket}},
                "tags": [ticket, chance.choice(("a", "b", "c"))],
            },
        )


def moment(number: int) -> str:
    time = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
    return time.isoformat(timespec="microseconds")


@attrs.frozen
class Stock:
    """A store, and some of its threads."""

    storage: Storage
    epoch: int
    some: list[Thread]


@contextmanager
def stocked(storage: Storage, number: int) -> Iterator[Stock]:
    storage.open()
    epoch = storage.acquire_lease("pages").epoch
    some: list[Thread] = []
    source = threads(number)
    steps = range(0, number, SMALL)
    for _ in track(steps, f"filling in {number:,} threads", transient=True):
        batch = list(islice(source, SMALL))
        some.append(batch[-1])
        assert storage.commit([list(map(InsertThread, batch))], epoch) == [None]
    yield Stock(storage, epoch, some)
    storage.close()


def milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def medians(works: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """In turns; what takes long is not done often."""
    times = [[milliseconds(work)] for work in works]
    for _ in range(rounds):
        for work, taken in zip(works, times, strict=True):
            if sum(taken) < 500:
                taken.append(milliseconds(work))
    return [statistics.median(taken[1:] or taken) for taken in times]


def cell(found: list[list[float]]) -> str:
    small, large = max(found, key=lambda pair: pair[1] / pair[0])
    ratio = large / small
    return f"[{'red' if ratio > 2 else 'green'}]{large:.2f} x{ratio:.1f}"


def pages(stocks: Sequence[Stock], only: str, rounds: int) -> Table:
    table = Table("found", *SORTS, "count", title="a page: ms, times the smaller store's")
    chosen = {name: query for name, query in FILTERS.items() if only in name}
    for name, query in track(chosen.items(), "searching", transient=True):
        cells = []
        for sort in SORTS:
            found = []
            for descending in (True, False):
                asked = ThreadQuery(**query, sort_by=sort, descending=descending)
                searches = [partial(stock.storage.search_threads, asked) for stock in stocks]
                pages = [search() for search in searches]
                assert len(pages[0]) == len(pages[1]), (name, sort)
                found.append(medians(searches, rounds))
            cells.append(cell(found))
        asked = ThreadQuery(**query)
        counts = [partial(stock.storage.count_threads, asked) for stock in stocks]
        table.add_row(name, *cells, cell([medians(counts, rounds)]))
    return table


def writes(stock: Stock, change: Callable[[Thread, int], dict[str, Any]]) -> float:
    """Commits a second of one changed thread each."""
    changed = [
        attrs.evolve(thread, updated_at=moment(10**6 + at), **change(thread, at))
        for at, thread in enumerate(stock.some * (500 // len(stock.some) + 1))
    ]

    def work() -> None:
        for thread in changed:
            assert stock.storage.commit([[PutThread(thread)]], stock.epoch) == [None]

    return 1000 * len(changed) / milliseconds(work)


def measure(kind: str, stocks: Sequence[Stock], only: str, rounds: int) -> None:
    console = Console(highlight=False)
    console.print(kind, pages(stocks, only, rounds))
    same = writes(stocks[-1], lambda thread, at: {})
    new = writes(stocks[-1], lambda thread, at: {"metadata": {**thread.metadata, "ticket": at}})
    console.print(f"commits a second: {same:,.0f}, with new metadata {new:,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=100_000, help="default 100,000")
    parser.add_argument("--only", default="", help="the kinds of search with this in their names")
    parser.add_argument("--rounds", type=int, default=15, help="default 15")
    parser.add_argument("--postgres", metavar="DSN", help="a server, instead of SQLite")
    args = parser.parse_args()
    numbers = (SMALL, args.threads)
    with ExitStack() as stack:
        if args.postgres is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            storages: list[Storage] = [SqliteStorage(folder / f"{n}.db") for n in numbers]
        else:
            from greenroom.storage.postgres import PostgresStorage

            names = [f"greenroom_pages_{number}" for number in numbers]
            storages = [
                PostgresStorage(stack.enter_context(new_database(args.postgres, name)))
                for name in names
            ]
        stocks = [
            stack.enter_context(stocked(storage, number))
            for storage, number in zip(storages, numbers, strict=True)
        ]
        measure("SQLite" if args.postgres is None else "PostgreSQL", stocks, args.only, args.rounds)


if __name__ == "__main__":
    main()
