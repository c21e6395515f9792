"""The PostgreSQL schema, and how a database comes to have it.

All tables lie in the schema `greenroom`. Threads and runs are known to other tables by their
integer `id`, but for `crons`, which are listed by their thread. Texts are compared by code point
(collation "C"), whatever the database's own language is. No listing touches state: it is in `log`
alone.
"""

from __future__ import annotations

from typing import Any, Final, Literal, LiteralString

import psycopg

from .contract import StorageError
from .facts import ORDERS, fact_at, facts_of

__all__ = ["check", "exists", "migrate"]

_PLACES: Final = ", ".join(
    f"({sort}, {fact_at(order, 'OLD')}, {fact_at(order, 'NEW')})"
    for sort, order in enumerate(ORDERS)
)
_TABLES: Final = """
CREATE TABLE greenroom.lease (
    id integer PRIMARY KEY CHECK (id = 1),
    owner text NOT NULL,
    epoch bigint NOT NULL,
    commits bigint NOT NULL,
    attempt bigint NOT NULL,
    ends_at timestamptz NOT NULL
) WITH (fillfactor = 10);

INSERT INTO greenroom.lease VALUES (1, '', 0, 0, 0, '-infinity');

CREATE TABLE greenroom.threads (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread_id text COLLATE "C" NOT NULL UNIQUE,
    created_at text COLLATE "C" NOT NULL,
    updated_at text COLLATE "C" NOT NULL,
    state_updated_at text COLLATE "C" NOT NULL,
    metadata text NOT NULL,
    config text NOT NULL,
    status text COLLATE "C" NOT NULL,
    error text,
    interrupts text NOT NULL,
    ttl text
);

CREATE INDEX ON greenroom.threads (created_at, thread_id);
CREATE INDEX ON greenroom.threads (updated_at, thread_id);
CREATE INDEX ON greenroom.threads (state_updated_at, thread_id);
CREATE INDEX ON greenroom.threads (status, thread_id);
CREATE INDEX ON greenroom.threads (status, created_at, thread_id);
CREATE INDEX ON greenroom.threads (status, updated_at, thread_id);
CREATE INDEX ON greenroom.threads (status, state_updated_at, thread_id);
CREATE INDEX threads_expiry
ON greenroom.threads ((ttl::jsonb ->> 'expires_at') COLLATE "C", thread_id)
WHERE ttl::jsonb ->> 'expires_at' IS NOT NULL;
CREATE INDEX threads_metadata ON greenroom.threads USING gin ((metadata::jsonb) jsonb_path_ops);

CREATE TABLE greenroom.runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread bigint NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    assistant_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    status text COLLATE "C" NOT NULL,
    created_at text COLLATE "C" NOT NULL,
    updated_at text COLLATE "C" NOT NULL,
    multitask_strategy text NOT NULL,
    kwargs text NOT NULL,
    input text,
    metadata text NOT NULL,
    bound text,
    attempt bigint NOT NULL,
    stalled bigint NOT NULL,
    started_from text,
    first_log_seq bigint,
    stop text,
    error text,
    UNIQUE (thread, run_id)
);

CREATE INDEX ON greenroom.runs (thread, seq);
CREATE INDEX ON greenroom.runs (thread, seq) WHERE status IN ('pending', 'running');

CREATE TABLE greenroom.log (
    thread bigint NOT NULL,
    seq bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    ns text COLLATE "C" NOT NULL,
    checkpoint_id text COLLATE "C" NOT NULL,
    base_seq bigint,
    data bytea NOT NULL,
    lists text,
    run bigint,
    input text,
    PRIMARY KEY (thread, seq)
);

CREATE INDEX ON greenroom.log (thread, checkpoint_id);
CREATE INDEX ON greenroom.log (thread, ns, seq) WHERE kind = 'checkpoint';
CREATE INDEX ON greenroom.log (thread, base_seq, kind, seq)
WHERE kind IN ('list', 'pack', 'splice');
CREATE INDEX ON greenroom.log (run) WHERE run IS NOT NULL;

CREATE TABLE greenroom.events (
    thread bigint NOT NULL,
    event_id bigint NOT NULL,
    run bigint NOT NULL,
    name text NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (thread, event_id)
);

CREATE INDEX ON greenroom.events (run, event_id);

CREATE TABLE greenroom.assistants (
    assistant_id text COLLATE "C" PRIMARY KEY,
    graph_id text COLLATE "C" NOT NULL,
    created_at text COLLATE "C" NOT NULL,
    updated_at text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    folded_name text COLLATE "C" NOT NULL,
    description text,
    version bigint NOT NULL,
    config text NOT NULL,
    context text NOT NULL,
    metadata text NOT NULL
);

CREATE TABLE greenroom.items (
    id bigint GENERATED ALWAYS AS IDENTITY,
    namespace text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    value text NOT NULL,
    created_at text COLLATE "C" NOT NULL,
    updated_at text COLLATE "C" NOT NULL,
    ttl double precision,
    expires_at text COLLATE "C",
    words text NOT NULL,
    vectors bytea[] NOT NULL,
    PRIMARY KEY (namespace, key)
);

CREATE UNIQUE INDEX ON greenroom.items (id);
CREATE INDEX ON greenroom.items (expires_at) WHERE expires_at IS NOT NULL;
"""

