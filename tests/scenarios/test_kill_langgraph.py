"""`kill -9` of a process that serves a `langgraph.json`, and a new one on the same data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from .server import Server, until
from .test_kill import log_of, new_thread, run_body

GRAPHS = Path(__file__).with_name("langgraph_graphs.py")


@pytest.fixture
def storage(request: pytest.FixtureRequest) -> str | None:
    """Where the server stores; None is a file of its own."""
    kind = getattr(request, "param", "sqlite")
    return request.getfixturevalue("dsn") if kind == "postgres" else None


anywhere = pytest.mark.parametrize("storage", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def server(tmp_path: Path, storage: str | None) -> Iterator[Server]:
    graphs = {name: f"{GRAPHS}:{name}" for name in ("gated", "approved")}
    config = "langgraph.json"
    server = Server(folder=tmp_path, graphs=graphs, config=config, storage=storage).start()
    yield server
    server.stop()


@pytest.fixture
def replace(
    server: Server, storage: str | None, request: pytest.FixtureRequest
) -> Callable[[], None]:
    """Kills the server, and starts another."""

    def killed_and_started() -> None:
        server.kill()
        if storage is not None:
            from ..storage.postgres_server import let_the_lease_run_out

            let_the_lease_run_out(request.getfixturevalue("db"))
        server.start()

    return killed_and_started


def done(text: str) -> list[str]:
    return [f"read {text}", f"did {text}"]


@anywhere
def test_runs_that_were_running_or_queued_at_a_kill_are_finished_by_the_next_process(
    replace: Callable[[], None], http: httpx.Client, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    threads, runs = [new_thread(http) for _ in range(3)], []
    for thread in threads:
        for text in ("one", "two"):
            run_id = http.post(f"{thread}/runs", json=run_body(text, gate)).json()["run_id"]
            runs.append(f"{thread}/runs/{run_id}")
    for thread in threads:
        until(lambda: log_of(http, thread) == ["read one"], "the runs to be under way")  # noqa: B023

    replace()
    gate.touch()

    for run in runs:
        http.get(f"{run}/join")
        assert http.get(run).json()["status"] == "success"
    for thread in threads:
        assert log_of(http, thread) == [*done("one"), *done("two")]


@anywhere
def test_a_question_of_a_graph_inside_survives_a_kill_and_so_does_its_answer(
    replace: Callable[[], None], http: httpx.Client, tmp_path: Path
) -> None:
    gate, thread = tmp_path / "gate", new_thread(http)
    given = {**run_body("one", gate), "assistant_id": "approved"}
    [asked] = http.post(f"{thread}/runs/wait", json=given).json()["__interrupt__"]

    replace()

    assert http.get(thread).json()["status"] == "interrupted"
    [waiting] = http.get(f"{thread}/state").json()["interrupts"]
    assert waiting["id"] == asked["id"]
    answer = {"assistant_id": "approved", "command": {"resume": "yes"}}
    run = f"{thread}/runs/{http.post(f'{thread}/runs', json=answer).json()['run_id']}"
    until(lambda: log_of(http, thread) == ["read one", "told yes"], "the answer to be taken")

    replace()
    gate.touch()

    http.get(f"{run}/join")
    assert http.get(run).json()["status"] == "success"
    assert log_of(http, thread) == ["read one", "told yes", "did one"]


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
def test_a_stop_that_was_acknowledged_outlives_a_kill(
    replace: Callable[[], None], http: httpx.Client, tmp_path: Path, strategy: str
) -> None:
    gate, thread = tmp_path / "gate", new_thread(http)
    first = http.post(f"{thread}/runs", json=run_body("one", gate)).json()["run_id"]
    until(lambda: log_of(http, thread) == ["read one"], "the run to be under way")
    second = {**run_body("two", gate), "multitask_strategy": strategy}
    run = f"{thread}/runs/{http.post(f'{thread}/runs', json=second).json()['run_id']}"

    replace()
    gate.touch()

    http.get(f"{run}/join")
    assert http.get(run).json()["status"] == "success"
    before = ["read one"] if strategy == "interrupt" else []
    assert log_of(http, thread) == [*before, *done("two")]
    gone = http.get(f"{thread}/runs/{first}")
    assert gone.status_code == (200 if strategy == "interrupt" else 404)
