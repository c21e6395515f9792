from __future__ import annotations

import json
import math
from typing import Any

import pytest
import trio
from langchain_core.messages import AIMessageChunk
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Closed, NotFound
from greenroom.actors.events import MAX_KEPT_EVENTS, SLICE, EventIds, RunStream, StreamPart
from greenroom.actors.feeds import MOST_WAITING, Feeds
from greenroom.graph import Interrupt
from greenroom.storage.operations import AppendEvents
from greenroom.storage.testing import make_run


def stream(
    *modes: str, follow: bool = True, resumable: bool = False, max_kept: int = MAX_KEPT_EVENTS
) -> RunStream:
    return RunStream(
        EventIds(1),
        modes or ("values",),
        subgraphs=False,
        resumable=resumable,
        max_kept=max_kept,
        follow=follow,
        feeds=Feeds(),
        run=make_run(),
    )


async def read(stream: RunStream, start: int = 0) -> list[list[Any]]:
    return [[part.data for part in batch] async for batch in stream.follow(start)]


def test_ids_rise_and_those_of_a_later_epoch_are_above() -> None:
    first, later = EventIds(1), EventIds(2)
    ids = [first.next(), first.next(), later.next()]

    assert ids == sorted(set(ids))
    assert EventIds(2**16).next() < 2**53  # exact in JavaScript


def test_a_part_has_its_data_as_json_and_as_python() -> None:
    part = StreamPart(1, "values|sub:1", b'{"a":[1]}')

    assert part.data == {"a": [1]}
    assert part.mode == "values"


def test_nobody_pays_for_events_that_nobody_reads() -> None:
    quiet = stream(follow=False)
    quiet.emit("values", (), {"a": 1})

    assert list(quiet.modes) == []
    assert quiet.parts == []


@pytest.mark.parametrize("why", ["follow", "resumable"])
def test_events_that_may_be_read_are_kept(why: str) -> None:
    kept = stream(**{"follow": False, why: True})
    kept.emit("updates", ("sub:1",), {"a": 1})

    assert list(kept.modes) == ["values"]
    assert [(part.event, part.data) for part in kept.parts] == [("updates|sub:1", {"a": 1})]


def test_questions_are_shown_with_the_keys_of_older_clients_too() -> None:
    asks = stream()
    asks.emit("values", (), {"a": 1, "__interrupt__": (Interrupt("sure?", "f" * 32, ("ask:1",)),)})

    assert asks.parts[0].data == {
        "a": 1,
        "__interrupt__": [
            {
                "value": "sure?",
                "id": "f" * 32,
                "response_schema": None,
                "resumable": True,
                "ns": ["ask:1"],
                "when": "during",
            }
        ],
    }


def test_what_json_has_no_word_for_does_not_stop_a_stream() -> None:
    odd = stream()
    odd.publish("values", {"a": math.nan, "b": {1}, 3: b"x", "c": object})

    assert odd.parts[0].data["a"] is None


async def test_readers_at_any_pace_see_the_same_events() -> None:
    followed = stream()
    seen: list[list[list[Any]]] = []

    async def reader() -> None:
        seen.append(await read(followed))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        for n in range(2):
            await wait_all_tasks_blocked()
            followed.publish("values", n)
        await wait_all_tasks_blocked()
        nursery.start_soon(reader)
        followed.publish("values", 2)
        followed.publish("values", 3)
        followed.end(None)

    assert sorted(seen) == [[[0], [1], [2, 3]], [[0, 1, 2, 3]]]  # what had queued up comes at once
    assert await read(followed, 2) == [[2, 3]]
    assert await read(followed, 4) == []


async def test_who_follows_makes_the_rest_be_recorded() -> None:
    quiet = stream(follow=False)
    quiet.publish("values", "before")
    seen: list[list[Any]] = []

    async def reader() -> None:
        seen.extend(await read(quiet))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        await wait_all_tasks_blocked()
        quiet.publish("values", "after")
        quiet.end(None)

    assert seen == [["after"]]


