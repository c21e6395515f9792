"""SQLite: the contract, and what is its own: files, the lock, crashes, damage."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from functools import partial

import attrs
import pytest
from sqlite_utils import Database, Migrations

from greenroom.storage import (
    AppendEvents,
    AppendLog,
    AssistantQuery,
    AssistantVersion,
    CronQuery,
    DeleteThread,
    InsertThread,
    ItemQuery,
    NamespaceQuery,
    PutAssistant,
    PutCron,
    PutItem,
    PutPost,
    PutRun,
    PutThread,
    SqliteStorage,
    StaleEpoch,
    StorageError,
    StorageHeld,
    ThreadQuery,
    TruncateLog,
    sqlite_items,
    sqlite_schema,
)
from greenroom.storage.facts import ORDERS
from greenroom.storage.namespaces import place, to_text
from greenroom.storage.sql_read import TABLES
from greenroom.storage.testing import (
    StorageContract,
    make_assistant,
    make_checkpoint_row,
    make_cron,
    make_event,
    make_item,
    make_post,
    make_run,
    make_thread,
)
from greenroom.storage.testing.searches import SORTS, many_threads


class TestSqliteStorage(StorageContract):
    @pytest.fixture
    def new_storage(self, tmp_path):
        return lambda: SqliteStorage(tmp_path / "greenroom.db")

    @pytest.fixture
    def lose_lease(self):
        return lambda storage: storage._lock.release()  # as when the file system forgets a lock


@pytest.fixture
def path(tmp_path):
    return tmp_path / "greenroom.db"


@pytest.fixture
def start(path):
    """Opens a storage and takes its lease."""
    started = []

    def start(at=path, owner="tests"):
        storage = SqliteStorage(at)
        started.append(storage)
        storage.open()
        return storage, storage.acquire_lease(owner).epoch

    yield start
    for storage in started:
        storage.close()


def insert(storage, epoch, *ids):
    assert storage.commit([[InsertThread(make_thread(one))] for one in ids], epoch) == [None] * len(
        ids
    )


def count(storage):
    return storage.count_threads(ThreadQuery())


def files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_only_the_owner_can_read_the_files(start, path):
    before = os.umask(0)
    try:
        storage, epoch = start()
        insert(storage, epoch, "t")
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    names = ["greenroom.db", "greenroom.db-shm", "greenroom.db-wal", "greenroom.db.lock"]
    assert modes == dict.fromkeys(names, 0o600)


def test_commits_are_durable_over_a_power_cut(start):
    storage, _ = start()
    pragmas = storage._writer.execute("PRAGMA synchronous").fetchone()
    assert pragmas == (2,)  # FULL
    assert storage._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_schema_has_a_column_for_every_field(start):
    storage, _ = start()
    for kind, table in TABLES.items():
        stored = {row[1] for row in storage._writer.execute(f"PRAGMA table_info({table})")}
        fields = {field.name for field in attrs.fields(kind)}
        assert fields - {"thread_id"} <= stored
        assert stored - fields <= {"id", "thread", "input", "facts"}


# One holder at a time.

HOLDER = """
import sys
from greenroom.storage import InsertThread, SqliteStorage
from greenroom.storage.testing import make_thread

storage = SqliteStorage(sys.argv[1])
storage.open()
epoch = storage.acquire_lease("the other process").epoch
for number in range(10_000):
    assert storage.commit([[InsertThread(make_thread(f"{number:05}"))]], epoch) == [None]
    print(number, flush=True)
"""


@pytest.fixture
def holder(path):
    """Another process that holds the store, having committed something; it goes on committing."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b"0\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_holds_the_file(holder, path):
    storage = SqliteStorage(path)
    storage.open()
    with pytest.raises(StorageHeld) as refused:
        storage.acquire_lease("us")
    assert str(refused.value) == f"{path} is in use by the other process"
    storage.close()


def test_a_link_to_the_file_is_the_same_file(start, path, tmp_path):
    start(owner="the one")
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with pytest.raises(StorageHeld, match="the one"):
        start(link)


