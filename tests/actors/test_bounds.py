"""Threads are copied, pruned, and expire."""

from __future__ import annotations

import operator
import uuid
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
import trio
from trio.testing import MockClock

from greenroom.actors import Conflict, Greenroom, Invalid, NotFound
from greenroom.graph import START, CompiledStateGraph, StateGraph, interrupt
from greenroom.graph.world import World
from greenroom.storage import Storage
from greenroom.storage.checking import check

Serve = Callable[..., Greenroom]
MINUTE = 60.0


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    turns: int


def build(**nodes: Any) -> CompiledStateGraph:
    builder = StateGraph(State)
    for at, node in zip([START, *nodes], nodes, strict=False):
        builder.add_node(node, nodes[node])
        builder.add_edge(at, node)
    return builder.compile()


async def talk(state: State) -> State:
    turns = state.get("turns", 0)
    return {"log": [f"turn {turns} ".ljust(300, "x")], "turns": turns + 1}


async def ask(state: State) -> State:
    return {"log": [interrupt("go on?")]}


def sound(room: Greenroom) -> None:
    """Nothing is damaged, and nothing is left of what is gone."""
    assert list(check(room.storage, lambda _: None)) == []


async def records(room: Greenroom) -> int:
    stats = room.storage.stats()
    return sum(stats.log.values()) + sum(stats.runs.values()) + stats.events


# Copies.


async def test_a_copy_has_state_history_and_metadata_and_goes_its_own_way(serve: Serve) -> None:
    async with serve(build(talk=talk, again=talk)) as room:
        threads, runs = room.client.threads, room.client.runs
        thread = await threads.create(metadata={"user": "u"})
        for n in range(30):
            await runs.wait(thread["thread_id"], "agent", input={"log": [n]})
        copy = await threads.copy(thread["thread_id"])
        assert copy["thread_id"] != thread["thread_id"]
        assert copy["metadata"]["user"] == "u"
        assert copy["status"] == "idle"
        one = await threads.get_history(thread["thread_id"], limit=1000)
        other = await threads.get_history(copy["thread_id"], limit=1000)
        assert len(one) == len(other) == 120
        for was, now in zip(one, other, strict=True):
            assert now["values"] == was["values"]
            assert now["next"] == was["next"]
            assert now["checkpoint"]["checkpoint_id"] == was["checkpoint"]["checkpoint_id"]
            assert now["checkpoint"]["thread_id"] == copy["thread_id"]
            assert now["metadata"] == {**was["metadata"], "thread_id": copy["thread_id"]}
        assert await runs.list(copy["thread_id"]) == []
        values = await runs.wait(copy["thread_id"], "agent", input={"log": ["more"]})
        assert len(values["log"]) == 93
        before = await threads.get(thread["thread_id"])
        assert len(before["values"]["log"]) == 90
        await threads.delete(thread["thread_id"])
        assert (await threads.get(copy["thread_id"]))["values"] == values
        sound(room)


async def test_a_copy_of_a_thread_that_asks_is_answered_by_itself(serve: Serve) -> None:
    async with serve(build(inner=build(talk=talk, ask=ask))) as room:
        threads, runs = room.client.threads, room.client.runs
        thread = await threads.create()
        await runs.wait(thread["thread_id"], "agent", input={"log": ["x"]})
        copy = await threads.copy(thread["thread_id"])
        assert copy["status"] == "interrupted"
        assert [one["value"] for some in copy["interrupts"].values() for one in some] == ["go on?"]
        values = await runs.wait(copy["thread_id"], "agent", command={"resume": "yes"})
        assert values["log"][-1] == "yes"
        assert (await threads.get(thread["thread_id"]))["status"] == "interrupted"
        sound(room)


