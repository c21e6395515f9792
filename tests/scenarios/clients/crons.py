"""Make crons, change them, find them, and delete one."""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from langgraph_sdk import get_client


async def main(deployment_url: str) -> None:
    client = get_client(url=deployment_url)
    crons = client.crons
    thread_id = (await client.threads.create())["thread_id"]
    every_second = await crons.create_for_thread(
        thread_id, "remembers", schedule="* * * * * *", input={"name": "ada"}
    )
    morning = await crons.create(
        "remembers",
        schedule="27 15 * * *",
        input={"name": "bob"},
        timezone=ZoneInfo("America/New_York"),
        end_time=datetime.now(UTC) + timedelta(days=30),
        metadata={"team": "news"},
        on_run_completed="keep",
    )
    gone = await crons.create("remembers", schedule="0 0 1 1 *")
    await crons.delete(gone["cron_id"])
    changed = await crons.update(
        morning["cron_id"], schedule="0 10 * * *", end_time=None, enabled=False
    )
    found = await crons.search(metadata={"team": "news"}, sort_by="next_run_date")
    print(
        json.dumps(
            {
                "thread_id": thread_id,
                "cron_id": every_second["cron_id"],
                "morning": [
                    morning[key] for key in ("thread_id", "timezone", "on_run_completed")
                ],
                "ended": morning["end_time"] is not None,
                "changed": [changed[key] for key in ("schedule", "end_time", "enabled")],
                "found": [cron["cron_id"] == morning["cron_id"] for cron in found],
                "count": await crons.count(),
            }
        )
    )


asyncio.run(main(sys.argv[1]))
