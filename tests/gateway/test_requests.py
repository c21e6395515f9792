"""Requests that do not fit: each names the field and the value, and changes nothing."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from .conftest import NIL, refusal

RUN = {"assistant_id": "abc", "input": {"log": []}}


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("assistant_id", 5, "assistant_id: expected string, got 5"),
        ("metadata", "x", 'metadata: expected object or null, got "x"'),
        ("config", [], "config: expected object or null, got []"),
        ("config", {"recursion_limit": 0}, "config.recursion_limit: expected integer >= 1, got 0"),
        ("stream_mode", "nope", "stream_mode: 'nope'"),
        ("stream_mode", ["values", "nope"], "stream_mode: 'nope'"),
        ("stream_mode", [5], "stream_mode[0]: expected string, got 5"),
        ("multitask_strategy", "explode", 'multitask_strategy: "explode" is none of reject'),
        ("multitask_strategy", None, "multitask_strategy: expected string, got null"),
        ("interrupt_before", 5, "interrupt_before: expected string or array or null, got 5"),
        ("interrupt_after", ["a", 5], "interrupt_after[1]: expected string, got 5"),
        ("command", "resume", 'command: expected object or null, got "resume"'),
        ("command", {"goto": [{"node": "a"}]}, "command.goto[0].input: required, and missing"),
        ("after_seconds", "soon", 'after_seconds: expected number or null, got "soon"'),
        ("after_seconds", -1, "after_seconds: -1.0 is no number of seconds up to a hundred years"),
        ("webhook", "not a url", 'webhook: "not a url" is no http or https URL'),
        ("webhook", "http://127.0.0.1", "webhook: 127.0.0.1 is not a public address"),
        ("durability", "never", 'durability: "never" is none of sync, async, exit'),
        ("checkpoint", "x", 'checkpoint: expected object or null, got "x"'),
        ("checkpoint", {"checkpoint_id": 5}, "checkpoint.checkpoint_id: expected string or null"),
        ("stream_resumable", "yes", 'stream_resumable: expected boolean or null, got "yes"'),
    ],
)
async def test_a_run_with_a_field_that_does_not_fit(
    http: httpx.AsyncClient, thread: str, field: str, value: Any, text: str
) -> None:
    for ending in ("", "/wait", "/stream"):
        answer = await http.post(f"{thread}/runs{ending}", json={**RUN, field: value})
        assert refusal(answer)[0] == 422
        assert refusal(answer)[1].startswith(text)
    assert (await http.get(f"{thread}/runs")).json() == []


@pytest.mark.parametrize("on_thread", [True, False])
@pytest.mark.parametrize("ending", ["wait", "stream"])
async def test_who_follows_a_run_says_clearly_what_leaving_means(
    http: httpx.AsyncClient, thread: str, on_thread: bool, ending: str
) -> None:
    url = f"{thread if on_thread else ''}/runs/{ending}"
    answer = await http.post(url, json={**RUN, "on_disconnect": "explode"})
    assert refusal(answer) == (422, 'on_disconnect: "explode" is none of cancel, continue')
    assert (await http.get(f"{thread}/runs")).json() == []


@pytest.mark.parametrize(
    "extra",
    [
        {"no_such_field": 1},
        {"command": {"nope": 1}},
        {"on_disconnect": "explode"},
        {"feedback_keys": ["stars"]},
        {"input": None, "command": None, "metadata": None, "stream_mode": None, "webhook": None},
        {"durability": "async", "checkpoint_during": True, "after_seconds": 0},
    ],
)
async def test_what_changes_nothing_is_accepted(
    http: httpx.AsyncClient, thread: str, extra: dict[str, Any]
) -> None:
    assert (await http.post(f"{thread}/runs", json={**RUN, **extra})).status_code == 200


async def test_a_whole_number_may_be_written_with_a_point(http: httpx.AsyncClient) -> None:
    for metadata in ({"half": 0.5}, {"whole": 1.0}):
        assert (await http.post("/threads", json={"metadata": metadata})).status_code == 200
    found = await http.post("/threads/search", json={"limit": 1.0, "offset": 1e0})
    assert [thread["metadata"] for thread in found.json()] == [{"half": 0.5}]
    refused = await http.post("/threads/search", json={"limit": 1.5})
    assert refusal(refused) == (422, "limit: expected integer or null, got 1.5")


async def test_context_and_configurable_are_not_given_together(
    http: httpx.AsyncClient, thread: str
) -> None:
    body = {**RUN, "context": {"a": 1}, "config": {"configurable": {"a": 2}}}

    assert refusal(await http.post(f"{thread}/runs", json=body))[0] == 400


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/threads", {"metadata": "x"}, "metadata: expected object"),
        (
            *("/threads", {"metadata": {"multitask_strategy": "queue"}}),
            "metadata.multitask_strategy: 'queue' is not one of 'reject', 'enqueue'",
        ),
        (
            *("/assistants", {"graph_id": "abc", "metadata": {"multitask_strategy": 5}}),
            "metadata.multitask_strategy: 5 is not one of 'reject', 'enqueue'",
        ),
        (
            *(f"/threads/{NIL}/runs", {**RUN, "multitask_strategy": "debounce"}),
            "after_seconds: missing; multitask_strategy 'debounce' needs one",
        ),
        ("/threads", {"if_exists": "maybe"}, 'if_exists: "maybe" is none of raise, do_nothing'),
        ("/threads", {"thread_id": "abc"}, "thread_id: 'abc'"),
        ("/threads", {"ttl": 5}, "ttl: expected object or null, got 5"),
        (
            *("/threads", {"ttl": {"ttl": 1, "strategy": {}}}),
            "ttl.strategy: {} is none of delete, keep_latest",
        ),
        ("/threads", {"ttl": {"ttl": "x"}}, "ttl: {'ttl': 'x'} has no number of minutes"),
        ("/threads/prune", {"strategy": "delete"}, "thread_ids: required"),
        ("/threads/prune", {"thread_ids": [], "strategy": "all"}, "strategy: "),
        ("/threads/prune", {"thread_ids": ["x"]}, "thread_ids: 'x' is not a UUID"),
        ("/threads", {"supersteps": [{"updates": []}]}, "supersteps: "),
        ("/threads", [], "the body: expected object, got []"),
        ("/threads/search", {"metadata": "x"}, "metadata: expected object"),
        ("/threads/search", {"sort_by": "colour"}, 'sort_by: "colour" is none of thread_id'),
        ("/threads/search", {"limit": "ten"}, 'limit: expected integer or null, got "ten"'),
        ("/threads/search", {"limit": 0}, "limit: expected integer >= 1, got 0"),
        ("/threads/search", {"limit": 1001}, "limit: expected integer <= 1000, got 1001"),
        ("/threads/search", {"offset": -1}, "offset: expected integer >= 0, got -1"),
        ("/threads/search", {"offset": 2**63}, f"offset: {2**63} is more than {2**63 - 1}"),
        ("/assistants/search", {"offset": 10**30}, "offset: "),
        ("/store/items/search", {"offset": 2**63}, "offset: "),
        ("/store/namespaces", {"offset": 2**63}, "offset: "),
        ("/threads/search", {"status": "sleeping"}, 'status: "sleeping" is none of idle'),
        ("/threads/search", {"ids": ["abc"]}, "ids: 'abc'"),
        ("/threads/search", {"select": ["colour"]}, 'select[0]: "colour" is none of thread_id'),
        ("/threads/search", {"extract": {"a": "x.b"}}, "extract.a: 'x.b' begins with none of"),
        ("/threads/search", {"extract": {"a": 5}}, "extract[...]: expected string"),
        ("/threads/count", {"status": 5}, "status: expected string or null, got 5"),
        (f"/threads/{NIL}/state", {"values": "x"}, "values: expected object or array or null"),
        (f"/threads/{NIL}/state/checkpoint", {}, "checkpoint: required, and missing"),
        (
            *(f"/threads/{NIL}/state/checkpoint", {"checkpoint": {"checkpoint_id": ""}}),
            "checkpoint.checkpoint_id: '' is not a UUID",
        ),
        (f"/threads/{NIL}/history", {"limit": 0}, "limit: expected integer >= 1, got 0"),
        (f"/threads/{NIL}/runs", {}, "assistant_id: required, and missing"),
        ("/assistants/search", {"sort_order": "up"}, 'sort_order: "up" is none of asc, desc'),
        ("/assistants/count", {"name": 5}, "name: expected string or null, got 5"),
    ],
)
async def test_a_body_that_does_not_fit(
    http: httpx.AsyncClient, path: str, body: Any, text: str
) -> None:
    status, detail = refusal(await http.post(path, json=body))

    assert status == 422
    assert detail.startswith(text)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "the body is empty"),
        (b'{"metadata": {"a": 1},\n "thread_id" 5}', "broken JSON at line 2, column 14"),
        (b'{"metadata": {"a": 1}', "broken JSON at line 1, column 22"),
        (b'{"metadata": {"a": NaN}}', "broken JSON: invalid character (byte 19)"),
        (b'{"metadata": {"a": "\\ud800"}}', "broken JSON: half of a surrogate pair"),
        (b'{"metadata": {"a": "\xff"}}', "broken JSON: not UTF-8 at byte 20"),
        (b'{"unknown": "\xff"}', "broken JSON: not UTF-8 at byte 13"),
        (b'{"metadata": {"a": 1e999}}', "metadata[...]: number out of range"),
        (b'{"thread_id": 5, "metadata": {"a" 1}}', "broken JSON at line 1, column 35"),
        (b'{"metadata": ' + b'{"a": ' * 300 + b"1" + b"}" * 301, "JSON nested deeper than 200"),
        (b'{"metadata": ' + b'{"a": ' * 99_000, "JSON nested deeper than 200"),
        (b'{"thread_id": 5, "metadata": {"a": ' + b"[" * 99_000, "JSON nested deeper than 200"),
        (b"[" * 99_000, "JSON nested deeper than 200"),
    ],
)
async def test_broken_json_is_placed(http: httpx.AsyncClient, body: bytes, text: str) -> None:
    status, detail = refusal(await http.post("/threads", content=body[:99_999]))

    assert status == 422
    assert detail.startswith(text)


async def test_brackets_in_texts_and_side_by_side_are_no_nesting(http: httpx.AsyncClient) -> None:
    metadata = {"text": '[{"\\' * 300, "many": [[{}]] * 300}
    answer = await http.post("/threads", json={"metadata": metadata})

    assert answer.json()["metadata"] == metadata


async def test_a_value_is_shown_cut_short(http: httpx.AsyncClient) -> None:
    _, detail = refusal(await http.post("/threads", json={"metadata": "x" * 1000}))

    assert len(detail) < 150


async def test_a_body_that_is_too_long_is_refused_and_the_connection_goes_on(
    http: httpx.AsyncClient,
) -> None:
    for path in ("/threads", "/nowhere"):
        status, detail = refusal(await http.post(path, content=b"x" * 3_000_000))
        assert status == 413
        assert detail == "the body has 3000000 bytes; at most 100000 are taken"
    assert (await http.post("/threads", json={})).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/threads/abc"),
        ("GET", f"/threads/{NIL}/state/abc"),
        ("POST", "/threads/abc/runs"),
        ("GET", f"/threads/{NIL}/runs/abc"),
        ("GET", f"/threads/{NIL}/runs/abc/join"),
        ("GET", f"/threads/{NIL}/runs/abc/stream"),
    ],
)
async def test_an_id_in_a_path_is_a_uuid(http: httpx.AsyncClient, method: str, path: str) -> None:
    status, detail = refusal(await http.request(method, path))

    assert status == 422
    assert detail.endswith('_id: expected a UUID, got "abc"')


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/runs?limit=x", 400, 'limit: expected integer >= 1, got "x"'),
        ("/runs?offset=-1", 400, 'offset: expected integer >= 0, got "-1"'),
        ("/history?limit=x", 422, 'limit: expected integer >= 1 and <= 1000, got "x"'),
        ("/history?before=x", 422, 'before: expected a UUID, got "x"'),
        ("/state?subgraphs=", 422, 'subgraphs: expected true or false, got ""'),
        ("/state?subgraphs=perhaps", 422, 'subgraphs: expected true or false, got "perhaps"'),
        (f"/runs/{NIL}/stream?stream_mode=nope", 422, 'stream_mode: "nope" is none of values'),
        (f"/runs/{NIL}/stream?stream_mode=[5]", 422, "stream_mode: expected an array of strings"),
    ],
)
async def test_a_query_that_does_not_fit(
    http: httpx.AsyncClient, thread: str, path: str, status: int, text: str
) -> None:
    answer = await http.get(f"{thread}{path}")

    assert refusal(answer)[0] == status
    assert refusal(answer)[1].startswith(text)


async def test_unknown_paths_and_methods_are_json_too(http: httpx.AsyncClient) -> None:
    assert refusal(await http.get("/nowhere")) == (404, "Not Found")
    for path, allowed in (
        ("/threads", "POST"),
        (f"/threads/{NIL}", "DELETE, GET, HEAD, PATCH"),
        ("/threads/search", "POST"),  # although a thread's id could be there
        (f"/threads/{NIL}/runs/crons", "POST"),
    ):
        wrong = await http.put(path)
        assert refusal(wrong) == (405, "Method Not Allowed")
        assert wrong.headers["allow"] == allowed
    assert refusal(await http.patch("/threads/search"))[0] == 405
