"""`greenroom storage …` on PostgreSQL."""

from __future__ import annotations

import pytest

pytest.importorskip("psycopg", reason="psycopg is not installed")

import psycopg
import trio
from click.testing import CliRunner

from greenroom.gateway import storage_cli
from greenroom.gateway.cli import main
from greenroom.storage import SqliteStorage
from greenroom.storage.postgres import PostgresStorage
from greenroom.storage.postgres_schema import MIGRATIONS
from greenroom.storage.transfer import everything

from ..scenarios.server import until
from .stocked import stock


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments, status=0, given=None):
        result = CliRunner().invoke(main, ["storage", *arguments], input=given)
        assert result.exit_code == status, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return run


def test_everything_goes_to_postgresql_and_comes_back_as_it_was(run, dsn, tmp_path):
    trio.run(stock, SqliteStorage(tmp_path / "greenroom.db"))
    for _ in range(2):
        run("migrate", "--to", dsn)
    run("migrate", "--storage", dsn, "--to", "back.db")
    before = run("export").stdout_bytes
    assert len(before.splitlines()) > 50
    assert run("export", "--storage", dsn).stdout_bytes == before
    assert run("export", "--storage", "back.db").stdout_bytes == before


def test_an_export_is_taken_in_and_nothing_is_lost_by_a_vacuum(run, dsn, tmp_path):
    trio.run(stock, SqliteStorage(tmp_path / "greenroom.db"))
    lines = run("export").stdout_bytes
    run("import", "--storage", dsn, "-", given=lines)
    run("vacuum", "--storage", dsn)
    assert run("export", "--storage", dsn).stdout_bytes == lines


def test_a_server_is_read_beside_and_not_written(run, dsn):
    trio.run(stock, PostgresStorage(dsn))
    served = PostgresStorage(dsn)
    served.open()
    served.acquire_lease("the server")
    lines = [line.split() for line in run("stats", "--storage", dsn).stdout.splitlines()]
    assert ["threads", "4", "1", "error,", "2", "idle,", "1", "interrupted"] in lines
    assert ["items", "2"] in lines
    assert ["in", "use", "by", "the", "server"] in lines
    assert "is sound" in run("check", "--storage", dsn).stderr
    assert len(run("export", "--storage", dsn).stdout_bytes.splitlines()) > 50
    for command in (["vacuum"], ["import", "-"], ["migrate", "--to", "other.db"]):
        result = run(*command, "--storage", dsn, status=2, given=b"")
        (line,) = result.stderr.splitlines()
        assert line == f"greenroom: {served.address.name} is in use by the server"
    served.close()


def test_a_password_is_not_shown(run, dsn):
    trio.run(stock, PostgresStorage(dsn))
    address = dsn.replace("postgres@", "postgres:secret@")
    for command in (["stats"], ["check"], ["vacuum"]):
        result = run(*command, "--storage", address)
        assert "secret" not in result.output
    result = run("check", "--storage", "postgresql://ada:secret@127.0.0.1:1/x", status=2)
    assert "cannot be reached" in result.stderr
    assert "secret" not in result.output


def test_what_stands_still_keeps_both_leases(run, dsn, other_dsn, monkeypatch):
    trio.run(stock, PostgresStorage(dsn))
    run("migrate", "--storage", dsn, "--to", other_dsn)
    monkeypatch.setattr("greenroom.storage.blocking.RENEW_AFTER", 0.001)

    def stalling(storage):
        for address in (dsn, other_dsn):
            with psycopg.connect(address, autocommit=True) as db:
                before = commits(db)
                until(lambda: commits(db) > before + 2, "the lease to be renewed")  # noqa: B023
        yield from everything(storage)

    def commits(db):
        return db.execute("SELECT commits FROM greenroom.lease").fetchone()[0]

    monkeypatch.setattr(storage_cli, "everything", stalling)
    run("migrate", "--storage", dsn, "--to", other_dsn)


@pytest.mark.parametrize("command", ["stats", "check", "export"])
def test_a_database_with_nothing_of_ours_is_said_to_be_so(run, dsn, command):
    result = run(command, "--storage", dsn, status=2)
    (line,) = result.stderr.splitlines()
    assert line.endswith("holds no data of Greenroom's")


@pytest.mark.parametrize("command", ["stats", "check", "export"])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            "DELETE FROM greenroom.migrations WHERE number = (SELECT max(number) FROM"
            " greenroom.migrations)",
            "was written by an older version of Greenroom: serve it once with this one",
        ),
        (
            "INSERT INTO greenroom.migrations (number) VALUES (1000)",
            f"was written by a newer version of Greenroom: it has the schema 1000, and this version"
            f" knows {len(MIGRATIONS)}",
        ),
    ],
)
def test_a_database_of_another_version_is_not_read(run, dsn, command, change, why):
    trio.run(stock, PostgresStorage(dsn))
    with psycopg.connect(dsn, autocommit=True) as db:
        db.execute(change)
    result = run(command, "--storage", dsn, status=2)
    (line,) = result.stderr.splitlines()
    assert line == f"greenroom: {PostgresStorage(dsn).address.name} {why}"
    assert result.stdout == ""