_CRONS: Final = """
CREATE TABLE greenroom.crons (
    cron_id text COLLATE "C" PRIMARY KEY,
    assistant_id text COLLATE "C" NOT NULL,
    schedule text NOT NULL,
    created_at text COLLATE "C" NOT NULL,
    updated_at text COLLATE "C" NOT NULL,
    payload text NOT NULL,
    thread_id text COLLATE "C",
    timezone text,
    end_time text COLLATE "C",
    next_run_date text COLLATE "C",
    metadata text NOT NULL,
    enabled integer NOT NULL,
    on_run_completed text
);

CREATE INDEX ON greenroom.crons (created_at, cron_id);
CREATE INDEX ON greenroom.crons (assistant_id, created_at, cron_id);
CREATE INDEX ON greenroom.crons (thread_id, created_at, cron_id);
CREATE INDEX crons_due ON greenroom.crons (next_run_date, cron_id)
WHERE enabled = 1 AND next_run_date IS NOT NULL;
"""

# Apart from the items, so that prolonging one leaves the index alone. `words`: of
# `postgres_words.tsvectors`. What was put before is indexed by whoever takes the lease.
_WORDS: Final = """
CREATE TABLE greenroom.item_words (
    item bigint NOT NULL,
    words tsvector NOT NULL
);

CREATE INDEX ON greenroom.item_words (item);
-- Words wait to be sorted in, so that most commits are quick; not so many that one is slow (KB).
CREATE INDEX items_by_words ON greenroom.item_words USING gin (words)
WITH (gin_pending_list_limit = 1024);

CREATE TABLE greenroom.items_to_index (item bigint PRIMARY KEY);

INSERT INTO greenroom.items_to_index SELECT id FROM greenroom.items WHERE words <> '';
"""

_ASSISTANT_VERSIONS: Final = """
CREATE TABLE greenroom.assistant_versions (
    assistant_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    graph_id text COLLATE "C" NOT NULL,
    created_at text COLLATE "C" NOT NULL,
    name text NOT NULL,
    description text,
    config text NOT NULL,
    context text NOT NULL,
    metadata text NOT NULL,
    PRIMARY KEY (assistant_id, version)
);

INSERT INTO greenroom.assistant_versions
SELECT assistant_id, version, graph_id, updated_at, name, description, config, context, metadata
FROM greenroom.assistants;

CREATE INDEX ON greenroom.assistants (created_at, assistant_id);
CREATE INDEX ON greenroom.assistants (graph_id, created_at, assistant_id);
"""

_POSTS: Final = """
CREATE TABLE greenroom.posts (
    post_id text COLLATE "C" PRIMARY KEY,
    url text NOT NULL,
    body text NOT NULL,
    created_at text COLLATE "C" NOT NULL
);
"""

