"""Real graphs of drawn shapes, with a record of what ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any

import attrs
import trio

from greenroom.graph import (
    CompiledStateGraph,
    InMemorySaver,
    NodeError,
    RetryPolicy,
    Runtime,
    Send,
    StateGraph,
    interrupt,
)
from greenroom.storage import MemoryStorage, SqliteStorage, StorageSaver, StorageSession

from .shapes import Boom, Role, Route, Shape, State, act, choose, handle, returned

THREAD: Any = {"configurable": {"thread_id": "1"}}


@attrs.define
class Effects:
    """What nodes did. `started`, `ended`: how often each task was tried and came to its end, by
    task id; `tries`: by node. `spoil`: called with what user code is given and gives, and with the
    checkpoint that a node works from.
    """

    started: Counter[str] = attrs.field(factory=Counter)
    ended: Counter[str] = attrs.field(factory=Counter)
    tries: Counter[str] = attrs.field(factory=Counter)
    spoil: Callable[..., None] = lambda *things: None


def build(
    shape: Shape,
    checkpointer: Any = None,
    effects: Effects | None = None,
    *,
    state: Any = State,
    wait: float = 1.0,
) -> CompiledStateGraph:
    """A compiled graph of a shape. `wait`: seconds before the second attempt of a node."""
    effects = effects or Effects()
    builder = StateGraph(state)
    for role in shape.roles:
        builder.add_node(
            role.name,
            _node(shape, role, effects),
            defer=role.defer,
            retry_policy=RetryPolicy(
                max_attempts=role.attempts, initial_interval=wait, jitter=False
            ),
            error_handler=None if role.handled is None else _handler(shape, role),
        )
    for source, target in shape.edges:
        builder.add_edge(source, target)
    for sources, target in shape.joins:
        builder.add_edge(list(sources), target)
    for route in shape.routes:
        builder.add_conditional_edges(route.source, _path(shape, route, effects))
    return builder.compile(checkpointer=checkpointer)


def _node(shape: Shape, role: Role, effects: Effects) -> Callable[..., Any]:
    def begin(task_id: str, attempt: int) -> None:
        effects.started[task_id] += 1
        effects.tries[role.name] += 1
        if role.trouble == "raises" or attempt <= role.fails:
            raise Boom(role.name)

    def ask(asked: Any) -> Any:
        try:
            given = interrupt(asked)
        finally:
            effects.spoil(None, asked, None)
        kept = deepcopy(given)
        effects.spoil(given, None, None)
        return kept

    def work(seen: Any) -> Any:
        if role.trouble == "returns no update":
            return 42
        writes, goto = act(shape, role, seen, ask)
        if role.trouble == "leads nowhere":
            role_of_command = attrs.evolve(role, form="command")
            return returned(role_of_command, writes[:1], ["nowhere"])
        return returned(role, writes, goto)

    async def node(seen: Any, runtime: Runtime[Any]) -> Any:
        about = runtime.execution_info
        begin(about.task_id, about.node_attempt)
        for _ in range(role.waits):
            await trio.lowlevel.checkpoint()
        made = work(seen)
        effects.spoil(seen, made, about.checkpoint_id)
        effects.ended[about.task_id] += 1
        return made

    def plain(seen: Any, runtime: Runtime[Any]) -> Any:
        about = runtime.execution_info
        begin(about.task_id, about.node_attempt)
        made = work(seen)
        effects.spoil(seen, made, about.checkpoint_id)
        return made

    return node if role.is_async else plain


def _handler(shape: Shape, role: Role) -> Callable[..., Any]:
    async def handler(seen: Any, error: NodeError) -> Any:
        assert (error.node, repr(error.error)) == (role.name, repr(Boom(role.name)))
        writes, goto = handle(shape, role, seen)
        return returned(attrs.evolve(role, form="command"), writes, goto)

    return handler


def _path(shape: Shape, route: Route, effects: Effects) -> Callable[..., Any]:
    def path(seen: Any) -> Any:
        chosen = choose(shape, route, seen)
        effects.spoil(seen, sends(chosen), None)
        return chosen

    async def async_path(seen: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return path(seen)

    return async_path if route.is_async else path


async def saver(stack: AsyncExitStack, kind: str, file: Path | None = None) -> Any:
    """A checkpointer that lasts as long as `stack`: `none`, `memory`, `storage` or `sqlite`."""
    if kind == "none":
        return None
    if kind == "memory":
        return InMemorySaver()
    if kind == "storage":
        storage: Any = MemoryStorage()
    else:
        assert file is not None
        storage = SqliteStorage(file)
    return StorageSaver(await stack.enter_async_context(StorageSession(storage)))


def sends(targets: list[Any]) -> list[Send]:
    return [to for to in targets if isinstance(to, Send)]
