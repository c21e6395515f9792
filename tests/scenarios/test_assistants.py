"""Assistants, by the published clients and across a `kill -9`."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from .server import Server
from .test_seed_flows import javascript, python, run


@pytest.mark.parametrize("client", [python, javascript])
def test_an_assistant_that_a_client_makes_and_changes_outlives_a_kill(
    client: Any, server: Server, http: httpx.Client
) -> None:
    _, report = run(client("assistants"), server)
    ident = report.pop("assistant")
    schemas = ["config_schema", "context_schema", "input_schema", "output_schema", "state_schema"]
    assert report == {
        "same": True,
        "models": ["old", "new", "old"],
        "changed": [2, {"model": "new"}, {"team": "x", "n": 1}],
        "versions": [[2, {"model": "new"}], [1, {"model": "old"}]],
        "back": [1, {"model": "old"}, None],
        "found": [ident],
        "count": 1,
        "nodes": ["__end__", "__start__", "inner:read"],
        "context": ["model"],
        "inside": {"inner": schemas},
        "gone": True,
    }
    path = f"/assistants/{ident}"
    edited = http.patch(path, json={"context": {"model": "last"}}).json()
    before = http.post(f"{path}/versions", json={}).json()
    server.kill()
    server.start()
    assert http.get(path).json() == edited
    assert http.post(f"{path}/versions", json={}).json() == before
    thread_id = http.post("/threads", json={}).json()["thread_id"]
    body = {"assistant_id": ident, "input": {}}
    assert http.post(f"/threads/{thread_id}/runs/wait", json=body).json() == {"model": "last"}
