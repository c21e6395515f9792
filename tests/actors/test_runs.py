from __future__ import annotations

import math
from typing import Any
from uuid import UUID, uuid4

import pytest

from greenroom.actors import Greenroom, Invalid, NotFound, Refused, RunFailed
from greenroom.graph import RunnableConfig, Runtime, interrupt

from .conftest import Serve
from .stage import Hold, chain, fails, log_of, new_thread, says, status, statuses, text

RUN_KEYS = {
    "run_id",
    "thread_id",
    "assistant_id",
    "metadata",
    "status",
    "kwargs",
    "multitask_strategy",
    "created_at",
    "updated_at",
    "langsmith_session_name",
}
KWARGS_KEYS = {
    "input",
    "command",
    "config",
    "context",
    "stream_mode",
    "interrupt_before",
    "interrupt_after",
    "webhook",
    "feedback_keys",
    "temporary",
    "subgraphs",
    "resumable",
    "checkpoint_during",
    "durability",
}


@pytest.fixture
def room(serve: Serve, hold: Hold) -> Greenroom:
    """Not entered yet."""
    return serve(
        {
            "agent": chain(a=says("a"), b=says("b")),
            "held": chain(a=says("a"), hold=hold.node),
            "fails": chain(a=says("a"), fail=fails, c=says("c")),
        }
    )


# Starting one.


async def test_a_run_is_accepted_as_pending_with_all_that_was_asked(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client, metadata={"user": "ann"})
        run = await client.runs.create(
            thread_id,
            "agent",
            input=text("x"),
            stream_mode=["updates", "custom"],
            stream_resumable=True,
            metadata={"m": 1},
            config={"recursion_limit": 5, "metadata": {"c": 2}, "configurable": {"model": "big"}},
            interrupt_before=["b"],
            interrupt_after="*",
        )

        assert run.keys() == RUN_KEYS
        assert UUID(run["run_id"]).version == 7
        assert run["status"] == "pending"
        assert run["multitask_strategy"] == "enqueue"
        assert run["langsmith_session_name"] is None
        asked = {"user": "ann", "m": 1, "c": 2, "graph_id": "agent", "created_by": "system"}
        assert run["metadata"].items() >= asked.items()
        kwargs = run["kwargs"]
        assert kwargs.keys() == KWARGS_KEYS
        assert (kwargs["input"], kwargs["command"]) == (text("x"), None)
        assert kwargs["stream_mode"] == ["updates", "custom"]
        assert (kwargs["interrupt_before"], kwargs["interrupt_after"]) == (["b"], "*")
        assert (kwargs["resumable"], kwargs["durability"]) == (True, "async")
        assert kwargs["context"] == {"model": "big"}
        assert kwargs["config"]["configurable"].items() >= {"model": "big"}.items()

        await client.runs.join(thread_id, run["run_id"])
        done = await client.runs.get(thread_id, run["run_id"])
        assert done.keys() == RUN_KEYS
        ended = ("status", "updated_at")
        assert {key: done[key] for key in RUN_KEYS.difference(ended)} == {
            key: run[key] for key in RUN_KEYS.difference(ended)
        }
        assert done["status"] == "success"


async def test_waiting_for_a_run_answers_the_values(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)

        assert await client.runs.wait(thread_id, "agent", input=text("x")) == {
            "log": ["x", "a", "b"],
            "text": "x",
        }
        assert await statuses(client, thread_id) == ["success"]
        assert await status(client, thread_id) == "idle"


