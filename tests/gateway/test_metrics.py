"""What the server counts."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from greenroom.actors import Greenroom

from .conftest import Gate
from .test_access import calling

parser = pytest.importorskip("prometheus_client.parser", reason="prometheus-client is not there")


async def figures(http: httpx.AsyncClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """By name and labels."""
    answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parser.text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> Any:
    return (f"greenroom_{name}", frozenset(labels.items()))


def run_of(graph: str, **more: Any) -> dict[str, Any]:
    return {"assistant_id": graph, "input": {"log": []}, **more}


async def test_runs_are_counted_by_how_they_came_and_how_they_ended(
    http: httpx.AsyncClient, thread: str, gate: Gate
) -> None:
    await http.post(f"{thread}/runs", json=run_of("held"))
    await gate.reached.wait()
    await http.post(f"{thread}/runs", json=run_of("abc"))
    await http.post(f"{thread}/runs", json=run_of("abc", multitask_strategy="reject"))
    found = await figures(http)
    assert found[key("actors")] == 1
    assert found[key("runs", status="running")] == 1
    assert found[key("runs", status="pending")] == 1
    assert found[key("admissions_total", strategy="enqueue", outcome="accepted")] == 2
    assert found[key("admissions_total", strategy="reject", outcome="refused")] == 1
    assert found[key("hand_over_seconds_count")] == 0

    body = run_of("abc", multitask_strategy="interrupt")
    await http.post(f"{thread}/runs/wait", json=body)
    body = {**run_of("fails"), "input": {"log": ["told"]}}
    await http.post(f"{thread}/runs/wait", json=body)
    found = await figures(http)
    assert found[key("runs", status="running")] == found[key("runs", status="pending")] == 0
    assert found[key("runs_ended_total", status="interrupted")] == 2
    assert found[key("runs_ended_total", status="success")] == 1
    assert found[key("runs_ended_total", status="error")] == 1
    assert found[key("hand_over_seconds_count")] == 1
    assert found[key("commit_seconds_count")] >= 8
    assert found[key("commit_seconds_bucket", le="+Inf")] == found[key("commit_seconds_count")]


async def test_a_run_that_is_rolled_back_is_counted(
    http: httpx.AsyncClient, thread: str, gate: Gate
) -> None:
    await http.post(f"{thread}/runs", json=run_of("held"))
    await gate.reached.wait()
    body = run_of("abc", multitask_strategy="rollback")
    await http.post(f"{thread}/runs/wait", json=body)
    assert (await figures(http))[key("runs_ended_total", status="rolled back")] == 1


async def test_requests_are_counted_by_endpoint_and_status(
    http: httpx.AsyncClient, thread: str
) -> None:
    for _ in range(2):
        await http.get(thread)
    for path in ("/nowhere", "/else/where"):
        await http.get(path)
    await http.request("BREW", "/ok")
    found = await figures(http)
    labels = {"method": "GET", "endpoint": "threads.get"}
    assert found[key("http_requests_total", **labels, status="200")] == 2
    assert found[key("http_request_seconds_count", **labels)] == 2
    unknown = {"method": "GET", "endpoint": "none", "status": "404"}
    assert found[key("http_requests_total", **unknown)] == 2
    assert {dict(labels).get("method") for _, labels in found} <= {None, "GET", "POST", "other"}
    assert ("process_resident_memory_bytes", frozenset()) in found


async def test_who_follows_is_counted(http: httpx.AsyncClient, thread: str) -> None:
    async with http.stream("GET", f"{thread}/stream"):
        found = await figures(http)
        assert found[key("thread_followers")] == found[key("live_answers")] == 1
        await http.delete(thread)


async def test_figures_need_the_key_as_everything_else(room: Greenroom) -> None:
    async with calling(room, api_key="key") as http:
        assert (await http.get("/metrics")).status_code == 401


async def test_a_server_without_the_library_says_what_is_missing(
    room: Greenroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenroom.gateway.app.find_spec", lambda name: None)
    async with calling(room) as http:
        answer = await http.get("/metrics")
        assert answer.status_code == 404
        assert "greenroom[metrics]" in answer.json()["detail"]
