from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from .conftest import NIL, Gate, events_of


def run_of(graph: str, mode: Any = "updates", **more: Any) -> dict[str, Any]:
    return {"assistant_id": graph, "input": {"log": []}, "stream_mode": mode, **more}


def names(text: str) -> list[str]:
    return [event["event"] for event in events_of(text)]


async def test_a_stream_has_its_headers_and_frames(http: httpx.AsyncClient, thread: str) -> None:
    answer = await http.post(f"{thread}/runs/stream", json=run_of("abc"))
    path = answer.headers["content-location"]
    run_id = path.rpartition("/")[2]

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["location"] == f"{path}/stream"
    assert answer.text == (
        f'event: metadata\r\ndata: {{"run_id":"{run_id}","attempt":1}}\r\n\r\n'
        'event: updates\r\ndata: {"a":{"log":["a"]}}\r\n\r\n'
        'event: updates\r\ndata: {"b":{"log":["b"]}}\r\n\r\n'
        'event: updates\r\ndata: {"c":{"log":["c"]}}\r\n\r\n'
    )


async def test_several_modes_share_a_stream(http: httpx.AsyncClient, thread: str) -> None:
    body = run_of("talks", ["values", "updates", "custom"])
    answer = await http.post(f"{thread}/runs/stream", json=body)

    assert names(answer.text) == ["metadata", "values", "custom", "updates", "values"]


async def test_events_come_while_the_run_goes_on(
    http: httpx.AsyncClient, thread: str, gate: Gate
) -> None:
    seen = []
    async with http.stream("POST", f"{thread}/runs/stream", json=run_of("held")) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data:") and "before" in line:
                gate.opened.set()
            if line.startswith("event:"):
                seen.append(line)

    assert len(seen) == 4


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("told", {"error": "ValueError", "message": "no such colour"}),
        ("own", {"error": "ColourError", "message": "no such colour"}),
        ("secret", {"error": "SecretError", "message": "An internal error occurred"}),
    ],
)
async def test_a_failed_run_ends_with_an_error_event(
    http: httpx.AsyncClient, thread: str, kind: str, data: dict[str, str]
) -> None:
    body = run_of("fails", input={"log": [kind]})
    answer = await http.post(f"{thread}/runs/stream", json=body)

    last = events_of(answer.text)[-1]
    assert last["event"] == "error"
    assert json.loads(last["data"]) == data


async def test_the_text_of_other_errors_is_kept_from_those_who_follow_tasks(
    http: httpx.AsyncClient, thread: str
) -> None:
    body = run_of("fails", ["tasks", "debug"], input={"log": ["secret"]})
    answer = await http.post(f"{thread}/runs/stream", json=body)

    told = {one["event"]: json.loads(one["data"]) for one in events_of(answer.text)}
    error = {"error": "SecretError", "message": "An internal error occurred"}
    assert told["tasks"]["error"] == told["debug"]["payload"]["error"] == error


async def test_a_resumable_stream_is_read_again_from_any_event(
    http: httpx.AsyncClient, thread: str
) -> None:
    body = run_of("abc", stream_resumable=True)
    answer = await http.post(f"{thread}/runs/stream", json=body)
    every = events_of(answer.text)
    again = answer.headers["location"]

    async def after(event_id: str | None, **params: Any) -> list[dict[str, str]]:
        headers = {} if event_id is None else {"Last-Event-ID": event_id}
        return events_of((await http.get(again, headers=headers, params=params)).text)

    ids = [int(event["id"]) for event in every]
    assert ids == sorted(set(ids))
    assert len(every) == 4
    assert await after("0") == every
    assert await after("-1") == every
    assert await after(every[1]["id"]) == every[2:]
    assert await after(None) == []
    assert await after("0", stream_mode="values") == every[:1]
    assert await after("0", stream_mode='["values","updates"]') == every


async def test_a_stream_is_joined_live(http: httpx.AsyncClient, thread: str, gate: Gate) -> None:
    made = await http.post(f"{thread}/runs", json=run_of("held"))
    path = made.headers["content-location"]
    await gate.reached.wait()

    async with http.stream("GET", f"{path}/stream") as joined:
        assert joined.headers["location"] == f"{path}/stream"
        gate.opened.set()
        await joined.aread()

    assert names(joined.text) == ["updates", "updates"]
    assert (await http.get(f"{path}/stream")).text == ""


