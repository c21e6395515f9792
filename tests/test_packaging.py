"""What is installed from the wheel, alone and away from the checkout, serves."""

from __future__ import annotations

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


@pytest.fixture
def served(wheel: Path, tmp_path: Path) -> Iterator[str]:
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    installed = tmp_path / "venv/bin"
    run(installed / "python", "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
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