async def test_a_run_can_make_its_thread(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, str(uuid4())
        values = await client.runs.wait(
            thread_id, "agent", input=text("x"), if_not_exists="create", metadata={"m": 1}
        )

        assert values["log"] == ["x", "a", "b"]
        assert (await client.threads.get(thread_id))["metadata"]["graph_id"] == "agent"
        again = await client.runs.wait(thread_id, "agent", input=text("y"), if_not_exists="create")
        assert again["log"] == ["x", "a", "b", "y", "a", "b"]


async def test_a_thread_that_a_run_makes_has_the_metadata_of_the_run(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, str(uuid4())
        made = {"m": 1, "multitask_strategy": "quick", "answered_by_run_id": "x"}
        for metadata in (made, {"later": 2}):
            await client.runs.wait(
                thread_id,
                "agent",
                input=text("x"),
                if_not_exists="create",
                metadata=metadata,
                config={"metadata": {"c": 1}},
            )
        kept = await client.runs.create(
            None, "agent", input=text("x"), on_completion="keep", metadata={"m": 1}
        )

        [run] = await client.runs.list(kept["thread_id"])
        asked = {key: run["metadata"][key] for key in ("graph_id", "assistant_id")}
        thread = await client.threads.get(thread_id)
        assert thread["metadata"] == {"c": 1, "m": 1, **asked}
        [found] = await client.threads.search(ids=[kept["thread_id"]], metadata={"m": 1})
        assert found["metadata"] == {"m": 1, **asked}


async def test_nodes_see_their_thread_run_and_context(serve: Serve) -> None:
    seen: dict[str, Any] = {}

    async def look(state: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        seen.update(config["configurable"], metadata=config["metadata"], context=runtime.context)
        return {}

    async with serve(chain(look=look)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(
            thread_id, "agent", input=text("x"), context={"model": "big"}, metadata={"m": 1}
        )
        await client.runs.join(thread_id, run["run_id"])

    assert seen["thread_id"] == thread_id
    assert seen["run_id"] == run["run_id"]
    assert seen["assistant_id"] == run["assistant_id"]
    assert seen["model"] == "big"  # context and configurable stand for each other
    assert seen["context"] == {"model": "big"}
    assert seen["metadata"]["m"] == 1


@pytest.mark.parametrize(
    ("request_", "error", "named"),
    [
        ({"input": "x"}, Invalid, "input: 'x'"),
        ({"input": {"log": [object()]}}, Invalid, "log"),
        ({"input": {"log": [math.nan, object()]}}, Invalid, "object"),
        ({"command": "go"}, Invalid, "command: 'go'"),
        ({"command": {"goto": {"nod": "a"}}}, Refused, "command.goto"),
        ({"stream_mode": "everything"}, Invalid, "stream_mode: 'everything'"),
        ({"stream_mode": ["values", "x"]}, Invalid, "stream_mode: 'x'"),
        ({"stream_mode": 5}, Invalid, "stream_mode: 5"),
        ({"multitask_strategy": "drop"}, Invalid, "multitask_strategy: 'drop'"),
        ({"durability": "never"}, Invalid, "durability: 'never'"),
        ({"if_not_exists": "make"}, Invalid, "if_not_exists: 'make'"),
        ({"metadata": "m"}, Invalid, "metadata: 'm'"),
        ({"config": {"recursion_limit": 0}}, Invalid, "config.recursion_limit: 0"),
        ({"config": {"configurable": 5}}, Invalid, "config.configurable: 5"),
        ({"config": {"configurable": {"a": 1}}, "context": {"a": 1}}, Refused, "context"),
        ({"interrupt_before": "b"}, Invalid, "interrupt_before: 'b'"),
        ({"interrupt_before": 5}, Invalid, "interrupt_before: 5"),
        ({"interrupt_after": [5]}, Invalid, "interrupt_after: [5]"),
        ({"checkpoint_id": "x"}, Invalid, "checkpoint_id: 'x'"),
        ({"checkpoint": {"checkpoint_id": "x"}}, Invalid, "checkpoint_id: 'x'"),
    ],
)
async def test_a_request_that_does_not_fit_is_named_and_starts_nothing(
    room: Greenroom, request_: dict[str, Any], error: type[Exception], named: str
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        before = await client.threads.get(thread_id)

        with pytest.raises(error) as refusal:
            await client.runs.create(thread_id, "agent", **{"input": text("x"), **request_})

        assert named in str(refusal.value)
        assert await client.runs.list(thread_id) == []
        assert await client.threads.get(thread_id) == before


async def test_what_to_do_on_a_disconnect_is_checked_before_a_run_starts(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        request: dict[str, Any] = {"input": text("x"), "on_disconnect": "explode"}
        with pytest.raises(Invalid, match="on_disconnect: 'explode'"):
            await client.runs.wait(thread_id, "agent", **request)
        with pytest.raises(Invalid, match="on_disconnect: 'explode'"):
            await anext(client.runs.stream(thread_id, "agent", **request))

        assert await client.runs.list(thread_id) == []


async def test_an_unknown_assistant_starts_nothing(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        with pytest.raises(Invalid, match="assistant_id: 'nope'"):
            await client.runs.create(thread_id, "nope", input=text("x"))
        with pytest.raises(NotFound, match="Assistant"):
            await client.runs.create(thread_id, str(uuid4()), input=text("x"))
        with pytest.raises(Invalid, match="assistant_id"):
            await client.runs.create(str(uuid4()), "nope", input={}, if_not_exists="create")

        assert await client.runs.list(thread_id) == []
        assert await client.threads.count() == 1


# Listing.


async def test_runs_are_listed_newest_first_page_by_page(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        made = [await client.runs.create(thread_id, "agent", input=text("x")) for _ in range(12)]
        await client.runs.join(thread_id, made[-1]["run_id"])
        newest_first = [run["run_id"] for run in reversed(made)]

        async def ids(**query: Any) -> list[str]:
            return [run["run_id"] for run in await client.runs.list(thread_id, **query)]

        assert await ids() == newest_first[:10]
        assert await ids(limit=5, offset=10) == newest_first[10:]
        assert await ids(status="success", limit=100) == newest_first
        assert await ids(status="pending") == await ids(status="nope") == []
        assert await client.runs.list(thread_id, limit=1, select=["run_id"]) == [
            {"run_id": newest_first[0]}
        ]
        for query, named in [({"limit": 0}, "limit: 0"), ({"select": ["x"]}, "select: 'x'")]:
            with pytest.raises(Invalid, match=named):
                await client.runs.list(thread_id, **query)


async def test_a_run_is_known_on_its_own_thread_only(room: Greenroom) -> None:
    async with room:
        client = room.client
        thread_id, other = await new_thread(client), await new_thread(client)
        run_id = (await client.runs.create(thread_id, "agent", input=text("x")))["run_id"]
        await client.runs.join(thread_id, run_id)

        for place, ident in [(other, run_id), (thread_id, str(uuid4()))]:
            for call in (client.runs.get, client.runs.join, client.runs.cancel, client.runs.delete):
                with pytest.raises(NotFound, match=ident):
                    await call(place, ident)
        with pytest.raises(Invalid, match="run_id: 'x'"):
            await client.runs.get(thread_id, "x")
        assert (await client.runs.get(thread_id, run_id))["status"] == "success"


# Results.


async def test_a_join_waits_for_the_end_of_a_run(room: Greenroom, hold: Hold) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "held", input=text("slow"))
        await hold.reached.wait()
        await client.threads.update(thread_id, metadata={})  # committed after the run's start
        assert await statuses(client, thread_id) == ["running"]
        assert await status(client, thread_id) == "busy"

        hold.open()

        values = await client.runs.join(thread_id, run["run_id"])
        assert values["log"] == ["slow", "a", "did slow"]


async def test_a_join_of_a_finished_run_answers_the_newest_values(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("x"))
        newest = await client.runs.wait(thread_id, "agent", input=text("y"))

        assert await client.runs.join(thread_id, run["run_id"]) == newest


async def test_a_failed_run_is_raised_to_who_waits(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        with pytest.raises(RunFailed) as failure:
            await client.runs.wait(thread_id, "fails", input=text("x"))
        assert (failure.value.error, failure.value.message) == ("ValueError", "no such colour")
        assert str(failure.value) == "ValueError: no such colour"

        shown = {"__error__": {"error": "ValueError", "message": "no such colour"}}
        again = await client.runs.wait(thread_id, "fails", input=text("y"), raise_error=False)
        assert again == shown

        [run, _] = await client.runs.list(thread_id)
        assert run["status"] == "error"
        with pytest.raises(RunFailed, match="no such colour"):
            await client.runs.join(thread_id, run["run_id"])
        joined = await client.runs.join(thread_id, run["run_id"], raise_error=False)
        assert joined == shown
        assert await status(client, thread_id) == "error"


async def test_going_on_after_a_failure_tries_the_failed_node_again(serve: Serve) -> None:
    colours = iter(["fails", "red"])
    began: list[str] = []

    async def first(state: Any) -> Any:
        began.append("first")
        return {"log": ["first"]}

    async def moody(state: Any) -> Any:
        began.append("moody")
        if (colour := next(colours)) == "fails":
            raise ValueError("no such colour")
        return {"log": [colour]}

    async with serve(chain(first=first, moody=moody)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"), raise_error=False)

        assert (await client.runs.wait(thread_id, "agent"))["log"] == ["x", "first", "red"]
        assert began == ["first", "moody", "moody"]
        thread = await client.threads.get(thread_id)
        assert (thread["status"], thread["error"]) == ("idle", None)


async def test_a_failure_harms_its_own_run_only(room: Greenroom, hold: Hold) -> None:
    async with room:
        client = room.client
        failing, held = await new_thread(client), await new_thread(client)
        run = await client.runs.create(held, "held", input=text("slow"))
        await hold.reached.wait()

        await client.runs.wait(failing, "fails", input=text("x"), raise_error=False)
        after = await client.runs.wait(failing, "agent", input=text("y"))
        hold.open()

        assert after["log"] == ["x", "a", "y", "a", "b"]
        assert (await client.runs.join(held, run["run_id"]))["log"][-1] == "did slow"


async def test_a_value_that_cannot_be_stored_fails_the_run_by_name(serve: Serve) -> None:
    values: list[Any] = [{"when": object()}, {"when": 5}]

    async def odd(state: Any) -> Any:
        return {"log": [values.pop(0)]}

    async with serve(chain(a=says("a"), odd=odd)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        with pytest.raises(RunFailed, match=r"log\[.*when.*object") as failure:
            await client.runs.wait(thread_id, "agent", input=text("x"))
        assert failure.value.error == "Unstorable"
        thread = await client.threads.get(thread_id)
        assert (thread["status"], thread["error"]["error"]) == ("error", "Unstorable")
        assert thread["values"]["log"] == ["x", "a"]

        # The thread can go on.
        assert (await client.runs.wait(thread_id, "agent"))["log"] == ["x", "a", {"when": 5}]
        assert await status(client, thread_id) == "idle"


async def test_a_run_without_input_on_an_empty_thread_fails(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        with pytest.raises(RunFailed, match="EmptyInputError"):
            await client.runs.wait(thread_id, "agent")
        assert await status(client, thread_id) == "error"

        assert (await client.runs.wait(thread_id, "agent", input={}))["log"] == ["a", "b"]
        assert await status(client, thread_id) == "idle"


async def test_a_run_without_input_on_a_finished_thread_runs_nothing(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        values = await client.runs.wait(thread_id, "agent", input=text("x"))
        history = await client.threads.get_history(thread_id)

        assert await client.runs.wait(thread_id, "agent") == values
        assert await client.threads.get_history(thread_id) == history


async def test_a_run_that_goes_in_circles_ends_at_its_limit(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        with pytest.raises(RunFailed, match="GraphRecursionError"):
            await client.runs.wait(
                thread_id, "agent", input=text("x"), config={"recursion_limit": 1}
            )
        assert await log_of(client, thread_id) == ["x", "a"]


# Pauses.


async def ask(state: Any) -> Any:
    return {"log": [interrupt({"question": "sure?"})]}


async def test_a_paused_run_answers_with_its_question(serve: Serve) -> None:
    async with serve(chain(a=says("a"), ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        values = await client.runs.wait(thread_id, "agent", input=text("x"))

        [question] = values["__interrupt__"]
        [task] = (await client.threads.get_state(thread_id))["tasks"]
        assert values["log"] == ["x", "a"]
        assert len(question["id"]) == 32
        assert question == {
            "value": {"question": "sure?"},
            "id": question["id"],
            "response_schema": None,
            "resumable": True,
            "ns": [f"ask:{task['id']}"],
            "when": "during",
        }
        assert await statuses(client, thread_id) == ["success"]
        assert await status(client, thread_id) == "interrupted"
        # Whoever joins it later is told the same.
        [run] = await client.runs.list(thread_id)
        assert await client.runs.join(thread_id, run["run_id"]) == {
            **values,
            "__interrupt__": [question],
        }


async def test_a_run_that_stops_at_a_breakpoint_answers_its_values_and_goes_on(
    serve: Serve,
) -> None:
    graph = chain(a=says("a"), b=says("b"), c=says("c"), compile={"interrupt_before": ["b"]})
    async with serve(graph) as room:
        client, thread_id = room.client, await new_thread(room.client)

        first = await client.runs.wait(thread_id, "agent", input=text("x"))
        assert first == {"log": ["x", "a"], "text": "x"}
        assert (await client.threads.get_state(thread_id))["next"] == ["b"]
        assert await status(client, thread_id) == "interrupted"

        second = await client.runs.wait(thread_id, "agent", input=None, interrupt_after=["b"])
        assert second["log"] == ["x", "a", "b"]
        assert (await client.runs.wait(thread_id, "agent"))["log"] == ["x", "a", "b", "c"]
        assert await statuses(client, thread_id) == ["success"] * 3
        assert await status(client, thread_id) == "idle"