def test_after_kill_9_everything_acknowledged_is_there_at_once(holder, start, path):
    acknowledged = [int(holder.stdout.readline()) for _ in range(50)]
    holder.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in holder.stdout]
    holder.wait()
    storage, epoch = start()
    found = storage.search_threads(ThreadQuery(limit=None))
    ids = sorted(int(thread.thread_id) for thread in found)
    assert ids == list(range(len(ids)))
    # The last commit may have been made and not yet been acknowledged.
    assert acknowledged[-1] in (ids[-1], ids[-1] - 1)
    insert(storage, epoch, "t")
    assert storage._writer.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_child_process_does_not_keep_the_lock(start):
    storage, _ = start()
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    with child:
        try:
            storage.close()
            start()
        finally:
            child.kill()


def test_a_file_that_another_process_holds_can_be_read(holder, path):
    storage = SqliteStorage(path)
    storage.open()
    assert storage.get_thread("00000") == make_thread("00000")
    before = count(storage)
    while count(storage) == before:  # it goes on, and is seen to
        assert holder.poll() is None
    with pytest.raises(StaleEpoch):
        storage.commit([[InsertThread(make_thread("ours"))]], 1)
    storage.close()
    assert holder.poll() is None


def test_what_a_killed_process_left_can_be_read_and_stays_as_it_is(holder, path):
    holder.kill()
    holder.wait()
    before = {name: data for name, data in files(path.parent).items() if "-shm" not in name}
    storage = SqliteStorage(path)
    storage.open()
    assert count(storage) > 0
    storage.close()
    after = {name: data for name, data in files(path.parent).items() if "-shm" not in name}
    assert after == before


def test_a_file_that_is_not_there_cannot_be_read_and_is_not_made(path):
    storage = SqliteStorage(path)
    storage.open()
    with pytest.raises(StorageError, match=r"greenroom\.db cannot be opened"):
        count(storage)
    storage.close()
    assert files(path.parent) == {}


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("DROP TABLE _sqlite_migrations", "holds no data of Greenroom's"),
        ("INSERT INTO _sqlite_migrations VALUES (99, 'greenroom.storage', 'next', '')", "newer"),
    ],
)
def test_a_file_of_another_schema_cannot_be_read(start, path, sql, reason):
    storage, _ = start()
    storage._writer.execute(sql)
    storage._writer.conn.commit()
    storage.close()
    storage.open()
    with pytest.raises(StorageError, match=reason):
        count(storage)


def test_a_file_of_an_older_version_cannot_be_read_until_it_was_served(start, path, monkeypatch):
    storage, epoch = start()
    insert(storage, epoch, "t")
    storage.close()

    def tomorrow(db):
        pass

    steps, later = (*sqlite_schema.MIGRATIONS, tomorrow), Migrations("greenroom.storage")
    for step in steps:
        later()(step)
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", steps)
    monkeypatch.setattr(sqlite_schema, "_migrations", later)
    storage.open()
    with pytest.raises(StorageError, match="older version of Greenroom: serve it once"):
        count(storage)
    storage.close()
    served, _ = start()
    served.close()
    storage.open()
    assert count(storage) == 1


def test_a_page_is_of_one_moment_whatever_is_committed_meanwhile(start):
    storage, epoch = start()
    insert(storage, epoch, "t")
    rows = (make_checkpoint_row(1, "c1"), make_checkpoint_row(2, "c2", base_seq=1))
    assert storage.commit([[AppendLog(rows)]], epoch) == [None]
    commits = [[TruncateLog("t", 1)]]

    def commit_in_between(statement):
        if "seq BETWEEN" in statement and commits:
            assert storage.commit([commits.pop()], epoch) == [None]

    reader = storage._take_reader()
    reader.set_trace_callback(commit_in_between)
    storage._readers.append(reader)
    assert storage.read_checkpoint("t", "").checkpoints == rows
    assert commits == []
    assert storage.read_checkpoint("t", "") is None


