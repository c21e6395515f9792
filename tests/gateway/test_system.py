from __future__ import annotations

from uuid import UUID, uuid5

import httpx
import pytest

from greenroom.actors import Greenroom

from .conftest import NIL, refusal

ABC = str(uuid5(UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), "abc"))


async def test_the_server_is_well_and_says_what_it_is(http: httpx.AsyncClient) -> None:
    assert (await http.get("/ok")).json() == {"ok": True}
    assert (await http.get("/ok?check_db=1")).json() == {"ok": True}
    info = (await http.get("/info")).json()
    assert info["version"]
    assert info["flags"] == {"assistants": True, "crons": True, "langsmith": False}


async def test_every_graph_has_an_assistant_found_by_id_and_by_name(
    http: httpx.AsyncClient,
) -> None:
    by_id = (await http.get(f"/assistants/{ABC}")).json()

    assert (by_id["assistant_id"], by_id["graph_id"], by_id["name"]) == (ABC, "abc", "abc")
    assert (await http.get("/assistants/abc")).json() == by_id
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


async def test_pages_of_any_origin_may_call_an_open_server(http: httpx.AsyncClient) -> None:
    origin = {"Origin": "http://example.org"}
    ask = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "x-api-key"}
    preflight = await http.options("/threads", headers={**origin, **ask})
    answers = [
        await http.get("/ok", headers=origin),
        await http.get("/nowhere", headers=origin),
        await http.post("/threads", content=b"x" * 200_000, headers=origin),
    ]

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == "*"
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {
            "Content-Location",
            "Location",
            "X-Pagination-Total",
            "X-Pagination-Next",
        } <= set(exposed)


async def test_an_unexpected_error_is_logged_and_not_told(
    http: httpx.AsyncClient,
    room: Greenroom,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(thread_id: str) -> None:
        raise OSError("disk /dev/sda1 is full")

    monkeypatch.setattr(room.client.threads, "get", broken)
    answer = await http.get(f"/threads/{NIL}", headers={"Origin": "http://example.org"})

    assert refusal(answer) == (500, "Internal server error")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "disk /dev/sda1 is full" in caplog.text
