from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict
from uuid import UUID, uuid4, uuid5

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from greenroom.actors import Client, Closed, Conflict, Greenroom, Invalid, NotFound, Refused
from greenroom.graph import START, RunnableConfig, Runtime, StateGraph
from greenroom.storage import (
    CronQuery,
    DeleteAssistant,
    PutAssistant,
    PutCron,
    Storage,
    StorageError,
)
from greenroom.storage.testing import FaultyStorage, make_cron

from .conftest import Serve
from .stage import Hold, State, chain, is_a, new_thread, says, text

AGENT = str(uuid5(UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), "agent"))


@pytest.fixture
def room(serve: Serve) -> Greenroom:
    return serve({"agent": chain(a=says("a")), "Weather Agent": chain(b=says("b"))})


async def tells(state: State, config: RunnableConfig, runtime: Runtime[Any]) -> State:
    """What it was configured with goes to the log."""
    asked = {key: config["configurable"].get(key) for key in ("model", "language")}
    return {"log": [[asked, runtime.context, config.get("tags"), config.get("recursion_limit")]]}


@pytest.fixture
def telling(serve: Serve) -> Greenroom:
    return serve(chain(tells=tells))


async def told(client: Client, assistant_id: str, **request: Any) -> list[Any]:
    values = await client.runs.wait(
        await new_thread(client), assistant_id, input=text("x"), **request
    )
    found: list[Any] = values["log"][-1]
    return found


async def test_every_graph_has_an_assistant_of_its_name(room: Greenroom) -> None:
    async with room:
        found = await room.client.assistants.get("agent")

        assert found.keys() == {
            "assistant_id",
            "graph_id",
            "config",
            "context",
            "metadata",
            "name",
            "description",
            "version",
            "created_at",
            "updated_at",
        }
        assert found["assistant_id"] == AGENT  # the same on every server
        assert (found["graph_id"], found["name"], found["version"]) == ("agent", "agent", 1)
        assert found["metadata"] == {"created_by": "system"}
        assert await room.client.assistants.get(AGENT.upper()) == found