# What is in the way is said in a line, and left alone.


def open_and_take(storage):
    storage.open()
    storage.acquire_lease("tests")


def refusal(path):
    storage = SqliteStorage(path)
    with pytest.raises(StorageError) as refused:
        open_and_take(storage)
    storage.close()
    text = str(refused.value)
    assert "\n" not in text
    return text


def test_a_folder_that_does_not_exist(tmp_path):
    assert refusal(tmp_path / "no" / "x.db") == f"The folder {tmp_path}/no does not exist"
    assert files(tmp_path) == {}


def test_a_path_that_is_a_folder(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path} is a folder, not a file"


@pytest.mark.parametrize("content", [b"hello", b"x" * 10_000])
def test_a_file_that_is_no_database(path, content):
    path.write_bytes(content)
    assert refusal(path) == f"{path} is not a database"
    assert files(path.parent) == {path.name: content}


def test_an_empty_file_becomes_a_database(start, path):
    path.touch()
    storage, epoch = start()
    insert(storage, epoch, "t")


def test_a_file_of_a_newer_version(start, path):
    storage, _ = start()
    storage._writer["_sqlite_migrations"].insert(
        {"migration_set": "greenroom.storage", "name": "tomorrow", "applied_at": ""}
    )
    storage.close()
    before = path.read_bytes()
    expected = f"{path} was written by a newer version of Greenroom: it has the schema 'tomorrow'"
    assert refusal(path) == expected
    assert path.read_bytes() == before
    assert set(files(path.parent)) == {path.name, f"{path.name}.lock"}


