"""Who may call, from where, and what of the API is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from greenroom.actors import Greenroom
from greenroom.gateway import create_app
from greenroom.gateway.access import is_loopback
from greenroom.gateway.cli import main

KEY = "s3cret-ü"


@asynccontextmanager
async def calling(room: Greenroom, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(room, **options))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        yield http


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"x-api-key": "wrong"}, 401),
        ({"x-api-key": ""}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Basic {KEY}"}, 401),
        ({"authorization": KEY}, 401),
        ({"x-api-key": KEY}, 200),
        ({"authorization": f"Bearer {KEY}"}, 200),
        ({"authorization": f"bearer  {KEY}"}, 200),
        ({"x-api-key": "wrong", "authorization": f"Bearer {KEY}"}, 200),
    ],
)
async def test_who_shows_the_key_may_call(
    room: Greenroom, headers: dict[str, str], status: int
) -> None:
    sent = {name: value.encode() for name, value in headers.items()}
    async with calling(room, api_key=KEY) as http:
        answer = await http.post("/threads", json={}, headers=sent)
        assert answer.status_code == status
        if status == 401:
            assert "x-api-key" in answer.json()["detail"]
            assert answer.headers["www-authenticate"] == "Bearer"
        assert await room.client.threads.count() == (status == 200)


async def test_whether_the_server_is_well_anybody_may_ask(room: Greenroom) -> None:
    async with calling(room, api_key=KEY) as http:
        assert (await http.get("/ok")).json() == {"ok": True}
        for path in ("/info", "/ok/", "/x/ok", "/nowhere"):
            assert (await http.get(path)).status_code == 401


async def test_a_page_of_an_allowed_origin_learns_that_its_key_is_wrong(room: Greenroom) -> None:
    cors = {"allow_origins": ["http://good.example"], "expose_headers": ["X-Mine"]}
    async with calling(room, api_key=KEY, http={"cors": cors}) as http:
        preflight = {"Access-Control-Request-Method": "POST"}
        for origin, allowed in (("http://good.example", True), ("http://other.example", False)):
            headers = {"Origin": origin}
            asked = await http.options("/threads", headers={**headers, **preflight})
            answer = await http.post("/threads", json={}, headers=headers)
            assert asked.status_code == (200 if allowed else 400)
            assert answer.status_code == 401
            assert ("access-control-allow-origin" in answer.headers) is allowed
            exposed = answer.headers["access-control-expose-headers"] if allowed else ""
            assert ("X-Mine" in exposed, "Location" in exposed) == (allowed, allowed)


async def test_the_api_lies_under_its_prefix(room: Greenroom) -> None:
    async with calling(room, api_key=KEY, http={"mount_prefix": "/agents/"}) as http:
        assert (await http.get("/agents/ok")).json() == {"ok": True}
        key = {"x-api-key": KEY.encode()}
        assert (await http.post("/agents/threads", json={}, headers=key)).status_code == 200
        assert (await http.get("/ok", headers=key)).status_code == 404


async def test_what_is_disabled_is_not_there(room: Greenroom) -> None:
    async with calling(room, http={"disable_store": True, "disable_meta": True}) as http:
        for path in ("/store/items/search", "/store/namespaces"):
            assert (await http.post(path, json={})).status_code == 404
        assert (await http.get("/info")).status_code == 404
        assert (await http.post("/threads", json={})).status_code == 200


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.0.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.4", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_a_loopback_address_is_told_from_others(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("command", ["serve", "dev"])
def test_other_machines_are_not_served_without_a_key_or_a_word(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def said(*options: str, key: str | None = None) -> str:
        environment = {"GREENROOM_API_KEY": key}
        result = CliRunner().invoke(main, [command, "--host", "0.0.0.0", *options], env=environment)
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        return line

    refusal = "greenroom: --host: other machines can reach 0.0.0.0: set GREENROOM_API_KEY"
    assert said().startswith(refusal)
    assert said(key="").startswith(refusal)
    for accepted in (said("--insecure"), said("--api-key", "x"), said(key="x")):
        assert "no greenroom.json" in accepted  # the next thing that is wrong here