async def test_assistants_outlive_a_restart_unchanged(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        before = await room.client.assistants.get("agent")
    async with serve(chain(a=says("a"))) as room:
        assert await room.client.assistants.search() == [before]


async def test_a_graph_that_is_described_otherwise_gives_its_assistant_a_new_version(
    serve: Serve,
) -> None:
    found = []
    for description in (None, "Chats", "Chats", None, "Chats well"):
        descriptions = {"agent": description} if description else None
        async with serve(chain(a=says("a")), descriptions=descriptions) as room:
            agent = await room.client.assistants.get("agent")
            versions = await room.client.assistants.get_versions(AGENT)
            found.append((agent["description"], agent["version"], len(versions)))
    assert found == [
        (None, 1, 1),
        ("Chats", 2, 2),
        ("Chats", 2, 2),
        ("Chats", 2, 2),
        ("Chats well", 3, 3),
    ]


async def test_a_run_takes_an_assistants_id_or_a_graphs_name(room: Greenroom) -> None:
    async with room:
        thread_id = await new_thread(room.client)
        for assistant in ("agent", AGENT):
            run = await room.client.runs.create(thread_id, assistant, input=text("x"))
            assert run["assistant_id"] == AGENT


async def test_assistants_are_searched_and_counted(room: Greenroom) -> None:
    async with room:
        assistants = room.client.assistants

        async def names(**query: Any) -> list[str]:
            return [found["name"] for found in await assistants.search(**query)]

        both = ["agent", "Weather Agent"]
        assert await names(sort_by="name", sort_order="asc") == both
        assert await names(sort_by="name", sort_order="desc", limit=1) == ["Weather Agent"]
        assert await names(sort_by="name", sort_order="asc", offset=1) == ["Weather Agent"]
        assert await names(graph_id="agent") == ["agent"]
        assert await names(name="weather") == ["Weather Agent"]
        assert await names(metadata={"created_by": "ann"}) == []
        assert await assistants.search(name="agent", select=["name"], graph_id="agent") == [
            {"name": "agent"}
        ]
        assert await assistants.count() == 2
        assert await assistants.count(name="AGENT", graph_id="agent") == 1


async def test_what_no_assistant_fits_is_named(room: Greenroom) -> None:
    async with room:
        assistants, unknown = room.client.assistants, str(uuid4())
        with pytest.raises(NotFound, match=unknown):
            await assistants.get(unknown)
        with pytest.raises(Invalid, match=r"assistant_id: 'nope'.*'agent'"):
            await assistants.get("nope")
        with pytest.raises(Invalid, match="assistant_id: None"):
            await assistants.get(None)  # type: ignore[arg-type]
        with pytest.raises(NotFound, match="'nope'"):
            await assistants.search(graph_id="nope")
        with pytest.raises(Invalid, match="sort_by: 'age'"):
            await assistants.search(sort_by="age")
        with pytest.raises(Invalid, match="select: 'age'"):
            await assistants.search(select=["age"])
        with pytest.raises(Invalid, match="limit: 0"):
            await assistants.search(limit=0)


async def test_an_assistant_is_made_with_what_it_was_given(room: Greenroom) -> None:
    async with room:
        assistants = room.client.assistants
        made = await assistants.create(
            "agent",
            {"tags": ["t"], "recursion_limit": 7, "configurable": {"model": "m"}},
            metadata={"team": "x"},
            name="Mine",
            description="d",
        )
        plain = await assistants.create("Weather Agent", context={"model": "c"})

        assert UUID(made["assistant_id"]).version == 4
        assert made["created_at"] == made["updated_at"]
        assert await assistants.get(made["assistant_id"]) == made
        assert made == {
            "assistant_id": made["assistant_id"],
            "graph_id": "agent",
            "created_at": made["created_at"],
            "updated_at": made["updated_at"],
            "name": "Mine",
            "description": "d",
            "version": 1,
            "config": {"tags": ["t"], "recursion_limit": 7, "configurable": {"model": "m"}},
            "context": {"model": "m"},
            "metadata": {"team": "x"},
        }
        assert (plain["name"], plain["description"], plain["metadata"]) == ("Untitled", None, {})
        assert plain["config"] == {"configurable": {"model": "c"}}
        assert plain["context"] == {"model": "c"}
        assert await assistants.count(graph_id="agent") == 2


async def test_an_id_that_is_taken_is_refused_or_gives_the_one_that_has_it(
    room: Greenroom,
) -> None:
    async with room:
        assistants, ident = room.client.assistants, str(uuid4())
        made = await assistants.create("agent", assistant_id=ident.upper())
        assert made["assistant_id"] == ident
        with pytest.raises(Conflict, match=f"{ident}' exists already"):
            await assistants.create("agent", assistant_id=ident, name="other")
        again = await assistants.create(
            "Weather Agent", assistant_id=ident, name="other", if_exists="do_nothing"
        )
        assert again == made == await assistants.get(ident)
        with pytest.raises(Conflict, match=AGENT):
            await assistants.create("agent", assistant_id=AGENT)


async def test_a_change_is_a_version_of_its_own(room: Greenroom) -> None:
    async with room:
        assistants = room.client.assistants
        made = await assistants.create("agent", name="one", metadata={"a": {"x": 1}, "b": 2})
        ident = made["assistant_id"]
        second = await assistants.update(ident, metadata={"a": {"y": 1}, "c": None})
        third = await assistants.update(ident, name="three", graph_id="Weather Agent")
        fourth = await assistants.update(ident)

        assert second == {
            **made,
            "version": 2,
            "updated_at": second["updated_at"],
            "metadata": {"a": {"y": 1}, "b": 2, "c": None},
        }
        assert made["updated_at"] < second["updated_at"] < third["updated_at"]
        assert (third["name"], third["graph_id"], third["version"]) == ("three", "Weather Agent", 3)
        assert fourth == {**third, "version": 4, "updated_at": fourth["updated_at"]}
        versions = await assistants.get_versions(ident)
        assert versions == [
            {key: value for key, value in one.items() if key != "updated_at"}
            | {"created_at": one["updated_at"]}
            for one in (fourth, third, second, made)
        ]


@pytest.mark.parametrize(
    ("change", "config", "context"),
    [
        ({"context": {"n": 2}}, {"tags": ["t"], "configurable": {"n": 2}}, {"n": 2}),
        ({"context": {}}, {"tags": ["t"], "configurable": {}}, {}),
        ({"config": {"configurable": {"n": 2}}}, {"configurable": {"n": 2}}, {"n": 2}),
        ({"config": {"configurable": {}}}, {"configurable": {}}, {}),
        (
            {"config": {"recursion_limit": 3}},
            {"recursion_limit": 3, "configurable": {"m": 1}},
            {"m": 1},
        ),
        ({"config": {}}, {"configurable": {"m": 1}}, {"m": 1}),
        ({"config": {}, "context": {"n": 2}}, {"configurable": {"n": 2}}, {"n": 2}),
        ({}, {"tags": ["t"], "configurable": {"m": 1}}, {"m": 1}),
    ],
)
async def test_configurable_and_context_stay_the_same(
    room: Greenroom, change: dict[str, Any], config: dict[str, Any], context: dict[str, Any]
) -> None:
    async with room:
        assistants = room.client.assistants
        made = await assistants.create("agent", {"tags": ["t"], "configurable": {"m": 1}})
        changed = await assistants.update(made["assistant_id"], **change)
        assert (changed["config"], changed["context"]) == (config, context)


async def test_an_empty_configurable_stays_where_it_was_given(room: Greenroom) -> None:
    async with room:
        assistants = room.client.assistants
        for config in ({}, {"configurable": {}}, {"configurable": {}, "tags": ["t"]}):
            made = await assistants.create("agent", config)
            assert (made["config"], made["context"]) == (config, {})
            renamed = await assistants.update(made["assistant_id"], name="n")
            assert renamed["config"] == config


async def test_an_assistant_is_taken_back_to_what_it_was(room: Greenroom) -> None:
    async with room:
        assistants = room.client.assistants
        made = await assistants.create(
            "agent", context={"m": 1}, metadata={"v": "one"}, name="one", description="d"
        )
        ident = made["assistant_id"]
        await assistants.update(
            ident,
            graph_id="Weather Agent",
            context={"m": 2},
            metadata={"v": "two"},
            name="two",
            description="e",
        )
        before = await assistants.get_versions(ident)
        back = await assistants.set_latest(ident, 1)

        assert back == {**made, "updated_at": back["updated_at"]}
        assert back["updated_at"] > made["updated_at"]
        assert await assistants.get(ident) == back
        assert await assistants.get_versions(ident) == before  # which stay as they were
        forth = await assistants.set_latest(ident, 2)
        assert (forth["name"], forth["created_at"]) == ("two", made["created_at"])
        await assistants.set_latest(ident, 1)
        third = await assistants.update(ident, metadata={"w": 3})
        assert (third["version"], third["name"]) == (3, "one")
        assert third["metadata"] == {"v": "one", "w": 3}


async def test_versions_are_listed_newest_first_and_by_their_metadata(room: Greenroom) -> None:
    async with room:
        assistants = room.client.assistants
        ident = (await assistants.create("agent", metadata={"n": 1}))["assistant_id"]
        for number in (2, 1, 3):
            await assistants.update(ident, metadata={"n": number})

        async def found(*metadata: Any, **page: int) -> list[int]:
            return [
                one["version"] for one in await assistants.get_versions(ident, *metadata, **page)
            ]

        assert await found() == [4, 3, 2, 1]
        assert await found({"n": 1}) == [3, 1]
        assert await found({"n": 1}, limit=1, offset=1) == [1]
        assert await found({"n": 9}) == []
        assert await found(limit=2, offset=1) == [3, 2]
        assert [one["version"] for one in await assistants.get_versions("agent")] == [1]


async def test_changes_side_by_side_are_all_made(room: Greenroom) -> None:
    async with room:
        assistants = room.client.assistants
        ident = (await assistants.create("agent"))["assistant_id"]
        async with trio.open_nursery() as nursery:
            for number in range(10):
                change = {str(number): number}
                nursery.start_soon(lambda m=change: assistants.update(ident, metadata=m))
        found = await assistants.get(ident)
        assert found["version"] == 11
        assert found["metadata"] == {str(number): number for number in range(10)}
        assert await assistants.count() == 3


@pytest.mark.parametrize("own", [True, False])
async def test_an_edit_reaches_the_next_run_and_outlives_a_restart(serve: Serve, own: bool) -> None:
    async with serve(chain(tells=tells)) as room:
        assistants = room.client.assistants
        ident = "agent" if own else (await assistants.create("agent"))["assistant_id"]
        assert await told(room.client, ident) == [{"model": None, "language": None}, {}, None, None]
        await assistants.update(ident, context={"model": "m"})
        await assistants.update(ident, config={"tags": ["t"], "recursion_limit": 7})
        edited = [{"model": "m", "language": None}, {"model": "m"}, ["t"], 7]
        assert await told(room.client, ident) == edited
    async with serve(chain(tells=tells)) as room:
        assert await told(room.client, ident) == edited
        assert (await room.client.assistants.get(ident))["version"] == 3
        await room.client.assistants.set_latest(ident, 2)
        assert await told(room.client, ident) == [*edited[:2], None, None]


async def test_a_run_that_was_accepted_keeps_what_its_assistant_was(serve: Serve) -> None:
    hold = Hold()
    async with serve({"agent": chain(tells=tells), "held": chain(hold=hold.node)}) as room:
        client = room.client
        ident = (await client.assistants.create("agent", context={"model": "old"}))["assistant_id"]
        thread_id = await new_thread(client)
        await client.runs.create(thread_id, "held", input=text("slow"))
        await hold.reached.wait()
        waits = await client.runs.create(thread_id, ident, input=text("x"))
        await client.assistants.update(ident, context={"model": "new"})
        await client.assistants.delete(ident)
        hold.open()
        values = await client.runs.join(thread_id, waits["run_id"])
        assert values["log"][-1][1] == {"model": "old"}


async def test_a_run_is_given_more_than_its_assistant_has(telling: Greenroom) -> None:
    async with telling as room:
        client = room.client
        made = await client.assistants.create(
            "agent",
            {"configurable": {"model": "m", "language": "de"}, "tags": ["a"], "recursion_limit": 7},
            metadata={"who": "assistant", "assistant": 1},
        )
        ident = made["assistant_id"]
        both = {"model": "m", "language": "it"}
        for given in ({"context": {"language": "it"}}, {"config": {"configurable": both}}):
            assert await told(client, ident, **given) == [both, both, ["a"], 7]
        config = {"tags": ["r"], "recursion_limit": 9}
        kept = {"model": "m", "language": "de"}
        assert await told(client, ident, config=config) == [kept, kept, ["r"], 9]
        assert await client.assistants.get(ident) == made

        thread_id = await new_thread(client, metadata={"who": "thread", "thread": 1, "what": "t"})
        run = await client.runs.create(
            thread_id,
            ident,
            input=text("x"),
            config={"metadata": {"what": "config", "config": 1}},
            metadata={"run": 1},
        )
        assert run["metadata"] == {
            "who": "thread",
            "what": "config",
            "assistant": 1,
            "thread": 1,
            "config": 1,
            "run": 1,
            "graph_id": "agent",
            "assistant_id": ident,
        }
        await client.runs.join(thread_id, run["run_id"])


async def test_what_is_given_and_returned_shares_nothing_with_what_is_kept(
    room: Greenroom,
) -> None:
    async with room:
        client, metadata = room.client, {"deep": {"n": 1}}
        await client.assistants.update("agent", metadata=metadata, context={"deep": {"n": 1}})
        metadata["deep"]["n"] = 2
        found = await client.assistants.get("agent")
        found["metadata"]["deep"]["n"] = found["context"]["deep"]["n"] = 3
        thread_id = await new_thread(client)
        run = await client.runs.create(thread_id, "agent", input=text("x"))
        run["metadata"]["deep"]["n"] = run["kwargs"]["context"]["deep"]["n"] = 4
        await client.runs.join(thread_id, run["run_id"])
        kept = await client.assistants.get("agent")
        assert kept["metadata"]["deep"] == kept["context"]["deep"] == {"n": 1}


async def test_what_belongs_to_an_assistant_goes_with_it_but_its_threads(room: Greenroom) -> None:
    async with room:
        client, storage = room.client, room.storage
        ident = (await client.assistants.create("agent"))["assistant_id"]
        thread_id = await new_thread(client)
        await client.runs.wait(thread_id, ident, input=text("x"))
        crons = [make_cron("its", assistant_id=ident), make_cron("other", assistant_id=AGENT)]
        await room._session.commit(list(map(PutCron, crons)))
        await client.assistants.delete(ident)

        for call in (client.assistants.get, client.assistants.delete, client.assistants.update):
            with pytest.raises(NotFound, match=ident):
                await call(ident)
        with pytest.raises(NotFound, match=ident):
            await client.runs.create(thread_id, ident, input=text("x"))
        assert storage.list_assistant_versions(ident) == []
        assert [cron.cron_id for cron in storage.search_crons(CronQuery())] == ["other"]
        assert len(await client.runs.list(thread_id)) == 1
        assert (await client.threads.get(thread_id))["values"]["log"] == ["x", "a"]
        assert await client.runs.wait(thread_id, "agent", input=text("y"))


async def test_the_threads_that_an_assistant_ran_on_last_go_with_it_if_asked_for(
    room: Greenroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenroom.actors.client.assistants._PAGE", 2)
    async with room:
        client = room.client
        ident = (await client.assistants.create("agent"))["assistant_id"]
        ran_on = [[ident], [ident], ["agent", ident], [ident, "agent"], ["agent"], []]
        threads = []
        for assistants in ran_on:
            thread_id = await new_thread(client)
            for assistant_id in assistants:
                await client.runs.wait(thread_id, assistant_id, input=text("x"))
            threads.append(thread_id)
        await client.assistants.delete(ident, delete_threads=True)
        left = {thread["thread_id"] for thread in await client.threads.search()}
        assert left == set(threads[3:])
        with pytest.raises(NotFound):
            await client.assistants.delete(ident, delete_threads=True)


async def test_the_assistant_of_a_graph_is_made_anew_at_the_next_start(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        await room.client.assistants.update("agent", name="mine")
        await room.client.assistants.delete("agent")
        thread_id = await new_thread(room.client)
        with pytest.raises(NotFound, match=AGENT):
            await room.client.runs.create(thread_id, "agent", input=text("x"))
        assert await room.client.assistants.count() == 0
    async with serve(chain(a=says("a"))) as room:
        found = await room.client.assistants.get("agent")
        assert (found["name"], found["version"]) == ("agent", 1)
        assert await room.client.runs.wait(thread_id, "agent", input=text("x"))


async def test_an_assistant_of_a_graph_that_is_served_no_more_is_there_and_cannot_run(
    serve: Serve,
) -> None:
    async with serve({"agent": chain(a=says("a")), "gone": chain(b=says("b"))}) as room:
        ident = (await room.client.assistants.create("gone"))["assistant_id"]
    async with serve(chain(a=says("a"))) as room:
        assistants = room.client.assistants
        assert (await assistants.get(ident))["graph_id"] == "gone"
        thread_id = await new_thread(room.client)
        with pytest.raises(NotFound, match="Graph 'gone' is not served here"):
            await room.client.runs.create(thread_id, ident, input=text("x"))
        for call in (assistants.get_graph, assistants.get_schemas, assistants.get_subgraphs):
            with pytest.raises(NotFound, match="Graph 'gone' is not served here"):
                await call(ident)
        await assistants.update(ident, graph_id="agent")
        assert await room.client.runs.wait(thread_id, ident, input=text("x"))


@pytest.mark.parametrize("ident", ["agent", None])
async def test_a_change_that_nobody_waits_for_any_more_comes_before_the_next(
    serve: Serve, open_storage: Callable[[], Storage], ident: str | None
) -> None:
    storage = FaultyStorage(open_storage(), blocking=True)
    async with serve(chain(tells=tells), storage=storage) as room:
        assistants = room.client.assistants
        ident = ident or (await assistants.create("agent"))["assistant_id"]
        gate = storage.hold("before", is_a(PutAssistant))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: assistants.update(ident, context={"model": "m"}))
            await gate.reached()
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: assistants.update(ident, metadata={"n": 1}))
            await wait_all_tasks_blocked()
            assert await assistants.get_versions(ident, {"n": 1}) == []
            gate.open()
        found = await assistants.get(ident)
        assert (found["version"], found["context"]) == (3, {"model": "m"})
        assert (await told(room.client, ident))[1] == {"model": "m"}


async def test_who_has_found_a_change_is_given_it(open_storage: Callable[[], Storage]) -> None:
    storage = FaultyStorage(open_storage(), blocking=True)
    async with Greenroom({"agent": chain(a=says("a"))}, storage=storage) as room:
        assistants = room.client.assistants
        gate = storage.hold("after", is_a(PutAssistant))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: assistants.update("agent", name="New"))
            await gate.reached()
            assert [one["name"] for one in await assistants.search()] == ["New"]
            assert (await assistants.get("agent"))["name"] == "New"
            gate.open()


