from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from greenroom.actors import Conflict, Greenroom, Invalid, NotFound, Refused
from greenroom.actors.client import threads as threads_client
from greenroom.graph import interrupt
from greenroom.storage import Storage
from greenroom.storage.operations import DeleteThread
from greenroom.storage.testing import FaultyStorage

from .conftest import Serve
from .stage import chain, ends_a_run, fails, is_a, new_thread, parallel, says, status, text

THREAD_KEYS = {
    "thread_id",
    "created_at",
    "updated_at",
    "state_updated_at",
    "metadata",
    "status",
    "config",
    "values",
    "error",
    "interrupts",
}
STATE_KEYS = {
    "values",
    "next",
    "tasks",
    "metadata",
    "created_at",
    "checkpoint",
    "parent_checkpoint",
    "interrupts",
    "checkpoint_id",
    "parent_checkpoint_id",
}
TASK_KEYS = {"id", "name", "path", "error", "interrupts", "checkpoint", "state", "result"}


async def ask(state: Any) -> Any:
    return {"log": [interrupt("sure?")]}


@pytest.fixture
def room(serve: Serve) -> Greenroom:
    """Not entered yet."""
    return serve(
        {
            "agent": chain(a=says("a"), b=says("b")),
            "ask": chain(ask=ask, b=says("b")),
            "fails": chain(a=says("a"), fail=fails),
            "parallel": parallel(left=says("left"), right=says("right")),
        }
    )


# Making, reading, changing, deleting.


async def test_what_was_shown_of_a_thread_is_the_callers_own(room: Greenroom) -> None:
    async with room:
        threads = room.client.threads
        made = await threads.create(metadata={"about": {"who": "Ada"}})
        thread = made["thread_id"]
        await room.client.runs.wait(thread, "agent", input=text("x"))
        for shown in (await threads.get(thread), await threads.update(thread, metadata={"a": 1})):
            shown["metadata"]["about"]["who"] = "not mine"
            shown["config"]["mine"] = False
        await room.client.runs.wait(thread, "agent", input=text("x"))

        [stored] = await threads.search()

    assert stored["metadata"]["about"] == {"who": "Ada"}
    assert stored["config"] == {"configurable": {}}


async def test_a_new_thread_is_idle_and_empty(room: Greenroom) -> None:
    async with room:
        made = await room.client.threads.create(metadata={"user": "ann"})

        assert set(made) == THREAD_KEYS
        assert UUID(made["thread_id"]).version == 7
        assert made["metadata"] == {"user": "ann"}
        assert (made["status"], made["values"], made["config"]) == ("idle", None, {})
        assert (made["error"], made["interrupts"]) == (None, {})
        assert made["created_at"] == made["updated_at"] == made["state_updated_at"]
        assert made["created_at"].endswith("+00:00")
        assert await room.client.threads.get(made["thread_id"]) == made


async def test_an_id_of_the_callers_choice_is_taken_once(room: Greenroom) -> None:
    async with room:
        threads, thread_id = room.client.threads, str(uuid4())
        made = await threads.create(thread_id=thread_id, metadata={"v": 1})
        assert made["thread_id"] == thread_id

        with pytest.raises(Conflict, match=thread_id):
            await threads.create(thread_id=thread_id, metadata={"v": 2})
        again = await threads.create(thread_id=thread_id, metadata={"v": 2}, if_exists="do_nothing")

        assert again == made == await threads.get(thread_id)


async def test_an_id_has_one_form_however_it_is_written(room: Greenroom) -> None:
    async with room:
        ident = uuid4()
        made = await room.client.threads.create(thread_id=str(ident).upper())

        assert made["thread_id"] == str(ident)
        assert await room.client.threads.get(ident.hex) == made


