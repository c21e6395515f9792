"""What a graph should do, played out plainly: no I/O, no concurrency, nothing of the engine's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from greenroom.graph import (
    END,
    START,
    GraphRecursionError,
    InvalidUpdateError,
    NodeNotFoundError,
    Overwrite,
    Send,
)

from .shapes import KEYS, Boom, Role, Shape, act, answer, choose, handle

FADING = ("agreed", "brief", "loose", "news")
SINGLE = ("one", "two", "brief")
MISSING = object()

State = dict[str, Any]
Writes = list[tuple[str, Any]]


@attrs.define
class Told:
    """How a run goes. `steps`: the nodes of each super-step, in task order; `shown`: as states have
    them, those of `Send`s first; `states`: after the input and after each of them. `asked`,
    `attempts`: how many questions, and how often each node is tried. `waited`: seconds. `errors`:
    what the run may end with, after the states that are there; `within` a task, or when the writes
    of several come together.
    """

    steps: list[tuple[str, ...]] = attrs.field(factory=list)
    shown: list[tuple[str, ...]] = attrs.field(factory=list)
    states: list[State] = attrs.field(factory=list)
    updates: list[dict[str, Any]] = attrs.field(factory=list)
    values: list[State] = attrs.field(factory=list)
    asked: int = 0
    attempts: Counter[str] = attrs.field(factory=Counter)
    waited: float = 0.0
    errors: set[type[Exception]] = attrs.field(factory=set)
    within: bool = False

    @property
    def final(self) -> State:
        return self.states[-1]

    @property
    def tasks(self) -> int:
        return sum(len(step) for step in self.steps)


class Failed(Exception):
    """A task or a super-step that came to an error."""

    def __init__(self, *kinds: type[Exception]) -> None:
        self.kinds = set(kinds)


def blank() -> State:
    return {"depth": 0, "replies": [], "log": [], "total": 0, "names": set(), "tree": {}}


def play(
    shape: Shape,
    given: Mapping[str, Any],
    held: State | None = None,
    *,
    arrived: dict[int, set[str]] | None = None,
    limit: int = 25,
) -> Told:
    """A turn with an input. `held`: the state that the last one left; `arrived`: for each join,
    the sources that have run, kept for the next turn."""
    told = Told()
    state = blank() if held is None else dict(held)
    arrived = {} if arrived is None else arrived
    resting: set[str] = set()
    tasks: list[tuple[str, Any]] = [(START, given)]
    while tasks:
        if tasks[0][0] != START:
            if len(told.steps) == limit:
                told.errors = {GraphRecursionError}
                break
            told.steps.append(tuple(name for name, _ in tasks))
            sends_first = sorted(tasks, key=lambda task: task[1] is None)
            told.shown.append(tuple(name for name, _ in sends_first))
        try:
            done = _perform(shape, tasks, state, told)
            for (name, _), (writes, _, handled) in zip(tasks, done, strict=True):
                if name != START:
                    shown = f"__error_handler__{name}" if handled else name
                    told.updates.append({shown: _shown(writes)})
            state = _after(state, [writes for writes, _, _ in done])
        except Failed as failed:
            told.errors = failed.kinds
            break
        told.states.append(state)
        if any(writes for writes, _, _ in done):
            told.values.append(state)
        leads: list[Any] = []
        for (name, _), (_, goto, handled) in zip(tasks, done, strict=True):
            leads += goto
            if handled:
                continue
            leads += [end for start, end in shape.edges if start == name]
            for number, (sources, _) in enumerate(shape.joins):
                if name in sources:
                    arrived.setdefault(number, set()).add(name)
        for number, (sources, end) in enumerate(shape.joins):
            if arrived.get(number) == set(sources):
                del arrived[number]
                leads.append(end)
        tasks = _next(shape, leads, resting)
    return told


def _perform(
    shape: Shape, tasks: list[tuple[str, Any]], state: State, told: Told
) -> list[tuple[Writes, list[Any], bool]]:
    done, waits, failed = [], [0.0], set()
    for name, arg in tasks:
        try:
            if name == START:
                done.append((list(arg.items()), _routes(shape, name, state, arg.items()), False))
                continue
            role, seen = shape.role(name), state if arg is None else arg
            writes, goto, handled = _attempts(shape, role, seen, told, waits)
            if not handled:
                goto = [*goto, *_routes(shape, name, state, writes)]
                if role.trouble == "leads nowhere":
                    raise Failed(NodeNotFoundError)
            done.append((writes, goto, handled))
        except Failed as one:
            failed |= one.kinds
    told.waited += max(waits)
    if failed:
        told.within = True
        raise Failed(*failed)
    return done


def _attempts(
    shape: Shape, role: Role, seen: State, told: Told, waits: list[float]
) -> tuple[Writes, list[Any], bool]:
    if role.trouble == "raises":
        raise Failed(Boom)
    if role.trouble == "returns no update":
        raise Failed(InvalidUpdateError)
    tries = min(role.fails + 1, role.attempts)
    told.attempts[role.name] += tries
    waits.append(sum(2.0**number for number in range(tries - 1)))
    if role.fails >= role.attempts:
        if role.handled is None:
            raise Failed(Boom)
        return *handle(shape, role, seen), True

    def ask(asked: str) -> Any:
        told.asked += 1
        return answer(asked)

    writes, goto = act(shape, role, seen, ask)
    return writes, goto, False


def _routes(shape: Shape, name: str, state: State, writes: Any) -> list[Any]:
    """Where a node's conditional edges lead, which see the state with its own writes."""
    routes = [route for route in shape.routes if route.source == name]
    if not routes:
        return []
    seen = _after(state, [list(writes)])
    return [to for route in routes for to in choose(shape, route, seen)]


