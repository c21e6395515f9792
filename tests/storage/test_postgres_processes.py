"""Real processes that serve one PostgreSQL database."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio

pytest.importorskip("psycopg", reason="psycopg is not installed")

from psycopg.errors import LockNotAvailable

from greenroom.actors import Greenroom
from greenroom.graph import START, StateGraph
from greenroom.storage import StaleEpoch
from greenroom.storage.postgres import PostgresStorage

from ..scenarios import graphs
from ..scenarios.server import PATIENCE, Server, until
from .postgres_server import let_the_lease_run_out


@pytest.fixture
def make_server(tmp_path, dsn):
    """A server of the database, not started yet."""
    made = []

    def make(name, *options):
        (tmp_path / name).mkdir()
        served = {"gated": f"{graphs.__file__}:gated"}
        folder = tmp_path / name
        made.append(Server(folder=folder, graphs=served, storage=dsn, options=options))
        return made[-1]

    yield make
    for server in made:
        if server.process is not None and server.process.poll() is None:
            server.kill()


def body(text, gate):
    return {"assistant_id": "gated", "input": {"text": text, "gate": str(gate)}}


def log_of(http, thread):
    return http.get(f"{thread}/state").json()["values"].get("log", [])


def last_line(server):
    return server.log.read_text().splitlines()[-1]


def freeze_past_its_lease(server, db):
    """Stop the process, at a moment when it is not in the middle of a commit, and let its lease run
    out, in one go: what it has sent may still be on its way."""
    while True:
        server.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, server.process.pid, os.WSTOPPED)
        try:
            with db.transaction():
                db.execute("SELECT FROM greenroom.lease FOR UPDATE NOWAIT")
                let_the_lease_run_out(db)
            return
        except LockNotAvailable:
            server.process.send_signal(signal.SIGCONT)


def test_a_process_that_was_stopped_past_its_lease_is_followed_and_ends_itself(
    make_server, db, tmp_path
):
    gate = tmp_path / "gate"
    first = make_server("first", "--lease-time", "20").start()
    second = make_server("second")
    with first.client() as http:
        thread = f"/threads/{http.post('/threads', json={}).json()['thread_id']}"
        run = http.post(f"{thread}/runs", json=body("one", gate)).json()["run_id"]
        until(lambda: log_of(http, thread) == ["read one"], "the run to be under way")
    freeze_past_its_lease(first, db)

    second.start()
    with second.client() as http:
        gate.touch()
        http.get(f"{thread}/runs/{run}/join")
        done = log_of(http, thread)
        assert done == ["read one", "did one", "answered one"]
        history = http.post(f"{thread}/history", json={"limit": 100}).json()

        first.process.send_signal(signal.SIGCONT)
        assert first.process.wait(PATIENCE) == 2
        owner = f"process {second.process.pid} on "
        assert f" was taken over by {owner}" in last_line(first)
        assert last_line(first).startswith("greenroom: postgresql://")
        assert "Traceback" not in first.log.read_text()
        assert http.post(f"{thread}/history", json={"limit": 100}).json() == history
        assert http.get(f"{thread}/runs/{run}").json()["status"] == "success"


def test_a_second_server_is_told_who_serves_the_database(make_server):
    first, second = make_server("first").start(), make_server("second")
    with pytest.raises(AssertionError, match="greenroom serve ended"):
        second.start()
    assert last_line(second).endswith(
        f"is in use by process {first.process.pid} on {_host(last_line(second))}"
    )
    assert first.answers()


def _host(line):
    return line.rpartition(" on ")[2]


def test_a_server_that_is_killed_is_followed_when_its_lease_has_run_out(make_server, db):
    first, second = make_server("first").start(), make_server("second")
    with first.client() as http:
        thread = f"/threads/{http.post('/threads', json={}).json()['thread_id']}"
    first.kill()
    with ThreadPoolExecutor(1) as pool:
        started = pool.submit(second.start)
        until(lambda: second.log.exists() and "waiting" in second.log.read_text(), "it to wait")
        let_the_lease_run_out(db)
        started.result()
    with second.client() as http:
        assert http.get(thread).status_code == 200


def test_a_server_is_told_how_long_its_lease_lasts(make_server, db):
    make_server("one", "--lease-time", "3600").start()
    query = "SELECT ends_at > clock_timestamp() + interval '50 minutes' FROM greenroom.lease"
    assert db.execute(query).fetchone() == (True,)


def test_requests_wait_while_the_database_is_away_and_ok_says_so(make_server, postgres):
    server = make_server("one").start()
    with server.client() as http, server.client() as other, ThreadPoolExecutor(1) as pool:
        assert http.get("/ok?check_db=1").status_code == 200
        postgres.stop()
        answer = http.get("/ok?check_db=1")
        assert answer.status_code == 503
        assert answer.json() == {"detail": "The storage cannot be reached at the moment"}
        creating = pool.submit(other.post, "/threads", json={})
        until(lambda: http.get("/ok").status_code == 503, "/ok to know")
        postgres.start()
        thread_id = creating.result().json()["thread_id"]
        assert http.get(f"/threads/{thread_id}").status_code == 200
        assert http.get("/ok").json() == http.get("/ok?check_db=1").json() == {"ok": True}
    away, back = (line for line in server.log.read_text().splitlines() if "[warning" in line)
    assert "trying again" in away
    assert "storage is back" in back


async def test_an_embedding_program_that_loses_its_database_gets_an_exception(dsn, postgres):
    async def wait(state):
        began.set()
        try:
            await trio.sleep_forever()
        finally:
            stopped.set()

    began, stopped = trio.Event(), trio.Event()
    graph = StateGraph(graphs.GatedState).add_node("wait", wait).add_edge(START, "wait").compile()

    async def serve():
        storage = PostgresStorage(dsn, lease_time=3)
        async with Greenroom({"agent": graph}, storage=storage) as room:
            thread = await room.client.threads.create()
            await room.client.runs.create(thread["thread_id"], "agent", input={})
            await began.wait()
            postgres.stop()
            await trio.sleep_forever()

    with pytest.raises(StaleEpoch, match=r"could not be renewed in time: postgresql://.*stopped"):
        await serve()
    assert stopped.is_set()


def test_a_database_that_is_down_at_the_start_is_said_in_one_line(make_server, postgres):
    server = make_server("one")
    postgres.stop()
    with pytest.raises(AssertionError, match="greenroom serve ended"):
        server.start()
    (line,) = server.log.read_text().splitlines()
    assert line.startswith("greenroom: postgresql://")
    assert " cannot be reached: " in line
    assert server.process.returncode == 2
