"""How threads are searched by their metadata, in SQL that both databases understand.

No one way is good: a page of what is common is read in the order asked for, and a page of what is
rare by the facts of the metadata (see `facts`). So the database is asked first how many threads
each fact is true of, as far as a bound. What fits is decided by the metadata itself in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from .facts import MANY, ORDERS, facts_wanted
from .queries import ThreadQuery
from .records import Thread
from .rows import COLUMNS, Filter, ordered

__all__ = ["ThreadSearch"]

FEW: Final = 100  # threads that are looked at and sorted without another thought
BOUND: Final = 200  # as far as threads are counted
LEADS: Final = 8  # facts of a query that are looked up; the others are only compared
WALK: Final = 8  # threads that are looked at in order for each one that is asked for,
LONG_WALK: Final = 60  # and where nothing leads in that order

Rows = list[tuple[Any, ...]]

_COLUMNS: Final = ", ".join(COLUMNS[Thread])
_ALL: Final = "{threads} AS t"
# Where a limit is not plain to see PostgreSQL reads in order also what it believes to be rare.
_HIDDEN: Final = "(SELECT {})"
_OF_FACT: Final = "SELECT at FROM {facts} WHERE fact = ? AND sort = 0 ORDER BY at DESC"
_OF_STATUS: Final = "SELECT created_at AS at FROM {{threads}} WHERE {} ORDER BY at DESC"
# OFFSET keeps PostgreSQL from looking at all threads of the other facts too.
_ALSO: Final = (
    "EXISTS (SELECT 1 FROM {facts} AS g WHERE g.fact = ? AND g.sort = f.sort AND g.at = f.at"
    " AND g.thread = f.thread LIMIT 1 OFFSET 0)"
)


@attrs.frozen
class ThreadSearch:
    """One search. `where`: all that the query asks for. `fetch`: carries out SQL with `?` for its
    values. `schema`: what stands before the names of tables. `no_limit`: what LIMIT takes for none.
    `of_status`: the condition that threads have a status, in an order. `has_lateral`: whether the
    database knows LATERAL.
    """

    query: ThreadQuery
    where: Filter
    fetch: Callable[[str, Sequence[Any]], Rows]
    schema: str = ""
    no_limit: int | None = None
    of_status: Callable[[str, str], str] = lambda status, order: "status = ?"
    has_lateral: bool = False

    def page(self) -> Rows:
        """The columns of the threads that fit, in order. StorageError for an unknown order."""
        query, order = self.query, self._order()
        if not query.metadata or query.ids is not None:
            return self._page(_ALL, *self.where, order)
        facts, count, is_complete = self._rarest()
        if not count:
            return []
        if count < FEW or query.limit is None:
            return self._page(*self._of_rarest(facts), order)
        leads = bool(facts) and query.sort_by in ORDERS and is_complete
        if leads and query.sort_by == "created_at" and query.status is None:
            return self._led(facts)
        wanted = query.offset + query.limit
        found = self._first(WALK * wanted)
        if len(found) == query.limit:
            return found
        if leads:
            return self._led(facts)
        if count == BOUND:
            found = self._first(LONG_WALK * wanted)
            if len(found) == query.limit:
                return found
        return self._page(*self._of_rarest(facts), order)

    def count(self) -> int:
        """How many threads fit."""
        tables, clause, values = _ALL, *self.where
        if self.query.metadata and self.query.ids is None:
            facts, count, _ = self._rarest()
            if not count:
                return 0
            tables, clause, values = self._of_rarest(facts)
        number: int = self._fetch(f"SELECT count(*) FROM {tables} {clause}", values)[0][0]
        return number

    def _rarest(self) -> tuple[list[int], int, bool]:
        """The facts of the query, the rarest first, or none if its status is rarer; how many
        threads that is true of, up to BOUND; whether all threads have their facts."""
        facts = facts_wanted(self.query.metadata or {})[:LEADS]
        asked = [_OF_FACT] * (1 + len(facts))
        values: list[Any] = [MANY, *facts]
        if self.query.status is not None:
            asked.append(_OF_STATUS.format(self._of_status("created_at")))
            values.append(self.query.status)
        bound = f"LIMIT {_HIDDEN.format(BOUND)}"
        sql = " UNION ALL ".join(
            f"SELECT {at}, count(*), min(at) FROM ({one} {bound}) AS s{at}"
            for at, one in enumerate(asked)
        )
        # Where there are as many as are counted, those that lie further apart are rarer.
        (_, many, _), *found = sorted(self._fetch(sql, values))
        counts = {at: (count, first or "") for at, count, first in found}
        rarest = min(counts, key=counts.__getitem__)
        count = min(counts[rarest][0] + many, BOUND)
        if rarest > len(facts):
            return [], counts[rarest][0], not many
        ranked = sorted(range(1, len(facts) + 1), key=counts.__getitem__)
        return [facts[at - 1] for at in ranked], count, not many

    def _of_rarest(self, facts: list[int]) -> tuple[str, str, list[Any]]:
        """Tables, a condition and values that look at all threads of these facts, or where there
        are none, of the status."""
        if facts:
            also = " AND ".join([f"fact <> {MANY}", *([_ALSO] * (len(facts) - 1))])
            source = (
                f"SELECT thread FROM {{facts}} AS f WHERE sort = 0 AND fact IN (?, {MANY})"
                f" AND (fact = {MANY} OR {also})"
            )
        else:
            source = f"SELECT id AS thread FROM {{threads}} WHERE {self._of_status('thread_id')}"
        known: list[Any] = [*facts] or [self.query.status]
        threads, clause = self._joined("s.thread")
        return f"({source}) AS s {threads}", clause, [*known, *self.where[1]]

    def _led(self, facts: list[int]) -> Rows:
        """In the order of the first fact, as far as the page."""
        threads, clause = self._joined("f.thread")
        conditions = [clause, "f.fact = ?", "f.sort = ?", *([_ALSO] * (len(facts) - 1))]
        return self._page(
            f"{{facts}} AS f {threads}",
            " AND ".join(conditions),
            [*self.where[1], facts[0], ORDERS.index(self.query.sort_by), *facts[1:]],
            self._order("f.at"),
            hidden=True,
        )

    def _joined(self, column: str) -> tuple[str, str]:
        """A join with the threads that fit, one by one as another table has them in `column`, and a
        condition for the rest."""
        clause, _ = self.where
        if self.has_lateral:
            # OFFSET keeps the planner, which knows nothing of metadata, from guessing.
            one = f"SELECT * FROM {{threads}} {clause} AND id = {column} OFFSET 0"
            return f"CROSS JOIN LATERAL ({one}) AS t", "WHERE true"
        return "CROSS JOIN {threads} AS t", f"{clause} AND t.id = {column}"  # SQLite keeps to that

    def _first(self, number: int) -> Rows:
        """Out of the first so many in order, of the status asked for."""
        clause, values = self.where
        status = "" if self.query.status is None else f"WHERE {self._of_status()}"
        first = f"SELECT {_COLUMNS} FROM {{threads}} {status} {self._order()} LIMIT ?"
        known: list[Any] = [self.query.status] if status else []
        return self._page(f"({first}) AS t", clause, [*known, number, *values], self._order())

    def _of_status(self, order: str | None = None) -> str:
        return self.of_status(str(self.query.status), order or self.query.sort_by)

    def _page(
        self, tables: str, clause: str, values: Sequence[Any], order: str, *, hidden: bool = False
    ) -> Rows:
        query = self.query
        limit = self.no_limit if query.limit is None else query.limit
        limited = f"LIMIT {_HIDDEN.format('?') if hidden else '?'} OFFSET ?"
        sql = f"SELECT {_COLUMNS} FROM {tables} {clause} {order} {limited}"
        return self._fetch(sql, [*values, limit, query.offset])

    def _order(self, *before: str) -> str:
        return f"ORDER BY {ordered(Thread, self.query, *before)}"

    def _fetch(self, sql: str, values: Sequence[Any]) -> Rows:
        threads, facts = f"{self.schema}threads", f"{self.schema}thread_facts"
        return self.fetch(sql.format(threads=threads, facts=facts), values)