def _next(shape: Shape, leads: list[Any], resting: set[str]) -> list[tuple[str, Any]]:
    """Nodes by name, then `Send`s in their order; a deferred node when nothing else is left."""
    sends = [(to.node, to.arg) for to in leads if isinstance(to, Send)]
    names = {to for to in leads if isinstance(to, str) and to != END}
    resting |= {name for name in names if shape.role(name).defer}
    names -= resting
    if not names and not sends:
        names = set(resting)
        resting.clear()
    return [*((name, None) for name in sorted(names)), *sends]


def _after(state: State, writes: list[Writes]) -> State:
    written = {key for one in writes for key, _ in one}
    after = _folded(state, writes)
    return _ordered({k: v for k, v in after.items() if k not in FADING or k in written})


def _folded(state: State, writes: list[Writes]) -> State:
    by_key: dict[str, list[Any]] = {}
    for key, value in (pair for one in writes for pair in one):
        by_key.setdefault(key, []).append(value)
    return {**state, **{k: FOLDS.get(k, _last)(k, state.get(k), v) for k, v in by_key.items()}}


def _last(key: str, held: Any, values: list[Any]) -> Any:
    if key in SINGLE and len(values) > 1:
        raise Failed(InvalidUpdateError)
    return values[-1].value if isinstance(values[-1], Overwrite) else values[-1]


def _collected(key: str, held: Any, values: list[Any]) -> Any:
    """A topic; an `Overwrite` means nothing special to it."""
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return [*(held or []), *flat] if key == "annals" else flat


def _by(operator: Callable[[Any, Any], Any]) -> Callable[[str, Any, list[Any]], Any]:
    def fold(key: str, held: Any, values: list[Any]) -> Any:
        fresh = [value.value for value in values if isinstance(value, Overwrite)]
        if len(fresh) > 1:
            raise Failed(InvalidUpdateError)
        if fresh:
            return fresh[0]
        for value in values:
            held = operator(held, value)
        return held

    return fold


def _grafted(tree: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """`value_of("tree", …)` put into a tree."""
    by = {name: list(tags) for name, tags in tree.get("by", {}).items()}
    for name, tags in given["by"].items():
        by[name] = by.get(name, []) + tags
    last = tree.get("last", {}).get("by", []) + given["last"]["by"]
    return {"by": by, "last": {"by": last}}


FOLDS: dict[str, Callable[[str, Any, list[Any]], Any]] = {
    "depth": _by(max),
    "replies": _by(lambda held, given: held + given),
    "log": _by(lambda held, given: held + given),
    "total": _by(lambda held, given: held + given),
    "names": _by(lambda held, given: held | given),
    "tree": _by(_grafted),
    "news": _collected,
    "annals": _collected,
}


def _ordered(state: State) -> State:
    """In the order in which the state is declared."""
    return {key: state[key] for key in ("depth", "replies", *KEYS) if key in state}


def _shown(writes: Writes) -> Any:
    """As the `updates` stream shows it: a key written twice begins another dict."""
    parts: list[dict[str, Any]] = []
    for key, value in writes:
        if not parts or key in parts[-1]:
            parts.append({})
        parts[-1][key] = value
    return parts if len(parts) > 1 else (parts[0] if parts else None)