def test_a_database_of_another_program_is_left_alone(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE runs (mine)")
    before = path.read_bytes()
    assert refusal(path) == f"{path}: table runs already exists"
    assert path.read_bytes() == before


def test_one_who_is_refused_changes_nothing(start, path):
    storage, epoch = start()
    insert(storage, epoch, "t")
    before = files(path.parent)
    assert "is in use by tests" in refusal(path)
    after = files(path.parent)
    assert after.keys() == before.keys()
    assert after[path.name] == before[path.name]
    assert after[f"{path.name}-wal"] == before[f"{path.name}-wal"]
    insert(storage, epoch, "u")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert "Permission denied" in refusal(tmp_path / "x.db")
    finally:
        tmp_path.chmod(0o700)


def test_a_full_disk_refuses_commits_and_harms_nothing(start):
    storage, epoch = start()
    insert(storage, epoch, "t")
    db = storage._writer
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")
    big = InsertThread(make_thread("big", metadata={"x": "y" * 100_000}))
    (error,) = storage.commit([[big]], epoch)
    assert str(error) == f"{storage.path} cannot grow: the disk is full"
    assistant = PutAssistant(make_assistant(metadata={"x": "y" * 100_000}))
    with pytest.raises(StorageError, match="the disk is full"):
        storage.commit([[InsertThread(make_thread("small"))], [assistant]], epoch)
    db.execute("PRAGMA max_page_count = 1000000")
    assert storage.commit([[big]], epoch) == [None]
    assert count(storage) == 2


def test_a_lock_of_another_program_refuses_commits_for_as_long_as_it_lasts(
    start, path, monkeypatch
):
    monkeypatch.setattr("greenroom.storage.sqlite_files.BUSY_TIMEOUT", 0.01)
    storage, epoch = start()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        (error,) = storage.commit([[InsertThread(make_thread())]], epoch)
        assert str(error) == f"{path} is locked by another program"
        with pytest.raises(StorageError, match="is locked by another program"):
            storage.commit([[], []], epoch)
    insert(storage, epoch, "t")


def test_a_damaged_record_is_named(start):
    storage, epoch = start()
    insert(storage, epoch, "t")
    storage._writer.execute("UPDATE threads SET status = 'asleep'")
    with pytest.raises(StorageError, match="The stored Thread t cannot be read"):
        storage.get_thread("t")


def test_a_storage_that_is_closed_says_so(start):
    storage, epoch = start()
    storage.close()
    with pytest.raises(StorageError, match="is not open"):
        storage.get_thread("t")
    with pytest.raises(StaleEpoch):
        storage.commit([], epoch)


# Cost.


def test_no_read_of_a_thread_or_of_unfinished_runs_scans_a_table(start):
    storage, epoch = start()
    insert(storage, epoch, "t")
    plans = []

    def explain(statement):
        if statement.lstrip().startswith("SELECT") and "max(seq)" not in statement:
            with closing(sqlite3.connect(storage.path)) as connection:
                plans.extend(connection.execute(f"EXPLAIN QUERY PLAN {statement}"))

    reader = storage._take_reader()
    reader.set_trace_callback(explain)
    storage._readers.append(reader)
    storage.get_run("t", "r")
    storage.list_runs("t")
    storage.unfinished_runs()
    storage.unfinished_runs("t")
    storage.read_checkpoint("t", "")
    storage.read_checkpoint("t", "", "c")
    storage.read_history("t", "", before="c")
    storage.read_events("t", "r")
    storage.read_thread_events("t")
    reader.set_trace_callback(None)
    scans = {row[3] for row in plans if "SCAN" in row[3]}
    assert plans
    assert scans <= {"SCAN r USING INDEX runs_unfinished"}


def test_a_moment_does_not_see_what_is_committed_meanwhile(start):
    storage, epoch = start()
    insert(storage, epoch, "t")
    with storage.moment() as then:
        assert len(then.scan_threads()) == 1
        insert(storage, epoch, "u")
        assert storage.commit([[DeleteThread("t")]], epoch) == [None]
        assert [row["thread_id"] for row in then.scan_threads()] == ["t"]
    assert [row["thread_id"] for row in storage.scan_threads()] == ["u"]


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("DELETE FROM threads", "1 runs of a thread that is not there"),
        ("DELETE FROM threads", "1 log records of a thread that is not there"),
        ("DELETE FROM threads", "1 events of a thread that is not there"),
        ("DELETE FROM threads", "1 crons of a thread that is not there"),
        ("DELETE FROM assistants", "1 versions of an assistant that is not there"),
        (
            "DELETE FROM assistant_versions",
            "1 assistants that are a version which is not there",
        ),
        ("DELETE FROM runs", "1 events of a run that is not there"),
        ("DELETE FROM runs", "1 log records that take their input from a run that is not there"),
    ],
)
def test_records_whose_owner_is_gone_are_faults(start, sql, fault):
    storage, epoch = start()
    run = make_run(kwargs={"input": 1})
    row = attrs.evolve(make_checkpoint_row(1, "c1"), input=b"1", run_id="r")
    crons = [PutCron(make_cron(thread_id="t")), PutCron(make_cron("of no thread"))]
    group = [InsertThread(make_thread()), PutRun(run), AppendLog((row,)), *crons]
    group.append(PutAssistant(make_assistant()))
    assert storage.commit([[*group, AppendEvents((make_event(1),))]], epoch) == [None]
    assert storage.faults() == []
    storage._writer.execute(sql)
    storage._writer.conn.commit()
    assert fault in storage.faults()


def test_vacuum_gives_the_space_of_what_was_deleted_back(start, path):
    storage, epoch = start()
    rows = tuple(
        attrs.evolve(make_checkpoint_row(n, f"c{n}"), data=b"x" * 100_000) for n in range(1, 31)
    )
    assert storage.commit([[InsertThread(make_thread()), AppendLog(rows)]], epoch) == [None]
    assert storage.commit([[DeleteThread("t")]], epoch) == [None]
    storage.vacuum(epoch)
    assert path.stat().st_size < 500_000


def test_who_holds_a_file_is_known_beside_it(holder, path):
    storage = SqliteStorage(path)
    storage.open()
    assert storage.stats().holder == "the other process"
    holder.kill()
    holder.wait()
    assert storage.stats().holder is None
    storage.close()