@pytest.mark.parametrize("thread_id", ["", "x", "'; drop table threads", "1" * 31, None])
async def test_an_id_that_is_no_uuid_is_named(room: Greenroom, thread_id: Any) -> None:
    async with room:
        threads, runs, run_id = room.client.threads, room.client.runs, str(uuid4())
        calls = [
            lambda: threads.get(thread_id),
            lambda: threads.update(thread_id, metadata={}),
            lambda: threads.delete(thread_id),
            lambda: threads.get_state(thread_id),
            lambda: threads.update_state(thread_id, {}),
            lambda: threads.get_history(thread_id),
            lambda: runs.list(thread_id),
            lambda: runs.cancel(thread_id, run_id),
            lambda: runs.delete(thread_id, run_id),
        ]
        if thread_id is not None:  # None is a thread of the run's own
            calls += [
                lambda: runs.create(thread_id, "agent", input={}),
                lambda: runs.get(thread_id, run_id),
                lambda: runs.join(thread_id, run_id),
            ]
        for call in calls:
            with pytest.raises(Invalid, match="thread_id") as refusal:
                await call()
            assert repr(thread_id) in str(refusal.value)
        assert await threads.count() == 0


async def test_an_unknown_thread_is_not_found(room: Greenroom) -> None:
    async with room:
        threads, runs, thread_id = room.client.threads, room.client.runs, str(uuid4())
        calls = [
            lambda: threads.get(thread_id),
            lambda: threads.update(thread_id, metadata={"a": 1}),
            lambda: threads.delete(thread_id),
            lambda: threads.get_state(thread_id),
            lambda: threads.update_state(thread_id, {"log": ["x"]}),
            lambda: threads.get_history(thread_id),
            lambda: runs.create(thread_id, "agent", input={}),
            lambda: runs.list(thread_id),
        ]
        for call in calls:
            with pytest.raises(NotFound, match=thread_id):
                await call()
        assert await threads.count() == 0


async def test_what_does_not_fit_a_new_thread_makes_none(room: Greenroom) -> None:
    async with room:
        create = room.client.threads.create
        with pytest.raises(Invalid, match=r"if_exists: 'replace'"):
            await create(if_exists="replace")
        with pytest.raises(NotFound, match="'nope'"):
            await create(graph_id="nope")
        with pytest.raises(Invalid, match="metadata"):
            await create(metadata=["a"])  # type: ignore[arg-type]
        with pytest.raises(Invalid, match=r"metadata\.a"):
            await create(metadata={"a": math.nan})
        with pytest.raises(Invalid, match="metadata"):
            await create(metadata={"a": object()}, thread_id=str(uuid4()))

        assert await room.client.threads.count() == 0


async def test_metadata_is_merged_on_its_top_level(room: Greenroom) -> None:
    async with room:
        threads = room.client.threads
        thread_id = await new_thread(room.client, metadata={"a": 1, "deep": {"x": 1}})

        patched = await threads.update(thread_id, metadata={"deep": {"y": 2}, "b": 2})

        assert patched["metadata"] == {"a": 1, "deep": {"y": 2}, "b": 2}
        assert patched == await threads.get(thread_id)
        with pytest.raises(Invalid, match="metadata"):
            await threads.update(thread_id, metadata="a")  # type: ignore[arg-type]
        assert await threads.get(thread_id) == patched


async def test_a_deleted_thread_is_gone_with_its_runs_and_state(room: Greenroom) -> None:
    async with room:
        client = room.client
        thread_id, other = await new_thread(client), await new_thread(client)
        await client.runs.wait(thread_id, "agent", input=text("x"))

        await client.threads.delete(thread_id)

        for call in (client.threads.get, client.runs.list, client.threads.get_state):
            with pytest.raises(NotFound):
                await call(thread_id)
        assert [t["thread_id"] for t in await client.threads.search()] == [other]

        await client.threads.create(thread_id=thread_id)
        assert await client.runs.list(thread_id) == []
        assert (await client.runs.wait(thread_id, "agent", input=text("y")))["log"] == list("yab")


