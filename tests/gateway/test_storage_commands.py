"""`greenroom storage …`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner, Result

from greenroom.actors import Greenroom
from greenroom.gateway.cli import main
from greenroom.storage import SqliteStorage

from ..storage.stocked import graph, stock

Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store of some things; the commands run in it."""
    monkeypatch.chdir(tmp_path)
    trio.run(stock, SqliteStorage(tmp_path / "greenroom.db"))
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    def run(*arguments: str, status: int = 0, given: bytes | None = None) -> Result:
        result = CliRunner().invoke(main, ["storage", *arguments], input=given)
        assert result.exit_code == status, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return run


@pytest.fixture
def held(folder: Path) -> Iterator[SqliteStorage]:
    """The store, while a server has it."""
    storage = SqliteStorage(folder / "greenroom.db")
    storage.open()
    storage.acquire_lease("the server")
    yield storage
    storage.close()


def test_stats_say_what_there_is(run: Run, folder: Path) -> None:
    lines = [line.split() for line in run("stats").stdout.splitlines()]
    assert ["threads", "4", "1", "error,", "2", "idle,", "1", "interrupted"] in lines
    assert ["assistant", "versions", "3"] in lines
    assert ["crons", "2"] in lines
    assert ["posts", "1"] in lines
    assert ["items", "2"] in lines
    assert ["in", "use", "by", "nobody"] in lines


def test_stats_check_and_export_work_beside_a_server(run: Run, held: SqliteStorage) -> None:
    before = held.scan_threads()
    assert "the server" in run("stats").stdout
    assert "is sound" in run("check").stderr
    assert len(run("export").stdout_bytes.splitlines()) > 50
    assert held.scan_threads() == before


@pytest.mark.parametrize(
    "command", [["vacuum"], ["import", "-"], ["migrate", "--to", "other.db"]], ids=lambda c: c[0]
)
def test_what_writes_refuses_a_store_that_is_in_use(
    run: Run, held: SqliteStorage, command: list[str], folder: Path
) -> None:
    result = run(*command, status=2, given=b"")
    assert result.stderr.splitlines() == [f"greenroom: {held.path} is in use by the server"]
    assert result.stdout == ""
    assert not (folder / "other.db").exists()


def test_a_store_in_use_is_not_migrated_to(run: Run, folder: Path) -> None:
    other = SqliteStorage(folder / "other.db")
    other.open()
    other.acquire_lease("somebody")
    result = run("migrate", "--to", "other.db", status=2)
    assert "other.db is in use by somebody" in result.stderr
    other.close()


def test_an_export_is_taken_in_by_another_store(run: Run, folder: Path) -> None:
    run("export", "--output", "all.jsonl")
    assert sorted(path.name for path in folder.iterdir() if "jsonl" in path.name) == ["all.jsonl"]
    assert (folder / "all.jsonl").stat().st_mode & 0o777 == 0o600
    run("import", "--storage", "other.db", "all.jsonl")
    lines = run("export", "--storage", "other.db").stdout_bytes
    assert lines == (folder / "all.jsonl").read_bytes()
    run("import", "--storage", "third.db", "-", given=lines)
    assert run("export", "--storage", "third.db").stdout_bytes == lines


def test_migrate_copies_everything_and_can_be_made_again(run: Run, folder: Path) -> None:
    for _ in range(2):
        run("migrate", "--to", "other.db")
    assert run("export", "--storage", "other.db").stdout == run("export").stdout


def test_a_copied_store_is_served(run: Run, folder: Path) -> None:
    run("migrate", "--to", "other.db")

    async def serve() -> int:
        storage = SqliteStorage(folder / "other.db")
        async with Greenroom({"agent": graph()}, storage=storage) as room:
            return len(await room.client.threads.search())

    assert trio.run(serve) == 4


def test_an_export_that_fails_leaves_the_file_that_was_there(run: Run, folder: Path) -> None:
    (folder / "all.jsonl").write_text("before")
    storage = SqliteStorage(folder / "greenroom.db")
    storage.open()
    storage.acquire_lease("tests")
    assert storage._writer is not None
    storage._writer.conn.execute("UPDATE log SET data = CAST(x'ff' AS BLOB)")
    storage.close()
    assert "is damaged" in run("export", "--output", "all.jsonl", status=2).stderr
    assert (folder / "all.jsonl").read_text() == "before"


def test_damage_is_listed_with_status_1(run: Run, folder: Path) -> None:
    storage = SqliteStorage(folder / "greenroom.db")
    storage.open()
    storage.acquire_lease("tests")
    assert storage._writer is not None
    storage._writer.conn.execute("DELETE FROM runs")
    storage.close()
    result = run("check", status=1)
    assert "events of a run that is not there" in result.stdout
    assert f"faults in {folder / 'greenroom.db'}" in result.stderr


def test_vacuum_keeps_everything(run: Run, folder: Path) -> None:
    before = run("export").stdout
    run("vacuum")
    assert run("export").stdout == before


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["stats", "--storage", "memory"], "nothing is kept in memory"),
        (["check", "--storage", "missing.db"], "missing.db cannot be opened"),
        (["vacuum", "--storage", "missing.db"], "missing.db does not exist"),
        (["migrate", "--storage", "missing.db", "--to", "x.db"], "missing.db does not exist"),
        (["migrate", "--to", "memory"], "--to: nothing is kept in memory"),
        (["migrate", "--to", "mysql://x"], "--to: expected"),
        (["migrate", "--to", "greenroom.db"], "is in use by greenroom storage"),
        (["import", "missing.jsonl"], "missing.jsonl"),
        (["export", "--output", "no/such.jsonl"], "no/such.jsonl cannot be written"),
    ],
)
def test_every_problem_is_one_line_and_makes_nothing(
    run: Run, folder: Path, command: list[str], reason: str
) -> None:
    result = run(*command, status=2)
    (line,) = result.stderr.splitlines()
    assert reason in line
    assert not {path.name for path in folder.iterdir()} & {"missing.db", "x.db", "mysql:"}
