"""Text on while the first text is being answered, with `merge`, `steer` and `debounce`."""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from langgraph_sdk import get_client
from langgraph_sdk.errors import ConflictError, UnprocessableEntityError


async def main(url: str) -> None:
    client = get_client(url=url)
    gate = Path(tempfile.mkdtemp()) / "gate"
    default = {"multitask_strategy": "reject"}
    thread_id = (await client.threads.create(metadata=default))["thread_id"]

    async def text(word: str, strategy: str, **how) -> str:
        given = {"text": word, "gate": str(gate)}
        run = await client.runs.create(
            thread_id, "gated", input=given, multitask_strategy=strategy, **how
        )
        return run["run_id"]

    async def first(word: str, seen: int) -> str:
        """A run that has read its text and is held at the gate."""
        gate.unlink(missing_ok=True)
        run_id = await text(word, "enqueue")
        while True:
            values = (await client.threads.get_state(thread_id))["values"] or {}
            if len(values.get("log", [])) == seen:
                return run_id
            await asyncio.sleep(0.01)

    async def answered(*run_ids: str) -> list:
        """The run that answered each, and how each ended."""
        runs = [await client.runs.get(thread_id, run_id) for run_id in run_ids]
        return [[run["metadata"].get("answered_by_run_id"), run["status"]] for run in runs]

    one = await first("one", 1)
    try:
        await client.runs.create(thread_id, "gated", input={"text": "no", "gate": str(gate)})
        refused = None
    except ConflictError as error:
        refused = error.status_code
    merged = [await text(word, "merge") for word in ("two", "three")]
    gate.touch()
    merge = await client.runs.join(thread_id, merged[0])

    four = await first("four", 7)
    five = await text("five", "steer")
    gate.touch()
    steer = await client.runs.join(thread_id, five)

    try:
        await text("six", "debounce")
        invalid = None
    except UnprocessableEntityError as error:
        invalid = error.status_code
    waited = [await text(word, "debounce", after_seconds=0.5) for word in ("six", "seven")]
    debounce = await client.runs.join(thread_id, waited[0])

    report = {
        "refused": refused,
        "merge": merge["log"],
        "merged": await answered(one, *merged),
        "steer": steer["log"],
        "steered": await answered(four, five),
        "invalid": invalid,
        "debounce": debounce["log"],
        "debounced": await answered(*waited),
        "runs": [one, *merged, four, five, *waited],
    }
    print(json.dumps(report))


asyncio.run(main(sys.argv[1]))
