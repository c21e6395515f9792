"""The SQLite schema, and how a file comes to have it.

Rows are kept in the order in which they came; narrow unique indexes find them. Threads and runs are
known to other tables by their integer `id`, but for `crons`, which are listed by their thread. No
listing touches state: it is in `log` alone.
The words and vectors that items are found by are apart from the items, by their `id`.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlite_utils import Database, Migrations

from greenroom.graph.words import all_words

from .contract import StorageError
from .facts import ORDERS, fact_at, facts_text
from .first_format import renew
from .sqlite_files import create_file

__all__ = ["check", "migrate"]


def tables(db: Database) -> None:
    for statement in (
        "CREATE TABLE lease (id INTEGER PRIMARY KEY CHECK (id = 1), owner TEXT, epoch INTEGER)",
        "INSERT INTO lease VALUES (1, '', 0)",
        """CREATE TABLE threads (
            id INTEGER PRIMARY KEY,
            thread_id TEXT NOT NULL UNIQUE,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL,
            state_updated_at TEXT NOT NULL,
            metadata TEXT NOT NULL,
            config TEXT NOT NULL,
            status TEXT NOT NULL,
            error TEXT,
            interrupts TEXT NOT NULL
        )""",
        "CREATE INDEX threads_created ON threads (created_at, thread_id)",
        "CREATE INDEX threads_updated ON threads (updated_at, thread_id)",
        "CREATE INDEX threads_state_updated ON threads (state_updated_at, thread_id)",
        "CREATE INDEX threads_status ON threads (status, thread_id)",
        "CREATE INDEX threads_status_created ON threads (status, created_at, thread_id)",
        """CREATE TABLE runs (
            id INTEGER PRIMARY KEY,
            thread INTEGER NOT NULL,
            run_id TEXT NOT NULL,
            assistant_id TEXT NOT NULL,
            seq INTEGER NOT NULL,
            status TEXT NOT NULL,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL,
            multitask_strategy TEXT NOT NULL,
            kwargs TEXT NOT NULL,
            metadata TEXT NOT NULL,
            bound TEXT,
            attempt INTEGER NOT NULL,
            stalled INTEGER NOT NULL,
            started_from TEXT,
            first_log_seq INTEGER,
            stop TEXT,
            error TEXT,
            UNIQUE (thread, run_id)
        )""",
        "CREATE INDEX runs_by_seq ON runs (thread, seq)",
        """CREATE INDEX runs_unfinished ON runs (thread, seq)
            WHERE status IN ('pending', 'running')""",
        """CREATE TABLE log (
            id INTEGER PRIMARY KEY,
            thread INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            kind TEXT NOT NULL,
            ns TEXT NOT NULL,
            checkpoint_id TEXT NOT NULL,
            base_seq INTEGER,
            data BLOB NOT NULL,
            UNIQUE (thread, seq)
        )""",
        "CREATE INDEX log_by_checkpoint ON log (thread, checkpoint_id)",
        """CREATE INDEX log_checkpoints ON log (thread, ns, seq)
            WHERE kind = 'checkpoint'""",
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY,
            thread INTEGER NOT NULL,
            event_id INTEGER NOT NULL,
            run INTEGER NOT NULL,
            name TEXT NOT NULL,
            data BLOB NOT NULL,
            UNIQUE (thread, event_id)
        )""",
        "CREATE INDEX events_by_run ON events (run, event_id)",
        """CREATE TABLE assistants (
            id INTEGER PRIMARY KEY,
            assistant_id TEXT NOT NULL UNIQUE,
            graph_id TEXT NOT NULL,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL,
            name TEXT NOT NULL,
            description TEXT,
            version INTEGER NOT NULL,
            config TEXT NOT NULL,
            context TEXT NOT NULL,
            metadata TEXT NOT NULL
        )""",
    ):
        db.execute(statement)


def parts(db: Database) -> None:
    """Long lists have records of their own in the log; a run's input is stored once."""
    for statement in (
        "ALTER TABLE runs ADD COLUMN input TEXT",
        "UPDATE runs SET input = kwargs -> '$.input', kwargs = json_remove(kwargs, '$.input')",
        "ALTER TABLE log ADD COLUMN run INTEGER",
        "ALTER TABLE log ADD COLUMN input TEXT",
        "CREATE INDEX log_inputs ON log (run) WHERE run IS NOT NULL",
        "ALTER TABLE log ADD COLUMN lists TEXT",
        """CREATE INDEX log_lists ON log (thread, base_seq, kind, seq)
            WHERE kind IN ('list', 'pack', 'splice')""",
    ):
        db.execute(statement)