def kept(stream: RunStream) -> list[Any]:
    operations = stream.unkept(carried_on=False)
    events = [event for one in operations if isinstance(one, AppendEvents) for event in one.events]
    return [json.loads(event.data) for event in events]


@pytest.mark.parametrize("max_kept", [1, MOST_WAITING + SLICE])
async def test_a_stream_holds_the_newest_events_and_no_more_than_are_needed(max_kept: int) -> None:
    most = max(max_kept, MOST_WAITING)
    long = stream(resumable=True, max_kept=max_kept)
    for n in range(3 * most):
        long.publish("values", n)
    long.end(None)

    assert most <= len(long.parts) <= most + SLICE
    assert long.position == 3 * most
    assert long.position_after(0) == 3 * most - len(long.parts)
    assert long.parts[-1].data == 3 * most - 1
    assert kept(long) == list(range(3 * most - max_kept, 3 * most))
    assert kept(long) == []
    long.stored_to -= 1
    assert kept(long) == [3 * most - 1]
    assert await read(long, 3 * most - 2) == [[3 * most - 2, 3 * most - 1]]


async def test_a_reader_who_keeps_up_sees_all_of_a_stream_that_is_longer_than_what_it_holds() -> (
    None
):
    long, seen = stream(), []
    async with trio.open_nursery() as nursery:

        async def reader() -> None:
            async for batch in long.follow(0):
                seen.extend(part.data for part in batch)

        nursery.start_soon(reader)
        for n in range(3 * MOST_WAITING):
            long.publish("values", n)
            if n % MOST_WAITING == 0:
                await wait_all_tasks_blocked()
        long.end(None)

    assert seen == list(range(3 * MOST_WAITING))


async def test_a_reader_who_would_miss_events_is_told_that_it_is_too_far_behind() -> None:
    long = stream()
    behind = long.follow(0)
    long.publish("values", 0)
    assert [part.data for part in await anext(behind)] == [0]
    for n in range(MOST_WAITING + 2 * SLICE):
        long.publish("values", n)

    with pytest.raises(Closed, match=f"{MOST_WAITING} events behind"):
        await anext(behind)


async def test_events_that_come_faster_than_they_are_read_gather_but_for_the_first_and_the_last(
    mock_clock: MockClock,
) -> None:
    flood, seen = stream(), []

    async def reader() -> None:
        async for batch in flood.follow(0, gather=5):
            seen.append([part.data for part in batch])
            if len(seen) < 4:
                flood.publish("values", f"while {len(seen)} was read")

    async with trio.open_nursery() as nursery:
        flood.publish("values", "first")
        nursery.start_soon(reader)
        await wait_all_tasks_blocked()
        assert seen == [["first"], ["while 1 was read"]]

        flood.publish("values", "later")
        mock_clock.jump(5)
        await wait_all_tasks_blocked()
        assert seen[2:] == [["while 2 was read", "later"]]

        flood.publish("values", "last")
        flood.end(None)

    assert seen[3:] == [["while 3 was read", "last"]]


async def test_a_reader_who_keeps_up_is_given_each_event_at_once(mock_clock: MockClock) -> None:
    calm, seen = stream(), []

    async def reader() -> None:
        async for batch in calm.follow(0, gather=5):
            seen.append([part.data for part in batch])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader)
        for n in range(4):
            calm.publish("values", n)
            await wait_all_tasks_blocked()
        assert seen == [[0], [1], [2], [3]]
        calm.end(None)


async def test_a_reader_that_leaves_disturbs_nobody() -> None:
    followed = stream()
    followed.publish("values", 1)
    left = followed.follow(0)
    assert [part.data for part in await anext(left)] == [1]
    await left.aclose()

    followed.publish("values", 2)
    followed.end("done")

    assert await read(followed) == [[1, 2]]
    assert await followed.wait() == "done"


