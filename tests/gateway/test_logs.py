"""What a server logs."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from .test_process import refused, serving

GRAPHS = """
import logging
from typing import TypedDict

from greenroom.graph import START, StateGraph


class State(TypedDict, total=False):
    fails: bool


def work(state: State) -> State:
    logging.getLogger("mine").info("in a worker thread")
    return {}


async def fail(state: State) -> State:
    logging.getLogger("mine").debug("about to fail")
    raise LookupError("db at 10.0.0.7")


graph = StateGraph(State)
graph.add_node("work", work)
graph.add_node("fail", fail)
graph.add_edge(START, "work")
graph.add_conditional_edges("work", lambda state: "fail" if state.get("fails") else "__end__")
graph = graph.compile()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "graphs.py").write_text(GRAPHS)
    (tmp_path / "greenroom.json").write_text('{"graphs": {"agent": "./graphs.py:graph"}}')
    return tmp_path


def logged(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log").read_text().splitlines()]


def run(url: str, **input: Any) -> dict[str, str]:
    """The ids of a run that is over, as log records have them."""
    thread_id = httpx.post(f"{url}/threads", json={}).json()["thread_id"]
    body = {"assistant_id": "agent", "input": input}
    answer = httpx.post(f"{url}/threads/{thread_id}/runs/wait", json=body)
    return {"thread_id": thread_id, "run_id": answer.headers["location"].split("/")[4]}


def test_what_nodes_log_says_of_which_thread_and_run_it_is(folder: Path) -> None:
    with serving(folder, "--storage", "memory", "--log-format", "json") as server:
        runs = [run(server.url), run(server.url)]
        lines = [line for line in logged(folder) if line["logger"] == "mine"]
    assert [{name: line[name] for name in ("thread_id", "run_id")} for line in lines] == runs
    assert {(line["level"], line["event"]) for line in lines} == {("info", "in a worker thread")}


def test_a_run_that_failed_is_logged_with_what_callers_are_not_told(folder: Path) -> None:
    options = ("--storage", "memory", "--log-format", "json", "--log-level", "error")
    with serving(folder, *options) as server:
        ids = run(server.url, fails=True)
        path = "/threads/{thread_id}/runs/{run_id}/join".format(**ids)
        told = httpx.get(server.url + path).json()
        (line,) = logged(folder)
    assert told == {"__error__": {"error": "LookupError", "message": "An internal error occurred"}}
    assert {**line, **ids} == line
    assert line["event"] == f"run {ids['run_id']} failed"
    assert line["exception"].endswith("LookupError: db at 10.0.0.7")


def test_dev_logs_each_request_on_one_line_whatever_is_in_its_path(folder: Path) -> None:
    with serving(folder, "--storage", "memory", command="dev") as server:
        ids = run(server.url)
        httpx.get(f"{server.url}/threads/a%0Ab%1B%5B2J/state?secret=1")
        server.end(signal.SIGTERM)
    lines = [line for line in (folder / "log").read_text().splitlines() if "requests]" in line]
    made, ran, odd = lines
    assert "POST /threads 200" in made
    assert f"POST /threads/{ids['thread_id']}/runs/wait 200" in ran
    assert f"thread_id={ids['thread_id']}" in ran
    assert "GET /threads/a%0Ab%1B%5B2J/state 422" in odd
    assert "secret" not in odd


def test_serve_logs_requests_if_the_configuration_says_so(folder: Path) -> None:
    config = json.loads((folder / "greenroom.json").read_text())
    for wanted in (False, True):
        config["http"] = {"log_requests": wanted}
        (folder / "greenroom.json").write_text(json.dumps(config))
        with serving(folder, "--storage", "memory") as server:
            httpx.get(f"{server.url}/ok")
            server.end(signal.SIGTERM)
        assert ("GET /ok 200" in (folder / "log").read_text()) is wanted


def test_a_level_that_there_is_not_is_refused_in_one_line(folder: Path) -> None:
    line = refused(folder, "serve", "--log-level", "loud")
    assert "--log-level" in line
    assert "'loud'" in line
