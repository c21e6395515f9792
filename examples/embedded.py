"""The same in your own program: no server, the same client."""

from __future__ import annotations

import trio

from greenroom.actors import Greenroom
from greenroom.storage import SqliteStorage
from human import graph


async def main() -> None:
    async with Greenroom({"agent": graph}, storage=SqliteStorage("embedded.db")) as room:
        runs, threads = room.client.runs, room.client.threads
        thread_id = (await threads.create())["thread_id"]
        paused = await runs.wait(thread_id, "agent", input={"some_text": "original text"})
        print(paused["__interrupt__"])
        print(await runs.wait(thread_id, "agent", command={"resume": "Edited text"}))


if __name__ == "__main__":
    trio.run(main)
