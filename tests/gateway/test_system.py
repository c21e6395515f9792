from __future__ import annotations

import httpx
import pytest

from greenroom.actors import Greenroom

from .conftest import NIL, refusal


async def test_the_server_is_well_and_says_what_it_is(http: httpx.AsyncClient) -> None:
    assert (await http.get("/ok")).json() == {"ok": True}
    assert (await http.get("/ok?check_db=1")).json() == {"ok": True}
    assert (await http.get("/")).json() == {"ok": True}
    assert (await http.head("/")).status_code == 200
    info = (await http.get("/info")).json()
    assert info["version"]
    assert info["flags"] == {
        "assistants": True,
        "crons": True,
        "langsmith": False,
        "strict_resume": True,
    }


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
