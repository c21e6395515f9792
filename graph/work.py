"""A node at work: what it is given, what it returns, and where that leads."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from .asyncio_thread import asyncio_thread
from .context import reset_current_task, set_current_task
from .control import Send
from .errors import AsyncioNodeError, InvalidUpdateError, ParentCommand
from .inner import Call as GraphCall
from .isolation import isolated_state
from .nodes import Branch, Call, Node, check_targets
from .plan import Outcome, apply_step
from .root import shown

if TYPE_CHECKING:
    from .attempt import Task

__all__ = ["handled", "leave", "worked"]

Writes = tuple[tuple[str, Any], ...]
Targets = tuple[str | Send, ...]


async def worked(task: Task) -> Outcome:
    """What an attempt at a task comes to. Raises what `Task.perform` does."""
    try:
        return await task.to_the_end(_run(task))
    except ParentCommand as up:
        said = _said(task, up)
    return await task.to_the_end(_led(task, said))


async def handled(task: Task) -> Outcome:
    """What an error handler makes of a failure: no edge of the node is taken then, only where the
    handler's Commands lead."""
    assert task.node.error_handler is not None
    handler = task.node.error_handler.call
    assert handler is not None
    state = _own(task, task.planned.arg if task.planned.takes_arg else task.values)
    if handler.is_async:
        work = _awaited(task, handler, state)
    else:
        work = task.run.job.world.run_blocking(handler, state, task)
    try:
        returned = await task.to_the_end(work)
    except ParentCommand as up:
        returned = _said(task, up)
    writes, goto = _read(task, returned)
    check_targets(goto, task.node.name, task.run.graph.nodes)
    return Outcome(writes, goto, handled=True)


async def leave(task: Task, writes: Writes, returned: Any) -> Targets:
    """Where a task's conditional edges lead, seeing the state with its own `writes`."""
    token = set_current_task(task)
    try:
        return await _leave(task, writes, returned)
    finally:
        reset_current_task(token)


async def _run(task: Task) -> Outcome:
    node = task.node
    if node.subgraph is not None:
        state = task.planned.arg
        if not task.planned.takes_arg:
            state = shown(node.schema.select(task.values))
        returned = (await task.call_graph(node.subgraph, state, GraphCall())).values
    elif node.call is None:  # START: the input is what it writes
        returned = task.planned.arg
    elif node.call.is_async:
        returned = await _awaited(task, node.call, _given(task))
    elif all(not branch.call.is_async for branch in node.branches):
        # Node and edges in one go: each trip to a worker thread costs as much as a small node.
        return await task.run.job.world.run_blocking(_run_in_thread, task, node.call)
    else:
        returned = await task.run.job.world.run_blocking(node.call, _given(task), task)
    if not node.branches:  # as mostly
        return _checked(task, *_read(task, returned))
    return await _led(task, returned)


def _run_in_thread(task: Task, call: Call) -> Outcome:
    node = task.node
    returned = call(_given(task), task)
    writes, goto = _read(task, returned)
    values = _view(task, writes) if node.branches else {}
    for branch in node.branches:
        view = _branch_state(task, branch, values, returned)
        goto = (*goto, *branch.targets(branch.call(view, task), task.run.graph.channels))
    return _checked(task, writes, goto)


async def _led(task: Task, returned: Any) -> Outcome:
    """What a node returned, and where that and its edges lead."""
    writes, goto = _read(task, returned)
    if task.node.branches:
        goto = (*goto, *await _leave(task, writes, returned))
    return _checked(task, writes, goto)


def _checked(task: Task, writes: Writes, goto: Targets) -> Outcome:
    if goto:
        check_targets(goto, task.node.name, task.run.graph.nodes)
    return Outcome(writes, goto)


def _said(task: Task, up: ParentCommand) -> Any:
    """What a graph inside has said to the graph of the node that called it, as what that returns.

    Raises a command for another graph; in a call, for the node that made it; and
    InvalidUpdateError in an entrypoint.
    """
    try:
        if up.command.graph is not None or task.caller is not None:
            raise up
        if task.node.writer is not None:
            raise InvalidUpdateError(
                f"A graph inside entrypoint {task.node.name!r} returned a Command for the graph "
                f"around it, and an entrypoint has no nodes and no state that it could be for"
            ) from up
        return up.command
    finally:
        del up  # its traceback has this frame


def _given(task: Task) -> Any:
    """What the node gets for its state."""
    if task.planned.takes_arg:
        return _own(task, task.planned.arg)
    return task.node.schema.read(task.values, task.run.remaining, task.node.name)


def _own(task: Task, state: Any) -> Any:
    return isolated_state(state, task.run.graph.untracked)


def _branch_state(task: Task, branch: Branch, values: Mapping[str, Any], returned: Any) -> Any:
    """What a conditional edge gets: the state type that it declares, or what its node would, and,
    where that is a dict, what else the node has `returned`."""
    schema = branch.schema or task.node.schema
    state = schema.read(values, task.run.remaining, task.node.name)
    if branch.schema is not None or schema.build is not None or not isinstance(returned, dict):
        return state
    more = {key: value for key, value in returned.items() if key not in state}
    return {**_own(task, more), **state} if more else state


async def _leave(task: Task, writes: Writes, returned: Any) -> Targets:
    values = _view(task, writes)
    goto: list[str | Send] = []
    for branch in task.node.branches:
        view = _branch_state(task, branch, values, returned)
        chosen = await _ask_branch(task, branch, view)
        goto += branch.targets(chosen, task.run.graph.channels)
    return tuple(goto)


async def _ask_branch(task: Task, branch: Branch, view: Any) -> Any:
    if branch.call.is_async:
        return await _awaited(task, branch.call, view)
    return await task.run.job.world.run_blocking(branch.call, view, task)


def _read(task: Task, returned: Any) -> tuple[Writes, Targets]:
    writes, goto, outer = task.node.read(returned, task.run.graph.channels)
    for command in outer:
        if not task.run.job.ns:
            raise InvalidUpdateError(
                f"Node {task.node.name!r} returned a Command for the graph around this one, "
                f"and there is none"
            )
        raise ParentCommand(command)
    return (*task.pushed, *writes), goto


def _view(task: Task, writes: Writes) -> Mapping[str, Any]:
    named = ((task.planned.node, key, value) for key, value in writes)
    values, _ = apply_step(task.run.graph, task.values, named)
    return values


def _awaited(task: Task, call: Call, given: Any) -> Awaitable[Any]:
    """What an async function of a task's comes to."""
    if call.on_asyncio:
        return asyncio_thread().run(call, given, task, name=task.name)
    return _on_trio(task.node, call(given, task))


async def _on_trio(node: Node, awaitable: Any) -> Any:
    try:
        return await awaitable
    except (RuntimeError, AttributeError, TypeError) as error:
        if not _of_asyncio(error):
            raise
        raise AsyncioNodeError(
            f"Node {node.name!r} awaited something of asyncio. Async nodes run on trio: mark this "
            f"one with '@asyncio_node', which has it run on an asyncio loop; or use trio or anyio "
            f"in it; or make it a plain 'def' node, which runs in a thread"
        ) from error


def _of_asyncio(error: Exception) -> bool:
    """Whether it is asyncio missing its loop, or trio meeting an asyncio future."""
    known = ("trio.run received unrecognized yield message", "no running event loop")
    if str(error).startswith(known):
        return True
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "asyncio"