async def test_a_finished_run_shows_on_its_thread(room: Greenroom) -> None:
    async with room:
        client = room.client
        made = await client.threads.create(metadata={"user": "ann"})
        run = await client.runs.create(made["thread_id"], "agent", input=text("x"))
        await client.runs.join(made["thread_id"], run["run_id"])

        thread = await client.threads.get(made["thread_id"])

        assert set(thread) == THREAD_KEYS
        assert thread["status"] == "idle"
        assert thread["values"] == {"log": ["x", "a", "b"], "text": "x"}
        assert thread["config"] == {"configurable": {}}
        assert thread["metadata"] == {
            "user": "ann",
            "graph_id": "agent",
            "assistant_id": run["assistant_id"],
        }
        assert thread["created_at"] == made["created_at"] <= thread["updated_at"]


async def test_the_error_of_the_last_run_shows_on_its_thread_until_the_next_goes_well(
    room: Greenroom,
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "fails", input=text("x"), raise_error=False)

        thread = await client.threads.get(thread_id)
        assert thread["status"] == "error"
        assert thread["error"] == {"error": "ValueError", "message": "no such colour"}
        assert thread["values"]["log"] == ["x", "a"]

        await client.runs.wait(thread_id, "agent", input=text("y"))
        thread = await client.threads.get(thread_id)
        assert (thread["status"], thread["error"]) == ("idle", None)


async def test_who_has_seen_that_a_run_is_over_sees_its_thread_at_rest(
    open_storage: Callable[[], Storage],
) -> None:
    storage, seen = FaultyStorage(open_storage(), blocking=True), list[str]()
    async with Greenroom({"agent": chain(a=says("a"))}, storage=storage) as room:
        client, thread_id = room.client, await new_thread(room.client)
        gate = storage.hold("after", ends_a_run)  # its thread's actor has not heard of it
        run = await client.runs.create(thread_id, "agent", input=text("x"))
        await gate.reached()

        async def look() -> None:
            seen.append((await client.runs.get(thread_id, run["run_id"]))["status"])
            seen.append(await status(client, thread_id))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            await wait_all_tasks_blocked()
            gate.open()
        assert seen == ["success", "idle"]


async def test_who_does_not_find_a_thread_any_more_cannot_read_it(
    open_storage: Callable[[], Storage],
) -> None:
    storage = FaultyStorage(open_storage(), blocking=True)
    async with Greenroom({"agent": chain(a=says("a"))}, storage=storage) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        gate = storage.hold("after", is_a(DeleteThread))

        async def look() -> None:
            with pytest.raises(NotFound):
                await client.threads.get_state(thread_id)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.threads.delete, thread_id)
            await gate.reached()
            assert await client.threads.search() == []
            nursery.start_soon(look)
            await wait_all_tasks_blocked()
            gate.open()


# Searching.


async def ids(room: Greenroom, **query: Any) -> list[str]:
    return [thread["thread_id"] for thread in await room.client.threads.search(**query)]


async def test_threads_are_found_newest_first_page_by_page(room: Greenroom) -> None:
    async with room:
        made = [await new_thread(room.client, metadata={"n": n}) for n in range(12)]
        newest_first = made[::-1]

        assert await ids(room) == newest_first[:10]
        assert await ids(room, limit=5, offset=10) == newest_first[10:]
        assert await ids(room, limit=100, sort_order="asc") == made
        assert await ids(room, offset=12) == []
        assert await room.client.threads.count() == 12


async def test_threads_are_sorted_by_what_is_asked_or_by_their_last_change(
    room: Greenroom,
) -> None:
    async with room:
        client = room.client
        first, second, third = [await new_thread(client) for _ in range(3)]
        await client.runs.wait(second, "agent", input=text("x"))
        await client.threads.update(first, metadata={"a": 1})

        assert await ids(room) == [first, second, third]
        assert await ids(room, sort_by="updated_at") == [first, second, third]
        assert await ids(room, sort_by="created_at") == [third, second, first]
        assert await ids(room, sort_by="state_updated_at") == [second, third, first]
        by_id = sorted([first, second, third])
        assert await ids(room, sort_by="thread_id", sort_order="asc") == by_id