async def test_a_change_that_storage_refuses_changes_nothing(
    serve: Serve, open_storage: Callable[[], Storage]
) -> None:
    storage = FaultyStorage(open_storage())
    async with serve(chain(tells=tells), storage=storage) as room:
        assistants = room.client.assistants
        before = await assistants.search()
        for operation, call in (
            (PutAssistant, lambda: assistants.update("agent", context={"model": "m"})),
            (PutAssistant, lambda: assistants.set_latest("agent", 1)),
            (PutAssistant, lambda: assistants.create("agent")),
            (DeleteAssistant, lambda: assistants.delete("agent")),
        ):
            storage.fail("before", is_a(operation))
            with pytest.raises(StorageError):
                await call()
        assert await assistants.search() == before
        assert (await told(room.client, "agent"))[1] == {}


async def test_changes_after_the_end_are_refused(room: Greenroom) -> None:
    async with room:
        assistants = room.client.assistants
    with pytest.raises(Closed):
        await assistants.update("agent", name="x")


class Inner(TypedDict, total=False):
    inside: str


class Outer(TypedDict, total=False):
    inside: str
    around: int


class Settings(TypedDict, total=False):
    model: str


def nested() -> Any:
    def node(state: Any) -> Any:
        return {}

    deepest = StateGraph(Inner).add_node("deep", node).add_edge(START, "deep").compile()
    inner = StateGraph(Inner).add_node("deepest", deepest).add_edge(START, "deepest").compile()
    builder = StateGraph(Outer, context_schema=Settings).add_node("inner", inner)
    return builder.add_edge(START, "inner").compile()


