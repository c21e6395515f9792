"""Stop at breakpoints that were set at compile time, and go on with no input."""

import asyncio
import json
import sys

from langgraph_sdk import get_client

inputs = {"visited": []}


async def main(deployment_url: str) -> None:
    client = get_client(url=deployment_url)

    # Using the graph deployed with the name "agent"
    assistant_id = "agent"

    # create a thread
    thread = await client.threads.create()
    thread_id = thread["thread_id"]

    # Run the graph until the breakpoint
    result = await client.runs.wait(
        thread_id,
        assistant_id,
        input=inputs
    )

    # Resume the graph
    resumed = await client.runs.wait(
        thread_id,
        assistant_id,
        input=None
    )

    print(json.dumps({"thread_id": thread_id, "result": result, "resumed": resumed}))


asyncio.run(main(sys.argv[1]))
