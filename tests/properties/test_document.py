"""A real server, tried by Schemathesis with what its document says, and with what it does not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from jsonschema import Draft202012Validator

from ..scenarios.server import Server

HERE = Path(__file__).parent
KEY = "a-key"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    graphs = {name: f"{HERE / 'served.py'}:{name}" for name in ("says", "asks", "fails")}
    server = Server(
        folder=tmp_path,
        graphs=graphs,
        storage="memory",
        env={"GREENROOM_API_KEY": KEY},
        options=["--log-format", "json", "--log-level", "error"],
    ).start()
    yield server
    server.stop()


@pytest.fixture
def document(server: Server) -> dict[str, Any]:
    answer = httpx.get(f"{server.url}/openapi.json", headers={"x-api-key": KEY})
    document: dict[str, Any] = answer.json()
    return document


def test_the_document_is_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(document).validate()
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("phases", ["coverage", "fuzzing,stateful"])
def test_strangers_find_no_answer_that_the_document_does_not_say(
    server: Server, document: dict[str, Any], tmp_path: Path, phases: str
) -> None:
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document))
    command = [Path(sys.executable).with_name("st"), "--config-file", HERE / "schemathesis.toml"]
    done = subprocess.run(
        [*command, "run", path, "--url", server.url, "--phases", phases, "--no-color"],
        cwd=tmp_path,
        env={
            **os.environ,
            "GREENROOM_API_KEY": KEY,
            "SCHEMATHESIS_HOOKS": str(HERE / "strangers.py"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert httpx.get(f"{server.url}/ok").json() == {"ok": True}
    logged = [line for line in server.log.read_text().splitlines() if line.startswith("{")]
    events = [json.loads(line)["event"] for line in logged]
    assert events  # runs do fail, of strangers as of anybody
    assert [event for event in events if not re.fullmatch(r"run \S+ failed", event)] == []
