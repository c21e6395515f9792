"""`greenroom serve` and `greenroom dev` as processes of their own."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from subprocess import PIPE
from typing import Any

import attrs
import httpx
import pytest

from .conftest import NIL

GREENROOM = str(Path(sys.executable).with_name("greenroom"))
SERVED = Path(__file__).with_name("served.py")
PATIENCE = 60.0  # seconds, for what must not hang


@attrs.define
class Server:
    """A server that is up. `said`: what it printed, by label."""

    process: subprocess.Popen[str]
    said: dict[str, str]

    @property
    def url(self) -> str:
        return self.said["Greenroom serves"]

    def request(self, method: str, path: str, **how: Any) -> httpx.Response:
        return httpx.request(method, self.url + path, timeout=PATIENCE, **how)

    def end(self, number: signal.Signals) -> int:
        """The exit status after a signal."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    graphs = {name: f"{SERVED}:{name}" for name in ("waits", "stubborn")}
    (tmp_path / "greenroom.json").write_text(json.dumps({"graphs": graphs}))
    return tmp_path


@contextmanager
def serving(
    folder: Path, *options: str, command: str = "serve", most_files: int | None = None
) -> Iterator[Server]:
    limited = [] if most_files is None else ["prlimit", f"--nofile={most_files}"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [*limited, GREENROOM, command, "--port", "0", *options],
            cwd=folder,
            stdout=PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            said = {}
            while "try" not in said:
                line = process.stdout.readline()
                assert line, (folder / "log").read_text()
                label, _, text = line.partition("  ")
                said[label] = text.strip()
            yield Server(process, said)
        finally:
            process.kill()


def connected(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), PATIENCE)