def items(db: Database) -> None:
    """The user's store. `namespace`: as of `namespaces.to_text`. `places`: where to find `text`."""
    for statement in (
        """CREATE TABLE items (
            id INTEGER PRIMARY KEY,
            namespace TEXT NOT NULL,
            key TEXT NOT NULL,
            value TEXT NOT NULL,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL,
            ttl REAL,
            expires_at TEXT,
            UNIQUE (namespace, key)
        )""",
        "CREATE INDEX items_expiry ON items (expires_at) WHERE expires_at IS NOT NULL",
        """CREATE TABLE item_vectors (
            id INTEGER PRIMARY KEY,
            item INTEGER NOT NULL,
            vector BLOB NOT NULL
        )""",
        "CREATE INDEX item_vectors_by_item ON item_vectors (item)",
        "CREATE VIRTUAL TABLE item_texts USING fts5 (places, text)",
    ):
        db.execute(statement)


def bounds(db: Database) -> None:
    """Threads expire, and are found by what clients look for, in the orders that they ask for."""
    for statement in (
        "ALTER TABLE threads ADD COLUMN ttl TEXT",
        """CREATE INDEX threads_expiry ON threads (ttl ->> '$.expires_at', thread_id)
            WHERE ttl ->> '$.expires_at' IS NOT NULL""",
        "CREATE INDEX threads_status_updated ON threads (status, updated_at, thread_id)",
        """CREATE INDEX threads_status_state_updated
            ON threads (status, state_updated_at, thread_id)""",
        """CREATE INDEX threads_assistant_created
            ON threads (metadata ->> '$.assistant_id', created_at, thread_id)""",
        """CREATE INDEX threads_assistant_updated
            ON threads (metadata ->> '$.assistant_id', updated_at, thread_id)""",
        """CREATE INDEX threads_graph_created
            ON threads (metadata ->> '$.graph_id', created_at, thread_id)""",
        """CREATE INDEX threads_graph_updated
            ON threads (metadata ->> '$.graph_id', updated_at, thread_id)""",
    ):
        db.execute(statement)


def chains(db: Database) -> None:
    """Checkpoints say what changed since the one before."""
    renew(db.conn)


def crons(db: Database) -> None:
    for statement in (
        """CREATE TABLE crons (
            id INTEGER PRIMARY KEY,
            cron_id TEXT NOT NULL UNIQUE,
            assistant_id TEXT NOT NULL,
            schedule TEXT NOT NULL,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL,
            payload TEXT NOT NULL,
            thread_id TEXT,
            timezone TEXT,
            end_time TEXT,
            next_run_date TEXT,
            metadata TEXT NOT NULL,
            enabled INTEGER NOT NULL,
            on_run_completed TEXT
        )""",
        "CREATE INDEX crons_created ON crons (created_at, cron_id)",
        "CREATE INDEX crons_assistant ON crons (assistant_id, created_at, cron_id)",
        "CREATE INDEX crons_thread ON crons (thread_id, created_at, cron_id)",
        """CREATE INDEX crons_due ON crons (next_run_date, cron_id)
            WHERE enabled = 1 AND next_run_date IS NOT NULL""",
    ):
        db.execute(statement)


def words(db: Database) -> None:
    """Texts are kept as their words, with a space between: FTS5 is not to see other words in them,
    or to take an accent away."""
    db.conn.create_function("words_of_text", 1, lambda text: " ".join(all_words(text)))
    for statement in (
        "CREATE VIRTUAL TABLE item_words USING fts5 (places, text, tokenize = 'ascii')",
        """INSERT INTO item_words (rowid, places, text)
            SELECT rowid, places, words_of_text(text) FROM item_texts""",
        "DROP TABLE item_texts",
        "ALTER TABLE item_words RENAME TO item_texts",
    ):
        db.execute(statement)


def assistant_versions(db: Database) -> None:
    """What assistants were before; and pages of them in their order."""
    for statement in (
        """CREATE TABLE assistant_versions (
            id INTEGER PRIMARY KEY,
            assistant_id TEXT NOT NULL,
            version INTEGER NOT NULL,
            graph_id TEXT NOT NULL,
            created_at TEXT NOT NULL,
            name TEXT NOT NULL,
            description TEXT,
            config TEXT NOT NULL,
            context TEXT NOT NULL,
            metadata TEXT NOT NULL,
            UNIQUE (assistant_id, version)
        )""",
        """INSERT INTO assistant_versions (assistant_id, version, graph_id, created_at, name,
                description, config, context, metadata)
            SELECT assistant_id, version, graph_id, updated_at, name,
                description, config, context, metadata FROM assistants""",
        "CREATE INDEX assistants_created ON assistants (created_at, assistant_id)",
        "CREATE INDEX assistants_graph ON assistants (graph_id, created_at, assistant_id)",
    ):
        db.execute(statement)


def posts(db: Database) -> None:
    db.execute("""CREATE TABLE posts (
        id INTEGER PRIMARY KEY,
        post_id TEXT NOT NULL UNIQUE,
        url TEXT NOT NULL,
        body TEXT NOT NULL,
        created_at TEXT NOT NULL
    )""")


