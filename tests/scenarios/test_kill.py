"""`kill -9` of a serving process, and a new one on the same file."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from .server import Server, until


def new_thread(http: httpx.Client) -> str:
    return f"/threads/{http.post('/threads', json={}).json()['thread_id']}"


def run_body(text: str, gate: Path) -> dict[str, Any]:
    return {"assistant_id": "gated", "input": {"text": text, "gate": str(gate)}}


def everything_done(text: str) -> list[str]:
    return [f"read {text}", f"did {text}", f"answered {text}"]


def log_of(http: httpx.Client, thread: str) -> list[str]:
    values: dict[str, Any] = http.get(f"{thread}/state").json()["values"]
    return values.get("log", [])


def test_runs_that_were_running_or_queued_at_a_kill_are_finished_by_the_next_process(
    server: Server, http: httpx.Client, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    threads = [new_thread(http) for _ in range(5)]
    runs = []
    for thread in threads:
        for text in ("one", "two"):
            run_id = http.post(f"{thread}/runs", json=run_body(text, gate)).json()["run_id"]
            runs.append(f"{thread}/runs/{run_id}")
    for thread in threads:
        until(lambda: log_of(http, thread) == ["read one"], "the runs to be under way")  # noqa: B023

    server.kill()
    server.start()
    gate.touch()

    for run in runs:
        http.get(f"{run}/join")
        assert http.get(run).json()["status"] == "success"
    for thread in threads:
        assert log_of(http, thread) == [*everything_done("one"), *everything_done("two")]


def test_every_acknowledged_run_outlives_a_kill_in_the_middle_of_a_burst(
    server: Server, http: httpx.Client, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    threads = [new_thread(http) for _ in range(4)]
    acknowledged: dict[str, str] = {}  # run to its text
    half_way = threading.Event()

    def texts_until_the_line_goes_dead(thread: str) -> None:
        with server.client() as own:
            for number in range(1000):
                text = f"{thread}-{number}"
                try:
                    answer = own.post(f"{thread}/runs", json=run_body(text, gate))
                except httpx.TransportError:
                    return
                acknowledged[f"{thread}/runs/{answer.json()['run_id']}"] = text
                if len(acknowledged) > 40:
                    half_way.set()

    senders = [
        threading.Thread(target=texts_until_the_line_goes_dead, args=(thread,))
        for thread in threads
    ]
    for sender in senders:
        sender.start()
    assert half_way.wait(30)
    server.kill()
    for sender in senders:
        sender.join()
    server.start()

    for run, text in acknowledged.items():
        thread, _, _ = run.partition("/runs/")
        http.get(f"{run}/join")
        assert http.get(run).json()["status"] == "success"
        done = log_of(http, thread)
        assert [entry for entry in done if entry.split()[1] == text] == everything_done(text)


def test_a_paused_thread_survives_a_kill_and_takes_its_answer(
    server: Server, http: httpx.Client, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    thread = new_thread(http)
    http.patch(thread, json={"metadata": {"owner": "ada"}})
    start = {"assistant_id": "questions", "input": {"gate": str(gate)}}
    asked = http.post(f"{thread}/runs/wait", json=start).json()["__interrupt__"]

    server.kill()
    server.start()

    found = http.get(thread).json()
    assert found["status"] == "interrupted"
    assert found["metadata"]["owner"] == "ada"
    [waiting] = http.get(f"{thread}/state").json()["interrupts"]
    assert waiting == {"id": asked[0]["id"], "value": "delete the files?"}
    answer = {"assistant_id": "questions", "command": {"resume": "yes"}}
    resumed = http.post(f"{thread}/runs/wait", json=answer).json()
    assert resumed["deleted"] == "yes"
    assert [question["value"] for question in resumed["__interrupt__"]] == ["pay the bill?"]


def test_a_kill_loses_no_finished_state_and_leaves_the_file_free(
    server: Server, http: httpx.Client, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    thread = new_thread(http)
    http.post(f"{thread}/runs/wait", json=run_body("one", gate))
    before = http.post(f"{thread}/history", json={"limit": 100}).json()

    for _ in range(3):
        server.kill()
        server.start()

    assert http.post(f"{thread}/history", json={"limit": 100}).json() == before
    assert http.post(f"{thread}/runs/wait", json=run_body("two", gate)).json()["log"] == [
        *everything_done("one"),
        *everything_done("two"),
    ]


@pytest.mark.parametrize("durability", ["async", "exit"])
def test_a_step_made_before_a_kill_is_not_made_again(
    server: Server, http: httpx.Client, tmp_path: Path, durability: str
) -> None:
    gate, till = tmp_path / "gate", tmp_path / "till"
    thread = new_thread(http)
    bought = {"input": {"gate": str(gate), "till": str(till)}, "durability": durability}
    run_id = http.post(f"{thread}/runs", json={"assistant_id": "buying", **bought}).json()["run_id"]
    until((tmp_path / "till.paid").exists, "the node to have paid")

    server.kill()
    server.start()
    gate.touch()

    done = http.get(f"{thread}/runs/{run_id}/join").json()
    [key] = till.read_text().split()
    assert done["receipt"] == f"paid under {key}"


def test_a_step_in_the_middle_of_which_the_process_was_killed_is_made_again_under_the_same_key(
    server: Server, http: httpx.Client, tmp_path: Path
) -> None:
    gate, till = tmp_path / "gate", tmp_path / "till"
    thread = new_thread(http)
    bought = {"gate": str(gate), "till": str(till)}
    body = {"assistant_id": "buying_in_doubt", "input": bought}
    run_id = http.post(f"{thread}/runs", json=body).json()["run_id"]
    until(lambda: till.exists() and till.read_text(), "the step to be under way")

    server.kill()
    server.start()
    gate.touch()

    done = http.get(f"{thread}/runs/{run_id}/join").json()
    first, second = till.read_text().split()
    assert first == second
    assert done["receipt"] == f"paid under {first}"


def test_runs_without_a_thread_and_runs_for_later_outlive_a_kill(
    server: Server, http: httpx.Client, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    alone = http.post("/runs", json=run_body("alone", gate)).json()
    kept = http.post("/runs", json={**run_body("kept", gate), "on_completion": "keep"}).json()
    later = http.post("/runs", json={**run_body("later", gate), "after_seconds": 3600}).json()
    soon_on = new_thread(http)
    soon = http.post(f"{soon_on}/runs", json={**run_body("soon", gate), "after_seconds": 2}).json()
    threads = [f"/threads/{run['thread_id']}" for run in (alone, kept)]
    for thread, text in zip(threads, ("alone", "kept"), strict=True):
        until(lambda: log_of(http, thread) == [f"read {text}"], "the run to be under way")  # noqa: B023

    server.kill()
    gate.touch()
    server.start()

    until(lambda: http.get(threads[0]).status_code == 404, "the thread to be gone with its run")
    assert http.get(f"{threads[1]}/runs/{kept['run_id']}/join").json()["log"] == everything_done(
        "kept"
    )
    assert http.get(f"{soon_on}/runs/{soon['run_id']}/join").json()["log"] == everything_done(
        "soon"
    )
    assert http.get(f"{soon_on}/runs/{soon['run_id']}").json()["created_at"] == soon["created_at"]
    waits = f"/threads/{later['thread_id']}"
    assert http.get(f"{waits}/runs/{later['run_id']}").json()["status"] == "pending"
    assert http.post("/runs/cancel", json={"status": "pending"}).status_code == 204
    assert http.get(waits).status_code == 404
