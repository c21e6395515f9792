"""The store, by the published clients and across a `kill -9`."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from .server import Server
from .test_seed_flows import javascript, python, run


@pytest.mark.parametrize("client", [python, javascript])
def test_what_a_client_keeps_nodes_know_and_a_kill_leaves(
    client: Any, server: Server, http: httpx.Client
) -> None:
    _, report = run(client("store"), server)
    ada = [["users", "ada"], "likes", {"food": "soup"}]
    assert report == {
        "ran": {"food": "soup"},
        "ada": ada,
        "gone": None,
        "cake": [[["users", "bob"], "likes", {"food": "cake"}]],
        "soup": [ada],
        "names": [["users", "ada"], ["users", "bob"]],
    }
    before = http.post("/store/items/search", json={}).json()
    http.put("/store/items", json={"namespace": ["last"], "key": "k", "value": {}})
    server.kill()
    server.start()
    after = http.post("/store/items/search", json={}).json()["items"]
    assert after[:-1] == before["items"]
    assert after[-1]["namespace"] == ["last"]
