"""Assistants as agents: Agent2Agent, by hand. `tests/scenarios` has its own client."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from greenroom.actors import Greenroom
from greenroom.storage import MemoryStorage

from .conftest import NIL, Gate, events_of, refusal
from .rpc import Rpc, error, not_calls
from .test_access import calling

pytest.importorskip("a2a", reason="a2a-sdk is not there")

CARD = "/.well-known/agent-card.json"


def data(value: Any, **more: Any) -> dict[str, Any]:
    """A message that holds values of keys."""
    part = {"kind": "data", "data": value}
    return {"message": {"messageId": "m", "role": "user", "parts": [part], **more}}


def text(said: str, **more: Any) -> dict[str, Any]:
    part = {"kind": "text", "text": said}
    return {"message": {"messageId": "m", "role": "user", "parts": [part], **more}}


def result(answer: tuple[int, Any]) -> Any:
    status, body = answer
    assert (status, body["id"], body["jsonrpc"]) == (200, 7, "2.0")
    return body["result"]


def output(task: Any) -> Any:
    ((part,),) = (artifact["parts"] for artifact in task["artifacts"])
    return part["data"]


async def test_the_card_says_where_an_agent_is_called(room: Greenroom) -> None:
    async with calling(room, http={"mount_prefix": "/x"}) as http:
        ident = (await room.client.assistants.get("abc"))["assistant_id"]
        card = (await http.get(f"/x{CARD}?assistant_id=abc")).json()
        assert card["name"] == "abc"
        assert card["url"] == f"http://test/x/a2a/{ident}"
        assert card["capabilities"]["streaming"] is True
        assert card["protocolVersion"] == "0.3.0"
        rpc = Rpc(http, card["url"])
        assert output(result(await rpc("message/send", data({})))) == {"log": ["a", "b", "c"]}
        assert refusal(await http.get(f"/x{CARD}"))[0] == 422
        assert refusal(await http.get(f"/x{CARD}?assistant_id=nobody"))[0] == 422
        assert refusal(await http.get(f"/x{CARD}?assistant_id={NIL}"))[0] == 404


async def test_a_task_is_a_run_and_its_context_a_thread(http: httpx.AsyncClient) -> None:
    rpc = Rpc(http, "/a2a/abc")
    task = result(await rpc("message/send", data({"log": [1]}, contextId=NIL)))
    assert task["contextId"] == NIL
    assert task["status"]["state"] == "completed"
    thread_id, _, run_id = task["id"].partition(":")
    assert thread_id == NIL
    (run,) = (await http.get(f"/threads/{NIL}/runs")).json()
    assert run["run_id"] == run_id
    assert result(await rpc("tasks/get", {"id": task["id"]})) == task
    # As clients of the reference name it.
    assert result(await rpc("tasks/get", {"id": run_id, "contextId": NIL})) == task

    newer = result(await rpc("message/send", data({}, contextId=NIL)))
    assert output(newer) == {"log": [1, "a", "b", "c", "a", "b", "c"]}
    older = result(await rpc("tasks/get", {"id": task["id"]}))
    assert older["status"]["state"] == "completed"
    assert "artifacts" not in older  # the values are the newer one's


async def test_a_task_that_asks_goes_on_with_the_answer(http: httpx.AsyncClient) -> None:
    rpc = Rpc(http, "/a2a/ask")
    asked = result(await rpc("message/send", data({"log": []})))
    assert asked["status"]["state"] == "input-required"
    assert asked["status"]["message"]["parts"] == [{"kind": "text", "text": "sure?"}]
    assert result(await rpc("tasks/get", {"id": asked["id"]}))["status"]["state"] == (
        "input-required"
    )
    both = text("yes", taskId=asked["id"])
    both["message"]["parts"] += data({"a": 1})["message"]["parts"]
    assert error(await rpc("message/send", both))[:2] == (200, -32602)
    answered = result(await rpc("message/send", text("yes", taskId=asked["id"])))
    assert answered["contextId"] == asked["contextId"]
    assert output(answered) == {"log": ["yes"]}
    again = await rpc("message/send", text("yes", taskId=asked["id"]))
    assert error(again) == (200, -32004, "message.taskId: the task asks nothing, it is completed")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("told", "ValueError: no such colour"),
        ("secret", "SecretError: An internal error occurred"),
    ],
)
async def test_a_run_that_fails_is_a_task_that_failed(
    http: httpx.AsyncClient, word: str, said: str
) -> None:
    rpc = Rpc(http, "/a2a/fails")
    task = result(await rpc("message/send", data({"log": [word]})))
    assert task["status"]["state"] == "failed"
    assert task["status"]["message"]["parts"] == [{"kind": "text", "text": said}]
    seen = result(await rpc("tasks/get", {"id": task["id"]}))
    assert seen["status"]["message"]["parts"] == task["status"]["message"]["parts"]


async def test_a_task_that_is_not_waited_for_can_be_cancelled(
    http: httpx.AsyncClient, gate: Gate
) -> None:
    rpc = Rpc(http, "/a2a/held")
    given = {**data({}), "configuration": {"blocking": False}}
    task = result(await rpc("message/send", given))
    assert task["status"]["state"] == "submitted"
    await gate.reached.wait()
    named = {"id": task["id"]}
    assert result(await rpc("tasks/get", named))["status"]["state"] == "working"
    assert result(await rpc("tasks/cancel", named))["status"]["state"] == "canceled"
    over = error(await rpc("tasks/cancel", named))
    assert over == (200, -32002, "params.id: the task is over, it is canceled")


async def test_a_task_is_followed_to_its_end(http: httpx.AsyncClient) -> None:
    body = {"jsonrpc": "2.0", "id": 7, "method": "message/stream", "params": data({})}
    answer = await http.post("/a2a/abc", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    sent = [result((200, json.loads(event["data"]))) for event in events_of(answer.text)]
    kinds = [part["kind"] for part in sent]
    assert kinds == ["task", "status-update", "artifact-update", "status-update"]
    assert sent[2]["artifact"]["parts"][0]["data"] == {"log": ["a", "b", "c"]}
    assert [sent[1]["final"], sent[3]["final"]] == [False, True]
    assert sent[3]["status"]["state"] == "completed"


async def test_who_follows_a_task_is_told_that_its_context_is_gone(
    http: httpx.AsyncClient, gate: Gate
) -> None:
    body = {"jsonrpc": "2.0", "id": 7, "method": "message/stream"}
    body["params"] = data({}, contextId=NIL)
    async with http.stream("POST", "/a2a/held", json=body) as answer:
        await gate.reached.wait()
        await http.delete(f"/threads/{NIL}")
        events = events_of((await answer.aread()).decode())
    last = json.loads(events[-1]["data"])
    assert error((200, last))[:2] == (200, -32001)


async def test_what_is_no_call_is_answered_with_an_error_of_the_protocol(
    http: httpx.AsyncClient,
) -> None:
    await not_calls(http, "/a2a/abc")


async def test_calls_that_do_not_fit_are_answered_with_an_error_of_the_protocol(
    http: httpx.AsyncClient,
) -> None:
    rpc = Rpc(http, "/a2a/abc")
    send = "message/send"
    assert error(await rpc("tasks/resubscribe", {}))[:2] == (200, -32601)
    assert error(await rpc(send)) == (200, -32602, "params.message: required, and missing")
    assert error(await rpc("tasks/get", {"id": 5}))[:2] == (200, -32602)
    nothing = data({})
    nothing["message"]["parts"] = []
    assert error(await rpc(send, nothing))[:2] == (200, -32602)
    file = data({})
    file["message"]["parts"] = [{"kind": "file", "file": {"uri": "http://x.example"}}]
    assert error(await rpc(send, file))[:2] == (200, -32005)
    pushed = {**data({}), "configuration": {"pushNotificationConfig": {"url": "http://x.example"}}}
    assert error(await rpc(send, pushed))[:2] == (200, -32003)
    assert error(await rpc(send, data({}, contextId="x")))[:2] == (200, -32602)
    no_text = error(await rpc(send, text("hello")))
    assert no_text == (200, -32602, "message.parts: the agent takes no text, but data: log")
    task = result(await rpc(send, data({})))
    for named in (
        {"id": "x"},
        {"id": "x:y"},
        {"id": NIL, "contextId": NIL},
        {"id": NIL, "contextId": 5},
        {"id": task["id"], "contextId": NIL},
    ):
        assert error(await rpc("tasks/get", named))[:2] == (200, -32001)
        assert error(await rpc("tasks/cancel", named))[:2] == (200, -32001)
    other = Rpc(http, "/a2a/ask")
    assert error(await other("tasks/get", {"id": task["id"]}))[:2] == (200, -32001)
    for nobody in ("nobody", NIL):
        assert error(await Rpc(http, f"/a2a/{nobody}")(send, data({})))[:2] == (404, -32602)


async def test_an_agent_whose_graph_is_not_served_takes_nothing(room: Greenroom) -> None:
    graph, storage = room.graphs["abc"], MemoryStorage()
    async with Greenroom({"old": graph}, storage=storage) as room:
        ident = (await room.client.assistants.get("old"))["assistant_id"]
    async with Greenroom({"abc": graph}, storage=storage) as room, calling(room) as http:
        answer = await Rpc(http, f"/a2a/{ident}")("message/send", data({}))
        assert error(answer) == (200, -32602, "Graph 'old' is not served here")


async def test_it_can_be_disabled_and_may_not_be_installed(
    room: Greenroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with calling(room, http={"disable_a2a": True}) as http:
        assert refusal(await http.post("/a2a/abc", json={})) == (404, "Not Found")
    monkeypatch.setattr("greenroom.gateway.app.find_spec", lambda name: None)
    async with calling(room) as http:
        for answer in (await http.post("/a2a/abc", json={}), await http.get(CARD)):
            status, text = refusal(answer)
            assert (status, "greenroom[a2a]" in text) == (404, True)
