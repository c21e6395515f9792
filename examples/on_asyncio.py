"""The same in a program that runs asyncio."""

from __future__ import annotations

import asyncio

from greenroom.actors import Greenroom
from greenroom.storage import SqliteStorage
from human import graph


async def main() -> None:
    room = Greenroom({"agent": graph}, storage=SqliteStorage("on_asyncio.db"))
    async with room.in_thread_async() as client:
        thread_id = (await client.threads.create())["thread_id"]
        text = {"some_text": "original text"}
        async for part in client.runs.stream(thread_id, "agent", input=text):
            print(part.event)
        print(await client.runs.wait(thread_id, "agent", command={"resume": "Edited text"}))


if __name__ == "__main__":
    asyncio.run(main())
