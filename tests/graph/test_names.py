"""The names that ported code imports, as the documentation lists them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from pkgutil import iter_modules

import pytest

import greenroom.graph

DOCUMENT = Path(__file__).parents[2] / "docs" / "compatibility.md"


def listed() -> Iterator[tuple[str, str]]:
    """Each name of the table of names, and what is said about it."""
    section = DOCUMENT.read_text().partition("\n## Names\n")[2].partition("\n## ")[0]
    for row in section.splitlines():
        if row.startswith("| ") and not row.startswith("| module"):
            _, _, names, verdict, _ = re.split(r" ?\| ?", row, maxsplit=4)
            yield from ((name, verdict) for name in re.findall(r"`(\w+)`", names))


NAMES = dict(listed())


@pytest.mark.parametrize("name", [name for name, said in NAMES.items() if said.startswith("yes")])
def test_a_name_that_is_listed_as_there_can_be_imported(name: str) -> None:
    assert hasattr(greenroom.graph, name)
    assert name in greenroom.graph.__all__


@pytest.mark.parametrize("name", [name for name, said in NAMES.items() if said.startswith("no")])
def test_a_name_that_is_listed_as_missing_is_not_there(name: str) -> None:
    assert not hasattr(greenroom.graph, name)


def test_every_name_of_the_table_has_a_verdict() -> None:
    assert len(NAMES) > 100
    assert [name for name, said in NAMES.items() if not re.match(r"yes|no:", said)] == []


def test_all_names_are_there_once() -> None:
    names = greenroom.graph.__all__
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(greenroom.graph, name)] == []


def test_no_name_is_a_module_s_too() -> None:
    modules = {module.name for module in iter_modules(greenroom.graph.__path__)}
    assert "attempt" in modules
    assert modules.isdisjoint(greenroom.graph.__all__)
