"""Agents that published packages make, served as they are from a `langgraph.json`, and driven by
the published client in a process of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from .server import Server
from .test_seed_flows import python, run

AGENTS = Path(__file__).parent / "agents/langgraph.json"
PAUSED_AT = {
    "react": "tools",
    "middleware": "HumanInTheLoopMiddleware.after_model",
    "supervisor": "clerk",
    "swarm": "clerk",
    "deep": "tools",
}
Report = dict[str, Any]
Play = Callable[[str, str], Report]

each_agent = pytest.mark.parametrize("agent", PAUSED_AT)


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    """`play("turn", "react")` is what that agent reports of the scene, which all agents play at
    once, and once only. In the scene "crash" the process is killed while a tool of each is at work.
    """
    folder = tmp_path_factory.mktemp("agents")
    server = Server(folder=folder, env={"GATES": str(folder)}, options=("--config", str(AGENTS)))

    def played(scene: str, left: Any = None) -> dict[str, Report]:
        _, reports = run([*python("prebuilt_agents"), folder, scene, json.dumps(left)], server)
        return reports  # type: ignore[no-any-return]

    @cache
    def reports(scene: str) -> dict[str, Report]:
        if scene != "crash":
            return played(scene)
        left = played("before_crash")
        server.kill()
        server.start()
        return played("after_crash", left)

    def play(scene: str, agent: str) -> Report:
        report = reports(scene)[agent]
        assert "failed" not in report, report["failed"]
        return report

    server.start()
    yield play
    server.stop()


@each_agent
def test_a_turn_uses_its_tools_and_its_answer_comes_word_by_word(agent: str, play: Play) -> None:
    report = play("turn", agent)

    assert report["texts"] == [f"look_up turn-{agent}"]
    assert report["tokens"] == ["So", "much", "for", f"turn-{agent}"]
    assert report["last"] == " ".join(report["tokens"])
    assert report["notes"].count("done") == 1


@each_agent
def test_what_needs_approval_is_done_once_it_is_given(agent: str, play: Play) -> None:
    report = play("approval", agent)

    assert report["paused"] == ["interrupted", [PAUSED_AT[agent]]]
    if agent != "react":  # which stops at a breakpoint
        assert f"approval-{agent}" in str(report["asked"])
    assert report["done"] == [0, 1]
    assert len(report["texts"]) == 1
    assert report["last"] == f"So much for approval-{agent}"


@each_agent
def test_a_second_text_interrupts_the_first_and_both_stay(agent: str, play: Play) -> None:
    answered = agent != "react"  # which refuses messages in which a call of a tool has no result
    assert play("interrupt", agent) == {
        "texts": [f"look_up {number}-interrupt-{agent}" for number in ("one", "two")],
        "last": f"{'So much for' if answered else 'look_up'} two-interrupt-{agent}",
        "statuses": ["interrupted", "success" if answered else "error"],
    }


@each_agent
def test_a_second_text_rolls_the_first_back(agent: str, play: Play) -> None:
    assert play("rollback", agent) == {
        "texts": [f"look_up two-rollback-{agent}"],
        "last": f"So much for two-rollback-{agent}",
        "statuses": [None, "success"],
    }


@each_agent
def test_a_second_text_waits_until_the_first_is_answered(agent: str, play: Play) -> None:
    first = f"look_up one-enqueue-{agent}"
    if agent == "middleware":
        first = "Here is a summary of the conversation to date:\n\nthe story so far"
    assert play("enqueue", agent) == {
        "texts": [first, f"look_up two-enqueue-{agent}"],
        "last": f"So much for two-enqueue-{agent}",
        "statuses": ["success", "success"],
    }


@each_agent
def test_a_turn_goes_on_from_its_last_checkpoint_after_a_kill_in_the_middle_of_a_tool(
    agent: str, play: Play
) -> None:
    undisturbed = play("turn", agent)["notes"]
    held_at = undisturbed.index("began")
    assert play("crash", agent) == {
        "texts": [f"look_up crash-{agent}"],
        "last": f"So much for crash-{agent}",
        "statuses": ["success"],
        "notes": [*undisturbed[:held_at], "began", *undisturbed[held_at:]],
    }
