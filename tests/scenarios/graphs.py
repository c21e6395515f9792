"""Graphs that a test can hold in the middle: they wait for a file, their gate, to appear."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import trio

from greenroom.graph import (
    END,
    START,
    BaseStore,
    MessagesState,
    Runtime,
    StateGraph,
    emit_message,
    interrupt,
    step,
)


class GatedState(TypedDict):
    text: str
    gate: str
    log: Annotated[list[str], operator.add]


async def opened(gate: str) -> None:
    while not await trio.Path(gate).exists():  # noqa: ASYNC110  (another process opens it)
        await trio.sleep(0.01)


def read(state: GatedState) -> dict[str, list[str]]:
    return {"log": [f"read {state['text']}"]}


async def work(state: GatedState) -> dict[str, list[str]]:
    await opened(state["gate"])
    return {"log": [f"did {state['text']}"]}


def answer(state: GatedState) -> dict[str, list[str]]:
    return {"log": [f"answered {state['text']}"]}


gated_builder = StateGraph(GatedState)
gated_builder.add_node("read", read)
gated_builder.add_node("work", work)
gated_builder.add_node("answer", answer)
gated_builder.add_edge(START, "read")
gated_builder.add_edge("read", "work")
gated_builder.add_edge("work", "answer")
gated_builder.add_edge("answer", END)

gated = gated_builder.compile()


class Approvals(TypedDict):
    gate: str
    deleted: str
    paid: str


async def delete_files(state: Approvals) -> dict[str, str]:
    approval = interrupt("delete the files?")
    await opened(state["gate"])
    return {"deleted": approval}


def pay(state: Approvals) -> dict[str, str]:
    return {"paid": interrupt("pay the bill?")}


questions_builder = StateGraph(Approvals)
questions_builder.add_node("delete_files", delete_files)
questions_builder.add_node("pay", pay)
questions_builder.add_edge(START, "delete_files")
questions_builder.add_edge("delete_files", "pay")
questions_builder.add_edge("pay", END)

questions = questions_builder.compile()


class Purchase(TypedDict):
    gate: str
    till: str
    receipt: str


def charge(till: str, *, idempotency_key: str) -> str:
    with open(till, "a") as file:
        file.write(f"{idempotency_key}\n")
    return f"paid under {idempotency_key}"


async def buy(state: Purchase) -> dict[str, str]:
    receipt = await step("charge", charge, state["till"])
    await trio.Path(f"{state['till']}.paid").touch()
    await opened(state["gate"])
    return {"receipt": receipt}


async def buy_in_doubt(state: Purchase) -> dict[str, str]:
    async def charge_and_wait(*, idempotency_key: str) -> str:
        receipt = charge(state["till"], idempotency_key=idempotency_key)
        await opened(state["gate"])
        return receipt

    return {"receipt": await step("charge", charge_and_wait)}


def shop(node: Any) -> Any:
    builder = StateGraph(Purchase).add_node("buy", node)
    return builder.add_edge(START, "buy").compile()


buying = shop(buy)
buying_in_doubt = shop(buy_in_doubt)


class User(TypedDict, total=False):
    name: str
    known: dict[str, str]


def recall(state: User, store: BaseStore) -> User:
    item = store.get(("users", state["name"]), "likes")
    return {"known": item.value if item else {}}


remembers = StateGraph(User).add_node("recall", recall).add_edge(START, "recall").compile()


async def talk(state: MessagesState) -> MessagesState:
    """Says again what it is told, word by word, and waits at each gate; is asked to ask, asks; to
    wait, waits for good."""
    text = state["messages"][-1]["content"]
    if text == "ask":
        text = f"so {interrupt('what?')}"
    elif text == "wait":
        await trio.sleep_forever()
    said = {"type": "AIMessageChunk", "id": f"said-{len(state['messages'])}"}
    for word in text.split():
        if word.startswith("/"):
            await opened(word)
        emit_message({**said, "content": f"{word} "})
    return {"messages": [{"role": "assistant", "content": text, "id": said["id"]}]}


talks = StateGraph(MessagesState).add_node("talk", talk).add_edge(START, "talk").compile()


class Settings(TypedDict, total=False):
    model: str


def read_settings(state: Settings, runtime: Runtime[Settings]) -> Settings:
    return {"model": runtime.context["model"]}


reading = StateGraph(Settings).add_node("read", read_settings).add_edge(START, "read").compile()
configured = (
    StateGraph(Settings, context_schema=Settings)
    .add_node("inner", reading)
    .add_edge(START, "inner")
    .compile()
)


class Trip(TypedDict, total=False):
    city: str
    hotel: str
    notes: Annotated[list[str], operator.add]


def find(state: Trip) -> Trip:
    return {"hotel": f"the Grand of {state['city']}", "notes": ["found"]}


def approve(state: Trip) -> Trip:
    return {"notes": [f"approved: {interrupt({'book': state['hotel']})}"]}


search = StateGraph(Trip).add_node("find", find).add_edge(START, "find").compile()
trips = (
    StateGraph(Trip)
    .add_node("search", search)
    .add_node("approve", approve)
    .add_edge(START, "search")
    .add_edge("search", "approve")
    .compile()
)
