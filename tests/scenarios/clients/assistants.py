"""Make an assistant, change it, run it, take it back, and look at its graph."""

import asyncio
import json
import sys

from langgraph_sdk import get_client


async def main(deployment_url: str) -> None:
    client = get_client(url=deployment_url)
    assistants = client.assistants
    made = await assistants.create(
        "configured", context={"model": "old"}, metadata={"team": "x"}, name="Mine"
    )
    ident = made["assistant_id"]
    same = await assistants.create("configured", assistant_id=ident, if_exists="do_nothing")

    async def model() -> str:
        thread_id = (await client.threads.create())["thread_id"]
        return (await client.runs.wait(thread_id, ident, input={}))["model"]

    models = [await model()]
    changed = await assistants.update(
        ident, config={"configurable": {"model": "new"}}, metadata={"n": 1}, description="d"
    )
    models.append(await model())
    versions = await assistants.get_versions(ident, limit=5)
    back = await assistants.set_latest(ident, 1)
    models.append(await model())

    found = await assistants.search(metadata={"team": "x"}, graph_id="configured", limit=1)
    count = await assistants.count(metadata={"team": "x"})
    graph = await assistants.get_graph(ident, xray=True)
    schemas = await assistants.get_schemas(ident)
    subgraphs = await assistants.get_subgraphs(ident, recurse=True)

    other = (await assistants.create("configured"))["assistant_id"]
    await assistants.delete(other, delete_threads=True)
    left = [one["assistant_id"] for one in await assistants.search(graph_id="configured")]

    print(
        json.dumps(
            {
                "assistant": ident,
                "same": same == made,
                "models": models,
                "changed": [changed[key] for key in ("version", "context", "metadata")],
                "versions": [[one["version"], one["context"]] for one in versions],
                "back": [back["version"], back["context"], back["description"]],
                "found": [one["assistant_id"] for one in found],
                "count": count,
                "nodes": sorted(node["id"] for node in graph["nodes"]),
                "context": list(schemas["context_schema"]["properties"]),
                "inside": {name: sorted(one) for name, one in subgraphs.items()},
                "gone": other not in left and ident in left,
            }
        )
    )


asyncio.run(main(sys.argv[1]))
