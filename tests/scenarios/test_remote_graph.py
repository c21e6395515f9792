"""A served graph as a node of LangGraph's own graphs, by its `RemoteGraph`."""

from __future__ import annotations

from typing import Any

import pytest

from .server import Server
from .test_seed_flows import python, run

pytest.importorskip("langgraph", reason="langgraph is not there")

QUESTION = {"book": "the Grand of Oslo"}
FOUND = {"hotel": "the Grand of Oslo", "notes": ["found"]}


def test_langgraph_runs_a_served_graph_alone_and_as_a_node_of_its_own(server: Server) -> None:
    _, report = run(python("remote_graph"), server)

    check_alone(report["alone"])
    check_node(report["node"])
    assert report["tokens"] == ["one ", "two "]
    assert report["failed"] == "KeyError"
    assert report["sync"] == "the Grand of Oslo"
    assert report["graph"] == [
        ["__start__", "search:find"],
        ["approve", "__end__"],
        ["search:find", "approve"],
    ]
    assert report["around"] == [
        ["__start__", "remote:search:find"],
        ["pack", "__end__"],
        ["remote:approve", "pack"],
        ["remote:search:find", "remote:approve"],
    ]


def check_alone(report: dict[str, Any]) -> None:
    assert report == {
        "asked": [QUESTION],
        "waits": [["approve"], [QUESTION]],
        "final": ["found", "approved: yes"],
        "history": [[2, []], [1, ["approve"]], [0, ["search"]], [-1, ["__start__"]]],
        "older": [0, -1],
        "past": ["found"],
        "edited": ["found", "approved: yes", "edited"],
        "forked": ["the Ritz", ["approve"]],
        "again": {"book": "the Ritz"},
    }


def check_node(report: dict[str, Any]) -> None:
    after_search = {"city": "Oslo", **FOUND}
    after_approval = {**after_search, "notes": ["found", "approved: yes"]}
    assert report == {
        "until_asked": [
            [["remote", "search"], {"find": FOUND}],
            [["remote"], {"search": after_search}],
        ],
        "waits": [["remote"], QUESTION],
        "resumed": [
            [["remote"], {"approve": {"notes": ["approved: yes"]}}],
            [[], {"remote": after_approval}],
            [[], {"pack": {"notes": ["packed"]}}],
        ],
        "final": ["found", "approved: yes", "packed"],
        "there": ["found", "approved: yes"],
    }