def test_a_state_is_read_without_going_through_the_log_of_its_thread(start):
    storage, epoch = start()
    insert(storage, epoch, "t")
    storage.commit([[AppendLog((make_checkpoint_row(1, "c"),))]], epoch)
    for read in (
        lambda: storage.read_checkpoint("t", ""),
        lambda: storage.read_checkpoint("t", "", "c"),
        lambda: storage.read_history("t", "", limit=10),
    ):
        assert not [plan for plan in plans_of(storage, read) if plan.endswith("(thread=?)")]


def test_long_values_are_not_copied_all_at_once(start):
    storage, epoch = start()
    insert(storage, epoch, "t")
    statements = []
    storage._writer.conn.set_trace_callback(statements.append)
    rows = [make_checkpoint_row(seq, f"c{seq}") for seq in range(1, 9)]
    long = tuple(attrs.evolve(row, data=b'{"x":"%s"}' % (b"x" * 400_000)) for row in rows)
    assert storage.commit([[AppendLog(long)]], epoch) == [None]
    assert sum("INSERT INTO log" in statement for statement in statements) == 3
    assert [len(row.data) for row in storage.read_log("t")] == [len(long[0].data)] * 8


def test_events_of_a_run_are_read_without_going_through_those_of_its_thread(start):
    storage, epoch = start()
    insert(storage, epoch, "t")
    for after in (0, 5):
        plans = plans_of(storage, partial(storage.read_events, "t", "r", after=after))
        assert any("events_by_run (run=? AND event_id>?)" in plan for plan in plans)


def plans_of(storage, read):
    """How SQLite carries out the statements of a read."""
    plans = []

    def explain(statement):
        if statement.lstrip().startswith("SELECT"):
            plans.extend(row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {statement}"))

    reader = storage._take_reader()
    reader.set_trace_callback(explain)
    storage._readers.append(reader)
    read()
    reader.set_trace_callback(None)
    assert plans
    return plans


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"filter": {"n": {"$gt": 1}, "odd key": [1]}},
        {"words": ("soup",)},
        {"vector": (1.0, 0.0)},
    ],
)
def test_a_search_below_a_prefix_looks_at_no_other_item(start, query):
    storage, epoch = start()
    items = [
        PutItem(make_item(("users", str(n)), "k", {"n": n}), "soup", ((1.0, 0.0),))
        for n in range(50)
    ]
    assert storage.commit([items], epoch) == [None]
    plans = plans_of(
        storage, lambda: storage.search_items(ItemQuery(now="", prefix=("users", "7"), **query))
    )
    assert [plan for plan in plans if plan.startswith("SEARCH items USING INDEX")]
    assert not [plan for plan in plans if plan.startswith("SCAN") and "item_texts" not in plan]
    assert not [plan for plan in plans if "item_vectors" in plan and "INDEX" not in plan]


def test_a_search_by_words_looks_at_no_words_of_other_prefixes(start):
    storage, epoch = start()
    items = [PutItem(make_item((str(n), "mem"), "k"), "soup of the day") for n in range(50)]
    assert storage.commit([items], epoch) == [None]
    [put] = storage.search_items(ItemQuery(now="", prefix=("7",), words=("soup",)))
    matched = storage._writer.execute(
        "SELECT count(*) FROM item_texts WHERE item_texts MATCH ?",
        [sqlite_items._match(ItemQuery(now="", prefix=("7",), words=("soup",)))],
    ).fetchone()
    assert put.score is not None
    assert matched == (1,)


