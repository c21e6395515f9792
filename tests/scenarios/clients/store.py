"""Keep items in the store, find them again, and delete one."""

import asyncio
import json
import sys

from langgraph_sdk import get_client


async def main(deployment_url: str) -> None:
    client = get_client(url=deployment_url)
    store = client.store
    await store.put_item(["users", "ada"], key="likes", value={"food": "soup"}, ttl=60)
    await store.put_item(["users", "bob"], key="likes", value={"food": "cake"})
    await store.put_item(["users", "bob"], key="gone", value={"food": "tea"}, index=False)
    await store.delete_item(["users", "bob"], key="gone")

    thread_id = (await client.threads.create())["thread_id"]
    ran = await client.runs.wait(thread_id, "remembers", input={"name": "ada"})

    ada = await store.get_item(["users", "ada"], key="likes", refresh_ttl=True)
    gone = await store.get_item(["users", "bob"], key="gone")
    cake = await store.search_items(["users"], query="cake", limit=1)
    soup = await store.search_items(["users"], filter={"food": {"$ne": "cake"}}, offset=0)
    names = await store.list_namespaces(prefix=["users"], max_depth=2)

    keys = ["namespace", "key", "value"]
    print(
        json.dumps(
            {
                "ran": ran["known"],
                "ada": [ada[name] for name in keys],
                "gone": gone,
                "cake": [[item[name] for name in keys] for item in cake["items"]],
                "soup": [[item[name] for name in keys] for item in soup["items"]],
                "names": names["namespaces"],
            }
        )
    )


asyncio.run(main(sys.argv[1]))
