"""A second message while the first is still being worked on, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from .server import until

Thread = str  # its path: /threads/…


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The first run is held in its second node until this file appears."""
    return tmp_path / "gate"


@pytest.fixture
def thread(http: httpx.Client) -> Thread:
    return f"/threads/{http.post('/threads', json={}).json()['thread_id']}"


@pytest.fixture
def send(http: httpx.Client, thread: Thread, gate: Path) -> Callable[..., httpx.Response]:
    """`send("one")` starts a run on the thread: it reads the text, is held, and answers."""

    def send(text: str, how: str = "", **fields: Any) -> httpx.Response:
        body = {"assistant_id": "gated", "input": {"text": text, "gate": str(gate)}, **fields}
        return http.post(f"{thread}/runs{how}", json=body)

    return send


@pytest.fixture
def first(http: httpx.Client, thread: Thread, send: Callable[..., httpx.Response]) -> str:
    """A run that has read its text and is held; the path of the run."""
    run = f"{thread}/runs/{send('one').json()['run_id']}"
    until(lambda: log_of(http, thread) == ["read one"], "the first run to read its text")
    return run


def log_of(http: httpx.Client, thread: Thread) -> list[str]:
    values: dict[str, Any] = http.get(f"{thread}/state").json()["values"]
    return values.get("log", [])


ALL_OF_ONE = ["read one", "did one", "answered one"]
ALL_OF_TWO = ["read two", "did two", "answered two"]


@pytest.mark.parametrize("how", ["", "/wait", "/stream"])
def test_reject_refuses_the_second_text_and_leaves_the_first_alone(
    how: str, http: httpx.Client, thread: Thread, first: str, send: Any, gate: Path
) -> None:
    refused = send("two", how, multitask_strategy="reject")
    gate.touch()

    assert refused.status_code == 409
    assert isinstance(refused.json()["detail"], str)
    assert http.get(f"{first}/join").json()["log"] == ALL_OF_ONE
    assert len(http.get(f"{thread}/runs").json()) == 1


@pytest.mark.parametrize(
    "fields", [{}, {"multitask_strategy": "enqueue"}], ids=["default", "named"]
)
def test_enqueued_texts_wait_their_turn_in_order(
    fields: dict[str, str], http: httpx.Client, thread: Thread, first: str, send: Any, gate: Path
) -> None:
    second, third = (send(text, **fields).json() for text in ("two", "three"))
    waiting = [http.get(f"{thread}/runs/{run['run_id']}").json() for run in (second, third)]
    gate.touch()
    final = http.get(f"{thread}/runs/{third['run_id']}/join").json()

    assert [run["status"] for run in waiting] == ["pending", "pending"]
    assert final["log"] == [*ALL_OF_ONE, *ALL_OF_TWO, "read three", "did three", "answered three"]
    assert {run["status"] for run in http.get(f"{thread}/runs").json()} == {"success"}


def test_interrupt_stops_the_first_text_and_keeps_what_was_done(
    http: httpx.Client, thread: Thread, first: str, send: Any, gate: Path
) -> None:
    second = send("two", multitask_strategy="interrupt").json()
    gate.touch()
    final = http.get(f"{thread}/runs/{second['run_id']}/join").json()

    assert final["log"] == ["read one", *ALL_OF_TWO]
    assert http.get(first).json()["status"] == "interrupted"
    assert http.get(f"{thread}/runs/{second['run_id']}").json()["status"] == "success"


def test_rollback_leaves_no_trace_of_the_first_text(
    http: httpx.Client, thread: Thread, first: str, send: Any, gate: Path
) -> None:
    second = send("two", multitask_strategy="rollback").json()
    gate.touch()
    final = http.get(f"{thread}/runs/{second['run_id']}/join").json()
    history = http.post(f"{thread}/history", json={"limit": 100}).json()

    assert final["log"] == ALL_OF_TWO
    assert http.get(first).status_code == 404
    assert [run["run_id"] for run in http.get(f"{thread}/runs").json()] == [second["run_id"]]
    assert {state["metadata"]["run_id"] for state in history} == {second["run_id"]}


def test_a_double_clicked_yes_does_not_approve_the_next_question(
    http: httpx.Client, thread: Thread, gate: Path
) -> None:
    start = {"assistant_id": "questions", "input": {"gate": str(gate)}}
    asked = http.post(f"{thread}/runs/wait", json=start).json()
    # The answer of the first click is held at the gate until both have been accepted.
    click = {"assistant_id": "questions", "command": {"resume": "yes"}}
    once, twice = (http.post(f"{thread}/runs", json=click).json()["run_id"] for _ in range(2))
    gate.touch()
    http.get(f"{thread}/runs/{twice}/join")

    state = http.get(f"{thread}/state").json()
    assert [question["value"] for question in asked["__interrupt__"]] == ["delete the files?"]
    assert state["values"]["deleted"] == "yes"
    assert "paid" not in state["values"]
    assert [question["value"] for question in state["interrupts"]] == ["pay the bill?"]
    for run_id in (once, twice):
        assert http.get(f"{thread}/runs/{run_id}").json()["status"] == "success"
    assert http.get(thread).json()["status"] == "interrupted"

    final = http.post(f"{thread}/runs/wait", json={**click, "command": {"resume": "no"}}).json()
    assert final["paid"] == "no"