# Threads are found by what their metadata says, in orders of time. `facts`: as of `facts_of`.
# `sort`: the place in ORDERS. Triggers have `thread_facts` follow `threads`.
_CHANGED: Final = " OR ".join(
    f"{fact_at(order, 'OLD')} <> {fact_at(order, 'NEW')}" for order in ORDERS
)
_FACTS: Final = f"""
DROP INDEX greenroom.threads_metadata;
DROP FUNCTION IF EXISTS greenroom.put_thread; -- it had no facts
ALTER TABLE greenroom.threads ADD COLUMN facts bigint[] NOT NULL DEFAULT '{{}}';

CREATE TABLE greenroom.thread_facts (
    fact bigint NOT NULL,
    sort smallint NOT NULL,
    at text COLLATE "C" NOT NULL,
    thread bigint NOT NULL,
    PRIMARY KEY (fact, sort, at, thread)
);

CREATE FUNCTION greenroom.list_facts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    place record;
BEGIN
    FOR place IN VALUES {_PLACES} LOOP
        IF TG_OP <> 'INSERT' THEN
            DELETE FROM greenroom.thread_facts
            WHERE fact = ANY (OLD.facts) AND sort = place.column1 AND at = place.column2
            AND thread = OLD.id
            AND (fact = ANY (NEW.facts) AND place.column2 = place.column3) IS NOT TRUE;
        END IF;
        IF TG_OP <> 'DELETE' THEN
            INSERT INTO greenroom.thread_facts
            SELECT fact, place.column1, place.column3, NEW.id FROM unnest(NEW.facts) AS fact
            WHERE (fact = ANY (OLD.facts) AND place.column2 = place.column3) IS NOT TRUE;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

CREATE TRIGGER list_facts AFTER INSERT OR DELETE ON greenroom.threads
FOR EACH ROW EXECUTE FUNCTION greenroom.list_facts();
CREATE TRIGGER list_changed_facts AFTER UPDATE ON greenroom.threads
FOR EACH ROW WHEN (OLD.facts <> NEW.facts OR {_CHANGED})
EXECUTE FUNCTION greenroom.list_facts();
"""


_NEXT_THREADS: Final = """
    SELECT id, metadata FROM greenroom.threads WHERE id > %s ORDER BY id LIMIT 1000
"""


def _find_facts(connection: psycopg.Connection) -> None:
    """Give the threads that are there their facts."""
    connection.execute("CREATE TEMP TABLE found (id bigint, facts bigint[]) ON COMMIT DROP")
    last = 0
    while threads := connection.execute(_NEXT_THREADS, [last]).fetchall():
        last = threads[-1][0]
        with connection.cursor().copy("COPY found FROM STDIN") as copy:
            for ident, metadata in threads:
                copy.write_row((ident, list(facts_of(metadata))))
    connection.execute(
        "UPDATE greenroom.threads t SET facts = f.facts FROM found f WHERE f.id = t.id"
    )


MIGRATIONS: Final = (
    (_TABLES,),
    (_CRONS,),
    (_WORDS,),
    (_ASSISTANT_VERSIONS,),
    (_POSTS,),
    (_FACTS, _find_facts),
    ("CREATE INDEX ON greenroom.events (event_id)",),
)  # number 1 and on, step by step; a released one is never changed


def migrate(connection: psycopg.Connection, place: str) -> None:
    """Bring the schema up to date inside the transaction that is open.

    Raises StorageError if a newer version has written it, or if texts would not keep their
    characters.
    """
    (encoding,) = _row(connection, "SELECT current_setting('server_encoding')")
    if encoding != "UTF8":
        raise StorageError(f"{place} keeps texts as {encoding}; Greenroom needs UTF8")
    if not exists(connection, "namespace", "greenroom"):
        connection.execute("CREATE SCHEMA greenroom")
    if not exists(connection, "class", "greenroom.migrations"):
        connection.execute(
            "CREATE TABLE greenroom.migrations"
            " (number integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
    last = _last(connection, place)
    for number, steps in enumerate(MIGRATIONS[last:], last + 1):
        for step in steps:
            if callable(step):
                step(connection)
            else:
                connection.execute(step.encode())
        connection.execute("INSERT INTO greenroom.migrations (number) VALUES (%s)", [number])


def check(connection: psycopg.Connection, place: str) -> None:
    """Raise StorageError, with nothing changed, unless the schema is this version's."""
    if not exists(connection, "class", "greenroom.migrations"):
        raise StorageError(f"{place} holds no data of Greenroom's")
    if _last(connection, place) < len(MIGRATIONS):
        raise StorageError(
            f"{place} was written by an older version of Greenroom: serve it once with this one"
        )


def _last(connection: psycopg.Connection, place: str) -> int:
    """The number of the last migration that was applied, which this version knows."""
    (last,) = _row(connection, "SELECT coalesce(max(number), 0) FROM greenroom.migrations")
    if last > len(MIGRATIONS):
        raise StorageError(
            f"{place} was written by a newer version of Greenroom: it has the schema {last}, "
            f"and this version knows {len(MIGRATIONS)}"
        )
    return int(last)


def exists(connection: psycopg.Connection, kind: Literal["class", "namespace"], name: str) -> bool:
    """Whether there is a table (`class`) or a schema (`namespace`) of that name."""
    (found,) = _row(connection, f"SELECT to_reg{kind}(%s) IS NOT NULL", name)
    return bool(found)


def _row(connection: psycopg.Connection, query: LiteralString, *values: str) -> tuple[Any, ...]:
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return row
