"""What the documentation tells a newcomer to type works, and answers what it says."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .server import PATIENCE, PROJECT, Server, free_port, until

EXAMPLES = PROJECT / "examples"


def snippets(language: str, page: str = "README.md") -> list[str]:
    text = (PROJECT / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves what `make dev` serves."""
    config = json.loads((PROJECT / "greenroom.json").read_text())
    graphs = {name: str(PROJECT / where) for name, where in config["graphs"].items()}
    server = Server(folder=tmp_path_factory.mktemp("dev"), graphs=graphs).start()
    yield server
    server.stop()


def run(*command: str, folder: Path) -> list[str]:
    path = filter(None, [str(EXAMPLES), os.environ.get("PYTHONPATH")])
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_walk_with_curl(dev: Server, tmp_path: Path) -> None:
    for program in ("bash", "curl", "jq"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    walk = "".join(snippets("bash")).replace("http://127.0.0.1:2024", dev.url)

    paused, resumed, *types, status = run("bash", "-euo", "pipefail", "-c", walk, folder=tmp_path)

    assert json.loads(paused)["__interrupt__"][0]["value"] == {"text_to_revise": "original text"}
    assert json.loads(resumed) == {"some_text": "Edited text"}
    assert types == ["human", "ai", "tool", "human", "ai", "tool", "ai"]
    assert status == "interrupted"


def test_the_walk_with_the_python_client(dev: Server, tmp_path: Path) -> None:
    [script] = [snippet for snippet in snippets("python") if "langgraph_sdk" in snippet]
    script = script.replace("http://127.0.0.1:2024", dev.url)

    question, answer, forecast = run(sys.executable, "-c", script, folder=tmp_path)

    assert f"# {question}" in script
    assert f"# {answer}" in script
    assert f"# {forecast}" in script


def test_the_walk_with_no_server(tmp_path: Path) -> None:
    [script] = [snippet for snippet in snippets("python") if "Greenroom(" in snippet]

    _, answer = run(sys.executable, "-c", script, folder=tmp_path)

    assert f"# {answer}" in script


def test_the_example_of_steps(tmp_path: Path) -> None:
    [script] = snippets("python", "docs/steps.md")

    charging, done = run(sys.executable, "-c", script, folder=tmp_path)

    assert f"# {charging}\n# {done}" in script


def test_the_embedded_example(tmp_path: Path) -> None:
    script = EXAMPLES / "embedded.py"

    question, answer = run(sys.executable, str(script), folder=tmp_path)

    assert "original text" in question
    assert answer == "{'some_text': 'Edited text'}"


@pytest.mark.parametrize("name", ["blocking", "on_asyncio"])
def test_the_examples_of_programs_without_trio(name: str, tmp_path: Path) -> None:
    *events, answer = run(sys.executable, str(EXAMPLES / f"{name}.py"), folder=tmp_path)

    assert events == ["metadata", "values", "values"]
    assert answer == "{'some_text': 'Edited text'}"


def test_the_example_of_an_application_on_asyncio(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "hypercorn", "mounted:app", "--bind", address]
    path = filter(None, [str(EXAMPLES), os.environ.get("PYTHONPATH")])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    process = subprocess.Popen(command, cwd=tmp_path, env=env)
    try:

        def answers() -> bool:
            assert process.poll() is None
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"http://{address}/agents/ok").status_code == 200
            return False

        until(answers, "the application to answer")
        page = httpx.get(f"http://{address}/", timeout=PATIENCE)
        assert page.text == "The agents are under /agents."
        process.terminate()
        assert process.wait(PATIENCE) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()
