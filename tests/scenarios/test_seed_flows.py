"""The flows of the LangGraph documentation, four ways: embedded, and by three HTTP clients."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import trio
from langchain_core.messages import convert_to_messages

import breakpoints
import human
import weather
from greenroom.actors import Greenroom

from .server import PATIENCE, Server

CLIENTS = Path(__file__).parent / "clients"
SPEAKERS = ["human", "ai", "tool", "human", "ai", "tool", "ai"]

Command = list[str | Path]
AgentServer = Callable[[str], Server]


def python(script: str) -> Command:
    return [sys.executable, CLIENTS / f"{script}.py"]


def javascript(script: str) -> Command:
    needs("node")
    if not (CLIENTS / "node_modules/@langchain/langgraph-sdk").exists():
        pytest.skip("the JavaScript SDK is not installed (make javascript)")
    return ["node", CLIENTS / f"{script}.mjs"]


def curl(script: str) -> Command:
    needs("bash", "curl", "jq")
    return ["bash", CLIENTS / f"{script}.sh"]


def needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


every_client = pytest.mark.parametrize("client", [python, javascript, curl])


def run(command: Command, server: Server) -> tuple[list[str], Any]:
    """What a client script printed, line by line, and the report in JSON that is its last line."""
    done = subprocess.run([*command, server.url], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    *printed, report = done.stdout.splitlines()
    return printed, json.loads(report)


def state_of(server: Server, report: dict[str, Any]) -> Any:
    with server.client() as http:
        return http.get(f"/threads/{report['thread_id']}/state").json()


# --- pausing at interrupt(), and resuming ---


def check_question_and_answer(result: dict[str, Any], final: dict[str, Any]) -> None:
    [question] = result["__interrupt__"]
    assert question["value"] == {"text_to_revise": "original text"}
    assert question["resumable"] is True
    assert question["when"] == "during"
    [task] = question["ns"]
    assert task.startswith("human_node:")
    assert final == {"some_text": "Edited text"}


async def test_an_embedded_thread_pauses_at_an_interrupt_and_resumes_with_the_answer() -> None:
    async with Greenroom({"agent": human.graph}) as room:
        thread_id = (await room.client.threads.create())["thread_id"]
        result = await room.client.runs.wait(
            thread_id, "agent", input={"some_text": "original text"}
        )
        final = await room.client.runs.wait(thread_id, "agent", command={"resume": "Edited text"})

    check_question_and_answer(result, final)


@every_client
def test_a_thread_pauses_at_an_interrupt_and_resumes_with_the_answer(
    client: Callable[[str], Command], agent_server: AgentServer
) -> None:
    _, report = run(client("dynamic_interrupt"), agent_server("human.py:graph"))

    check_question_and_answer(report["result"], report["final"])


# --- stopping at breakpoints, and going on without input ---

BREAKPOINTS = {"interrupt_before": ["node_a"], "interrupt_after": ["node_b", "node_c"]}
STOPS = [[], ["node_a", "node_b"], ["node_a", "node_b", "node_c"]]


def check_two_stops(report: dict[str, Any], state: dict[str, Any]) -> None:
    assert [report["result"]["visited"], report["resumed"]["visited"]] == STOPS[:2]
    assert state["next"] == ["node_c"]


@pytest.mark.parametrize(
    ("graph", "given"),
    [(breakpoints.graph, {}), (breakpoints.steps, BREAKPOINTS)],
    ids=["compile time", "run time"],
)
async def test_an_embedded_thread_stops_at_each_breakpoint(graph: Any, given: Any) -> None:
    async with Greenroom({"agent": graph}) as room:
        client = room.client
        thread_id = (await client.threads.create())["thread_id"]
        seen = [
            await client.runs.wait(thread_id, "agent", **given, **sent)
            for sent in ({"input": {"visited": []}}, {"input": None}, {})
        ]
        state = await client.threads.get_state(thread_id)

    assert [values["visited"] for values in seen] == STOPS
    assert state["next"] == []


@every_client
def test_breakpoints_set_at_compile_time_stop_a_run_and_no_input_goes_on(
    client: Callable[[str], Command], agent_server: AgentServer
) -> None:
    server = agent_server("breakpoints.py:graph")
    _, report = run(client("compiled_breakpoints"), server)

    check_two_stops(report, state_of(server, report))


@every_client
def test_breakpoints_given_with_a_run_stop_that_run(
    client: Callable[[str], Command], agent_server: AgentServer
) -> None:
    server = agent_server("breakpoints.py:steps")
    _, report = run(client("runtime_breakpoints"), server)

    check_two_stops(report, state_of(server, report))


@pytest.mark.parametrize("body", [{"input": None}, {}], ids=["null", "left out"])
def test_input_null_and_input_left_out_go_on_to_the_end_alike(
    body: dict[str, None], agent_server: AgentServer
) -> None:
    with agent_server("breakpoints.py:graph").client() as http:
        thread = f"/threads/{http.post('/threads', json={}).json()['thread_id']}"
        seen = [
            http.post(f"{thread}/runs/wait", json={"assistant_id": "agent", **sent}).json()
            for sent in ({"input": {"visited": []}}, body, body)
        ]
        state = http.get(f"{thread}/state").json()

    assert [values["visited"] for values in seen] == STOPS
    assert state["next"] == []


def test_breakpoints_given_with_a_run_are_forgotten_by_the_next(agent_server: AgentServer) -> None:
    with agent_server("breakpoints.py:steps").client() as http:
        thread = f"/threads/{http.post('/threads', json={}).json()['thread_id']}"
        start = {"assistant_id": "agent", "input": {"visited": []}, **BREAKPOINTS}
        http.post(f"{thread}/runs/wait", json=start)
        final = http.post(f"{thread}/runs/wait", json={"assistant_id": "agent"}).json()

    assert final["visited"] == STOPS[-1]


# --- a second text while the first is being answered ---


def check_partial_and_second_answer(state: dict[str, Any], first_status: str) -> None:
    messages = state["values"]["messages"]
    assert [message["type"] for message in messages] == SPEAKERS
    assert [m["content"] for m in messages if m["type"] == "human"] == [
        "what's the weather in sf?",
        "what's the weather in nyc?",
    ]
    assert (
        "High 64F" in messages[2]["content"]
    )  # what the first run had found before it was stopped
    assert "High 79F" in messages[-1]["content"]
    assert [m.type for m in convert_to_messages(messages)] == SPEAKERS
    assert first_status == "interrupted"


async def test_an_embedded_second_text_interrupts_the_first_and_keeps_what_it_had_done(
    mock_clock: trio.testing.MockClock,
) -> None:
    first, second = (
        {"messages": [{"role": "user", "content": f"what's the weather in {city}?"}]}
        for city in ("sf", "nyc")
    )
    async with Greenroom({"agent": weather.graph}) as room:
        runs, threads = room.client.runs, room.client.threads
        thread_id = (await threads.create())["thread_id"]
        async with aclosing(
            runs.stream(thread_id, "agent", input=first, stream_mode="updates")
        ) as parts:
            run_id = (await anext(parts)).data["run_id"]
            async for part in parts:
                if "tools" in part.data:
                    break  # time stands still, so it cannot have written its answer
        run = await runs.create(thread_id, "agent", input=second, multitask_strategy="interrupt")
        mock_clock.rate = 100.0
        await runs.join(thread_id, run["run_id"])
        state = await threads.get_state(thread_id)
        first_status = (await runs.get(thread_id, run_id))["status"]

    check_partial_and_second_answer(state, first_status)


@every_client
def test_a_second_text_interrupts_the_first_and_keeps_what_it_had_done(
    client: Callable[[str], Command], agent_server: AgentServer
) -> None:
    printed, report = run(client("double_texting"), agent_server("weather.py:graph"))

    check_partial_and_second_answer(report["state"], report["first_status"])
    headers = [line.strip("= ").lower() for line in printed if line.startswith("=====")]
    assert [header.removesuffix(" message") for header in headers] == SPEAKERS
