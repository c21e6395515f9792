"""`greenroom dev` while its graphs are being written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..scenarios.server import PATIENCE, free_port, until

GREENROOM = str(Path(sys.executable).with_name("greenroom"))
GRAPH = """
from typing import TypedDict
from greenroom.graph import START, StateGraph
from words import WORD

class State(TypedDict, total=False):
    said: str

async def node(state):
    return {"said": WORD}

graph = StateGraph(State).add_node("node", node).add_edge(START, "node").compile()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "agent.py").write_text(GRAPH)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "words.py").write_text("WORD = 'one'\n")
    config = {"graphs": {"agent": "./agent.py:graph"}, "dependencies": ["./lib"]}
    (tmp_path / "greenroom.json").write_text(json.dumps(config))
    return tmp_path


Dev = Callable[..., tuple["subprocess.Popen[bytes]", str]]


@pytest.fixture
def dev(folder: Path) -> Iterator[Dev]:
    started = []

    def start(*options: str) -> tuple[subprocess.Popen[bytes], str]:
        port = free_port()
        command = [GREENROOM, "dev", "--port", str(port), *options]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        started.append(process)
        return process, f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        process.kill()
        process.wait()


def said(url: str) -> str | None:
    """What the graph says; None where nobody answers."""
    try:
        thread = httpx.post(f"{url}/threads", json={}).json()["thread_id"]
        path = f"{url}/threads/{thread}/runs/wait"
        answer = httpx.post(path, json={"assistant_id": "agent", "input": {}})
        found: dict[str, Any] = answer.json()
        return found.get("said")
    except httpx.TransportError:
        return None


def logged(folder: Path, text: str) -> bool:
    return text in (folder / "log").read_text()


def test_a_change_of_code_or_configuration_is_served_at_once(folder: Path, dev: Dev) -> None:
    process, url = dev()
    until(lambda: said(url) == "one", "the graph as it was")
    (folder / "lib" / "words.py").write_text("WORD = 'two'\n")
    until(lambda: said(url) == "two", "the graph as it is now")
    assert logged(folder, f"greenroom: {folder}/lib/words.py has changed")

    (folder / "greenroom.json").write_text("{")
    until(lambda: logged(folder, "waiting for a change"), "it to say what is wrong")
    assert said(url) is None
    config = {"graphs": {"agent": "./agent.py:graph"}, "dependencies": ["./lib"]}
    (folder / "greenroom.json").write_text(json.dumps(config))
    until(lambda: said(url) == "two", "the graph to be back")

    process.send_signal(signal.SIGTERM)  # it is the same process all the time
    assert process.wait(PATIENCE) == 0


def test_threads_outlive_a_change(folder: Path, dev: Dev) -> None:
    _, url = dev()
    until(lambda: said(url) == "one", "the graph as it was")
    thread = httpx.post(f"{url}/threads", json={}).json()["thread_id"]
    (folder / "lib" / "words.py").write_text("WORD = 'two'\n")
    until(lambda: said(url) == "two", "the graph as it is now")
    assert httpx.get(f"{url}/threads/{thread}").status_code == 200


def test_what_is_wrong_at_the_start_ends_it(folder: Path, dev: Dev) -> None:
    (folder / "agent.py").write_text("graph = 5\n")
    process, _ = dev()
    assert process.wait(PATIENCE) == 2
    assert logged(folder, "is a int, no compiled graph")