def facts(db: Database) -> None:
    """Threads are found by what their metadata says, in orders of time.

    `facts`: as of `facts_text`. `sort`: the place in ORDERS. Triggers have `thread_facts` follow
    `threads`.
    """
    for statement in (
        "DROP INDEX threads_assistant_created",
        "DROP INDEX threads_assistant_updated",
        "DROP INDEX threads_graph_created",
        "DROP INDEX threads_graph_updated",
        "ALTER TABLE threads ADD COLUMN facts TEXT NOT NULL DEFAULT '[]'",
        """CREATE TABLE thread_facts (
            fact INTEGER NOT NULL,
            sort INTEGER NOT NULL,
            at TEXT NOT NULL,
            thread INTEGER NOT NULL,
            PRIMARY KEY (fact, sort, at, thread)
        ) WITHOUT ROWID""",
    ):
        db.execute(statement)
    db.conn.create_function("facts_of", 1, facts_text, deterministic=True)
    db.execute("UPDATE threads SET facts = facts_of(metadata)")
    there = (
        f"SELECT value, {sort}, {fact_at(order, 't')}, t.id FROM threads t, json_each(t.facts)"
        for sort, order in enumerate(ORDERS)
    )
    db.execute(f"INSERT INTO thread_facts {' UNION ALL '.join(there)} ORDER BY 1, 2, 3, 4")
    for sort, order in enumerate(ORDERS):
        old, new = fact_at(order, "old"), fact_at(order, "new")
        add = f"""INSERT INTO thread_facts
            SELECT value, {sort}, {new}, new.id FROM json_each(new.facts)"""
        remove = f"""DELETE FROM thread_facts WHERE fact IN (SELECT value FROM json_each(old.facts))
            AND sort = {sort} AND at = {old} AND thread = old.id"""
        moved = f"{old} <> {new}"
        gone = f"AND ({moved} OR fact NOT IN (SELECT value FROM json_each(new.facts)))"
        come = f"WHERE {moved} OR value NOT IN (SELECT value FROM json_each(old.facts))"
        for event, actions in (
            ("INSERT ON threads", add),
            (
                f"UPDATE OF facts, {order} ON threads WHEN old.facts <> new.facts OR {moved}",
                f"{remove} {gone}; {add} {come}",
            ),
            ("DELETE ON threads", remove),
        ):
            name = f"threads_{event.split()[0].lower()}_{sort}"
            db.execute(f"CREATE TRIGGER {name} AFTER {event} BEGIN {actions}; END")


def statuses(db: Database) -> None:
    """A run that ends well moves few entries of indexes, as each may be one more page to write:
    idle and busy threads are found by their status as `of_status` says."""
    for order in ORDERS:
        name = order.removesuffix("_at")
        for statement in (
            f"DROP INDEX threads_{name}",
            f"CREATE INDEX threads_{name} ON threads ({order}, thread_id, status)",
            f"DROP INDEX threads_status_{name}",
            f"""CREATE INDEX threads_status_{name} ON threads (status, {order}, thread_id)
                WHERE status <> 'idle' AND status <> 'busy'""",
        ):
            db.execute(statement)


MIGRATIONS: Final = (
    tables,
    parts,
    items,
    bounds,
    chains,
    crons,
    words,
    assistant_versions,
    posts,
    facts,
    statuses,
)  # in order; a released one is never changed

_migrations: Final = Migrations("greenroom.storage")
for _step in MIGRATIONS:
    _migrations()(_step)


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the schema up to date, wholly or not at all.

    What an older version has written is kept as it was in `path.backup-N`, where N is how many
    steps its schema had.

    Raises StorageError, with nothing changed, if a newer version has written the file.
    """
    db = Database(connection, execute_plugins=False)
    applied = _check_known(db, path)
    if applied and _migrations.pending(db):
        _back_up(connection, Path(f"{path}.backup-{len(applied)}"))
    with db.atomic():
        _migrations.apply(db)


def _back_up(connection: sqlite3.Connection, backup: Path) -> None:
    part = backup.with_name(f"{backup.name}.part")
    part.unlink(missing_ok=True)
    create_file(part)
    with closing(sqlite3.connect(part)) as copy:
        copy.execute("PRAGMA synchronous = EXTRA")
        connection.backup(copy)
    part.replace(backup)


def check(connection: sqlite3.Connection, path: str) -> None:
    """Raise StorageError, with nothing changed, unless the schema is this version's."""
    db = Database(connection, execute_plugins=False)
    if not _check_known(db, path):
        raise StorageError(f"{path} holds no data of Greenroom's")
    if _migrations.pending(db):
        raise StorageError(
            f"{path} was written by an older version of Greenroom: serve it once with this one"
        )


def _check_known(db: Database, path: str) -> list[str]:
    """The names of the migrations that were applied, all of which this version knows."""
    known = {step.__name__ for step in MIGRATIONS}
    applied: list[str] = [step.name for step in _migrations.applied(db)]
    unknown = [name for name in applied if name not in known]
    if unknown:
        raise StorageError(
            f"{path} was written by a newer version of Greenroom: it has the schema {unknown[-1]!r}"
        )
    return applied