def refused(folder: Path, *arguments: str) -> str:
    """The one line that a command ends in."""
    done = subprocess.run(
        [GREENROOM, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


@contextmanager
def stream_of(url: str, graph: str) -> Iterator[Iterator[str]]:
    """The rest of a stream whose run is under way."""
    body = {"assistant_id": graph, "input": {"text": "x"}, "if_not_exists": "create"}
    path = f"/threads/{NIL}/runs/stream"
    with httpx.stream("POST", url + path, json=body, timeout=PATIENCE) as answer:
        lines = answer.iter_lines()
        while next(lines) != "event: values":
            pass
        yield lines


def test_it_says_where_it_serves_what_and_what_to_try(folder: Path) -> None:
    with serving(folder, command="dev") as server:
        assert server.said["graphs"] == "waits, stubborn"
        assert server.said["data"] == str(folder / "greenroom.db")
        assert server.request("GET", "/ok").json() == {"ok": True}
        if shutil.which("curl"):
            tried = subprocess.check_output(server.said["try"], shell=True, stderr=PIPE)
            assert json.loads(tried)["status"] == "idle"


def test_dev_is_open_to_all_pages_and_serve_is_not(folder: Path) -> None:
    for command, allowed in (("dev", "*"), ("serve", None)):
        with serving(folder, "--storage", "memory", command=command) as server:
            answer = server.request("GET", "/ok", headers={"Origin": "http://example.org"})
            assert answer.headers.get("access-control-allow-origin") == allowed


def test_the_store_finds_by_the_function_that_the_file_names(folder: Path) -> None:
    code = "async def embed(texts):\n    return [[t.count('a'), t.count('b')] for t in texts]\n"
    (folder / "embedding.py").write_text(code)
    config = json.loads((folder / "greenroom.json").read_text())
    index = {"embed": "./embedding.py:embed", "dims": 2, "fields": ["text"]}
    (folder / "greenroom.json").write_text(json.dumps({**config, "store": {"index": index}}))
    with serving(folder, "--storage", "memory") as server:
        for key in ("aab", "abb"):
            body = {"namespace": ["n"], "key": key, "value": {"text": key}}
            assert server.request("PUT", "/store/items", json=body).status_code == 204
        answer = server.request("POST", "/store/items/search", json={"query": "b"})
    assert [item["key"] for item in answer.json()["items"]] == ["abb", "aab"]


def test_memory_leaves_nothing_behind(folder: Path) -> None:
    with serving(folder, "--storage", "memory") as server:
        assert server.said["data"] == "in memory, until this process ends"
        assert server.request("POST", "/threads", json={}).status_code == 200
    assert not list(folder.glob("*.db*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(folder: Path, number: signal.Signals) -> None:
    with serving(folder) as server:
        assert server.end(number) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_a_stream_open(folder: Path, number: signal.Signals) -> None:
    with serving(folder) as server, stream_of(server.url, "waits") as rest:
        assert server.end(number) == 0
        with pytest.raises(httpx.RemoteProtocolError):
            list(rest)


HALF_BODY = b"POST /threads HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"


@pytest.mark.parametrize(
    "sent",
    [b"", HALF_BODY[:20], HALF_BODY, b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n" * 10_000],
    ids=["nothing", "half of the headers", "half of a body", "much, and reads no answer"],
)
def test_a_signal_ends_it_whatever_a_client_is_at(folder: Path, sent: bytes) -> None:
    with serving(folder) as server, connected(server.url) as client:
        client.settimeout(1)  # where it sends more than is taken
        with suppress(TimeoutError):
            client.sendall(sent)
        assert server.request("GET", "/ok").status_code == 200
        assert server.end(signal.SIGTERM) == 0


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="there is no prlimit")
def test_connections_that_say_nothing_keep_nobody_out(folder: Path) -> None:
    with serving(folder, most_files=128) as server, ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(connected(server.url))
        assert server.request("POST", "/threads", json={}).status_code == 200
        assert server.end(signal.SIGTERM) == 0
    assert "Traceback" not in (folder / "log").read_text()


def test_the_limits_of_the_file_hold(folder: Path) -> None:
    config = json.loads((folder / "greenroom.json").read_text())
    config["max_queued_runs"] = 1
    config["http"] = {"max_header_size": 2000, "max_body_size": 1000, "body_timeout": 2}
    (folder / "greenroom.json").write_text(json.dumps(config))
    with serving(folder, "--storage", "memory") as server:
        path = f"/threads/{NIL}/runs"
        body = {"assistant_id": "waits", "input": {"text": "x"}, "if_not_exists": "create"}
        answers = [server.request("POST", path, json=body) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[-1].headers["retry-after"] == "5"
        assert answers[-1].json()["detail"].endswith("has 1 runs waiting; at most 1 may")

        assert server.request("GET", "/ok", headers={"x": "x" * 2000}).status_code == 431
        assert (
            server.request("POST", path, json={**body, "metadata": "x" * 1000}).status_code == 413
        )
        with connected(server.url) as client:
            client.sendall(HALF_BODY)
            assert client.recv(12) == b"HTTP/1.1 408"


def test_a_second_signal_ends_it_at_once(folder: Path) -> None:
    with serving(folder) as server, stream_of(server.url, "stubborn") as rest:
        server.process.send_signal(signal.SIGINT)
        with pytest.raises(httpx.RemoteProtocolError):
            list(rest)
        assert server.end(signal.SIGINT) == -signal.SIGINT


def test_a_node_that_will_not_stop_does_not_hold_up_the_end(folder: Path) -> None:
    with serving(folder) as server, stream_of(server.url, "stubborn"):
        assert server.end(signal.SIGTERM) == 1


def test_the_next_process_has_the_threads_of_the_one_before(folder: Path) -> None:
    with serving(folder) as server:
        path = f"/threads/{server.request('POST', '/threads', json={}).json()['thread_id']}"
        server.end(signal.SIGTERM)
    with serving(folder) as server:
        assert server.request("GET", path).status_code == 200


def test_a_port_that_is_taken_is_one_line(folder: Path) -> None:
    with serving(folder, "--storage", "memory") as server:
        port = server.url.rpartition(":")[2]
        line = refused(folder, "serve", "--storage", "memory", "--port", port)
    assert line.startswith(f"greenroom: port {port} of 127.0.0.1 is taken")


def test_a_database_that_is_in_use_is_one_line_that_names_the_holder(folder: Path) -> None:
    with serving(folder) as server:
        line = refused(folder, "serve", "--port", "0")
    assert str(server.process.pid) in line


def not_a_database(folder: Path) -> None:
    (folder / "greenroom.db").write_text("dear diary" * 1000)


def of_a_newer_version(folder: Path) -> None:
    with serving(folder) as server:
        server.end(signal.SIGTERM)
    with sqlite3.connect(folder / "greenroom.db") as db:
        db.execute(
            "UPDATE _sqlite_migrations SET name = 'm9999_of_the_future' WHERE name = 'tables'"
        )
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
        (nothing, ["--host", "192.0.2.1", "--insecure"], "cannot listen on 192.0.2.1, port 0: "),
        (
            nothing,
            ["--storage", "postgresql://ada:secret@127.0.0.1:1/y"],
            "postgresql://127.0.0.1:1/y cannot be reached: ",
        ),
        (nothing, ["--storage", "postgresql://ada:secret@x y/"], "no PostgreSQL address"),
        (
            nothing,
            ["--storage", "postgresql://ada:secret@x/y", "--lease-time", "0.5"],
            "lease_time: expected 1 s or more, got 0.5",
        ),
        (nothing, ["--storage", "postgresql://x/y", "--lease-time", "nan"], "got nan"),
        (nothing, ["--lease-time", "a while"], "'a while' is not a valid float"),
        (nothing, ["--run-timeout", "0"], "run_timeout: expected more than 0 s, got 0"),
        (nothing, ["--run-timeout", "nan"], "run_timeout: expected more than 0 s, got nan"),
        (nothing, ["--lease-time", "60"], "--lease-time: only PostgreSQL has a lease"),
        (nothing, ["--storage", "redis://:secret@x"], "or postgresql://…, got redis://…"),
        (nothing, ["--storage", "nowhere/greenroom.db"], "nowhere"),
        (nothing, ["--storage", "."], "is a folder"),
        (not_a_database, [], "greenroom.db"),
        (of_a_newer_version, [], "newer version"),
        (nothing, ["--colour"], "No such option"),
    ],
)
def test_every_problem_ends_in_one_line_and_status_2(
    folder: Path, prepare: Callable[[Path], None], arguments: list[str], text: str
) -> None:
    prepare(folder)
    line = refused(folder, "dev", "--port", "0", *arguments)

    assert line.startswith("greenroom: ")
    assert text in line
    assert "secret" not in line


def test_an_unknown_command_is_one_line(folder: Path) -> None:
    assert refused(folder, "fly") == "greenroom: No such command 'fly'."


@pytest.mark.parametrize("arguments", [[], ["--help"], ["serve", "--help"], ["--version"]])
def test_help_and_version_are_no_problem(arguments: list[str]) -> None:
    said = subprocess.check_output([GREENROOM, *arguments], text=True)

    assert (version("greenroom") if "--version" in arguments else "Usage") in said


@pytest.mark.parametrize("given", ["by the file", "by the command line"])
def test_a_run_ends_when_its_time_is_over(folder: Path, given: str) -> None:
    options = ["--storage", "memory"]
    if given == "by the file":
        keys = json.loads((folder / "greenroom.json").read_text())
        (folder / "greenroom.json").write_text(json.dumps({**keys, "run_timeout": 0.1}))
    else:
        options += ["--run-timeout", "0.1"]
    with serving(folder, *options) as server:
        body = {"assistant_id": "waits", "input": {"text": "x"}}
        answer = server.request("POST", "/runs/wait", json=body)
    assert answer.json()["__error__"] == {
        "error": "TimeoutError",
        "message": "The run was stopped: it took longer than 0.1 s",
    }
