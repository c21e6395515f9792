from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import trio

from .conftest import NIL, Gate, refusal


def run_of(graph: str, **more: Any) -> dict[str, Any]:
    return {"assistant_id": graph, "input": {"log": []}, **more}


async def test_a_run_is_created_and_says_where_it_is(
    http: httpx.AsyncClient, thread: str, gate: Gate
) -> None:
    made = await http.post(f"{thread}/runs", json=run_of("held", metadata={"who": "me"}))
    path = f"{thread}/runs/{made.json()['run_id']}"

    assert made.status_code == 200
    assert made.headers["content-location"] == path
    assert "location" not in made.headers
    assert made.json()["metadata"]["who"] == "me"
    assert made.json()["multitask_strategy"] == "enqueue"
    gate.opened.set()
    assert (await http.get(f"{path}/join")).json() == {"log": ["before", "held", "after"]}
    assert (await http.get(path)).json()["status"] == "success"


async def test_waiting_answers_the_values_and_where_to_come_back(
    http: httpx.AsyncClient, thread: str
) -> None:
    answer = await http.post(f"{thread}/runs/wait", json=run_of("abc"))
    path = answer.headers["content-location"]

    assert answer.status_code == 200
    assert answer.json() == {"log": ["a", "b", "c"]}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["location"] == f"{path}/join"
    assert path.startswith(f"{thread}/runs/")


async def test_a_run_pauses_and_is_resumed(http: httpx.AsyncClient, thread: str) -> None:
    paused = await http.post(f"{thread}/runs/wait", json=run_of("ask"))
    resume = {"assistant_id": "ask", "command": {"resume": "yes"}}
    resumed = await http.post(f"{thread}/runs/wait", json=resume)

    assert [question["value"] for question in paused.json()["__interrupt__"]] == ["sure?"]
    assert resumed.json() == {"log": ["yes"]}


@pytest.mark.parametrize("ending", ["wait", "stream"])
async def test_a_strict_resume_of_what_is_not_asked_says_so(
    http: httpx.AsyncClient, thread: str, ending: str
) -> None:
    await http.post(f"{thread}/runs/wait", json=run_of("ask"))
    resume = {"assistant_id": "ask", "command": {"resume": {"0" * 32: "yes"}}}
    answer = await http.post(f"{thread}/runs/{ending}", json={**resume, "strict_resume": True})
    assert answer.status_code == 200
    assert "UnknownInterruptError" in answer.text
    assert f"for interrupts that do not wait: {'0' * 32}" in answer.text
    assert (await http.get(thread)).json()["status"] == "interrupted"


async def test_an_entrypoint_takes_and_answers_any_json(
    http: httpx.AsyncClient, thread: str
) -> None:
    start = {"assistant_id": "program", "input": [1, 2]}
    resume = {"assistant_id": "program", "command": {"resume": "yes"}}
    paused = (await http.post(f"{thread}/runs/wait", json=start)).json()
    assert [question["value"] for question in paused["__interrupt__"]] == ["sure?"]
    assert (await http.get(f"{thread}/state")).json()["values"] is None
    resumed = await http.post(f"{thread}/runs/wait", json=resume)
    assert resumed.json() == ["yes", 2, 4]
    assert (await http.get(resumed.headers["location"])).json() == ["yes", 2, 4]
    assert (await http.get(f"{thread}/state")).json()["values"] == ["yes", 2, 4]
    assert (await http.get(thread)).json()["values"] == ["yes", 2, 4]


async def test_what_cannot_be_steered_refuses_a_run_that_steers(
    http: httpx.AsyncClient, thread: str
) -> None:
    start = {"assistant_id": "program", "input": [1], "multitask_strategy": "steer"}
    status, detail = refusal(await http.post(f"{thread}/runs", json=start))
    assert status == 422
    assert "'steer' is not possible with graph 'program'" in detail
    assert (await http.get(f"{thread}/runs")).json() == []


async def test_a_breakpoint_is_gone_on_from_with_input_null_or_left_out(
    http: httpx.AsyncClient, thread: str
) -> None:
    wait = f"{thread}/runs/wait"
    stopped = await http.post(wait, json=run_of("abc", interrupt_before=["b", "c"]))
    on = await http.post(wait, json={"assistant_id": "abc", "input": None, "interrupt_after": "*"})
    end = await http.post(wait, json={"assistant_id": "abc"})

    assert [answer.json()["log"] for answer in (stopped, on, end)] == [
        ["a"],
        ["a", "b"],
        ["a", "b", "c"],
    ]


async def test_the_error_of_a_run_is_told_if_it_was_meant_to_be(
    http: httpx.AsyncClient, thread: str
) -> None:
    told = await http.post(f"{thread}/runs/wait", json=run_of("fails", input={"log": ["told"]}))

    assert told.status_code == 200
    assert told.json() == {"__error__": {"error": "ValueError", "message": "no such colour"}}