async def test_a_stream_without_an_end_fails_for_readers_and_for_who_waits() -> None:
    aborted = stream()
    aborted.publish("values", 1)
    aborted.abort(Closed("shut down"))

    batches = aborted.follow(0)
    assert [part.data for part in await anext(batches)] == [1]
    with pytest.raises(Closed, match="shut down"):
        await anext(batches)
    with pytest.raises(Closed, match="shut down"):
        await aborted.wait()


async def test_a_stream_ends_for_readers_where_the_thread_was_deleted() -> None:
    aborted = stream()
    aborted.publish("values", 1)
    aborted.abort(NotFound("deleted"))

    assert await read(aborted) == [[1]]
    with pytest.raises(NotFound, match="deleted"):
        await aborted.wait()


def part_of(content: str) -> dict[str, Any]:
    return {"type": "AIMessageChunk", "content": content, "id": "m"}


def shown(stream: RunStream) -> list[tuple[str, Any]]:
    return [(part.event, part.data) for part in stream.parts]


def test_messages_grow_part_by_part() -> None:
    heard = stream("messages")
    for content in ("he", "llo"):
        heard.emit("messages", (), (part_of(content), {"langgraph_node": "a"}))

    assert shown(heard) == [
        ("messages/metadata", {"m": {"metadata": {"langgraph_node": "a"}}}),
        ("messages/partial", [{"type": "ai", "content": "he", "id": "m"}]),
        ("messages/partial", [{"type": "ai", "content": "hello", "id": "m"}]),
    ]
    assert {part.mode for part in heard.parts} == {"messages"}


def test_a_message_that_comes_whole_is_complete_and_has_no_namespace() -> None:
    heard = stream("messages")
    whole = {"type": "ai", "content": "hello", "id": "m"}
    heard.emit("messages", ("sub:1",), (whole, {}))

    assert shown(heard) == [
        ("messages/metadata", {"m": {"metadata": {}}}),
        ("messages/complete", [whole]),
    ]
    assert {part.mode for part in heard.parts} == {"messages"}


def test_message_objects_grow_too() -> None:
    heard = stream("messages")
    for content in ("he", "llo"):
        heard.emit("messages", (), (AIMessageChunk(content, id="m"), {}))

    (message,) = heard.parts[-1].data
    assert (message["type"], message["content"], message["id"]) == ("ai", "hello", "m")


def test_parts_made_of_blocks_are_put_in_a_row() -> None:
    heard = stream("messages")
    block = {"type": "text", "text": "llo"}
    heard.emit("messages", (), (part_of("he"), {}))
    heard.emit("messages", (), ({**part_of(""), "content": [block]}, {}))

    (message,) = heard.parts[-1].data
    assert message["content"] == [{"type": "text", "text": "he"}, block]


def test_messages_tuple_gives_each_part_with_its_metadata() -> None:
    heard = stream("messages-tuple")
    heard.emit("messages", (), (part_of("he"), {"langgraph_node": "a"}))

    assert list(heard.modes) == ["messages"]
    assert shown(heard) == [("messages", [part_of("he"), {"langgraph_node": "a"}])]
    assert [part.mode for part in heard.parts] == ["messages-tuple"]


def test_a_task_that_failed_shows_its_error_as_a_run_does() -> None:
    told = stream("tasks", "debug")
    ended = {"id": "1", "name": "a", "error": ValueError("no"), "result": {}, "interrupts": []}
    told.emit("tasks", (), ended)
    told.emit("debug", (), {"type": "task_result", "step": 1, "payload": ended})

    assert told.parts[0].data["error"] == {"error": "ValueError", "message": "no"}
    assert told.parts[1].data["payload"] == told.parts[0].data


def test_a_checkpoint_in_debug_has_its_ids_by_themselves() -> None:
    told = stream("debug")
    own = {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "c"}
    payload = {"config": {"configurable": own}, "parent_config": None, "tasks": []}
    told.emit("debug", (), {"type": "checkpoint", "step": -1, "payload": payload})

    assert told.parts[0].data["payload"] == {
        **payload,
        "checkpoint": own,
        "parent_checkpoint": None,
    }