async def test_joining_the_stream_of_an_unknown_run_is_one_error_event(
    http: httpx.AsyncClient, thread: str
) -> None:
    answer = await http.get(f"{thread}/runs/{NIL}/stream")
    (event,) = events_of(answer.text)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert event["event"] == "error"
    assert json.loads(event["data"])["error"] == "HTTPException"
    assert json.loads(event["data"])["message"].startswith("404: ")


async def test_an_event_id_that_is_none_is_refused(http: httpx.AsyncClient, thread: str) -> None:
    answer = await http.get(f"{thread}/runs/{NIL}/stream", headers={"Last-Event-ID": "1-0"})

    assert answer.status_code == 422
    assert answer.json()["detail"] == 'Last-Event-ID: expected integer, got "1-0"'


@pytest.mark.parametrize("ending", ["stream", "wait"])
async def test_a_run_is_cancelled_with_its_client_if_asked_to(
    http: httpx.AsyncClient, thread: str, gate: Gate, ending: str
) -> None:
    body = run_of("held", on_disconnect="cancel")
    async with http.stream("POST", f"{thread}/runs/{ending}", json=body) as answer:
        path = answer.headers["content-location"]
        await gate.reached.wait()

    await http.get(f"{path}/join")
    assert (await http.get(path)).json()["status"] == "interrupted"


@pytest.mark.parametrize("ending", ["stream", "join"])
async def test_a_joined_run_is_cancelled_with_its_client_if_asked_to(
    http: httpx.AsyncClient, thread: str, gate: Gate, ending: str
) -> None:
    path = (await http.post(f"{thread}/runs", json=run_of("held"))).headers["content-location"]
    await gate.reached.wait()
    params = {"cancel_on_disconnect": "true"}
    async with http.stream("GET", f"{path}/{ending}", params=params):
        pass

    await http.get(f"{path}/join")
    assert (await http.get(path)).json()["status"] == "interrupted"


@pytest.mark.parametrize("on_disconnect", [None, "continue"])
@pytest.mark.parametrize("ending", ["stream", "wait"])
async def test_a_run_goes_on_without_its_client_otherwise(
    http: httpx.AsyncClient, thread: str, gate: Gate, ending: str, on_disconnect: str | None
) -> None:
    body = run_of("held", on_disconnect=on_disconnect)
    async with http.stream("POST", f"{thread}/runs/{ending}", json=body) as answer:
        path = answer.headers["content-location"]
        await gate.reached.wait()
    await trio.testing.wait_all_tasks_blocked()

    gate.opened.set()
    await http.get(f"{path}/join")
    assert (await http.get(path)).json()["status"] == "success"


async def test_a_thread_is_followed_over_all_its_runs(http: httpx.AsyncClient, thread: str) -> None:
    kept = await http.post(f"{thread}/runs/stream", json=run_of("abc", stream_resumable=True))
    before = events_of(kept.text)
    headers = {"Last-Event-ID": before[1]["id"]}
    async with (
        http.stream("GET", f"{thread}/stream") as following,
        http.stream("GET", f"{thread}/stream", headers=headers) as back,
    ):
        assert following.headers["content-type"] == "text/event-stream; charset=utf-8"
        for graph in ("abc", "talks"):
            await http.post(f"{thread}/runs/wait", json=run_of(graph))
        await http.delete(thread)  # which ends the streams
        await following.aread()
        await back.aread()
    events = events_of(following.text)
    of_abc = ["metadata", "updates", "updates", "updates", "metadata"]
    assert [event["event"] for event in events] == [*of_abc, "metadata", "updates", "metadata"]
    assert '"run_done"' in events[4]["data"]
    missed = events_of(back.text)
    assert missed == [*before[2:], missed[len(before) - 2], *events]
    assert '"run_done"' in missed[len(before) - 2]["data"]
    ids = [int(event["id"]) for event in (*before, *events)]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize("name", ["stream_modes", "stream_mode"])  # the API's, and the SDK's
async def test_a_mode_of_following_that_is_none_is_refused(
    http: httpx.AsyncClient, thread: str, name: str
) -> None:
    answer = await http.get(f"{thread}/stream", params={name: "nope"})
    assert answer.status_code == 422
    expected = f'{name}: "nope" is none of run_modes, lifecycle, state_update'
    assert answer.json() == {"detail": expected}
    assert (await http.get(f"/threads/{NIL}/stream")).status_code == 404