async def test_threads_are_found_by_metadata_at_any_depth(room: Greenroom) -> None:
    async with room:
        client = room.client
        ann = await new_thread(client, metadata={"user": {"name": "ann", "age": 3}, "tags": [1, 2]})
        bob = await new_thread(client, metadata={"user": {"name": "bob"}, "a.b": "$", "on": True})

        assert await ids(room, metadata={"user": {"name": "ann"}}) == [ann]
        assert await ids(room, metadata={"tags": [2]}) == [ann]
        assert await ids(room, metadata={"a.b": "$"}) == [bob]
        assert await ids(room, metadata={"a": {"b": "$"}}) == []
        assert await ids(room, metadata={"on": 1}) == []
        assert await ids(room, metadata={"user": {}}) == [bob, ann]
        assert await client.threads.count(metadata={"user": {"age": 3}}) == 1


async def test_threads_are_found_by_status(room: Greenroom) -> None:
    async with room:
        client = room.client
        idle, paused, failed = [await new_thread(client) for _ in range(3)]
        await client.runs.wait(paused, "ask", input=text("x"))
        await client.runs.wait(failed, "fails", input=text("x"), raise_error=False)

        assert await ids(room, status="idle") == [idle]
        assert await ids(room, status="interrupted") == [paused]
        assert await ids(room, status="error") == [failed]
        assert await client.threads.count(status="error") == 1
        assert await client.threads.count(status="busy") == 0


async def test_threads_are_found_by_id(room: Greenroom) -> None:
    async with room:
        one, two, _ = [await new_thread(room.client) for _ in range(3)]

        assert await ids(room, ids=[one, str(uuid4()), two]) == [two, one]
        assert await ids(room, ids=[]) == []
        assert await room.client.threads.count(ids=[one, str(uuid4())]) == 1


async def test_threads_are_found_by_the_values_of_their_state(room: Greenroom) -> None:
    async with room:
        client = room.client
        threads = [await new_thread(client, metadata={"n": n}) for n in range(4)]
        for thread_id, word in zip(threads, ["x", "y", "x"], strict=False):
            await client.runs.wait(thread_id, "agent", input=text(word))

        assert await ids(room, values={"text": "x"}) == [threads[2], threads[0]]
        assert await ids(room, values={"text": "x"}, limit=1, offset=1) == [threads[0]]
        assert await ids(room, values={"log": ["b", "y"]}) == [threads[1]]
        assert await ids(room, values={"text": "x"}, metadata={"n": 2}) == [threads[2]]
        assert await client.threads.count(values={"text": "x"}) == 2


async def test_a_search_by_values_reads_no_more_states_than_its_page_needs(
    room: Greenroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads_client, "_PAGE", 2)
    read: list[str] = []
    read_saved = threads_client.read_saved

    def reading(storage: Storage, thread_id: str) -> Any:
        read.append(thread_id)
        return read_saved(storage, thread_id)

    monkeypatch.setattr(threads_client, "read_saved", reading)
    async with room:
        threads = [await new_thread(room.client) for _ in range(6)]
        for thread_id in threads:
            await room.client.runs.wait(thread_id, "agent", input=text("x"))

        assert await ids(room, values={"text": "x"}, limit=1, offset=1) == [threads[4]]
        assert read == [threads[5], threads[4]]