def test_no_read_of_an_item_of_namespaces_or_of_what_expires_scans_items(start):
    storage, epoch = start()
    assert storage.commit([[PutItem(make_item(("a", "b"), "k"))]], epoch) == [None]
    plans = []
    for read in (
        lambda: storage.get_item(("a", "b"), "k", ""),
        lambda: storage.list_namespaces(NamespaceQuery(now="", prefix=("a", "*"), suffix=("b",))),
        storage.next_expiry,
    ):
        plans += plans_of(storage, read)
    assert {plan.partition(" (")[0] for plan in plans} == {
        "SEARCH items USING INDEX sqlite_autoindex_items_1",
        "SEARCH items USING COVERING INDEX items_expiry",
    }


@pytest.mark.parametrize("steps", range(1, len(sqlite_schema.MIGRATIONS)))
def test_a_file_of_any_older_version_is_migrated_with_all_it_has(start, path, steps):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        before = Migrations("greenroom.storage")
        for step in sqlite_schema.MIGRATIONS[:steps]:
            before()(step)
        before.apply(Database(connection))
    with closing(sqlite3.connect(path)) as connection:
        columns = "(thread_id, created_at, updated_at, state_updated_at, metadata, config, status,"
        connection.execute(
            f"INSERT INTO threads {columns} interrupts) VALUES"
            " ('t', '2026', '2026', '2026', '{}', '{}', 'idle', '{}')"
        )
        connection.execute(
            "INSERT INTO assistants VALUES"
            " (1, 'a', 'g', '2026', '2027', 'n', 'd', 4, '{}', '{\"n\":1}', '{}')"
        )
        if sqlite_schema.assistant_versions in sqlite_schema.MIGRATIONS[:steps]:
            connection.execute(
                "INSERT INTO assistant_versions VALUES"
                " (1, 'a', 4, 'g', '2027', 'n', 'd', '{}', '{\"n\":1}', '{}')"
            )
        connection.commit()
    storage, epoch = start()
    assert storage.get_thread("t").created_at == "2026"
    assert storage.commit([[PutItem(make_item(("a",), "k"))]], epoch) == [None]
    assert storage.get_item(("a",), "k", "") == make_item(("a",), "k")
    assert storage.commit([[PutCron(make_cron(thread_id="t"))]], epoch) == [None]
    assert storage.get_cron("c") == make_cron(thread_id="t")
    (version,) = storage.list_assistant_versions("a")
    assert version == AssistantVersion(
        assistant_id="a",
        version=4,
        graph_id="g",
        created_at="2027",
        name="n",
        description="d",
        context={"n": 1},
    )
    assert storage.faults() == []
    assert storage.commit([[PutPost(make_post())]], epoch) == [None]
    assert storage.get_post("p") == make_post()
    assert path.with_name(f"{path.name}.backup-{steps}").exists()


