"""A traveller, by the published client: looks, is asked, says no, is asked again, says yes."""

import asyncio
import json
import sys

from langgraph_sdk import get_client


def said(text: str) -> dict:
    return {"messages": [{"role": "user", "content": text}]}


async def main(url: str) -> None:
    client = get_client(url=url)
    thread_id = (await client.threads.create())["thread_id"]

    words, ran = [], []
    async for part in client.runs.stream(
        thread_id,
        "agent",
        input=said("a flight to Lisbon, please"),
        stream_mode=["messages-tuple", "updates"],
    ):
        if part.event == "updates":
            ran += part.data
        elif part.event == "messages":
            message, about = part.data
            if message["type"] == "AIMessageChunk" and message["content"]:
                words.append(message["content"])
                node = about["langgraph_node"]

    asked = await client.runs.wait(thread_id, "agent", input=said("Please book TP573"))
    refused = await client.runs.wait(thread_id, "agent", command={"resume": "too dear"})
    await client.runs.wait(thread_id, "agent", input=said("book TP573 all the same"))
    waiting = await client.threads.get_state(thread_id)
    status = (await client.threads.get(thread_id))["status"]
    booked = await client.runs.wait(thread_id, "agent", command={"resume": "yes"})

    report = {
        "words": words,
        "spoken in": node,
        "ran": ran,
        "asked": [question["value"] for question in asked["__interrupt__"]],
        "refused": refused["messages"][-1]["content"],
        "waiting": [waiting["next"], status],
        "booked": [[message["type"], message["content"]] for message in booked["messages"]],
        "history": len(await client.threads.get_history(thread_id, limit=100)),
    }
    print(json.dumps(report))


asyncio.run(main(sys.argv[1]))
