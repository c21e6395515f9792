"""What a graph does about nodes that take long, fail, or were asked the same before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from greenroom.graph import (
    END,
    START,
    CachePolicy,
    Command,
    InMemoryCache,
    InMemorySaver,
    NodeError,
    NodeNotFoundError,
    NodeTimeoutError,
    RetryPolicy,
    Runtime,
    Send,
    StateGraph,
    TimeoutPolicy,
    interrupt,
)
from greenroom.graph.job import Job
from greenroom.graph.world import World

from .conftest import State

Node = Callable[..., Any]


def graph(node: Any, compiled: dict[str, Any] | None = None, **options: Any) -> Any:
    builder = StateGraph(State).add_node("n", node, **options).add_edge(START, "n")
    return builder.compile(**(compiled or {}))


async def sleepy(state: State) -> State:
    await trio.sleep(state["value"])
    return {"log": ["done"]}


class TestTimeouts:
    async def test_a_node_that_takes_too_long_fails_with_what_it_was_allowed(
        self, autojump_clock: MockClock
    ) -> None:
        ran = graph(sleepy, timeout=timedelta(seconds=5))
        assert (await ran.ainvoke({"value": 4}))["log"] == ["done"]
        with pytest.raises(NodeTimeoutError, match="Node 'n' ran longer than 5 s") as raised:
            await ran.ainvoke({"value": 6})
        error = raised.value
        assert (error.node, error.kind, error.timeout) == ("n", "run", 5.0)
        assert error.elapsed == pytest.approx(5)
        assert not isinstance(error, TimeoutError)

    async def test_each_attempt_has_its_own_time_and_a_timeout_is_tried_again(
        self, autojump_clock: MockClock
    ) -> None:
        attempts: list[int] = []

        async def node(state: State) -> State:
            attempts.append(1)
            await trio.sleep(9 if len(attempts) < 3 else 4)
            return {"log": [len(attempts)]}

        ran = graph(node, timeout=5, retry_policy=RetryPolicy())
        assert (await ran.ainvoke({}))["log"] == [3]

    @pytest.mark.parametrize("sign", ["heartbeat", "writer"])
    @pytest.mark.parametrize("how", ["async", "plain"])
    async def test_a_node_may_go_on_for_as_long_as_it_shows_progress(
        self, mock_clock: MockClock, sign: str, how: str
    ) -> None:
        released = threading.Event()

        def show(runtime: Runtime[Any]) -> None:
            if sign == "heartbeat":
                runtime.heartbeat()
            else:
                runtime.stream_writer("on it")

        async def node(state: State, runtime: Runtime[Any]) -> None:
            for _ in range(5):
                mock_clock.jump(4)
                show(runtime)
                await trio.lowlevel.checkpoint()
            mock_clock.jump(6)
            await trio.sleep_forever()

        def plain(state: State, runtime: Runtime[Any]) -> None:
            for _ in range(5):
                trio.from_thread.run_sync(mock_clock.jump, 4)
                show(runtime)
            trio.from_thread.run_sync(mock_clock.jump, 6)
            released.wait()

        ran = graph(node if how == "async" else plain, timeout=TimeoutPolicy(idle_timeout=5))
        with pytest.raises(NodeTimeoutError, match="no progress for 5 s") as raised:
            await ran.ainvoke({})
        released.set()
        assert raised.value.kind == "idle"
        assert raised.value.elapsed == pytest.approx(26)

    async def test_only_heartbeats_count_where_the_policy_says_so(
        self, autojump_clock: MockClock
    ) -> None:
        async def node(state: State, runtime: Runtime[Any]) -> None:
            await trio.sleep(3)
            runtime.stream_writer("on it")
            await trio.sleep(3)

        policy = TimeoutPolicy(idle_timeout=5, refresh_on="heartbeat")
        with pytest.raises(NodeTimeoutError):
            await graph(node, timeout=policy).ainvoke({})

    async def test_progress_does_not_put_off_the_run_timeout(
        self, autojump_clock: MockClock
    ) -> None:
        async def node(state: State, runtime: Runtime[Any]) -> None:
            while True:
                await trio.sleep(1)
                runtime.heartbeat()

        ran = graph(node, timeout=TimeoutPolicy(run_timeout=10, idle_timeout=3))
        with pytest.raises(NodeTimeoutError) as raised:
            await ran.ainvoke({})
        assert raised.value.kind == "run"

    async def test_a_graph_called_as_a_node_shows_progress_by_its_super_steps(
        self, autojump_clock: MockClock
    ) -> None:
        inner = StateGraph(State)
        for number in range(4):
            inner.add_node(str(number), sleepy)
            inner.add_edge(str(number - 1) if number else START, str(number))
        ran = graph(inner.compile(), timeout=TimeoutPolicy(idle_timeout=5))
        assert len((await ran.ainvoke({"value": 4}))["log"]) == 4
        with pytest.raises(NodeTimeoutError):
            await ran.ainvoke({"value": 6})

    async def test_a_thread_that_outlives_its_node_gives_its_place_back_and_is_not_heard(
        self, mock_clock: MockClock
    ) -> None:
        go, gone = threading.Event(), threading.Event()
        refused: list[type] = []
        attempts: list[int] = []

        def node(state: State, runtime: Runtime[Any]) -> State:
            attempts.append(1)
            if len(attempts) > 1:
                # Only now, with the second attempt under way, the first goes on.
                go.set()
                gone.wait()
                return {"log": [interrupt("?")]}
            trio.from_thread.run_sync(mock_clock.jump, 5)
            go.wait()
            runtime.stream_writer("late")
            try:
                interrupt("late?")
            except Exception as error:
                refused.append(type(error))
            gone.set()
            return {"log": ["late"]}

        ran = graph(node, timeout=5, retry_policy=RetryPolicy(initial_interval=0, jitter=False))
        heard: list[Any] = []

        class Sink:
            modes = ("custom",)
            subgraphs = False

            def emit(self, mode: str, ns: tuple[str, ...], data: Any) -> None:
                heard.append(data)

        finish = await ran.perform(Job(input={}, world=World(threads=1), sink=Sink()))
        assert [question.value for question in finish.interrupts] == ["?"]
        assert heard == []
        assert refused == [RuntimeError]

    @pytest.mark.parametrize("given", [0, -1.0, timedelta(0), TimeoutPolicy(idle_timeout=0)])
    def test_a_time_that_is_not_positive_is_refused(self, given: Any) -> None:
        with pytest.raises(ValueError, match="must be more than 0"):
            graph(sleepy, timeout=given)

    async def test_a_super_step_has_a_time_too(self, autojump_clock: MockClock) -> None:
        ran = graph(sleepy)
        ran.step_timeout = 5
        assert (await ran.ainvoke({"value": 4}))["log"] == ["done"]
        with pytest.raises(TimeoutError, match="step_timeout"):
            await ran.ainvoke({"value": 6})


class TestErrorHandlers:
    async def test_a_handler_sees_the_state_and_the_error_and_its_update_counts(self) -> None:
        def bad(state: State) -> State:
            raise ValueError("boom")

        def handle(state: State, error: NodeError) -> State:
            return {"log": [f"{error.node}: {error.error} after {state['log']}"]}

        ran = graph(bad, error_handler=handle)
        async with ran.astream({"log": ["in"]}) as chunks:
            seen = [chunk async for chunk in chunks]
        assert seen == [{"__error_handler__n": {"log": ["n: boom after ['in']"]}}]

    @pytest.mark.parametrize("leads_on", [True, False])
    async def test_only_a_command_leads_on_from_a_handler(self, leads_on: bool) -> None:
        async def bad(state: State) -> State:
            raise ValueError("boom")

        async def handle(state: State, error: NodeError) -> Any:
            return Command(goto="other", update={"log": ["handled"]}) if leads_on else None

        async def say(state: State, config: Any) -> State:
            return {"log": [config["metadata"]["langgraph_node"]]}

        builder = StateGraph(State).add_node("bad", bad, error_handler=handle)
        builder.add_node("next", say).add_node("other", say).add_node("beside", say)
        builder.add_edge(START, "bad").add_edge(START, "beside").add_edge("bad", "next")
        builder.add_edge("beside", END)
        found = await builder.compile(InMemorySaver()).ainvoke(
            {}, {"configurable": {"thread_id": "1"}}
        )
        assert found["log"] == (["handled", "beside", "other"] if leads_on else ["beside"])

    async def test_a_handled_node_stays_handled_when_a_sibling_pauses(self) -> None:
        ran: list[str] = []

        async def bad(state: State) -> State:
            ran.append("bad")
            raise ValueError("boom")

        async def handle(state: State, error: NodeError) -> State:
            return {"log": ["handled"]}

        async def ask(state: State) -> State:
            return {"log": [interrupt("?")]}

        async def never(state: State) -> State:
            return {"log": ["never"]}

        builder = StateGraph(State).add_node("bad", bad, error_handler=handle)
        builder.add_node("ask", ask).add_node("never", never)
        builder.add_edge(START, "bad").add_edge(START, "ask").add_edge("bad", "never")
        compiled = builder.compile(InMemorySaver())
        thread: Any = {"configurable": {"thread_id": "1"}}
        await compiled.ainvoke({}, thread)
        found = await compiled.ainvoke(Command(resume="yes"), thread)
        assert found["log"] == ["yes", "handled"]
        assert ran == ["bad"]

    async def test_a_handler_steps_in_when_the_retries_are_over(
        self, autojump_clock: MockClock
    ) -> None:
        attempts: list[int] = []

        async def bad(state: State) -> State:
            attempts.append(1)
            raise ConnectionError("down")

        async def handle(state: State, error: NodeError) -> State:
            return {"log": [len(attempts)]}

        ran = graph(bad, error_handler=handle, retry_policy=RetryPolicy(max_attempts=3))
        assert (await ran.ainvoke({}))["log"] == [3]

    async def test_a_question_is_no_failure_and_a_handler_may_ask_its_own(self) -> None:
        async def bad(state: State) -> State:
            raise ValueError(interrupt("name?"))

        async def handle(state: State, error: NodeError) -> State:
            return {"log": [f"{error.error}", interrupt("what now?")]}

        ran = graph(bad, {"checkpointer": InMemorySaver()}, error_handler=handle)
        thread = {"configurable": {"thread_id": "1"}}
        assert (await ran.ainvoke({}, thread))["__interrupt__"][0].value == "name?"
        asked = await ran.ainvoke(Command(resume="ada"), thread)
        assert asked["__interrupt__"][0].value == "what now?"
        assert (await ran.ainvoke(Command(resume="go"), thread))["log"] == ["ada", "go"]

    async def test_an_error_of_the_handler_fails_the_run(self) -> None:
        async def bad(state: State) -> State:
            raise ValueError("first")

        async def handle(state: State, error: NodeError) -> State:
            raise KeyError("second")

        with pytest.raises(KeyError, match="second"):
            await graph(bad, error_handler=handle).ainvoke({})


class TestCache:
    @pytest.fixture
    def calls(self) -> list[Any]:
        return []

    @pytest.fixture
    def node(self, calls: list[Any]) -> Node:
        async def node(state: State) -> State:
            calls.append(state["value"])
            return {"log": [len(calls)]}

        return node

    async def test_a_node_is_not_run_again_for_an_input_it_had(
        self, node: Node, calls: list[Any]
    ) -> None:
        ran = graph(node, {"cache": InMemoryCache()}, cache_policy=CachePolicy())
        for value in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, 3):
            await ran.ainvoke({"value": value})
        assert calls == [{"a": 1, "b": 2}, 3]
        async with ran.astream({"value": 3}) as chunks:
            seen = [chunk async for chunk in chunks]
        assert seen == [{"n": {"log": [2]}, "__metadata__": {"cached": True}}]

    async def test_an_outcome_is_forgotten_after_its_time(
        self, node: Node, calls: list[Any]
    ) -> None:
        now = datetime(2030, 1, 1, tzinfo=UTC)
        cache = InMemoryCache(clock=lambda: now)
        ran = graph(node, {"cache": cache}, cache_policy=CachePolicy(ttl=10))
        for _ in range(3):
            await ran.ainvoke({"value": 1})
            now += timedelta(seconds=6)
        assert len(calls) == 2

    async def test_a_graph_called_as_a_node_is_remembered_too(
        self, node: Node, calls: list[Any]
    ) -> None:
        inner = StateGraph(State).add_node("in", node).add_edge(START, "in").compile()
        ran = graph(inner, {"cache": InMemoryCache()}, cache_policy=CachePolicy())
        first = await ran.ainvoke({"value": 1})
        assert await ran.ainvoke({"value": 1}) == first
        assert calls == [1]

    async def test_a_key_function_says_which_inputs_are_the_same(
        self, node: Node, calls: list[Any]
    ) -> None:
        policy = CachePolicy(key_func=lambda state: state["value"].lower())
        ran = graph(node, {"cache": InMemoryCache()}, cache_policy=policy)
        await ran.ainvoke({"value": "A"})
        await ran.ainvoke({"value": "a"})
        assert calls == ["A"]

    async def test_nobody_changes_what_the_cache_holds(self, node: Node) -> None:
        ran = graph(node, {"cache": InMemoryCache()}, cache_policy=CachePolicy())
        for _ in range(3):
            found = await ran.ainvoke({"value": 1})
            assert found["log"] == [1]
            found["log"].append("mine")

    async def test_a_node_can_be_forgotten_by_name(self, node: Node, calls: list[Any]) -> None:
        ran = graph(node, {"cache": InMemoryCache()}, cache_policy=CachePolicy())
        await ran.ainvoke({"value": 1})
        await ran.aclear_cache(["n"])
        await ran.ainvoke({"value": 1})
        ran.clear_cache()
        await ran.ainvoke({"value": 1})
        assert len(calls) == 3
        with pytest.raises(NodeNotFoundError):
            ran.clear_cache(["nobody"])

    async def test_an_input_without_a_key_is_refused_by_node(self, node: Node) -> None:
        ran = graph(node, {"cache": InMemoryCache()}, cache_policy=CachePolicy())
        with pytest.raises(TypeError, match="key_func") as raised:
            await ran.ainvoke({"value": object()})
        assert "node 'n'" in raised.value.__notes__[0]

    async def test_where_an_edge_leads_is_remembered_with_the_update(
        self, node: Node, calls: list[Any]
    ) -> None:
        builder = StateGraph(State).add_node("n", node, cache_policy=CachePolicy())

        async def leaf(state: State) -> State:
            return {"log": [state["value"]]}

        builder.add_node("leaf", leaf).add_edge(START, "n")
        builder.add_conditional_edges("n", lambda state: [Send("leaf", {"value": "sent"})])
        ran = builder.compile(cache=InMemoryCache())
        for _ in range(2):
            assert (await ran.ainvoke({"value": 1}))["log"] == [1, "sent"]
        assert calls == [1]


async def test_no_more_tasks_run_at_once_than_max_concurrency_says(
    autojump_clock: MockClock,
) -> None:
    running = most = 0

    async def node(state: State) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(1)
        running -= 1

    builder = StateGraph(State).add_node("n", node)
    builder.add_conditional_edges(START, lambda state: [Send("n", {}) for _ in range(10)], ["n"])
    ran = builder.compile()
    await ran.ainvoke({}, {"max_concurrency": 3})
    assert most == 3
    with pytest.raises(ValueError, match="max_concurrency"):
        await ran.ainvoke({}, {"max_concurrency": 0})
