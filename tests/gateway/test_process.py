"""`greenroom serve` and `greenroom dev` as processes of their own."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from subprocess import PIPE
from typing import Any

import attrs
import httpx
import pytest
import trio

from .conftest import NIL

GREENROOM = str(Path(sys.executable).with_name("greenroom"))
SERVED = Path(__file__).with_name("served.py")
PATIENCE = 30.0  # seconds, for what must not hang


@attrs.define
class Process:
    """A server that is up. `lines`: what it printed, without the labels."""

    process: trio.Process
    lines: dict[str, str]

    @property
    def url(self) -> str:
        return self.lines["Greenroom serves"]

    async def end(self, *signals: signal.Signals) -> int:
        """The exit status after these signals."""
        for each in signals:
            self.process.send_signal(each)
        return await self.process.wait()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    graphs = {name: f"{SERVED}:{name}" for name in ("waits", "stubborn")}
    (tmp_path / "greenroom.json").write_text(json.dumps({"graphs": graphs}))
    return tmp_path


@asynccontextmanager
async def serving(folder: Path, *options: str, command: str = "serve") -> AsyncIterator[Process]:
    process = await trio.lowlevel.open_process(
        [GREENROOM, command, "--port", "0", *options], cwd=folder, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    async with process.stdout, process.stderr:
        try:
            with trio.fail_after(PATIENCE):
                text = b""
                while b"curl" not in text.rpartition(b"\n")[0]:
                    chunk = await process.stdout.receive_some()
                    assert chunk, await process.stderr.receive_some()
                    text += chunk
                lines = [line.split("  ", 1) for line in text.decode().splitlines()]
                yield Process(process, {key.strip(): value.strip() for key, value in lines})
        finally:
            process.kill()
            await process.wait()


async def refused(folder: Path, *arguments: str) -> str:
    """The one line that a command ends in."""
    done = await trio.run_process(
        [GREENROOM, *arguments],
        cwd=folder,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == b""
    (line,) = done.stderr.decode().splitlines()
    return line


@asynccontextmanager
async def stream_of(url: str, graph: str) -> AsyncIterator[httpx.Response]:
    """A stream whose run is under way."""
    body = {"assistant_id": graph, "input": {"text": "x"}, "if_not_exists": "create"}
    async with (
        httpx.AsyncClient(base_url=url, timeout=PATIENCE) as http,
        http.stream("POST", f"/threads/{NIL}/runs/stream", json=body) as answer,
    ):
        while b"event: values" not in await anext(aiter(answer.stream)):  # type: ignore[arg-type]
            pass
        yield answer


async def test_it_says_where_it_serves_what_and_what_to_try(folder: Path) -> None:
    async with serving(folder, command="dev") as server:
        assert server.lines["graphs"] == "waits, stubborn"
        assert server.lines["data"] == str(folder / "greenroom.db")
        assert httpx.get(f"{server.url}/ok").json() == {"ok": True}
        if shutil.which("curl"):
            tried = await trio.run_process(
                server.lines["try"], shell=True, capture_stdout=True, capture_stderr=True
            )
            assert json.loads(tried.stdout)["status"] == "idle"


async def test_dev_is_open_to_all_pages_and_serve_is_not(folder: Path) -> None:
    for command, allowed in (("dev", "*"), ("serve", None)):
        async with serving(folder, "--storage", "memory", command=command) as server:
            answer = httpx.get(f"{server.url}/ok", headers={"Origin": "http://example.org"})
            assert answer.headers.get("access-control-allow-origin") == allowed


async def test_memory_leaves_nothing_behind(folder: Path) -> None:
    async with serving(folder, "--storage", "memory") as server:
        assert server.lines["data"] == "in memory, until this process ends"
        assert httpx.post(f"{server.url}/threads", json={}).status_code == 200
    assert [path.name for path in folder.iterdir()] == ["greenroom.json"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it(folder: Path, number: signal.Signals) -> None:
    async with serving(folder) as server:
        assert await server.end(number) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_a_stream_open(folder: Path, number: signal.Signals) -> None:
    async with serving(folder) as server, stream_of(server.url, "waits") as answer:
        assert await server.end(number) == 0
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()


async def test_a_second_signal_ends_it_at_once(folder: Path) -> None:
    async with serving(folder) as server, stream_of(server.url, "stubborn") as answer:
        server.process.send_signal(signal.SIGINT)
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()
        assert await server.end(signal.SIGINT) == -signal.SIGINT


async def test_a_node_that_will_not_stop_does_not_hold_up_the_end(folder: Path) -> None:
    async with serving(folder) as server, stream_of(server.url, "stubborn"):
        assert await server.end(signal.SIGTERM) == 1


async def test_the_next_process_has_the_threads_of_the_one_before(folder: Path) -> None:
    async with serving(folder) as server:
        path = f"/threads/{httpx.post(f'{server.url}/threads', json={}).json()['thread_id']}"
        await server.end(signal.SIGTERM)
    async with serving(folder) as server:
        assert httpx.get(f"{server.url}{path}").status_code == 200


async def test_a_port_that_is_taken_is_one_line(folder: Path) -> None:
    async with serving(folder, "--storage", "memory") as server:
        port = server.url.rpartition(":")[2]
        line = await refused(folder, "serve", "--storage", "memory", "--port", port)
    assert line.startswith(f"greenroom: port {port} of 127.0.0.1 is taken")


async def test_a_database_that_is_in_use_is_one_line_that_names_the_holder(folder: Path) -> None:
    async with serving(folder) as server:
        line = await refused(folder, "serve", "--port", "0")
    assert str(server.process.pid) in line


def not_a_database(folder: Path) -> None:
    (folder / "greenroom.db").write_text("dear diary" * 1000)


def of_a_newer_version(folder: Path) -> None:
    with sqlite3.connect(folder / "greenroom.db") as db:
        db.execute("pragma user_version = 9999")
        db.execute("create table _sqlite_migrations (id, migration_set, name, applied_at)")
        row = ("greenroom", "m9999_from_the_future", "2099-01-01")
        db.execute("insert into _sqlite_migrations values (1, ?, ?, ?)", row)
    db.close()


def no_configuration(folder: Path) -> None:
    (folder / "greenroom.json").unlink()


def broken_configuration(folder: Path) -> None:
    (folder / "greenroom.json").write_text("{")


def import_that_fails(folder: Path) -> None:
    (folder / "agent.py").write_text("raise RuntimeError('two\\nlines')")
    graphs = {"agent": "./agent.py:graph"}
    (folder / "greenroom.json").write_text(json.dumps({"graphs": graphs}))


def nothing(folder: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("prepare", "arguments", "text"),
    [
        (no_configuration, [], "no greenroom.json or langgraph.json in /"),
        (broken_configuration, [], "broken JSON at line 1, column 2"),
        (import_that_fails, [], "RuntimeError: two lines at /"),
        (nothing, ["--config", "nowhere.json"], "cannot read nowhere.json: No such file"),
        (nothing, ["--port", "many"], "'many' is not a valid integer"),
        (nothing, ["--port", "70000"], "70000 is not in the range 0<=x<=65535"),
        (nothing, ["--host", "192.0.2.1"], "cannot listen on 192.0.2.1, port 0: "),
        (nothing, ["--storage", "postgresql://x/y"], "PostgreSQL comes in a later version"),
        (nothing, ["--storage", "redis://x"], "expected `memory` or the path of a SQLite file"),
        (nothing, ["--storage", "nowhere/greenroom.db"], "nowhere"),
        (nothing, ["--storage", "."], "."),
        (not_a_database, [], "greenroom.db"),
        (of_a_newer_version, [], "greenroom.db"),
        (nothing, ["--colour"], "No such option"),
    ],
)
@pytest.mark.parametrize("command", ["dev", "serve"])
async def test_every_problem_ends_in_one_line_and_status_2(
    folder: Path, command: str, prepare: Any, arguments: list[str], text: str
) -> None:
    prepare(folder)
    line = await refused(folder, command, "--port", "0", *arguments)

    assert line.startswith("greenroom: ")
    assert text in line


async def test_an_unknown_command_is_one_line(folder: Path) -> None:
    assert await refused(folder, "fly") == "greenroom: No such command 'fly'."


@pytest.mark.parametrize("arguments", [[], ["--help"], ["serve", "--help"], ["--version"]])
async def test_help_and_version_are_no_problem(arguments: list[str]) -> None:
    done = await trio.run_process([GREENROOM, *arguments], capture_stdout=True)

    assert (version("greenroom") if "--version" in arguments else "Usage") in done.stdout.decode()
