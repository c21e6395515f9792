from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Client, Greenroom, Invalid, NotFound, StreamPart
from greenroom.graph import emit_message, get_stream_writer, interrupt
from greenroom.storage import Event, SqliteStorage

from .conftest import Serve
from .stage import Hold, Shielded, chain, fails, new_thread, says, text


async def talk(state: Any) -> Any:
    get_stream_writer()({"said": "hello"})
    return {"log": ["talk"]}


def talk_in_a_thread(state: Any) -> Any:
    get_stream_writer()({"said": "hello"})
    return {"log": ["talk"]}


async def ask(state: Any) -> Any:
    return {"log": [interrupt("sure?")]}


@pytest.fixture
def room(serve: Serve, hold: Hold) -> Greenroom:
    """Not entered yet."""
    return serve(
        {
            "agent": chain(a=says("a"), b=says("b")),
            "held": chain(a=says("a"), hold=hold.node, c=says("c")),
            "fails": chain(a=says("a"), fail=fails),
            "ask": chain(ask=ask, b=says("b")),
            "talk": chain(talk=talk),
            "talk_in_a_thread": chain(talk=talk_in_a_thread),
            "outer": chain(inner=chain(a=says("a")), b=says("b")),
        }
    )


async def streamed(client: Client, thread_id: str, graph: str, **request: Any) -> list[StreamPart]:
    return [part async for part in client.runs.stream(thread_id, graph, **request)]


async def joined(client: Client, run: dict[str, Any], **how: Any) -> list[StreamPart]:
    parts = client.runs.join_stream(run["thread_id"], run["run_id"], **how)
    return [part async for part in parts]


def shown(parts: list[StreamPart]) -> list[tuple[str, Any]]:
    return [(part.event, part.data) for part in parts]


def logs(parts: list[StreamPart]) -> list[Any]:
    """The logs of the `values` events."""
    return [part.data["log"] for part in parts if part.event == "values"]


# What is streamed.


