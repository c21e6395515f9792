"""A storage that fails: what the client is told, and that nothing is there which it was refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from greenroom.actors import Greenroom
from greenroom.graph import CompiledStateGraph
from greenroom.storage import (
    AppendLog,
    DeleteRun,
    DeleteThread,
    InsertThread,
    PutRun,
    PutThread,
    SqliteStorage,
)
from greenroom.storage.testing import FaultyStorage

from .conftest import Gate, refusal

OUTAGE = (503, "The storage failed; try again later")


@pytest.fixture
def storage(tmp_path: Path) -> FaultyStorage:
    return FaultyStorage(SqliteStorage(tmp_path / "agents.db"))


@pytest.fixture
async def room(
    graphs: dict[str, CompiledStateGraph], storage: FaultyStorage
) -> AsyncIterator[Greenroom]:
    async with Greenroom(graphs, storage=storage) as room:
        yield room


def is_a(kind: type) -> Callable[[Any], bool]:
    return lambda operation: isinstance(operation, kind)


def reads(name: str) -> Callable[[Any], bool]:
    return lambda read: bool(read == name)


RUN = {"assistant_id": "abc", "input": {"log": ["y"]}}


async def everything(http: httpx.AsyncClient, thread: str) -> list[Any]:
    answers = [
        await http.get(thread),
        await http.get(f"{thread}/runs"),
        await http.post(f"{thread}/history", json={}),
        await http.post("/threads/count", json={}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    return [answer.json() for answer in answers]


@pytest.mark.parametrize("at", ["before", "middle"])
@pytest.mark.parametrize(
    ("method", "path", "body", "refused"),
    [
        ("POST", "/threads", {}, InsertThread),
        ("POST", "/threads", {"thread_id": "11111111-0000-4000-8000-000000000000"}, InsertThread),
        ("PATCH", "{thread}", {"metadata": {"a": 2}}, PutThread),
        ("POST", "{thread}/state", {"values": {"log": ["z"]}}, AppendLog),
        ("POST", "{thread}/runs", RUN, PutRun),
        ("POST", "{thread}/runs/wait", RUN, PutRun),
        ("POST", "{thread}/runs/stream", RUN, PutRun),
        ("DELETE", "{run}", None, DeleteRun),
        ("DELETE", "{thread}", None, DeleteThread),
    ],
)
async def test_what_cannot_be_stored_is_refused_and_leaves_everything_as_it_was(
    http: httpx.AsyncClient,
    storage: FaultyStorage,
    thread: str,
    caplog: pytest.LogCaptureFixture,
    at: Any,
    method: str,
    path: str,
    body: Any,
    refused: type,
) -> None:
    await http.post(f"{thread}/runs/wait", json={**RUN, "input": {"log": ["x"]}})
    [run] = (await http.get(f"{thread}/runs")).json()
    before = await everything(http, thread)
    storage.fail(at, is_a(refused))

    where = path.format(thread=thread, run=f"{thread}/runs/{run['run_id']}")
    assert refusal(await http.request(method, where, json=body)) == OUTAGE

    assert "the disk is full" in caplog.text
    assert await everything(http, thread) == before
    # The disk is back, and so is the thread.
    answer = await http.post(f"{thread}/runs/wait", json=RUN)
    assert answer.json()["log"] == ["x", "a", "b", "c", "y", "a", "b", "c"]
    assert await everything(http, thread) != before
    assert (await http.request(method, where, json=body)).is_success


@pytest.mark.parametrize("read", ["get_thread", "get_run", "list_runs", "search_threads"])
async def test_what_cannot_be_read_is_refused_until_it_can(
    http: httpx.AsyncClient,
    storage: FaultyStorage,
    thread: str,
    caplog: pytest.LogCaptureFixture,
    read: str,
) -> None:
    asleep = (await http.post("/threads", json={})).json()["thread_id"]
    run = (await http.post(f"{thread}/runs", json=RUN)).json()["run_id"]
    await http.get(f"{thread}/runs/{run}/join")
    for _ in range(5):  # after which an actor has no room in mind for the first one
        await http.post(f"{thread}/runs/wait", json=RUN)
    calls = {
        "get_thread": lambda: http.get(f"/threads/{asleep}"),
        "get_run": lambda: http.get(f"{thread}/runs/{run}"),
        "list_runs": lambda: http.get(f"{thread}/runs"),
        "search_threads": lambda: http.post("/threads/search", json={}),
    }
    storage.fail("read", reads(read))
    assert refusal(await calls[read]()) == OUTAGE
    assert (await calls[read]()).status_code == 200


async def test_a_thread_that_cannot_be_read_takes_no_message_until_it_can(
    http: httpx.AsyncClient,
    storage: FaultyStorage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    own = "11111111-0000-4000-8000-000000000000"  # a caller's id, which may be there already
    storage.fail("read", reads("last_log_seq"))
    assert refusal(await http.post("/threads", json={"thread_id": own})) == OUTAGE
    assert (await http.post("/threads", json={"thread_id": own})).is_success
    answer = await http.post(f"/threads/{own}/runs/wait", json=RUN)
    assert answer.json()["log"] == ["y", "a", "b", "c"]


@pytest.mark.parametrize("kind", [AppendLog, PutThread])
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("at", ["before", "after"])
async def test_a_run_that_was_accepted_outlives_an_outage(
    http: httpx.AsyncClient,
    storage: FaultyStorage,
    thread: str,
    gate: Gate,
    caplog: pytest.LogCaptureFixture,
    kind: type,
    durability: str,
    at: Any,
) -> None:
    body = {"assistant_id": "held", "input": {"log": ["x"]}, "durability": durability}
    run = (await http.post(f"{thread}/runs", json=body)).json()["run_id"]
    await gate.reached.wait()
    storage.fail(at, is_a(kind), times=2)
    gate.opened.set()

    answer = await http.get(f"{thread}/runs/{run}/join")

    assert answer.json()["log"] == ["x", "before", "held", "after"]
    [found] = (await http.get(f"{thread}/runs")).json()
    assert found["status"] == "success"
    assert (await http.get(thread)).json()["status"] == "idle"