async def test_the_graph_of_an_assistant_is_drawn(serve: Serve) -> None:
    async with serve({"agent": nested()}) as room:
        assistants = room.client.assistants
        ident = (await assistants.create("agent"))["assistant_id"]

        async def nodes(**options: Any) -> list[str]:
            drawn = await assistants.get_graph(ident, **options)
            assert drawn == await assistants.get_graph("agent", **options)
            return [node["id"] for node in drawn["nodes"]]

        assert await nodes() == ["__start__", "inner", "__end__"]
        assert set(await nodes(xray=True)) == {"__start__", "__end__", "inner:deepest:deep"}
        assert set(await nodes(xray=1)) == {"__start__", "__end__", "inner:deepest"}
        edges = (await assistants.get_graph(ident))["edges"]
        assert [(edge["source"], edge["target"]) for edge in edges] == [
            ("__start__", "inner"),
            ("inner", "__end__"),
        ]


async def test_the_schemas_of_an_assistant_and_of_the_graphs_inside_it(serve: Serve) -> None:
    async with serve({"agent": nested(), "plain": chain(a=says("a"))}) as room:
        assistants = room.client.assistants
        ident = (await assistants.create("agent"))["assistant_id"]
        schemas = await assistants.get_schemas(ident)

        assert schemas["graph_id"] == "agent"
        for name in ("input_schema", "output_schema", "state_schema"):
            assert schemas[name]["properties"].keys() == {"inside", "around"}
        assert schemas["state_schema"]["title"] == "agent_state"
        assert "required" not in schemas["state_schema"]
        assert all(of["default"] is None for of in schemas["state_schema"]["properties"].values())
        assert schemas["context_schema"] == schemas["config_schema"]
        assert schemas["context_schema"]["properties"].keys() == {"model"}
        plain = await assistants.get_schemas("plain")
        assert (plain["config_schema"], plain["context_schema"]) == ({}, None)

        inner = await assistants.get_subgraphs(ident)
        assert inner.keys() == {"inner"}
        assert inner["inner"].keys() == schemas.keys() - {"graph_id"}
        assert inner["inner"]["state_schema"]["properties"].keys() == {"inside"}
        assert inner["inner"]["state_schema"]["title"] == "LangGraphState"
        deep = await assistants.get_subgraphs(ident, recurse=True)
        assert deep.keys() == {"inner", "inner|deepest"}
        assert await assistants.get_subgraphs(ident, "inner") == inner
        one = await assistants.get_subgraphs(ident, "inner|deepest", recurse=True)
        assert one == {"inner|deepest": deep["inner|deepest"]}
        assert await assistants.get_subgraphs(ident, "nope") == {}
        assert await assistants.get_subgraphs("plain") == {}


