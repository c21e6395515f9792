"""SIGTERM of a serving process with runs under way."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import httpx

from greenroom.storage import SqliteStorage

from .server import Server, until
from .test_kill import everything_done, log_of, new_thread, run_body


def stored_status(server: Server, thread: str, run_id: str) -> str:
    storage = SqliteStorage(server.folder / "greenroom.db")
    storage.open()
    try:
        run = storage.get_run(thread.removeprefix("/threads/"), run_id)
    finally:
        storage.close()
    assert run is not None
    return run.status


def test_a_run_that_ends_in_time_is_answered_and_the_next_one_waits_for_the_next_process(
    server: Server, http: httpx.Client, tmp_path: Path
) -> None:
    gate, thread = tmp_path / "gate", new_thread(http)
    answers: list[Any] = []

    def wait() -> None:
        with server.client() as own:
            answers.append(own.post(f"{thread}/runs/wait", json=run_body("one", gate)).json())

    waiter = threading.Thread(target=wait)
    waiter.start()
    until(lambda: log_of(http, thread) == ["read one"], "the run to be under way")
    queued = http.post(f"{thread}/runs", json=run_body("two", gate)).json()["run_id"]

    server.send(signal.SIGTERM)
    until(lambda: not server.answers(), "the server to take no more")
    gate.touch()
    waiter.join()
    assert server.wait() == 0
    assert stored_status(server, thread, queued) == "pending"

    assert [answer["log"] for answer in answers] == [everything_done("one")]
    server.start()
    joined = http.get(f"{thread}/runs/{queued}/join").json()
    assert joined["log"] == [*everything_done("one"), *everything_done("two")]
