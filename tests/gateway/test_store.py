"""The store over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from greenroom.actors import Greenroom
from greenroom.storage import ItemQuery

from .conftest import refusal

ITEMS = "/store/items"


async def put(http: httpx.AsyncClient, *namespace: str, **body: Any) -> None:
    answer = await http.put(ITEMS, json={"namespace": namespace, "value": {}, **body})
    assert (answer.status_code, answer.content) == (204, b"")


async def test_an_item_is_put_got_and_deleted(http: httpx.AsyncClient, room: Greenroom) -> None:
    await put(http, "users", "ada", key="likes", value={"food": "soup", "n": [1, None]})
    got = await http.get(ITEMS, params={"namespace": "users.ada", "key": "likes"})
    labels = await http.get(ITEMS, params={"namespace": ["users", "ada"], "key": "likes"})
    item = got.json()
    assert labels.json() == item == await room.client.store.get_item(["users", "ada"], "likes")
    assert list(item) == ["namespace", "key", "value", "created_at", "updated_at"]
    assert item["namespace"] == ["users", "ada"]
    assert item["value"] == {"food": "soup", "n": [1, None]}

    for _ in range(2):
        body = {"namespace": ["users", "ada"], "key": "likes"}
        answer = await http.request("DELETE", ITEMS, json=body)
        assert (answer.status_code, answer.content) == (204, b"")
    gone = await http.get(ITEMS, params={"namespace": "users.ada", "key": "likes"})
    assert (gone.status_code, gone.json()) == (200, None)


async def test_a_key_may_be_any_text(http: httpx.AsyncClient) -> None:
    for key in ("", "a/b?c#d&e=f", "ключ 💥", "'; DROP TABLE items; --"):
        await put(http, "a", key=key, value={"key": key})
        got = await http.get(ITEMS, params={"namespace": "a", "key": key})
        assert got.json()["value"] == {"key": key}


async def test_items_are_searched(http: httpx.AsyncClient) -> None:
    for number, word in enumerate(("soup", "cake", "tea")):
        await put(http, "users", word, key=str(number), value={"n": number, "text": word})
    await put(http, "users", "x", key="hidden", value={"text": "cake"}, index=False)

    async def keys(**body: Any) -> list[str]:
        found = (await http.post(f"{ITEMS}/search", json=body)).json()
        assert list(found) == ["items"]
        return [item["key"] for item in found["items"]]

    assert await keys() == ["0", "1", "2", "hidden"]
    assert await keys(namespace_prefix=["users", "cake"]) == ["1"]
    assert await keys(namespace_prefix=["users"], filter={"n": {"$gt": 0}}, limit=1) == ["1"]
    assert await keys(namespace_prefix=[], limit=2, offset=2) == ["2", "hidden"]
    assert await keys(query="cake", filter=None, refresh_ttl=False) == ["1", "0", "2", "hidden"]
    item = (await http.post(f"{ITEMS}/search", json={"limit": 1})).json()["items"][0]
    assert item["score"] is None


async def test_namespaces_are_listed(http: httpx.AsyncClient) -> None:
    for namespace in (("b", "x"), ("a", "x"), ("a", "y")):
        await put(http, *namespace, key="k")

    async def listed(**body: Any) -> list[list[str]]:
        found = (await http.post("/store/namespaces", json=body)).json()
        assert list(found) == ["namespaces"]
        namespaces: list[list[str]] = found["namespaces"]
        return namespaces

    assert await listed() == [["a", "x"], ["a", "y"], ["b", "x"]]
    assert await listed(prefix=["a"], limit=1, offset=1) == [["a", "y"]]
    assert await listed(suffix=["x"], max_depth=None) == [["a", "x"], ["b", "x"]]
    assert await listed(max_depth=1) == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("PUT", "", {"namespace": ["a.b"], "key": "k", "value": {}}, 422, "got 'a.b'"),
        ("PUT", "", {"namespace": [""], "key": "k", "value": {}}, 422, "may not be empty"),
        ("PUT", "", {"namespace": [], "key": "k", "value": {}}, 422, "may not be empty"),
        ("PUT", "", {"namespace": "a", "key": "k", "value": {}}, 422, "namespace: expected array"),
        ("PUT", "", {"namespace": ["a"], "value": {}}, 422, "key: required, and missing"),
        ("PUT", "", {"namespace": ["a"], "key": "k"}, 422, "value: required, and missing"),
        ("PUT", "", {"namespace": ["a"], "key": "k", "value": 3}, 422, "value: expected object"),
        (
            *("PUT", "", {"namespace": ["a"], "key": "k", "value": {"x": "\0"}}, 422),
            "value.x: a string with a NUL character",
        ),
        (
            *("PUT", "", {"namespace": ["a"], "key": "k", "value": {}, "index": True}, 422),
            "index of item 'k' is False or a list of paths; got True",
        ),
        (
            *("PUT", "", {"namespace": ["a"], "key": "k", "value": {}, "ttl": 0}, 422),
            "ttl of item 'k'",
        ),
        (
            *("PUT", "", {"namespace": ["a"], "key": "k", "value": {}, "ttl": "5"}, 422),
            'ttl: expected number or null, got "5"',
        ),
        ("PUT", "", {"namespace": ["a"] * 17, "key": "k", "value": {}}, 422, "at most 16 labels"),
        ("PUT", "", {"namespace": ["a"], "key": "k" * 1025, "value": {}}, 422, "at most 1024"),
        ("GET", "?namespace=a", None, 400, "key: required, and missing"),
        ("GET", "?key=a", None, 422, "namespace: required, and missing"),
        ("GET", "?key=a&namespace=a..b", None, 422, "may not be empty"),
        ("GET", "?key=a&namespace=a&refresh_ttl=x", None, 422, "refresh_ttl: expected true"),
        ("DELETE", "", {"namespace": ["a"]}, 422, "key: required, and missing"),
        ("DELETE", "", {"namespace": ["a.b"], "key": "k"}, 422, "got 'a.b'"),
        ("POST", "/search", {"namespace_prefix": ["a"], "limit": "x"}, 422, "limit: expected"),
        ("POST", "/search", {"limit": 0}, 422, "limit: expected integer"),
        ("POST", "/search", {"offset": -1}, 422, "offset: expected integer"),
        ("POST", "/search", {"filter": {"x": {"$near": 1}}}, 422, "'$near'"),
        ("POST", "/search", {"namespace_prefix": ["."]}, 422, "got '.'"),
        ("POST", "/../namespaces", {"max_depth": 0}, 422, "max_depth: expected integer"),
        ("POST", "/../namespaces", {"prefix": "a"}, 422, "prefix: expected array"),
    ],
)
async def test_what_does_not_fit_is_refused_by_name(
    http: httpx.AsyncClient, method: str, path: str, body: Any, status: int, said: str
) -> None:
    path = f"{ITEMS}{path}".replace("/items/..", "")
    answer = await http.request(method, path, **({"json": body} if body else {}))
    code, text = refusal(answer)
    assert code == status
    assert said in text


async def test_an_item_expires_unless_it_is_read(http: httpx.AsyncClient, room: Greenroom) -> None:
    await put(http, "a", key="k", ttl=1.5)
    [before] = room.storage.search_items(ItemQuery(now=""))
    params = {"namespace": "a", "key": "k"}
    await http.get(ITEMS, params={**params, "refresh_ttl": "false"})
    await http.post(f"{ITEMS}/search", json={"refresh_ttl": False})
    assert room.storage.search_items(ItemQuery(now="")) == [before]
    await http.get(ITEMS, params={**params, "refresh_ttl": "true"})
    [after] = room.storage.search_items(ItemQuery(now=""))
    assert before.item.ttl == after.item.ttl == 1.5
    assert (after.item.expires_at or "") > (before.item.expires_at or "") > after.item.created_at
    await http.get(ITEMS, params=params)
    [at_last] = room.storage.search_items(ItemQuery(now=""))
    assert (at_last.item.expires_at or "") > (after.item.expires_at or "")
