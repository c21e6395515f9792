"""`greenroom dev` while its graphs are being written."""

from __future__ import annotations

import json
import os
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
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"  # most users do not have it
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
        env = {name: value for name, value in os.environ.items() if name != NO_BYTECODE}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
        started.append(process)
        return process, f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        process.kill()
        process.wait()


def said(url: str) -> str | None:
    """What the graph says; None where nobody answers."""
    body = {"assistant_id": "agent", "input": {}}
    try:
        answer = httpx.post(f"{url}/runs/wait", json=body, timeout=PATIENCE)
        found: dict[str, Any] = answer.json()
        return found.get("said")
    except httpx.TransportError:
        return None


def save_again(path: Path, text: str) -> None:
    """As if within the second of the save before."""
    second = path.stat().st_mtime_ns // 10**9
    new = path.with_suffix(".new")
    new.write_text(text)
    os.utime(new, ns=(0, second * 10**9 + 990_000_000))
    new.replace(path)


def logged(folder: Path, text: str) -> bool:
    return text in (folder / "log").read_text()


def test_a_change_of_code_or_configuration_is_served_at_once(folder: Path, dev: Dev) -> None:
    process, url = dev()
    until(lambda: said(url) == "one", "the graph as it was")
    save_again(folder / "lib" / "words.py", "WORD = 'two'\n")
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
    with httpx.Client(base_url=url, timeout=PATIENCE) as http:
        thread = http.post("/threads", json={}).json()["thread_id"]
    (folder / "lib" / "words.py").write_text("WORD = 'two'\n")
    until(lambda: said(url) == "two", "the graph as it is now")
    with httpx.Client(base_url=url, timeout=PATIENCE) as http:
        assert http.get(f"/threads/{thread}").status_code == 200


def test_what_is_wrong_at_the_start_ends_it(folder: Path, dev: Dev) -> None:
    (folder / "agent.py").write_text("graph = 5\n")
    process, _ = dev()
    assert process.wait(PATIENCE) == 2
    assert logged(folder, "is a int, no compiled graph")
