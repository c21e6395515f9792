from __future__ import annotations

from typing import Any

import httpx
import pytest

from .conftest import NIL, refusal
from .test_runs import run_of
from .test_streams import events_of


async def test_a_run_without_a_thread_says_where_it_is(http: httpx.AsyncClient) -> None:
    run = (made := await http.post("/runs", json=run_of("abc"))).json()
    assert made.status_code == 200
    assert made.headers["content-location"] == f"/runs/{run['run_id']}"
    assert run["kwargs"]["temporary"] is True

    waited = await http.post("/runs/wait", json=run_of("abc"))
    assert waited.json() == {"log": ["a", "b", "c"]}
    thread, _, _ = waited.headers["content-location"].rpartition("/runs/")
    assert waited.headers["location"] == f"{waited.headers['content-location']}/join"
    assert (await http.get(thread)).status_code == 404

    streamed = await http.post("/runs/stream", json=run_of("abc"))
    place = streamed.headers["content-location"]
    assert place.startswith("/runs/")
    assert streamed.headers["location"] == f"{place}/stream"
    assert streamed.headers["content-type"].startswith("text/event-stream")


async def test_a_thread_that_is_kept_can_be_read(http: httpx.AsyncClient) -> None:
    waited = await http.post("/runs/wait", json=run_of("abc", on_completion="keep"))
    thread, _, _ = waited.headers["content-location"].rpartition("/runs/")
    assert (await http.get(thread)).json()["values"] == {"log": ["a", "b", "c"]}


async def test_a_batch_answers_its_runs(http: httpx.AsyncClient) -> None:
    runs = (await http.post("/runs/batch", json=[run_of("abc"), run_of("abc")])).json()
    assert [run["status"] for run in runs] == ["pending", "pending"]
    assert len({run["thread_id"] for run in runs}) == 2


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/runs", run_of("abc", on_completion="burn"), 422, 'on_completion: "burn" is none of'),
        ("/runs", run_of("nobody"), 422, "nobody"),
        ("/runs", run_of(NIL), 404, NIL),
        ("/runs/wait", {"assistant_id": "ask", "command": {"resume": 1}}, 400, "nothing to resume"),
        ("/runs/batch", [], 422, "payloads: names no run"),
        ("/runs/batch", run_of("abc"), 422, "the body: expected array, got"),
        ("/runs/batch", [run_of("abc"), {}], 422, "[1].assistant_id: required, and missing"),
        (
            "/runs/batch",
            [run_of("abc", durability="never")],
            422,
            '[0].durability: "never" is none of sync, async, exit',
        ),
    ],
)
async def test_what_does_not_fit_is_refused(
    http: httpx.AsyncClient, path: str, body: Any, status: int, text: str
) -> None:
    given, problem = refusal(await http.post(path, json=body))
    assert given == status
    assert text in problem


async def test_a_run_of_a_thread_has_no_say_over_the_thread(
    http: httpx.AsyncClient, thread: str
) -> None:
    body = run_of("abc", on_completion="delete")  # as the Python client sends it
    assert (await http.post(f"{thread}/runs/wait", json=body)).json() == {"log": ["a", "b", "c"]}
    assert (await http.get(thread)).json()["status"] == "idle"


async def test_many_runs_are_cancelled(http: httpx.AsyncClient, thread: str) -> None:
    run = (await http.post(f"{thread}/runs", json=run_of("abc", after_seconds=60))).json()
    body = {"thread_id": run["thread_id"], "run_ids": [run["run_id"]]}
    done = await http.post("/runs/cancel", json=body, params={"action": "rollback"})
    assert (done.status_code, done.content) == (204, b"")
    assert (await http.get(f"{thread}/runs/{run['run_id']}")).status_code == 404
    assert refusal(await http.post("/runs/cancel", json=body))[0] == 404
    for wrong in (
        {},
        {"status": "success"},
        {"status": "all", **body},
        {"thread_id": "x", "run_ids": []},
    ):
        assert refusal(await http.post("/runs/cancel", json=wrong))[0] == 422
    wrong_action = await http.post("/runs/cancel", json=body, params={"action": "explode"})
    assert refusal(wrong_action)[0] == 422


async def test_a_stream_is_come_back_to_where_it_said_it_is(http: httpx.AsyncClient) -> None:
    body = run_of("abc", stream_resumable=True, on_completion="keep", stream_mode="updates")
    streamed = await http.post("/runs/stream", json=body)
    metadata, *updates = events_of(streamed.text)

    headers = {"last-event-id": metadata["id"]}
    again = await http.get(streamed.headers["location"], headers=headers)
    assert [event["event"] for event in updates] == ["updates"] * 3
    assert events_of(again.text) == updates
    for name in ("location", "content-location"):
        assert again.headers[name] == streamed.headers[name]


async def test_a_stream_whose_run_is_gone_says_so(http: httpx.AsyncClient) -> None:
    streamed = await http.post("/runs/stream", json=run_of("abc"))
    again = await http.get(streamed.headers["location"])
    assert again.text.startswith("event: error\r\n")
    assert "404: Run" in again.text
