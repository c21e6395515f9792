"""A serving process is killed, frozen and told to stop while clients text twice."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from .server import PATIENCE, Server, until
from .test_kill import everything_done, log_of, new_thread, run_body

ROUNDS = int(os.environ.get("GREENROOM_TEST_KILLS", "5"))
STRATEGIES = ["enqueue", "enqueue", "merge", "steer", "interrupt", "rollback", "reject"]
HOST = "answered_by_run_id"


@attrs.define
class Sender:
    """Texts one thread until it is told to stop, and notes what it was told.

    `strategies`: those of the texts, in the order in which they were sent. `accepted`: the runs of
    those that were acknowledged. `refused`: those that were not. Of any other nothing is certain.
    `answers`: what the log was in an answer that was waited for.
    """

    server: Server
    thread: str
    body: dict[str, Any]
    chance: random.Random
    durability: str
    strategies: list[str] = attrs.field(factory=list)
    accepted: dict[int, str] = attrs.field(factory=dict)
    refused: set[int] = attrs.field(factory=set)
    answers: list[list[str]] = attrs.field(factory=list)
    errors: list[Exception] = attrs.field(factory=list)
    stopped: threading.Event = attrs.field(factory=threading.Event)

    def work(self) -> None:
        try:
            with get_sync_client(url=self.server.url, timeout=PATIENCE) as client:
                while not self.stopped.is_set():
                    self.text(client, len(self.strategies))
        except Exception as error:
            self.errors.append(error)

    def text(self, client: SyncLangGraphClient, number: int) -> None:
        strategy = self.chance.choice(STRATEGIES)
        self.strategies.append(strategy)
        word = f"text-{number}"
        given = {**self.body["input"], "text": word, "log": [f"got {word}"]}
        how: Any = {
            "input": given,
            "multitask_strategy": strategy,
            "durability": self.durability,
        }
        thread_id, graph = self.thread.removeprefix("/threads/"), self.body["assistant_id"]
        try:
            if self.chance.random() < 0.2:
                values = client.runs.wait(
                    thread_id,
                    graph,
                    **how,
                    on_run_created=lambda run: self.accepted.update({number: run["run_id"]}),
                )
                self.answers.append(values["log"])
            else:
                self.accepted[number] = client.runs.create(thread_id, graph, **how)["run_id"]
        except httpx.HTTPStatusError as error:
            if error.response.status_code == 409:
                self.refused.add(number)
            elif error.response.status_code < 500:
                raise
        except httpx.TransportError:
            pass


def check(sender: Sender, http: httpx.Client) -> None:
    """What one thread has come to is what its sender was told."""
    log = log_of(http, sender.thread)
    assert len(set(log)) == len(log)  # nothing was taken in or done twice
    found = http.get(f"{sender.thread}/runs", params={"limit": 10_000}).json()
    runs = {number_of(run["kwargs"]["input"]["text"]): run for run in found}
    assert len(runs) == len(found)
    assert sender.refused.isdisjoint(runs)
    for number, run_id in sender.accepted.items():
        if number in runs:
            assert runs[number]["run_id"] == run_id
        else:  # it was rolled back by a later one that was not refused
            later = set(range(number + 1, len(sender.strategies))) - sender.refused
            assert any(sender.strategies[one] == "rollback" for one in later)
    taken_in = [number_of(entry.split()[1]) for entry in log if entry.startswith("got ")]
    assert sorted(taken_in) == sorted(runs)
    in_turn = [number for number in taken_in if sender.strategies[number] != "steer"]
    assert in_turn == sorted(in_turn)
    hosts = {run["metadata"].get(HOST) for run in found}
    for number, run in runs.items():
        word = f"text-{number}"
        whole = [f"got {word}", *everything_done(word)]
        done = [entry for entry in log if entry.split()[1] == word]
        assert run["status"] in ("success", "interrupted")
        if HOST in run["metadata"] or run["run_id"] in hosts:
            assert done == [line for line in whole if line in done]
        else:
            assert done == whole[: len(done) if run["status"] == "interrupted" else None]
    for answer in sender.answers:
        assert log[: len(answer)] == answer


def number_of(text: str) -> int:
    return int(text.removeprefix("text-"))


@pytest.mark.filterwarnings("ignore:Request failed, attempting reconnect")
def test_nothing_acknowledged_is_lost_whatever_is_done_to_the_process_under_load(
    server: Server, http: httpx.Client, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    chance = random.Random(7)
    senders = [
        Sender(server, new_thread(http), run_body("", gate), random.Random(number), durability)
        for number, durability in enumerate(["sync", "async", "async", "exit"])
    ]
    tasks = [threading.Thread(target=sender.work) for sender in senders]

    def acknowledged() -> int:
        assert not any(sender.errors for sender in senders), [one.errors for one in senders]
        return sum(len(sender.accepted) for sender in senders)

    def get_on() -> None:
        enough = acknowledged() + chance.randint(5, 60)
        until(lambda: acknowledged() >= enough, "texts to be accepted")

    def freeze() -> None:
        server.freeze()
        server.send(signal.SIGCONT)

    def freeze_and_kill() -> None:
        server.freeze()
        server.kill()
        server.start()

    def kill() -> None:
        server.kill()
        server.start()

    def stop() -> None:
        server.stop()
        server.start()

    for task in tasks:
        task.start()
    try:
        harms = itertools.cycle([kill, stop, freeze, freeze_and_kill, kill, stop])
        for harm in itertools.islice(harms, ROUNDS):
            get_on()
            harm()
        get_on()
    finally:
        for sender in senders:
            sender.stopped.set()
        for task in tasks:
            task.join()

    until(
        lambda: http.post("/threads/count", json={"status": "busy"}).json() == 0,
        "every thread to come to rest",
    )
    for sender in senders:
        check(sender, http)
