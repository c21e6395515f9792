"""Search by words, for stores that have no index to search by meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Literal

import attrs

from .vectors import texts_at

__all__ = ["IndexedText", "all_words", "score", "text_of", "words_of"]

MAX_WORDS: Final = 64  # of a query; the rest has no effect


@attrs.frozen(eq=False)
class IndexedText:
    """A text that an item is found by, with its words: these are found when they are first asked
    for, so that putting stays quick, and kept."""

    text: str

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(all_words(self.text))


def text_of(value: Mapping[str, Any], fields: Literal[False] | Sequence[str] | None) -> str:
    """What an item is found by: all that it says, what it says at some paths, or nothing."""
    if fields is False:
        return ""
    if fields is None:
        return "\n".join(_said(value))
    return "\n".join(text for path in fields for text in texts_at(value, path))


def words_of(text: str) -> tuple[str, ...]:
    """The words of a query, each once."""
    return tuple(dict.fromkeys(all_words(text)))[:MAX_WORDS]


def score(words: Sequence[str], text: IndexedText) -> float | None:
    """How many of the words a text has, out of 1; None if it has none of them."""
    found = text.words.intersection(words)
    return len(found) / len(words) if found else None


def all_words(text: str) -> list[str]:
    """The words of a text, in order: letters and digits, casefolded."""
    return re.findall(r"[^\W_]+", text.casefold())


def _said(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _said(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _said(inner)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield str(value)