async def test_a_stream_begins_with_metadata_and_ends_with_the_last_values(
    room: Greenroom,
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(client, thread_id, "agent", input=text("x"))
        [run] = await client.runs.list(thread_id)

        assert shown(parts) == [
            ("metadata", {"run_id": run["run_id"], "attempt": 1}),
            ("values", {"log": ["x"], "text": "x"}),
            ("values", {"log": ["x", "a"], "text": "x"}),
            ("values", {"log": ["x", "a", "b"], "text": "x"}),
        ]
        assert run["status"] == "success"  # durable before the stream ends


async def test_updates_show_what_each_node_returned(room: Greenroom) -> None:
    async with room:
        thread_id = await new_thread(room.client)
        parts = await streamed(
            room.client, thread_id, "agent", input=text("x"), stream_mode="updates"
        )

        assert shown(parts)[1:] == [
            ("updates", {"a": {"log": ["a"]}}),
            ("updates", {"b": {"log": ["b"]}}),
        ]


@pytest.mark.parametrize("graph", ["talk", "talk_in_a_thread"])
async def test_custom_events_come_between_those_of_the_other_modes(
    room: Greenroom, graph: str
) -> None:
    async with room:
        thread_id = await new_thread(room.client)
        modes = ["values", "updates", "custom"]
        parts = await streamed(room.client, thread_id, graph, input=text("x"), stream_mode=modes)

        assert [part.event for part in parts] == [
            "metadata",
            "values",
            "custom",
            "updates",
            "values",
        ]
        assert parts[2].data == {"said": "hello"}


async def test_a_pause_is_the_last_event(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        modes = ["values", "updates"]
        parts = await streamed(client, thread_id, "ask", input=text("x"), stream_mode=modes)
        asked = (await client.threads.get_state(thread_id))["interrupts"][0]["id"]

        question = parts[-1].data["__interrupt__"][0]
        assert [part.event for part in parts] == ["metadata", "values", "updates", "values"]
        assert parts[-2].data == {"__interrupt__": [question]}
        assert parts[-1].data == {"log": ["x"], "text": "x", "__interrupt__": [question]}
        assert (question["value"], question["id"]) == ("sure?", asked)
        assert {"resumable", "ns", "when", "response_schema"} <= question.keys()

        # A resume begins with the state as it is.
        parts = await streamed(client, thread_id, "ask", command={"resume": "yes"})
        assert logs(parts) == [["x"], ["x", "yes"], ["x", "yes", "b"]]


async def test_a_breakpoint_shows_as_a_pause_without_questions(room: Greenroom) -> None:
    async with room:
        thread_id = await new_thread(room.client)
        parts = await streamed(
            room.client,
            thread_id,
            "agent",
            input=text("x"),
            interrupt_before=["b"],
            stream_mode=["values", "updates"],
        )

        assert shown(parts)[-1] == ("updates", {"__interrupt__": []})
        assert logs(parts) == [["x"], ["x", "a"]]


async def test_an_error_is_the_last_event(room: Greenroom) -> None:
    async with room:
        thread_id = await new_thread(room.client)
        parts = await streamed(room.client, thread_id, "fails", input=text("x"))

        assert logs(parts) == [["x"], ["x", "a"]]
        assert shown(parts)[-1] == ("error", {"error": "ValueError", "message": "no such colour"})


async def test_graphs_within_the_graph_stream_under_their_namespace_if_asked(
    room: Greenroom,
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        quiet = await streamed(client, thread_id, "outer", input=text("x"), stream_mode="updates")
        assert [part.event for part in quiet] == ["metadata", "updates", "updates"]

        parts = await streamed(
            client,
            thread_id,
            "outer",
            input=text("x"),
            stream_mode="updates",
            stream_subgraphs=True,
        )
        events = [part.event for part in parts]
        assert events[1].startswith("updates|inner:")
        assert (events[0], events[2:]) == ("metadata", ["updates", "updates"])
        assert parts[1].mode == "updates"


async def test_a_cut_run_just_ends_its_stream(room: Greenroom, hold: Hold) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        parts: list[StreamPart] = []

        async def follow() -> None:
            parts.extend(await streamed(client, thread_id, "held", input=text("slow")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await hold.reached.wait()
            [run] = await client.runs.list(thread_id)
            await client.runs.cancel(thread_id, run["run_id"])

        assert [part.event for part in parts] == ["metadata", "values", "values"]


# Readers.


async def test_a_reader_sees_an_event_while_the_run_goes_on(room: Greenroom, hold: Hold) -> None:
    async with room:
        thread_id = await new_thread(room.client)
        seen: list[Any] = []
        async for part in room.client.runs.stream(thread_id, "held", input=text("slow")):
            seen.append(part.data)
            if "log" in part.data and part.data["log"] == ["slow", "a"]:
                await hold.reached.wait()
                hold.open()

        assert seen[-1]["log"] == ["slow", "a", "did slow", "c"]


async def test_leaving_a_stream_leaves_the_run_going(room: Greenroom, hold: Hold) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = client.runs.stream(thread_id, "held", input=text("slow"))
        run_id = (await anext(parts)).data["run_id"]
        await hold.reached.wait()
        await parts.aclose()

        hold.open()

        assert (await client.runs.join(thread_id, run_id))["log"][-1] == "c"


@pytest.mark.parametrize("on_disconnect", ["cancel", "continue"])
async def test_leaving_a_stream_cancels_the_run_if_that_was_asked(
    room: Greenroom, hold: Hold, on_disconnect: str
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = client.runs.stream(
            thread_id, "held", input=text("slow"), on_disconnect=on_disconnect
        )
        run_id = (await anext(parts)).data["run_id"]
        await hold.reached.wait()
        await parts.aclose()
        await client.threads.update(thread_id, metadata={})  # answered after the cancel

        hold.open()
        values = await client.runs.join(thread_id, run_id)
        run = await client.runs.get(thread_id, run_id)

        cancels = on_disconnect == "cancel"
        assert run["status"] == ("interrupted" if cancels else "success")
        assert values["log"] == ["slow", "a"] + ([] if cancels else ["did slow", "c"])


async def test_a_wait_that_is_cancelled_cancels_the_run_if_that_was_asked(
    room: Greenroom, hold: Hold
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        request = {"input": text("slow"), "on_disconnect": "cancel"}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: client.runs.wait(thread_id, "held", **request))
            await hold.reached.wait()
            nursery.cancel_scope.cancel()

        [run] = await client.runs.list(thread_id)
        assert (await client.runs.join(thread_id, run["run_id"]))["log"] == ["slow", "a"]
        assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "interrupted"


async def test_leaving_a_joined_stream_cancels_the_run_if_that_was_asked(
    room: Greenroom, hold: Hold
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "held", input=text("slow"), stream_resumable=True)
        await hold.reached.wait()
        for cancels in (False, True):
            parts = client.runs.join_stream(
                thread_id, run["run_id"], last_event_id=0, cancel_on_disconnect=cancels
            )
            assert (await anext(parts)).event == "metadata"
            await parts.aclose()
            if not cancels:
                await client.threads.update(thread_id, metadata={})
                assert hold.order == ["slow begins"]

        await client.runs.join(thread_id, run["run_id"])
        assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "interrupted"


async def test_a_handle_gives_its_runs_events_from_the_first_however_late(
    room: Greenroom,
) -> None:
    async with room:
        thread_id = await new_thread(room.client)
        handle = await room.client.runs.start(thread_id, "agent", input=text("x"))
        assert (handle.thread_id, handle.run_id) == (thread_id, handle.run["run_id"])
        assert not handle.resumable
        assert (await handle.result())["log"] == ["x", "a", "b"]

        for _ in range(2):
            [batch] = [batch async for batch in handle.events()]  # all that had queued up
            assert logs(batch) == [["x"], ["x", "a"], ["x", "a", "b"]]
        [batch] = [batch async for batch in handle.events(stream_mode="updates")]
        assert [part.event for part in batch] == ["metadata"]


async def test_a_run_is_joined_from_now_on(room: Greenroom, hold: Hold) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(
            thread_id, "held", input=text("slow"), stream_mode=["values", "updates"]
        )
        await hold.reached.wait()
        handle = await client.runs.attach(thread_id, run["run_id"])
        everything: list[StreamPart] = []
        updates: list[StreamPart] = []

        async def follow(into: list[StreamPart], mode: str | None) -> None:
            async for batch in handle.events(stream_mode=mode):
                into.extend(batch)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow, everything, None)
            nursery.start_soon(follow, updates, "updates")
            await wait_all_tasks_blocked()
            hold.open()

        assert logs(everything) == [["slow", "a", "did slow"], ["slow", "a", "did slow", "c"]]
        assert shown(updates) == [
            ("updates", {"hold": {"log": ["did slow"]}}),
            ("updates", {"c": {"log": ["c"]}}),
        ]
        assert (await handle.result())["log"] == ["slow", "a", "did slow", "c"]


async def test_a_finished_run_that_is_not_resumable_has_nothing_to_replay(
    room: Greenroom,
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        [run] = await client.runs.list(thread_id)

        assert await joined(client, run) == []
        assert await joined(client, run, last_event_id=0) == []


async def test_a_join_that_does_not_fit_is_named(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        [run] = await client.runs.list(thread_id)

        with pytest.raises(Invalid, match="stream_mode: 'x'"):
            await joined(client, run, stream_mode="x")
        with pytest.raises(Invalid, match="last_event_id: 'x'"):
            await joined(client, run, last_event_id="x")
        with pytest.raises(NotFound, match=thread_id):
            await joined(client, {**run, "run_id": thread_id})


# Resumable streams.


async def test_a_resumable_run_replays_what_follows_the_event_named(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(
            client,
            thread_id,
            "fails",
            input=text("x"),
            stream_resumable=True,
            stream_mode=["values", "updates"],
        )
        [run] = await client.runs.list(thread_id)
        assert [part.event for part in parts] == [
            "metadata",
            "values",
            "updates",
            "values",
            "error",
        ]

        assert await joined(client, run, last_event_id=0) == parts
        assert await joined(client, run, last_event_id="-1") == parts
        for at, part in enumerate(parts):
            assert await joined(client, run, last_event_id=str(part.id)) == parts[at + 1 :]
        assert await joined(client, run) == []
        updates = await joined(client, run, last_event_id=0, stream_mode="updates")
        assert [part.event for part in updates] == ["metadata", "updates", "error"]


async def test_a_run_under_way_is_replayed_and_followed_without_gap_or_repeat(
    room: Greenroom, hold: Hold
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "held", input=text("slow"), stream_resumable=True)
        await hold.reached.wait()
        replays: list[list[StreamPart]] = []

        async def follow(last_event_id: int) -> None:
            replays.append(await joined(client, run, last_event_id=last_event_id))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow, 0)
            nursery.start_soon(follow, -1)
            await wait_all_tasks_blocked()
            hold.open()

        for replay in replays:
            assert logs(replay) == [
                ["slow"],
                ["slow", "a"],
                ["slow", "a", "did slow"],
                ["slow", "a", "did slow", "c"],
            ]
        assert await joined(client, run, last_event_id=0) == replays[0] == replays[1]


async def test_event_ids_rise_from_run_to_run_on_a_thread(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        ids = [
            part.id
            for _ in range(3)
            for part in await streamed(
                client, thread_id, "agent", input=text("x"), stream_resumable=True
            )
        ]

        assert len(ids) == 12
        assert ids == sorted(set(ids))


async def test_a_stream_is_replayed_after_its_thread_fell_asleep(serve: Serve) -> None:
    async with serve(chain(a=says("a")), idle_timeout=0) as room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(client, thread_id, "agent", input=text("x"), stream_resumable=True)
        [run] = await client.runs.list(thread_id)

        assert await joined(client, run, last_event_id=0) == parts
        assert await joined(client, run, last_event_id=parts[1].id) == parts[2:]


async def test_a_stream_is_replayed_after_a_restart_and_ids_go_on_rising(serve: Serve) -> None:
    graph = chain(a=says("a"))
    async with serve(graph) as room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(client, thread_id, "agent", input=text("x"), stream_resumable=True)
        [run] = await client.runs.list(thread_id)

    async with serve(graph) as room:
        client = room.client
        assert await joined(client, run, last_event_id=0) == parts
        assert await joined(client, run, last_event_id=parts[1].id) == parts[2:]
        assert await joined(client, run) == []
        later = await streamed(client, thread_id, "agent", input=text("y"), stream_resumable=True)
        assert min(part.id for part in later) > max(part.id for part in parts)


async def test_a_run_carried_on_after_a_restart_has_one_stream(serve: Serve) -> None:
    hold, again = Hold(), Hold(texts=())
    async with serve(chain(a=says("a"), hold=hold.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(
            thread_id, "agent", input=text("slow"), stream_resumable=True
        )
        await hold.reached.wait()

    async with serve(chain(a=says("a"), hold=again.node)) as room:
        client = room.client
        await client.runs.join(thread_id, run["run_id"])
        parts = await joined(client, run, last_event_id=0)

    assert [part.data["attempt"] for part in parts if part.event == "metadata"] == [1, 2]
    assert logs(parts) == [
        ["slow"],
        ["slow", "a"],
        ["slow", "a"],  # going on begins with the state as it is
        ["slow", "a", "did slow"],
    ]
    ids = [part.id for part in parts]
    assert ids == sorted(set(ids))


async def test_what_a_cut_node_had_emitted_is_replayed_after_a_restart(serve: Serve) -> None:
    reached = trio.Event()

    async def node(state: Any) -> Any:
        get_stream_writer()({"attempt": len(attempts)})
        attempts.append("begins")
        reached.set()
        if len(attempts) == 1:
            await trio.sleep_forever()

    attempts: list[str] = []
    async with serve(chain(node=node)) as room:
        thread_id = await new_thread(room.client)
        run = await room.client.runs.create(
            thread_id, "agent", input=text("x"), stream_mode="custom", stream_resumable=True
        )
        await reached.wait()

    async with serve(chain(node=node)) as room:
        await room.client.runs.join(thread_id, run["run_id"])
        parts = await joined(room.client, run, last_event_id=0)

    custom = [part.data for part in parts if part.event == "custom"]
    assert custom == [{"attempt": 0}, {"attempt": 1}]


async def test_a_run_that_begins_while_its_past_is_read_is_shown_once(tmp_path: Path) -> None:
    reading, go_on = threading.Event(), threading.Event()

    class Slow(SqliteStorage):
        def read_events(self, *args: Any, **kwargs: Any) -> list[Event]:
            reading.set()
            go_on.wait()
            return super().read_events(*args, **kwargs)

    hold = Hold()
    storage = Slow(tmp_path / "agents.db")
    async with Greenroom({"agent": chain(hold=hold.node)}, storage=storage) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        run = await client.runs.create(thread_id, "agent", input=text("two"), stream_resumable=True)
        parts: list[StreamPart] = []

        async def follow() -> None:
            parts.extend(await joined(client, run, last_event_id=0))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await trio.to_thread.run_sync(reading.wait)
            hold.open()
            await client.runs.join(thread_id, run["run_id"])
            go_on.set()

        assert logs(parts) == [
            ["slow", "did slow", "two"],
            ["slow", "did slow", "two", "did two"],
        ]


async def test_the_events_of_a_deleted_run_are_gone(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await streamed(client, thread_id, "agent", input=text("x"), stream_resumable=True)
        [run] = await client.runs.list(thread_id)
        await client.runs.delete(thread_id, run["run_id"])

        with pytest.raises(NotFound, match=run["run_id"]):
            await joined(client, run, last_event_id=0)


async def test_what_a_fenced_run_emits_reaches_nobody(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    hold = Shielded()

    async def node(state: Any) -> Any:
        get_stream_writer()("before")
        await hold.node(state)
        get_stream_writer()("after")
        return {}

    async with serve_in_memory(chain(node=node), grace_period=5) as room:
        client, thread_id = room.client, await new_thread(room.client)
        handle = await client.runs.start(
            thread_id, "agent", input=text("slow"), stream_mode="custom", stream_resumable=True
        )
        await hold.reached.wait()
        await client.runs.cancel(thread_id, handle.run_id, wait=True)
        before = await joined(client, handle.run, last_event_id=0)
        assert shown(before)[1:] == [("custom", "before")]

        hold.open()
        await wait_all_tasks_blocked()

        assert hold.order == ["slow begins", "slow ends"]
        assert await joined(client, handle.run, last_event_id=0) == before
        assert [part async for batch in handle.events() for part in batch] == before


# Stream mode `events`.


def told(parts: list[StreamPart]) -> list[tuple[str, str]]:
    """What happened to what."""
    return [(part.data["event"], part.data["name"]) for part in parts if part.event == "events"]


def of_node(name: str) -> list[tuple[str, str]]:
    return [("on_chain_start", name), ("on_chain_stream", name), ("on_chain_end", name)]


async def test_events_are_those_of_chains(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(client, thread_id, "agent", input=text("x"), stream_mode="events")
        start, end = ("on_chain_start", "agent"), ("on_chain_end", "agent")
        assert told(parts) == [start, *of_node("a"), *of_node("b"), end]
        assert [part.event for part in parts] == ["metadata", *["events"] * 8]

        run_id = parts[0].data["run_id"]
        events = [part.data for part in parts[1:]]
        whole, first, chunk, over, second = events[:5]
        assert (whole["run_id"], whole["parent_ids"]) == (run_id, [])
        assert whole["data"] == {"input": text("x")}
        assert first["run_id"] == chunk["run_id"] == over["run_id"] != second["run_id"]
        assert first["parent_ids"] == [run_id]
        assert first["data"]["input"]["log"] == ["x"]
        assert chunk["data"] == {"chunk": {"log": ["a"]}}
        assert over["data"] == {"input": first["data"]["input"], "output": {"log": ["a"]}}
        assert (first["tags"], second["tags"]) == (["graph:step:1"], ["graph:step:2"])
        assert (
            first["metadata"].items()
            >= {
                "langgraph_node": "a",
                "langgraph_step": 1,
                "langgraph_triggers": ["branch:to:a"],
                "langgraph_path": ["__pregel_pull", "a"],
                "run_id": run_id,
                "thread_id": thread_id,
                "graph_id": "agent",
            }.items()
        )
        place, _, task_id = first["metadata"]["langgraph_checkpoint_ns"].partition(":")
        assert (place, task_id != first["run_id"]) == ("a", True)
        assert events[-1]["data"]["output"]["log"] == ["x", "a", "b"]


async def test_events_come_beside_other_modes_and_do_not_show_what_they_are_made_of(
    room: Greenroom,
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        modes = ["events", "updates"]
        parts = await streamed(client, thread_id, "agent", input=text("x"), stream_mode=modes)
        assert {part.event for part in parts} == {"metadata", "events", "updates"}
        assert len(told(parts)) == 8


async def test_a_task_that_asks_has_an_event_for_its_start_alone(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(client, thread_id, "ask", input=text("x"), stream_mode="events")
        starts = [("on_chain_start", "ask"), ("on_chain_start", "ask")]  # the graph, and its node
        assert told(parts) == [*starts, ("on_chain_end", "ask")]
        asked = parts[2].data["run_id"]

        command = {"resume": "yes"}
        parts = await streamed(client, thread_id, "ask", command=command, stream_mode="events")
        whole = {"graph": None, "update": None, "resume": "yes", "goto": None}
        assert parts[2].data["run_id"] != asked
        assert parts[1].data["data"] == {"input": whole}


@pytest.mark.parametrize("modes", [["events"], ["events", "updates"]])
@pytest.mark.parametrize("inside", [False, True])
async def test_events_of_graphs_inside_name_what_is_around_them(
    room: Greenroom, modes: list[str], inside: bool
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(
            client,
            thread_id,
            "outer",
            input=text("x"),
            stream_mode=modes,
            stream_subgraphs=inside,
        )
        assert any("|" in part.event for part in parts) == (inside and "updates" in modes)
        starts = {
            part.data["name"]: part.data
            for part in parts
            if part.event == "events" and part.data["event"] == "on_chain_start"
        }
        run_id = parts[0].data["run_id"]
        assert list(starts) == ["outer", "inner", "a", "b"]
        assert starts["a"]["parent_ids"] == [run_id, starts["inner"]["run_id"]]
        assert starts["b"]["parent_ids"] == [run_id]


async def test_parts_of_messages_are_events_of_a_chat_model(serve: Serve) -> None:
    async def speak(state: Any) -> Any:
        for word in ("Hel", "lo"):
            emit_message({"role": "assistant", "content": word, "id": "m"})
        return {"log": ["spoke"]}

    async with serve(chain(speak=speak)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        parts = await streamed(client, thread_id, "agent", input=text("x"), stream_mode="events")
        events = [part.data for part in parts if part.event == "events"]
        (node,) = [e["run_id"] for e in events if e["name"] == "speak" and "start" in e["event"]]
        spoken = [event for event in events if event["event"] == "on_chat_model_stream"]
        assert [event["data"]["chunk"]["content"] for event in spoken] == ["Hel", "lo"]
        assert {tuple(event["parent_ids"]) for event in spoken} == {(parts[0].data["run_id"], node)}
