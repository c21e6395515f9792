"""Namespaces as texts that sort as the tuples do, so that an index finds all below a prefix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final

from greenroom.graph.store import Namespace, fits_pattern

from .queries import NamespaceQuery

__all__ = ["below", "from_text", "list_namespaces", "place", "places", "to_text"]

END: Final = "\x01"  # of a label; before every character that a label has when it is escaped
ESCAPE: Final = "\x02"
FIRST: Final = "\x03"  # after both


def to_text(namespace: Sequence[str]) -> str:
    """A namespace as text: its labels, each between ends."""
    return END + "".join(_escaped(label) + END for label in namespace)


def from_text(text: str) -> Namespace:
    return tuple(_unescaped(label) for label in text.split(END)[1:-1])


def below(prefix: Sequence[str]) -> tuple[str, str]:
    """The text of a prefix, and the first text after it that does not start with it."""
    text = to_text(prefix)
    return text, text[:-1] + ESCAPE


def place(prefix: Sequence[str]) -> str:
    """A word that stands for all namespaces below a prefix: where an index has it beside the words
    of items, others' items need no look."""
    return "x" + blake2b(to_text(prefix).encode(), digest_size=10).hexdigest()


def places(namespace: Sequence[str]) -> list[str]:
    """The places that a namespace is in, but for the one of all."""
    return [place(namespace[:depth]) for depth in range(1, len(namespace) + 1)]


def list_namespaces(
    query: NamespaceQuery, following: Callable[[str, str], str | None]
) -> list[Namespace]:
    """The namespaces asked for, at the cost of those looked at and not of their items.

    `following(at, end)`: the first text of a namespace with items from `at` on, before `end`.
    """
    literal = query.prefix[: query.prefix.index("*")] if "*" in query.prefix else query.prefix
    at, end = below(literal)
    wanted = query.offset + query.limit
    found: list[Namespace] = []
    while len(found) < wanted and (text := following(at, end)) is not None:
        namespace = from_text(text)
        at = text + END  # comes before what is below it
        if fits_pattern(namespace, query.prefix) and fits_pattern(
            namespace[::-1], query.suffix[::-1]
        ):
            found.append(namespace[: query.max_depth])
            if query.max_depth is not None and len(namespace) >= query.max_depth:
                _, at = below(found[-1])
    return found[query.offset :]


def _escaped(label: str) -> str:
    return label.replace(ESCAPE, ESCAPE + FIRST).replace(END, ESCAPE + ESCAPE)


def _unescaped(text: str) -> str:
    return text.replace(ESCAPE + ESCAPE, END).replace(ESCAPE + FIRST, ESCAPE)