def test_texts_of_an_older_version_are_found_by_the_words_that_others_see_in_them(start, path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        before = Migrations("greenroom.storage")
        for step in sqlite_schema.MIGRATIONS[:5]:
            before()(step)
        before.apply(Database(connection))
        connection.execute(
            "INSERT INTO items (id, namespace, key, value, created_at, updated_at)"
            " VALUES (7, ?, 'k', '{}', '2026', '2026')",
            [to_text(("a",))],
        )
        connection.execute(
            "INSERT INTO item_texts (rowid, places, text) VALUES (7, ?, 'soup🥰spoon\ncafé')",
            [place(("a",))],
        )
    storage, _ = start()
    for word, is_found in (("soup", True), ("café", True), ("cafe", False)):
        (one,) = storage.search_items(ItemQuery(now="", prefix=("a",), words=(word,)))
        assert (one.score is not None) is is_found
    assert [put.text for _, put in storage.scan_items()] == ["soup spoon café"]


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("status", [None, "interrupted", "error"])
def test_a_page_of_threads_is_read_in_its_order_and_nothing_beyond_it(start, status, descending):
    storage, _ = start()
    way = "SCAN" if status is None else "SEARCH"
    for sort in SORTS:
        page = ThreadQuery(status=status, sort_by=sort, descending=descending)
        (plan,) = plans_of(storage, partial(storage.search_threads, page))
        assert plan.startswith(f"{way} t USING INDEX"), plan


def test_idle_threads_are_read_in_the_order_asked_for_and_busy_ones_are_sorted(start):
    storage, _ = start()
    for sort in SORTS:
        page = ThreadQuery(status="idle", sort_by=sort)
        (plan,) = plans_of(storage, partial(storage.search_threads, page))
        way = "SCAN" if sort in ORDERS else "SEARCH"
        assert plan.startswith(f"{way} t USING INDEX"), plan
        page = ThreadQuery(status="busy", sort_by=sort)
        plan, *_ = plans_of(storage, partial(storage.search_threads, page))
        assert plan.startswith("SEARCH t USING INDEX threads_status "), plan


def test_a_run_that_ends_well_moves_its_thread_in_no_index_of_status_and_time(start):
    storage, epoch = start()
    insert(storage, epoch, "t")
    count = "SELECT count(*) FROM threads INDEXED BY threads_status_created"
    where = "WHERE status <> 'idle' AND status <> 'busy'"
    for status, number in (("busy", 0), ("idle", 0), ("interrupted", 1), ("busy", 0)):
        changed = make_thread(status=status)
        assert storage.commit([[PutThread(changed)]], epoch) == [None]
        assert storage._writer.execute(f"{count} {where}").fetchone() == (number,)


QUERIES = (
    {"metadata": {"all": 1}},
    {"metadata": {"half": 1}},
    {"metadata": {"early": True}},
    {"metadata": {"rare": True}},
    {"metadata": {"absent": 1}},
    {"metadata": {"half": 1, "third": 2}},
    {"metadata": {"half": 1, "rare": True}},
    {"metadata": {"deep": {"of": {"third": 1}}}},
    {"metadata": {"list": [{"third": 1}]}},
    {"metadata": {"a'b": "?", '$."a"': 1}},
    {"metadata": {"half": 1}, "status": "error"},
    {"metadata": {"half": 1}, "status": "idle"},
)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Two stores, the second of ten times as many threads."""
    opened = []
    for number in (1000, 10_000):
        storage = SqliteStorage(tmp_path_factory.mktemp("stores") / "greenroom.db")
        storage.open()
        opened.append(storage)
        epoch = storage.acquire_lease("tests").epoch
        inserts = [InsertThread(thread) for thread in many_threads(number)]
        assert storage.commit([inserts], epoch) == [None]
    yield opened
    for storage in opened:
        storage.close()


A_LITTLE = 500  # looking at all threads of the larger store is 10,000 and more


def steps_of(storage, query):
    """How many instructions SQLite carries out for a page, in tens."""
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    reader = storage._take_reader()
    reader.set_progress_handler(count, 10)
    storage._readers.append(reader)
    storage.search_threads(query)
    reader.set_progress_handler(None, 10)
    assert steps
    return steps


@pytest.mark.parametrize("query", [{}, {"status": "idle"}, {"status": "error"}, *QUERIES])
@pytest.mark.parametrize("sort", SORTS)
def test_a_page_of_threads_costs_the_same_however_many_there_are(stores, query, sort):
    for descending in (True, False):
        page = ThreadQuery(**query, sort_by=sort, descending=descending)
        small, large = (steps_of(storage, page) for storage in stores)
        assert large <= 2 * max(small, A_LITTLE), (page, small, large)


def test_counting_threads_that_there_cannot_be_looks_at_none(stores):
    for query in ({"metadata": {"absent": 1}}, {"metadata": {"half": 1}, "status": "interrupted"}):
        count = partial(stores[1].count_threads, ThreadQuery(**query))
        assert count() == 0
        assert not [plan for plan in plans_of(stores[1], count) if plan.split()[1] == "t"]


def test_a_thread_that_changes_but_for_its_metadata_and_day_leaves_its_facts_alone(start):
    storage, epoch = start()
    thread = make_thread(metadata={"k": 1, "n": 1}, time="2026-01-01T00")
    assert storage.commit([[InsertThread(thread)]], epoch) == [None]

    def written(**changes):
        """How many facts are written, each in three orders."""
        before = storage._writer.conn.total_changes
        assert storage.commit([[PutThread(attrs.evolve(thread, **changes))]], epoch) == [None]
        return storage._writer.conn.total_changes - before - 1

    assert written(updated_at="2026-01-01T09", state_updated_at="2026-01-01T09", status="busy") == 0
    assert written(metadata={"k": 1, "n": 2}) == 2 * 3
    assert written(updated_at="2026-01-02T00") == 2 * 2 + 2 * 2  # a day, and metadata again


def test_a_deleted_thread_leaves_no_facts(start):
    storage, epoch = start()
    thread = make_thread(metadata={"k": [1, {"a": "b"}]})
    assert storage.commit([[InsertThread(thread)]], epoch) == [None]
    assert storage._writer.execute("SELECT count(*) FROM thread_facts").fetchone() == (4 * 3,)
    assert storage.commit([[DeleteThread("t")]], epoch) == [None]
    assert storage._writer.execute("SELECT count(*) FROM thread_facts").fetchone() == (0,)


def test_threads_that_expire_are_found_by_an_index(start):
    storage, _ = start()
    plans = plans_of(storage, partial(storage.expired_threads, "2026", limit=10))
    plans += plans_of(storage, storage.next_thread_expiry)
    found = {plan.replace("COVERING ", "").split(" (")[0] for plan in plans}
    assert found == {"SEARCH threads USING INDEX threads_expiry"}, plans


def test_crons_that_are_due_are_found_by_an_index(start):
    storage, _ = start()
    plans = plans_of(storage, partial(storage.due_crons, "2026", limit=10))
    found = {plan.replace("COVERING ", "").split(" (")[0] for plan in plans}
    assert found == {"SEARCH crons USING INDEX crons_due"}, plans


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize(
    ("query", "step"),
    [
        ({}, "SCAN crons USING INDEX crons_created"),
        ({"thread_id": "t"}, "SEARCH crons USING INDEX crons_thread"),
        ({"assistant_id": "a"}, "SEARCH crons USING INDEX crons_assistant"),
    ],
)
def test_a_page_of_crons_is_read_in_its_order_and_nothing_beyond_it(start, query, step, descending):
    storage, _ = start()
    page = CronQuery(**query, descending=descending)
    (plan,) = plans_of(storage, partial(storage.search_crons, page))
    assert plan.startswith(step), plan


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize(
    ("query", "step"),
    [
        ({}, "SCAN assistants USING INDEX assistants_created"),
        ({"graph_id": "g"}, "SEARCH assistants USING INDEX assistants_graph"),
    ],
)
def test_a_page_of_assistants_is_read_in_its_order(start, query, step, descending):
    storage, _ = start()
    page = AssistantQuery(**query, descending=descending)
    (plan,) = plans_of(storage, partial(storage.search_assistants, page))
    assert plan.startswith(step), plan


def test_versions_of_an_assistant_are_found_by_an_index_and_in_order(start):
    storage, _ = start()
    plans = plans_of(storage, partial(storage.list_assistant_versions, "a"))
    plans += plans_of(storage, partial(storage.get_assistant_version, "a", 1))
    plans += plans_of(storage, partial(storage.scan_assistant_versions, "a"))
    found = {plan.split(" (")[0] for plan in plans}
    index = "sqlite_autoindex_assistant_versions_1"
    assert found == {f"SEARCH assistant_versions USING INDEX {index}"}, plans


def test_nothing_is_scanned_for_a_page_of_what_is_stored(start):
    storage, _ = start()
    plans = plans_of(storage, storage.scan_threads) + plans_of(storage, storage.scan_crons)
    plans += plans_of(storage, storage.scan_posts)
    for read in (storage.scan_runs, storage.scan_log):
        plans += plans_of(storage, partial(read, "t"))
    assert not [plan for plan in plans if "SCAN" in plan or "TEMP B-TREE" in plan], plans
