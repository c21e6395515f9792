"""The same in a plain program: calls block, and the room has a thread of its own."""

from __future__ import annotations

from greenroom.actors import Greenroom
from greenroom.storage import SqliteStorage
from human import graph


def main() -> None:
    room = Greenroom({"agent": graph}, storage=SqliteStorage("blocking.db"))
    with room.in_thread() as client:
        thread_id = client.threads.create()["thread_id"]
        for part in client.runs.stream(thread_id, "agent", input={"some_text": "original text"}):
            print(part.event)
        print(client.runs.wait(thread_id, "agent", command={"resume": "Edited text"}))


if __name__ == "__main__":
    main()
