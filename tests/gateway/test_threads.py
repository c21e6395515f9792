from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from .conftest import NIL, refusal


async def test_a_thread_is_made_got_and_deleted(http: httpx.AsyncClient) -> None:
    made = await http.post("/threads", json={"metadata": {"a": 1}})
    path = f"/threads/{made.json()['thread_id']}"

    assert made.status_code == 200
    assert made.headers["content-type"] == "application/json"
    assert made.json()["metadata"] == {"a": 1}
    assert made.json()["status"] == "idle"
    assert made.json()["values"] is None
    assert (await http.get(path)).json() == made.json()

    deleted = await http.delete(path)

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert refusal(await http.get(path))[0] == 404


async def test_an_id_of_the_callers_choice_is_taken_once(http: httpx.AsyncClient) -> None:
    body = {"thread_id": str(uuid4()), "metadata": {"v": 1}}

    assert (await http.post("/threads", json=body)).status_code == 200
    assert refusal(await http.post("/threads", json=body))[0] == 409
    again = await http.post("/threads", json={**body, "if_exists": "do_nothing", "metadata": {}})
    assert again.json()["metadata"] == {"v": 1}


async def test_null_is_as_good_as_left_out(http: httpx.AsyncClient) -> None:
    body = {"thread_id": None, "metadata": None, "if_exists": None, "ttl": None}

    assert (await http.post("/threads", json=body)).status_code == 200


async def test_a_thread_is_given_a_time_to_live_and_another(http: httpx.AsyncClient) -> None:
    made = await http.post("/threads", json={"ttl": {"ttl": 5}})
    path = f"/threads/{made.json()['thread_id']}"
    got = await http.get(path, params={"include": "ttl"})

    assert got.json()["ttl"] == made.json()["ttl"]
    assert got.json()["ttl"]["strategy"] == "delete"
    assert got.json()["ttl"]["ttl_minutes"] == 5
    assert got.json()["ttl"]["expires_at"] > got.json()["created_at"]
    patched = await http.patch(path, json={"ttl": {"ttl": 9, "strategy": "keep_latest"}})
    assert patched.json()["ttl"]["strategy"] == "keep_latest"
    assert (await http.get(path)).json()["ttl"]["ttl_minutes"] == 9


async def test_a_thread_is_copied_with_its_history(http: httpx.AsyncClient, thread: str) -> None:
    await http.post(f"{thread}/runs/wait", json={"assistant_id": "abc", "input": {"log": ["x"]}})
    copy = await http.post(f"{thread}/copy")
    path = f"/threads/{copy.json()['thread_id']}"

    assert copy.status_code == 200
    assert path != thread
    assert (await http.get(path)).json()["values"] == {"log": ["x", "a", "b", "c"]}
    assert len((await http.get(f"{path}/history", params={"limit": 9})).json()) == 5
    assert (await http.get(f"{path}/runs")).json() == []
    assert refusal(await http.post(f"/threads/{NIL}/copy"))[0] == 409


async def test_threads_are_pruned(http: httpx.AsyncClient, thread: str) -> None:
    ident = thread.removeprefix("/threads/")
    await http.post(f"{thread}/runs/wait", json={"assistant_id": "abc", "input": {"log": ["x"]}})
    latest = {"thread_ids": [ident, NIL], "strategy": "keep_latest"}

    assert (await http.post("/threads/prune", json=latest)).json() == {"pruned_count": 1}
    assert len((await http.get(f"{thread}/history", params={"limit": 9})).json()) == 1
    assert (await http.get(thread)).json()["values"] == {"log": ["x", "a", "b", "c"]}
    pruned = await http.post("/threads/prune", json={"thread_ids": [ident]})
    assert (pruned.status_code, pruned.json()) == (200, {"pruned_count": 1})
    assert refusal(await http.get(thread))[0] == 404


async def test_a_patch_merges_metadata_on_the_top_level(
    http: httpx.AsyncClient, thread: str
) -> None:
    await http.patch(thread, json={"metadata": {"a": {"x": 1}, "b": 1}})
    patched = await http.patch(thread, json={"metadata": {"a": {"y": 2}}})

    assert patched.json()["metadata"] == {"a": {"y": 2}, "b": 1}


