"""Crons over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from greenroom.actors import Greenroom

from .conftest import NIL, refusal

CRONS = "/runs/crons"
YEARLY = {"assistant_id": "abc", "schedule": "0 0 1 1 *"}


async def test_a_cron_is_made_changed_and_deleted(http: httpx.AsyncClient, room: Greenroom) -> None:
    body = {**YEARLY, "input": {"log": []}, "metadata": {"m": 1}, "end_time": "2999-01-01"}
    made = await http.post(CRONS, json=body)
    cron = made.json()
    path = f"{CRONS}/{cron['cron_id']}"
    assert made.status_code == 200
    assert (await http.get(path)).json() == cron == await room.client.crons.get(cron["cron_id"])
    assert cron["end_time"] == "2999-01-01T00:00:00.000000+00:00"
    assert cron["next_run_date"].endswith("-01-01T00:00:00.000000+00:00")

    kept = (await http.patch(path, json={"enabled": False})).json()
    assert (kept["enabled"], kept["end_time"]) == (False, cron["end_time"])
    cleared = (await http.patch(path, json={"end_time": None})).json()
    assert (cleared["enabled"], cleared["end_time"]) == (False, None)

    gone = await http.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    for answer in (await http.get(path), await http.delete(path)):
        assert refusal(answer) == (404, f"Cron {cron['cron_id']!r} not found")


async def test_a_cron_on_a_thread_goes_with_it(http: httpx.AsyncClient, thread: str) -> None:
    body = {**YEARLY, "multitask_strategy": "interrupt", "on_run_completed": "keep"}
    cron = (await http.post(f"{thread}/runs/crons", json=body)).json()
    assert (cron["thread_id"], cron["on_run_completed"]) == (thread.split("/")[-1], None)
    assert cron["payload"]["multitask_strategy"] == "interrupt"
    changed = await http.patch(f"{CRONS}/{cron['cron_id']}", json={"on_run_completed": "keep"})
    assert (changed.status_code, changed.json()["on_run_completed"]) == (200, "keep")
    await http.delete(thread)
    assert (await http.get(f"{CRONS}/{cron['cron_id']}")).status_code == 404


async def test_crons_are_searched_by_page_and_counted(http: httpx.AsyncClient) -> None:
    for number in range(3):
        await http.post(CRONS, json={**YEARLY, "metadata": {"n": number}, "enabled": number > 0})
    found = await http.post(f"{CRONS}/search", json={"limit": 2, "select": ["metadata"]})
    assert found.json() == [{"metadata": {"n": 2}}, {"metadata": {"n": 1}}]
    assert found.headers["X-Pagination-Total"] == "3"
    assert found.headers["X-Pagination-Next"] == "2"
    enabled = await http.post(f"{CRONS}/search", json={"enabled": True, "limit": 1})
    assert enabled.headers["X-Pagination-Total"] == "2"
    assert (await http.post(f"{CRONS}/count", json={"metadata": {"n": 2}})).json() == 1
    assert (await http.post(f"{CRONS}/count", json={})).json() == 3


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"schedule": "nope"}, 422, "schedule: 'nope'"),
        ({"schedule": None}, 422, "schedule: expected string, got null"),
        ({"timezone": "Mars/X"}, 422, "timezone: 'Mars/X'"),
        ({"end_time": "soon"}, 422, "end_time: 'soon'"),
        ({"enabled": 1}, 422, "enabled: expected boolean or null, got 1"),
        ({"on_run_completed": "burn"}, 422, 'on_run_completed: "burn" is none of'),
        ({"assistant_id": NIL}, 404, NIL),
        ({"assistant_id": "zzz"}, 404, "'zzz'"),
        ({"context": {"a": 1}, "config": {"configurable": {"b": 1}}}, 400, "not both"),
        ({"webhook": "https://a.example/hook"}, 422, "webhook: "),
    ],
)
async def test_a_cron_with_a_field_that_does_not_fit(
    http: httpx.AsyncClient, thread: str, body: dict[str, Any], status: int, text: str
) -> None:
    for path in (CRONS, f"{thread}/runs/crons"):
        code, said = refusal(await http.post(path, json={**YEARLY, **body}))
        assert (code, text in said) == (status, True), said
    assert (await http.post(f"{CRONS}/count", json={})).json() == 0


async def test_what_is_not_there_and_what_changes_nothing(http: httpx.AsyncClient) -> None:
    unknown = f"{CRONS}/{NIL}"
    assert refusal(await http.patch(unknown, json={}))[0] == 400
    assert refusal(await http.patch(unknown, json={"enabled": True}))[0] == 404
    assert refusal(await http.get(f"{CRONS}/xyz"))[0] == 422
    answer = await http.post(f"/threads/{NIL}/runs/crons", json=YEARLY)
    assert refusal(answer) == (404, f"Thread {NIL!r} not found")
    missing = await http.post(CRONS, json={"assistant_id": "abc"})
    assert refusal(missing) == (422, "schedule: required, and missing")