async def test_the_text_of_other_errors_is_kept_from_clients(
    http: httpx.AsyncClient, thread: str
) -> None:
    body = run_of("fails", input={"log": ["secret"]})
    kept = await http.post(f"{thread}/runs/wait", json=body)
    joined = await http.get(kept.headers["location"])

    error = {"error": "SecretError", "message": "An internal error occurred"}
    assert kept.json() == joined.json() == {"__error__": error}
    assert (await http.get(thread)).json()["error"] == error
    ids = [thread.rpartition("/")[2]]
    assert (await http.post("/threads/search", json={"ids": ids})).json()[0]["error"] == error


async def test_a_run_is_joined_while_it_runs_and_after(
    http: httpx.AsyncClient, thread: str, gate: Gate
) -> None:
    made = await http.post(f"{thread}/runs", json=run_of("held"))
    path = made.headers["content-location"]
    await gate.reached.wait()

    async with http.stream("GET", f"{path}/join") as joined:
        assert joined.headers["location"] == f"{path}/join"
        assert joined.headers["content-location"] == path
        gate.opened.set()
        await joined.aread()

    assert joined.json() == {"log": ["before", "held", "after"]}
    assert (await http.get(f"{path}/join")).json() == joined.json()


async def test_joining_an_unknown_run_says_so_in_the_body(
    http: httpx.AsyncClient, thread: str
) -> None:
    answer = await http.get(f"{thread}/runs/{NIL}/join")
    error = answer.json()["__error__"]

    assert answer.status_code == 200
    assert error["error"] == "HTTPException"
    assert error["message"].startswith("404: ")


async def test_runs_are_listed_newest_first(http: httpx.AsyncClient, thread: str) -> None:
    waited = [await http.post(f"{thread}/runs/wait", json=run_of("abc")) for _ in range(3)]
    ids = [answer.headers["content-location"].rpartition("/")[2] for answer in waited][::-1]

    every = await http.get(f"{thread}/runs")
    page = await http.get(f"{thread}/runs", params={"limit": 1, "offset": 1})
    repeated = await http.get(f"{thread}/runs", params={"select": ["run_id", "status"]})
    array = await http.get(f"{thread}/runs", params={"select": '["run_id","status"]'})

    assert [run["run_id"] for run in every.json()] == ids
    assert [run["run_id"] for run in page.json()] == ids[1:2]
    assert repeated.json() == array.json() == [{"run_id": i, "status": "success"} for i in ids]
    assert not [header for header in every.headers if header.startswith("x-pagination")]
    assert (await http.get(f"{thread}/runs", params={"status": "error"})).json() == []
    assert (await http.get(f"{thread}/runs", params={"status": "nope"})).json() == []


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_cancelling_stops_a_run(
    http: httpx.AsyncClient, thread: str, gate: Gate, strategy: str
) -> None:
    made = await http.post(f"{thread}/runs", json=run_of("held"))
    path = made.headers["content-location"]
    await gate.reached.wait()

    params = {"wait": "1", "action": strategy}
    cancelled = await http.post(f"{path}/cancel", params=params)

    assert cancelled.status_code == 200
    assert cancelled.json() == {}
    assert cancelled.headers["location"] == f"{path}/join"
    assert cancelled.headers["content-location"] == path
    run = await http.get(path)
    values = (await http.get(f"{thread}/state")).json()["values"]
    if strategy == "rollback":
        assert (run.status_code, values) == (404, {})
    else:
        assert (run.json()["status"], values) == ("interrupted", {"log": ["before"]})


async def test_cancelling_without_waiting_answers_at_once(
    http: httpx.AsyncClient, thread: str, gate: Gate
) -> None:
    made = await http.post(f"{thread}/runs", json=run_of("held"))
    path = made.headers["content-location"]
    await gate.reached.wait()
    cancelled = await http.post(f"{path}/cancel", params={"wait": "false"})

    assert (cancelled.status_code, cancelled.content) == (202, b"")
    await http.get(f"{path}/join")
    assert (await http.get(path)).json()["status"] == "interrupted"


async def test_what_cannot_be_cancelled(http: httpx.AsyncClient, thread: str) -> None:
    ended = await http.post(f"{thread}/runs/wait", json=run_of("abc"))
    path = ended.headers["content-location"]

    assert refusal(await http.post(f"{path}/cancel"))[0] == 404
    assert refusal(await http.post(f"{path}/cancel", params={"action": "explode"})) == (
        422,
        'action: "explode" is none of interrupt, rollback',
    )


async def test_a_run_is_deleted(http: httpx.AsyncClient, thread: str) -> None:
    ended = await http.post(f"{thread}/runs/wait", json=run_of("abc"))
    path = ended.headers["content-location"]
    deleted = await http.delete(path)

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await http.get(path)).status_code == 404


async def test_a_busy_thread_refuses_with_409_if_asked_to(
    http: httpx.AsyncClient, thread: str, gate: Gate
) -> None:
    await http.post(f"{thread}/runs", json=run_of("held"))
    await gate.reached.wait()

    for ending in ("", "/wait", "/stream"):
        body = run_of("abc", multitask_strategy="reject")
        assert refusal(await http.post(f"{thread}/runs{ending}", json=body))[0] == 409
    assert len((await http.get(f"{thread}/runs")).json()) == 1