async def test_a_patch_answers_nothing_where_nothing_is_wanted(
    http: httpx.AsyncClient, thread: str
) -> None:
    headers = {"Prefer": "return=minimal"}
    answer = await http.patch(thread, json={"metadata": {"d": 4}}, headers=headers)

    assert (answer.status_code, answer.content) == (204, b"")
    assert (await http.get(thread)).json()["metadata"] == {"d": 4}


async def some_threads(http: httpx.AsyncClient, count: int) -> list[str]:
    made = [await http.post("/threads", json={"metadata": {"n": n}}) for n in range(count)]
    return [answer.json()["thread_id"] for answer in made]


async def test_search_pages_say_where_the_next_one_starts(http: httpx.AsyncClient) -> None:
    await some_threads(http, 5)

    seen = []
    for offset in (0, 2, 4):
        page = await http.post("/threads/search", json={"limit": 2, "offset": offset})
        numbers = [row["metadata"]["n"] for row in page.json()]
        seen.append((numbers, page.headers.get("x-pagination-next")))
        assert page.headers["x-pagination-total"] == "5"

    assert seen == [([4, 3], "2"), ([2, 1], "4"), ([0], None)]


async def test_a_page_that_ends_exactly_with_the_last_row_has_no_next(
    http: httpx.AsyncClient,
) -> None:
    await some_threads(http, 2)
    page = await http.post("/threads/search", json={"limit": 2})

    assert "x-pagination-next" not in page.headers
    assert page.headers["x-pagination-total"] == "2"


async def test_a_page_behind_the_end_still_knows_the_total(http: httpx.AsyncClient) -> None:
    await some_threads(http, 3)
    page = await http.post("/threads/search", json={"offset": 10})

    assert page.json() == []
    assert page.headers["x-pagination-total"] == "3"
    assert "x-pagination-next" not in page.headers


async def test_a_search_by_ids_counts_only_those(http: httpx.AsyncClient) -> None:
    ids = await some_threads(http, 4)
    page = await http.post("/threads/search", json={"ids": [*ids[:3], NIL], "limit": 2})

    assert [row["thread_id"] for row in page.json()] == [ids[2], ids[1]]
    assert page.headers["x-pagination-total"] == "3"
    assert page.headers["x-pagination-next"] == "2"


async def test_a_search_filters_sorts_and_selects(http: httpx.AsyncClient) -> None:
    await some_threads(http, 3)
    body = {"sort_by": "created_at", "sort_order": "asc", "select": ["metadata"]}

    rows = (await http.post("/threads/search", json=body)).json()
    one = (await http.post("/threads/search", json={"metadata": {"n": 1}})).json()
    busy = (await http.post("/threads/search", json={"status": "busy"})).json()

    assert rows == [{"metadata": {"n": n}} for n in range(3)]
    assert [row["metadata"]["n"] for row in one] == [1]
    assert busy == []


async def test_a_count_is_a_bare_number(http: httpx.AsyncClient) -> None:
    await some_threads(http, 3)

    assert (await http.post("/threads/count", json={})).text == "3"
    assert (await http.post("/threads/count", json={"metadata": {"n": 2}})).text == "1"


async def finished(http: httpx.AsyncClient, thread: str) -> None:
    await http.post(f"{thread}/runs/wait", json={"assistant_id": "abc", "input": {"log": []}})


async def test_the_state_of_an_empty_thread_is_empty(http: httpx.AsyncClient, thread: str) -> None:
    state = (await http.get(f"{thread}/state")).json()

    assert (state["values"], state["next"], state["tasks"], state["checkpoint"]) == (
        {},
        [],
        [],
        None,
    )
    assert (await http.get(f"{thread}/history")).json() == []


async def test_the_state_at_a_checkpoint_is_found_both_ways(
    http: httpx.AsyncClient, thread: str
) -> None:
    await finished(http, thread)
    history = (await http.post(f"{thread}/history", json={"limit": 10})).json()
    checkpoint = next(state["checkpoint"] for state in history if state["next"] == ["b"])

    by_id = await http.get(f"{thread}/state/{checkpoint['checkpoint_id']}")
    by_body = await http.post(f"{thread}/state/checkpoint", json={"checkpoint": checkpoint})

    assert by_id.json()["values"] == by_body.json()["values"] == {"log": ["a"]}
    assert by_body.json()["checkpoint"] == checkpoint


