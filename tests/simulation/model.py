"""What is to become of a thread, played out one run after the other. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

import attrs

from .graphs import GRAPHS, QUESTIONS, fails_at

__all__ = [
    "RULES",
    "Answer",
    "Order",
    "Place",
    "Rule",
    "Wrong",
    "after_edit",
    "after_run",
    "has_played",
]


class Wrong(Exception):
    """It is not as the model has it."""


@attrs.frozen
class Rule:
    """What a run that arrives on a busy thread does. `stops`: how all unfinished runs are to
    end. `joins`: it may become part of another; `waits`: it is to be sent with a wait."""

    refused: bool = False
    stops: Literal["interrupt", "rollback"] | None = None
    joins: bool = False
    waits: bool = False


# A strategy is played as soon as it is here.
RULES: Final[Mapping[str, Rule]] = {
    "enqueue": Rule(),
    "reject": Rule(refused=True),
    "interrupt": Rule(stops="interrupt"),
    "rollback": Rule(stops="rollback"),
    "merge": Rule(joins=True),
    "debounce": Rule(joins=True, waits=True),
    "steer": Rule(joins=True),
}


@attrs.frozen
class Order:
    """What a run is asked to do. `breaks`: it may pause where nothing is asked. `parts`: tags of
    the runs that have ended as part of it; `others`: of those that may have been part of it."""

    tag: str
    kind: Literal["text", "resume", "go on"]
    breaks: bool = False
    parts: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()


@attrs.frozen
class Answer:
    """One that is in the log: what a node was told, to which question."""

    token: str
    question: str


@attrs.frozen
class Place:
    """Where a thread stands. `text`: the newest one, None before the first; `step`: the super-step
    that is next; `tags`: of the runs that may have worked on it. `failed`: the last run came to an
    error, and nothing since. `given`: a text that START has in hand, and has not taken in."""

    graph: str
    text: str | None = None
    step: int | None = None
    tags: frozenset[str] = frozenset()
    failed: bool = False
    given: str | None = None

    @property
    def done(self) -> bool:
        return self.given is None and self._ended

    @property
    def _ended(self) -> bool:
        return self.step is None or self.step >= len(GRAPHS[self.graph])


def after_run(
    place: Place, order: Order, added: Sequence[str], status: str, error: str | None
) -> tuple[Place, list[Answer]]:
    """Where a thread stands after a run that has added these entries, and what it was answered.

    Raises Wrong where no run could have.
    """
    left, answers = list(added), list[Answer]()
    place = attrs.evolve(place, tags=place.tags | {order.tag})
    begun = place
    joiners = order.parts | order.others
    texts = [entry for entry in left if entry in joiners or entry == order.tag]
    wanted = {*order.parts, *([order.tag] if order.kind == "text" else [])}
    if len(set(texts)) != len(texts):
        raise Wrong(f"{order.tag} took {texts} in")
    if (lost := wanted - set(texts)) and (left or status != "error" or error == "ValueError"):
        raise Wrong(f"the text of {sorted(lost)} is lost, which ended {status}")
    if order.kind == "text" and order.tag in left:
        own = left.index(order.tag)
        if not joiners.issuperset(left[:own]):
            raise Wrong(f"{order.tag} added {left} and not its text")
        del left[: own + 1]
        place = Place(place.graph, order.tag, 0, frozenset({order.tag}))
    place, found = _moved(place, left, joiners)
    answers += found
    if order.kind != "text" and place.done and added == [] and begun.done:
        return attrs.evolve(place, failed=bool(error) or place.failed), answers
    if (fatal := _fatal(place, order)) is not None:
        if place.step is not None and place.step > fatal:
            raise Wrong(f"{order.tag} went on after it failed")
        if error == "ValueError" and place.step != fatal:
            raise Wrong(f"{order.tag} failed in super-step {place.step}")
    elif error == "ValueError":
        raise Wrong(f"{order.tag} failed, which it could not")
    failed = bool(error) or (place.failed and place.step == begun.step)
    return attrs.evolve(place, failed=failed), answers


def after_edit(place: Place, added: Sequence[str], as_node: str) -> Place:
    """Where a thread stands after an edit of its state, which had added before what the tasks that
    were done of a super-step had come to. Raises Wrong."""
    nodes = GRAPHS[place.graph]
    idle = place.done or place.step is None
    done = () if idle else nodes[place.step or 0]
    for entry in added:
        if entry.split(" ")[0] not in done or entry.split(" ")[-1] not in place.tags:
            raise Wrong(f"an edit added {entry!r}")
    names = [("inner",) if place.graph == "nested" and len(step) > 1 else step for step in nodes]
    step = next(at for at, step in enumerate(names) if as_node in step)
    if added and place.step is not None:
        step = place.step  # what comes after them is planned as well
    return Place(place.graph, place.text, step + 1)


def has_played(graph: str, order: Order, visited: Collection[str], done: Collection[str]) -> bool:
    """Whether a run on a thread of its own may have come to its end, which these nodes have worked
    for."""
    if order.breaks or order.kind != "text" or fails_at(order.tag) in visited:
        return True
    return any(node in visited for node in QUESTIONS) or set(GRAPHS[graph][-1]) <= set(done)


def _moved(
    place: Place, entries: list[str], joiners: Collection[str]
) -> tuple[Place, list[Answer]]:
    """After the super-steps that these entries are of; texts may come between them."""
    answers: list[Answer] = []
    steps = GRAPHS[place.graph]
    while entries:
        if entries[0] == place.given:
            place = attrs.evolve(place, text=entries.pop(0), step=0, given=None)
            continue
        if entries[0] in joiners and not place.done:
            place = attrs.evolve(place, text=entries.pop(0))
            continue
        if place.given is not None:
            raise Wrong(f"{place.given} was to be taken in")
        step = len(steps) if place.step is None else place.step
        if step >= len(steps):
            raise Wrong(f"{entries} after the end")
        nodes = steps[step]
        for node, entry in zip(nodes, entries, strict=False):
            words = entry.split(" ")
            told, asked = words[1:-1], QUESTIONS.get(node, 0)
            if words[0] != node or words[-1] not in place.tags or len(told) != asked:
                raise Wrong(f"{entry!r} in place of what {node} of {sorted(place.tags)} adds")
            answers += [
                Answer(token, f"{node} {number} of {place.text or ''}")
                for number, token in enumerate(told)
            ]
        if len(entries) < len(nodes):
            raise Wrong(f"{entries} is a part of super-step {nodes}")
        del entries[: len(nodes)]
        place = attrs.evolve(place, step=step + 1)
    return place, answers


def _fatal(place: Place, order: Order) -> int | None:
    """The super-step that this run fails in."""
    if place.text != order.tag or (node := fails_at(place.text)) is None:
        return None
    return next((at for at, step in enumerate(GRAPHS[place.graph]) if node in step), None)
