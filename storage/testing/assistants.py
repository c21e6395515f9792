"""Assistants and their versions."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from ..codec import Unstorable
from ..contract import Lease, StorageError
from ..operations import DeleteAssistant, Operation, PutAssistant, PutCron, Restore
from ..queries import AssistantQuery
from ..records import Assistant, AssistantVersion
from ..rows import to_row
from .making import Open, OpenStorage, make_assistant, make_cron
from .searches import HOSTILE_KEYS

__all__ = ["AssistantContract"]

FULL = make_assistant(
    name="Ада",
    description="d",
    updated_at="2026-02-01",
    config={"tags": ["t"], "configurable": {"when": (1, 2)}},
    context={"when": (1, 2), "blob": b"\x00"},
    metadata={"é": [1, 1.5, None, True]},
)


class AssistantContract(OpenStorage):
    """What is kept of assistants and of what they were before, and what is found."""

    def test_assistants_are_found_by_graph_metadata_and_part_of_their_name(
        self, opened: Open
    ) -> None:
        opened.commit(
            PutAssistant(make_assistant("a", name="Straße", graph_id="x")),
            PutAssistant(make_assistant("b", name="100% sure", metadata={"k": 1})),
            PutAssistant(make_assistant("c", name="other", created_at="2027")),
        )

        def found(**query: Any) -> list[str]:
            page = opened.storage.search_assistants(AssistantQuery(**query))
            assert opened.storage.count_assistants(AssistantQuery(**query)) == len(page)
            return [assistant.assistant_id for assistant in page]

        assert found() == ["c", "b", "a"]
        assert found(sort_by="name", descending=False) == ["b", "c", "a"]
        assert found(graph_id="x") == ["a"]
        assert found(metadata={"k": 1}) == ["b"]
        assert found(name="STRASSE") == ["a"]
        assert found(name="0%") == ["b"]
        assert found(name="%") == ["b"]
        assert found(name="_") == []

    @pytest.mark.parametrize("column", ["assistant_id", "graph_id", "name", "created_at"])
    def test_assistants_are_sorted_and_ties_broken_by_age(self, opened: Open, column: str) -> None:
        ages = {"b": "2026", "a": "2027"} if column in ("graph_id", "name") else {}
        for ident, value in (("b", "2"), ("c", "1"), ("a", "2"), ("d", "3")):
            given = {} if column == "assistant_id" else {column: value}
            if ident in ages:
                given["created_at"] = ages[ident]
            opened.commit(PutAssistant(make_assistant(ident, **given)))

        def found(**query: Any) -> list[str]:
            page = opened.storage.search_assistants(AssistantQuery(sort_by=column, **query))  # type: ignore[arg-type]
            return [assistant.assistant_id for assistant in page]

        upwards, downwards = {
            "assistant_id": ("abcd", "dcba"),
            "created_at": ("cabd", "dbac"),
        }.get(column, ("cbad", "dbac"))
        assert found(descending=False) == list(upwards)
        assert found() == list(downwards)
        assert found(limit=2, offset=1) == list(downwards[1:3])
        with pytest.raises(StorageError, match="Assistant records cannot be sorted by 'name; DR"):
            opened.storage.search_assistants(AssistantQuery(sort_by="name; DROP TABLE runs"))  # type: ignore[arg-type]

    def test_assistants_are_sorted_by_name_whatever_the_case(self, opened: Open) -> None:
        for ident, name in (("a", "beta"), ("b", "Gamma"), ("c", "alpha 2"), ("d", "Alpha")):
            opened.commit(PutAssistant(make_assistant(ident, name=name)))
        for descending, expected in ((False, "dcab"), (True, "bacd")):
            query = AssistantQuery(sort_by="name", descending=descending)
            page = opened.storage.search_assistants(query)
            assert [assistant.assistant_id for assistant in page] == list(expected)

    def test_what_an_assistant_is_put_as_is_one_of_its_versions(self, opened: Open) -> None:
        opened.commit(PutAssistant(make_assistant()))
        opened.commit(PutAssistant(attrs.evolve(FULL, version=2)))
        storage = opened.storage
        two = AssistantVersion(
            assistant_id="a",
            version=2,
            graph_id="g",
            created_at="2026-02-01",
            name=FULL.name,
            description="d",
            config=FULL.config,
            context=FULL.context,
            metadata=FULL.metadata,
        )
        assert storage.get_assistant_version("a", 2) == two
        first = storage.get_assistant_version("a", 1)
        assert first is not None
        assert (first.name, first.created_at) == ("n", make_assistant().created_at)
        assert storage.list_assistant_versions("a") == [two, first]
        assert storage.get_assistant_version("a", 3) is None
        assert storage.get_assistant_version("x", 1) is None
        assert storage.list_assistant_versions("x") == []

    def test_a_version_stays_as_it_was_when_its_assistant_comes_back_to_it(
        self, opened: Open
    ) -> None:
        opened.commit(PutAssistant(make_assistant()), PutAssistant(make_assistant(version=2)))
        before = opened.storage.list_assistant_versions("a")
        again = make_assistant(version=1, name="another", updated_at="2027")
        opened.commit(PutAssistant(again))
        assert opened.storage.get_assistant("a") == again
        assert opened.storage.list_assistant_versions("a") == before

    def test_objects_in_a_version_come_back_if_their_class_is_declared(self, opened: Open) -> None:
        opened.commit(PutAssistant(make_assistant(context={"lease": Lease("me", 1)})))
        opened.storage.types.declare([Lease])
        (version,) = opened.storage.list_assistant_versions("a")
        assert version.context == {"lease": Lease("me", 1)}

    def test_versions_are_listed_from_the_highest_down_a_page_at_a_time(self, opened: Open) -> None:
        numbers = [1, 2, 10, 9]
        for ident in "ab":
            opened.commit(*(PutAssistant(make_assistant(ident, version=n)) for n in numbers))
        assert _found(opened) == [10, 9, 2, 1]
        assert _found(opened, limit=2, offset=1) == [9, 2]
        assert _found(opened, limit=None, offset=3) == [1]
        assert _found(opened, offset=4) == []
        assert [row["version"] for row in opened.storage.scan_assistant_versions("a")] == [
            1,
            2,
            9,
            10,
        ]
        page = opened.storage.scan_assistant_versions("b", after=1, limit=2)
        assert [(row["assistant_id"], row["version"]) for row in page] == [("b", 2), ("b", 9)]

    def test_versions_are_found_by_what_their_metadata_contains(self, opened: Open) -> None:
        for number, metadata in enumerate(({"n": 1, "d": {"a": [1, 2]}}, {"n": 2}, {"n": 1}), 1):
            opened.commit(PutAssistant(make_assistant(version=number, metadata=metadata)))
        assert _found(opened, metadata={"n": 1.0}) == [3, 1]
        assert _found(opened, metadata={"n": 1}, limit=1, offset=1) == [1]
        assert _found(opened, metadata={"d": {"a": [2]}}) == [1]
        assert _found(opened, metadata={}) == [3, 2, 1]
        assert _found(opened, metadata={"n": True}) == []
        with pytest.raises(Unstorable, match=r"metadata\.a"):
            _found(opened, metadata={"a": {1}})

    @pytest.mark.parametrize("key", HOSTILE_KEYS)
    def test_any_text_is_a_key_or_a_value_of_a_version_s_metadata(
        self, opened: Open, key: str
    ) -> None:
        for number, metadata in enumerate(({key: 1}, {"v": key}, {"v": key + "x"}), 1):
            opened.commit(PutAssistant(make_assistant(version=number, metadata=metadata)))
        assert _found(opened, metadata={key: 1}) == [1]
        assert _found(opened, metadata={"v": key}) == [2]

    def test_an_assistant_is_deleted_with_its_versions_and_crons(self, opened: Open) -> None:
        for ident in "ab":
            assistant = make_assistant(ident)
            opened.commit(PutAssistant(assistant), PutAssistant(attrs.evolve(assistant, version=2)))
            opened.commit(PutCron(make_cron(ident, assistant_id=ident)))
        opened.commit(DeleteAssistant("a"), DeleteAssistant("unknown"))
        storage = opened.storage
        assert storage.get_assistant("a") is None
        assert storage.get_cron("a") is None
        assert _found(opened) == []
        assert storage.get_assistant("b") is not None
        assert storage.get_cron("b") is not None
        assert _found(opened, "b") == [2, 1]
        assert storage.stats().assistant_versions == 2
        assert storage.faults() == []

    def test_a_version_is_restored_as_it_was_stored(self, opened: Open) -> None:
        assistant = to_row(attrs.evolve(FULL, version=3))
        restore: list[Operation] = [Restore(Assistant, assistant)]
        versions = []
        for number in (2, 3):
            row = to_row(
                AssistantVersion(
                    assistant_id="a", version=number, graph_id="g", created_at=str(number), name="n"
                )
            )
            row["metadata"] = '{ "a" : 1.0 }'  # as another version may have written it
            versions.append(row)
            restore.append(Restore(AssistantVersion, row))
        for _ in range(2):
            opened.commit(*restore)
            assert opened.storage.scan_assistants() == [assistant]
            assert opened.storage.scan_assistant_versions("a") == versions

    def test_an_assistant_that_is_restored_alone_has_the_version_that_it_is(
        self, opened: Open
    ) -> None:
        opened.commit(Restore(Assistant, to_row(attrs.evolve(FULL, version=3))))
        (version,) = opened.storage.list_assistant_versions("a")
        assert (version.version, version.created_at) == (3, FULL.updated_at)
        assert opened.storage.faults() == []


def _found(opened: Open, assistant_id: str = "a", **query: Any) -> list[int]:
    found = opened.storage.list_assistant_versions(assistant_id, **query)
    assert {one.assistant_id for one in found} <= {assistant_id}
    return [one.version for one in found]