async def test_a_thread_can_be_made_by_its_first_run(http: httpx.AsyncClient) -> None:
    body = run_of("abc", if_not_exists="create")
    answer = await http.post(f"/threads/{NIL}/runs/wait", json=body)

    assert answer.json() == {"log": ["a", "b", "c"]}
    assert (await http.get(f"/threads/{NIL}")).status_code == 200


async def test_a_thread_that_its_first_run_makes_has_the_metadata_of_it(
    http: httpx.AsyncClient,
) -> None:
    config = {"tags": ["t"], "metadata": {"of": "config"}, "configurable": {"key": "private"}}
    first = run_of("abc", if_not_exists="create", metadata={"of_run": 1}, config=config)
    await http.post(f"/threads/{NIL}/runs/wait", json=first)
    second = run_of("abc", metadata={"of_run": 2}, config={"recursion_limit": 9})
    await http.post(f"/threads/{NIL}/runs/wait", json=second)

    made = (await http.get(f"/threads/{NIL}")).json()
    assert (made["metadata"]["of"], made["metadata"]["of_run"]) == ("config", 1)
    assert made["config"] == {
        "tags": ["t"],
        "metadata": {"of": "config"},
        "recursion_limit": 9,
        "configurable": {},
    }


async def test_a_run_shows_what_its_nodes_find_in_their_config(
    http: httpx.AsyncClient, thread: str
) -> None:
    config = {"configurable": {"key": 1}, "max_concurrency": 2, "run_name": "mine"}
    made = await http.post(f"{thread}/runs", json=run_of("abc", config=config, metadata={"a": 1}))

    run = made.json()
    ids = {key: run[key] for key in ("thread_id", "run_id", "assistant_id")}
    shown = run["kwargs"]
    assert shown["checkpoint_during"] is True
    assert shown["config"]["configurable"] == {"key": 1, "graph_id": "abc", **ids}
    assert shown["config"]["metadata"] == run["metadata"]
    assert (shown["config"]["max_concurrency"], shown["config"]["run_name"]) == (2, "mine")


async def test_a_max_concurrency_that_is_none_is_refused(
    http: httpx.AsyncClient, thread: str
) -> None:
    body = run_of("abc", config={"max_concurrency": 0})
    status, text = refusal(await http.post(f"{thread}/runs", json=body))
    assert status == 422
    assert "max_concurrency" in text


@pytest.mark.parametrize(("assistant", "status"), [(NIL, 404), ("nope", 422)])
async def test_an_unknown_assistant_runs_nothing(
    http: httpx.AsyncClient, thread: str, assistant: str, status: int
) -> None:
    for ending in ("", "/wait", "/stream"):
        answer = await http.post(f"{thread}/runs{ending}", json=run_of(assistant))
        assert refusal(answer)[0] == status
        assert assistant in refusal(answer)[1]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/threads/{NIL}/runs"),
        ("POST", f"/threads/{NIL}/runs/wait"),
        ("POST", f"/threads/{NIL}/runs/stream"),
        ("GET", f"/threads/{NIL}/runs"),
        ("GET", f"/threads/{NIL}/runs/{NIL}"),
        ("DELETE", f"/threads/{NIL}/runs/{NIL}"),
        ("POST", f"/threads/{NIL}/runs/{NIL}/cancel"),
    ],
)
async def test_an_unknown_thread_or_run_is_not_found(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    body = run_of("abc") if method == "POST" else None
    status, text = refusal(await http.request(method, path, json=body))

    assert status == 404
    assert NIL in text


async def test_who_waits_on_a_thread_that_is_deleted_is_told(
    http: httpx.AsyncClient, thread: str, gate: Gate
) -> None:
    answers = []

    async def wait() -> None:
        answers.append(await http.post(f"{thread}/runs/wait", json=run_of("held")))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await gate.reached.wait()
        await http.delete(thread)

    assert answers[0].json()["__error__"]["message"].startswith("404: ")


@pytest.mark.parametrize("what", ["the run", "a run that waits", "the thread"])
async def test_who_waits_for_a_run_that_is_deleted_is_told(
    http: httpx.AsyncClient, thread: str, gate: Gate, what: str
) -> None:
    runs = [(await http.post(f"{thread}/runs", json=run_of("held"))).json() for _ in range(2)]
    await gate.reached.wait()
    run = f"{thread}/runs/{runs[what == 'a run that waits']['run_id']}"
    answers: dict[str, str] = {}

    async def ask(path: str) -> None:
        answers[path] = (await http.get(f"{run}/{path}")).text

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, "join")
        nursery.start_soon(ask, "stream")
        await trio.testing.wait_all_tasks_blocked()
        await http.delete(thread if what == "the thread" else run)

    told = json.loads(answers["join"])["__error__"]
    assert told["error"] == "HTTPException"
    assert told["message"].startswith("404: ")
    *_, event, data, _, _ = answers["stream"].replace("\r", "").split("\n")
    assert (event, json.loads(data.removeprefix("data: "))) == ("event: error", told)