BAD_SETTINGS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"graph_id": "nope"}, NotFound, "'nope'"),
    ({"graph_id": 5}, Invalid, "graph_id: 5"),
    ({"config": "x"}, Invalid, "config: 'x'"),
    ({"config": {"configurable": 5}}, Invalid, r"config\.configurable: 5"),
    ({"config": {"tags": "x"}}, Invalid, r"config\.tags: 'x'"),
    ({"config": {"tags": [5]}}, Invalid, r"config\.tags: \[5\]"),
    ({"config": {"recursion_limit": 0}}, Invalid, r"config\.recursion_limit: 0"),
    ({"config": {"recursion_limit": True}}, Invalid, r"config\.recursion_limit: True"),
    ({"config": {"configurable": {"a": 1}}, "context": {"b": 1}}, Refused, "not both"),
    ({"context": [1]}, Invalid, r"context: \[1\]"),
    ({"context": {"a": {1}}}, Invalid, r"context\.a"),
    ({"metadata": "x"}, Invalid, "metadata: 'x'"),
    ({"metadata": {"a": "\0"}}, Invalid, r"metadata\.a"),
    ({"name": 5}, Invalid, "name: 5"),
    ({"name": "a\0b"}, Invalid, "name"),
    ({"description": "\ud800"}, Invalid, "description"),
]


