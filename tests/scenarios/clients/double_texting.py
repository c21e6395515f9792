"""Send a second text while the first is being answered, with the `interrupt` strategy."""

import asyncio
import json
import sys

from langchain_core.messages import convert_to_messages
from langgraph_sdk import get_client


async def main(deployment_url: str) -> None:
    client = get_client(url=deployment_url)
    # Using the graph deployed with the name "agent"
    assistant_id = "agent"
    thread = await client.threads.create()

    # the first run will be interrupted
    interrupted_run = await client.runs.create(
        thread["thread_id"],
        assistant_id,
        input={"messages": [{"role": "user", "content": "what's the weather in sf?"}]},
    )
    # sleep a bit to get partial outputs from the first run
    await asyncio.sleep(2)
    run = await client.runs.create(
        thread["thread_id"],
        assistant_id,
        input={"messages": [{"role": "user", "content": "what's the weather in nyc?"}]},
        multitask_strategy="interrupt",
    )
    # wait until the second run completes
    await client.runs.join(thread["thread_id"], run["run_id"])

    state = await client.threads.get_state(thread["thread_id"])

    for m in convert_to_messages(state["values"]["messages"]):
        m.pretty_print()

    first = await client.runs.get(thread["thread_id"], interrupted_run["run_id"])
    print(status := first["status"])

    print(json.dumps({"thread_id": thread["thread_id"], "state": state, "first_status": status}))


asyncio.run(main(sys.argv[1]))