async def test_only_the_keys_that_are_asked_for_are_given(room: Greenroom) -> None:
    async with room:
        thread_id = await new_thread(room.client)

        found = await room.client.threads.search(select=["thread_id", "status"])

        assert found == [{"thread_id": thread_id, "status": "idle"}]
        whole = await room.client.threads.search()
        assert await room.client.threads.search(select=[]) == whole


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"limit": 0}, "limit: 0"),
        ({"limit": "5"}, "limit: '5'"),
        ({"limit": True}, "limit: True"),
        ({"offset": -1}, "offset: -1"),
        ({"status": "asleep"}, "status: 'asleep'"),
        ({"sort_by": "metadata"}, "sort_by: 'metadata'"),
        ({"sort_order": "up"}, "sort_order: 'up'"),
        ({"select": ["thread_id", "password"]}, "select: 'password'"),
        ({"ids": ["x"]}, "ids: 'x'"),
        ({"metadata": "a"}, "metadata: 'a'"),
    ],
)
async def test_a_search_that_does_not_fit_is_named(
    room: Greenroom, query: dict[str, Any], named: str
) -> None:
    async with room:
        await new_thread(room.client)
        with pytest.raises(Invalid) as refusal:
            await room.client.threads.search(**query)
        assert named in str(refusal.value)


# State and history.


async def test_the_state_of_an_empty_thread_is_empty(room: Greenroom) -> None:
    async with room:
        state = await room.client.threads.get_state(await new_thread(room.client))

        assert set(state) == STATE_KEYS
        assert {key: value for key, value in state.items() if value is not None} == {
            "values": {},
            "next": [],
            "tasks": [],
            "interrupts": [],
        }


async def test_the_state_of_a_paused_thread_shows_what_waits(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "ask", input=text("x"), metadata={"m": 1})
        await client.runs.join(thread_id, run["run_id"])

        state = await client.threads.get_state(thread_id)
        thread = await client.threads.get(thread_id)

        assert set(state) == STATE_KEYS
        assert (state["values"], state["next"]) == ({"log": ["x"], "text": "x"}, ["ask"])
        [task] = state["tasks"]
        assert set(task) == TASK_KEYS
        assert (task["name"], task["path"]) == ("ask", ["__pregel_pull", "ask"])
        [question] = state["interrupts"]
        assert question == {"id": question["id"], "value": "sure?"}
        assert task["interrupts"] == [question]
        assert thread["interrupts"] == {task["id"]: [question]}
        assert state["checkpoint"] == {
            "thread_id": thread_id,
            "checkpoint_ns": "",
            "checkpoint_id": state["checkpoint_id"],
        }
        assert UUID(state["checkpoint_id"]).version == 6
        assert state["parent_checkpoint"]["checkpoint_id"] == state["parent_checkpoint_id"]
        expected = {"source": "loop", "step": 0, "run_id": run["run_id"], "m": 1}
        assert state["metadata"].items() >= expected.items()


async def test_the_state_shows_why_a_node_failed(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "fails", input=text("x"), raise_error=False)

        state = await client.threads.get_state(thread_id)

        assert state["next"] == ["fail"]
        assert state["tasks"][0]["error"] == "ValueError('no such colour')"


