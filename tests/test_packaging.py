"""What is installed from the wheel, alone and away from the checkout, serves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .scenarios.server import free_port

PROJECT = Path(__file__).parents[1]

AGENT = """
from typing import TypedDict
from greenroom.graph import START, StateGraph

class State(TypedDict):
    word: str

def shout(state: State):
    return {"word": state["word"].upper()}

builder = StateGraph(State)
builder.add_node("shout", shout)
builder.add_edge(START, "shout")
graph = builder.compile()
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=clean_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source archive, so that this is whole too."""
    made = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", made, PROJECT, cwd=made)
    [wheel] = made.glob("*.whl")
    return wheel


def test_the_wheel_holds_each_room_with_its_types_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    rooms = {"graph", "storage", "actors", "gateway"}

    assert {f"greenroom/{room}/py.typed" for room in rooms} <= set(names)
    assert {name.split("/")[1] for name in names if name.startswith("greenroom/")} == rooms
    outside = {name.split("/")[0] for name in names} - {"greenroom"}
    assert [name for name in outside if not name.endswith(".dist-info")] == []


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel and what it needs, and no extra."""
    made = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", made / "venv", cwd=made)
    run(made / "venv/bin/python", "-m", "pip", "install", "--quiet", wheel, cwd=made)
    return made / "venv/bin"


@pytest.fixture
def served(installed: Path, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "greenroom.json").write_text('{"graphs": {"agent": "./agent.py:graph"}}')
    port = free_port()
    process = subprocess.Popen(
        [installed / "greenroom", "serve", "--port", str(port)],
        cwd=tmp_path,
        env=clean_environment(),
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def test_the_wheel_installed_alone_serves_a_run(served: str) -> None:
    transport = httpx.HTTPTransport(retries=7)  # each further try to connect waits longer
    with httpx.Client(base_url=served, transport=transport, timeout=30) as http:
        assert http.get("/ok").json()["ok"] is True
        thread_id = http.post("/threads", json={}).json()["thread_id"]
        body = {"assistant_id": "agent", "input": {"word": "hello"}}
        assert http.post(f"/threads/{thread_id}/runs/wait", json=body).json() == {"word": "HELLO"}


IMPORTED = "from langchain_core.messages import AIMessage\nfrom langgraph.graph import StateGraph\n"
MADE = "def make():\n    from langgraph.graph import StateGraph\n"


@pytest.mark.parametrize(("source", "attribute"), [(IMPORTED, "graph"), (MADE, "make")])
def test_without_the_extra_a_graph_of_langgraphs_says_in_a_line_what_to_install(
    source: str, attribute: str, installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "agent.py").write_text(source)
    (tmp_path / "langgraph.json").write_text(
        json.dumps({"dependencies": ["."], "graphs": {"agent": f"./agent.py:{attribute}"}})
    )
    done = subprocess.run(
        [installed / "greenroom", "dev", "--port", "0"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
    )

    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert f"{tmp_path}/langgraph.json: graphs.agent: " in line
    assert line.endswith("needs the extra: pip install greenroom[langgraph]")


def test_the_extra_brings_what_graphs_of_langgraphs_need(installed: Path, wheel: Path) -> None:
    pip = [installed / "python", "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-"]
    report = json.loads(run(*pip, f"{wheel}[langgraph]", cwd=wheel.parent))
    brought = {package["metadata"]["name"] for package in report["install"]}

    assert {"langgraph", "langchain-core", "pydantic"} <= brought
