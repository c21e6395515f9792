"""`kill -9` of a serving process, and a new one on the same file."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path
from typing import Any

import attrs
import httpx

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


ROUNDS = int(os.environ.get("GREENROOM_TEST_KILLS", "5"))


@attrs.define
class Sender:
    """Texts one thread for as long as there is a server, and notes what it was told.

    `accepted`: the run of each text that was acknowledged. `answers`: what the log was in an
    answer that was waited for. `sent`: every text, also those of which nothing was heard.
    """

    server: Server
    thread: str
    body: dict[str, Any]
    chance: random.Random
    sent: int = 0
    accepted: dict[str, str] = attrs.field(factory=dict)
    answers: list[list[str]] = attrs.field(factory=list)

    def until_the_line_goes_dead(self) -> None:
        with self.server.client() as http:
            try:
                while True:
                    self.text(http)
            except httpx.TransportError:
                pass

    def text(self, http: httpx.Client) -> None:
        word = f"text-{self.sent}"
        self.sent += 1
        given = {**self.body["input"], "text": word, "log": [f"got {word}"]}
        how = self.chance.choice(["enqueue", "enqueue", "interrupt"])
        durability = self.chance.choice(["sync", "async", "exit"])
        body = {**self.body, "input": given, "multitask_strategy": how, "durability": durability}
        if self.chance.random() < 0.2:
            answer = http.post(f"{self.thread}/runs/wait", json=body)
            self.accepted[word] = answer.headers["location"].removesuffix("/join")
            if answer.json():  # a run that was interrupted answers with what there is
                self.answers.append(answer.json()["log"])
        else:
            answer = http.post(f"{self.thread}/runs", json=body)
            self.accepted[word] = f"{self.thread}/runs/{answer.json()['run_id']}"
        assert answer.status_code == 200


def test_nothing_acknowledged_is_lost_however_often_the_process_is_killed_under_load(
    server: Server, http: httpx.Client, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    chance = random.Random(7)
    senders = [
        Sender(server, new_thread(http), run_body("", gate), random.Random(number))
        for number in range(4)
    ]

    def acknowledged() -> int:
        return sum(len(sender.accepted) for sender in senders)

    for _ in range(ROUNDS):
        enough = acknowledged() + chance.randint(5, 60)
        tasks = [threading.Thread(target=sender.until_the_line_goes_dead) for sender in senders]
        for task in tasks:
            task.start()
        until(lambda: acknowledged() >= enough, "texts to be accepted")  # noqa: B023
        server.kill()
        for task in tasks:
            task.join()
        server.start()

    until(
        lambda: http.post("/threads/count", json={"status": "busy"}).json() == 0,
        "every thread to come to rest",
    )
    for sender in senders:
        log = log_of(http, sender.thread)
        assert len(set(log)) == len(log)  # nothing was taken in or done twice
        found = http.get(f"{sender.thread}/runs", params={"limit": 10_000}).json()
        texts = {run["kwargs"]["input"]["text"]: run for run in found}
        assert len(texts) == len(found)
        assert sender.accepted.keys() <= texts.keys() <= {f"text-{n}" for n in range(sender.sent)}
        assert {f"got {text}" for text in texts} == {e for e in log if e.startswith("got ")}
        for text, run in texts.items():
            done = [entry for entry in log if entry.split()[1] == text]
            assert run["status"] in ("success", "interrupted")
            if run["status"] == "success":
                assert done == [f"got {text}", *everything_done(text)]
        for text, path in sender.accepted.items():
            assert path.endswith(texts[text]["run_id"])
        for answer in sender.answers:
            assert log[: len(answer)] == answer
