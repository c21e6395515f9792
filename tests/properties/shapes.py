"""Graphs as data: what Hypothesis draws, what the model plays and what real graphs are built of."""

from __future__ import annotations

import operator
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict

import attrs
from hypothesis import strategies as st

from greenroom.graph import (
    END,
    START,
    AnyValue,
    Command,
    EphemeralValue,
    Overwrite,
    Send,
    Topic,
)

Trouble = Literal["raises", "returns no update", "leads nowhere"]
Form = Literal["dict", "nothing", "command", "pairs", "several"]

KEYS = (
    "log",
    "total",
    "names",
    "tree",
    "one",
    "two",
    "agreed",
    "brief",
    "loose",
    "news",
    "annals",
)


class Boom(Exception):
    """What nodes raise."""


def merged(held: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Both, to any depth; lists are put together, and other values replaced."""
    both = dict(held)
    for key, value in given.items():
        old = both.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            both[key] = merged(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            both[key] = [*old, *value]
        else:
            both[key] = value
    return both


class State(TypedDict, total=False):
    """`depth`: how many super-steps led here; loops end by it."""

    depth: Annotated[int, max]
    replies: Annotated[list[Any], operator.add]
    log: Annotated[list[Any], operator.add]
    total: Annotated[int, operator.add]
    names: Annotated[set[str], operator.or_]
    tree: Annotated[dict[str, Any], merged]
    one: Any
    two: Any
    agreed: Annotated[Any, AnyValue]
    brief: Annotated[Any, EphemeralValue]
    loose: Annotated[Any, EphemeralValue(Any, guard=False)]
    news: Annotated[list[Any], Topic(Any)]
    annals: Annotated[list[Any], Topic(Any, accumulate=True)]


@attrs.frozen
class Target:
    """Where a Command or a conditional edge leads. `send`: with an input of its own."""

    node: str
    send: bool = False


@attrs.frozen(kw_only=True)
class Role:
    """A node. `waits`: checkpoints of trio that an async one passes. `writes`: keys, each with
    whether it is overwritten. `goto`: of its Command, while `depth` is below the shape's. `asks`:
    how many questions. `trouble`: how it fails for good. `fails`, `attempts`: how many attempts
    fail before one succeeds, and how many there are. `handled`: where its error handler leads, if
    it has one.
    """

    name: str
    is_async: bool = True
    waits: int = 0
    defer: bool = False
    form: Form = "dict"
    writes: tuple[tuple[str, bool], ...] = ()
    goto: tuple[Target, ...] = ()
    asks: int = 0
    trouble: Trouble | None = None
    fails: int = 0
    attempts: int = 1
    handled: tuple[Target, ...] | None = None


@attrs.frozen(kw_only=True)
class Route:
    """A conditional edge. `early` while `depth` is below the shape's, `late` from then on."""

    source: str
    is_async: bool = False
    early: tuple[Target, ...]
    late: tuple[Target, ...]


@attrs.frozen(kw_only=True)
class Shape:
    """A graph. Its edges and joins lead on in the order of `roles`, so that they make no loop."""

    roles: tuple[Role, ...]
    edges: tuple[tuple[str, str], ...]
    joins: tuple[tuple[tuple[str, ...], str], ...] = ()
    routes: tuple[Route, ...] = ()
    depth: int = 0

    def role(self, name: str) -> Role:
        return next(role for role in self.roles if role.name == name)


# What nodes do. It depends on all that they see, so that a wrong view shows in the state.


def digest(seen: Any) -> str:
    return f"{zlib.crc32(repr(_plain(seen)).encode()):08x}"


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case set():
            return sorted(value)
        case _:
            return value


def value_of(key: str, tag: str) -> Any:
    match key:
        case "total":
            return len(tag) + int(tag[-1], 16)
        case "names":
            return {tag}
        case "tree":
            return {"by": {tag[0]: [tag]}, "last": {"by": [tag]}}
        case "log" | "news":
            return [[tag], {"by": [tag]}]
        case _:
            return {"by": [tag, {"in": [tag]}]}


def question(tag: str, number: int) -> dict[str, Any]:
    return {"ask": [tag, number]}


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    return {"to": [asked["ask"]]}


def act(
    shape: Shape, role: Role, seen: Mapping[str, Any], ask: Callable[[Any], Any]
) -> tuple[list[tuple[str, Any]], list[Any]]:
    """What a node writes, in order, and where its Command leads."""
    tag = f"{role.name}{digest(dict(seen))}"
    if role.form == "nothing":
        return [], []
    answers = [ask(question(tag, number)) for number in range(role.asks)]
    writes = [("depth", seen.get("depth", 0) + 1)]
    if answers:
        writes.append(("replies", answers))
    for key, overwrites in role.writes:
        value = value_of(key, tag)
        overwrites = overwrites and key not in ("news", "annals")  # a topic would hold it
        writes.append((key, Overwrite(value) if overwrites else value))
    return writes, targets(role.goto, seen) if seen.get("depth", 0) < shape.depth else []


def handle(
    shape: Shape, role: Role, seen: Mapping[str, Any]
) -> tuple[list[tuple[str, Any]], list[Any]]:
    """The same of a node's error handler."""
    writes = [("depth", seen.get("depth", 0) + 1), ("log", [f"{role.name} failed"])]
    goto = targets(role.handled or (), seen) if seen.get("depth", 0) < shape.depth else []
    return writes, goto


def choose(shape: Shape, route: Route, seen: Mapping[str, Any]) -> list[Any]:
    return targets(route.early if seen.get("depth", 0) < shape.depth else route.late, seen)


def targets(given: Sequence[Target], seen: Mapping[str, Any]) -> list[Any]:
    """Targets with what `Send`s bring: enough of the state to bound a loop."""
    arg = {"depth": seen.get("depth", 0) + 1, "from": [digest(dict(seen))]}
    return [Send(to.node, {**arg, "to": to.node}) if to.send else to.node for to in given]


def returned(role: Role, writes: list[tuple[str, Any]], goto: list[Any]) -> Any:
    """What a node returns to say so."""
    match role.form:
        case "nothing":
            return None
        case "dict":
            return dict(writes)
        case "command":
            return Command(update=dict(writes), goto=goto)
        case "pairs":
            return Command(update=writes, goto=goto)
        case "several":
            head = [dict([pair]) for pair in writes]
            return [*head, *(Command(goto=to) for to in goto), Command()]


# What Hypothesis draws.


@st.composite
def shapes(
    draw: st.DrawFn,
    *,
    nodes: int = 7,
    depth: int = 3,
    asks: int = 0,
    troubles: bool = False,
    fails: bool = False,
    writers: bool = True,
) -> Shape:
    """`nodes`, `depth`, `asks`: at most. `troubles`: nodes may fail for good. `fails`: they may
    fail for a while. `writers`: keys that take one writer only may be written.
    """
    count = draw(st.integers(2, nodes))
    names = draw(st.permutations("abcdefg"))[:count]
    safe = tuple(key for key in KEYS if key not in ("one", "two", "brief"))
    keys = (*safe, *safe, *KEYS) if writers else safe
    ends = st.sampled_from([*names, END])
    anywhere = st.builds(Target, st.sampled_from(names), st.just(True)) | st.builds(Target, ends)
    few = st.lists(anywhere, min_size=1, max_size=3).map(tuple)
    roles = []
    for name in names:
        form = draw(
            st.sampled_from(["dict", "dict", "command", "command", "pairs", "several", "nothing"])
        )
        writes = draw(
            st.lists(
                st.tuples(st.sampled_from(keys), st.sampled_from([False] * 7 + [True])),
                max_size=3,
                unique_by=(lambda pair: pair[0])
                if form in ("dict", "command") or not writers
                else None,
            )
        )
        roles.append(
            Role(
                name=name,
                is_async=draw(st.sampled_from([True, True, False])),
                waits=draw(st.integers(0, 2)),
                defer=draw(st.sampled_from([False] * 4 + [True])),
                form=form,
                writes=tuple(writes),
                goto=() if form in ("dict", "nothing") else draw(few),
                asks=draw(st.integers(0, asks)) if form != "nothing" else 0,
                trouble=draw(st.sampled_from([None] * 30 + list(TROUBLES))) if troubles else None,
                **(draw(_failing(names)) if fails else {}),
            )
        )
    edges, joins, routes = set(), set(), []
    for at, name in enumerate(names):
        later = names[at + 1 :]
        if draw(st.booleans()) or at == 0:
            edges.add((START, name))
        for other in later:
            if draw(st.booleans()):
                edges.add((name, other))
        if at >= 2 and draw(st.booleans()):
            sources = draw(st.lists(st.sampled_from(names[:at]), min_size=2, unique=True))
            joins.add((tuple(sources), name))
        silent = roles[at].form == "nothing"  # it leaves `depth` alone, so it may not go back
        if draw(st.booleans()):
            forward = st.builds(Target, st.sampled_from([*later, END]))
            late = draw(st.lists(forward, max_size=2).map(tuple))
            early = late if silent else draw(few)
            routes.append(Route(source=name, is_async=draw(st.booleans()), early=early, late=late))
    if draw(st.sampled_from([False, False, True])):
        ahead = draw(st.lists(st.builds(Target, st.sampled_from(names)), max_size=2).map(tuple))
        routes.append(Route(source=START, early=ahead, late=ahead))
    return Shape(
        roles=tuple(roles),
        edges=tuple(sorted(edges)),
        joins=tuple(sorted(joins)),
        routes=tuple(routes),
        depth=draw(st.integers(1, depth)),
    )


TROUBLES: tuple[Trouble, ...] = ("raises", "returns no update", "leads nowhere")


@st.composite
def _failing(draw: st.DrawFn, names: Sequence[str]) -> dict[str, Any]:
    """How often a node fails, how often it is tried, and where its error handler leads."""
    ends = st.builds(Target, st.sampled_from([*names, END]))
    return {
        "fails": draw(st.sampled_from([0, 0, 1, 3])),
        "attempts": draw(st.integers(1, 3)),
        "handled": draw(st.none() | st.lists(ends, max_size=2).map(tuple)),
    }


inputs = st.fixed_dictionaries(
    {},
    optional={
        "log": st.just([["in"]]),
        "total": st.integers(0, 9),
        "one": st.just({"in": ["in"]}),
        "brief": st.just(["in"]),
        "news": st.just(["in"]),
        "agreed": st.just("in"),
    },
)