async def test_a_copy_of_a_busy_thread_has_what_it_had_come_to(serve: Serve) -> None:
    reached, opened = trio.Event(), trio.Event()

    async def hold(state: State) -> State:
        reached.set()
        await opened.wait()
        return {"log": ["held"]}

    async with serve(build(talk=talk, hold=hold)) as room:
        threads, runs = room.client.threads, room.client.runs
        thread = await threads.create()
        run = await runs.create(thread["thread_id"], "agent", input={"log": ["x"]})
        await reached.wait()
        copy = await threads.copy(thread["thread_id"])
        assert copy["status"] == "interrupted"
        assert copy["values"]["turns"] == 1
        assert (await threads.get_state(copy["thread_id"]))["next"] == ["hold"]
        opened.set()
        assert len((await runs.join(thread["thread_id"], run["run_id"]))["log"]) == 3
        assert len((await threads.get(copy["thread_id"]))["values"]["log"]) == 2
        values = await runs.wait(copy["thread_id"], "agent", input=None)
        assert values["log"][-1] == "held"
        sound(room)


async def test_a_new_thread_can_be_copied_and_an_unknown_one_cannot(serve: Serve) -> None:
    async with serve(build(talk=talk)) as room:
        threads = room.client.threads
        thread = await threads.create(graph_id="agent")
        copy = await threads.copy(thread["thread_id"])
        assert (copy["status"], copy["values"]) == ("idle", None)
        await room.client.runs.wait(copy["thread_id"], "agent", input={"log": ["x"]})
        with pytest.raises(Conflict):
            await threads.copy(str(uuid.uuid4()))


# Pruning.


async def test_keep_latest_leaves_a_state_that_can_be_read_gone_on_from_and_forked(
    serve: Serve,
) -> None:
    async with serve(build(talk=talk, again=talk)) as room:
        threads, runs = room.client.threads, room.client.runs
        ident = (await threads.create())["thread_id"]
        for n in range(40):  # more than a chain of checkpoints
            await runs.wait(ident, "agent", input={"log": [n]})
        before = await threads.get_state(ident)
        assert await threads.prune([ident], strategy="keep_latest") == {"pruned_count": 1}
        (only,) = await threads.get_history(ident, limit=10)
        assert only["values"] == before["values"]
        assert only["checkpoint"] == before["checkpoint"]
        assert only["parent_checkpoint"] is None
        assert len(await runs.list(ident, limit=100)) == 40
        sound(room)
        await threads.update_state(ident, {"log": ["by hand"]}, checkpoint=only["checkpoint"])
        values = await runs.wait(ident, "agent", input={"log": ["more"]})
        assert len(values["log"]) == 124
        fork = await runs.wait(
            ident, "agent", input={"log": ["fork"]}, checkpoint=only["checkpoint"]
        )
        assert len(fork["log"]) == 123
        assert await threads.prune([ident], strategy="keep_latest") == {"pruned_count": 1}
        assert (await threads.get(ident))["values"] == fork
        (newest,) = await threads.get_history(ident, limit=10)
        assert newest["parent_checkpoint"] is None
        # A branch says where it comes from.
        await runs.wait(ident, "agent", input={"log": ["more"]})
        await threads.update_state(ident, {"log": ["branch"]}, checkpoint=newest["checkpoint"])
        await threads.prune([ident], strategy="keep_latest")
        (branch,) = await threads.get_history(ident, limit=10)
        assert branch["values"]["log"] == [*fork["log"], "branch"]
        assert branch["parent_checkpoint"] is None
        sound(room)


async def test_what_keep_latest_left_is_there_after_a_restart(serve: Serve) -> None:
    async with serve(build(talk=talk)) as room:
        threads, runs = room.client.threads, room.client.runs
        ident = (await threads.create())["thread_id"]
        for n in range(10):
            await runs.wait(ident, "agent", input={"log": [n]})
        many = await records(room)
        await threads.prune([ident], strategy="keep_latest")
        assert await records(room) < many - 20
        values = (await threads.get(ident))["values"]
    async with serve(build(talk=talk)) as room:
        assert (await room.client.threads.get(ident))["values"] == values
        again = await room.client.runs.wait(ident, "agent", input={"log": ["more"]})
        assert again["log"][: len(values["log"])] == values["log"]
        sound(room)


