"""Stop at breakpoints that are given with the run."""

import asyncio
import json
import sys

from langgraph_sdk import get_client

inputs = {"visited": []}
assistant_id = "agent"


async def main(deployment_url: str) -> None:
    client = get_client(url=deployment_url)
    thread_id = (await client.threads.create())["thread_id"]

    result = await client.runs.wait(
        thread_id,
        assistant_id,
        input=inputs,
        interrupt_before=["node_a"],
        interrupt_after=["node_b", "node_c"]
    )

    # The breakpoints hold for that run only: they are given again to stop again.
    resumed = await client.runs.wait(
        thread_id,
        assistant_id,
        input=None,
        interrupt_before=["node_a"],
        interrupt_after=["node_b", "node_c"]
    )

    print(json.dumps({"thread_id": thread_id, "result": result, "resumed": resumed}))


asyncio.run(main(sys.argv[1]))
