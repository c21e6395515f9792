"""Pause at `interrupt()` and resume, as the LangGraph documentation shows it."""

import asyncio
import json
import sys

from langgraph_sdk import get_client
from langgraph_sdk.schema import Command


async def main(deployment_url: str) -> None:
    client = get_client(url=deployment_url)

    # Using the graph deployed with the name "agent"
    assistant_id = "agent"

    # create a thread
    thread = await client.threads.create()
    thread_id = thread["thread_id"]

    # Run the graph until the interrupt is hit.
    result = await client.runs.wait(
        thread_id,
        assistant_id,
        input={"some_text": "original text"}
    )

    print(result['__interrupt__'])

    # Resume the graph
    print(final := await client.runs.wait(
        thread_id,
        assistant_id,
        command=Command(resume="Edited text")
    ))

    print(json.dumps({"thread_id": thread_id, "result": result, "final": final}))


asyncio.run(main(sys.argv[1]))