async def test_a_question_in_an_inner_graph_outlives_keep_latest(serve: Serve) -> None:
    async with serve(build(outer=talk, inner=build(talk=talk, ask=ask))) as room:
        threads, runs = room.client.threads, room.client.runs
        ident = (await threads.create())["thread_id"]
        await runs.wait(ident, "agent", input={"log": ["first"]})
        await runs.wait(ident, "agent", command={"resume": "one"})
        await runs.wait(ident, "agent", input={"log": ["second"]})
        before = await threads.get_state(ident, subgraphs=True)
        await threads.prune([ident], strategy="keep_latest")
        assert room.storage.stats().log["checkpoint"] == 2  # one for each graph
        after = await threads.get_state(ident, subgraphs=True)
        (task,), (was,) = after["tasks"], before["tasks"]
        assert (task["id"], task["interrupts"]) == (was["id"], was["interrupts"])
        assert task["state"]["values"] == was["state"]["values"]
        assert task["state"]["next"] == was["state"]["next"] == ["ask"]
        assert after["interrupts"] == before["interrupts"]
        sound(room)
    async with serve(build(outer=talk, inner=build(talk=talk, ask=ask))) as room:
        values = await room.client.runs.wait(ident, "agent", command={"resume": "two"})
        assert values["log"][-1] == "two"
        sound(room)


async def test_a_failed_thread_can_be_tried_again_after_keep_latest(serve: Serve) -> None:
    fails = [True]

    def fail(state: State) -> State:
        if fails:
            raise ValueError("not yet")
        return {"log": ["done"]}

    async with serve(build(talk=talk, fail=fail)) as room:
        threads, runs = room.client.threads, room.client.runs
        ident = (await threads.create())["thread_id"]
        await runs.wait(ident, "agent", input={"log": ["x"]}, raise_error=False)
        await threads.prune([ident], strategy="keep_latest")
        thread = await threads.get(ident)
        assert (thread["status"], thread["error"]["message"]) == ("error", "not yet")
        fails.clear()
        values = await runs.wait(ident, "agent", input=None)
        assert (values["turns"], values["log"][-1]) == (1, "done")
        sound(room)


async def test_pruning_deletes_threads_with_all_that_belongs_to_them(serve: Serve) -> None:
    async with serve(build(talk=talk)) as room:
        threads, runs = room.client.threads, room.client.runs
        ids = [(await threads.create())["thread_id"] for _ in range(3)]
        for ident in ids:
            async for _ in runs.stream(ident, "agent", input={"log": ["x"]}, stream_resumable=True):
                pass
        missing = str(uuid.uuid4())
        assert await threads.prune([*ids[:2], missing]) == {"pruned_count": 2}
        with pytest.raises(NotFound):
            await threads.get(ids[0])
        sound(room)
        await threads.delete(ids[2])
        assert await records(room) == 0
        assert await threads.prune([missing], strategy="keep_latest") == {"pruned_count": 0}


async def test_keep_latest_does_not_touch_a_busy_thread(serve: Serve) -> None:
    reached, opened = trio.Event(), trio.Event()

    async def hold(state: State) -> State:
        reached.set()
        await opened.wait()
        return {"log": ["held"]}

    async with serve(build(talk=talk, hold=hold)) as room:
        threads, runs = room.client.threads, room.client.runs
        ident = (await threads.create())["thread_id"]
        run = await runs.create(ident, "agent", input={"log": ["x"]})
        await reached.wait()
        assert await threads.prune([ident], strategy="keep_latest") == {"pruned_count": 0}
        opened.set()
        await runs.join(ident, run["run_id"])
        assert len(await threads.get_history(ident, limit=10)) == 4


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"thread_ids": ["x"]}, "thread_ids: 'x'"),
        ({"thread_ids": "x"}, "no list"),
        ({"thread_ids": [], "strategy": "all"}, "strategy: 'all'"),
    ],
)
async def test_a_bad_prune_is_refused(serve: Serve, arguments: dict[str, Any], reason: str) -> None:
    async with serve(build(talk=talk)) as room:
        with pytest.raises(Invalid, match=reason):
            await room.client.threads.prune(**arguments)


# Time to live.


async def ids(room: Greenroom) -> set[str]:
    return {thread["thread_id"] for thread in await room.client.threads.search(limit=1000)}


