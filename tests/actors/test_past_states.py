"""The history as JSON: what was shown before is shown again, as long as it is so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import langgraph.graph
import langgraph.types
import pytest

from greenroom.actors import Client, Invalid, NotFound
from greenroom.actors.client.past import PastState, PastStates
from greenroom.actors.views import state_view
from greenroom.graph import StateGraph, interrupt
from greenroom.graph.checkpoint import StateSnapshot
from greenroom.storage.codec import to_json

from .conftest import Serve
from .stage import State, chain, fails, new_thread, says, text


def asks(interrupt: Callable[[Any], Any]) -> Callable[[State], State]:
    def ask(state: State) -> State:
        return {"log": [interrupt(f"{state['text']}?")]} if state["text"] == "ask" else {}

    return ask


async def shown(client: Client, thread_id: str) -> list[dict[str, Any]]:
    """The history, which is the same however it is asked for."""
    history = await client.threads.get_history(thread_id, limit=100)
    for limit in (100, 3):  # what was made for the first is there for the second
        as_json = await client.threads.get_history_json(thread_id, limit=limit)
        assert as_json == to_json(history[:limit])
    for before in [state["checkpoint_id"] for state in history[:4]]:
        older = await client.threads.get_history(thread_id, limit=2, before=before)
        as_json = await client.threads.get_history_json(thread_id, limit=2, before=before)
        assert as_json == to_json(older)
    return history


@pytest.mark.parametrize(
    ("of", "question"),
    [(StateGraph, interrupt), (langgraph.graph.StateGraph, langgraph.types.interrupt)],
    ids=["ours", "langgraph"],
)
async def test_it_is_the_history_whatever_has_become_of_the_thread(
    serve: Serve, of: Any, question: Any
) -> None:
    async with serve(chain(of=of, a=says("a"), ask=asks(question), b=says("b"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        runs, threads = client.runs, client.threads
        assert await shown(client, thread_id) == []
        await runs.wait(thread_id, "agent", input=text("x"))
        first = (await shown(client, thread_id))[0]
        await runs.wait(thread_id, "agent", input=text("x"), interrupt_before=["b"])
        stands = (await shown(client, thread_id))[0]
        assert (stands["next"], stands["tasks"][0]["result"]) == (["b"], None)
        await runs.wait(thread_id, "agent", input=None)
        stood = (await shown(client, thread_id))[1]
        assert stood["tasks"][0]["result"] == {"log": ["b"]}
        await runs.wait(thread_id, "agent", input=text("ask"))
        paused = (await shown(client, thread_id))[0]
        assert paused["interrupts"]
        await runs.wait(thread_id, "agent", command={"resume": "yes"})
        assert (await shown(client, thread_id))[1]["values"]["log"][-1] == "yes"
        await threads.update_state(thread_id, {"log": ["by hand"]}, as_node="a")
        await shown(client, thread_id)
        await runs.wait(thread_id, "agent", input=text("fork"), checkpoint=first["checkpoint"])
        await runs.wait(thread_id, "agent", input=None, checkpoint=paused["checkpoint"])
        assert (await shown(client, thread_id))[0]["interrupts"]
        await runs.wait(thread_id, "agent", command={"resume": "no"})
        assert (await shown(client, thread_id))[0]["values"]["log"][-2:] == ["no", "b"]
        copy = (await threads.copy(thread_id))["thread_id"]
        await shown(client, copy)
        await threads.prune([thread_id], strategy="keep_latest")
        (only,) = await shown(client, thread_id)
        assert only["parent_checkpoint"] is None


async def test_failures_that_are_made_good_later_are_shown_so(serve: Serve) -> None:
    async with serve(chain(a=says("a"), fails=fails)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"), raise_error=False)
        failed = (await shown(client, thread_id))[0]
        assert failed["tasks"][0]["error"]
        await client.threads.update_state(thread_id, {"log": ["mended"]}, as_node="fails")
        assert (await shown(client, thread_id))[0]["next"] == []


async def test_what_was_shown_is_not_made_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def view(state: StateSnapshot) -> dict[str, Any]:
        made.append(state.config["configurable"]["checkpoint_id"])
        return state_view(state)

    monkeypatch.setattr("greenroom.actors.client.history.state_view", view)
    async with serve(chain(a=says("a"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        for _ in range(5):
            await client.runs.wait(thread_id, "agent", input=text("x"))
        before = await client.threads.get_history_json(thread_id, limit=100)
        assert len(made) == 15
        assert await client.threads.get_history_json(thread_id, limit=100) == before
        assert len(made) == 15
        await client.runs.wait(thread_id, "agent", input=text("x"))
        after = await client.threads.get_history_json(thread_id, limit=100)
        assert after.endswith(before[-1000:])
        # Three are new, and the newest of before has a checkpoint after it now.
        assert len(made) == 15 + 3 + 1


async def test_what_cannot_be_shown_is_refused_as_ever(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        history = client.threads.get_history_json
        with pytest.raises(NotFound):
            await history("00000000-0000-0000-0000-000000000001")
        with pytest.raises(Invalid, match="limit"):
            await history(thread_id, limit=0)
        with pytest.raises(Invalid, match="checkpoint_ns"):
            await history(thread_id, checkpoint={"checkpoint_ns": "nowhere:1"})
        assert await history(thread_id, before="00000000-0000-0000-0000-000000000001") == b"[]"
        assert await history(thread_id, metadata={"step": 77}) == b"[]"
        await client.threads.delete(thread_id)
        with pytest.raises(NotFound):
            await history(thread_id)


def test_what_has_not_been_asked_for_the_longest_goes_first() -> None:
    past = PastStates(most=4000)
    one, two, three, four = (PastState("t", "agent", f"c{n}", 0, None) for n in range(4))
    for state in (one, two, three):
        past.keep(state, b"x" * 800)
    assert past.get(one) is not None
    past.keep(four, b"x" * 800)
    assert [past.get(state) is not None for state in (one, two, three, four)] == [
        True,
        False,
        True,
        True,
    ]
    past.keep(two, b"x" * 1001)  # it would drive out too many others
    assert past.get(two) is None
    assert past.get(one) is not None