async def test_an_older_state_is_read_by_its_checkpoint(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        history = await client.threads.get_history(thread_id)

        for state in history:
            by_id = await client.threads.get_state(thread_id, checkpoint_id=state["checkpoint_id"])
            assert by_id == await client.threads.get_state(thread_id, state["checkpoint"]) == state

        unknown = str(uuid4())
        with pytest.raises(NotFound, match=unknown):
            await client.threads.get_state(thread_id, checkpoint_id=unknown)
        with pytest.raises(Invalid, match="checkpoint_id: 'x'"):
            await client.threads.get_state(thread_id, checkpoint_id="x")
        with pytest.raises(Invalid, match=r"checkpoint\.checkpoint_ns: 5"):
            await client.threads.get_state(thread_id, {"checkpoint_ns": 5})


async def test_history_is_newest_first_page_by_page(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        await client.runs.wait(thread_id, "agent", input=text("y"), metadata={"turn": 2})
        get = client.threads.get_history

        history = await get(thread_id)

        assert [state["metadata"]["step"] for state in history] == [6, 5, 4, 3, 2, 1, 0, -1]
        assert [state["next"] for state in history[-4:]] == [[], ["b"], ["a"], ["__start__"]]
        assert [state["metadata"]["source"] for state in history[-2:]] == ["loop", "input"]
        newer, older = history[0], history[1]
        assert newer["parent_checkpoint"] == older["checkpoint"]
        assert await get(thread_id, limit=3) == history[:3]
        assert await get(thread_id, before=history[2]["checkpoint_id"]) == history[3:]
        assert await get(thread_id, before=history[2]["checkpoint"], limit=2) == history[3:5]
        config = {"configurable": history[2]["checkpoint"]}
        assert await get(thread_id, before=config, limit=1) == history[3:4]
        assert await get(thread_id, metadata={"turn": 2}) == history[:4]
        assert await get(thread_id, metadata={"source": "input"}, limit=2) == [
            history[3],
            history[7],
        ]
        with pytest.raises(Invalid, match="limit: 0"):
            await get(thread_id, limit=0)
        with pytest.raises(Invalid, match="before: 'x'"):
            await get(thread_id, before="x")
        assert await get(await new_thread(client)) == []


async def test_an_edit_of_the_state_counts_as_the_node_that_ran_last(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"), interrupt_after=["a"])

        made = await client.threads.update_state(thread_id, {"log": ["by hand"]})

        state = await client.threads.get_state(thread_id)
        assert made["checkpoint"] == state["checkpoint"]
        assert made["checkpoint_id"] == state["checkpoint_id"]
        assert made["configurable"]["thread_id"] == thread_id
        assert state["values"]["log"] == ["x", "a", "by hand"]
        assert (state["next"], state["metadata"]["source"]) == (["b"], "update")
        assert (await client.threads.get(thread_id))["status"] == "interrupted"
        assert (await client.runs.wait(thread_id, "agent"))["log"] == ["x", "a", "by hand", "b"]


async def test_an_edit_in_the_place_of_a_paused_node_moves_on(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "ask", input=text("x"))

        await client.threads.update_state(thread_id, {"log": ["yes"]}, as_node="ask")
        state = await client.threads.get_state(thread_id)
        assert (state["next"], state["interrupts"]) == (["b"], [])

        await client.threads.update_state(thread_id, None, as_node="b")
        thread = await client.threads.get(thread_id)
        assert (thread["status"], thread["interrupts"]) == ("idle", {})
        assert thread["values"]["log"] == ["x", "yes"]


async def test_a_state_can_be_edited_before_the_first_run(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client, graph_id="agent")

        await client.threads.update_state(thread_id, {"text": "x", "log": ["by hand"]})

        thread = await client.threads.get(thread_id)
        assert thread["values"] == {"log": ["by hand"], "text": "x"}
        assert (await client.runs.wait(thread_id, "agent"))["log"] == ["by hand", "a", "b"]


async def test_an_edit_is_one_object_and_no_list_of_them(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client, graph_id="agent")
        values: Any = [{"log": ["a"]}, {"log": ["b"]}]
        with pytest.raises(Refused, match=r"values: .* is a list; an update is one object"):
            await client.threads.update_state(thread_id, values)
        superstep = {"updates": [{"values": values, "as_node": "__input__"}]}
        with pytest.raises(Refused, match=r"supersteps\[0\].updates\[0\].values: .* is a list"):
            await client.threads.create(graph_id="agent", supersteps=[superstep])
        assert await client.threads.get_history(thread_id) == []


async def test_a_run_can_start_from_an_older_checkpoint(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        history = await client.threads.get_history(thread_id)
        after_a = next(state for state in history if state["next"] == ["b"])

        edited = await client.threads.update_state(
            thread_id, {"log": ["otherwise"]}, checkpoint=after_a["checkpoint"]
        )
        again = await client.runs.wait(
            thread_id, "agent", checkpoint_id=edited["checkpoint_id"], interrupt_after="*"
        )
        from_there = await client.runs.wait(
            thread_id, "agent", input=text("y"), checkpoint=after_a["checkpoint"]
        )

        assert again["log"] == ["x", "a", "otherwise", "b"]
        assert from_there["log"] == ["x", "a", "y", "a", "b"]


async def test_an_edit_that_does_not_fit_changes_nothing(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        update = client.threads.update_state
        with pytest.raises(Refused, match="no graph"):
            await update(thread_id, {"log": ["x"]})
        await client.runs.wait(thread_id, "agent", input=text("x"))
        before = await client.threads.get(thread_id), await client.threads.get_history(thread_id)

        with pytest.raises(Refused, match="nope"):
            await update(thread_id, {"log": ["y"]}, as_node="nope")
        with pytest.raises(Invalid, match="values: 'y'"):
            await update(thread_id, "y")  # type: ignore[arg-type]
        with pytest.raises(Refused, match=r"values: \['y'\] is a list"):
            await update(thread_id, ["y"])  # type: ignore[arg-type]
        with pytest.raises(Invalid, match=r"log.*object"):
            await update(thread_id, {"log": [object()]})
        with pytest.raises(Refused, match="checkpoint"):
            await update(thread_id, {"log": ["y"]}, checkpoint_id=str(uuid4()))
        with pytest.raises(Refused, match="'nope:1'"):
            await update(thread_id, {"log": ["y"]}, checkpoint={"checkpoint_ns": "nope:1"})
        # A reducer of the user's own that cannot take the value: list + int.
        with pytest.raises(Refused, match="list"):
            await update(thread_id, {"log": 5})

        after = await client.threads.get(thread_id), await client.threads.get_history(thread_id)
        assert after == before


async def test_where_several_nodes_ran_last_an_edit_must_say_whose_it_is(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "parallel", input=text("x"))

        with pytest.raises(Refused, match="as_node"):
            await client.threads.update_state(thread_id, {"log": ["y"]})
        await client.threads.update_state(thread_id, {"log": ["y"]}, as_node="left")

        log = (await client.threads.get(thread_id))["values"]["log"]
        assert log == ["x", "left", "right", "y"]


async def test_a_graph_within_the_graph_that_has_not_begun_has_an_empty_state(serve: Serve) -> None:
    async with serve(chain(inner=chain(ask=ask))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"), interrupt_before=["inner"])

        [task] = (await client.threads.get_state(thread_id, subgraphs=True))["tasks"]
        assert task["checkpoint"] is None
        assert (task["state"]["values"], task["state"]["next"]) == ({}, [])
        assert (task["state"]["checkpoint"], task["state"]["metadata"]) == (None, None)


async def test_the_state_of_a_graph_within_the_graph_is_shown_and_edited(serve: Serve) -> None:
    async with serve(chain(inner=chain(ask=ask), after=says("after"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))

        outside = await client.threads.get_state(thread_id)
        [task] = outside["tasks"]
        assert task["state"] is None
        assert task["checkpoint"].keys() == {"thread_id", "checkpoint_ns"}
        assert task["checkpoint"]["checkpoint_ns"] == f"inner:{task['id']}"
        nested = (await client.threads.get_state(thread_id, subgraphs=True))["tasks"][0]["state"]
        within = await client.threads.get_state(thread_id, task["checkpoint"])

        assert nested == within
        assert (within["values"]["log"], within["next"]) == (["x"], ["ask"])
        assert within["interrupts"] == outside["interrupts"]
        [newest, *_] = await client.threads.get_history(thread_id, checkpoint=task["checkpoint"])
        assert newest == within

        made = await client.threads.update_state(
            thread_id, {"log": ["by hand"]}, checkpoint=task["checkpoint"], as_node="ask"
        )
        assert made["checkpoint"]["checkpoint_ns"] == f"inner:{task['id']}"
        within = await client.threads.get_state(thread_id, task["checkpoint"])
        assert (within["values"]["log"], within["next"]) == (["x", "by hand"], [])