async def test_a_thread_expires_when_it_has_not_changed_for_its_time(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    config = {"ttl": {"sweep_interval_minutes": 1}}
    async with serve_in_memory(build(talk=talk), checkpointer=config) as room:
        threads, runs = room.client.threads, room.client.runs
        mortal = await threads.create(ttl=10)
        assert mortal["ttl"]["strategy"] == "delete"
        assert mortal["ttl"]["ttl_minutes"] == 10
        immortal = await threads.create()
        assert "ttl" not in immortal
        await trio.sleep(9 * MINUTE)
        await runs.wait(mortal["thread_id"], "agent", input={"log": ["x"]})
        later = (await threads.get(mortal["thread_id"]))["ttl"]["expires_at"]
        assert later > mortal["ttl"]["expires_at"]
        await trio.sleep(9 * MINUTE)
        assert await ids(room) == {mortal["thread_id"], immortal["thread_id"]}
        await trio.sleep(2.5 * MINUTE)
        assert await ids(room) == {immortal["thread_id"]}
        assert await records(room) == 0
        sound(room)


async def test_keep_latest_forgets_the_history_each_time_it_expires(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    async with serve_in_memory(build(talk=talk)) as room:
        threads, runs = room.client.threads, room.client.runs
        ident = (await threads.create(ttl={"ttl": 10, "strategy": "keep_latest"}))["thread_id"]
        for _ in range(2):
            values = await runs.wait(ident, "agent", input={"log": ["x"]})
            assert len(await threads.get_history(ident, limit=10)) > 2
            await trio.sleep(16 * MINUTE)
            assert len(await threads.get_history(ident, limit=10)) == 1
            thread = await threads.get(ident)
            assert (thread["values"], thread["ttl"]["expires_at"]) == (values, None)
        sound(room)


async def test_the_default_is_for_threads_made_without_a_ttl(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    config = {"ttl": {"strategy": "delete", "default_ttl": 30, "sweep_interval_minutes": 1}}
    async with serve_in_memory(build(talk=talk), checkpointer=config) as room:
        threads = room.client.threads
        await threads.create()
        own = (await threads.create(ttl=60))["thread_id"]
        made = str(uuid.uuid4())
        await room.client.runs.wait(made, "agent", input={"log": ["x"]}, if_not_exists="create")
        assert (await threads.get(made))["ttl"]["ttl_minutes"] == 30
        await trio.sleep(32 * MINUTE)
        assert await ids(room) == {own}


async def test_a_ttl_is_given_and_changed_later(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    async with serve_in_memory(build(talk=talk)) as room:
        threads = room.client.threads
        ident = (await threads.create())["thread_id"]
        patched = await threads.update(ident, ttl=10)
        assert patched["ttl"]["ttl_minutes"] == 10
        longer = await threads.update(ident, ttl={"ttl": 100, "strategy": "keep_latest"})
        assert longer["ttl"]["strategy"] == "keep_latest"
        assert longer["ttl"]["expires_at"] > patched["ttl"]["expires_at"]
        kept = await threads.update(ident, metadata={"a": 1})
        assert kept["ttl"]["ttl_minutes"] == 100


async def test_a_thread_with_work_to_do_does_not_expire(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    async def long(state: State) -> State:
        await trio.sleep(100 * MINUTE)
        return {"log": ["done"]}

    config = {"ttl": {"default_ttl": 10, "sweep_interval_minutes": 1}}
    async with serve_in_memory(build(long=long), checkpointer=config, run_timeout=None) as room:
        threads = [(await room.client.threads.create())["thread_id"] for _ in range(30)]

        async def wait(ident: str) -> None:
            await room.client.runs.wait(ident, "agent", input={"log": ["x"]})

        async with trio.open_nursery() as nursery:
            for ident in threads:
                nursery.start_soon(wait, ident)
        assert await ids(room) == set(threads)
        await trio.sleep(12 * MINUTE)
        assert await ids(room) == set()


async def test_many_threads_expire_in_one_sweep_past_those_that_stay(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    async def long(state: State) -> State:
        await trio.sleep(100 * MINUTE)
        return {}

    async with serve_in_memory(build(long=long), run_timeout=None) as room:
        create = room.client.threads.create

        async def wait(ident: str) -> None:
            await room.client.runs.wait(ident, "agent", input={"log": ["x"]})

        busy = [(await create(ttl=1))["thread_id"] for _ in range(25)]
        async with trio.open_nursery() as nursery:
            for ident in busy:
                nursery.start_soon(wait, ident)
            for _ in range(120):
                await create(ttl=2)
            await trio.sleep(10 * MINUTE)
            assert await ids(room) == set(busy)


async def test_what_expired_while_nobody_served_it_is_deleted_afterwards(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    world = World()
    async with serve_in_memory(build(talk=talk), world=world) as room:
        await room.client.threads.create(ttl=10)
    await trio.sleep(20 * MINUTE)
    async with serve_in_memory(build(talk=talk), world=world) as room:
        await trio.sleep(6 * MINUTE)
        assert await ids(room) == set()


async def test_a_copy_lives_as_long_as_its_original_was_given(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    async with serve_in_memory(build(talk=talk)) as room:
        threads = room.client.threads
        thread = await threads.create(ttl=10)
        await trio.sleep(5 * MINUTE)
        copy = await threads.copy(thread["thread_id"])
        assert copy["ttl"]["ttl_minutes"] == 10
        assert copy["ttl"]["expires_at"] > thread["ttl"]["expires_at"]
        await trio.sleep(8 * MINUTE)
        assert await ids(room) == {copy["thread_id"]}
        await trio.sleep(8 * MINUTE)
        assert await ids(room) == set()


@pytest.mark.parametrize("thread_id", [None, str(uuid.uuid4())])
async def test_a_thread_that_nothing_has_run_on_expires(
    serve_in_memory: Serve, autojump_clock: MockClock, thread_id: str | None
) -> None:
    async with serve_in_memory(build(talk=talk)) as room:
        await room.client.threads.create(thread_id=thread_id, ttl=1)
        await trio.sleep(10 * MINUTE)
        assert await ids(room) == set()


async def test_a_copy_of_a_thread_that_has_expired_already_expires_by_itself(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    async with serve_in_memory(build(talk=talk)) as room:
        threads = room.client.threads
        thread = await threads.create(ttl={"ttl": 1, "strategy": "keep_latest"})
        await trio.sleep(60 * MINUTE)
        copy = await threads.copy(thread["thread_id"])
        await trio.sleep(10 * MINUTE)
        assert (await threads.get(copy["thread_id"]))["ttl"]["expires_at"] is None


async def test_an_expired_thread_is_deleted_from_a_file(serve: Serve) -> None:
    async with serve(build(talk=talk)) as room:
        threads = room.client.threads
        short, keep = [(await threads.create())["thread_id"] for _ in range(2)]
        for ident, strategy in ((short, "delete"), (keep, "keep_latest")):
            await room.client.runs.wait(ident, "agent", input={"log": ["x"]})
            await threads.update(ident, ttl={"ttl": 1e-9, "strategy": strategy})
        supervisor = room._supervisor
        assert supervisor is not None
        await supervisor.sweeper.sweep()
        assert await ids(room) == {keep}
        assert len(await threads.get_history(keep, limit=10)) == 1
        assert await room._session.read(Storage.next_thread_expiry) is None
        sound(room)


@pytest.mark.parametrize(
    "ttl", [0, -1, True, "5", {}, {"ttl": None}, {"ttl": 5, "strategy": "keep"}, 1e12, float("nan")]
)
async def test_a_ttl_that_is_none_is_refused(serve: Serve, ttl: Any) -> None:
    async with serve(build(talk=talk)) as room:
        with pytest.raises(Invalid, match="ttl"):
            await room.client.threads.create(ttl=ttl)
        ident = (await room.client.threads.create())["thread_id"]
        with pytest.raises(Invalid, match="ttl"):
            await room.client.threads.update(ident, ttl=ttl)
        assert "ttl" not in await room.client.threads.get(ident)
