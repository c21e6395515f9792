"""Assistants over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

import httpx
import pytest

from greenroom.actors import Greenroom

from .conftest import NIL, refusal

ABC = str(uuid5(UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), "abc"))


async def make(http: httpx.AsyncClient, **body: Any) -> tuple[str, dict[str, Any]]:
    """A new assistant: its path, and what the server says of it."""
    answer = await http.post("/assistants", json={"graph_id": "abc", **body})
    assert answer.status_code == 200, answer.text
    return f"/assistants/{answer.json()['assistant_id']}", answer.json()


async def test_every_graph_has_an_assistant_found_by_its_id(
    http: httpx.AsyncClient,
) -> None:
    by_id = (await http.get(f"/assistants/{ABC}")).json()

    assert (by_id["assistant_id"], by_id["graph_id"], by_id["name"]) == (ABC, "abc", "abc")
    assert refusal(await http.get("/assistants/abc"))[0] == 422
    assert refusal(await http.get(f"/assistants/{NIL}"))[0] == 404
    assert refusal(await http.get("/assistants/nope"))[0] == 422


async def test_assistants_are_searched_and_counted(http: httpx.AsyncClient) -> None:
    body = {"sort_by": "name", "sort_order": "asc", "limit": 2, "select": ["name"]}
    page = await http.post("/assistants/search", json=body)
    one = await http.post("/assistants/search", json={"graph_id": "ask"})

    assert page.json() == [{"name": "abc"}, {"name": "ask"}]
    assert page.headers["x-pagination-next"] == "2"
    assert page.headers["x-pagination-total"] == "7"
    assert [row["name"] for row in one.json()] == ["ask"]
    assert (await http.post("/assistants/count", json={})).json() == 7
    assert refusal(await http.post("/assistants/search", json={"graph_id": "nope"}))[0] == 404


async def test_an_assistant_is_made_changed_and_deleted(
    http: httpx.AsyncClient, room: Greenroom, thread: str
) -> None:
    path, made = await make(http, name="Mine", metadata={"team": "x"}, context={"m": 1})
    assert made == (await http.get(path)).json()
    assert made == await room.client.assistants.get(made["assistant_id"])
    assert made["config"] == {"configurable": {"m": 1}}

    body = {"config": {"tags": ["t"], "configurable": {"m": 2}}, "metadata": {"n": 1}}
    changed = (await http.patch(path, json=body)).json()
    assert (changed["version"], changed["name"]) == (2, "Mine")
    assert (changed["context"], changed["metadata"]) == ({"m": 2}, {"team": "x", "n": 1})
    ident = made["assistant_id"]
    run = (await http.post(f"{thread}/runs", json={"assistant_id": ident, "input": {}})).json()
    assert run["kwargs"]["context"] == {"m": 2}
    assert run["kwargs"]["config"]["tags"] == ["t"]
    assert (run["metadata"]["team"], run["metadata"]["assistant_id"]) == ("x", ident)
    await http.get(f"{thread}/runs/{run['run_id']}/join")

    gone = await http.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    assert refusal(await http.delete(path))[0] == refusal(await http.get(path))[0] == 404
    assert (await http.get(thread)).status_code == 200


async def test_an_id_that_is_taken(http: httpx.AsyncClient) -> None:
    _, made = await make(http, assistant_id=NIL)
    again = {"graph_id": "ask", "assistant_id": NIL, "name": "other"}
    assert refusal(await http.post("/assistants", json=again))[0] == 409
    kept = await http.post("/assistants", json={**again, "if_exists": "do_nothing"})
    assert kept.json() == made


async def test_versions_are_listed_and_gone_back_to(http: httpx.AsyncClient) -> None:
    path, made = await make(http, metadata={"n": 1})
    for body in ({"name": "two", "metadata": {"n": 2}}, {"name": "three"}):
        assert (await http.patch(path, json=body)).status_code == 200

    async def found(**body: Any) -> list[int]:
        return [one["version"] for one in (await http.post(f"{path}/versions", json=body)).json()]

    assert await found() == [3, 2, 1]
    assert await found(metadata={"n": 2}) == [3, 2]
    assert await found(limit=1, offset=1) == [2]
    versions = (await http.post(f"{path}/versions", json={})).json()
    assert versions[0].keys() == made.keys() - {"updated_at"}
    back = (await http.post(f"{path}/latest", json={"version": 1})).json()
    assert back == {**made, "updated_at": back["updated_at"]} == (await http.get(path)).json()
    assert refusal(await http.post(f"{path}/latest", json={"version": 4}))[0] == 404
    assert await found() == [3, 2, 1]


async def test_the_threads_of_an_assistant_are_deleted_with_it_if_asked_for(
    http: httpx.AsyncClient, thread: str
) -> None:
    path, made = await make(http)
    body = {"assistant_id": made["assistant_id"], "input": {}}
    await http.post(f"{thread}/runs/wait", json=body)
    status, text = refusal(await http.delete(f"{path}?delete_threads=perhaps"))
    assert (status, text) == (422, 'delete_threads: expected true or false, got "perhaps"')
    assert (await http.get(path)).status_code == 200
    assert (await http.delete(f"{path}?delete_threads=true")).status_code == 204
    assert (await http.get(thread)).status_code == 404


async def test_what_an_assistant_s_graph_looks_like(
    http: httpx.AsyncClient, room: Greenroom
) -> None:
    path, made = await make(http)
    assistants, ident = room.client.assistants, made["assistant_id"]
    drawn = (await http.get(f"{path}/graph")).json()
    assert drawn == await assistants.get_graph(ident)
    assert [node["id"] for node in drawn["nodes"]] == ["__start__", "a", "b", "c", "__end__"]
    for query in ("xray=true", "xray=1", "xray=false"):
        assert (await http.get(f"{path}/graph?{query}")).json() == drawn
    assert (await http.get("/assistants/abc/graph")).json() == drawn  # by the graph's name, too
    assert (await http.get(f"{path}/schemas")).json() == await assistants.get_schemas(ident)
    for place in ("subgraphs", "subgraphs?recurse=true", "subgraphs/a", "subgraphs/a%7Cb"):
        answer = await http.get(f"{path}/{place}")
        assert (answer.status_code, answer.json()) == (200, {})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/assistants/{}", 404),
        ("PATCH", "/assistants/{}", 404),
        ("DELETE", "/assistants/{}", 404),
        ("POST", "/assistants/{}/versions", 404),
        ("POST", "/assistants/{}/latest", 404),
        ("GET", "/assistants/{}/graph", 404),
        ("GET", "/assistants/{}/schemas", 404),
        ("GET", "/assistants/{}/subgraphs", 404),
        ("GET", "/assistants/{}/subgraphs/a", 404),
    ],
)
async def test_an_assistant_that_is_not_there_and_an_id_that_is_none(
    http: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    body = {"version": 1} if method in ("POST", "PATCH") else None
    code, text = refusal(await http.request(method, path.format(NIL), json=body))
    assert (code, NIL in text) == (404, True)
    code, text = refusal(await http.request(method, path.format("nope"), json=body))
    assert (code, text.startswith("assistant_id: ")) == (422, True)


@pytest.mark.parametrize("query", ["xray=0", "xray=-1", "xray=deep", "xray=99999999999999999999"])
async def test_a_depth_that_is_none(http: httpx.AsyncClient, query: str) -> None:
    status, text = refusal(await http.get(f"/assistants/{ABC}/graph?{query}"))
    assert status == 422
    assert text.startswith("xray: expected ")


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"graph_id": "nope"}, 404, "Graph 'nope' is not served here"),
        ({"graph_id": 5}, 422, "graph_id: expected string, got 5"),
        ({"config": "x"}, 422, 'config: expected object, got "x"'),
        ({"config": {"configurable": 5}}, 422, "config.configurable: 5 is not an object"),
        ({"config": {"tags": "x"}}, 422, "config.tags: 'x' is not a list of texts"),
        ({"config": {"recursion_limit": "x"}}, 422, "config.recursion_limit: 'x'"),
        ({"context": {"a": 1}, "config": {"configurable": {"b": 1}}}, 400, "not both"),
        ({"context": None}, 422, "context: expected object, got null"),
        ({"metadata": [1]}, 422, "metadata: expected object, got [1]"),
        ({"metadata": {"a": "\0"}}, 422, "metadata.a"),
        ({"name": None}, 422, "name: expected string, got null"),
        ({"description": 5}, 422, "description: expected string"),
    ],
)
async def test_a_body_that_does_not_fit_changes_nothing(
    http: httpx.AsyncClient, body: dict[str, Any], status: int, text: str
) -> None:
    path, made = await make(http)
    for method, place, given in (
        ("POST", "/assistants", {"graph_id": "abc", **body}),
        ("PATCH", path, body),
    ):
        answer = refusal(await http.request(method, place, json=given))
        assert answer[0] == status
        assert text in answer[1]
    assert (await http.get(path)).json() == made
    assert (await http.post("/assistants/count", json={})).json() == 8


@pytest.mark.parametrize(
    ("place", "body", "text"),
    [
        ("/assistants", {}, "graph_id: required, and missing"),
        ("/assistants", {"graph_id": "abc", "assistant_id": "x"}, "assistant_id: 'x'"),
        ("/assistants", {"graph_id": "abc", "if_exists": "x"}, 'if_exists: "x" is none of raise'),
        (f"/assistants/{ABC}/versions", {"limit": 0}, "limit: expected integer >= 1, got 0"),
        (f"/assistants/{ABC}/versions", {"offset": -1}, "offset: expected integer >= 0, got -1"),
        (f"/assistants/{ABC}/versions", {"metadata": 5}, "metadata: expected object or null"),
        (f"/assistants/{ABC}/latest", {}, "version: required, and missing"),
        (f"/assistants/{ABC}/latest", {"version": "1"}, 'version: expected integer, got "1"'),
    ],
)
async def test_other_bodies_that_do_not_fit(
    http: httpx.AsyncClient, place: str, body: dict[str, Any], text: str
) -> None:
    answer = refusal(await http.post(place, json=body))
    assert answer[0] == 422
    assert text in answer[1]