@pytest.mark.parametrize(("given", "error", "reason"), BAD_SETTINGS)
async def test_settings_that_do_not_fit_are_named_and_change_nothing(
    room: Greenroom, given: dict[str, Any], error: type[Exception], reason: str
) -> None:
    async with room:
        assistants = room.client.assistants
        before = await assistants.search()
        with pytest.raises(error, match=reason):
            await assistants.create(**{"graph_id": "agent", **given})
        with pytest.raises(error, match=reason):
            await assistants.update("agent", **given)
        assert await assistants.search() == before
        assert len(await assistants.get_versions("agent")) == 1


async def test_other_requests_that_do_not_fit_are_named_and_change_nothing(
    room: Greenroom,
) -> None:
    async with room:
        assistants, unknown = room.client.assistants, str(uuid4())
        before = await assistants.search()
        with pytest.raises(Invalid, match="assistant_id: 'nope' is not a UUID"):
            await assistants.create("agent", assistant_id="nope")
        with pytest.raises(Invalid, match="if_exists: 'perhaps'"):
            await assistants.create("agent", if_exists="perhaps")
        for version in ("1", True, 1.0, None):
            with pytest.raises(Invalid, match=f"version: {version!r}"):
                await assistants.set_latest("agent", version)  # type: ignore[arg-type]
        for version in (-1, 0, 2, 2**70):
            with pytest.raises(NotFound, match=f"{AGENT}' has no version {version}"):
                await assistants.set_latest("agent", version)
        for xray in (0, -1, "x", None, 1.5):
            with pytest.raises(Invalid, match=f"xray: {xray!r}"):
                await assistants.get_graph("agent", xray=xray)  # type: ignore[arg-type]
        with pytest.raises(Invalid, match="limit: 0"):
            await assistants.get_versions("agent", limit=0)
        with pytest.raises(Invalid, match="metadata: 5"):
            await assistants.get_versions("agent", 5)  # type: ignore[arg-type]
        with pytest.raises(Invalid, match="name: 5"):
            await assistants.search(name=5)  # type: ignore[arg-type]
        for call in (
            assistants.update,
            assistants.get_versions,
            assistants.get_graph,
            assistants.get_schemas,
            assistants.get_subgraphs,
        ):
            with pytest.raises(NotFound, match=unknown):
                await call(unknown)
        for version in (1, 2**70):
            with pytest.raises(NotFound, match=f"{unknown}' not found"):
                await assistants.set_latest(unknown, version)
        assert await assistants.search() == before
