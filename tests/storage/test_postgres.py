"""PostgreSQL: the contract, and what is its own: the lease, the schema, plans."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("psycopg", reason="psycopg is not installed")

import psycopg

from greenroom.storage import (
    AppendEvents,
    AppendLog,
    AssistantQuery,
    AssistantVersion,
    CronQuery,
    DeleteAssistant,
    DeleteCron,
    DeleteExpired,
    DeleteItem,
    DeletePost,
    DeleteRun,
    DeleteThread,
    InsertThread,
    ItemQuery,
    PackList,
    ProlongItem,
    PutAssistant,
    PutCron,
    PutItem,
    PutPost,
    PutRun,
    PutThread,
    Restore,
    StaleEpoch,
    StorageError,
    StorageHeld,
    ThreadQuery,
    TruncateLog,
    postgres_schema,
)
from greenroom.storage.facts import facts_of
from greenroom.storage.postgres import PostgresStorage
from greenroom.storage.postgres_schema import MIGRATIONS, exists, migrate
from greenroom.storage.records import Thread
from greenroom.storage.rows import COLUMNS, to_row
from greenroom.storage.sql_read import TABLES
from greenroom.storage.testing import (
    StorageContract,
    make_assistant,
    make_checkpoint_row,
    make_cron,
    make_event,
    make_item,
    make_list_row,
    make_post,
    make_run,
    make_thread,
    make_writes_row,
)
from greenroom.storage.testing.searches import SORTS, many_threads

from .postgres_server import let_the_lease_run_out


class TestPostgresStorage(StorageContract):
    @pytest.fixture
    def new_storage(self, dsn):
        return lambda: PostgresStorage(dsn)

    @pytest.fixture
    def lose_lease(self, db):
        return lambda storage: let_the_lease_run_out(db)


@pytest.fixture
def start(dsn):
    """Opens a storage and takes its lease."""
    started = []

    def start(owner="tests", at=dsn, **options):
        storage = PostgresStorage(at, **options)
        started.append(storage)
        storage.open()
        return storage, storage.acquire_lease(owner).epoch

    yield start
    for storage in started:
        storage.close()


def insert(storage, epoch, *ids):
    groups = [[InsertThread(make_thread(one))] for one in ids]
    assert storage.commit(groups, epoch) == [None] * len(ids)


def count(storage):
    return storage.count_threads(ThreadQuery())


def held_lease(db):
    """The seconds that the lease still lasts."""
    query = "SELECT extract(epoch FROM ends_at - clock_timestamp()) FROM greenroom.lease"
    ((seconds,),) = db.execute(query)
    return float(seconds)


# The lease.


def test_a_second_holder_is_told_who_holds_the_database_and_changes_nothing(start, dsn):
    storage, epoch = start("the one")
    insert(storage, epoch, "before")
    other = PostgresStorage(dsn)
    other.open()
    refusals = []
    for _ in range(2):
        with pytest.raises(StorageHeld, match=r"^postgresql://.*/postgres is in use by the one$"):
            other.acquire_lease("another")
    insert(storage, epoch, "after")
    for _ in range(2):
        with pytest.raises(StorageHeld) as refused:
            other.acquire_lease("another")
        refusals.append(refused.value.renewals)
    assert refusals[0] == refusals[1]
    storage.commit([], epoch)
    with pytest.raises(StorageHeld) as refused:
        other.acquire_lease("another")
    assert refused.value.renewals > refusals[0]
    other.close()
    insert(storage, epoch, "still")


def test_a_lease_that_has_run_out_is_taken_and_its_holder_writes_nothing_more(start, db):
    first, stale = start("the first")
    insert(first, stale, "before")
    let_the_lease_run_out(db)
    second, epoch = start("the second")
    assert epoch == stale + 1
    for groups in ([[InsertThread(make_thread("lost"))]], [], [[InsertThread(None)]]):
        with pytest.raises(StaleEpoch, match="was taken over by the second"):
            first.commit(groups, stale)
    first.close()  # gives nothing back that is not its own
    insert(second, epoch, "after")
    assert count(second) == 2


def test_a_lease_that_has_run_out_and_was_not_taken_is_renewed_by_a_commit(start, db):
    storage, epoch = start()
    let_the_lease_run_out(db)
    insert(storage, epoch, "t")
    assert held_lease(db) > 25
    with pytest.raises(StorageHeld):
        start("another")


def test_the_lease_lasts_as_long_as_it_is_told_to(start, db):
    storage, epoch = start(lease_time=1000)
    assert 990 < held_lease(db) <= 1000
    let_the_lease_run_out(db)
    storage.commit([], epoch)
    assert 990 < held_lease(db) <= 1000


def test_a_holder_that_closes_is_followed_at_once(start):
    storage, epoch = start("the first")
    storage.close()
    _, later = start("the second")
    assert later == epoch + 1


def test_many_who_come_at_once_make_one_schema_and_one_holder(dsn):
    def come(number):
        storage = PostgresStorage(dsn)
        storage.open()
        try:
            storage.acquire_lease(f"holder {number}")
        except StorageHeld as held:
            storage.close()
            return str(held)
        return storage

    with ThreadPoolExecutor(4) as pool:
        came = list(pool.map(come, range(4)))
    (holder,) = (one for one in came if isinstance(one, PostgresStorage))
    winner = came.index(holder)
    refused = {one for one in came if one is not holder}
    assert refused == {f"{holder.address.name} is in use by holder {winner}"}
    holder.close()


def test_a_database_that_another_makes_and_takes_in_the_meantime_is_not_taken(
    start, dsn, monkeypatch
):
    seen = []

    def look(connection, kind, name):
        seen.append(name)
        found = exists(connection, kind, name)
        if len(seen) == 1:
            start("the quicker one")
        return found

    late = PostgresStorage(dsn)
    late.open()
    monkeypatch.setattr("greenroom.storage.postgres_lease.exists", look)
    with pytest.raises(StorageHeld, match="is in use by the quicker one"):
        late.acquire_lease("the late one")
    late.close()
    assert seen[0] == "greenroom.lease"


def test_a_holder_in_the_middle_of_a_commit_is_cut_off_when_its_lease_has_run_out(
    start, db, dsn, monkeypatch
):
    monkeypatch.setattr("greenroom.storage.postgres_lease.LOCK_TIME", 0.05)
    storage, epoch = start("the first")
    insert(storage, epoch, "t")
    committing = psycopg.connect(dsn)
    committing.execute("UPDATE greenroom.lease SET commits = commits + 1")
    for _ in range(2):
        with pytest.raises(StorageHeld, match="the first"):
            start("the second")
    committing.rollback()
    let_the_lease_run_out(db)
    committing.execute("UPDATE greenroom.lease SET commits = commits + 1")
    with pytest.raises(StorageHeld, match="the first"):
        start("the second")  # comes back a little later
    start("the second")
    with pytest.raises(psycopg.OperationalError):
        committing.commit()
    committing.close()


def test_a_database_that_was_put_back_to_an_earlier_state_stops_its_holder(start, db):
    storage, epoch = start()
    insert(storage, epoch, "one")
    insert(storage, epoch, "two")
    db.execute("UPDATE greenroom.lease SET commits = commits - 1")
    with pytest.raises(StaleEpoch, match="counts 1 commits where there were 2"):
        storage.commit([[InsertThread(make_thread("three"))]], epoch)
    assert count(storage) == 2


# The schema.


def schema(db):
    query = """
        SELECT table_name, column_name, data_type FROM information_schema.columns
        WHERE table_schema = 'greenroom' ORDER BY table_name, ordinal_position
    """
    return db.execute(query).fetchall()


def refusal(dsn):
    storage = PostgresStorage(dsn)
    with pytest.raises(StorageError) as refused:
        open_and_take(storage)
    storage.close()
    text = str(refused.value)
    assert "\n" not in text
    return text


def open_and_take(storage):
    storage.open()
    storage.acquire_lease("tests")


def test_the_schema_has_a_column_for_every_field(start, db):
    start()
    columns = {(table, column) for table, column, _ in schema(db)}
    for kind, table in TABLES.items():
        stored = {column for name, column in columns if name == table}
        assert set(COLUMNS[kind]) - {"thread_id"} <= stored
        assert stored - set(COLUMNS[kind]) <= {"id", "thread", "folded_name", "facts"}


def make_older(db, number, monkeypatch):
    """Give the database the schema of an older version."""
    with monkeypatch.context() as older:
        older.setattr("greenroom.storage.postgres_schema.MIGRATIONS", MIGRATIONS[:number])
        with db.transaction():
            migrate(db, "the database")


def test_assistants_of_an_older_version_have_the_version_that_they_are(start, db, monkeypatch):
    make_older(db, 3, monkeypatch)
    db.execute(
        "INSERT INTO greenroom.assistants VALUES"
        " ('a', 'g', '2026', '2027', 'Ada', 'ada', 'd', 4, '{}', '{\"n\":1}', '{}')"
    )
    storage, _ = start()
    (version,) = storage.list_assistant_versions("a")
    assert version == AssistantVersion(
        assistant_id="a",
        version=4,
        graph_id="g",
        created_at="2027",
        name="Ada",
        description="d",
        context={"n": 1},
    )
    assert storage.faults() == []


@pytest.mark.parametrize("number", range(1, len(MIGRATIONS)))
def test_a_schema_of_an_older_version_is_brought_up_to_date(start, db, number, monkeypatch):
    make_older(db, number, monkeypatch)
    db.execute(
        "INSERT INTO greenroom.threads (thread_id, created_at, updated_at, state_updated_at,"
        " metadata, config, status, interrupts)"
        " VALUES ('t', '2026', '2026', '2026', '{\"n\":1}', '{}', 'idle', '{}')"
    )
    if number >= 6:  # since when they are stored with a thread
        db.execute("UPDATE greenroom.threads SET facts = %s", [list(facts_of('{"n":1}'))])
    storage, epoch = start()
    (thread,) = storage.search_threads(ThreadQuery(metadata={"n": 1}))
    assert thread.thread_id == "t"
    cron = make_cron(thread_id="t")
    assert storage.commit([[PutCron(cron)]], epoch) == [None]
    assert storage.search_crons(CronQuery()) == [cron]
    assert storage.commit([[PutPost(make_post())]], epoch) == [None]
    assert storage.get_post("p") == make_post()
    applied = db.execute("SELECT number FROM greenroom.migrations ORDER BY number").fetchall()
    assert applied == [(one,) for one in range(1, len(MIGRATIONS) + 1)]


def test_a_schema_of_a_newer_version_is_refused_and_left_alone(start, db, dsn):
    storage, _ = start()
    storage.close()
    db.execute("INSERT INTO greenroom.migrations (number) VALUES (1000)")
    before = schema(db), db.execute("SELECT * FROM greenroom.lease").fetchall()
    assert "was written by a newer version of Greenroom: it has the schema 1000" in refusal(dsn)
    assert (schema(db), db.execute("SELECT * FROM greenroom.lease").fetchall()) == before


def test_functions_of_another_version_are_replaced_by_ones_own(start, db):
    storage, _ = start()
    storage.close()
    found = db.execute(
        "SELECT oid::regprocedure::text FROM pg_proc"
        " WHERE pronamespace = 'greenroom'::regnamespace AND prorettype <> 'trigger'::regtype"
    ).fetchall()
    assert len(found) == 5
    for (name,) in found:
        db.execute(f"DROP FUNCTION {name}")
    storage, epoch = start()
    insert(storage, epoch, "t")
    log = [AppendLog((make_checkpoint_row(1, "c"),)), AppendEvents((make_event(1),))]
    thread = PutThread(make_thread(status="busy"))
    assert storage.commit([[PutRun(make_run()), thread, *log]], epoch) == [None]
    assert storage.read_thread_events("t") == [make_event(1)]


def test_tables_of_another_program_are_left_alone(db, dsn):
    db.execute("CREATE SCHEMA greenroom")
    db.execute("CREATE TABLE greenroom.runs (mine text)")
    before = schema(db)
    assert 'relation "runs" already exists' in refusal(dsn)
    assert schema(db) == before


def test_a_database_that_cannot_keep_every_character_is_refused(db, postgres):
    db.execute("CREATE DATABASE latin ENCODING LATIN1 LOCALE 'C' TEMPLATE template0")
    try:
        assert "keeps texts as LATIN1; Greenroom needs UTF8" in refusal(postgres.dsn("latin"))
    finally:
        db.execute("DROP DATABASE latin")


def test_a_user_who_may_not_create_a_schema_is_told_so_and_may_be_given_one(db, postgres):
    db.execute("CREATE ROLE ada LOGIN")
    address = postgres.dsn().replace("postgres@", "ada@")
    try:
        assert "permission denied for database" in refusal(address)
        db.execute("CREATE SCHEMA greenroom AUTHORIZATION ada")
        storage = PostgresStorage(address)
        open_and_take(storage)
        storage.close()
    finally:
        db.execute("DROP SCHEMA IF EXISTS greenroom CASCADE")
        db.execute("DROP ROLE ada")


def test_commits_are_on_disk_even_where_the_database_would_not_wait_for_that(start, db):
    storage, epoch = start()
    db.execute("CREATE TABLE greenroom.seen (setting text)")
    db.execute(
        "CREATE FUNCTION greenroom.look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO greenroom.seen VALUES (current_setting('synchronous_commit'));"
        " RETURN NEW; END $$"
    )
    db.execute(
        "CREATE TRIGGER look BEFORE INSERT ON greenroom.threads"
        " FOR EACH ROW EXECUTE FUNCTION greenroom.look()"
    )
    insert(storage, epoch, "as the server is set up")
    db.execute("ALTER DATABASE postgres SET synchronous_commit = off")
    try:
        storage._drop_writer()
        insert(storage, epoch, "turned off")
        db.execute("ALTER DATABASE postgres SET synchronous_commit = remote_apply")
        storage._drop_writer()
        insert(storage, epoch, "stronger")
    finally:
        db.execute("ALTER DATABASE postgres RESET synchronous_commit")
    assert db.execute("SELECT * FROM greenroom.seen").fetchall() == [
        ("on",),
        ("on",),
        ("remote_apply",),
    ]


def test_nothing_is_left_in_a_session_that_another_client_might_get(start, db):
    """As behind a pooler that gives every transaction another one."""
    storage, epoch = start()
    fresh = "SELECT name, setting FROM pg_settings WHERE source = 'session' ORDER BY name"
    insert(storage, epoch, *map(str, range(20)))
    for _ in range(20):
        storage.get_thread("1")
    for connection in (storage._writer, *storage._readers):
        assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
        assert connection.execute(fresh).fetchall() == []
        mine = (
            "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'"
        )
        assert connection.execute(mine).fetchone() == (0,)
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_metadata_keeps_its_numbers_and_the_order_of_its_keys(start):
    storage, epoch = start()
    metadata = {"z": 1e16, "a": -0.0, "m": 1.0, "big": 2**63 - 1, "tiny": 5e-324}
    assert storage.commit([[InsertThread(make_thread(metadata=metadata))]], epoch) == [None]
    read = storage.get_thread("t").metadata
    assert repr(read) == repr(metadata)


def test_a_text_that_postgresql_cannot_keep_is_refused_alone(start):
    storage, epoch = start()
    bad = [PutAssistant(make_assistant(name="a\0b"))]
    error, none = storage.commit([bad, [InsertThread(make_thread())]], epoch)
    assert isinstance(error, StorageError)
    assert none is None
    assert count(storage) == 1


def test_a_storage_that_is_closed_says_so(start):
    storage, epoch = start()
    storage.close()
    with pytest.raises(StorageError, match="is not open"):
        storage.get_thread("t")
    with pytest.raises(StaleEpoch):
        storage.commit([], epoch)


def test_one_object_is_one_user(start):
    storage, _ = start()
    with pytest.raises(StorageHeld, match="in use in this process"):
        storage.open()


@pytest.fixture
def without_index_scans(db):
    """Rows come in the order in which they lie in the table."""
    db.execute("ALTER DATABASE postgres SET enable_indexscan = off")
    db.execute("ALTER DATABASE postgres SET enable_indexonlyscan = off")
    yield
    db.execute("ALTER DATABASE postgres RESET ALL")


def test_a_list_is_in_order_whatever_way_the_database_reads_it(without_index_scans, start):
    storage, epoch = start()
    numbers = range(1, 9)
    parts = [make_list_row(n, 1, b"%d" % n) for n in reversed(numbers)]
    rows = (*parts, make_checkpoint_row(9, "c", lists=(1,)))
    assert storage.commit([[InsertThread(make_thread()), AppendLog(rows)]], epoch) == [None]
    (whole,) = storage.read_checkpoint("t", "").lists
    assert whole.data == b"[1,2,3,4,5,6,7,8]"


# Cost.


@pytest.fixture
def plans(start, db):
    """The plans of the statements of reads, on a database that has something of everything."""
    storage, epoch = start()
    for number in range(200):
        one = str(number)
        operations = (
            InsertThread(
                make_thread(one, metadata={"number": number}, status=("idle", "busy")[number % 2])
            ),
            PutRun(make_run("r", one, status="success")),
            AppendLog((make_checkpoint_row(1, "c", thread_id=one),)),
            AppendLog((make_writes_row(2, "c", thread_id=one),)),
            AppendEvents((make_event(1, thread_id=one),)),
            PutItem(make_item((one,), "k"), f"soup {one}"),
            PutCron(make_cron(one, thread_id=one, assistant_id=one, next_run_date=f"2026-{one}")),
            PutAssistant(make_assistant(one)),
            PutAssistant(make_assistant(one, version=2)),
            PutPost(make_post(one)),
        )
        storage.commit([operations], epoch)
    db.execute("ANALYZE")
    seen = []
    fetch = storage._fetch

    def explained(query, values):
        with db.transaction():
            db.execute("SET LOCAL enable_seqscan = off")
            db.execute("SET LOCAL enable_sort = off")
            plan = db.execute(f"EXPLAIN {query}".encode(), values).fetchall()
        seen.append("\n".join(line for (line,) in plan))
        return fetch(query, values)

    storage._fetch = explained
    return storage, seen


def test_no_read_of_a_thread_or_of_unfinished_runs_scans_a_table(plans):
    storage, seen = plans
    assert storage.get_thread("7") is not None
    assert storage.get_run("7", "r") is not None
    assert storage.list_runs("7")
    assert storage.unfinished_runs() == []
    assert storage.unfinished_runs("7") == []
    assert storage.last_run_seq("7") == 1
    assert storage.last_log_seq("7") == 2
    assert storage.read_checkpoint("7", "").wanted == ("c",)
    assert storage.read_checkpoint("7", "", "c").wanted == ("c",)
    assert storage.read_history("7", "", before="c").wanted == ()
    assert storage.read_events("7", "r")
    assert storage.read_thread_events("7")
    assert len(seen) == 12
    assert [plan for plan in seen if "Seq Scan" in plan] == []


def test_looking_for_what_is_due_or_has_expired_or_goes_elsewhere_scans_and_sorts_nothing(plans):
    storage, seen = plans
    assert len(storage.due_crons("2026-2", limit=10)) == 10
    assert len(storage.scan_crons(after="7", limit=2)) == 2
    assert len(storage.scan_posts(after="7", limit=2)) == 2
    assert storage.expired_threads("2026", limit=10) == []
    assert storage.next_thread_expiry() is None
    assert len(storage.scan_threads(after="7", limit=2)) == 2
    assert len(storage.scan_runs("7")) == 1
    assert len(storage.scan_log("7")) == 2
    assert len(storage.scan_assistants(after="7", limit=2)) == 2
    assert len(storage.scan_assistant_versions("7")) == 2
    assert len(storage.scan_items(after=7, limit=2)) == 2
    assert len(seen) == 11
    assert [plan for plan in seen if "Seq Scan" in plan or "Sort" in plan] == []


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("query", [{}, {"thread_id": "7"}, {"assistant_id": "7"}])
def test_listing_crons_scans_and_sorts_nothing(plans, query, descending):
    storage, seen = plans
    assert storage.search_crons(CronQuery(**query, descending=descending))
    (plan,) = seen
    assert "Seq Scan" not in plan
    assert "Sort" not in plan


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("query", [{}, {"graph_id": "g"}])
def test_listing_assistants_and_their_versions_scans_and_sorts_nothing(plans, query, descending):
    storage, seen = plans
    assert storage.get_assistant("7") is not None
    assert storage.get_assistant_version("7", 1) is not None
    assert storage.list_assistant_versions("7")
    assert storage.search_assistants(AssistantQuery(**query, descending=descending))
    assert len(seen) == 4
    assert [plan for plan in seen if "Seq Scan" in plan or "Sort" in plan] == []


def test_no_commit_scans_a_table(start, db):
    """Not even one that the database believes to be tiny, as it does for a while when it grows."""
    storage, epoch = start()
    insert(storage, epoch, "t", "u")
    db.execute("ANALYZE")

    def scans():
        storage._writer.execute("SELECT pg_stat_force_next_flush()")
        query = """
            SELECT relname, seq_scan FROM pg_stat_user_tables
            WHERE schemaname = 'greenroom' AND relname NOT IN ('lease', 'migrations')
            ORDER BY relname
        """
        return db.execute(query).fetchall()

    before = scans()
    assert len(before) == 12
    run = make_run(kwargs={"input": 1})
    item = make_item(("a",), "k", ttl=1, expires_at="2027")
    for operation in (
        PutThread(make_thread(status="busy", metadata={"k": 1})),
        Restore(Thread, to_row(make_thread())),
        PutRun(run),
        PutRun(run),
        PutAssistant(make_assistant()),
        PutAssistant(make_assistant()),
        PutCron(make_cron(thread_id="t")),
        PutCron(make_cron("other")),
        DeleteCron("other"),
        DeleteAssistant("a"),
        PutPost(make_post()),
        DeletePost("p"),
        AppendLog((make_checkpoint_row(1, "c", input=b"1", run_id="r"),), follows=0),
        AppendLog((make_writes_row(2, "c"), make_checkpoint_row(3, "d")), follows=1),
        AppendEvents((make_event(1),)),
        AppendLog((make_list_row(4, 4, b"1"), make_list_row(5, 4, b"2"))),
        PackList("t", 4),
        TruncateLog("t", 3),
        DeleteRun("t", "r"),
        DeleteThread("t"),
        PutItem(item, "soup"),
        PutItem(item, "soup of the day"),
        ProlongItem(item.namespace, item.key, 1, "2028"),
        DeleteExpired("2027", 1),
        DeleteItem(item.namespace, item.key),
    ):
        assert storage.commit([[operation]], epoch) == [None]
    assert scans() == before


def looked_at(plan):
    """How many rows the parts of a plan have read."""
    own = plan["Actual Loops"] * (
        plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        if "Scan" in plan["Node Type"] and plan["Node Type"] != "Subquery Scan"
        else 0
    )
    return own + sum(looked_at(part) for part in plan.get("Plans", ()))


@pytest.mark.parametrize("analyzed", [True, False])
def test_a_page_of_threads_looks_at_few_of_them(start, db, analyzed):
    storage, epoch = start()
    db.execute("ALTER TABLE greenroom.threads SET (autovacuum_enabled = off)")
    db.execute("ALTER TABLE greenroom.thread_facts SET (autovacuum_enabled = off)")
    threads = many_threads(6000)
    assert storage.commit([list(map(InsertThread, threads))], epoch) == [None]
    if analyzed:
        db.execute("ANALYZE")
    seen = []
    fetch = storage._fetch

    def explained(query, values):
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {query}"
        ((((plan,)),),) = db.execute(explain.encode(), values).fetchall()
        seen.append(looked_at(plan["Plan"]))
        return fetch(query, values)

    storage._fetch = explained
    for query in PAGES:
        for sort in SORTS:
            for descending in (True, False):
                seen.clear()
                page = ThreadQuery(**query, sort_by=sort, descending=descending)
                storage.search_threads(page)
                assert seen
                assert sum(seen) <= 1500, (page, seen)


PAGES = (
    {"metadata": {"half": 1}},
    {"metadata": {"early": True}},
    {"metadata": {"rare": True}},
    {"metadata": {"absent": 1}},
    {"metadata": {"half": 1, "third": 2}},
    {"metadata": {"half": 1, "rare": True}},
    {"metadata": {"list": [{"third": 1}]}},
    {"metadata": {"half": 1}, "status": "error"},
)


def test_threads_that_were_there_before_are_found_by_their_metadata(start, db, monkeypatch):
    monkeypatch.setattr(postgres_schema, "MIGRATIONS", postgres_schema.MIGRATIONS[:1])
    db.execute("BEGIN")
    postgres_schema.migrate(db, "here")
    for thread in (make_thread(metadata={"k": {"a": [1]}}), make_thread("u", metadata={"k": 1})):
        row = to_row(thread)
        columns = ", ".join(row)
        db.execute(
            f"INSERT INTO greenroom.threads ({columns}) VALUES ({', '.join(['%s'] * len(row))})",
            list(row.values()),
        )
    db.execute("COMMIT")
    monkeypatch.undo()
    storage, epoch = start()
    for sort in SORTS:
        page = ThreadQuery(metadata={"k": {"a": [1]}}, sort_by=sort)
        assert [thread.thread_id for thread in storage.search_threads(page)] == ["t"]
    assert storage.commit([[DeleteThread("t"), DeleteThread("u")]], epoch) == [None]
    assert db.execute("SELECT count(*) FROM greenroom.thread_facts").fetchone() == (0,)


@pytest.mark.parametrize("query", [{}, {"prefix": ("7",)}, {"filter": {"n": None}}])
def test_items_are_found_by_their_words_in_an_index(plans, db, query):
    storage, seen = plans
    db.execute(  # of few the database would read all
        "INSERT INTO greenroom.item_words"
        " SELECT n, format('word%s', n)::tsvector FROM generate_series(1000, 5000) n"
    )
    db.execute("ANALYZE")
    best, *_ = storage.search_items(ItemQuery(now="", words=("7",), **query))
    assert best.score is not None
    assert seen
    for plan in seen:
        assert "Index Scan on items_by_words" in plan
        assert "Seq Scan" not in plan


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("column", ["created_at", "updated_at", "state_updated_at", "status"])
def test_listing_threads_sorts_nothing(plans, column, descending):
    storage, seen = plans
    storage.search_threads(ThreadQuery(sort_by=column, descending=descending))
    by = column if column != "status" else "created_at"
    storage.search_threads(ThreadQuery(status="busy", sort_by=by, descending=descending))
    assert len(seen) == 2
    assert [plan for plan in seen if "Sort" in plan] == []
