"""The words that items are found by in PostgreSQL, as tsvectors and tsqueries.

PostgreSQL's own parser has no part in it: the words are those of `greenroom.graph.words`, so that
every backend finds the same items. A text of any size is found by each of its words.

The rank of an item is the higher the more of the query's words it has, and a little higher where it
has them more often: the second time counts a quarter of the first, the third time a ninth. How rare
a word is and how long the text is make no difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, Final

import psycopg

from greenroom.graph.words import all_words

from . import namespaces

__all__ = ["RANK", "TO_INDEX", "match", "send_index", "tsquery", "tsvectors"]

MAX_LEXEME: Final = 2046  # bytes, of PostgreSQL's
PART: Final = 64 * 1024  # bytes of words, about, in one tsvector; PostgreSQL allows 1 MiB
COUNTED: Final = 16  # how often a word counts; PostgreSQL allows 255
SOME: Final = 50  # items indexed at a time

RANK: Final = "ts_rank(words, %s::tsquery)"  # of one tsvector, by a `tsquery`; parts add up

# What was put before there was an index of words, some at a time, from an id on.
TO_INDEX: Final = f"""
    SELECT item, namespace, words FROM greenroom.items_to_index JOIN greenroom.items ON id = item
    WHERE item > %s ORDER BY item LIMIT {SOME}
"""
_SET_WORDS: Final = "UPDATE greenroom.items SET words = %s WHERE id = %s"
_INDEX: Final = """
    WITH taken AS (DELETE FROM greenroom.items_to_index WHERE item = %s RETURNING item)
    INSERT INTO greenroom.item_words (item, words)
    SELECT item, unnest(%s::text[]::tsvector[]) FROM taken
"""


def tsvectors(namespace: Sequence[str], words: Iterable[str]) -> list[str]:
    """The words of an item and where it is: many words in parts, each of them in one part."""
    counts = Counter(words)
    where = [_quoted(_place(place)) for place in namespaces.places(namespace)]
    return [" ".join([*where, *part]) for part in _parts(counts)]


def _parts(counts: Counter[str]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for word, count in counts.items():
        # As many positions as there are words of its kind: ranks are made of them.
        positions = ",".join(map(str, range(1, min(count, COUNTED) + 1)))
        part.append(f"{_quoted(_lexeme(word))}:{positions}")
        size += len(part[-1].encode())
        if size >= PART:
            yield part
            part, size = [], 0
    if part:
        yield part


def tsquery(words: Iterable[str]) -> str:
    """Any of the words. They have nothing but letters and digits in them."""
    return " | ".join(_quoted(_lexeme(word)) for word in words)


def match(prefix: Sequence[str], words: Iterable[str]) -> str:
    """Any of the words, in what lies below a prefix."""
    found = tsquery(words)
    return f"{_quoted(_place(namespaces.place(prefix)))} & ({found})" if prefix else found


def send_index(cursor: psycopg.Cursor[tuple[Any, ...]], row: tuple[int, str, str]) -> None:
    """Index what is in a row of TO_INDEX."""
    ident, namespace, text = row
    words = all_words(text)
    cursor.execute(_SET_WORDS, (" ".join(words), ident))
    cursor.execute(_INDEX, (ident, tsvectors(namespaces.from_text(namespace), words)))


def _quoted(lexeme: str) -> str:
    return f"'{lexeme}'"


def _place(place: str) -> str:
    return f"/{place}"  # no word of a text has a sign in it


def _lexeme(word: str) -> str:
    data = word.encode()
    return word if len(data) <= MAX_LEXEME else f"#{blake2b(data, digest_size=20).hexdigest()}"
