"""Crons, by the published client and across a `kill -9`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx

from .server import Server, until
from .test_seed_flows import python, run


def test_what_a_client_schedules_runs_by_the_clock_also_after_a_kill(
    server: Server, http: httpx.Client
) -> None:
    _, report = run(python("crons"), server)
    runs_of = f"/threads/{report.pop('thread_id')}/runs"
    cron = f"/runs/crons/{report.pop('cron_id')}"
    assert report == {
        "morning": [None, "America/New_York", "keep"],
        "ended": True,
        "changed": ["0 10 * * *", None, False],
        "found": [True],
        "count": 2,
    }

    def ran(count: int) -> Any:
        runs = http.get(runs_of, params={"limit": 1000}).json()
        return runs if sum(one["status"] == "success" for one in runs) >= count else None

    before = until(lambda: ran(2), "two firings")
    server.kill()
    server.start()
    until(lambda: ran(len(before) + 2), "two firings more")
    first = second_of(http.get(cron).json()) + 1
    http.delete(cron)
    after = http.get(runs_of, params={"limit": 1000}).json()
    assert [one["run_id"] for one in before] == [one["run_id"] for one in after[-len(before) :]]
    for number, one in enumerate(reversed(after)):  # each date once: it has one of its own
        assert second_of(one) >= first + number


def second_of(made: dict[str, Any]) -> int:
    return int(datetime.fromisoformat(made["created_at"]).timestamp())
