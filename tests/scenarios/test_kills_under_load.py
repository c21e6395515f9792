"""`kill -9` of a serving process at any moment, again and again, while clients write."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path
from typing import Any

import attrs
import httpx

from .server import Server, until
from .test_kill import everything_done, log_of, new_thread, run_body

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