async def test_of_a_state_only_what_was_selected_is_shown(
    http: httpx.AsyncClient, thread: str
) -> None:
    await finished(http, thread)
    whole = (await http.get(f"{thread}/state")).json()
    checkpoint = whole["checkpoint"]
    ident = checkpoint["checkpoint_id"]
    for select, expected in (
        (["next", "values"], {"next": [], "values": whole["values"]}),
        (["values.log", "values.nope"], {"values": {"log": whole["values"]["log"]}}),
        (["values.nope"], {"values": {}}),
        (["checkpoint_id"], {"checkpoint_id": ident}),
    ):
        query = {"select": select}
        body = {"checkpoint": checkpoint, "select": select}
        assert (await http.get(f"{thread}/state", params=query)).json() == expected
        assert (await http.get(f"{thread}/state/{ident}", params=query)).json() == expected
        assert (await http.post(f"{thread}/state/checkpoint", json=body)).json() == expected
        past = await http.post(f"{thread}/history", json={"limit": 9, "select": select})
        assert [state.keys() for state in past.json()] == [expected.keys()] * len(past.json())
        assert past.json()[0] == expected


@pytest.mark.parametrize("field", ["nope", "values.", "metadata.step"])
async def test_of_a_state_what_there_is_not_cannot_be_selected(
    http: httpx.AsyncClient, thread: str, field: str
) -> None:
    for answer in (
        await http.get(f"{thread}/state", params={"select": field}),
        await http.get(f"{thread}/state/{NIL}", params={"select": field}),
        await http.post(f"{thread}/state/checkpoint", json={"checkpoint": {}, "select": [field]}),
        await http.post(f"{thread}/history", json={"select": [field]}),
    ):
        status, text = refusal(answer)
        assert (status, text.partition(" is not one of ")[0]) == (422, f"select: '{field}'")


async def test_history_goes_back_from_before_a_checkpoint(
    http: httpx.AsyncClient, thread: str
) -> None:
    await finished(http, thread)
    first = (await http.get(f"{thread}/history")).json()
    ident = first[0]["checkpoint"]["checkpoint_id"]

    by_query = (await http.get(f"{thread}/history", params={"before": ident, "limit": 2})).json()
    by_body = await http.post(
        f"{thread}/history", json={"before": first[0]["checkpoint"], "limit": 2}
    )
    config = {"configurable": {"checkpoint_id": ident}}
    by_config = await http.post(f"{thread}/history", json={"before": config, "limit": 2})

    assert len(first) == 1
    assert [state["metadata"]["step"] for state in by_query] == [2, 1]
    assert by_body.json() == by_config.json() == by_query


async def test_the_state_can_be_edited(http: httpx.AsyncClient, thread: str) -> None:
    await finished(http, thread)
    edited = await http.post(f"{thread}/state", json={"values": {"log": ["by hand"]}})
    state = (await http.get(f"{thread}/state")).json()

    assert edited.json()["checkpoint"] == state["checkpoint"]
    assert edited.json()["checkpoint_id"] == state["checkpoint"]["checkpoint_id"]
    assert state["values"] == {"log": ["a", "b", "c", "by hand"]}
    assert (await http.post(f"{thread}/state", json={"values": None})).status_code == 200


async def test_an_edit_that_cannot_be_is_refused(http: httpx.AsyncClient, thread: str) -> None:
    body = {"values": {"log": ["x"]}}
    assert refusal(await http.post(f"{thread}/state", json=body))[0] == 400

    await finished(http, thread)
    status, text = refusal(await http.post(f"{thread}/state", json={**body, "as_node": "nope"}))

    assert status == 400
    assert "nope" in text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/threads/{NIL}"),
        ("DELETE", f"/threads/{NIL}"),
        ("PATCH", f"/threads/{NIL}"),
        ("GET", f"/threads/{NIL}/state"),
        ("GET", f"/threads/{NIL}/state/{NIL}"),
        ("POST", f"/threads/{NIL}/state"),
        ("GET", f"/threads/{NIL}/history"),
        ("POST", f"/threads/{NIL}/history"),
    ],
)
async def test_an_unknown_thread_is_not_found(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    body: Any = {} if method in ("POST", "PATCH") else None
    status, text = refusal(await http.request(method, path, json=body))

    assert status == 404
    assert NIL in text
